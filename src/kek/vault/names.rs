//! What Vault's texts look like: each is checked before a URL, a header or a request sees it.
//!
//! Owns these rules with their bounds. It must never show the value of what it refuses where that may be a secret.

use data_encoding::BASE64;

/// Longest path of a mount or a namespace in bytes.
const MAX_PATH: usize = 512;
/// Longest name of a key or a role in bytes.
const MAX_NAME: usize = 255;
/// Longest token in bytes: a service token has about 100, a batch token some hundreds, a JWT a few thousand.
const MAX_TOKEN: usize = 16_384;

/// What is wrong with the path of a mount or a namespace: names joined by slashes, which go into a URL as they are.
pub(super) fn path_fault(text: &str) -> Option<(String, &'static str)> {
    let fits = text.len() <= MAX_PATH && text.split('/').all(is_name);
    (!fits).then(|| {
        (
            "is not a path as Vault has it".into(),
            "Use names of letters, digits, '-', '_' and '.', with '/' between them and none at the ends.",
        )
    })
}

/// What is wrong with the name of a key (Vault's `GenericNameRegex`).
pub(super) fn name_fault(text: &str) -> Option<(String, &'static str)> {
    (!is_name(text)).then(|| {
        (
            "is not a name as Vault has it".into(),
            "Use the name as vault list shows it: letters, digits, '-', '_' and '.', no path before it.",
        )
    })
}

/// Letters, digits and `_`; inside also `-` and `.`. So no name is `.` or `..`.
fn is_name(text: &str) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let ends =
        text.as_bytes().first().is_some_and(word) && text.as_bytes().last().is_some_and(word);
    let inside = |b: u8| word(&b) || b == b'-' || b == b'.';
    ends && text.len() <= MAX_NAME && text.bytes().all(inside)
}

/// Whether a text can be a token, a JWT or a secret id: printable without blanks, so that a header holds it.
pub(super) fn is_token(text: &[u8]) -> bool {
    (1..=MAX_TOKEN).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

/// Whether a text is what `encrypt` gives: `vault:vVERSION:` and base64. Only the one spelling of it is taken: Vault
/// itself takes version 0 for 1, line ends inside the base64, and stray bits at its end.
pub(super) fn is_ciphertext(text: &str) -> bool {
    let Some((version, encoded)) = text.strip_prefix("vault:v").and_then(|t| t.split_once(':'))
    else {
        return false;
    };
    let digits = (1..=9).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit());
    digits
        && !version.starts_with('0')
        && !encoded.is_empty()
        && BASE64.decode(encoded.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_stay_one_part_of_a_url() {
        for good in ["mysql", "a", "team-1.db_x", "0"] {
            assert!(name_fault(good).is_none(), "{good}");
            assert!(path_fault(&format!("a/{good}/b")).is_none(), "{good}");
        }
        for bad in [
            "", ".", "..", "-a", "a-", "a b", "a?x", "a#", "a%2e", "ä", "a\n", "a\\b", "a\"b",
        ] {
            assert!(name_fault(bad).is_some(), "{bad:?}");
            assert!(path_fault(&format!("a/{bad}")).is_some(), "{bad:?}");
        }
        for bad in ["a/b", "/a"] {
            assert!(name_fault(bad).is_some(), "{bad:?}");
        }
        for bad in ["/a", "a/", "a//b", "../a"] {
            assert!(path_fault(bad).is_some(), "{bad:?}");
        }
        assert!(name_fault(&"x".repeat(256)).is_some());
        assert!(path_fault(&["x"; 300].join("/")).is_some());
    }

    #[test]
    fn a_ciphertext_has_one_spelling() {
        for good in ["vault:v1:AAAA", "vault:v999999999:AA=="] {
            assert!(is_ciphertext(good), "{good}");
        }
        for bad in [
            "",
            "AAAA",
            "vault:v1",
            "vault:v1:",
            "vault:v0:AAAA",
            "vault:v01:AAAA",
            "vault:v+1:AAAA",
            "vault:v1111111111:AAAA",
            "vault:v1:AAA",
            "vault:v1:AB==",
            "vault:v1:AAAA\n",
            "vault:v1:AA\r\nAA",
            "vault:v1:AA-_",
            "vault:v1:AAAA:AAAA",
            "Vault:v1:AAAA",
        ] {
            assert!(!is_ciphertext(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_token_fits_into_a_header() {
        assert!(is_token(b"hvs.CAESIJ~x"));
        for bad in [
            &b""[..],
            b"a b",
            b"a\r",
            b"\x00",
            b"\xc3\xa4",
            &[b'x'; 16_385],
        ] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
