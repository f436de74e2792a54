//! Room on the keyring's file system: a rewrite needs the whole file again.

use super::Look;
use crate::config::Config;
use crate::os::file;
use std::path::Path;

const WHAT: &str = "disk";
/// A new keyring file with a first key needs no more, in bytes.
const FIRST: u64 = 16_384;

pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    if config.read_only || config.token_storage().is_some() {
        return;
    }
    let folder = config.path.parent().unwrap_or(Path::new("/"));
    let size = config.path.metadata().ok().map(|m| m.len());
    let wanted = size.unwrap_or(0) * 2 + (1 << 20);
    let shown = folder.display();
    match file::free_bytes(folder) {
        Ok(free) if size.is_none() && free < FIRST => look.fail(
            WHAT,
            format!("{free} bytes are free for '{shown}': the keyring can't be made"),
            "Make room.",
        ),
        Ok(free) if free < wanted => look.warn(
            WHAT,
            format!("{free} bytes are free for '{shown}', {wanted} are wanted: new keys will fail when nothing is left"),
            "Make room.",
        ),
        Ok(free) => look.ok(WHAT, format!("{} MiB free", free >> 20)),
        Err(e) => look.warn(WHAT, format!("'{shown}': {e}"), ""),
    }
}
