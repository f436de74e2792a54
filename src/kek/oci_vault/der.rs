//! As much of X.509 (RFC 5280) as the certificate of an instance needs: the names in its subject, and its public key.
//!
//! Owns the walk over DER, each step by the lengths that stand there. It must never look for a text by its letters (the
//! tag of what follows may be a letter, too), never go deeper than the few levels that are named here, and it proves
//! nothing: OCI checks the certificate.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// UTF8String, PrintableString, T61String, IA5String.
const TEXTS: [u8; 4] = [0x0c, 0x13, 0x14, 0x16];
/// The version, which old certificates don't have.
const VERSION: u8 = 0xa0;

/// The parts of a certificate that are looked at.
pub(super) struct Certificate<'a> {
    /// What is in its subject.
    subject: &'a [u8],
    /// The public key, without its algorithm.
    pub(super) public_key: &'a [u8],
}

/// The parts of a certificate; `None`: it is none.
pub(super) fn certificate(der: &[u8]) -> Option<Certificate<'_>> {
    let (whole, after) = take(SEQUENCE, der)?;
    let (signed, _) = take(SEQUENCE, whole)?;
    let rest = take(VERSION, signed).map_or(signed, |(_, rest)| rest);
    let (_serial, rest) = take(INTEGER, rest)?;
    let (_algorithm, rest) = take(SEQUENCE, rest)?;
    let (_issuer, rest) = take(SEQUENCE, rest)?;
    let (_validity, rest) = take(SEQUENCE, rest)?;
    let (subject, rest) = take(SEQUENCE, rest)?;
    after.is_empty().then_some(Certificate {
        subject,
        public_key: public_key(rest)?,
    })
}

/// The key of a SubjectPublicKeyInfo, without its algorithm.
pub(super) fn public_key(der: &[u8]) -> Option<&[u8]> {
    let (info, _) = take(SEQUENCE, der)?;
    let (_algorithm, rest) = take(SEQUENCE, info)?;
    Some(take(BIT_STRING, rest)?.0)
}

impl<'a> Certificate<'a> {
    /// The first text of the subject that stands behind one of these words.
    pub(super) fn named(&self, words: &[&str]) -> Option<&'a str> {
        self.texts()
            .find_map(|text| words.iter().find_map(|word| text.strip_prefix(word)))
    }

    /// The texts of the subject; they end where it is malformed.
    fn texts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let names = elements(SET, self.subject);
        let attributes = names.flat_map(|name| elements(SEQUENCE, name));
        attributes.filter_map(|attribute| {
            let (_type, rest) = take(OBJECT_IDENTIFIER, attribute)?;
            let (tag, value, _) = element(rest)?;
            let text = TEXTS.contains(&tag).then_some(value)?;
            std::str::from_utf8(text).ok()
        })
    }
}

/// Elements of this tag, one after the other.
fn elements(tag: u8, mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (content, after) = take(tag, rest)?;
        rest = after;
        Some(content)
    })
}

/// The element at the beginning, if it has this tag: its content, and what follows it.
fn take(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match element(bytes)? {
        (found, content, rest) if found == tag => Some((content, rest)),
        _ => None,
    }
}

/// The element at the beginning: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    // From 31 on a tag has more bytes; nothing here has such a one.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0, |n, d| n << 8 | usize::from(*d));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kek::cloud::RsaKey;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256};

    const TENANCY: &str = "opc-tenant:ocid1.tenancy.oc1..aaaa";

    /// A certificate as an instance has it, and its key in PEM.
    fn of_instance() -> (Vec<u8>, String) {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let mut params = CertificateParams::default();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "ocid1.instance.oc1.phx.abc");
        name.push(DnType::OrganizationalUnitName, TENANCY);
        // What follows begins with 0x31, the digit 1.
        name.push(DnType::OrganizationName, "opc-certtype:instance");
        let certificate = params.self_signed(&key).unwrap();
        (certificate.der().to_vec(), key.serialize_pem())
    }

    #[test]
    fn a_name_ends_where_its_length_says() {
        let (der, pem) = of_instance();
        let found = certificate(&der).unwrap();
        assert_eq!(
            found.named(&["opc-none:", "opc-tenant:"]),
            Some("ocid1.tenancy.oc1..aaaa")
        );
        assert_eq!(found.named(&["opc-certtype:"]), Some("instance"));
        assert_eq!(found.named(&["tenant:"]), None, "not at its beginning");
        // In the bytes the next one's tag stands behind it.
        let at = der
            .windows(TENANCY.len())
            .position(|w| w == TENANCY.as_bytes());
        assert_eq!(der[at.unwrap() + TENANCY.len()], b'1');
        let key = RsaKey::from_pem(pem.as_bytes(), "test", "it").unwrap();
        let info = key.public_key().unwrap();
        assert_eq!(public_key(&info), Some(found.public_key));
    }

    #[test]
    fn a_certificate_that_is_cut_is_none() {
        let (der, _) = of_instance();
        for length in 0..der.len() {
            assert!(certificate(&der[..length]).is_none(), "{length}");
        }
        let more = [&der[..], &[0]].concat();
        assert!(certificate(&more).is_none());
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert_eq!(element(&[4, 1, 7, 9]), Some((4, &[7][..], &[9][..])));
        assert_eq!(element(&[4, 0x81, 1, 7]), Some((4, &[7][..], &[][..])));
        let bad: [&[u8]; 10] = [
            &[],
            &[4],
            &[4, 1],
            &[4, 0x80, 0, 0],
            &[4, 0x81],
            &[4, 0x82, 0],
            &[4, 0x83, 0xff, 0xff, 0xff, 1],
            &[4, 0x84, 0, 0, 0, 1, 7],
            &[4, 0xff, 7],
            &[0x1f, 1, 7],
        ];
        for bad in bad {
            assert_eq!(element(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(found) = certificate(&bytes) {
                let _ = found.named(&["opc-tenant:"]);
            }
        }

        #[test]
        fn any_changed_byte_is_harmless(at in 0usize..1000, to in any::<u8>()) {
            use std::sync::LazyLock;
            static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| of_instance().0);
            let mut der = GOOD.clone();
            let at = at % der.len();
            der[at] = to;
            if let Some(text) = certificate(&der).and_then(|found| found.named(&["opc-tenant:"])) {
                prop_assert!(text.len() < der.len());
            }
        }
    }
}
