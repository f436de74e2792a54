//! What the scripts of the harness compute: judgements over traces, dumps, memory and figures, and files that are made to
//! be refused.
//!
//! Owns the words of the command line. It must never start a server or change one: that is the scripts'. It knows nothing
//! of the library either, so that a mistake in that can't hide itself here; `tests/support/torture.rs` has the judge that
//! opens keyrings.
//!
//! ```text
//! judge syscalls [--paths | --table ACCOUNT] TRACE   who did which call, from a trace of strace -f
//! judge calls [--short] TRACE                        the calls of a trace that name the keyring's folder or the data directory
//! judge blocks FOLDER PAGE                           the commands of a page, for docs-tests.sh
//! judge compare KEYRING BASE ACKS DUMP PREFIX [LAST] what a keyring lost of what a server acknowledged
//! judge full ACKS DUMP                               the same after a full disk: lost, served though refused, acknowledged
//! judge bench LOG                                    the table of scripts/bench.sh
//! judge craft IN OUT KIB PASSES LANES [STANZAS]      a keyring file that asks for more than it may
//! judge flip FILE AT                                 changes one bit of a file's byte
//! judge stock FILE                                   how many keys "base…" a file of the stock component has
//! judge count HEX FILE                               how often a file has these bytes
//! judge told HEX FILE…                               how often files have these bytes or their hexadecimal digits, in any case
//! judge memory PID WORD…                             at how many places of a process's memory each word stands
//! ```

mod bench;
mod blocks;
mod bytes;
mod compare;
mod craft;
mod syscalls;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// What went wrong, as a sentence.
type Result<T> = std::result::Result<T, String>;

fn read(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| format!("{path} can't be read: {e}."))
}

/// A file of lines. What is no UTF-8 in it is replaced: names and figures are.
fn text(path: &str) -> Result<String> {
    Ok(String::from_utf8_lossy(&read(path)?).into_owned())
}

fn write(path: &str, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|e| format!("{path} can't be written: {e}."))
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T> {
    let wrong = || format!("'{word}' is not a number that fits here.");
    word.parse().map_err(|_| wrong())
}

/// Runs a command; what it has to say goes to standard output.
fn run(arguments: &[&str]) -> Result<String> {
    Ok(match arguments {
        ["syscalls", "--paths", trace] => syscalls::paths(&text(trace)?),
        ["syscalls", "--table", account, trace] => syscalls::table(&text(trace)?, number(account)?),
        ["syscalls", trace] => syscalls::counts(&text(trace)?),
        ["calls", "--short", trace] => syscalls::of_the_keyring(&text(trace)?, true),
        ["calls", trace] => syscalls::of_the_keyring(&text(trace)?, false),
        ["blocks", folder, page] => {
            blocks::extract(&text(page)?).write(Path::new(folder))?;
            String::new()
        }
        ["compare", keyring, base, acks, dump, prefix, last @ ..] if last.len() < 2 => {
            let last = last.first().map_or(Ok(usize::MAX), |word| number(word))?;
            let stream = compare::Stream {
                prefix,
                last,
                stock: *keyring == "file",
            };
            stream.compare(&text(base)?, &text(acks)?, &text(dump)?)
        }
        ["full", acks, dump] => compare::full(&text(acks)?, &text(dump)?),
        ["bench", log] => bench::table(&text(log)?),
        ["craft", from, to, kib, passes, lanes, stanzas @ ..] if stanzas.len() < 2 => {
            let asked = craft::Asked {
                kib: number(kib)?,
                passes: number(passes)?,
                lanes: number(lanes)?,
                stanzas: stanzas.first().map_or(Ok(0), |word| number(word))?,
            };
            write(to, &craft::craft(&read(from)?, &asked)?)?;
            String::new()
        }
        ["flip", file, at] => {
            write(file, &bytes::flip(read(file)?, number(at)?)?)?;
            String::new()
        }
        ["stock", file] => format!("{}\n", compare::stock_keys(&text(file)?)),
        ["count", hex, file] => format!("{}\n", bytes::count(&read(file)?, &bytes::from_hex(hex)?)),
        ["told", hex, files @ ..] => {
            let files: Vec<_> = files.iter().map(|f| read(f)).collect::<Result<_>>()?;
            format!("{}\n", bytes::told(&files.concat(), hex)?)
        }
        ["memory", pid, words @ ..] => bytes::memory(number(pid)?, words)?,
        _ => return Err("these words are none of this program's; src/main.rs has them.".into()),
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = run(&words).and_then(|out| {
        let written = std::io::stdout().write_all(out.as_bytes());
        written.map_err(|e| format!("what was found can't be written: {e}."))
    });
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("judge {}: {e}", words.first().unwrap_or(&""));
            ExitCode::from(2)
        }
    }
}
