//! What only the provider of a KEK can say of it.

use super::{Look, Verdict};
use crate::config::Config;

pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    for remark in config.keks.all_keys().flat_map(|key| key.remarks()) {
        let verdict = match remark.remedy.is_empty() {
            true => Verdict::Ok,
            false => Verdict::Warning,
        };
        look.say(remark.what, verdict, remark.detail, remark.remedy);
    }
}
