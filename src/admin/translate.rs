//! The options of other keyrings in option files, as ours.
//!
//! Owns the table of their names. It reads option files only, never a keyring, and must never show a value that may be a
//! secret: where one is named, the place is told.

use crate::config::Layer;
use crate::config::option_file::{Line, Reader};
use crate::config::server::GROUPS;
use crate::config::written::Written;
use crate::error::{Error, Kind, Result};
use crate::text::shorten;
use std::path::Path;

const OP: &str = "translate the configuration";

/// Another keyring.
struct Keyring {
    /// What its options begin with, and its library is called.
    name: &'static str,
    /// The backend of ours that does the same.
    backend: &'static str,
    options: &'static [Renamed],
    /// What else has to be done to come from it: full sentences.
    steps: &'static str,
}

/// One of its options.
struct Renamed {
    /// Its name behind the keyring's.
    name: &'static str,
    becomes: Becomes,
}

/// What becomes of an option.
enum Becomes {
    /// Ours of this name, with the same value.
    Ours(&'static str),
    /// Ours of this name, a URL: there a host stands without `https://`.
    Url(&'static str),
    /// The place of its keys: our file goes into the same folder.
    Place,
    /// Nothing, and why: a full sentence. The value may be a secret.
    Nothing(&'static str),
}
use Becomes::{Nothing, Ours, Place, Url};

const fn option(name: &'static str, becomes: Becomes) -> Renamed {
    Renamed { name, becomes }
}

const IN_OUR_FILE: &str = "Keys are not objects of the service here: they live in the keyring file, and the service holds only the key that wraps its DEK.";

const KEYRINGS: &[Keyring] = &[
    Keyring {
        name: "keyring_file",
        backend: "file",
        options: &[option("data", Place)],
        steps: "That keyring keeps every key in clear text. Bring the keys with keyring-ward import, then destroy its file and rotate (docs/guide/coming-from.md).",
    },
    Keyring {
        name: "keyring_encrypted_file",
        backend: "file",
        options: &[
            option("data", Place),
            option(
                "password",
                Nothing(
                    "A password in an option file is read by everybody who reads the file, and shown by the server. Ours is a file of its own; init makes one with --generate.",
                ),
            ),
        ],
        steps: "Its file is of a closed format: bring the keys by the server's migration mode (docs/guide/coming-from.md), then take the password out of the option file.",
    },
    Keyring {
        name: "keyring_oci",
        backend: "oci_vault",
        options: &[
            option("user", Ours("oci_vault_user_ocid")),
            option("tenancy", Ours("oci_vault_tenancy_ocid")),
            option("key_fingerprint", Ours("oci_vault_fingerprint")),
            option("key_file", Ours("oci_vault_private_key_file")),
            option("master_key", Ours("oci_vault_key_ocid")),
            option("encryption_endpoint", Url("oci_vault_crypto_endpoint")),
            option("ca_certificate", Ours("oci_vault_ca_file")),
            option("compartment", Nothing(IN_OUR_FILE)),
            option(
                "virtual_vault",
                Nothing("The vault follows from the endpoint."),
            ),
            option(
                "management_endpoint",
                Nothing("The key is made by an administrator, not by the server."),
            ),
            option("vaults_endpoint", Nothing(IN_OUR_FILE)),
            option("secrets_endpoint", Nothing(IN_OUR_FILE)),
        ],
        steps: "The keys are secrets in that vault: bring them by the server's migration mode (docs/guide/coming-from.md). On an instance of OCI, auth=instance_principal needs no user and no key file.",
    },
    Keyring {
        name: "keyring_aws",
        backend: "aws_kms",
        options: &[
            option("cmk_id", Ours("aws_kms_key_id")),
            option("region", Ours("aws_kms_region")),
            option("data_file", Place),
            option(
                "conf_file",
                Nothing(
                    "Its file has the access key in two lines. Ours is found where AWS's tools look, a role of the instance first, or is named in aws_kms_credentials_file, in AWS's own format (docs/guide/aws-kms.md).",
                ),
            ),
        ],
        steps: "Its file is of a closed format: bring the keys by the server's migration mode (docs/guide/coming-from.md).",
    },
];

/// Where our file goes if the other keyring names no place.
const FOLDER: &str = "/var/lib/mysql-keyring";

/// What became of option files.
#[derive(Debug)]
pub struct Translated {
    /// The other keyring's name.
    pub from: &'static str,
    /// Ours.
    pub written: Written,
    /// What has no counterpart: the option, where it stands, and why.
    pub left_out: Vec<(String, String, String)>,
    /// What else is to be done: full sentences.
    pub steps: Vec<String>,
}

/// Translates the groups of the server in an option file and in those that it includes: one answer for each keyring that
/// is configured there.
///
/// # Errors
/// NotFound: there is none, or no such file. InvalidInput: the server would not read the file.
pub fn translate(file: &Path) -> Result<Vec<Translated>> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut reader = Reader::new(&GROUPS, None, folder);
    let there = std::fs::File::open(file);
    there.map_err(|e| Error::io(OP, format!("'{}'", file.display()), e))?;
    reader.read(file);
    if let Some(ignored) = reader.ignored.first() {
        let why = format!("the server would not read it: {ignored}");
        return Err(Error::new(Kind::InvalidInput, OP, why).hint("Correct its mode first."));
    }
    let all: Vec<Translated> = (KEYRINGS.iter())
        .filter_map(|keyring| translate_one(keyring, &reader.lines))
        .collect();
    if all.is_empty() {
        let names: Vec<&str> = KEYRINGS.iter().map(|k| k.name).collect();
        let why = format!(
            "'{}' configures none of the keyrings that are known: {}",
            file.display(),
            names.join(", ")
        );
        return Err(Error::new(Kind::NotFound, OP, why).hint(
            "They are looked for in the groups of the server ([mysqld], [server]). Other ways to come here: docs/guide/coming-from.md.",
        ));
    }
    Ok(all)
}

/// `None`: nothing of it is configured.
fn translate_one(keyring: &'static Keyring, lines: &[Line]) -> Option<Translated> {
    let named = |line: &&Line| -> Option<&'static Renamed> {
        let rest = line.name.strip_prefix(keyring.name)?.strip_prefix('_')?;
        keyring.options.iter().find(|o| o.name == rest)
    };
    let mine: Vec<(&Line, &Renamed)> = lines.iter().filter_map(|l| Some((l, named(&l)?))).collect();
    let loads: Vec<&Line> = lines.iter().filter(|l| loads(l, keyring.name)).collect();
    if mine.is_empty() && loads.is_empty() {
        return None;
    }
    let mut values = vec![("backend", keyring.backend.to_string())];
    let (mut folder, mut left_out) = (FOLDER.to_string(), Vec::new());
    for (line, option) in mine {
        let value = line.value.as_deref().unwrap_or_default();
        match option.becomes {
            Ours(name) => values.push((name, value.into())),
            Url(name) if value.contains("://") => values.push((name, value.into())),
            Url(name) => values.push((name, format!("https://{value}"))),
            Place => {
                let parent = Path::new(value).parent().map(|p| p.display().to_string());
                folder = parent.filter(|p| p.starts_with('/')).unwrap_or(folder);
            }
            Nothing(why) => left_out.push((line.name.clone(), line.origin.clone(), why.into())),
        }
    }
    values.push(("path", format!("{folder}/keyring.ward")));
    match keyring.backend {
        "file" => values.push(("file_passphrase_file", format!("{folder}/passphrase"))),
        "oci_vault"
            if values
                .iter()
                .any(|(name, _)| *name == "oci_vault_user_ocid") =>
        {
            values.push(("oci_vault_auth", "user_key".into()));
        }
        _ => {}
    }
    let mut steps = Vec::new();
    let missing = match keyring.backend {
        "oci_vault" => &[
            (
                "oci_vault_private_key_file",
                "a file with the API key of that user",
            ),
            ("oci_vault_fingerprint", "the fingerprint of that API key"),
        ][..],
        _ => &[],
    };
    let with_user = values.iter().any(|(_, value)| value == "user_key");
    for (name, what) in missing.iter().filter(|_| with_user) {
        if !values.iter().any(|(n, _)| n == name) {
            steps.push(format!("Set {name} to {what}: the option file has none."));
        }
    }
    for line in loads {
        let value = line.value.as_deref().unwrap_or_default();
        steps.push(format!(
            "Take {}={} out ({}). Ours is named in the manifest, {{ \"components\": \"file://component_keyring_ward\" }}, or by early-plugin-load=keyring_ward.so: plugin-load-add is too late for tables that InnoDB needs at its start.",
            line.name.replace('_', "-"),
            shorten(value),
            line.origin
        ));
    }
    steps.push(keyring.steps.into());
    let values: Vec<(&str, &str)> = values.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let layer = Layer::of("the translation", &values);
    let written = match layer.clone().written() {
        Ok(written) => written,
        Err(e) => {
            steps.insert(0, format!("It is not whole yet. {e}"));
            layer.unchecked()
        }
    };
    Some(Translated {
        from: keyring.name,
        written,
        left_out,
        steps,
    })
}

/// The line loads that keyring's plugin.
fn loads(line: &Line, keyring: &str) -> bool {
    let lists = ["plugin_load", "plugin_load_add", "early_plugin_load"];
    let value = line.value.as_deref().unwrap_or_default();
    lists.contains(&line.name.as_str())
        && value
            .split([';', ':', '='])
            .any(|part| part.trim_end_matches(".so") == keyring)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Translated>> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("my.cnf");
        std::fs::write(&file, text).unwrap();
        translate(&file)
    }

    fn lines(of: &Translated) -> Vec<String> {
        of.written.lines("")
    }

    #[test]
    fn files_are_translated_and_no_password_is_shown() {
        let both = of(
            "[mysqld]\nplugin-load-add=keyring_file.so\nkeyring_file_data=/var/lib/mysql-keyring/keyring\n\
                       plugin-load-add=keyring_encrypted_file.so\nkeyring_encrypted_file_data=/var/lib/mysql-keyring/keyring\n\
                       keyring_encrypted_file_password=your_master_password\n",
        );
        let both = both.unwrap();
        let names: Vec<_> = both.iter().map(|t| t.from).collect();
        assert_eq!(names, ["keyring_file", "keyring_encrypted_file"]);
        for one in &both {
            let lines = lines(one);
            for line in [
                "backend=file",
                "path=/var/lib/mysql-keyring/keyring.ward",
                "file_passphrase_file=/var/lib/mysql-keyring/passphrase",
            ] {
                assert!(lines.iter().any(|l| l == line), "{line}: {lines:?}");
            }
            let told = format!("{one:?}");
            assert!(!told.contains("your_master_password"));
            assert!(told.contains("too late for tables"));
        }
        let (option, place, why) = &both[1].left_out[0];
        assert_eq!(option, "keyring_encrypted_file_password");
        assert!(place.contains("my.cnf") && why.contains("--generate"));
    }

    #[test]
    fn clouds_are_translated_and_what_has_no_counterpart_is_told() {
        let aws = of(
            "[mysqld]\nearly-plugin-load=keyring_aws.so\nkeyring_aws_region=us-east-1\nkeyring_aws_cmk_id=\
                      arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012\nkeyring_aws_conf_file=/c\n",
        );
        let aws = aws.unwrap().remove(0);
        let written = lines(&aws);
        assert!(
            written
                .iter()
                .any(|l| l.starts_with("aws_kms_key_id=arn:aws:kms:")),
            "{written:?}"
        );
        assert_eq!(aws.left_out.len(), 1);
        assert!(
            aws.steps.iter().all(|s| !s.contains("not whole")),
            "{:?}",
            aws.steps
        );
        let oci = of(
            "[mysqld]\nplugin-load-add=keyring_oci.so\nkeyring_oci_user=ocid1.user.oc1...\nkeyring_oci_tenancy=ocid1.tenancy.oc1...\n\
                      keyring_oci_compartment=ocid1.compartment.oc1...\nkeyring_oci_virtual_vault=ocid1.vault.oc1...\n\
                      keyring_oci_master_key=ocid1.key.oc1...\nkeyring_oci_encryption_endpoint=xxx.kms.region.oraclecloud.com\n\
                      keyring_oci_management_endpoint=m\nkeyring_oci_vaults_endpoint=v\nkeyring_oci_secrets_endpoint=s\n",
        );
        let oci = oci.unwrap().remove(0);
        let written = lines(&oci);
        for line in [
            "oci_vault_user_ocid=ocid1.user.oc1...",
            "oci_vault_crypto_endpoint=https://xxx.kms.region.oraclecloud.com",
            "oci_vault_auth=user_key",
        ] {
            assert!(written.iter().any(|l| l == line), "{line}: {written:?}");
        }
        assert_eq!(oci.left_out.len(), 5);
        let told = oci.steps.join(" ");
        assert!(
            told.contains("Set oci_vault_private_key_file") && told.contains("not whole"),
            "{told}"
        );
        let with_scheme = of("[mysqld]\nkeyring_oci_encryption_endpoint=https://x\n").unwrap();
        let written = lines(&with_scheme[0]);
        assert!(
            written.contains(&"oci_vault_crypto_endpoint=https://x".to_string()),
            "{written:?}"
        );
    }

    #[test]
    fn what_is_not_there_is_told() {
        let e = of("[mysqld]\ndatadir=/d\n[client]\nkeyring_file_data=/k\n").unwrap_err();
        assert_eq!(e.kind(), Kind::NotFound);
        assert!(
            e.to_string()
                .contains("keyring_file, keyring_encrypted_file"),
            "{e}"
        );
        let e = translate(Path::new("/nonexistent/my.cnf")).unwrap_err();
        assert_eq!(e.kind(), Kind::NotFound, "{e}");
    }
}
