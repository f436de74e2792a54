use super::*;
use std::ffi::{c_char, c_ulong};

const TAKES: Takes = Takes {
    needed: &[
        Parameter("name", Is::Text),
        Parameter("version", Is::Number),
    ],
    optional: &[Parameter("options", Is::Text)],
};

/// An argument as a server hands it over: its type, and its bytes.
type Row = (i32, Option<Vec<u8>>);

fn text(text: &str) -> Row {
    (TEXT, Some(text.as_bytes().to_vec()))
}

fn number(number: i64) -> Row {
    (INTEGER, Some(number.to_ne_bytes().to_vec()))
}

/// Calls `f` with the structure that a server makes of these.
fn given<T>(row: &[Row], f: impl FnOnce(*mut abi::kw_udf_args) -> T) -> T {
    // Numbers lie where a longlong may lie.
    let words: Vec<Vec<u64>> = (row.iter())
        .map(|(_, bytes)| {
            let bytes = bytes.as_deref().unwrap_or_default();
            let mut words = vec![0u64; bytes.len().div_ceil(8).max(1)];
            for (i, byte) in bytes.iter().enumerate() {
                words[i / 8] |= u64::from(*byte) << (8 * (i % 8));
            }
            words
        })
        .collect();
    let mut types: Vec<i32> = row.iter().map(|(t, _)| *t).collect();
    let mut places: Vec<*mut c_char> = (row.iter().zip(&words))
        .map(|((_, bytes), words)| match bytes {
            Some(_) => words.as_ptr().cast_mut().cast(),
            None => std::ptr::null_mut(),
        })
        .collect();
    let mut lengths: Vec<c_ulong> = (row.iter())
        .map(|(_, bytes)| bytes.as_ref().map_or(0, Vec::len) as c_ulong)
        .collect();
    let mut args = abi::kw_udf_args {
        arg_count: row.len() as u32,
        arg_type: types.as_mut_ptr(),
        args: places.as_mut_ptr(),
        lengths: lengths.as_mut_ptr(),
        maybe_null: std::ptr::null_mut(),
        attributes: std::ptr::null_mut(),
        attribute_lengths: std::ptr::null_mut(),
        extension: std::ptr::null_mut(),
    };
    f(&raw mut args)
}

fn checked(row: &[Row]) -> Option<String> {
    // SAFETY: a structure as a server's.
    given(row, |args| unsafe { TAKES.check("f", args, None).unwrap() })
}

/// What `f` finds in a row, or the error's sentence.
fn read<T>(row: &[Row], f: impl Fn(&Arguments<'_>) -> Result<T>) -> std::result::Result<T, String> {
    // SAFETY: a structure as a server's.
    let read = |args| unsafe { TAKES.read(args) }.and_then(|a| f(&a));
    given(row, read).map_err(|e| e.to_string())
}

#[test]
fn count_and_types_are_looked_at_before_the_first_row() {
    let said = checked(&[text("k")]).unwrap();
    assert_eq!(
        said,
        "f(name, version [, options]) takes 2 or 3 arguments, 1 are given"
    );
    assert!(checked(&[text("k"), number(1), text("{}"), number(1)]).is_some());
    assert_eq!(checked(&[text("k"), number(1)]), None);
    assert_eq!(checked(&[text("k"), text("1"), (TEXT, None)]), None);
    let said = checked(&[number(1), number(1)]).unwrap();
    assert!(said.ends_with("argument 1, name, is text"), "{said}");
    // A real number, a row and a decimal.
    for kind in [1, 3, 4, 99] {
        let said = checked(&[text("k"), (kind, Some(vec![0; 8]))]).unwrap();
        assert!(
            said.ends_with("argument 2, version, is a whole number"),
            "{said}"
        );
    }
    let nothing = Takes {
        needed: &[],
        optional: &[],
    };
    // SAFETY: NULL is within the contract.
    let none = unsafe { nothing.check("f", std::ptr::null_mut(), None).unwrap() };
    assert_eq!(none, None);
    let one = given(&[number(1)], |args| unsafe {
        // SAFETY: a structure as a server's.
        nothing.check("f", args, None).unwrap()
    });
    assert_eq!(one.unwrap(), "f() takes no arguments, 1 are given");
}

#[test]
fn each_row_is_read_within_bounds() {
    let row = [text("k"), number(7)];
    let both = |a: &Arguments<'_>| Ok((a.text(0)?.to_vec(), a.number::<u32>(1)?));
    assert_eq!(read(&row, both).unwrap(), (b"k".to_vec(), 7));
    let row = [text("k"), text("7"), text("{}")];
    assert_eq!(read(&row, |a| a.number::<u8>(1)).unwrap(), 7);
    assert_eq!(read(&row, |a| a.utf8(2).map(String::from)).unwrap(), "{}");
    let version = |row: Row| read(&[text("k"), row], |a| a.number::<u32>(1)).unwrap_err();
    for (row, why) in [
        (number(-1), "is out of range"),
        (number(1 << 40), "is out of range"),
        (text("seven"), "is a whole number"),
        (text("7.0"), "is a whole number"),
        ((4, Some(vec![b'7'])), "has another type than before"),
    ] {
        let said = version(row);
        assert!(
            said.contains(&format!("argument 2, version, {why}")),
            "{said}"
        );
    }
    let long = "x".repeat(MAX_TEXT + 1);
    let said = read(&[text(&long), number(1)], |a| a.text(0).map(drop)).unwrap_err();
    assert!(said.contains("the limit is 4096"), "{said}");
    // What is not given.
    let row = [text("k"), number(1)];
    assert!(read(&row, |a| Ok(a.optional_text(2).is_none())).unwrap());
    assert!(
        read(&row, |a| a.optional_number::<u8>(9))
            .unwrap()
            .is_none()
    );
    assert!(read(&row, |a| a.text(2).map(drop)).is_err());
    let row = [(TEXT, Some(vec![0xff])), number(1)];
    assert!(read(&row, |a| a.utf8(0).map(drop)).is_err());
}

/// A failed subquery must not decide anything: not even an argument that nobody asks for may be NULL.
#[test]
fn null_is_refused_in_every_place() {
    let whole = [text("k"), number(1), text("{}")];
    for (place, name) in ["name", "version", "options"].into_iter().enumerate() {
        let mut row = whole.clone();
        row[place].1 = None;
        let said = read(&row, |_| Ok(())).unwrap_err();
        assert!(
            said.contains(&format!("argument {}, {name}, is NULL", place + 1)),
            "{said}"
        );
    }
}

#[test]
fn all_is_said_by_a_word() {
    const TAKES: Takes = Takes {
        needed: &[Parameter("version", Is::NumberOrAll)],
        optional: &[],
    };
    let read = |row: Row| {
        // SAFETY: a structure as a server's.
        let read = |args| unsafe { TAKES.read(args) }.and_then(|a| a.optional_number::<u32>(0));
        given(&[row], read)
    };
    assert_eq!(read(text("all")).unwrap(), None);
    assert_eq!(read(text("ALL")).unwrap(), None);
    assert_eq!(read(text("7")).unwrap(), Some(7));
    assert_eq!(read(number(7)).unwrap(), Some(7));
    for wrong in [
        text(""),
        text("al"),
        number(-1),
        (TEXT, None),
        (INTEGER, None),
    ] {
        assert!(read(wrong).is_err());
    }
    // SAFETY: a structure as a server's.
    let said = given(&[(1, Some(vec![0; 8]))], |args| unsafe {
        TAKES.check("f", args, None).unwrap()
    });
    assert!(said.unwrap().ends_with("is a whole number or 'all'"));
}
