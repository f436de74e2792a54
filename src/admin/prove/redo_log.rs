//! Keys that records of the redo log name: recovery needs them, whatever the tablespaces say.

use super::Judge;
use crate::error::Result;
use crate::os::beneath::Folder;
use crate::scan::info::{FileKey, Info};
use crate::scan::need::Kind;
use crate::scan::records::{self, Read};
use crate::scan::redo::{self, Header};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// As many files of one folder are looked at; a server has at most 32 and some that are spare.
pub(super) const MOST: usize = 1_000;

impl Judge<'_> {
    /// Looks for them in the files of one folder. What is wrong with a header has been said before.
    pub(super) fn records(&mut self, folder: &Path, files: &[PathBuf]) -> Result<()> {
        let Ok(beneath) = Folder::open(folder) else {
            return Ok(());
        };
        let open = |path: &Path| {
            let (file, _) = beneath.file(path).ok()?;
            let header = redo::header(&file).ok()?;
            Some((file, header))
        };
        let checkpoints = files.iter().filter_map(|path| open(path)?.1.checkpoint);
        let checkpoint = checkpoints.max().unwrap_or_default();
        for path in files {
            let Some((file, header)) = open(path) else {
                continue;
            };
            let shown = format!("{}/{}", self.prefix, path.to_string_lossy());
            let named = self.named(&shown, &file, &header, checkpoint)?;
            let of_header = header.info.as_ref().and_then(Info::name);
            for (name, opens) in named {
                if of_header.as_ref() != Some(&name) {
                    self.named_by_record(&shown, &name, opens)?;
                }
            }
        }
        Ok(())
    }

    /// The names in the records of one file, and whether each record of a name opens, as far as its key is there.
    fn named(
        &mut self,
        shown: &str,
        file: &File,
        header: &Header,
        checkpoint: u64,
    ) -> Result<BTreeMap<String, bool>> {
        let key = self.key_of(header)?;
        let until = self.question.until;
        let mut infos: Vec<Info> = Vec::new();
        let mut go_on = || until.is_none_or(|until| !until.passed());
        let mut each = |info: Info| {
            if infos.len() < MOST && !infos.contains(&info) {
                infos.push(info);
            }
        };
        let read = records::named(
            file,
            header,
            checkpoint,
            key.as_ref(),
            &mut go_on,
            &mut each,
        );
        match read {
            Ok(Read::Stopped) => self.proof.cut_short = true,
            // The key of the header was said to be missing or wrong before.
            Ok(Read::All | Read::Sealed) => {}
            Err(unread) => self.unreadable(shown, &unread),
        }
        let mut named: BTreeMap<String, bool> = BTreeMap::new();
        for info in infos {
            let Some(name) = info.name() else {
                continue;
            };
            let opens = match self.look_up(&name)? {
                Some(key) => info.open(key.material(), &self.pool)?.is_some(),
                None => true,
            };
            *named.entry(name).or_insert(true) &= opens;
        }
        Ok(named)
    }

    /// What the blocks of a file are encrypted with.
    fn key_of(&mut self, header: &Header) -> Result<Option<FileKey>> {
        let Some(info) = &header.info else {
            return Ok(None);
        };
        match info.name() {
            None => info.open_built_in(&self.pool),
            Some(name) => match self.look_up(&name)? {
                Some(key) => info.open(key.material(), &self.pool),
                None => Ok(None),
            },
        }
    }

    fn named_by_record(&mut self, shown: &str, name: &str, opens: bool) -> Result<()> {
        let is_there = self.look_up(name)?.is_some();
        let needed = self.proof.needed.entry(name.to_string()).or_default();
        needed.files.add(shown);
        *needed.kinds.entry(Kind::Redo).or_default() += 1;
        needed.is_there = self.question.keys.as_ref().map(|_| is_there);
        if !opens {
            needed.wrong.add(shown);
        }
        Ok(())
    }
}
