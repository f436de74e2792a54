//! The instance itself as whom to ask: its certificate from the metadata service, and a token for a key that is made now.
//!
//! Owns this login. It must never keep certificate, key or token beyond the operation, never use a proxy for the metadata
//! service, and never take a region or an address from there.

use super::answer;
use super::config::InstancePrincipal;
use super::der;
use super::errors::{By, Step};
use super::names::is_ocid;
use super::sign::Signer;
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::kek::cloud::{Question, RsaKey};
use crate::kek::web::Web;
use crate::net::{Method, Request};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use zeroize::Zeroizing;

const OP: &str = "get the certificate of this instance";
/// The call that gives a token.
const LOGIN: &str = "/v1/x509";
/// What stands in a certificate's subject before the tenancy; the second one in certificates that are not of instances.
const TENANCY: [&str; 2] = ["opc-tenant:", "opc-identity:"];
/// Most certificates that one answer may hold.
const MAX_CHAIN: usize = 8;

/// The certificate of an instance.
pub(super) struct Leaf {
    der: Vec<u8>,
    /// The OCID of its tenancy.
    pub(super) tenancy: String,
}

/// Logs in as this instance.
pub(super) fn log_in(web: &Web, at: &InstancePrincipal, end: Deadline) -> Result<Signer> {
    let leaf = leaf(&question(at, "cert.pem"), &get(at, "cert.pem", end)?)?;
    let key = key(at, &leaf, end)?;
    let asked = question(at, "intermediate.pem");
    let chain = certificates(&asked, &get(at, "intermediate.pem", end)?)?;
    let session = RsaKey::generate("log in to OCI")?;
    let asked = Question {
        op: "log in to OCI as this instance",
        call: "X509 federation",
        key: &leaf.tenancy,
        place: &at.federation_endpoint,
        service: "OCI's login",
        options: "federation_endpoint and proxy",
    };
    let body = json!({
        "certificate": BASE64.encode(&leaf.der),
        "publicKey": BASE64.encode(&session.public_key()?),
        "intermediateCertificates": chain.iter().map(|der| BASE64.encode(der)).collect::<Vec<_>>(),
    });
    let name = format!("{}/fed-x509/{}", leaf.tenancy, fingerprint(&leaf.der));
    let request = Signer::of_key(name, key).post(
        &at.federation_endpoint,
        LOGIN,
        body.to_string().into_bytes(),
        false,
    )?;
    let given = web.send(&request, end).map_err(|e| asked.no_answer(e))?;
    let given = answer::read(&asked, (Step::Login, By::Instance), &given, "")?;
    let token = answer::token(&asked, given)?;
    Ok(Signer::of_token(&token, session))
}

fn question<'a>(at: &'a InstancePrincipal, file: &'static str) -> Question<'a> {
    Question {
        op: OP,
        call: "the metadata service",
        key: file,
        place: at.metadata.base(),
        service: "OCI's metadata service",
        options: "metadata_url",
    }
}

/// A file of the instance's identity.
fn get(at: &InstancePrincipal, file: &'static str, end: Deadline) -> Result<Zeroizing<Vec<u8>>> {
    let asked = question(at, file);
    let url = format!("{}/opc/v2/identity/{file}", at.metadata.base());
    let request = Request::new(Method::Get, url).header("authorization", "Bearer Oracle");
    let answer = at.metadata.send(&asked, request, end)?;
    match answer.status() {
        200 => Ok(answer.into_body()),
        404 => Err(asked
            .error(Kind::Unreachable, "it is not there (HTTP status 404)")
            .hint("An instance that has just been started may not have it yet: it is tried again while there is time. If it stays, check metadata_url, and whether the instance's metadata service has version 2.")),
        _ => Err(asked.refused(&answer, None, None, |_| None, &[])),
    }
}

/// The private key of the certificate. Both are renewed now and then, between the two questions as well.
fn key(at: &InstancePrincipal, leaf: &Leaf, end: Deadline) -> Result<RsaKey> {
    let asked = question(at, "key.pem");
    let key = RsaKey::from_pem(&get(at, "key.pem", end)?, OP, "the answer with key.pem")?;
    let public = key.public_key()?;
    let of_leaf = der::certificate(&leaf.der).map(|found| found.public_key);
    match der::public_key(&public) == of_leaf {
        true => Ok(key),
        false => Err(asked
            .error(
                Kind::Unreachable,
                "it is not the key of the certificate in cert.pem",
            )
            .hint(
                "They may have been renewed in this moment: it is tried again while there is time.",
            )),
    }
}

/// The instance's certificate in `pem`.
pub(super) fn leaf(asked: &Question<'_>, pem: &[u8]) -> Result<Leaf> {
    let der = certificates(asked, pem)?.swap_remove(0);
    let tenancy = der::certificate(&der)
        .and_then(|found| found.named(&TENANCY))
        .filter(|tenancy| is_ocid(tenancy, "tenancy"))
        .ok_or_else(|| asked.odd_answer("a certificate that names no tenancy"))?;
    let tenancy = tenancy.to_string();
    Ok(Leaf { der, tenancy })
}

/// The certificates in `pem`: one or more.
fn certificates(asked: &Question<'_>, pem: &[u8]) -> Result<Vec<Vec<u8>>> {
    let odd = || -> Error { asked.odd_answer("something else than certificates in PEM") };
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem).take(MAX_CHAIN + 1) {
        found.push(certificate.map_err(|_| odd())?.to_vec());
    }
    match (1..=MAX_CHAIN).contains(&found.len()) {
        true => Ok(found),
        false => Err(odd()),
    }
}

/// The SHA-1 of a certificate, as OCI names it: `AA:BB:…`.
fn fingerprint(der: &[u8]) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, der);
    let bytes = hash.as_ref().iter().map(|byte| format!("{byte:02X}"));
    bytes.collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    const ASKED: Question<'_> = Question {
        op: OP,
        call: "the metadata service",
        key: "cert.pem",
        place: "http://169.254.169.254",
        service: "OCI's metadata service",
        options: "metadata_url",
    };

    fn pem_of(unit: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        let name = &mut params.distinguished_name;
        name.push(DnType::OrganizationalUnitName, unit);
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn the_tenancy_stands_in_the_certificate() {
        let tenancy = "ocid1.tenancy.oc1..aaaa";
        for word in TENANCY {
            let pem = pem_of(&format!("{word}{tenancy}"));
            assert_eq!(leaf(&ASKED, pem.as_bytes()).unwrap().tenancy, tenancy);
        }
        for bad in [
            "opc-compartment:ocid1.tenancy.oc1..aaaa",
            "opc-tenant:",
            "opc-tenant:ocid1.user.oc1..aaaa",
            "opc-tenant:ocid1.tenancy.oc1..\"",
        ] {
            let e = leaf(&ASKED, pem_of(bad).as_bytes()).err().unwrap();
            assert_eq!(e.kind(), Kind::Config);
            assert!(e.to_string().contains("names no tenancy"), "{e}");
        }
    }

    #[test]
    fn an_answer_holds_some_certificates() {
        let pem = pem_of("x");
        let of = |text: &str| certificates(&ASKED, text.as_bytes()).map(|found| found.len());
        assert_eq!(of(&pem).unwrap(), 1);
        assert_eq!(of(&pem.repeat(8)).unwrap(), 8);
        for bad in [
            "",
            "<html>",
            "-----BEGIN CERTIFICATE-----\nAAAA",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            &pem.repeat(9),
        ] {
            let e = of(bad).unwrap_err();
            assert!(e.to_string().contains("certificates in PEM"), "{e}");
        }
    }

    #[test]
    fn a_fingerprint_is_written_as_oci_does() {
        // By another program: hashlib.sha1(b"abc").
        assert_eq!(
            fingerprint(b"abc"),
            "A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64.encode(&bytes));
            for body in [&bytes[..], pem.as_bytes()] {
                if let Err(e) = leaf(&ASKED, body) {
                    prop_assert!(!e.to_string().contains(char::is_control));
                }
            }
        }
    }
}
