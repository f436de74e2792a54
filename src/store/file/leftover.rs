//! What an interrupted rewrite left beside the keyring.
//!
//! It may be the last whole copy of the keys: an interrupted rescue leaves all of them there. It must never go before the
//! keyring itself was found good, and never be put over anything.

use super::*;
use std::io;

impl FileStore {
    /// Removes what an interrupted rewrite left. The caller holds the lock, and the keyring at its path is good. Where
    /// nothing is there, the left-over is put aside instead.
    pub(super) fn sweep(&mut self) {
        let temporary = self.temporary();
        let shown = temporary.display().to_string();
        let said = if std::fs::symlink_metadata(&self.path).is_ok() {
            let removed = std::fs::remove_file(&temporary);
            removed.map(|()| format!("'{shown}', left by an interrupted rewrite, was removed."))
        } else {
            put_aside(&temporary).map(|aside| {
                format!(
                    "'{shown}', left by an interrupted rewrite, may hold keys; it was kept as '{}'.",
                    aside.display()
                )
            })
        };
        self.warnings.extend(said);
    }
}

/// Gives a file a name that nothing has.
fn put_aside(file: &Path) -> io::Result<PathBuf> {
    let suffix = format!(".left-{}", crate::os::unix_seconds());
    let made = file::make_beside(file, &suffix, |aside| file::rename_noreplace(file, aside));
    made.map(|(aside, ())| aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_put_over_what_was_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("k.new");
        let mut kept = std::collections::BTreeSet::new();
        for n in 0..9u8 {
            std::fs::write(&file, [n]).unwrap();
            let aside = put_aside(&file).unwrap();
            assert!(kept.insert(aside.clone()), "{n}: {aside:?} had been taken");
            assert!(!file.exists());
        }
        let mut all: Vec<u8> = kept
            .iter()
            .flat_map(|f| std::fs::read(f).unwrap())
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..9).collect::<Vec<u8>>(), "each is whole");
        assert!(put_aside(&file).is_err(), "nothing is there");
    }
}
