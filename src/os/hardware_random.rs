//! Random bytes of this machine's own hardware.
//!
//! Owns the two ways to them: the processor's instruction (RDSEED), and the kernel's device (/dev/hwrng) where there is no
//! such instruction. It must never wait for them: what they don't give at once is an error. They are never used alone.

use crate::error::{Error, Kind, Result};
use crate::secret::{SecretBytes, SecretPool};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

const OP: &str = "get random bytes of the hardware";
const DEVICE: &str = "/dev/hwrng";

/// `length` bytes.
///
/// # Errors
/// Config: this machine has neither, or its account may not use the device. Io: it gives nothing now.
pub fn bytes(pool: &SecretPool, length: usize) -> Result<SecretBytes> {
    let mut bytes = pool.zeroed(length)?;
    match instruction(&mut bytes) {
        Some(true) => return Ok(bytes),
        Some(false) => {
            let why = "the processor gives none at the moment (RDSEED)";
            return Err(Error::new(Kind::Io, OP, why).hint("Try again."));
        }
        None => {}
    }
    device(&mut bytes)?;
    Ok(bytes)
}

/// What this machine has, in a word; `None`: nothing.
pub fn source() -> Option<&'static str> {
    let mut none = [];
    match instruction(&mut none) {
        Some(_) => Some("RDSEED"),
        None => open().is_ok().then_some(DEVICE),
    }
}

/// Fills `bytes` by RDSEED; `None`: the processor has no such instruction.
#[cfg(target_arch = "x86_64")]
fn instruction(bytes: &mut [u8]) -> Option<bool> {
    /// It fails where many ask at once; Intel's guide recommends to pause and try again.
    const TRIES: u32 = 1000;
    if !std::arch::is_x86_feature_detected!("rdseed") {
        return None;
    }
    for part in bytes.chunks_mut(8) {
        let mut word = 0;
        // SAFETY: the processor has the instruction.
        let filled = (0..TRIES).any(|_| unsafe {
            let ok = seed(&mut word);
            if !ok {
                std::arch::x86_64::_mm_pause();
            }
            ok
        });
        if !filled {
            return Some(false);
        }
        part.copy_from_slice(&word.to_le_bytes()[..part.len()]);
        zeroize::Zeroize::zeroize(&mut word);
    }
    Some(true)
}

/// One word of RDSEED.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "rdseed")]
fn seed(word: &mut u64) -> bool {
    std::arch::x86_64::_rdseed64_step(word) == 1
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction(_: &mut [u8]) -> Option<bool> {
    None
}

fn open() -> Result<File> {
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW);
    let file = options.open(DEVICE).map_err(|e| {
        Error::io(OP, DEVICE, e)
            .with_kind(Kind::Config)
            .hint("This machine has no RDSEED, and mysqld's account can't read the device: let a udev rule give it to that account's group, or take random=hardware out.")
    })?;
    let kind = file.metadata().map(|m| m.file_type());
    match kind.is_ok_and(|kind| kind.is_char_device()) {
        true => Ok(file),
        false => Err(Error::new(
            Kind::Config,
            OP,
            format!("{DEVICE} is no device"),
        )),
    }
}

fn device(bytes: &mut [u8]) -> Result<()> {
    let mut file = open()?;
    file.read_exact(bytes).map_err(|e| {
        Error::io(OP, DEVICE, e)
            .with_kind(Kind::Io)
            .hint("It gives nothing at the moment. Try again.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_the_hardware_differ_each_time() {
        let pool = SecretPool::new();
        let Some(source) = source() else {
            println!("SKIPPED: this machine has neither RDSEED nor a readable /dev/hwrng");
            let e = bytes(&pool, 32).err().unwrap();
            assert_eq!(e.kind(), Kind::Config);
            return;
        };
        println!("{source}");
        let (a, b) = (bytes(&pool, 32).unwrap(), bytes(&pool, 33).unwrap());
        assert_ne!(a[..], b[..32]);
        assert!(a[..] != [0; 32] && b[32..].len() == 1);
    }
}
