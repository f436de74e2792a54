//! Values as bytes, for the pipe between this process and a child of it (`os::child`). Nothing of it is ever kept.
//!
//! Owns the bytes of plain values; each type of ours has its own beside it. Reading is bounded by what is there
//! and never panics: the child may have been broken off, or broken.

use crate::error::{Cause, Error, Inner, Kind, Standing};
use crate::secret::{SecretBytes, SecretPool};
use std::borrow::Cow;
use std::io;

/// A value that a child can give to its parent.
pub(crate) trait Wire: Sized {
    /// Adds its bytes.
    fn put(&self, out: &mut Writer);
    /// Reads it; `None`: the bytes are none of it.
    fn take(from: &mut Reader<'_>) -> Option<Self>;
}

/// Bytes that grow. They are wiped when they are dropped, as all memory is (`lib.rs`).
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Writer {
        Writer(Vec::new())
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A length and as many bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

/// Bytes that are read from the front; secrets go straight into the pool.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    pool: &'a SecretPool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], pool: &'a SecretPool) -> Reader<'a> {
        Reader { rest: bytes, pool }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*first)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[b]| b)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u64()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }
}

impl Wire for () {
    fn put(&self, _: &mut Writer) {}
    fn take(_: &mut Reader<'_>) -> Option<()> {
        Some(())
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Writer) {
        out.u8(u8::from(*self));
    }
    fn take(from: &mut Reader<'_>) -> Option<bool> {
        match from.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Wire for u32 {
    fn put(&self, out: &mut Writer) {
        out.u32(*self);
    }
    fn take(from: &mut Reader<'_>) -> Option<u32> {
        from.u32()
    }
}

impl Wire for String {
    fn put(&self, out: &mut Writer) {
        out.bytes(self.as_bytes());
    }
    fn take(from: &mut Reader<'_>) -> Option<String> {
        String::from_utf8(from.bytes()?.to_vec()).ok()
    }
}

impl Wire for SecretBytes {
    fn put(&self, out: &mut Writer) {
        out.bytes(self);
    }
    fn take(from: &mut Reader<'_>) -> Option<SecretBytes> {
        let pool = from.pool;
        pool.copy(from.bytes()?).ok()
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Writer) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn take(from: &mut Reader<'_>) -> Option<Option<T>> {
        match bool::take(from)? {
            true => T::take(from).map(Some),
            false => Some(None),
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Writer) {
        out.u64(self.len() as u64);
        self.iter().for_each(|value| value.put(out));
    }
    fn take(from: &mut Reader<'_>) -> Option<Vec<T>> {
        // Grown by what is read, not by what is claimed.
        (0..from.u64()?).map(|_| T::take(from)).collect()
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Writer) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(from: &mut Reader<'_>) -> Option<(A, B)> {
        Some((A::take(from)?, B::take(from)?))
    }
}

impl<T: Wire> Wire for crate::error::Result<T> {
    fn put(&self, out: &mut Writer) {
        self.is_ok().put(out);
        match self {
            Ok(value) => value.put(out),
            Err(error) => error.put(out),
        }
    }
    fn take(from: &mut Reader<'_>) -> Option<Self> {
        match bool::take(from)? {
            true => T::take(from).map(Ok),
            false => Error::take(from).map(Err),
        }
    }
}

impl Wire for Error {
    fn put(&self, out: &mut Writer) {
        let e = &self.0;
        out.u32(e.kind.number().into());
        out.bytes(e.op.as_bytes());
        e.context.put(out);
        e.hint.put(out);
        // The system's number, or where there is none its text: other types can't cross a pipe.
        let source = e.source.as_deref();
        let number = source
            .and_then(|s| s.downcast_ref::<io::Error>())
            .and_then(io::Error::raw_os_error);
        number.map(i32::cast_unsigned).put(out);
        source.map(ToString::to_string).put(out);
        out.u8(e.standing as u8);
        e.withdrawn.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Option<Error> {
        let number = from.u32()?;
        let kind = Kind::ALL
            .into_iter()
            .find(|k| u32::from(k.number()) == number)?;
        let op = String::take(from)?;
        let (context, hint) = (Wire::take(from)?, Wire::take(from)?);
        let number: Option<u32> = Wire::take(from)?;
        let text: Option<String> = Wire::take(from)?;
        let source = match number {
            Some(number) => Some(io::Error::from_raw_os_error(number.cast_signed()).into()),
            None => text.map(Cause::from),
        };
        Some(Error(Box::new(Inner {
            kind,
            op: Cow::Owned(op),
            context,
            hint,
            source,
            standing: match from.u8()? {
                0 => Standing::Trouble,
                1 => Standing::Refused,
                2 => Standing::Expected,
                _ => return None,
            },
            withdrawn: bool::take(from)?,
        })))
    }
}
