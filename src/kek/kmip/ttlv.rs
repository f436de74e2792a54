//! TTLV, the encoding of KMIP: tag (3 bytes), type (1), length (4), value, zeroes up to a multiple of 8 (KMIP 1.4
//! section 9.1, the same in 2.1 section 9.1).
//!
//! Owns the bytes and their bounds. It must never recurse, never copy a value that it reads, and never let a length of an
//! answer decide what is allocated. What a tag means is `message`'s business.

use std::fmt;
use zeroize::Zeroizing;

/// Bytes before a value.
pub const HEAD: usize = 8;
/// Longest message in bytes. An answer to what is asked here has a few hundred.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// How deep structures may lie in each other. Ours lie 4 deep.
pub const MAX_DEPTH: usize = 16;
/// Most items of a message. Ours have some twenty.
pub const MAX_ITEMS: usize = 1024;

/// What kind of value an item has (KMIP 1.4 section 9.1.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Type {
    /// Items.
    Structure = 1,
    /// 32 bits, signed.
    Integer = 2,
    /// 64 bits, signed.
    LongInteger = 3,
    /// Any number of bytes that is a multiple of 8.
    BigInteger = 4,
    /// 32 bits, one of a list.
    Enumeration = 5,
    /// 64 bits, 0 or 1.
    Boolean = 6,
    /// UTF-8.
    TextString = 7,
    /// Bytes.
    ByteString = 8,
    /// Seconds since 1970, 64 bits.
    DateTime = 9,
    /// Seconds, 32 bits.
    Interval = 10,
    /// Microseconds since 1970, 64 bits (KMIP 2.0).
    DateTimeExtended = 11,
}

impl Type {
    fn of(number: u8) -> Option<Type> {
        Some(match number {
            1 => Type::Structure,
            2 => Type::Integer,
            3 => Type::LongInteger,
            4 => Type::BigInteger,
            5 => Type::Enumeration,
            6 => Type::Boolean,
            7 => Type::TextString,
            8 => Type::ByteString,
            9 => Type::DateTime,
            10 => Type::Interval,
            11 => Type::DateTimeExtended,
            _ => return None,
        })
    }

    /// A value of this type may have so many bytes.
    fn may_have(self, length: usize) -> bool {
        match self {
            Type::Integer | Type::Enumeration | Type::Interval => length == 4,
            Type::LongInteger | Type::Boolean | Type::DateTime | Type::DateTimeExtended => {
                length == 8
            }
            Type::BigInteger | Type::Structure => length.is_multiple_of(8),
            Type::TextString | Type::ByteString => true,
        }
    }
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They end before an item does.
    Cut,
    /// They go on behind the message.
    Trailing,
    /// They are more than [`MAX_MESSAGE`].
    TooLong,
    /// Structures lie deeper than [`MAX_DEPTH`].
    TooDeep,
    /// There are more items than [`MAX_ITEMS`].
    TooMany,
    /// An item has a type of this number, which KMIP does not have.
    Type(u8),
    /// An item of this tag has a length that its type can't have.
    Length(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Cut => f.write_str("it ends in the middle of an item"),
            Fault::Trailing => f.write_str("something stands behind its end"),
            Fault::TooLong => write!(f, "it is longer than {MAX_MESSAGE} bytes"),
            Fault::TooDeep => write!(f, "its structures are more than {MAX_DEPTH} deep"),
            Fault::TooMany => write!(f, "it has more than {MAX_ITEMS} items"),
            Fault::Type(number) => write!(f, "an item has the type {number}, which is none"),
            Fault::Length(tag) => write!(f, "the item {tag:06X} has an impossible length"),
        }
    }
}

/// One item. Its value lies in the message and is neither copied nor shown.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// The tag, 24 bits.
    pub tag: u32,
    /// The type.
    pub kind: Type,
    value: &'a [u8],
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.value.len();
        write!(f, "{:06X} {:?} of {length} bytes", self.tag, self.kind)
    }
}

/// Reads a whole message: one item, checked down to its last byte before anything of it is used.
///
/// # Errors
/// It is none, or out of bounds.
pub fn read(bytes: &[u8]) -> Result<Item<'_>, Fault> {
    if bytes.len() > MAX_MESSAGE {
        return Err(Fault::TooLong);
    }
    let (item, length) = first(bytes)?;
    if length < bytes.len() {
        return Err(Fault::Trailing);
    }
    check(bytes)?;
    Ok(item)
}

/// Walks through all items. The ends of the structures that are open stand on a stack of bounded height.
fn check(bytes: &[u8]) -> Result<(), Fault> {
    let (mut at, mut count) = (0, 0);
    let mut ends = Vec::with_capacity(MAX_DEPTH + 1);
    ends.push(bytes.len());
    while let Some(end) = ends.last().copied() {
        if at == end {
            ends.pop();
            continue;
        }
        count += 1;
        if count > MAX_ITEMS {
            return Err(Fault::TooMany);
        }
        let (item, length) = first(&bytes[at..end])?;
        if item.kind == Type::Structure {
            if ends.len() > MAX_DEPTH {
                return Err(Fault::TooDeep);
            }
            ends.push(at + length);
            at += HEAD;
        } else {
            at += length;
        }
    }
    Ok(())
}

/// The first item, and how many bytes it takes. What lies in a structure is not looked at.
fn first(bytes: &[u8]) -> Result<(Item<'_>, usize), Fault> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(Fault::Cut)?;
    let [t0, t1, t2, kind, l0, l1, l2, l3] = *head;
    let tag = u32::from_be_bytes([0, t0, t1, t2]);
    let kind = Type::of(kind).ok_or(Fault::Type(kind))?;
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    if !kind.may_have(length) {
        return Err(Fault::Length(tag));
    }
    // The length of a message is bounded, and this one lies in it.
    let value = rest.get(..length).ok_or(Fault::Cut)?;
    let padded = length.next_multiple_of(8);
    if rest.len() < padded {
        return Err(Fault::Cut);
    }
    Ok((Item { tag, kind, value }, HEAD + padded))
}

/// How many bytes follow the head of a message with this tag; `None`: it is no such head.
pub fn length_behind(head: &[u8], tag: u32) -> Option<usize> {
    let (head, _) = head.split_first_chunk::<HEAD>()?;
    let [t0, t1, t2, kind, l0, l1, l2, l3] = *head;
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    let is_message = u32::from_be_bytes([0, t0, t1, t2]) == tag && kind == Type::Structure as u8;
    (is_message && Type::Structure.may_have(length)).then_some(length)
}

impl<'a> Item<'a> {
    /// The items of a structure, in their order; nothing for other types.
    pub fn items(&self) -> Items<'a> {
        Items(match self.kind {
            Type::Structure => self.value,
            _ => &[],
        })
    }

    /// The first item with this tag in a structure.
    pub fn find(&self, tag: u32) -> Option<Item<'a>> {
        self.items().find(|item| item.tag == tag)
    }

    /// The number of an item that is an integer.
    pub fn integer(&self) -> Option<i32> {
        let number = self.of(Type::Integer)?;
        Some(i32::from_be_bytes(number.try_into().ok()?))
    }

    /// The number of an item that is an enumeration.
    pub fn enumeration(&self) -> Option<u32> {
        let number = self.of(Type::Enumeration)?;
        Some(u32::from_be_bytes(number.try_into().ok()?))
    }

    /// The text of an item that is one, where it is UTF-8.
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.of(Type::TextString)?).ok()
    }

    /// The bytes of an item that is a byte string.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        self.of(Type::ByteString)
    }

    /// The value as it stands in the message, without the zeroes behind it.
    pub fn value(&self) -> &'a [u8] {
        self.value
    }

    fn of(&self, kind: Type) -> Option<&'a [u8]> {
        (self.kind == kind).then_some(self.value)
    }
}

/// The items of a structure.
#[derive(Clone)]
pub struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        // They were checked with the message: an error is its end.
        let (item, length) = first(self.0).ok()?;
        self.0 = &self.0[length..];
        Some(item)
    }
}

/// Writes a message. Its bytes are wiped when they are dropped: a key may be among them.
#[derive(Default)]
pub struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    /// An empty one, with room for any request of ours: growing would leave copies behind.
    pub fn new() -> Writer {
        Writer(Zeroizing::new(Vec::with_capacity(4096)))
    }

    /// The message.
    pub fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    /// A structure, whose items `fill` writes.
    pub fn structure(&mut self, tag: u32, fill: impl FnOnce(&mut Writer)) {
        self.head(tag, Type::Structure, 0);
        let begin = self.0.len();
        fill(self);
        let length = (self.0.len() - begin) as u32;
        self.0[begin - 4..begin].copy_from_slice(&length.to_be_bytes());
    }

    /// An integer.
    pub fn integer(&mut self, tag: u32, number: i32) {
        self.item(tag, Type::Integer, &number.to_be_bytes());
    }

    /// An enumeration.
    pub fn enumeration(&mut self, tag: u32, number: u32) {
        self.item(tag, Type::Enumeration, &number.to_be_bytes());
    }

    /// A text.
    pub fn text(&mut self, tag: u32, text: &str) {
        self.item(tag, Type::TextString, text.as_bytes());
    }

    /// Bytes.
    pub fn bytes(&mut self, tag: u32, bytes: &[u8]) {
        self.item(tag, Type::ByteString, bytes);
    }

    /// An item of any type with the value as a message has it.
    pub fn item(&mut self, tag: u32, kind: Type, value: &[u8]) {
        self.head(tag, kind, value.len());
        self.0.extend_from_slice(value);
        let padded = self.0.len().next_multiple_of(8);
        self.0.resize(padded, 0);
    }

    fn head(&mut self, tag: u32, kind: Type, length: usize) {
        self.0.extend_from_slice(&tag.to_be_bytes()[1..]);
        self.0.push(kind as u8);
        self.0.extend_from_slice(&(length as u32).to_be_bytes());
    }
}

#[cfg(test)]
#[path = "ttlv_tests.rs"]
mod tests;
