//! A torn end: its bytes are saved aside, then cut off.
//!
//! It must never cut what it has not saved, never overwrite what an earlier tear left, and never say more than is
//! known about what was acknowledged.

use super::*;
use std::io;

impl FileStore {
    /// The tool's own refusal: a server must start and says what it cut; a command can ask first. `known`: a marker knows
    /// this keyring, so that an acknowledged record is none that is torn.
    pub(super) fn check_torn_end(&self, end: &End, known: bool) -> Result<()> {
        let asks = self.by_tool.is_some_and(|tool| !tool.cut_torn_end);
        if end.torn == 0 || known || !asks {
            return Ok(());
        }
        let why = format!(
            "'{}' ends with {} bytes of an incomplete record behind record {}, and no marker tells whether it was acknowledged",
            self.path.display(),
            end.torn,
            end.sequence
        );
        Err(Error::new(Kind::Tampered, OP, why).hint(
            "Nothing was changed. Name the server's data directory, whose marker tells: --datadir DIR. If this is a copy that was \
             cut off, make it again. To go on without that record: --cut-torn-end saves those bytes beside the file and cuts \
             them off.",
        ))
    }

    /// Saves the torn bytes and cuts them off. If that fails, writes are refused.
    pub(super) fn mend(&mut self, torn: &[u8], bound: &Bound) {
        let Some(journal) = &self.journal else { return };
        let (path, end) = (self.path.display().to_string(), journal.end);
        if self.mode != Mode::ReadWrite || self.refusing.is_some() {
            self.warnings.push(format!(
                "The last {} bytes of '{path}' are an incomplete record; they are left as they are.",
                end.torn
            ));
            return;
        }
        let base = format!(".torn-{}-{}", journal.header.generation, end.sequence);
        let saved = save(&self.path, &self.folder, &base, torn).and_then(|aside| {
            journal.file.set_len(end.offset)?;
            journal.file.sync_data()?;
            Ok(aside)
        });
        match saved {
            Ok(aside) => self.warnings.push(format!(
                "The last {} bytes of '{path}' were a record that {}. They were saved as '{}' and cut off.",
                end.torn,
                what_is_known(bound, end.sequence),
                aside.display()
            )),
            Err(e) => {
                let why = format!(
                    "the incomplete record at the end of '{path}' could not be saved aside and cut off ({e})"
                );
                self.warnings.push(format!("Writes are refused: {why}."));
                self.refusing = Some(Refusing::TornNotSaved(why));
            }
        }
    }
}

fn what_is_known(bound: &Bound, last: u64) -> String {
    if bound.exact {
        return "an interrupted write left incomplete and that was never acknowledged".into();
    }
    format!(
        "a power cut or an interrupted write left incomplete. No marker of this start of the machine tells whether \
         it had been acknowledged: if a key is missing, restore the newest copy of the keyring file. The keyring \
         goes on behind record {last}"
    )
}

/// Writes the torn bytes durably to a new file beside the keyring; gives its path.
fn save(path: &Path, folder: &Path, base: &str, torn: &[u8]) -> io::Result<PathBuf> {
    let made = file::make_beside(path, base, |aside| file::open(aside, Access::CreateNew));
    let (aside, (file, _)) = made.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => io::Error::other(format!(
            "{} files '{base}…' lie beside it already",
            file::MOST_BESIDE
        )),
        _ => e,
    })?;
    let written = file
        .write_all_at(torn, 0)
        .and_then(|()| file.sync_all())
        .and_then(|()| file::sync_folder(folder));
    if let Err(e) = written {
        let _ = std::fs::remove_file(&aside);
        return Err(e);
    }
    Ok(aside)
}
