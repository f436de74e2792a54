//! Examples of each command: the end of its help, and a section of its man page. A test parses each of them.

use keyring_ward::kek::drivers::{DRIVERS, Driver};

/// Of `keyring-ward` itself.
pub const ALL: &str = "Examples:
  keyring-ward init --path /var/lib/mysql-keyring/keyring.ward --passphrase-file /var/lib/mysql-keyring/passphrase --generate --user mysql
  keyring-ward doctor --plugin-dir /usr/lib/mysql/plugin --datadir /var/lib/mysql
  keyring-ward status --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --json";

/// A keyring, its KEK and the configuration to print: one for each driver.
pub fn init() -> String {
    const PATH: &str = "/var/lib/mysql-keyring/keyring.ward";
    const DRY: &str = "--config /usr/lib/mysql/plugin/component_keyring_ward.cnf --dry-run";
    let of = |driver: &&Driver| format!("  keyring-ward init --path {PATH} {}", driver.example);
    let mut lines: Vec<String> = DRIVERS.iter().map(of).collect();
    lines.insert(1, format!("  keyring-ward init {DRY}"));
    format!("Examples:\n{}", lines.join("\n"))
}

pub const STATUS: &str = "Examples:
  keyring-ward status --config /usr/lib/mysql/plugin/component_keyring_ward.cnf
  keyring-ward status --plugin-dir /usr/lib/mysql/plugin --datadir /var/lib/mysql --json
  keyring-ward status --plugin-dir /usr/lib/mysql/plugin --datadir /var/lib/mysql --prometheus";

pub const LIST: &str = "Examples:
  keyring-ward list --config /usr/lib/mysql/plugin/component_keyring_ward.cnf
  keyring-ward list --path /var/lib/mysql-keyring/keyring.ward --passphrase-file /var/lib/mysql-keyring/passphrase --json";

pub const VERIFY: &str = "Examples:
  keyring-ward verify --config /usr/lib/mysql/plugin/component_keyring_ward.cnf
  keyring-ward verify --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --path /backup/keyring.ward

Exit code 3: all that is there is authentic, but the end is cut off. A copy that ends between two records can't be told from a
whole one by itself: compare Last_record of keyring-ward status with the original's.";

pub const PROVE: &str = "Examples:
  keyring-ward prove /var/lib/mysql
  keyring-ward prove /backup/2026-11-30 --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --path /backup/keyring.ward --pages
  keyring-ward prove /var/lib/mysql /var/log/mysql --json
  keyring-ward prove /backup/2026-11-30 --names-only

Exit codes: 0 every file that was found opens, 5 the keyring lacks a key, 6 it has another key under a name, 7 a file could not be
read or is damaged; the first of 5, 6 and 7 that is true.";

pub const REKEY: &str = "Examples:
  keyring-ward rekey --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --new-passphrase-file /var/lib/mysql-keyring/passphrase.2 --generate
  keyring-ward rekey --config OLD.cnf --new-config NEW.cnf --dry-run

--generate never takes a secret or key that exists, and the new KEK must be another one than the old: after a leak the file is
really under a secret that nobody has.";

pub const RESEAL: &str = "Examples:
  keyring-ward reseal --config /usr/lib/mysql/plugin/component_keyring_ward.cnf
  keyring-ward reseal --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --purge-retired --dry-run";

pub const CHECK: &str = "Examples:
  keyring-ward check --rotation --config /usr/lib/mysql/plugin/component_keyring_ward.cnf
  keyring-ward check --rotation --warning 30 --critical 0 --master-keys 365

Exit codes as Nagios' plugins have them: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (the keyring could not be opened).";

pub const DOCTOR: &str = "Examples:
  keyring-ward doctor --plugin-dir /usr/lib/mysql/plugin --datadir /var/lib/mysql
  keyring-ward doctor --plugin-dir /usr/lib/mysql/plugin --datadir /var/lib/mysql --json";

pub const IMPORT: &str = "Examples:
  keyring-ward import --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --from /var/lib/mysql-keyring/component_keyring_file --dry-run
  keyring-ward import --config NEW.cnf --from-config OLD.cnf";

pub const EXPORT: &str = "Examples:
  keyring-ward export --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --to /var/lib/mysql-keyring/component_keyring_file --plaintext";

pub const REMOVE: &str = "Examples:
  keyring-ward remove --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name old --owner app@localhost --dry-run
  keyring-ward remove --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name old --owner app@localhost";

pub const REOWN: &str = "Examples:
  keyring-ward reown --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --from app@localhost --to app@% --dry-run
  keyring-ward reown --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --from app@localhost --to app@%

An empty account is the server itself. Its keys are those of InnoDB and the binary log: under an account's name the server does not
find them, and may not start. Only --server-key allows that.";

pub const COMPACT: &str = "Examples:
  keyring-ward compact --config /usr/lib/mysql/plugin/component_keyring_ward.cnf";

pub const COMPLETIONS: &str = "Examples:
  keyring-ward completions bash";

pub const AUDIT: &str = "Examples:
  keyring-ward audit public-key --config /usr/lib/mysql/plugin/component_keyring_ward.cnf
  keyring-ward audit verify /var/log/mysql-keyring/audit.log --public-key audit.pem";

pub const AUDIT_VERIFY: &str = "Examples:
  keyring-ward audit verify /var/log/mysql-keyring/audit.log --public-key audit.pem
  keyring-ward audit verify /var/log/mysql-keyring/audit.log --with-keyring --config /usr/lib/mysql/plugin/component_keyring_ward.cnf

Exit codes: 0 good, 8 good, but reads or refusals are missing as it says, 9 it was tampered with, is damaged, has no signature, or a chain
began anew without --accept.";

pub const AUDIT_SHOW: &str = "Examples:
  keyring-ward audit show /var/log/mysql-keyring/audit.log --last 20
  keyring-ward audit show /var/log/mysql-keyring/audit.log --account app@% --event denied --since 12h --json";

pub const AUDIT_FOLLOW: &str = "Examples:
  keyring-ward audit follow /var/log/mysql-keyring/audit.log --event denied";

pub const AUDIT_EXPORT: &str = "Examples:
  keyring-ward audit export /var/log/mysql-keyring/audit.log --since 2026-11-01 --until 2026-12-01";

pub const AUDIT_EXPOSED: &str = "Examples:
  keyring-ward audit exposed /var/log/mysql-keyring/audit.log --account app@% --since 52w";

pub const AUDIT_PUBLIC_KEY: &str = "Examples:
  keyring-ward audit public-key --config /usr/lib/mysql/plugin/component_keyring_ward.cnf";

pub const KEK: &str = "Examples:
  keyring-ward kek list --config /usr/lib/mysql/plugin/component_keyring_ward.cnf
  keyring-ward kek drill paper --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --kek-option paper.identity_file=/media/safe/recovery.txt";

pub const KEK_LIST: &str = "Examples:
  keyring-ward kek list --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --json";

pub const POLICY_CHECK: &str = "Examples:
  keyring-ward policy check /etc/mysql/keyring-policy.json
  keyring-ward policy explain /etc/mysql/keyring-policy.json --account app@% --key app@%/ssn --operation fetch
  keyring-ward policy test /etc/mysql/keyring-policy.json --expect expectations.json

Nothing is changed. A server reads its policy when it loads its keyring, and at ALTER INSTANCE RELOAD KEYRING.";

pub const POLICY_EXPLAIN: &str = "Examples:
  keyring-ward policy explain /etc/mysql/keyring-policy.json --account app@% --key app@%/ssn --operation fetch --server-function
  keyring-ward policy explain /etc/mysql/keyring-policy.json --account report@% --login bob@10.0.0.7 --from 10.0.0.7 --key app@%/ssn --operation use --privilege KEYRING_WARD_USE_HR --at 2026-11-30T02:00:00+01:00

The answer is followed by the rules about that key and operation, and why each is about the request or is not.";

pub const POLICY_TEST: &str = "Examples:
  keyring-ward policy test /etc/mysql/keyring-policy.json --expect expectations.json

A row of the table is an object: account, operation, expect (\"allow\" or \"deny\", and behind it the rule's name where that matters);
login, from, key (owner/name), at, privileges, environment where they matter. Exit code 8: an expectation is not met.";

pub const TRANSLATE: &str = "Examples:
  keyring-ward config translate /etc/mysql/my.cnf
  keyring-ward config translate /etc/my.cnf --json

Nothing is written, and no password is shown.";

pub const KEK_TEST: &str = "Examples:
  keyring-ward kek test --config /usr/lib/mysql/plugin/component_keyring_ward.cnf
  keyring-ward kek test --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --rank 9
  keyring-ward kek test --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --recovery --kek-option paper.identity_file=/media/safe/recovery.txt";

pub const KEK_ADD: &str = "Examples:
  keyring-ward kek add paper --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --dry-run
  keyring-ward kek add paper --config /usr/lib/mysql/plugin/component_keyring_ward.cnf

Write the KEK into the configuration first. The DEK stays the same.";

pub const KEK_REMOVE: &str = "Examples:
  keyring-ward kek remove old --config /usr/lib/mysql/plugin/component_keyring_ward.cnf

The file gets a new DEK: whoever has the KEK and an old copy of the file can't open later ones with what that copy gives.";

pub const KEK_SYNC: &str = "Examples:
  keyring-ward kek sync --config /usr/lib/mysql/plugin/component_keyring_ward.cnf";

pub const KEK_DRILL: &str = "Examples:
  keyring-ward kek drill paper --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --kek-option paper.identity_file=/media/safe/recovery.txt
  keyring-ward kek drill aws hsm --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --path /backup/keyring.ward";

pub const KEY: &str = "Examples:
  keyring-ward key create --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --rotate-every 90
  keyring-ward key list --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --due

docs/guide/key-lifecycle.md tells what logical keys are.";

pub const KEY_CREATE: &str = "Examples:
  keyring-ward key create --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --rotate-every 90 --environment production
  keyring-ward key create --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name tmp --owner app@% --follow --temporary 30d --dry-run";

pub const KEY_ADOPT: &str = "Examples:
  keyring-ward key adopt --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --rotate-every 90
  keyring-ward key adopt --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --versions --id 9f86d081884c7d659a2feaa0c55ad015";

pub const KEY_ROTATE: &str = "Examples:
  keyring-ward key rotate --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@%
  keyring-ward key rotate --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --pending";

pub const KEY_ACTIVATE: &str = "Examples:
  keyring-ward key activate --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --version 2";

pub const KEY_LIST: &str = "Examples:
  keyring-ward key list --config /usr/lib/mysql/plugin/component_keyring_ward.cnf
  keyring-ward key list --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --due --json
  keyring-ward key list --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --retired";

pub const KEY_SHOW: &str = "Examples:
  keyring-ward key show --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@%";

pub const KEY_SET: &str = "Examples:
  keyring-ward key set --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --rotate-every 30 --environment production
  keyring-ward key set --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name tmp --owner app@% --expires 2w";

pub const KEY_DESTROY: &str = "Examples:
  keyring-ward key destroy --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --version 1
  keyring-ward key destroy --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --version 1 --days 90
  keyring-ward key destroy --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --now

Without --now nothing is destroyed: a date is noted, from which on --now does it. Nothing does it by itself. A current version goes
with the whole key only.";

pub const KEY_CANCEL: &str = "Examples:
  keyring-ward key cancel --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --version 1";

pub const KEY_DROP: &str = "Examples:
  keyring-ward key drop --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --version 3";

pub const KEY_RESTORE: &str = "Examples:
  keyring-ward key restore --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn@1 --owner app@%
  keyring-ward key restore --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name INNODBKey-01234567-89ab-cdef-0123-456789abcdef-1 --removal 1";

pub const KEY_RETIRE: &str = "Examples:
  keyring-ward key retire --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --dry-run /var/lib/mysql
  keyring-ward key retire --config /usr/lib/mysql/plugin/component_keyring_ward.cnf /var/lib/mysql /backup/full
  keyring-ward key retire --beside-server /var/lib/mysql";

pub const KEY_COMPROMISE: &str = "Examples:
  keyring-ward key compromise --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --version 1";

pub const KEY_HOLD: &str = "Examples:
  keyring-ward key hold --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --reason 2027-117
  keyring-ward key hold --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@% --release";

pub const KEY_CHECK: &str = "Examples:
  keyring-ward key check --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name ssn --owner app@%";

pub const TRANSPORT: &str = "Examples:
  keyring-ward transport list --config /usr/lib/mysql/plugin/component_keyring_ward.cnf
  keyring-ward transport request --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name replicas

A running server does the same by keyring_ward_transport_request(), _new(), _accept(), _seal(), _confirm(), _list() and _remove().";

pub const TRANSPORT_REQUEST: &str = "Examples:
  keyring-ward transport request --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name replicas";

pub const TRANSPORT_NEW: &str = "Examples:
  keyring-ward transport new --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name replicas --public kwtransport1KEY";

pub const TRANSPORT_ACCEPT: &str = "Examples:
  keyring-ward transport accept --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --message - --fingerprint 0123-4567-89ab-cdef-0123-4567-89ab-cdef
  keyring-ward transport accept --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --message S1dUUg== --server-uuid 01234567-89ab-cdef-0123-456789abcdef";

pub const TRANSPORT_SEAL: &str = "Examples:
  keyring-ward transport seal --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --transport replicas --name ssn --owner app@% --version 2";

pub const TRANSPORT_CONFIRM: &str = "Examples:
  keyring-ward transport confirm --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --receipt -";

pub const TRANSPORT_LIST: &str = "Examples:
  keyring-ward transport list --config /usr/lib/mysql/plugin/component_keyring_ward.cnf";

pub const TRANSPORT_REMOVE: &str = "Examples:
  keyring-ward transport remove --config /usr/lib/mysql/plugin/component_keyring_ward.cnf --name replicas-2026";

pub const HSM: &str = "Examples:
  keyring-ward hsm list --module /usr/lib/softhsm/libsofthsm2.so
  keyring-ward hsm test --module /usr/lib/softhsm/libsofthsm2.so --token-label ward --pin-file /var/lib/mysql-keyring/pin";

pub const HSM_LIST: &str = "Examples:
  keyring-ward hsm list --module /usr/lib/softhsm/libsofthsm2.so --timeout 30";

pub const HSM_KEYS: &str = "Examples:
  keyring-ward hsm keys --module /usr/lib/softhsm/libsofthsm2.so --token-label ward --pin-file /var/lib/mysql-keyring/pin";

pub const HSM_TEST: &str = "Examples:
  keyring-ward hsm test --module /usr/lib/softhsm/libsofthsm2.so --token-label ward --pin-file /var/lib/mysql-keyring/pin";

pub const RESET_MARKER: &str = "Examples:
  keyring-ward reset-marker --datadir /var/lib/mysql";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use keyring_ward::kek::drivers::DRIVERS;

    /// Checks the examples of a command and of those below it; gives their number.
    fn check(command: &clap::Command) -> usize {
        let text = command.get_after_help().map(ToString::to_string);
        let text = text.unwrap_or_else(|| panic!("{} has no examples", command.get_name()));
        let examples = text.lines().filter_map(|line| line.strip_prefix("  "));
        let mut count = 0;
        for example in examples {
            crate::Cli::try_parse_from(example.split(' '))
                .map(drop)
                .unwrap_or_else(|e| panic!("{example}: {e}"));
            count += 1;
        }
        assert!(count > 0, "{}", command.get_name());
        let below = command.get_subcommands().filter(|c| !c.is_hide_set());
        count + below.map(check).sum::<usize>()
    }

    #[test]
    fn every_command_has_examples_that_it_understands() {
        assert!(check(&crate::Cli::command()) > 25);
    }

    #[test]
    fn the_example_of_each_driver_is_a_whole_configuration_of_it() {
        for driver in DRIVERS {
            let example = format!("keyring-ward init --path /k/f {}", driver.example);
            let cli = crate::Cli::try_parse_from(example.split(' ')).unwrap();
            let (keyring, _) = cli.command.keyring().unwrap();
            let config = keyring.config().unwrap();
            assert_eq!(config.backend(), driver.name);
        }
    }
}
