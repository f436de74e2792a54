//! Texts as URLs and forms have them.
//!
//! Owns their encoding. A secret may be in a form: it is built in memory that is wiped.

use zeroize::Zeroizing;

/// A text with everything but RFC 3986's unreserved characters as `%XX`.
pub(in crate::kek) fn encoded(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(3 * text.len()));
    append(&mut out, text);
    out
}

/// A form (application/x-www-form-urlencoded) of names and values, in one allocation.
pub(in crate::kek) fn form(pairs: &[(&str, &str)]) -> Zeroizing<String> {
    let most = |(name, value): &(&str, &str)| 3 * (name.len() + value.len()) + 2;
    let mut out = Zeroizing::new(String::with_capacity(pairs.iter().map(most).sum()));
    for (i, (name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push('&');
        }
        append(&mut out, name);
        out.push('=');
        append(&mut out, value);
    }
    out
}

fn append(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_have_nothing_special_in_them_and_do_not_grow() {
        let pairs = [
            ("Action", "AssumeRole"),
            ("RoleArn", "arn:aws:iam::1:role/a+b c&d=é"),
        ];
        let text = form(&pairs);
        assert_eq!(
            *text,
            "Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fa%2Bb%20c%26d%3D%C3%A9"
        );
        let most = pairs.iter().map(|(n, v)| 3 * (n.len() + v.len()) + 2);
        assert_eq!(text.capacity(), most.sum::<usize>());
        assert_eq!(*encoded("A-._~z\0/"), "A-._~z%00%2F");
    }
}
