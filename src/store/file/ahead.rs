//! A long journal is read by two threads: one opens its records ahead, the other keeps what they say.
//!
//! Owns the second thread. It has ended and is joined when the reading is over, whatever comes of it: nobody may outlive a start.
//! It must never change what is kept, its order, or which error is told.

use super::scan::{End, Scanned};
use crate::error::{Error, Kind, Result};
use crate::secret::wipe_stack;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// A shorter journal is read before a second thread would help, in bytes: it has some two thousand keys.
pub const LONG: u64 = 256 * 1024;
/// So many changes are handed over at once.
const PIECE: usize = 256;
/// So many pieces wait for the one who keeps them, at most.
const WAITING: usize = 2;

/// Keeps what was read.
pub type Keep<'a> = dyn FnMut(Scanned) -> Result<()> + 'a;

/// The name of the second thread.
const NAME: &str = "kw-reader";

type Piece = Vec<Scanned>;

/// Lets `read` run in a thread of its own, and gives what it finds to `keep` in the calling one. Where the system has no
/// thread to give, the calling one does both.
///
/// # Errors
/// What `keep` says of a change; else what `read` says.
pub fn both(
    mut read: impl FnMut(&mut Keep<'_>) -> Result<End> + Send,
    keep: &mut Keep<'_>,
) -> Result<End> {
    let there = &mut read;
    let ended = std::thread::scope(|scope| {
        let (sender, pieces) = sync_channel(WAITING);
        let reader = std::thread::Builder::new().name(NAME.into());
        let reader = reader.spawn_scoped(scope, move || {
            let ended = hand_over(there, &sender);
            // Nobody writes over this stack when the thread has ended.
            wipe_stack();
            ended
        });
        let reader = reader.ok()?;
        let kept = keep_all(pieces, keep);
        match reader.join() {
            Ok(ended) => Some(kept.and(ended)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    ended.unwrap_or_else(|| read(keep))
}

fn hand_over(
    read: &mut dyn FnMut(&mut Keep<'_>) -> Result<End>,
    sender: &SyncSender<Piece>,
) -> Result<End> {
    let mut piece = Piece::with_capacity(PIECE);
    let ended = read(&mut |scanned| {
        piece.push(scanned);
        if piece.len() < PIECE {
            return Ok(());
        }
        let full = std::mem::replace(&mut piece, Piece::with_capacity(PIECE));
        sender.send(full).map_err(|_| nobody_keeps())
    });
    // Whatever ended it: what was found before comes first.
    sender.send(piece).map_err(|_| nobody_keeps()).and(ended)
}

/// It is told to nobody: the error of the change that was not kept is.
fn nobody_keeps() -> Error {
    Error::new(
        Kind::Internal,
        "read the keyring file",
        "an earlier change was not kept",
    )
}

fn keep_all(pieces: Receiver<Piece>, keep: &mut Keep<'_>) -> Result<()> {
    let mut changes = pieces.into_iter().flatten();
    changes.try_for_each(keep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{MAC, TAG};
    use crate::key::id::KeyId;
    use crate::key::record::ReadChange;

    fn scanned(n: u64) -> Scanned {
        Scanned {
            change: ReadChange::Remove(KeyId::new(n.to_string().as_bytes(), b"").unwrap()),
            owed: None,
            sequence: n,
            tag: [0; TAG],
            length: n,
        }
    }

    fn failed(why: &str) -> Error {
        Error::new(Kind::Tampered, "test", why.to_string())
    }

    /// Reads `n` changes and ends well, or fails behind them; the keeper refuses the change `bad`.
    fn run(n: u64, fails: bool, bad: u64) -> (Result<End>, Vec<u64>) {
        let caller = std::thread::current().id();
        let mut kept = Vec::new();
        let ended = both(
            |keep| {
                assert_ne!(std::thread::current().id(), caller);
                (0..n).try_for_each(|i| keep(scanned(i)))?;
                match fails {
                    true => Err(failed("the reader")),
                    false => Ok(End {
                        offset: n,
                        sequence: n,
                        chain: [0; MAC],
                        torn: 0,
                    }),
                }
            },
            &mut |Scanned { change, length, .. }| {
                let ReadChange::Remove(id) = change else {
                    panic!("another change");
                };
                assert_eq!(id.name(), length.to_string().as_bytes());
                if length == bad {
                    return Err(failed("the keeper"));
                }
                kept.push(length);
                Ok(())
            },
        );
        (ended, kept)
    }

    #[test]
    fn order_and_errors_are_those_of_one_thread() {
        let piece = PIECE as u64;
        for n in [0, 1, piece - 1, piece, piece + 1, 20 * piece + 7] {
            let all: Vec<u64> = (0..n).collect();
            let (ended, kept) = run(n, false, u64::MAX);
            assert_eq!((ended.unwrap().offset, &kept), (n, &all));
            // Everything before a damaged record is kept before that is told.
            let (ended, kept) = run(n, true, u64::MAX);
            assert!(ended.unwrap_err().to_string().contains("the reader"));
            assert_eq!(kept, all);
            // The first error counts, and nothing is kept behind it.
            for bad in [0, n / 2, n.saturating_sub(1)] {
                let (ended, kept) = run(n, true, bad);
                let whose = if bad < n { "the keeper" } else { "the reader" };
                assert!(ended.unwrap_err().to_string().contains(whose));
                assert_eq!(kept, all[..bad.min(n) as usize]);
            }
        }
    }

    #[test]
    fn a_panic_of_the_reader_is_one_of_the_caller() {
        let both = || both(|_| panic!("in the reader"), &mut |_| Ok(()));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(both));
        assert_eq!(
            caught.unwrap_err().downcast_ref::<&str>(),
            Some(&"in the reader")
        );
    }
}
