//! The vendors' official Python clients, run against a fake of ours. A module of tests.
//!
//! Owns where they are (scripts/lib.sh installs them) and what it means that they are not there.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter of the environment that has them: `KW_CLOUD_CLIENTS`, else what `scripts/test.sh unit` has installed.
/// `None` only where it is not there and this is not CI.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("KW_CLOUD_CLIENTS").map(PathBuf::from);
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("mysql-test/.work/clouds");
    let python = named.unwrap_or(installed).join("bin/python");
    if python.exists() {
        return Some(python);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "the clouds' official clients are required in CI: scripts/test.sh unit installs them"
    );
    println!("SKIPPED: no official clients here (scripts/test.sh unit installs them)");
    None
}

/// What `tests/support/clouds/SCRIPT` printed with these arguments; it must end well. `None`: skipped, see [`python`].
pub fn run(script: &str, arguments: &[&str]) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/clouds");
    let mut command = Command::new(python()?);
    // Nothing of this machine's own accounts, and no proxy.
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.arg("-B").arg(folder.join(script)).args(arguments);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {text}\n{errors}");
    println!("{text}");
    Some(text)
}
