//! As whom doctor looks: the account that mysqld will be, or the verdicts are not the server's.

use super::Look;
use crate::os::identity::effective_uid;

pub(super) fn check(look: &mut Look<'_>) {
    match effective_uid() {
        0 => look.warn(
            "account",
            "files are looked at as root, who may read everything",
            "Name the account of mysqld: --user mysql, or a data directory of that account by --datadir.",
        ),
        uid => {
            let unknown = match look.setup.groups_unknown {
                true => "; groups that a container adds (fsGroup) are not known while no server runs",
                false => "",
            };
            look.ok(
                "account",
                format!("files are looked at as user {uid}, with no other rights{unknown}"),
            );
        }
    }
}
