//! The member `auth` of a service's section: the way in which the service knows who asks.
//!
//! Owns which members belong to which way, and the sentences about one that is missing or too many. It must never know
//! what a way does.

use super::web;
use crate::error::Result;
use crate::options::Section;
use crate::secret_source::SecretRef;

/// The way that a section names.
pub(super) struct Chosen<'a, W> {
    section: &'a Section<'a>,
    /// The way.
    pub(super) way: W,
    /// Its word.
    pub(super) word: &'static str,
}

impl<'a, W: Copy + PartialEq> Chosen<'a, W> {
    /// `ways`: each with its word; the first is that of a section that names none. `members`: those that are for some ways
    /// only, and for which.
    ///
    /// # Errors
    /// Config: there is no such way, or a member is given that is for another one.
    pub(super) fn read(
        section: &'a Section<'a>,
        ways: &[(&'static str, W)],
        members: &[(&str, &[W])],
    ) -> Result<Chosen<'a, W>> {
        let by_word: Vec<_> = ways.iter().map(|way| (way.0, *way)).collect();
        let hint = format!("Use {}.", one_of(ways.iter().map(|(word, _)| *word)));
        let chosen = section.choice("auth", &by_word, &hint)?;
        let (word, way) = chosen.unwrap_or(ways[0]);
        for (member, of) in members {
            if section.given(member).is_some() && !of.contains(&way) {
                let theirs = ways.iter().filter(|(_, way)| of.contains(way));
                return Err(section.mistake(
                    format!("{member} is given, but auth is {word}"),
                    format!(
                        "Set auth to {}, or leave {member} out.",
                        one_of(theirs.map(|(word, _)| *word))
                    ),
                ));
            }
        }
        Ok(Chosen { section, way, word })
    }

    /// The value of a member that the way can't do without.
    ///
    /// # Errors
    /// Config: it is not there.
    pub(super) fn needs<T>(&self, member: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| {
            self.section.mistake(
                format!("auth {} needs {member}", self.word),
                format!("{}.", self.section.to_set(member)),
            )
        })
    }

    /// Where the secret is that the way can't do without.
    ///
    /// # Errors
    /// Config: it is not there, or is no such place.
    pub(super) fn secret(&self, member: &'static str) -> Result<SecretRef> {
        web::line(self.section, member)?;
        self.needs(member, self.section.secret(member)?)
    }
}

/// As `a, b or c`.
fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.collect();
    match &words[..] {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        words => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_hint() {
        for (words, hint) in [
            (&["a"][..], "a"),
            (&["a", "b"], "a or b"),
            (&["a", "b", "c"], "a, b or c"),
        ] {
            assert_eq!(one_of(words.iter().copied()), hint);
        }
    }
}
