//! A journal is read in pieces: a window of bounded size that moves over it.
//!
//! Owns the buffer between the file and `scan`. It must never hold more than `CAPACITY` bytes, whatever size a
//! file claims to have: nobody has authenticated that size.

use crate::error::{Error, Kind, Result};
use crate::format::frame::MAX_FRAME;
use std::io::{self, Read};

/// What is seen at once: a whole frame and one byte more, which tells whether it is the last one.
pub const LOOK: usize = MAX_FRAME + 1;
/// What is held at once.
const CAPACITY: usize = 256 * 1024;
const _: () = assert!(CAPACITY > 2 * LOOK);

/// See the module's documentation.
pub struct Window<'a> {
    source: &'a mut (dyn Read + Send),
    buffer: Vec<u8>,
    /// Where in the buffer the window begins.
    start: usize,
    /// Where in the journal it begins, in bytes.
    offset: u64,
    /// Bytes that have not been read yet.
    unread: u64,
}

impl<'a> Window<'a> {
    /// A window at byte `offset` of a file, where `source` stands. At most `length` bytes are read from there: what
    /// somebody appends meanwhile does not count.
    ///
    /// # Errors
    /// No memory for the buffer.
    pub fn new(source: &'a mut (dyn Read + Send), offset: u64, length: u64) -> Result<Window<'a>> {
        let size = usize::try_from(length).map_or(CAPACITY, |n| n.min(CAPACITY));
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(size).map_err(|_| {
            Error::new(
                Kind::Io,
                "read the keyring file",
                format!("there is no memory for a buffer of {size} bytes"),
            )
            .hint("Give the process more memory.")
        })?;
        Ok(Window {
            source,
            buffer,
            start: 0,
            offset,
            unread: length,
        })
    }

    /// Where the window begins, in bytes from the start of the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes there are from the window's beginning to the end of the file.
    pub fn left(&self) -> u64 {
        (self.buffer.len() - self.start) as u64 + self.unread
    }

    /// The bytes at the window's beginning: at least [`LOOK`] of them, or all that are left; none at the end.
    ///
    /// # Errors
    /// What the source says.
    pub fn bytes(&mut self) -> io::Result<&[u8]> {
        if self.buffer.len() - self.start < LOOK && self.unread > 0 {
            self.fill()?;
        }
        Ok(&self.buffer[self.start..])
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let held = self.buffer.len();
        let room = (CAPACITY - held) as u64;
        let wanted = room.min(self.unread);
        // The capacity is there since `new`, so this allocates nothing.
        let got = (&mut *self.source)
            .take(wanted)
            .read_to_end(&mut self.buffer)? as u64;
        // A file that ends early was cut meanwhile: its end is where it is now.
        self.unread = if got < wanted { 0 } else { self.unread - got };
        Ok(())
    }

    /// Moves the window on by `n` bytes of what it shows.
    pub fn advance(&mut self, n: usize) {
        let n = n.min(self.buffer.len() - self.start);
        self.start += n;
        self.offset += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads in odd portions, as files and pipes may.
    struct Portions<'a>(&'a [u8], usize);

    impl Read for Portions<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 * 31 % 7919 + 1;
            let n = self.1.min(out.len()).min(self.0.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn every_byte_once_and_never_more_than_the_buffer() {
        let all: Vec<u8> = (0..1_000_003u32).map(|i| (i % 251) as u8).collect();
        for step in [1, 56, 4096, MAX_FRAME] {
            let mut source = Portions(&all, 5);
            let mut window = Window::new(&mut source, 100, all.len() as u64).unwrap();
            let mut at = 0;
            // Single steps over all of it would take long.
            while at < all.len() && (step > 1 || at < 1000) {
                assert_eq!(
                    (window.offset(), window.left()),
                    (100 + at as u64, (all.len() - at) as u64)
                );
                let bytes = window.bytes().unwrap();
                assert!(
                    bytes.len() >= LOOK.min(all.len() - at),
                    "enough to judge a frame"
                );
                assert_eq!(bytes, &all[at..at + bytes.len()]);
                let n = step.min(bytes.len());
                window.advance(n);
                at += n;
                assert!(window.buffer.capacity() <= 2 * CAPACITY);
            }
            if step > 1 {
                assert!(window.bytes().unwrap().is_empty());
            }
        }
    }

    #[test]
    fn a_claimed_length_allocates_nothing_and_a_cut_file_ends() {
        let mut source: &[u8] = &[7; 10];
        let mut window = Window::new(&mut source, 0, u64::MAX).unwrap();
        assert_eq!(window.bytes().unwrap(), &[7; 10]);
        assert_eq!(window.left(), 10);
        assert!(window.buffer.capacity() <= 2 * CAPACITY);
    }
}
