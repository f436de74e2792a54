//! Several KEKs: whether each of them opens the keyring, and what a list of them should have.

use super::{Look, Verdict};
use crate::admin::keks::{self, Answer, KekInfo, Use};
use crate::config::Config;

const WHAT: &str = "KEK";

/// Asks every KEK of a list.
pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    if !config.keks.listed {
        return;
    }
    for sentence in config.keks.remarks() {
        look.warn(WHAT, sentence.trim_end_matches('.'), "");
    }
    // That the keyring does not open is said already, with what is wrong with each KEK.
    for kek in keks::test(config).unwrap_or_default() {
        let (verdict, detail, remedy) = told(&kek);
        look.say(
            WHAT,
            verdict,
            format!("'{}': {detail}", kek.naming.name),
            remedy,
        );
    }
}

fn told(kek: &KekInfo) -> (Verdict, String, String) {
    let sync = || "Run keyring-ward kek sync.".to_string();
    match &kek.answer {
        _ if kek.wrapped == Some(false) => {
            let detail = format!(
                "{} has no stanza in the keyring: it can't open it",
                kek.describe
            );
            (Verdict::Warning, detail, sync())
        }
        Answer::Opened => {
            let took = kek.latency.unwrap_or_default().as_millis();
            (
                Verdict::Ok,
                format!("{} answers, {took} ms", kek.describe),
                String::new(),
            )
        }
        Answer::NotAsked if kek.naming.usage == Use::Recovery => {
            let detail = format!("{}, for recovery, was not asked", kek.describe);
            (Verdict::Ok, detail, String::new())
        }
        Answer::NotAsked => (
            Verdict::Ok,
            format!("{} was not asked", kek.describe),
            String::new(),
        ),
        Answer::Failed { message, .. } => {
            let remedy = "The keyring opens without it; a start has one KEK less to rely on.";
            (Verdict::Warning, message.clone(), remedy.into())
        }
    }
}
