//! Tokens that are signed with RS256: a service account's own, and those that somebody else vouches with. Part of the fake
//! of Google Cloud.

use super::ACCOUNT_FILE;
use crate::clouds::World;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::Value;

/// Header and claims of a JWT that this key has signed with RS256.
pub fn verify(jwt: &str, key: &[u8]) -> Result<(Value, Value), &'static str> {
    let (signed, signature) = jwt.rsplit_once('.').ok_or("it is no JWT")?;
    let (header, claims) = signed.split_once('.').ok_or("it is no JWT")?;
    let json = |part: &str| -> Result<Value, &'static str> {
        let bytes = BASE64URL_NOPAD
            .decode(part.as_bytes())
            .map_err(|_| "it is no base64url")?;
        serde_json::from_slice(&bytes).map_err(|_| "it is no JSON")
    };
    let (header, claims) = (json(header)?, json(claims)?);
    if header["alg"] != "RS256" {
        return Err("its algorithm is not RS256");
    }
    let signature = BASE64URL_NOPAD
        .decode(signature.as_bytes())
        .map_err(|_| "it is no base64url")?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
    key.verify(signed.as_bytes(), &signature)
        .map_err(|_| "the signature is wrong")?;
    Ok((header, claims))
}

/// The public key of the service account: that of the file, unless another one is set.
pub fn account_key(world: &World) -> Vec<u8> {
    match world.get("account_key") {
        "" => public_key(&account_pair()),
        text => BASE64.decode(text.as_bytes()).unwrap(),
    }
}

/// The key pair in the service account's file.
pub fn account_pair() -> aws_lc_rs::rsa::KeyPair {
    use rustls::pki_types::pem::PemObject;
    let file: Value = serde_json::from_str(ACCOUNT_FILE).unwrap();
    let pem = file["private_key"].as_str().unwrap();
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    aws_lc_rs::rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap()
}

/// A public key as SubjectPublicKeyInfo.
pub fn public_key(pair: &aws_lc_rs::rsa::KeyPair) -> Vec<u8> {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::KeyPair;
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    der.as_ref().to_vec()
}

/// A JWT that is signed with RS256.
pub fn sign(pair: &aws_lc_rs::rsa::KeyPair, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = aws_lc_rs::rand::SystemRandom::new();
    pair.sign(
        &aws_lc_rs::signature::RSA_PKCS1_SHA256,
        &random,
        text.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}
