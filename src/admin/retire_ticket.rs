//! What carries a look at a running server's files to that server: which of InnoDB's keys none of them names.
//!
//! The look is the tool's: closing a file in mysqld's own process would drop InnoDB's lock of it (docs/adr/0020). Owns the
//! ticket's form and its authentication: whoever could make one has InnoDB's master key already. It must never be taken for
//! another keyring, for other keys, after a rotation, or later than [`LIFE`].

use super::prove::family;
use crate::envelope::{MAC, equal, ticket_mac};
use crate::error::{Error, Kind, Result};
use crate::key::record::KeyRecord;
use crate::keyring::By;
use crate::secret::SecretPool;
use crate::text::{from_hex, hex};

const OP: &str = "retire the server's keys";
/// For how many seconds a look counts.
pub const LIFE: i64 = 900;
/// Most keys of one ticket: an argument in SQL has 4,096 bytes.
pub(super) const MOST: usize = 250;

/// The ticket for keys of one server, by their numbers. `highest`: the name of its highest key, which is `key`: by it the
/// ticket is authentic.
pub(super) fn make(key: &KeyRecord, highest: &str, numbers: &[u64], now: i64) -> Result<String> {
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    let text = format!("{highest}:{now}:{}", numbers.join(","));
    let mac = hex(&ticket_mac(&SecretPool::new(), key.material(), &text)?);
    Ok(format!("{text}:{mac}"))
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(Kind::KeyState, OP, why.into())
        .hint("Nothing was changed. keyring-ward key retire --beside-server looks at the files again.")
        .refused()
}

/// Retires the keys of a ticket. Those that are gone already are passed over. Gives the names of those that went.
///
/// # Errors
/// InvalidInput: it is no ticket. KeyState: it is of another keyring, too old, or a rotation came in between; nothing would be
/// kept. ReadOnly, Io.
pub fn redeem(keyring: &By<'_>, ticket: &str, now: i64) -> Result<Vec<String>> {
    let no_ticket = || {
        Error::new(Kind::InvalidInput, OP, "it is no answer of keyring-ward key retire").hint(
            "Nothing was changed. Give the text that keyring-ward key retire --beside-server prints, as it is.",
        )
    };
    let (text, given) = ticket.trim().rsplit_once(':').ok_or_else(no_ticket)?;
    let given = from_hex(given, MAC).filter(|mac| mac.len() == MAC);
    let given = given.ok_or_else(no_ticket)?;
    let mut parts = text.split(':');
    let (Some(highest), Some(at), Some(numbers), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(no_ticket());
    };
    let (head, most) = family(highest)
        .filter(|(head, _)| head.starts_with(crate::key::of_server::INNODB))
        .ok_or_else(no_ticket)?;
    let at: i64 = at.parse().map_err(|_| no_ticket())?;
    let numbers: Vec<u64> = (numbers.split(',').map(str::parse))
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| no_ticket())?;
    let key = keyring.fetch(highest.as_bytes(), b"")?;
    let authentic = |key: &KeyRecord| {
        ticket_mac(keyring.pool(), key.material(), text).map(|mac| equal(&mac, &given))
    };
    if !key.as_deref().map(authentic).transpose()?.unwrap_or(false) {
        return Err(refused("the ticket is of another keyring, or was changed"));
    }
    if !(0..=LIFE).contains(&now.saturating_sub(at)) {
        return Err(refused(format!(
            "the look at the files was on {}, and counts for {} minutes",
            crate::text::utc(at),
            LIFE / 60
        )));
    }
    if keyring.keeps_removed_for() == 0 {
        return Err(refused(
            "retain_removed is 0, or the keys are on a token: they would be gone at once",
        ));
    }
    let all = keyring.list();
    let ours = all.iter().filter(|key| key.id.owner().is_empty());
    let ours = ours.filter_map(|key| family(std::str::from_utf8(key.id.name()).ok()?));
    let there: Vec<u64> = ours.filter(|(h, _)| *h == head).map(|(_, n)| n).collect();
    if there.iter().any(|number| *number > most) || numbers.iter().any(|n| *n >= most) {
        return Err(refused("the server's key was rotated after the look"));
    }
    let mut gone = Vec::new();
    for number in numbers.iter().filter(|number| there.contains(number)) {
        let name = format!("{head}-{number}");
        keyring.remove(name.as_bytes(), b"")?;
        gone.push(name);
    }
    Ok(gone)
}
