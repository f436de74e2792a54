//! Takes the commands out of a Markdown page: every fenced block, and the directives for it that a reader does not see.
//!
//! Owns the directives. Every block becomes a step, whether a directive stands before it or not: what can't be run is a
//! step of the kind "error", and none is left out. Directives, each a line of its own:
//!
//! ```text
//! <!-- scenarios: NAME… -->            in which orders the page is read, once at its head; each starts in a fresh place
//! <!-- run: [in=NAME,…] [WHAT] -->     the next block: sh, sql (default by its language), file=PATH, append=PATH, or skip REASON
//! <!-- do: [in=NAME,…] ACTION [WORD…] -->  what the sentence before it tells to do, a function do_ACTION of docs-tests.sh
//! <!-- expect: TEXT -->                the next block's output contains TEXT; any number of them
//! <!-- fails: TEXT -->                 the next block fails, and its output contains TEXT
//! <!-- input: PROMPT => TEXT -->       the next block asks PROMPT on the terminal, and a person types TEXT; in the order of asking
//! ```
//!
//! FOLDER/steps gets a line per step: line, kind, argument, scenarios (or -), number, separated by tabs; FOLDER/NUMBER is
//! the block, FOLDER/NUMBER.expect and FOLDER/NUMBER.input what a directive said of it.

use crate::Result;
use std::path::Path;

const DIRECTIVES: [&str; 6] = ["scenarios", "run", "do", "expect", "fails", "input"];
const BLANK: [char; 2] = [' ', '\t'];

/// One step of a page.
#[derive(Default)]
struct Step {
    line: usize,
    kind: String,
    argument: String,
    scenarios: String,
    block: String,
    expected: String,
    typed: String,
}

/// What the directives before a block said of it.
#[derive(Default)]
struct Said {
    what: String,
    scenarios: String,
    expected: String,
    typed: String,
}

/// The steps of a page.
#[derive(Default)]
pub struct Page {
    steps: Vec<Step>,
    said: Said,
    /// The line of the last directive that waits for a block.
    pending: Option<usize>,
    /// The white space before the fence of the block that this line is in.
    inside: Option<String>,
}

/// Takes "in=a,b" off the front of a directive's text: where, and the rest.
fn scope(text: &str) -> (&str, &str) {
    match text.strip_prefix("in=") {
        Some(named) => named.split_once(' ').unwrap_or((named, "")),
        None => ("", text),
    }
}

/// A comment in the line begins as one of ours does.
fn begins_directive(line: &str) -> bool {
    let ours = |text: &str| DIRECTIVES.into_iter().any(|word| text.starts_with(word));
    line.split("<!--")
        .skip(1)
        .any(|behind| ours(behind.trim_start_matches(' ')))
}

/// Word and text of a directive that is a line of its own.
fn whole_directive(line: &str) -> Option<(&'static str, &str)> {
    let line = line.trim_matches(BLANK);
    let inner = line.strip_prefix("<!--")?.strip_suffix(" -->")?;
    let inner = inner.trim_matches(' ');
    DIRECTIVES.into_iter().find_map(|word| {
        let text = inner.strip_prefix(word)?.strip_prefix(':')?;
        Some((word, text.trim_start_matches(' ')))
    })
}

/// All steps of a page.
pub fn extract(text: &str) -> Page {
    let mut page = Page::default();
    let mut last = 0;
    for (at, line) in text.lines().enumerate() {
        last = at + 1;
        page.line(last, line);
    }
    page.nothing_follows(last);
    if page.inside.is_some() {
        page.wrong(last, "the last block is not closed");
    }
    page
}

impl Page {
    fn step(&mut self, line: usize, kind: &str, argument: &str, scenarios: &str) {
        self.steps.push(Step {
            line,
            kind: kind.into(),
            argument: argument.into(),
            scenarios: scenarios.into(),
            ..Step::default()
        });
    }

    fn wrong(&mut self, line: usize, why: &str) {
        self.step(line, "error", why, "");
    }

    /// A directive waits for a block, and here is none.
    fn nothing_follows(&mut self, line: usize) {
        if let Some(of) = self.pending.take() {
            self.wrong(
                line,
                &format!("the directive of line {of} stands before no block"),
            );
            self.said = Said::default();
        }
    }

    fn line(&mut self, at: usize, line: &str) {
        let unindented = line.trim_start_matches(BLANK);
        if let Some(indent) = &self.inside {
            if unindented.trim_end_matches(BLANK) == "```" {
                self.inside = None;
            } else if let Some(step) = self.steps.last_mut() {
                step.block += line.strip_prefix(indent.as_str()).unwrap_or(line);
                step.block.push('\n');
            }
        } else if unindented.starts_with("```") {
            let info = unindented.trim_start_matches('`').trim_start_matches(BLANK);
            let language = info.split(BLANK).next().unwrap_or("");
            self.begin_block(at, language);
            self.inside = Some(line[..line.len() - unindented.len()].into());
        } else if let Some((word, text)) = whole_directive(line) {
            self.directive(at, word, text);
        } else if begins_directive(line) {
            self.wrong(
                at,
                "a directive that is not a line of its own, or not closed",
            );
        } else if !unindented.is_empty() {
            self.nothing_follows(at);
        }
    }

    fn directive(&mut self, at: usize, word: &str, text: &str) {
        match word {
            "scenarios" => return self.step(at, word, text, ""),
            "do" => {
                let (scenarios, action) = scope(text);
                return self.step(at, word, action, scenarios);
            }
            "run" => {
                if !self.said.what.is_empty() || !self.said.scenarios.is_empty() {
                    self.wrong(at, "two run: before one block");
                }
                let (scenarios, what) = scope(text);
                self.said.what = what.into();
                self.said.scenarios = scenarios.into();
            }
            "input" => self.said.typed += &format!("{text}\n"),
            _ => self.said.expected += &format!("{word}\t{text}\n"),
        }
        self.pending = Some(at);
    }

    fn begin_block(&mut self, at: usize, language: &str) {
        let said = std::mem::take(&mut self.said);
        self.pending = None;
        let what = if said.what.is_empty() {
            language
        } else {
            &said.what
        };
        let (kind, argument) = match what.split_once([' ', '=']) {
            Some(("skip", reason)) if what.starts_with("skip ") => ("skip", reason),
            Some((kind @ ("file" | "append"), path)) if path.starts_with('/') => (kind, path),
            _ => (what, ""),
        };
        if kind != "sh" && kind != "sql" && argument.is_empty() {
            let why =
                format!("nothing says what is to be done with this block (language '{language}')");
            self.step(at, "error", &why, &said.scenarios);
        } else {
            self.step(at, kind, argument, &said.scenarios);
        }
        if let Some(step) = self.steps.last_mut() {
            step.expected = said.expected;
            step.typed = said.typed;
        }
    }

    /// The lines of FOLDER/steps.
    fn steps(&self) -> String {
        let or_dash = |text: &str| if text.is_empty() { "-" } else { text }.to_string();
        let row = |(number, step): (usize, &Step)| {
            let Step { line, kind, .. } = step;
            let (argument, scenarios) = (or_dash(&step.argument), or_dash(&step.scenarios));
            format!(
                "{line}\t{kind}\t{argument}\t{scenarios}\t{:03}\n",
                number + 1
            )
        };
        self.steps.iter().enumerate().map(row).collect()
    }

    /// Writes the steps and their blocks into a folder.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let put = |name: String, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .map_err(|e| format!("{} can't be written: {e}.", path.display()))
        };
        put("steps".into(), &self.steps())?;
        for (number, step) in self.steps.iter().enumerate() {
            let number = number + 1;
            put(format!("{number:03}"), &step.block)?;
            for (what, text) in [("expect", &step.expected), ("input", &step.typed)] {
                if !text.is_empty() {
                    put(format!("{number:03}.{what}"), text)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the extractor must never let pass: a block that nobody runs, a directive that reaches none.
    #[test]
    fn the_extractor_misses_nothing() {
        let nothing = |language: &str| {
            format!(
                "error\tnothing says what is to be done with this block (language '{language}')\t-"
            )
        };
        let cases = [
            ("```sh\nls\n```\n", "1\tsh\t-\t-".to_string()),
            ("```\nls\n```\n", format!("1\t{}", nothing(""))),
            ("```ini\n[a]\n```\n", format!("1\t{}", nothing("ini"))),
            (
                "<!-- run: in=a,b append=/etc/my.cnf -->\n```ini\n[a]\n```\n",
                "2\tappend\t/etc/my.cnf\ta,b".into(),
            ),
            (
                "<!-- run: in=a -->\n```sql\nSELECT 1\n```\n",
                "2\tsql\t-\ta".into(),
            ),
            (
                "<!-- run: skip it takes an hour -->\n\n```sh\nls\n```\n",
                "3\tskip\tit takes an hour\t-".into(),
            ),
            (
                "<!-- run: skip -->\n```sh\nls\n```\n",
                format!("2\t{}", nothing("sh")),
            ),
            (
                "<!-- expect: x -->\nText.\n",
                "2\terror\tthe directive of line 1 stands before no block\t-".into(),
            ),
            (
                "<!-- run: sh -->\n",
                "1\terror\tthe directive of line 1 stands before no block\t-".into(),
            ),
            (
                "<!-- run: sh\n-->\n",
                "1\terror\ta directive that is not a line of its own, or not closed\t-".into(),
            ),
            (
                "```sh\nls\n",
                "1\tsh\t-\t-;2\terror\tthe last block is not closed\t-".into(),
            ),
            (
                "1. x\n   ```sh\n   ls\n   ```\n<!-- do: in=b restart -->\n",
                "2\tsh\t-\t-;5\tdo\trestart\tb".into(),
            ),
            (
                "<!-- run: in=a -->\n<!-- run: sh -->\n```\nls\n```\n",
                "2\terror\ttwo run: before one block\t-;3\tsh\t-\t-".into(),
            ),
        ];
        for (text, expected) in cases {
            let steps = extract(text).steps();
            let found: Vec<_> = steps
                .lines()
                .filter_map(|l| Some(l.rsplit_once('\t')?.0))
                .collect();
            assert_eq!(found.join(";"), expected, "{text}");
        }
    }

    #[test]
    fn a_block_loses_the_fences_indentation_alone() {
        let page = extract("1. x\n   ```sh\n   ls\n     -l\n   ```\n");
        assert_eq!(page.steps[0].block, "ls\n  -l\n");
    }

    #[test]
    fn what_is_expected_and_typed_belongs_to_the_next_block_alone() {
        let page = extract(
            "<!-- scenarios: a b -->\n<!-- fails: KW-0001 -->\n<!-- expect: x -->\n<!-- input: Really? => yes -->\n```sh\nls\n```\n```sh\nls\n```\n",
        );
        assert_eq!(page.steps().lines().count(), 3);
        assert_eq!(page.steps[1].expected, "fails\tKW-0001\nexpect\tx\n");
        assert_eq!(page.steps[1].typed, "Really? => yes\n");
        assert_eq!(page.steps[2].expected, "");
    }
}
