//! Reading fields out of bytes that are there already.
//!
//! It must never look behind the end of them, nor give a field that is longer than its limit.

/// Reads a bounded sequence of fields.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Begins at byte `at` of `bytes`.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Reader<'a> {
        Reader { bytes, at }
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let part = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(part)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|a| a[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// A field of at most `limit` bytes behind its 16-bit length.
    pub(crate) fn field16(&mut self, limit: usize) -> Option<&'a [u8]> {
        let n = usize::from(self.u16()?);
        if n > limit { None } else { self.take(n) }
    }

    /// A field of at most `limit` bytes behind its 32-bit length.
    pub(crate) fn field32(&mut self, limit: usize) -> Option<&'a [u8]> {
        let n = self.u32()? as usize;
        if n > limit { None } else { self.take(n) }
    }

    /// The same as text in UTF-8.
    pub(crate) fn text16(&mut self, limit: usize) -> Option<String> {
        String::from_utf8(self.field16(limit)?.to_vec()).ok()
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// None is left.
    pub(crate) fn done(&self) -> bool {
        self.left() == 0
    }
}
