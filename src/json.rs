//! JSON from outside, read strictly: a member that stands twice is an error, not the last one that wins.
//!
//! Owns nothing but the reading. Its errors name line, column and members, never a value: those may be secrets.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Longest part of a member's name that an error shows.
const SHOWN: usize = 40;

/// Reads one JSON text.
///
/// # Errors
/// It is no JSON, too deep, or an object has two members of one name.
pub fn parse(text: &[u8]) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads one JSON text whose items of the outermost object's array `member` are many: each goes to `each` as soon as it
/// is read, and is not kept. In the answer the array is empty.
///
/// # Errors
/// As [`parse`].
pub fn parse_items(
    text: &[u8],
    member: &str,
    each: &mut dyn FnMut(Value),
) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Outer { member, each }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// The outermost value of [`parse_items`].
struct Outer<'a> {
    member: &'a str,
    each: &'a mut dyn FnMut(Value),
}

impl<'de> DeserializeSeed<'de> for Outer<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Outer<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            check_new(&all, &name)?;
            let value = match name == self.member {
                true => members.next_value_seed(Items { each: self.each })?,
                false => members.next_value_seed(Strict)?,
            };
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

/// The array of [`parse_items`]. What is no array is no error of the reading: the caller sees that.
struct Items<'a> {
    each: &'a mut dyn FnMut(Value),
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while let Some(item) = items.next_element_seed(Strict)? {
            (self.each)(item);
        }
        Ok(Value::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Value, A::Error> {
        Strict.visit_map(members)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

fn check_new<E: serde::de::Error>(all: &Map<String, Value>, name: &str) -> Result<(), E> {
    if !all.contains_key(name) {
        return Ok(());
    }
    let shown: String = name
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    Err(E::custom(format!("the member \"{shown}\" stands twice")))
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Strict)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            check_new(&all, &name)?;
            let value = members.next_value_seed(Strict)?;
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_go_one_by_one() {
        let read = |text: &str| {
            let mut items = Vec::new();
            let whole = parse_items(text.as_bytes(), "e", &mut |item| items.push(item));
            whole.map(|whole| (whole, items))
        };
        let (whole, items) = read(r#"{"a":[1,2],"e":[1,{"e":[2]}],"b":null}"#).unwrap();
        assert_eq!(whole, serde_json::json!({"a": [1, 2], "e": [], "b": null}));
        assert_eq!(items, [serde_json::json!(1), serde_json::json!({"e": [2]})]);
        for scalar in ["1", "-1", "1.5", "\"s\"", "true", "null", "{\"x\":1}"] {
            let (whole, items) = read(&format!("{{\"e\":{scalar}}}")).unwrap();
            assert!(!whole["e"].is_array() && items.is_empty(), "{scalar}");
        }
        for text in [
            "{",
            "{\"e\":[1",
            "{\"e\":[]} x",
            "{\"e\":[],\"e\":[]}",
            "{\"e\":[{\"x\":1,\"x\":2}]}",
            "[]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_what_serde_json_reads_but_no_member_twice() {
        for text in [
            r#"{"a":[1,-2,3.5,1e3,true,false,null,"x\n\u00e4",{}],"b":{"a":18446744073709551615}}"#,
            "[]",
            "\"text\"",
            " 1 ",
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(parse(text.as_bytes()).unwrap(), value, "{text}");
        }
        for text in ["", "{", "{} x", "[1,]", "nul", &"[".repeat(100_000)] {
            assert!(parse(text.as_bytes()).is_err(), "{text:.20}");
        }
        for text in [
            r#"{"path":"secret1","path":"secret2"}"#,
            r#"[{"x":{"path":"secret1","y":1,"path":"secret1"}}]"#,
            r#"{"p\u0061th":"secret1","path":"secret1"}"#,
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("\"path\" stands twice at line 1"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
