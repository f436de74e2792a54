//! The options of the audit log.
//!
//! Owns their checks. It must never let options of a log through where there is none: whoever wrote them believes that there is.

use super::{KekList, token_storage};
use crate::audit::Settings;
use crate::audit::settings::{Reads, Syslog};
use crate::error::Result;
use crate::options::Section;

/// What has no meaning without a file.
const OTHERS: [&str; 6] = [
    "audit_reads",
    "audit_required",
    "audit_rotate_size",
    "audit_keep",
    "audit_group_readable",
    "audit_syslog",
];

/// Longest path in bytes: full files get a longer name beside it.
const MAX_PATH: usize = 4000;

/// The log, if one is configured.
///
/// # Errors
/// Config.
pub(super) fn read(general: &Section<'_>, keks: &KekList) -> Result<Option<Settings>> {
    let Some(file) = general.given("audit_file") else {
        return match OTHERS.iter().find(|name| general.given(name).is_some()) {
            None => Ok(None),
            Some(name) => Err(general.mistake(
                format!("{name} is given, but there is no audit log"),
                "Set audit_file to an absolute path, or take the others out.",
            )),
        };
    };
    let path = general.absolute_file("audit_file", file.into(), MAX_PATH)?;
    let on_token = keks.first().filter(|_| !keks.listed);
    if on_token.is_some_and(|kek| token_storage(kek).is_some()) {
        return Err(general.mistake(
            "audit_file is given, but the keys are objects on the token (storage), which has no place for the log's key",
            "Keep the keys in a file under the token's KEK, or take audit_file out.",
        ));
    }
    let reads = general.choice("audit_reads", &Reads::WORDS, "Use none, summary or all.")?;
    let syslog = general.choice(
        "audit_syslog",
        &Syslog::WORDS,
        "Use none, checkpoints or all.",
    )?;
    let sizes = (Settings::MIN_SIZE, Settings::MAX_SIZE);
    let keep = general.whole("audit_keep", (0, Settings::MOST_KEPT))?;
    Ok(Some(Settings {
        file: path,
        reads: reads.unwrap_or_default(),
        required: general.flag("audit_required")?,
        rotate_size: general.bytes("audit_rotate_size", Settings::SIZE, sizes)?,
        keep: keep.map_or(Settings::KEEP, |keep| keep as u32),
        group_readable: general.flag("audit_group_readable")?,
        syslog: syslog.unwrap_or_default(),
    }))
}
