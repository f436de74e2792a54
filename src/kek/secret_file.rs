//! Reading a secret from a file or a systemd credential, straight into secret memory.
//!
//! Owns the checks on such files: absolute path, regular, no symbolic link, nobody else may read
//! it, bounded length. It must never copy the secret into ordinary memory.

use crate::config::SecretRef;
use crate::error::{Error, Kind, Result};
use crate::secret::{SecretBytes, SecretPool};
use crate::sys::{self, Access};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Longest secret file in bytes.
pub const MAX_SECRET: u64 = 65_536;

/// Reads the secret.
///
/// # Errors
/// Config: no such credential. NotFound, Permission, InvalidInput, Io: what is wrong with the file.
pub fn read(pool: &SecretPool, what: &'static str, source: &SecretRef) -> Result<SecretBytes> {
    let path = match source {
        SecretRef::File(path) => path.clone(),
        SecretRef::Credential(name) => credential_path(name)?,
        SecretRef::Held(held) => return pool.copy(held.bytes()),
    };
    let fail = |e| {
        Error::io(what, format!("'{}'", path.display()), e).hint(
            "Name a regular file that the account of mysqld owns, with mode 0600 or 0400. Nothing \
             of the keyring was changed.",
        )
    };
    let (mut file, meta) = sys::open(&path, Access::Read).map_err(fail)?;
    // systemd serves credentials with an ACL, whose mask shows as the group's bits.
    let forbidden = match source {
        SecretRef::File(_) => 0o077,
        SecretRef::Credential(_) | SecretRef::Held(_) => 0o037,
    };
    if meta.mode() & forbidden != 0 {
        return Err(Error::new(
            Kind::Permission,
            what,
            format!(
                "'{}' has mode {:04o}: others can get at it",
                path.display(),
                meta.mode() & 0o7777
            ),
        )
        .hint(format!(
            "Run: chmod 600 '{}'. Consider the secret as known and change it.",
            path.display()
        )));
    }
    if meta.len() > MAX_SECRET {
        return Err(Error::new(
            Kind::InvalidInput,
            what,
            format!(
                "'{}' has {} bytes, the limit is {MAX_SECRET}",
                path.display(),
                meta.len()
            ),
        )
        .hint("Is this the right file?"));
    }
    // One byte more than its size, to see the end; a file in /proc or a pipe reports size 0.
    let mut secret = pool.zeroed((meta.len() as usize).max(4096) + 1)?;
    let mut filled = 0;
    loop {
        match file.read(&mut secret[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(fail(e)),
        }
        if filled == secret.len() {
            return Err(Error::new(
                Kind::InvalidInput,
                what,
                format!("'{}' grew while it was read", path.display()),
            ));
        }
    }
    let mut exact = pool.zeroed(filled)?;
    exact.copy_from_slice(&secret[..filled]);
    Ok(exact)
}

fn credential_path(name: &str) -> Result<PathBuf> {
    const OP: &str = "read the systemd credential";
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(Error::new(
            Kind::Config,
            OP,
            format!("'{name}' is not a name of a credential"),
        )
        .hint("Write credential:NAME, as in LoadCredentialEncrypted=NAME:…"));
    }
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        Error::new(
            Kind::Config,
            OP,
            format!("'{name}': systemd gave this process no credentials"),
        )
        .hint("Add LoadCredential= or LoadCredentialEncrypted= to the unit that starts mysqld.")
    })?;
    Ok(PathBuf::from(folder).join(name))
}
