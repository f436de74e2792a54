//! What is configured of the log.
//!
//! Owns the options' meaning, not their names. It must never hold a secret.

use std::path::PathBuf;

/// Which reads are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// None. Refused ones are told all the same.
    None,
    /// One line for each caller, key and minute.
    #[default]
    Summary,
    /// Each by itself.
    All,
}

impl Reads {
    /// All of them, with the configuration's words.
    pub const WORDS: [(&'static str, Reads); 3] = [
        ("none", Reads::None),
        ("summary", Reads::Summary),
        ("all", Reads::All),
    ];

    /// The configuration's word.
    pub fn name(self) -> &'static str {
        match self {
            Reads::None => "none",
            Reads::Summary => "summary",
            Reads::All => "all",
        }
    }
}

/// Where the lines go beside the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syslog {
    /// Nowhere.
    #[default]
    None,
    /// Checkpoints alone: whoever keeps them can tell a cut end.
    Checkpoints,
    /// Every line.
    All,
}

impl Syslog {
    /// All of them, with the configuration's words.
    pub const WORDS: [(&'static str, Syslog); 3] = [
        ("none", Syslog::None),
        ("checkpoints", Syslog::Checkpoints),
        ("all", Syslog::All),
    ];
}

/// How the log is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `audit_file`: the file, absolute.
    pub file: PathBuf,
    /// `audit_reads`: which reads are told.
    pub reads: Reads,
    /// `audit_required`: accounts' calls are refused while the log can't be written.
    pub required: bool,
    /// `audit_rotate_size`: bytes after which another file is begun.
    pub rotate_size: u64,
    /// `audit_keep`: how many files that are full are kept; 0: all.
    pub keep: u32,
    /// `audit_group_readable`: the file's group may read it.
    pub group_readable: bool,
    /// `audit_syslog`: what goes to syslog as well.
    pub syslog: Syslog,
}

impl Settings {
    /// A log in this file, with all else as it is where nothing is said.
    pub fn at(file: PathBuf) -> Settings {
        Settings {
            file,
            reads: Reads::default(),
            required: false,
            rotate_size: Settings::SIZE,
            keep: Settings::KEEP,
            group_readable: false,
            syslog: Syslog::default(),
        }
    }

    /// Smallest `audit_rotate_size`.
    pub const MIN_SIZE: u64 = 64 << 10;
    /// Largest `audit_rotate_size`.
    pub const MAX_SIZE: u64 = 4 << 30;
    /// `audit_rotate_size`, if nothing else is said.
    pub const SIZE: u64 = 64 << 20;
    /// `audit_keep`, if nothing else is said: nothing is thrown away.
    pub const KEEP: u32 = 0;
    /// Largest `audit_keep`.
    pub const MOST_KEPT: u64 = 100_000;
}
