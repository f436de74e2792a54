//! The way back of a command: what it has made goes again unless the command ends well.
//!
//! Owns the list of what was made. It must never remove what the command did not make: a file or folder is removed only
//! while it is the very one. Whoever makes what something else will depend on must keep it (`keep`) before that.

use super::file;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was made so far, in that order.
#[derive(Default)]
pub struct Undo(Vec<Thing>);

enum Thing {
    File(PathBuf, (u64, u64)),
    Folder(PathBuf),
    Other(Box<dyn FnOnce()>),
}

impl Undo {
    /// Nothing yet.
    pub fn new() -> Undo {
        Undo::default()
    }

    /// This file was made.
    pub fn file(&mut self, path: &Path, file: &File) {
        if let Ok(meta) = file.metadata() {
            let inode = (meta.dev(), meta.ino());
            self.0.push(Thing::File(path.to_path_buf(), inode));
        }
    }

    /// This folder was made. It is removed only while it is empty.
    pub fn folder(&mut self, path: &Path) {
        self.0.push(Thing::Folder(path.to_path_buf()));
    }

    /// Something else was made, and `f` takes it away.
    pub fn other(&mut self, f: impl FnOnce() + 'static) {
        self.0.push(Thing::Other(Box::new(f)));
    }

    /// The command ended well, or something depends on what it made: all of it stays.
    pub fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        // What can't be removed stays: the command's own error says more.
        for thing in self.0.drain(..).rev() {
            match thing {
                Thing::File(path, inode) => {
                    let there = std::fs::symlink_metadata(&path);
                    if there.is_ok_and(|m| (m.dev(), m.ino()) == inode) {
                        let _ = std::fs::remove_file(&path);
                        let _ = path.parent().map(file::sync_folder);
                    }
                }
                Thing::Folder(path) => {
                    let _ = std::fs::remove_dir(&path);
                }
                Thing::Other(f) => f(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let make = |undo: &mut Undo| {
            std::fs::create_dir(at("d")).unwrap();
            undo.folder(&at("d"));
            for name in ["d/f", "g"] {
                undo.file(&at(name), &File::create_new(at(name)).unwrap());
            }
        };
        let mut undo = Undo::new();
        make(&mut undo);
        // Somebody put another file in the place of one.
        std::fs::write(at("new"), b"another's").unwrap();
        std::fs::rename(at("new"), at("g")).unwrap();
        drop(undo);
        assert!(!at("d").exists(), "file and folder are gone");
        assert_eq!(std::fs::read(at("g")).unwrap(), b"another's");
        std::fs::remove_file(at("g")).unwrap();
        let mut undo = Undo::new();
        make(&mut undo);
        undo.keep();
        drop(undo);
        assert!(at("d/f").exists() && at("g").exists());
    }
}
