//! RSA signatures with SHA-256 (PKCS#1 v1.5), and the JSON Web Tokens that are signed with them (RFC 7515, RFC 7519).
//!
//! Owns the reading of RSA keys in PEM. It must never take a key below 2,048 bits (the library does not), and never show
//! one.

use crate::error::{Error, Kind, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use data_encoding::BASE64URL_NOPAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use zeroize::Zeroizing;

/// An RSA key that signs.
pub(in crate::kek) struct RsaKey(KeyPair);

impl RsaKey {
    /// The key of a PEM text, PKCS#8 or PKCS#1, not encrypted. `place` names it for messages.
    pub(in crate::kek) fn from_pem(pem: &[u8], op: &'static str, place: &str) -> Result<RsaKey> {
        // The library wipes what it decodes; the rest is wiped when it is freed, as all memory is.
        let pair = match PrivateKeyDer::from_pem_slice(pem) {
            Ok(PrivateKeyDer::Pkcs8(der)) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).ok(),
            Ok(PrivateKeyDer::Pkcs1(der)) => KeyPair::from_der(der.secret_pkcs1_der()).ok(),
            _ => None,
        };
        pair.map(RsaKey).ok_or_else(|| {
            Error::new(
                Kind::Config,
                op,
                format!("{place} holds no RSA key of 2,048 bits or more in PEM"),
            )
            .hint("It must begin with -----BEGIN PRIVATE KEY----- (or RSA PRIVATE KEY) and must not be encrypted. It is not shown.")
        })
    }

    /// A new key of 2,048 bits.
    pub(in crate::kek) fn generate(op: &'static str) -> Result<RsaKey> {
        KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048)
            .map(RsaKey)
            .map_err(|_| Error::new(Kind::Internal, op, "no RSA key could be generated"))
    }

    /// Its public half, as SubjectPublicKeyInfo in DER (RFC 5280).
    pub(in crate::kek) fn public_key(&self) -> Result<Vec<u8>> {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        let der: std::result::Result<PublicKeyX509Der<'_>, _> = self.0.public_key().as_der();
        der.map(|der| der.as_ref().to_vec())
            .map_err(|_| Error::new(Kind::Internal, "sign", "a public key could not be encoded"))
    }

    /// The signature of `message`.
    pub(in crate::kek) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        let random = SystemRandom::new();
        self.0
            .sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
            .map_err(|_| Error::new(Kind::Internal, "sign", "RSA failed"))?;
        Ok(signature)
    }
}

/// A JSON Web Token, signed. `header` holds what stands beside `alg`.
pub(in crate::kek) fn jwt(
    key: &RsaKey,
    header: &Value,
    claims: &Value,
) -> Result<Zeroizing<String>> {
    let mut header = header.clone();
    header["alg"] = "RS256".into();
    header["typ"] = "JWT".into();
    let mut token = Zeroizing::new(format!(
        "{}.{}",
        BASE64URL_NOPAD.encode(header.to_string().as_bytes()),
        BASE64URL_NOPAD.encode(claims.to_string().as_bytes())
    ));
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    BASE64URL_NOPAD.encode_append(&signature, &mut token);
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::json;

    #[test]
    fn a_token_is_signed_by_its_key() {
        let key = RsaKey::generate("test").unwrap();
        let token = jwt(&key, &json!({"kid": "1"}), &json!({"iss": "ä"})).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3);
        let header: Value =
            serde_json::from_slice(&BASE64URL_NOPAD.decode(parts[0].as_bytes()).unwrap()).unwrap();
        assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "1"}));
        let signed = token.rsplit_once('.').unwrap().0;
        let signature = BASE64URL_NOPAD.decode(parts[2].as_bytes()).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().unwrap());
        public.verify(signed.as_bytes(), &signature).unwrap();
        assert!(public.verify(b"another", &signature).is_err());
    }

    #[test]
    fn only_rsa_keys_in_pem_are_taken() {
        let ec = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for bad in ["", "HIDDEN", &ec] {
            let e = RsaKey::from_pem(bad.as_bytes(), "sign", "'/k'")
                .err()
                .unwrap();
            assert!(e.to_string().contains("'/k' holds no RSA key"), "{e}");
            assert!(!e.to_string().contains("HIDDEN"));
        }
    }
}
