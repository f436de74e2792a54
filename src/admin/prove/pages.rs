//! Every encrypted page of a file, where that was asked for.

use crate::scan::info::{FileKey, Info};
use crate::scan::need::{Kind, Unread};
use crate::scan::page::{self, Counted};
use crate::scan::walk::Looked;
use crate::scan::{redo, tablespace};

/// The encryption information of a file that has pages.
pub(super) fn info(looked: &Looked<'_>) -> Option<Info> {
    let file = looked.file?;
    match looked.kind {
        Kind::Tablespace => tablespace::header(file).ok()?.info,
        Kind::Redo => redo::header(file).ok()?.info,
        Kind::Log | Kind::Persisted => None,
    }
}

/// Opens and checks them; `None`: the file has no pages.
///
/// # Errors
/// The file can't be read any more.
pub(super) fn count(
    looked: &Looked<'_>,
    key: &FileKey,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Counted>, Unread> {
    let Some(file) = looked.file else {
        return Ok(None);
    };
    Ok(match looked.kind {
        Kind::Tablespace => Some(page::count(
            file,
            tablespace::header(file)?.pages,
            key,
            go_on,
        )?),
        Kind::Redo => Some(redo::count(file, &redo::header(file)?, key, go_on)?),
        Kind::Log | Kind::Persisted => None,
    })
}
