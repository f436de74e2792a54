//! `keyring-ward rekey`

use super::{Aim, Change, TornEnd, print, print_answer, print_configuration, print_would};
use crate::options::{Asked, Keyring, SOMEWHERE, file_config, file_written, set};
use keyring_ward::admin::keys::told_retired;
use keyring_ward::admin::pin::{Pin, Pinned};
use keyring_ward::admin::rekey::{self, Purge, could_rekey, could_reseal, rekey};
use keyring_ward::config::written::Written;
use keyring_ward::config::{Config, KekList, Layer};
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::kek::file::LocalConfig;
use keyring_ward::keyring::RetiredKey;
use keyring_ward::os::signals;
use keyring_ward::secret_source::SecretRef;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The keyring's options name it as it is now; the --new- options name the KEK that it gets.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("new").required(true))]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
    /// The file that holds the new passphrase, or credential:NAME
    #[arg(long, value_name = "FILE", group = "new")]
    new_passphrase_file: Option<String>,
    /// The new key file, or credential:NAME
    #[arg(long, value_name = "FILE", group = "new")]
    new_key_file: Option<String>,
    /// Read the new passphrase from this descriptor, e.g. 3 with 3<file
    #[arg(long, value_name = "NUMBER", group = "new")]
    new_passphrase_fd: Option<u32>,
    /// Ask for the new passphrase on the terminal
    #[arg(long, group = "new")]
    new_passphrase_prompt: bool,
    /// A JSON configuration whose KEK is the new one, of any backend; its path must be the same
    #[arg(long, value_name = "FILE", group = "new")]
    new_config: Option<PathBuf>,
    /// Make the new KEK; it must not exist yet
    #[arg(long)]
    generate: bool,
    /// Keep the DEK: whoever has the old KEK and an old copy can then open the new file as well
    #[arg(long)]
    keep_dek: bool,
    #[command(flatten)]
    wait: Wait,
    /// Check what can be checked, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    end: TornEnd,
}

/// For configurations that pin the DEK's fingerprint.
#[derive(clap::Args)]
pub struct Wait {
    /// Where the configuration pins the DEK's fingerprint: tell the new one, and wait so long until the configuration names
    /// it as well
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=86_400))]
    seconds: u64,
}

impl Wait {
    pub fn pin<'a>(&self, pinned: &'a dyn Fn() -> Result<Vec<Pinned>>) -> Pin<'a> {
        Pin {
            pinned,
            wait: Duration::from_secs(self.seconds),
            tell: &tell,
        }
    }
}

/// Beside what is printed for programs.
fn tell(sentence: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{sentence}");
}

/// What a server does itself that holds the keyring.
pub fn or_by_sql(e: Error, function: &str) -> Error {
    match e.kind() {
        Kind::Locked => e.hint(format!(
            "Stop the other server or tool. A server that runs can do it itself: SELECT {function} (share/install.sql)."
        )),
        _ => e,
    }
}

/// `keyring-ward reseal`
#[derive(clap::Args)]
pub struct Reseal {
    #[command(flatten)]
    pub change: Change,
    /// End retired keys before: those whose time (retain_removed) is over, or all of them. What is held stays
    #[arg(long, value_name = "WHICH", num_args = 0..=1, default_missing_value = "over", value_parser = ["over", "all"])]
    purge_retired: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

impl Args {
    /// The keyring that it is about.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }
}

impl Args {
    /// The configuration with the new KEK, as an administrator writes it down.
    fn written(&self) -> Result<Written> {
        if let Some(file) = &self.new_config {
            return file_written(file);
        }
        let mut new = Layer::from_origin("the command line");
        match &self.new_key_file {
            Some(file) => set(&mut new, "file_key_file", file),
            None => {
                let file = self.new_passphrase_file.as_deref();
                set(&mut new, "file_passphrase_file", file.unwrap_or(SOMEWHERE));
            }
        }
        self.keyring.written_with(new)
    }
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    let by_sql = |e| {
        or_by_sql(
            e,
            "keyring_ward_rekey(), after the change of the configuration",
        )
    };
    let aim = Aim::to_write(&args.keyring, &args.end)?;
    let config = &aim.config;
    let asked = Asked {
        fd: args.new_passphrase_fd,
        prompt: args.new_passphrase_prompt,
    };
    let keks: KekList = if let Some(held) = asked.read("New passphrase: ", true)? {
        LocalConfig::Passphrase(SecretRef::Held(held)).into()
    } else {
        match (
            &args.new_passphrase_file,
            &args.new_key_file,
            &args.new_config,
        ) {
            (Some(file), _, _) => LocalConfig::Passphrase(SecretRef::parse(
                file,
                "--new-passphrase-file",
                "the command line",
            )?)
            .into(),
            (_, Some(file), _) => LocalConfig::KeyFile(SecretRef::parse(
                file,
                "--new-key-file",
                "the command line",
            )?)
            .into(),
            (_, _, file) => {
                let new = file_config(file.as_deref().unwrap_or(Path::new("")))?;
                if new.path != config.path {
                    return Err(Error::new(
                        Kind::Config,
                        "read the new configuration",
                        format!(
                            "it names the keyring '{}' instead of '{}'",
                            new.path.display(),
                            config.path.display()
                        ),
                    )
                    .hint("Give both configurations the same path."));
                }
                new.keks
            }
        }
    };
    if args.dry_run {
        let keys = could_rekey(aim.target(), &keks, args.generate).map_err(by_sql)?;
        print_would(
            json,
            &format!(
                "put '{}' with {keys} keys under the new KEK",
                config.path.display()
            ),
        );
        return Ok(());
    }
    let written = args.written()?;
    signals::hold_back();
    let pinned = || {
        let mut all = vec![args.keyring.pinned()?];
        if let Some(file) = &args.new_config {
            all.push(file_config(file)?.fingerprint);
        }
        Ok(all)
    };
    let pin = args.wait.pin(&pinned);
    let done = rekey(aim.target(), &keks, args.keep_dek, args.generate, &pin).map_err(by_sql)?;
    if json {
        print_answer(json_of(&done));
        return Ok(());
    }
    if let Some(made) = &done.made {
        print(made);
    }
    let dek = if args.keep_dek {
        "the same DEK"
    } else {
        "a new DEK"
    };
    let kek = match (done.same_key, keks.listed) {
        (true, _) => "the same key as before, wrapped in another way,".to_string(),
        (false, false) => "the new KEK".into(),
        (false, true) => format!("{} KEKs", keks.len()),
    };
    for remark in keks.remarks() {
        eprintln!("warning: {remark}");
    }
    print_done(config, &format!("{kek} with {dek}"), &done);
    print("Name the new KEK in the server's configuration before it is started:\n");
    print_configuration(&written);
    print("");
    print("Keep the old KEK as long as backups of the old file are kept.");
    print(
        "If the old KEK was disclosed, rotate MySQL's own keys next: ALTER INSTANCE ROTATE INNODB MASTER KEY, ALTER INSTANCE ROTATE BINLOG MASTER KEY.",
    );
    Ok(())
}

pub fn json_of(done: &rekey::Outcome) -> serde_json::Value {
    serde_json::json!({
        "keys": done.keys, "generation": done.generation, "fingerprint": done.fingerprint,
        "pin_is_stale": done.pin_is_stale, "same_key": done.same_key,
    })
}

pub fn print_done(config: &Config, under: &str, done: &rekey::Outcome) {
    print(&format!(
        "'{}' is now under {under}: {} keys, generation {}, fingerprint {}.",
        config.path.display(),
        done.keys,
        done.generation,
        done.fingerprint
    ));
    if done.pin_is_stale {
        print(
            "The configuration pins the old fingerprint as well: take it out when no copy under the old DEK is needed any more.",
        );
    }
}

/// A retired key, for people.
fn removal(key: &RetiredKey) -> String {
    let number = key.removal.number;
    let at = keyring_ward::text::utc(key.removal.removed_at);
    format!("{} (removal {number}, {at})", key.info.id)
}

/// `keyring-ward reseal`
pub fn reseal(args: &Reseal, json: bool) -> Result<()> {
    let purge = match args.purge_retired.as_deref() {
        None => Purge::Nothing,
        Some("all") => Purge::All,
        Some(_) => Purge::Over,
    };
    let Reseal {
        change: args, wait, ..
    } = args;
    let by_sql = |e| or_by_sql(e, "keyring_ward_reseal()");
    let aim = Aim::to_write(&args.keyring, &args.end)?;
    let config = &aim.config;
    if args.dry_run {
        let (keys, purged) = could_reseal(aim.target(), purge).map_err(by_sql)?;
        let ended: Vec<String> = purged.iter().map(removal).collect();
        let ended = match ended.is_empty() {
            true => String::new(),
            false => format!("end the retired keys {}, and ", ended.join(", ")),
        };
        let path = config.path.display();
        let what = format!("{ended}write '{path}' with {keys} keys under a new DEK");
        print_would(json, &what);
        return Ok(());
    }
    signals::hold_back();
    let pinned = || Ok(vec![args.keyring.pinned()?]);
    let done = rekey::reseal(aim.target(), &wait.pin(&pinned), purge).map_err(by_sql)?;
    if json {
        let mut answer = json_of(&done);
        answer["purged"] = done.purged.iter().map(told_retired).collect();
        print_answer(answer);
        return Ok(());
    }
    for key in &done.purged {
        print(&format!("Ended the retired key {}.", removal(key)));
    }
    if purge != Purge::Nothing && done.purged.is_empty() {
        print("No retired key was to be ended.");
    }
    print_done(config, "the same KEK with a new DEK", &done);
    print("Removed keys are gone from the file. Older copies of it still open with the same KEK.");
    Ok(())
}
