//! What a SQL function is given.
//!
//! Owns the reading of arguments: how many there are and of which types is checked before the first row, NULL, range and length
//! with each row. It must never read an argument as another type than the server says it is, and never let NULL mean something:
//! a subquery that finds nothing gives it.

use super::permit::Permit;
use crate::error::{Error, Kind, Result};
use crate::mysql::registry::Registry;
use crate::mysql::{abi, identity, ptr};
use smallvec::SmallVec;

/// The types of arguments that are taken, as the server numbers them (Item_result).
const TEXT: i32 = 0;
const INTEGER: i32 = 2;
/// Longest text that is looked at, in bytes: options as JSON. Names have limits of their own.
const MAX_TEXT: usize = 4096;
/// Longest bytes: a sealed value.
const MAX_BYTES: usize = crate::sealed::MAX_SEALED;
/// Most arguments that any function takes.
const MOST: usize = 8;
/// So many are kept without asking for memory.
const FEW: usize = 5;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    Text,
    /// Text in whatever character set, or bytes: as they are.
    Bytes,
    /// A whole number, or its digits as text: that is what some clients make of a parameter.
    Number,
    /// The same, or the word `all`.
    NumberOrAll,
    /// Text in base64: a message between keyrings.
    Message,
}

impl Is {
    fn longest(self) -> usize {
        match self {
            Is::Text | Is::Number | Is::NumberOrAll => MAX_TEXT,
            Is::Bytes => MAX_BYTES,
            Is::Message => crate::transport::MAX_TEXT,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Is::Text | Is::Message => "text",
            Is::Bytes => "text or bytes",
            Is::Number => "a whole number",
            Is::NumberOrAll => "a whole number or 'all'",
        }
    }
}

/// One argument: what it is called, and what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter(pub(super) &'static str, pub(super) Is);

/// What a function takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takes {
    pub(super) needed: &'static [Parameter],
    pub(super) optional: &'static [Parameter],
}

impl Takes {
    fn parameters(&self) -> impl Iterator<Item = &'static Parameter> {
        self.needed.iter().chain(self.optional)
    }

    /// How many arguments it takes, and which.
    fn usage(&self, function: &str) -> String {
        let names = |all: &[Parameter]| all.iter().map(|p| p.0).collect::<Vec<_>>().join(", ");
        let (least, more) = (self.needed.len(), self.optional.len());
        let optional = match (least, more) {
            (_, 0) => String::new(),
            (0, _) => format!("[{}]", names(self.optional)),
            _ => format!(" [, {}]", names(self.optional)),
        };
        let count = match (least, more) {
            (0, 0) => "no arguments".into(),
            (1, 0) => "1 argument".into(),
            (n, 0) => format!("{n} arguments"),
            (n, 1) => format!("{n} or {} arguments", n + 1),
            (n, more) => format!("{n} to {} arguments", n + more),
        };
        format!("{function}({}{optional}) takes {count}", names(self.needed))
    }

    /// Looks at the arguments before the first row, and asks the server for texts in UTF-8. `Some`: what is wrong with them.
    ///
    /// # Errors
    /// The server hands over no arguments.
    ///
    /// # Safety
    /// `args` is NULL or what the server hands to the init function.
    pub(super) unsafe fn check(
        &self,
        function: &str,
        args: *mut abi::kw_udf_args,
        registry: Option<Registry<'_>>,
    ) -> Result<Option<String>> {
        // SAFETY: by the caller's contract.
        let count = unsafe { args.as_ref() }.map_or(0, |a| a.arg_count as usize);
        let all = self.needed.len() + self.optional.len();
        if !(self.needed.len()..=all).contains(&count) {
            return Ok(Some(format!("{}, {count} are given", self.usage(function))));
        }
        // SAFETY: as above.
        let types = unsafe {
            args.as_ref()
                .map_or(Ok(&[][..]), |a| array(a.arg_type, count))?
        };
        for (index, (parameter, given)) in self.parameters().zip(types).enumerate() {
            let Parameter(name, is) = parameter;
            if matches!(
                (is, *given),
                (_, TEXT) | (Is::Number | Is::NumberOrAll, INTEGER)
            ) {
                continue;
            }
            return Ok(Some(format!(
                "{}: argument {}, {name}, is {}",
                self.usage(function),
                index + 1,
                is.word()
            )));
        }
        if let Some(metadata) = registry.and_then(|r| r.service::<abi::kw_udf_metadata>())
            && let Some(set) = metadata.argument_set
        {
            let all = (0..).zip(types).zip(self.parameters());
            let texts =
                all.filter(|((_, given), Parameter(_, is))| **given == TEXT && *is != Is::Bytes);
            for ((index, _), _) in texts {
                let value = c"utf8mb4".as_ptr().cast_mut().cast();
                // SAFETY: the server's own structure, an argument that there is; the character set's name is copied.
                unsafe { set(args, c"charset".as_ptr(), index, value) };
            }
        }
        Ok(None)
    }

    /// The arguments of one row.
    ///
    /// # Errors
    /// InvalidInput: one of them is NULL, too long, or no whole number. The server hands over others than it did at first.
    ///
    /// # Safety
    /// `args` is NULL or what the server hands to the function, and lives for `'a`.
    pub(super) unsafe fn read<'a>(&self, args: *mut abi::kw_udf_args) -> Result<Arguments<'a>> {
        // SAFETY: by the caller's contract.
        let Some(args) = (unsafe { args.as_ref() }) else {
            return Ok(Arguments::new(SmallVec::new()));
        };
        let count = args.arg_count as usize;
        // SAFETY: as above; there are so many types, places and lengths.
        let (types, places, lengths) = unsafe {
            (
                array(args.arg_type, count)?,
                array(args.args, count)?,
                array(args.lengths, count)?,
            )
        };
        let mut all = SmallVec::new();
        for (index, Parameter(name, is)) in self.parameters().enumerate().take(count) {
            let given = match (places[index].is_null(), types[index]) {
                // A value of a row, which NULL is one of.
                (true, _) if *is == Is::Bytes => Given::Null,
                (true, _) => return Err(null(index, name)),
                // SAFETY: what is no NULL and a whole number is a longlong, aligned as such.
                (false, INTEGER) => Given::Number(unsafe { places[index].cast::<i64>().read() }),
                (false, TEXT) => {
                    let (start, length) = (places[index].cast::<u8>(), lengths[index] as usize);
                    // SAFETY: a text that is no NULL has so many bytes.
                    Given::Text(unsafe { ptr::slice(start, length, is.longest(), name)? })
                }
                _ => return Err(bad(index, name, "has another type than before")),
            };
            let other = || bad(index, name, &format!("is {}", is.word()));
            let given = match (is, given) {
                (Is::NumberOrAll, Given::Text(word)) if word.eq_ignore_ascii_case(b"all") => {
                    Given::All
                }
                (Is::Number | Is::NumberOrAll, Given::Text(digits)) => {
                    Given::Number(whole_number(digits).ok_or_else(other)?)
                }
                (Is::Text | Is::Bytes | Is::Message, Given::Number(_)) => return Err(other()),
                (_, given) => given,
            };
            all.push((*name, given));
        }
        Ok(Arguments::new(all))
    }
}

fn whole_number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `count` values at `p`.
///
/// # Safety
/// A non-NULL `p` is valid for reading so many values for `'a`.
unsafe fn array<'a, T>(p: *const T, count: usize) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if p.is_null() || count > MOST {
        let why = "the server passed no arguments, or too many";
        return Err(Error::new(Kind::Internal, OP, why));
    }
    // SAFETY: not NULL, and valid for so many by the caller's contract.
    Ok(unsafe { std::slice::from_raw_parts(p, count) })
}

const OP: &str = "answer in SQL";

fn bad(index: usize, name: &str, what: &str) -> Error {
    let why = format!("argument {}, {name}, {what}", index + 1);
    Error::new(Kind::InvalidInput, OP, why).hint("Nothing was changed.")
}

/// NULL decides nothing, in no argument of any function. (Where it is a row's value, the function gives NULL for it.)
fn null(index: usize, name: &str) -> Error {
    let instead = match name {
        "owner" => match identity::account() {
            Some(account) => format!(
                "Write the owner as 'user@host': CURRENT_USER() is {}. '' is the server itself.",
                crate::text::name(&account)
            ),
            None => "Write the owner as 'user@host'; '' is the server itself.".into(),
        },
        "reason" => "keyring_ward_key_release() ends a hold.".into(),
        "version" => "Write its number, or 'all' where the function can do it with all.".into(),
        _ => "Leave it out where it is optional.".to_string(),
    };
    bad(index, name, "is NULL").hint(format!(
        "Nothing was changed. A subquery that finds nothing gives NULL, so NULL means nothing here. {instead}"
    ))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given<'a> {
    /// A value of a row.
    Null,
    Text(&'a [u8]),
    Number(i64),
    All,
}

/// The arguments of one row, with their names.
pub(super) struct Arguments<'a> {
    given: SmallVec<[(&'static str, Given<'a>); FEW]>,
    permit: Option<&'a Permit>,
}

impl<'a> Arguments<'a> {
    fn new(given: SmallVec<[(&'static str, Given<'a>); FEW]>) -> Arguments<'a> {
        Arguments {
            given,
            permit: None,
        }
    }

    /// The same in the hands of who called.
    pub(super) fn of(self, permit: &'a Permit) -> Arguments<'a> {
        Arguments {
            permit: Some(permit),
            ..self
        }
    }

    /// What the caller may do.
    ///
    /// # Errors
    /// Internal: nobody has asked.
    pub(super) fn permit(&self) -> Result<&'a Permit> {
        self.permit
            .ok_or_else(|| Error::new(Kind::Internal, OP, "it was not asked who calls"))
    }

    fn get(&self, index: usize) -> Option<(&'static str, Given<'a>)> {
        self.given.get(index).copied()
    }

    /// Fewer are given than the function needs, which is looked at before the first row.
    fn missing(&self, index: usize) -> Error {
        let why = format!("argument {} is not there", index + 1);
        Error::new(Kind::Internal, OP, why)
    }

    /// A text; `None`: it is not given, or the NULL of a row.
    pub(super) fn optional_text(&self, index: usize) -> Option<&'a [u8]> {
        match self.get(index) {
            Some((_, Given::Text(text))) => Some(text),
            _ => None,
        }
    }

    /// A text.
    ///
    /// # Errors
    /// Internal: it is none of the arguments that the function needs.
    pub(super) fn text(&self, index: usize) -> Result<&'a [u8]> {
        self.optional_text(index).ok_or_else(|| self.missing(index))
    }

    /// There is such an argument, even if it is NULL.
    pub(super) fn given(&self, index: usize) -> bool {
        self.get(index).is_some()
    }

    /// A text that may be left out, and is empty then.
    ///
    /// # Errors
    /// Internal: it is no text.
    pub(super) fn text_or_empty(&self, index: usize) -> Result<&'a [u8]> {
        match self.get(index) {
            None => Ok(b""),
            Some(_) => self.text(index),
        }
    }

    /// A text in UTF-8.
    ///
    /// # Errors
    /// InvalidInput: it is none.
    pub(super) fn utf8(&self, index: usize) -> Result<&'a str> {
        let name = self.get(index).map_or("", |(name, _)| name);
        std::str::from_utf8(self.text(index)?).map_err(|_| bad(index, name, "is no text in UTF-8"))
    }

    /// A number; `None`: it is not given, or all are meant.
    ///
    /// # Errors
    /// InvalidInput: it is out of range.
    pub(super) fn optional_number<T: TryFrom<i64>>(&self, index: usize) -> Result<Option<T>> {
        match self.get(index) {
            Some((name, Given::Number(number))) => match T::try_from(number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(bad(index, name, "is out of range")),
            },
            _ => Ok(None),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// InvalidInput: it is out of range.
    pub(super) fn number<T: TryFrom<i64>>(&self, index: usize) -> Result<T> {
        self.optional_number(index)?
            .ok_or_else(|| self.missing(index))
    }
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
