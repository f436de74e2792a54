//! Shares of a DEK: Shamir's scheme over GF(256), by the crate vsss-rs (ADR 15).
//!
//! Owns splitting and combining. Combining knows nothing of right and wrong: too few shares, or shares of two splits, give
//! another 32 bytes. So what it gives must never be used before the header's MAC has proved it, and shares of two splits
//! must never come together here.

use crate::envelope::{KEY, equal};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{MAX_SHARES, Share, Stanza};
use crate::secret::{SecretBytes, SecretPool, fill_random, wipe_stack};
use crate::text::hex;
use getrandom::SysRng;
use rand_core::UnwrapErr;
use vsss_rs::Gf256;
use zeroize::Zeroize;

const SPLIT: &str = "split the DEK";
const COMBINE: &str = "combine the shares of the DEK";

fn impossible(op: &'static str, why: impl ToString) -> Error {
    Error::new(Kind::Internal, op, why.to_string())
}

/// Splits a DEK into `shares`, of which any `threshold` give it back; the first is number 1.
///
/// # Errors
/// Internal: the numbers are impossible, or the shares do not give the DEK back.
pub(super) fn split(
    pool: &SecretPool,
    dek: &SecretBytes,
    threshold: u8,
    shares: u8,
) -> Result<Vec<SecretBytes>> {
    if dek.len() != KEY || !(2..=shares).contains(&threshold) || shares > MAX_SHARES {
        return Err(impossible(SPLIT, "the numbers of shares are impossible"));
    }
    // A generator that fails is an error here, not a panic behind it.
    fill_random(&mut [0; 1])?;
    let (needed, all) = (usize::from(threshold), usize::from(shares));
    let mut made = Gf256::split_bytes(needed, all, &dek[..], UnwrapErr(SysRng))
        .map_err(|e| impossible(SPLIT, e))?;
    wipe_stack();
    let numbers = 1..=shares;
    let parts: Result<Vec<SecretBytes>> = (made.iter().zip(numbers))
        .map(|(share, number)| match share.split_first() {
            Some((x, y)) if *x == number && y.len() == KEY => pool.copy(y),
            _ => Err(impossible(SPLIT, "a share is not what was expected")),
        })
        .collect();
    made.iter_mut().for_each(Zeroize::zeroize);
    let parts = parts?;
    prove(pool, dek, &parts, needed)?;
    Ok(parts)
}

/// The first and the last shares give the DEK: every one is in one of the two sets, or between two that are.
fn prove(pool: &SecretPool, dek: &SecretBytes, parts: &[SecretBytes], needed: usize) -> Result<()> {
    let numbered: Vec<(u8, &SecretBytes)> = (1..).zip(parts).collect();
    for some in numbered.windows(needed) {
        if !equal(&combine(pool, some)?, dek) {
            return Err(impossible(SPLIT, "the shares don't give the DEK back"));
        }
    }
    Ok(())
}

/// What these shares give, each with its number. It is the DEK only if they are as many as the threshold, and of one split.
///
/// # Errors
/// Internal: fewer than two, or two with one number.
pub(super) fn combine(pool: &SecretPool, shares: &[(u8, &SecretBytes)]) -> Result<SecretBytes> {
    let mut points: Vec<Vec<u8>> = (shares.iter())
        .map(|(number, part)| [&[*number], &part[..]].concat())
        .collect();
    let combined = Gf256::combine_bytes(&points);
    points.iter_mut().for_each(Zeroize::zeroize);
    wipe_stack();
    let mut dek = combined.map_err(|e| impossible(COMBINE, e))?;
    let kept = pool.copy(&dek);
    dek.zeroize();
    kept
}

/// The split whose shares a file has, if it has any.
///
/// # Errors
/// Tampered: it has shares of two splits.
pub(super) fn split_of(stanzas: &[Stanza]) -> Result<Option<Share>> {
    let mut found: Option<(&Share, &str)> = None;
    for holder in stanzas.iter().filter_map(|s| s.holder.as_ref()) {
        let Some(share) = &holder.share else { continue };
        match found {
            Some((first, name)) if !first.belongs_to(share) => {
                return Err(of_two_splits((first, name), (share, &holder.kek)));
            }
            Some(_) => {}
            None => found = Some((share, &holder.kek)),
        }
    }
    Ok(found.map(|(share, _)| *share))
}

fn of_two_splits(a: (&Share, &str), b: (&Share, &str)) -> Error {
    let shown = |(share, kek): (&Share, &str)| {
        let (t, n) = (share.threshold, share.shares);
        format!(
            "'{kek}' has one of split {} ({t} of {n})",
            hex(&share.split[..4])
        )
    };
    let why = format!(
        "its stanzas hold shares of two splits, which give no DEK together: {}, {}",
        shown(a),
        shown(b)
    );
    Error::new(Kind::Tampered, super::search::OP, why).hint(
        "Keyring Ward never writes such a file: somebody has put stanzas of two files into one. Restore it from a backup. Nothing was changed.",
    )
}

#[cfg(test)]
#[path = "../../tests/support/gf256.rs"]
mod gf256;

#[cfg(test)]
mod tests {
    use super::gf256::times;
    use super::*;

    fn dek(pool: &SecretPool) -> SecretBytes {
        pool.random(KEY).unwrap()
    }

    #[test]
    fn any_threshold_of_the_shares_gives_the_dek_and_fewer_do_not() {
        let pool = SecretPool::new();
        for (t, n) in [(2u8, 2u8), (2, 3), (3, 5), (5, 5), (15, 16), (16, 16)] {
            let dek = dek(&pool);
            let parts = split(&pool, &dek, t, n).unwrap();
            assert_eq!(parts.len(), usize::from(n));
            let numbered: Vec<(u8, &SecretBytes)> = (1..).zip(&parts).collect();
            let mut backwards = numbered.clone();
            backwards.reverse();
            let t = usize::from(t);
            for order in [&numbered, &backwards] {
                assert!(
                    equal(&combine(&pool, &order[..t]).unwrap(), &dek),
                    "{t} of {n}"
                );
                if t > 2 {
                    let few = combine(&pool, &order[..t - 1]).unwrap();
                    assert!(!equal(&few, &dek), "one too few of {t}");
                }
            }
            assert!(parts.iter().all(|part| !equal(part, &dek)));
        }
    }

    /// The polynomial over GF(2^8) with the reduction 0x11B (that of AES): a share is the DEK plus a line, evaluated at its
    /// number. Reckoned here by another way than the library's.
    #[test]
    fn a_share_is_a_point_of_a_polynomial_over_the_field_of_aes() {
        let pool = SecretPool::new();
        let dek = dek(&pool);
        let parts = split(&pool, &dek, 2, 16).unwrap();
        for byte in 0..KEY {
            // At 1 it is the DEK's byte plus the coefficient.
            let slope = parts[0][byte] ^ dek[byte];
            for (x, part) in (1u8..).zip(&parts) {
                assert_eq!(part[byte], dek[byte] ^ times(slope, x), "share {x}");
            }
        }
    }

    /// RUSTSEC-2024-0398 was a library whose coefficients were never 0: one share then rules out one value of each byte.
    #[test]
    fn coefficients_take_every_value() {
        let pool = SecretPool::new();
        let dek = dek(&pool);
        let mut seen = [0u32; 256];
        for _ in 0..400 {
            let parts = split(&pool, &dek, 2, 2).unwrap();
            (0..KEY).for_each(|i| seen[usize::from(parts[0][i] ^ dek[i])] += 1);
        }
        // 12,800 draws, 50 of each expected: none at all has a chance of 2^-72.
        assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
        assert!(seen.iter().all(|count| *count < 150), "{seen:?}");
    }

    #[test]
    fn impossible_numbers_and_repeated_shares_are_refused() {
        let pool = SecretPool::new();
        let dek = dek(&pool);
        for (t, n) in [(0, 3), (1, 3), (4, 3), (2, 17), (2, 0)] {
            assert!(split(&pool, &dek, t, n).is_err(), "{t} of {n}");
        }
        let parts = split(&pool, &dek, 2, 3).unwrap();
        assert!(combine(&pool, &[(1, &parts[0]), (1, &parts[0])]).is_err());
        assert!(combine(&pool, &[(0, &parts[0]), (1, &parts[1])]).is_err());
        assert!(combine(&pool, &[(1, &parts[0])]).is_err());
    }
}
