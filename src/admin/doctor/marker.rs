//! The marker: the data directory knows this keyring, and knows nothing newer. The one place that asks for it.

use super::Look;
use crate::admin::inspect::Report;
use crate::config::hex;
use crate::store::file::marker;

const WHAT: &str = "marker";

pub(super) fn check(look: &mut Look<'_>, report: &Report) {
    let Some(dir) = look.setup.data_dir.filter(|d| d.is_dir()) else {
        return;
    };
    let row = |name: &str| {
        let found = report.rows.iter().find(|r| r.0 == name);
        found.map(|r| r.1.to_string()).unwrap_or_default()
    };
    let (file_id, last) = (row("File_id"), row("Last_record"));
    match marker::read(dir) {
        Err(e) => look.error(WHAT, &e),
        Ok(None) => look.ok(WHAT, "none yet: the server makes it at its first start"),
        Ok(Some(m)) if hex(&m.file_id) != file_id => look.fail(
            WHAT,
            "the data directory belongs to another keyring",
            marker::reset_hint(dir),
        ),
        Ok(Some(m)) if last.parse().is_ok_and(|last: u64| last < m.sequence) => look.fail(
            WHAT,
            format!(
                "the keyring file is an older copy: it ends with record {last}, the server had record {}",
                m.sequence
            ),
            marker::reset_hint(dir),
        ),
        Ok(Some(m)) => look.ok(WHAT, format!("fits, record {} or later", m.sequence)),
    }
}
