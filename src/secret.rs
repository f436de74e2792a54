//! Memory for secrets: private mappings of our own, locked into RAM, excluded from core dumps,
//! wiped before they are used again.
//!
//! Owns every byte of key material, every passphrase and every derived key that outlives one
//! function. It must never hand out memory that is not wiped on release, and never give secrets
//! a `Debug` or a `Clone`. Small slots share pages (a slab), so that 100,000 keys fit the usual
//! 8 MiB limit of locked memory; where the lock is refused the pool goes on and says so.

use crate::error::{Error, Kind, Result};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroize;

/// Slots are powers of two from 2^4 to 2^14 bytes; longer secrets get a mapping of their own.
const MIN_SHIFT: u32 = 4;
const MAX_SHIFT: u32 = 14;
const CLASSES: usize = (MAX_SHIFT - MIN_SHIFT + 1) as usize;
/// A chunk of small slots. Grown on demand.
const CHUNK: usize = 64 * 1024;

/// A pool of secret memory. Cheap to clone; all clones are the same pool.
#[derive(Clone)]
pub struct SecretPool(Arc<Mutex<Pool>>);

#[derive(Default)]
struct Pool {
    mappings: Vec<Mapping>,
    free: [Vec<NonNull<u8>>; CLASSES],
    lock_error: Option<i32>,
    warned: bool,
}

// SAFETY: the pointers are into mappings that belong to the pool alone; the mutex around the
// pool serialises all access to the lists.
unsafe impl Send for Pool {}

/// One private anonymous mapping.
struct Mapping {
    at: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize) -> Result<Mapping> {
        let len = len.next_multiple_of(4096);
        // SAFETY: a fresh anonymous private mapping at an address of the kernel's choice aliases
        // nothing.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(Error::io(
                "get memory for key material",
                format!("{len} bytes"),
                std::io::Error::last_os_error(),
            ));
        }
        let at = NonNull::new(at.cast::<u8>()).ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "get memory for key material",
                "the mapping is at address 0",
            )
        })?;
        // SAFETY: the range is exactly the mapping made above.
        unsafe { libc::madvise(at.as_ptr().cast(), len, libc::MADV_DONTDUMP) };
        Ok(Mapping { at, len })
    }

    /// Locks the pages into RAM; the errno where that is refused.
    fn lock(&self) -> Option<i32> {
        // SAFETY: the range is exactly this mapping.
        let rc = unsafe { libc::mlock(self.at.as_ptr().cast(), self.len) };
        (rc != 0).then(|| std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is exactly this mapping, and no slot of it is in use: slots keep
        // the pool, and with it the mapping, alive.
        unsafe { libc::munmap(self.at.as_ptr().cast(), self.len) };
    }
}

fn class_of(len: usize) -> Option<usize> {
    let shift = len
        .max(1)
        .next_power_of_two()
        .trailing_zeros()
        .max(MIN_SHIFT);
    (shift <= MAX_SHIFT).then(|| (shift - MIN_SHIFT) as usize)
}

impl Pool {
    fn map(&mut self, len: usize) -> Result<NonNull<u8>> {
        let mapping = Mapping::new(len)?;
        self.lock_error = self.lock_error.or(mapping.lock());
        let at = mapping.at;
        self.mappings.push(mapping);
        Ok(at)
    }

    fn take(&mut self, class: usize) -> Result<NonNull<u8>> {
        if self.free[class].is_empty() {
            let slot = 1usize << (class as u32 + MIN_SHIFT);
            let chunk = self.map(CHUNK)?;
            for i in (0..CHUNK / slot).rev() {
                // SAFETY: i * slot stays below CHUNK, the length of the mapping.
                self.free[class].push(unsafe { chunk.add(i * slot) });
            }
        }
        self.free[class].pop().ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "get memory for key material",
                "an empty chunk",
            )
        })
    }

    fn give_back(&mut self, at: NonNull<u8>, len: usize) {
        match class_of(len) {
            Some(class) => self.free[class].push(at),
            None => self.mappings.retain(|m| m.at != at),
        }
    }
}

impl Default for SecretPool {
    fn default() -> Self {
        SecretPool::new()
    }
}

impl SecretPool {
    /// An empty pool. Nothing is mapped before the first secret.
    pub fn new() -> SecretPool {
        SecretPool(Arc::new(Mutex::new(Pool::default())))
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        // A panic can't leave the lists half-changed: pushes and pops are single steps.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `len` bytes of zeroes in secret memory.
    ///
    /// # Errors
    /// The system has no memory to give.
    pub fn zeroed(&self, len: usize) -> Result<SecretBytes> {
        let short = u32::try_from(len).map_err(|_| {
            Error::new(
                Kind::InvalidInput,
                "get memory for key material",
                format!("{len} bytes are more than any secret has"),
            )
        })?;
        let mut pool = self.pool();
        let at = match class_of(len) {
            Some(class) => pool.take(class)?,
            None => pool.map(len)?,
        };
        drop(pool);
        Ok(SecretBytes {
            pool: self.clone(),
            at,
            len: short,
            capacity: short,
        })
    }

    /// A copy of `bytes` in secret memory. The caller wipes its own copy.
    ///
    /// # Errors
    /// As [`SecretPool::zeroed`].
    pub fn copy(&self, bytes: &[u8]) -> Result<SecretBytes> {
        let mut secret = self.zeroed(bytes.len())?;
        secret.copy_from_slice(bytes);
        Ok(secret)
    }

    /// `len` random bytes of the operating system in secret memory.
    ///
    /// # Errors
    /// The system's generator fails.
    pub fn random(&self, len: usize) -> Result<SecretBytes> {
        let mut secret = self.zeroed(len)?;
        fill_random(&mut secret)?;
        Ok(secret)
    }

    /// Locks all pages again. Memory locks are not inherited by a fork.
    pub fn relock(&self) {
        let mut pool = self.pool();
        // Every page is tried, whatever becomes of the others.
        let refused: Vec<i32> = pool.mappings.iter().filter_map(Mapping::lock).collect();
        pool.lock_error = refused.first().copied();
    }

    /// The sentence for the log where locking pages was refused; once for each refusal.
    pub fn take_warning(&self) -> Option<String> {
        let mut pool = self.pool();
        if pool.warned {
            return None;
        }
        pool.warned = pool.lock_error.is_some();
        pool.lock_error.map(|errno| {
            format!(
                "Key material could not be locked into memory ({}), so it may be swapped out. \
                 Raise the limit of locked memory (LimitMEMLOCK= in the systemd unit, ulimit -l).",
                std::io::Error::from_raw_os_error(errno)
            )
        })
    }
}

/// Fills `bytes` from the operating system's generator.
///
/// # Errors
/// The generator fails.
pub fn fill_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|e| {
        Error::new(
            Kind::Internal,
            "get random bytes",
            format!("the system's generator failed: {e}"),
        )
    })
}

/// A secret byte string in pool memory: wiped on drop, no `Debug`, no `Clone`.
pub struct SecretBytes {
    pool: SecretPool,
    at: NonNull<u8>,
    len: u32,
    /// The length asked for at first; decides the size class.
    capacity: u32,
}

// SAFETY: a SecretBytes owns its slot exclusively, as a Box<[u8]> would.
unsafe impl Send for SecretBytes {}
// SAFETY: shared access only reads the bytes.
unsafe impl Sync for SecretBytes {}

impl SecretBytes {
    /// Shortens the secret to `len` bytes and wipes the rest. Longer values change nothing.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len as usize {
            self[len..].zeroize();
            // Less than `self.len`.
            self.len = len as u32;
        }
    }

    /// Makes all bytes that were asked for visible again, as zeroes where they were cut off.
    pub fn restore_length(&mut self) {
        self.len = self.capacity;
    }
}

impl Deref for SecretBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the slot is at least `capacity` >= `len` bytes, initialised (mappings start
        // as zeroes) and owned by this value.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len as usize) }
    }
}

impl DerefMut for SecretBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in deref; &mut self makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.len as usize) }
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.len = self.capacity;
        self.zeroize();
        self.pool.pool().give_back(self.at, self.capacity as usize);
    }
}

/// A value of a library's type that holds a secret, as a key schedule does, in pool memory: dropped, and then wiped.
/// What has made it leaves it on the stack, which is for the caller to wipe.
pub struct SecretBox<T> {
    slot: SecretBytes,
    holds: PhantomData<T>,
}

impl<T> SecretBox<T> {
    /// Each slot is aligned to that.
    const FITS: () = assert!(align_of::<T>() <= 1 << MIN_SHIFT);

    /// Puts a value into secret memory.
    ///
    /// # Errors
    /// As [`SecretPool::zeroed`].
    pub fn new(pool: &SecretPool, value: T) -> Result<SecretBox<T>> {
        let () = Self::FITS;
        let slot = pool.zeroed(size_of::<T>())?;
        // SAFETY: the slot is as large and as aligned as a T, and owned by `slot` alone.
        unsafe { slot.at.cast::<T>().write(value) };
        let holds = PhantomData;
        Ok(SecretBox { slot, holds })
    }
}

impl<T> Deref for SecretBox<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: `new` has put a T there, and nothing else uses the slot.
        unsafe { self.slot.at.cast::<T>().as_ref() }
    }
}

impl<T> DerefMut for SecretBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in deref; &mut self makes the access exclusive.
        unsafe { self.slot.at.cast::<T>().as_mut() }
    }
}

impl<T> Drop for SecretBox<T> {
    fn drop(&mut self) {
        // SAFETY: `new` has put a T there, which is used no more; the slot is given back behind this.
        unsafe { self.slot.at.cast::<T>().drop_in_place() };
    }
}

/// Overwrites the part of the stack below the caller, where cryptographic code that has just
/// returned may have left key schedules.
#[inline(never)]
pub fn wipe_stack() {
    let mut below = [0u8; 8192];
    below.zeroize();
    std::hint::black_box(&mut below);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_wiped_and_used_again() {
        let pool = SecretPool::new();
        let secret = pool.copy(&[0xAA; 32]).unwrap();
        let at = secret.as_ptr();
        drop(secret);
        let again = pool.zeroed(32).unwrap();
        assert_eq!(again.as_ptr(), at, "the slot is reused");
        assert_eq!(&again[..], &[0; 32], "and was wiped");
    }

    #[test]
    fn a_boxed_value_is_dropped_and_wiped() {
        struct Schedule(
            [u64; 5],
            #[expect(dead_code, reason = "it is dropped")] Arc<()>,
        );
        let (pool, alive) = (SecretPool::new(), Arc::new(()));
        let mut boxed = SecretBox::new(&pool, Schedule([7; 5], alive.clone())).unwrap();
        assert_eq!(boxed.0, [7; 5]);
        // The old one is dropped, the slot stays.
        *boxed = Schedule([8; 5], alive.clone());
        let at = std::ptr::from_ref(&*boxed).cast::<u8>();
        assert_eq!((boxed.0, Arc::strong_count(&alive)), ([8; 5], 2));
        drop(boxed);
        assert_eq!(Arc::strong_count(&alive), 1);
        let again = pool.zeroed(size_of::<Schedule>()).unwrap();
        assert_eq!(again.as_ptr(), at, "the slot is reused");
        assert!(again.iter().all(|byte| *byte == 0), "and was wiped");
    }

    #[test]
    fn every_size_class_and_larger() {
        let pool = SecretPool::new();
        let secrets: Vec<_> = [0, 1, 15, 16, 17, 4096, 16384, 16385, 100_000]
            .into_iter()
            .map(|len| pool.copy(&vec![0x5A; len]).unwrap())
            .collect();
        for secret in &secrets {
            assert!(secret.iter().all(|b| *b == 0x5A));
        }
        assert_eq!(secrets[8].len(), 100_000);
    }

    #[test]
    fn truncate_wipes_the_rest() {
        let pool = SecretPool::new();
        let mut secret = pool.copy(b"0123456789").unwrap();
        secret.truncate(4);
        assert_eq!(&secret[..], b"0123");
        secret.restore_length();
        assert_eq!(&secret[..], b"0123\0\0\0\0\0\0");
    }

    #[test]
    fn pages_are_excluded_from_core_dumps() {
        let pool = SecretPool::new();
        let secret = pool.copy(&[1; 64]).unwrap();
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let address = secret.as_ptr() as usize;
        let flags = smaps
            .split("VmFlags:")
            .zip(smaps.split("VmFlags:").skip(1))
            .find_map(|(before, after)| {
                let range = before
                    .lines()
                    .rev()
                    .find(|l| l.contains('-') && l.contains(" rw"))?;
                let (start, end) = range.split(' ').next()?.split_once('-')?;
                let parse = |s| usize::from_str_radix(s, 16).ok();
                (parse(start)? <= address && address < parse(end)?)
                    .then(|| after.lines().next().unwrap_or("").to_string())
            })
            .unwrap();
        assert!(flags.contains(" dd"), "DONTDUMP is set: {flags}");
    }
}
