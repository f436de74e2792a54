//! Where bytes come from: an open file, or bytes in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Something that is read at a place.
pub trait Source {
    /// Fills `into` as far as there are bytes; gives how many there were.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

impl Source for File {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset.saturating_add(filled as u64)) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }
}

impl Source for [u8] {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).ok().and_then(|at| self.get(at..));
        let from = from.unwrap_or_default();
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        Ok(n)
    }
}

impl Source for Vec<u8> {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.as_slice().read_at(offset, into)
    }
}

/// Goes through all that is behind `from`, piece by piece; each is given with its place, in whole units of `unit` bytes, as far as
/// there are any. `go_on` is asked before each piece, and may end it.
///
/// # Errors
/// The system's; those of `each`.
pub(super) fn in_pieces<E: From<io::Error>>(
    source: &(impl Source + ?Sized),
    from: u64,
    unit: usize,
    go_on: &mut dyn FnMut(u64) -> bool,
    mut each: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
) -> Result<(), E> {
    const PIECE: usize = 1 << 20;
    let mut piece = vec![0; PIECE];
    let mut offset = from;
    while go_on(offset) {
        let filled = source.read_at(offset, &mut piece)?;
        let places = (offset..).step_by(unit);
        for (at, one) in places.zip(piece[..filled].chunks_exact_mut(unit)) {
            each(at, one)?;
        }
        if filled < PIECE {
            break;
        }
        offset += filled as u64;
    }
    Ok(())
}
