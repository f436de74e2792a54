//! The table of `scripts/bench.sh`, from its lines "RESULT MEASURE KEYRING KEYS P50 P99 SAMPLES".
//!
//! Owns which figures are put beside each other and what they must be. A figure that was not measured has no row, or is
//! blank in a row that others have.

use std::collections::BTreeMap;
use std::fmt::Write;

const LEVELS: [&str; 6] = ["0", "100", "1000", "10000", "50000", "100000"];
/// What a write of ours may take of the stock component's, with so many keys.
const WRITES: [&str; 6] = ["1.0", "1.0", "0.6", "0.10", "0.02", "0.02"];
const OPERATIONS: [&str; 3] = ["generate", "store", "remove"];

/// One measure: median, 99th percentile and number of samples, as they were printed.
type Figures<'a> = [&'a str; 3];

/// A figure's number; what is none counts for nothing.
fn number(text: &str) -> f64 {
    text.parse().unwrap_or(0.0)
}

/// How often one takes what the other does; -1 where there is no other.
fn ratio(ours: f64, other: f64) -> f64 {
    if other > 0.0 { ours / other } else { -1.0 }
}

/// A number as it is written where nothing says how: six digits that count.
fn plain(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e16 {
        return format!("{value:.0}");
    }
    let digits = value.abs().log10().floor() as i32 + 1;
    let places = usize::try_from(6 - digits).unwrap_or(0);
    let text = format!("{value:.places$}");
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// A row before it is judged.
struct Row<'a> {
    name: &'a str,
    keys: &'a str,
    figures: [String; 4],
    ratio: f64,
    target: Option<&'a str>,
}

/// The table as it grows.
#[derive(Default)]
struct Table<'a> {
    measured: BTreeMap<(&'a str, &'a str, &'a str), Figures<'a>>,
    text: String,
    met: u32,
    missed: u32,
}

/// The table.
pub fn table(log: &str) -> String {
    let mut table = Table::default();
    for line in log.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let ["RESULT", measure, keyring, keys, ref figures @ ..] = words[..] {
            let at = |n: usize| figures.get(n).copied().unwrap_or("");
            let figures = [at(0), at(1), at(2)];
            table.measured.insert((measure, keyring, keys), figures);
        }
    }
    table.head();
    table.writes();
    table.fetches();
    table.against();
    table.starts();
    for keys in ["20000", "1000000"] {
        table.million(keys);
    }
    table.logical();
    table.sealed();
    table.reencryption();
    table.access();
    table.prove();
    table.foot();
    table.text
}

impl<'a> Table<'a> {
    fn has(&self, measure: &'a str, keyring: &'a str, keys: &'a str) -> bool {
        self.measured.contains_key(&(measure, keyring, keys))
    }

    fn figures(&self, measure: &'a str, keyring: &'a str, keys: &'a str) -> Figures<'a> {
        let found = self.measured.get(&(measure, keyring, keys));
        found.copied().unwrap_or_default()
    }

    fn p50(&self, measure: &'a str, keyring: &'a str, keys: &'a str) -> f64 {
        number(self.figures(measure, keyring, keys)[0])
    }

    fn head(&mut self) {
        self.line(
            [
                "measure",
                "keys",
                "ours p50",
                "ours p99",
                "stock p50",
                "stock p99",
            ],
            format!("{:>8}", "ratio"),
            "target",
            None,
        );
    }

    fn line(&mut self, cells: [&str; 6], ratio: String, target: &str, verdict: Option<bool>) {
        let [name, keys, a, b, c, d] = cells;
        let _ = write!(
            self.text,
            "{name:<34} {keys:>7} {a:>11} {b:>11} {c:>12} {d:>12} {ratio} {target:>7}"
        );
        self.verdict(verdict);
    }

    /// Ends a line; the head has no place for a verdict.
    fn verdict(&mut self, verdict: Option<bool>) {
        let is_head = self.text.lines().count() == 1;
        let word = match verdict {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        self.met += u32::from(verdict == Some(true));
        self.missed += u32::from(verdict == Some(false));
        let _ = match is_head {
            true => writeln!(self.text),
            false => writeln!(self.text, " {word}"),
        };
    }

    fn row(&mut self, row: Row<'a>) {
        let met = row.target.map(|target| {
            let nothing_of_ours = row.figures[0].parse::<f64>().map_or_else(
                |_| matches!(row.figures[0].as_str(), "" | "-"),
                |ours| ours <= 0.0,
            );
            row.ratio <= number(target) + 0.0005 && (row.ratio >= 0.0 || nothing_of_ours)
        });
        let [a, b, c, d] = &row.figures;
        let cells = [row.name, row.keys, a, b, c, d];
        self.line(
            cells,
            format!("{:>8.3}", row.ratio),
            row.target.unwrap_or(""),
            met,
        );
    }

    /// Ours beside another keyring, by medians.
    fn beside(
        &mut self,
        name: &'a str,
        keys: &'a str,
        ours: Figures<'a>,
        other: Figures<'a>,
        target: Option<&'a str>,
    ) {
        self.row(Row {
            name,
            keys,
            figures: [ours[0], ours[1], other[0], other[1]].map(String::from),
            ratio: ratio(number(ours[0]), number(other[0])),
            target,
        });
    }

    /// Two numbers of our own.
    fn numbers(
        &mut self,
        name: &'a str,
        keys: &'a str,
        figures: [String; 2],
        ratio: f64,
        target: &'a str,
    ) {
        let [a, b] = figures;
        self.row(Row {
            name,
            keys,
            figures: [a, "-".into(), b, "-".into()],
            ratio,
            target: Some(target),
        });
    }

    /// One figure against a bound of its own.
    fn bound(&mut self, name: &str, keys: &str, value: f64, unit: &str, most: f64) {
        let (most_is, dash) = (format!("<= {}", plain(most)), "-");
        let _ = write!(
            self.text,
            "{name:<34} {keys:>7} {value:>11.2} {unit:<11} {dash:>12} {dash:>12} {dash:>8} {most_is:>7}"
        );
        self.verdict(Some(value <= most));
    }
}

impl<'a> Table<'a> {
    fn writes(&mut self) {
        for operation in OPERATIONS {
            for (keys, target) in LEVELS.into_iter().zip(WRITES) {
                if self.has(operation, "ward", keys) {
                    let ours = self.figures(operation, "ward", keys);
                    let stock = self.figures(operation, "file", keys);
                    self.beside(operation, keys, ours, stock, Some(target));
                }
            }
        }
        for keys in LEVELS {
            if self.has("floor", "disk", keys) {
                let ours = self.figures("generate", "ward", keys);
                let floor = self.figures("floor", "disk", keys);
                self.beside(
                    "generate / append + fdatasync",
                    keys,
                    ours,
                    floor,
                    Some("1.15"),
                );
            }
        }
        // What the disk alone takes of the stock component's time: where it is above 1, no durable write can be as fast.
        for keys in ["0", "100"] {
            if self.has("floor", "disk", keys) {
                let floor = self.figures("floor", "disk", keys);
                let stock = self.figures("generate", "file", keys);
                self.beside(
                    "append + fdatasync / stock generate",
                    keys,
                    floor,
                    stock,
                    None,
                );
            }
        }
        // Each over the floor of its own moment: the disk's moods are larger than what is asked for.
        let names = [
            "generate at 50000 / at 0, over floors",
            "store at 50000 / at 0, over floors",
            "remove at 50000 / at 0, over floors",
        ];
        for (operation, name) in OPERATIONS.into_iter().zip(names) {
            if self.has(operation, "ward", "50000") {
                let over = |keys| {
                    ratio(
                        self.p50(operation, "ward", keys),
                        self.p50("floor", "disk", keys),
                    )
                };
                let (many, none) = (over("50000"), over("0"));
                let figures = [format!("{many:.3}"), format!("{none:.3}")];
                self.numbers(name, "50000", figures, ratio(many, none), "1.1");
            }
        }
    }

    fn fetches(&mut self) {
        let clients = [
            (
                "fetch_1_clients",
                "fetch, BENCHMARK, 1 clients",
                "fetch_1_clients_beside_writer",
                "fetch beside a writer, 1 clients",
            ),
            (
                "fetch_2_clients",
                "fetch, BENCHMARK, 2 clients",
                "fetch_2_clients_beside_writer",
                "fetch beside a writer, 2 clients",
            ),
            (
                "fetch_4_clients",
                "fetch, BENCHMARK, 4 clients",
                "fetch_4_clients_beside_writer",
                "fetch beside a writer, 4 clients",
            ),
            (
                "fetch_8_clients",
                "fetch, BENCHMARK, 8 clients",
                "fetch_8_clients_beside_writer",
                "fetch beside a writer, 8 clients",
            ),
        ];
        for (alone, name, beside, name_beside) in clients {
            for keys in LEVELS {
                if self.has(alone, "ward", keys) {
                    let ours = self.figures(alone, "ward", keys);
                    let stock = self.figures(alone, "file", keys);
                    self.beside(name, keys, ours, stock, Some("0.9"));
                }
                if self.has(beside, "ward", keys) {
                    let [ours, stock] =
                        ["ward", "file"].map(|of| [self.figures(beside, of, keys)[0], "-", ""]);
                    self.beside(name_beside, keys, ours, stock, None);
                }
            }
        }
        for keys in LEVELS {
            if self.has("fetch_beside_writer", "ward", keys) {
                let ours = self.figures("fetch_beside_writer", "ward", keys);
                let stock = self.figures("fetch_beside_writer", "file", keys);
                self.row(Row {
                    name: "fetch beside a writer, p99",
                    keys,
                    figures: [ours[0], ours[1], stock[0], stock[1]].map(String::from),
                    ratio: ratio(number(ours[1]), number(stock[1])),
                    target: Some("0.10"),
                });
            }
        }
    }

    /// Another build of ours instead of the stock component, in turn in one run.
    fn against(&mut self) {
        for (measure, name) in [
            ("against_fetch", "fetch / the other library's"),
            ("against_generate", "generate / the other library's"),
            ("against_floor", "append + fdatasync, in each turn"),
        ] {
            for keys in LEVELS {
                if self.has(measure, "ward", keys) {
                    let ours = self.figures(measure, "ward", keys);
                    let other = self.figures(measure, "other", keys);
                    let target = (measure != "against_floor").then_some("1.03");
                    self.beside(name, keys, ours, other, target);
                }
            }
        }
    }

    fn starts(&mut self) {
        for (measure, name) in [
            ("start_difference", "start minus start without keyring"),
            ("reload", "ALTER INSTANCE RELOAD KEYRING"),
            ("memory", "memory for each key, bytes"),
            ("scan", "scan of keyring_keys"),
        ] {
            for keys in LEVELS {
                if !self.has(measure, "ward", keys) {
                    continue;
                }
                let target = match (measure, keys) {
                    ("start_difference", "50000" | "100000") => Some("0.25"),
                    ("reload", "100" | "1000") => continue,
                    ("reload", "0") => Some("1.5"),
                    ("scan", "10000") => Some("0.9"),
                    ("memory", _) => {
                        self.memory(name, keys);
                        continue;
                    }
                    _ => None,
                };
                let ours = self.figures(measure, "ward", keys);
                let stock = self.figures(measure, "file", keys);
                self.beside(name, keys, ours, stock, target);
            }
        }
    }

    fn memory(&mut self, name: &'a str, keys: &'a str) {
        if number(keys) < 10_000.0 {
            return;
        }
        let [ours, stock] = ["ward", "file"]
            .map(|of| (self.p50("memory", of, keys) - self.p50("memory", of, "0")) / number(keys));
        let figures = [ours, stock].map(|each| format!("{:.0}", each.trunc()));
        self.numbers(name, keys, figures, ratio(ours, stock), "0.5");
    }

    fn million(&mut self, keys: &'a str) {
        const START: &str = "million_start";
        if !self.has(START, "ward", keys) {
            return;
        }
        let start = self.figures(START, "ward", keys)[0];
        let empty = self.p50(START, "empty", keys);
        self.bound(
            "these keys at a start, seconds",
            keys,
            (number(start) - empty) / 1e6,
            "s",
            1.0,
        );
        let (ours, stock) = (
            [start, start, ""],
            [self.figures(START, "file", keys)[0], "-", ""],
        );
        self.beside(
            "start minus start without keyring",
            keys,
            ours,
            stock,
            Some("0.2"),
        );
        let peak = self.p50("million_peak", "ward", keys) - self.p50("million_peak", "empty", keys);
        self.bound(
            "peak memory over that at 0 keys",
            keys,
            peak / 1e6,
            "MB",
            300.0,
        );
        let bytes = self.p50("file_bytes", "ward", keys);
        self.bound("the file", keys, bytes / 1_048_576.0, "MiB", 256.0);
        self.bound(
            "import",
            keys,
            self.p50("import", "ward", keys) / 1e6,
            "s",
            20.0,
        );
        let over = |of| {
            ratio(
                self.p50("generate_million", of, keys),
                self.p50("floor_million", of, keys),
            )
        };
        let (many, none) = (over("ward"), over("empty"));
        let figures = [format!("{many:.3}"), format!("{none:.3}")];
        self.numbers(
            "generate beside them / at 0, over floors",
            keys,
            figures,
            ratio(many, none),
            "1.1",
        );
    }

    /// Logical keys beside plain ones.
    fn logical(&mut self) {
        for (name, ours, plain, levels, target) in [
            (
                "fetch by a name that follows",
                "fetch_follow",
                "fetch_plain",
                ["2", ""],
                "1.1",
            ),
            (
                "rotate / generate",
                "rotation_rotate",
                "rotation_generate",
                ["20", "200"],
                "1.1",
            ),
            (
                "load() with attributes / without",
                "load_logical",
                "load_plain",
                ["1000", "100000"],
                "1.2",
            ),
        ] {
            for keys in levels {
                if self.has(ours, "ward", keys) {
                    let (ours, plain) = (
                        self.figures(ours, "ward", keys),
                        self.figures(plain, "ward", keys),
                    );
                    self.beside(name, keys, ours, plain, Some(target));
                }
            }
        }
    }

    /// Values sealed in SQL beside the server's AES with a key that is fetched for it.
    fn sealed(&mut self) {
        for (name, ours, stock) in [
            (
                "encrypt / AES_ENCRYPT with fetch",
                "sealed_seal",
                "sealed_aes_enc",
            ),
            (
                "decrypt / AES_DECRYPT with fetch",
                "sealed_open",
                "sealed_aes_dec",
            ),
        ] {
            if self.has(ours, "ward", "2") {
                let ours = self.figures(ours, "ward", "2");
                let stock = self.figures(stock, "ward", "2");
                self.beside(name, "2", ours, stock, Some("0.8"));
            }
        }
    }

    /// Re-encrypting a column beside an UPDATE, and what the SQL component adds to a start.
    fn reencryption(&mut self) {
        for rows in ["2000", "100000", "1000000"] {
            if self.has("reencrypt_column", "ward", rows) {
                let ours = self.figures("reencrypt_column", "ward", rows);
                let update = self.figures("reencrypt_update", "ward", rows);
                self.beside("reencrypt_column / UPDATE", rows, ours, update, Some("1.5"));
            }
        }
        if self.has("sql_component_start", "ward", "1") {
            let more = self.p50("sql_component_start", "ward", "1") / 1000.0;
            self.bound("SQL component at a start", "1", more, "ms", 5.0);
        }
    }

    /// What a policy of so many rules adds to a fetch, in microseconds.
    fn access(&mut self) {
        if self.has("fetch_policy", "ward", "100") {
            let more =
                self.p50("fetch_policy", "ward", "100") - self.p50("fetch_policy", "ward", "0");
            self.bound("a fetch more by a policy, rules", "100", more, "us", 0.3);
        }
    }

    fn prove(&mut self) {
        for files in ["200", "10000"] {
            if self.has("prove", "ward", files) {
                let seconds = self.p50("prove", "ward", files) / 1e6;
                self.bound("prove, encrypted tablespaces", files, seconds, "s", 2.0);
            }
        }
    }

    fn foot(&mut self) {
        let samples = |of, keys| self.figures("generate", of, keys)[2];
        let line = format!(
            "start without keyring: {}; disk's append + fdatasync p50 at 0 keys: {}; samples of generate at 0 / 100000 keys: ours {} / {}, stock {} / {}\n{} targets met, {} missed\n",
            self.figures("start", "none", "0")[0],
            self.figures("floor", "disk", "0")[0],
            samples("ward", "0"),
            samples("ward", "100000"),
            samples("file", "0"),
            samples("file", "100000"),
            self.met,
            self.missed
        );
        self.text += &line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_or_missed() {
        let said = table(
            "RESULT generate ward 0 100.00 120.00 50\nRESULT generate file 0 200.00 210.00 50\n\
             RESULT generate ward 1000 130.00 140.00 50\nRESULT generate file 1000 200.00 210.00 50\nnoise\n",
        );
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 5, "{said}");
        assert!(lines[1].ends_with("   0.500     1.0 met"), "{said}");
        assert!(lines[2].ends_with("   0.650     0.6 MISSED"), "{said}");
        assert!(said.ends_with("1 targets met, 1 missed\n"), "{said}");
    }

    #[test]
    fn what_has_nothing_beside_it_does_not_meet_its_target() {
        let said = table("RESULT generate ward 0 100.00 120.00 50\n");
        assert!(said.contains("  -1.000     1.0 MISSED"), "{said}");
    }

    #[test]
    fn logical_keys_stand_beside_plain_ones() {
        let said = table(
            "RESULT fetch_plain ward 2 0.20 0.30 5\nRESULT fetch_follow ward 2 0.23 0.30 5\n\
             RESULT load_plain ward 100000 60000 1 5\nRESULT load_logical ward 100000 66000 1 5\nRESULT prove ward 10000 2100000 1 5\n",
        );
        let lines: Vec<_> = said.lines().collect();
        assert!(lines[1].ends_with("   1.150     1.1 MISSED"), "{said}");
        assert!(lines[2].ends_with("   1.100     1.2 met"), "{said}");
        assert!(lines[3].ends_with("<= 2 MISSED"), "{said}");
    }

    #[test]
    fn a_re_encryption_stands_beside_an_update() {
        let said = table(
            "RESULT reencrypt_column ward 100000 3000000 3000000 3\nRESULT reencrypt_update ward 100000 1500000 1500000 3\n\
             RESULT sql_component_start ward 1 4900 9000 21\n",
        );
        let lines: Vec<_> = said.lines().collect();
        assert!(lines[1].ends_with("   2.000     1.5 MISSED"), "{said}");
        assert!(lines[2].ends_with("<= 5 met"), "{said}");
    }

    #[test]
    fn the_figures_of_a_million_keys_have_bounds() {
        let said = table(
            "RESULT million_start ward 1000000 900000 1 1\nRESULT million_start empty 1000000 100000 1 1\n\
             RESULT million_start file 1000000 9000000 1 1\nRESULT import ward 1000000 21000000 1 1\n",
        );
        let line = |name: &str| said.lines().find(|l| l.starts_with(name)).unwrap_or("");
        assert!(
            line("these keys at a start")
                .ends_with("0.80 s                      -            -        -    <= 1 met"),
            "{said}"
        );
        assert!(line("import").ends_with("<= 20 MISSED"), "{said}");
    }
}
