//! A snapshot that the server iterates over: the machinery of both metadata iterators.

use super::ptr::{self, Handle};
use crate::error::{Error, Kind, Result};

/// How often the server may ask at one item whether there is one; it asks once or twice.
const MAX_ASKED: u8 = 16;

/// The items as they were when the iteration began, and where it stands.
pub struct Cursor<T> {
    items: Vec<T>,
    at: usize,
    asked: u8,
}

impl<T> Handle for Cursor<T> {}

impl<T> Cursor<T> {
    /// Begins an iteration over what `items` gives; writes its handle to `out`.
    ///
    /// # Errors
    /// `out` is NULL; what `items` returns. Nothing is leaked.
    ///
    /// # Safety
    /// A non-NULL `out` is valid for writing a handle.
    pub unsafe fn begin(
        out: *mut super::abi::kw_handle,
        items: impl FnOnce() -> Result<Vec<T>>,
    ) -> Result<()> {
        // SAFETY: by the caller's contract; checked before anything is given away.
        unsafe { ptr::write(out, std::ptr::null_mut(), "place for the handle")? };
        let handle = Cursor {
            items: items()?,
            at: 0,
            asked: 0,
        }
        .into_raw();
        // SAFETY: as above.
        unsafe { ptr::write(out, handle, "place for the handle") }
    }

    /// The current item.
    ///
    /// # Errors
    /// NotFound: the iteration is past its end.
    pub fn current(&self) -> Result<&T> {
        self.items.get(self.at).ok_or_else(|| {
            Error::new(
                Kind::NotFound,
                "read the list",
                "the iterator is past its end",
            )
            .expected()
        })
    }

    /// There is a current item. The server goes on while this says so, even if `next` fails: who
    /// asks again and again without getting on is told that the list ends.
    pub fn is_valid(&mut self) -> bool {
        self.asked = self.asked.saturating_add(1);
        self.at < self.items.len() && self.asked <= MAX_ASKED
    }

    /// Goes to the next item; `false` where it is past the end already.
    pub fn advance(&mut self) -> bool {
        let valid = self.at < self.items.len();
        self.at += usize::from(valid);
        self.asked = 0;
        valid
    }
}

/// The functions of an iterator's table that do not depend on what it iterates over.
macro_rules! cursor_fns {
    ($item:ty) => {
        guarded_fn! {
            fn deinit(iterator: abi::kw_handle) -> c_int, failure = 1; {
                // SAFETY: a handle of ours, given back once.
                unsafe { Cursor::<$item>::drop_raw(iterator) };
                Ok(0)
            }
        }

        guarded_fn! {
            /// 1: there is a current item; 0: past the end.
            fn is_valid(iterator: abi::kw_handle) -> c_int, failure = 0; {
                // SAFETY: a handle of ours, used by one thread at a time.
                Ok(c_int::from(unsafe { Cursor::<$item>::borrow(iterator)? }.is_valid()))
            }
        }

        guarded_fn! {
            /// 1 where the iterator is past the end already.
            fn next(iterator: abi::kw_handle) -> c_int, failure = 1; {
                // SAFETY: a handle of ours, used by one thread at a time.
                Ok(c_int::from(!unsafe { Cursor::<$item>::borrow(iterator)? }.advance()))
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_whose_next_fails_ends() {
        let mut cursor = Cursor {
            items: vec![1, 2],
            at: 0,
            asked: 0,
        };
        for _ in 0..5 {
            assert!(cursor.is_valid() && cursor.is_valid());
            assert_eq!(cursor.current().ok(), Some(&1));
        }
        assert!(cursor.advance() && cursor.is_valid());
        // The server goes on as long as it is told that there is an item.
        assert!((0..1000).any(|_| !cursor.is_valid()), "the loop ends");
        assert!(cursor.advance() && !cursor.is_valid() && !cursor.advance());
    }
}
