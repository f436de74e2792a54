//! The marker: the data directory knows this keyring, and knows nothing newer. The one place that asks for it.

use super::Look;
use crate::admin::marker::opinion;
use crate::config::Config;
use crate::store::MarkerSays;
use crate::store::marker;

const WHAT: &str = "marker";

pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    let Some(dir) = look.setup.data_dir.filter(|d| d.is_dir()) else {
        return;
    };
    match opinion(config, dir) {
        Err(e) => {
            let path = marker::path_in(dir);
            let rights = format!(
                "It must be a regular file of mysqld's account: chown --reference='{}' '{}'. What is not a file there is to be removed",
                dir.display(),
                path.display()
            );
            let advice = e.advice().map_or(rights, str::to_string);
            look.fail(WHAT, e.message().trim_end_matches('.'), advice);
        }
        Ok(MarkerSays::NotAsked | MarkerSays::NoMarker) => {
            look.ok(WHAT, "none yet: the server makes it at its first start");
        }
        Ok(MarkerSays::Damaged(sentence)) => look.warn(WHAT, sentence, ""),
        Ok(MarkerSays::Misfit(e)) => look.error(WHAT, &e),
        Ok(MarkerSays::Fits(0)) => look.ok(WHAT, "fits"),
        Ok(MarkerSays::Fits(record)) => look.ok(WHAT, format!("fits: record {record} is there")),
    }
}
