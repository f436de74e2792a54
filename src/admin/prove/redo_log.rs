//! Keys that records of the redo log name: recovery needs them, whatever the tablespaces say.

use super::Judge;
use crate::error::Result;
use crate::os::beneath::Folder;
use crate::scan::info::{FileKey, Info};
use crate::scan::need::{Kind, Unread};
use crate::scan::records::{self, Read, Tail};
use crate::scan::redo::{self, Header};
use crate::scan::walk::Looked;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// As many files are looked at; a server has at most 32 and some that are spare.
const MOST: usize = 100_000;
/// As many keys are named by one file.
const MOST_NAMES: usize = 1_000;

/// The redo logs below a folder: backups may lie beside each other, each with a checkpoint of its own.
#[derive(Default)]
pub(super) struct Logs {
    /// The files of one folder; those of a clone that waits for the next start are a log of their own.
    logs: BTreeMap<(PathBuf, bool), Vec<PathBuf>>,
    count: usize,
}

impl Logs {
    /// One file more; false: there are too many.
    pub(super) fn add(&mut self, looked: &Looked<'_>) -> bool {
        let folder = looked.path.parent().unwrap_or(Path::new("")).to_path_buf();
        let name = looked.path.file_name().unwrap_or_default();
        let is_cloned = name.to_string_lossy().contains("#clone");
        self.count += 1;
        let fits = self.count <= MOST;
        if fits {
            let files = self.logs.entry((folder, is_cloned)).or_default();
            files.push(looked.path.to_path_buf());
        }
        fits
    }

    /// How many are no clone's that waits.
    pub(super) fn own(&self) -> u64 {
        let own = self.logs.keys().filter(|(_, is_cloned)| !is_cloned);
        own.count() as u64
    }
}

/// What the records of one file name, and whether each record of a name opens, as far as its key is there.
#[derive(Default)]
struct Named {
    keys: BTreeMap<String, bool>,
    too_many: bool,
}

impl Judge<'_> {
    /// Looks for them in the files below one folder. What is wrong with a header has been said before.
    pub(super) fn records(&mut self, folder: &Path, logs: &Logs) -> Result<()> {
        let Ok(beneath) = Folder::open(folder) else {
            return Ok(());
        };
        logs.logs
            .values()
            .try_for_each(|files| self.records_of(&beneath, files))
    }

    /// Those of one log, whose files follow each other.
    fn records_of(&mut self, beneath: &Folder, files: &[PathBuf]) -> Result<()> {
        let open = |path: &Path| {
            let (file, _) = beneath.file(path).ok()?;
            let header = redo::header(&file).ok()?;
            Some((file, header))
        };
        let headers = files.iter().filter_map(|path| Some((path, open(path)?.1)));
        let mut headers: Vec<_> = headers
            .map(|(path, header)| (header.start, path, header.checkpoint))
            .collect();
        headers.sort_unstable();
        let checkpoints = headers.iter().filter_map(|(_, _, checkpoint)| *checkpoint);
        let checkpoint = checkpoints.max().unwrap_or_default();
        self.proof.parts.checkpoint = self.proof.parts.checkpoint.max(checkpoint);
        let mut tail = Tail::default();
        for (_, path, _) in headers {
            let Some((file, header)) = open(path) else {
                continue;
            };
            self.proof.parts.old_redo_files += u64::from(header.start.is_none());
            let shown = format!("{}/{}", self.prefix, path.to_string_lossy());
            let named = self.named(&shown, &file, &header, checkpoint, &mut tail)?;
            if named.too_many {
                self.unreadable(&shown, &super::TOO_MANY);
            }
            let of_header = header.info.as_ref().and_then(Info::name);
            for (name, opens) in named.keys {
                if of_header.as_ref() != Some(&name) {
                    self.named_by_record(&shown, &name, opens)?;
                }
            }
        }
        Ok(())
    }

    fn named(
        &mut self,
        shown: &str,
        file: &File,
        header: &Header,
        checkpoint: u64,
        tail: &mut Tail,
    ) -> Result<Named> {
        let key = self.key_of(header)?;
        let until = self.question.until;
        let mut named = Named::default();
        let mut result = Ok(());
        let mut go_on = || until.is_none_or(|until| !until.passed());
        let mut each = |info: Info| {
            if let Err(e) = self.note(&info, &mut named) {
                result = Err(e);
            }
        };
        let read = records::named(
            file,
            header,
            checkpoint,
            key.as_ref(),
            tail,
            &mut go_on,
            &mut each,
        );
        result?;
        match read {
            Ok(Read::Stopped) => self.proof.cut_short = true,
            Ok(Read::Sealed) if header.info.is_none() => {
                let why = "its blocks are encrypted, and its header has no key for them";
                self.unreadable(shown, &Unread::Damaged(why));
            }
            // The key of the header was said to be missing or wrong before.
            Ok(Read::All | Read::Sealed) => {}
            Err(unread) => self.unreadable(shown, &unread),
        }
        Ok(named)
    }

    /// A rotation writes a record for every tablespace, so each is judged at once and only the names are kept.
    fn note(&mut self, info: &Info, named: &mut Named) -> Result<()> {
        let Some(name) = info.name() else {
            return Ok(());
        };
        if named.keys.len() >= MOST_NAMES && !named.keys.contains_key(&name) {
            named.too_many = true;
            return Ok(());
        }
        let opens = match self.look_up(&name)? {
            Some(key) => info.open(key.material(), &self.pool)?.is_some(),
            None => true,
        };
        *named.keys.entry(name).or_insert(true) &= opens;
        Ok(())
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
        let asked = self.question.keys.is_some();
        let Some(needed) = self.needed(shown, name) else {
            return Ok(());
        };
        needed.files.add(shown);
        *needed.kinds.entry(Kind::Redo).or_default() += 1;
        needed.is_there = asked.then_some(is_there);
        if !opens {
            needed.wrong.add(shown);
        }
        Ok(())
    }
}
