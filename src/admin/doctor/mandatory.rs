//! AppArmor and SELinux: whether they confine mysqld, as far as that shows from here.

use super::Look;
use super::rights::needed_files;
use crate::config::Config;

const WHAT: &str = "AppArmor, SELinux";
/// What Oracle's AppArmor profile allows for keyrings.
const APPARMOR_ALLOWS: &str = "/var/lib/mysql-keyring/";

pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    let profiles = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles");
    let confined = profiles
        .unwrap_or_default()
        .lines()
        .any(|l| l.contains("mysqld") && l.contains("(enforce)"));
    let enforcing =
        std::fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|t| t.trim() == "1");
    let mut files = needed_files(config);
    files.push(config.path.clone());
    let outside: Vec<String> = files
        .iter()
        .filter(|f| !f.starts_with(APPARMOR_ALLOWS))
        .map(|f| format!("'{}'", f.display()))
        .collect();
    match (confined, enforcing, outside.is_empty()) {
        (true, _, false) => look.warn(
            WHAT,
            format!(
                "AppArmor confines mysqld, and its profile may not allow {}",
                outside.join(", ")
            ),
            "See contrib/apparmor.",
        ),
        (_, true, _) => look.warn(
            WHAT,
            "SELinux is enforcing: files need the type mysqld_db_t",
            "See contrib/selinux.",
        ),
        (true, _, true) => look.ok(
            WHAT,
            format!("AppArmor confines mysqld; everything lies below {APPARMOR_ALLOWS}"),
        ),
        _ => look.ok(WHAT, "neither confines mysqld, as far as this process sees"),
    }
}
