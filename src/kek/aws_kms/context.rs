//! The pairs that an operator adds to KMS's encryption context.
//!
//! Owns what they may be. It must never let through a name that is ours or AWS's.

use crate::text::shorten;

/// Most pairs that an operator can add to the encryption context.
const MAX_PAIRS: usize = 8;
/// Longest these pairs may be in a stanza, with two bytes of length for each text (docs/reference/format.md).
const MAX_PARAMS: usize = 1024;
/// Reads `NAME=VALUE,NAME=VALUE`, sorted; an error is what stands behind the option's name in a sentence.
pub(super) fn parse(text: &str) -> std::result::Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for pair in text.split(',') {
        let (name, value) = pair
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()))
            .filter(|(name, value)| {
                (1..=128).contains(&name.len()) && (1..=256).contains(&value.len())
            })
            .ok_or_else(|| format!("has no NAME=VALUE in '{}'", shorten(pair)))?;
        if ["product", "file-id"].contains(&name) || name.starts_with("aws:") {
            return Err(format!("names '{}', which is reserved", shorten(name)));
        }
        pairs.push((name.to_string(), value.to_string()));
    }
    pairs.sort();
    if pairs.windows(2).any(|two| two[0].0 == two[1].0) {
        return Err("names a pair twice".into());
    }
    if pairs.len() > MAX_PAIRS {
        return Err(format!("has more than {MAX_PAIRS} pairs"));
    }
    let bytes = |(name, value): &(String, String)| 4 + name.len() + value.len();
    if pairs.iter().map(bytes).sum::<usize>() > MAX_PARAMS {
        return Err("is longer than 1,000 bytes".into());
    }
    Ok(pairs)
}
