//! The list of options: the general ones, and those of every driver.
//!
//! Owns the list that JSON, option files, plugin variables and the tool are read with. It must never name a provider.

use super::OP;
use crate::error::{Error, Kind};
use crate::kek::drivers::{DRIVERS, NAMES, count_options};
use crate::options::{OptionSpec, ValueKind, same};
use crate::text::{as_text, joined, nearest, shorten, total};

/// What `backend` is for.
const BACKEND_HELP: &str = {
    const PIECES: [&str; 2] = ["Where keys live: ", NAMES];
    const BYTES: [u8; total(&PIECES)] = joined(&PIECES);
    as_text(&BYTES)
};

/// The options that no provider has.
pub const GENERAL: &[OptionSpec] = &[
    OptionSpec::general("backend", ValueKind::Text, BACKEND_HELP).about("Required"),
    OptionSpec::general("path", ValueKind::Text, "The keyring file, an absolute path").about("the keyring file, absolute. Required. Its folder must exist; put it outside the data directory"),
    OptionSpec::general("read_only", ValueKind::Bool, "Accept no writes").about("accept no writes, take no lock, touch nothing on disk. The file must exist. Default false"),
    OptionSpec::general("fingerprint", ValueKind::List, "The DEK that the file must have, as keyring-ward status shows it; several, separated by commas").about("32 hexadecimal digits from `keyring-ward status`, or a list of such (JSON: an array; else separated by commas): open no other keyring than these. Optional"),
    OptionSpec::general("start_timeout", ValueKind::Number, "Seconds that a KEK may take while the server starts").about("seconds that the server's start may wait: for a KEK on another machine, attempts and all, and for a lock that the old server still holds, a volume that is not mounted yet or a secret that is not there yet; 1 to 3,600, default 60"),
    OptionSpec::general("timeout", ValueKind::Number, "Seconds that a KEK may take at any other time").about("the same at any other time; default 10. The whole server waits as long during a RELOAD"),
    OptionSpec::general("keks", ValueKind::List, "The names of several KEKs, each with a group [keyring_ward_kek_NAME]").about("several KEKs instead of `backend` and a section ([several KEKs](../guide/several-keks.md)): in JSON a list of objects; in my.cnf their names, separated by commas, each with a group `[keyring_ward_kek_NAME]`; 1 to 16"),
    OptionSpec::general("threshold", ValueKind::Number, "How many of several KEKs are needed to open the keyring").about("how many of `keks` are needed to open the keyring; default 1: each opens it. More, and the DEK is split: each KEK has a share"),
    OptionSpec::general("region", ValueKind::Text, "Where this server is: KEKs of the same region are tried first").about("where this server is: KEKs with the same `region` are tried first"),
    OptionSpec::general("config_file", ValueKind::Text, "For the plugin only: a JSON file with the configuration").about("for the plugin only: a JSON file, as the component has one, with the configuration; variables that are set as well lie over it"),
    OptionSpec::general("lease", ValueKind::Number, "Seconds that the keyring serves after its KEKs refuse their use; 0: for ever").about("seconds that the keyring serves after its KEKs refuse their use ([lease](../guide/lease.md)); they are asked every third of it. 3 to 86,400, or 0 for no lease (the default). Only with KEKs that can refuse: no passphrase, key file or identity on this machine among them"),
    OptionSpec::general("grace", ValueKind::Number, "Seconds that the keyring serves while its KEKs can't be reached; not given: for ever").about("with a lease: seconds that the keyring serves while too few KEKs answer, for whatever reason; not shorter than the lease. Not given or 0: an outage ends nothing"),
    OptionSpec::general("on_revocation", ValueKind::Text, "What happens when a lease has ended: disable or shutdown").about("when a lease has ended: `disable` (the default: keys are wiped, calls fail until a RELOAD opens the keyring) or `shutdown` (the server is told to stop as well)"),
    OptionSpec::general("random", ValueKind::Text, "Whose random bytes a new DEK has beside the system's: system, kek or hardware").about("whose random bytes are mixed with the system's ([randomness](../guide/randomness.md)): `system` (nobody's), `kek` (those of a KEK with a generator) or `hardware` (RDSEED, else /dev/hwrng). They go into new DEKs. Default `system`; with pkcs11 `kek`"),
    OptionSpec::general("random_keys", ValueKind::Bool, "These random bytes go into every generated key too").about("they go into every generated key, too, out of a reserve that is filled outside of writes. Default false"),
    OptionSpec::general("max_size", ValueKind::Number, "Bytes that all keys together may take before keys of accounts are refused").about("bytes that all keys together may take; beyond it keys of accounts are refused. 65,536 to 1,073,741,824, default 268,435,456 (256 MiB, about two million AES keys); `256M` in option files"),
    OptionSpec::general("max_owner_size", ValueKind::Number, "Bytes that the keys of one account may take").about("bytes that the keys of one account may take; default 16,777,216 (16 MiB)"),
    OptionSpec::general("audit_file", ValueKind::Text, "The audit log, an absolute path; not given: there is none").about("the audit log ([audit](../guide/audit.md)): a file of its own, absolute, outside the data directory, in a folder that mysqld's account can write. Not given: there is no log"),
    OptionSpec::general("audit_reads", ValueKind::Text, "Which reads of keys the audit log tells: none, summary or all").about("which reads of keys the log tells: `none`, `summary` (one line for each caller, key and minute; the default) or `all`. Refused ones, changes and administration are told always"),
    OptionSpec::general("audit_required", ValueKind::Bool, "Refuse the calls of accounts while the audit log can't be written").about("refuse what accounts ask for while the log can't be written; the server's own calls go on. Default false"),
    OptionSpec::general("audit_rotate_size", ValueKind::Number, "Bytes after which another file of the audit log is begun").about("bytes after which another file is begun; the full one gets a name that tells when. 65,536 to 4,294,967,296, default 67,108,864 (64 MiB)"),
    OptionSpec::general("audit_keep", ValueKind::Number, "How many full files of the audit log are kept; 0: all").about("how many full files are kept, 0 to 100,000; the oldest are removed. Default 0: all are kept"),
    OptionSpec::general("audit_group_readable", ValueKind::Bool, "The audit log's group may read it").about("the log's group may read it (mode 0640 instead of 0600). Default false"),
    OptionSpec::general("audit_syslog", ValueKind::Text, "What of the audit log goes to syslog as well: none, checkpoints or all").about("what goes to syslog (or journald) as well: `none` (the default), `checkpoints` or `all` lines"),
    OptionSpec::general("retain_removed", ValueKind::Number, "Days for which removed keys that files may still need are kept").about("days for which keys that files may still need are kept when they are removed: InnoDB's master keys, the numbered keys of the binary log, destroyed versions of logical keys ([the life of a key](../guide/key-lifecycle.md)). 0 to 3,650, default 30; 0: they are gone at once"),
    OptionSpec::general("policy_file", ValueKind::Text, "The access policy, a JSON file, an absolute path").about("the access policy ([policy](policy.md)): a JSON file, absolute, root's. Not given: each account has its own keys, as MySQL has it. A file that the account of mysqld can write (the data directory's, an option file that is not root's) can't name it"),
];

/// How many options this version has.
const COUNT: usize = GENERAL.len() + count_options();

/// Every option of this version, once: the general ones, then those of each driver.
pub const OPTIONS: [OptionSpec; COUNT] = {
    let mut all = [GENERAL[0]; COUNT];
    let (mut count, mut i) = (0, 0);
    while i < GENERAL.len() {
        all[count] = GENERAL[i];
        count += 1;
        i += 1;
    }
    let mut d = 0;
    while d < DRIVERS.len() {
        let mut i = 0;
        while i < DRIVERS[d].options.len() {
            all[count] = DRIVERS[d].options[i];
            count += 1;
            i += 1;
        }
        d += 1;
    }
    all
};

/// The place in [`OPTIONS`] of an option that must be there, while the program is compiled.
pub const fn place_of(name: &str) -> usize {
    let mut i = 0;
    while !same(OPTIONS[i].name, name) {
        i += 1;
    }
    i
}

/// The index of an option by a test on its specification.
pub fn find_option(test: impl Fn(&OptionSpec) -> bool) -> Option<usize> {
    OPTIONS.iter().position(test)
}

/// The error for an unknown name, with the nearest known one as a suggestion.
pub(super) fn unknown<'a>(name: &str, origin: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let hint = match nearest(name, known) {
        Some(k) => format!("Did you mean '{k}'?"),
        None => "docs/reference/configuration.md lists the names.".into(),
    };
    Error::new(
        Kind::Config,
        OP,
        format!("'{}' is not an option (in {origin})", shorten(name)),
    )
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions() {
        let e = unknown("file_pasphrase_file", "x", OPTIONS.iter().map(|o| o.name));
        assert!(
            e.to_string()
                .contains("Did you mean 'file_passphrase_file'?"),
            "{e}"
        );
        let e = unknown("zzzzzzzzzzz", "x", OPTIONS.iter().map(|o| o.name));
        assert!(e.to_string().contains("configuration.md"), "{e}");
    }
}
