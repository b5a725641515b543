//! Tools that look at logs and snapshots, with the options and output of Java's.
//!
//! | script | Java class | here |
//! |---|---|---|
//! | `zkTxnLogToolkit.sh` | `TxnLogToolkit` | [`txnlog`] |
//! | none | `LogChopper` | [`txnlog`] |
//! | none | `DigestAuthenticationProvider` | [`digest`] |
//! | `zkSnapShotToolkit.sh` | `SnapshotFormatter` | [`formatter`] |
//! | `zkSnapshotComparer.sh` | `SnapshotComparer` | [`comparer`] |
//! | `zkSnapshotRecursiveSummaryToolkit.sh` | `SnapshotRecursiveSummary` | [`summary`] |
//!
//! None of them writes to its input. Differences that help: the seals of a snapshot are checked and
//! a wrong one is reported on stderr; a transaction that cannot be decoded is one bad line and not
//! the end; memory does not grow with the snapshot where the output allows it.
//!
//! Each tool is a function of its arguments and a [`Console`], which returns the exit code.

pub mod comparer;
pub mod digest;
pub mod formatter;
mod progress;
pub mod summary;
pub mod text;
pub mod txnlog;

use std::io::{self, BufRead, Write};
use std::path::Path;

use jiff::tz::TimeZone;
use jute::data::StatPersisted;

use self::progress::Counted;
pub(in crate::cli) use self::progress::Progress;
use crate::storage::snapshot::codec::{self, SnapshotError, SnapshotSink};
use crate::storage::snapshot::compression::Compression;
use crate::storage::snapshot::reader;
use crate::storage::{RealDisk, StorageError};

/// Largest string or buffer that a tool believes, bytes: a server's limit may have been raised.
const FIELD_MAX: usize = 1 << 30;

/// Where a tool reads answers, and writes. Tests hand in vectors.
pub struct Console<'a> {
    /// Standard input.
    pub input: &'a mut dyn BufRead,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// For dates.
    pub zone: TimeZone,
}

/// A tool.
pub type Tool = fn(&[String], &mut Console<'_>) -> io::Result<i32>;

/// Runs a tool on the process' own console. A reader that closed the pipe ends it quietly.
pub fn run(tool: Tool, arguments: &[String]) -> i32 {
    let mut console = Console {
        input: &mut io::stdin().lock(),
        out: &mut io::BufWriter::with_capacity(1 << 16, io::stdout().lock()),
        err: &mut io::stderr().lock(),
        zone: TimeZone::system(),
    };
    let code = tool(arguments, &mut console).and_then(|code| {
        console.out.flush()?;
        Ok(code)
    });
    match code {
        Ok(code) => code,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => super::exit::FINISHED,
        Err(e) => {
            eprintln!("{e}");
            super::exit::UNEXPECTED
        }
    }
}

/// `ZKUtil.validateFileInput`.
fn check_file(path: &str) -> Result<(), String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let shown = absolute.display();
    if !absolute.exists() {
        return Err(format!("File '{shown}' does not exist."));
    }
    if absolute.is_dir() {
        return Err(format!("'{shown}' is a directory. it must be a file."));
    }
    if std::fs::File::open(&absolute).is_err() {
        return Err(format!("Read permission is denied on the file '{shown}'"));
    }
    Ok(())
}

/// Reads header, sessions, ACLs and nodes, as Java's tools do; no seal is looked at.
fn read_tree(path: &Path, sink: &mut dyn SnapshotSink) -> Result<(), SnapshotError> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let file = std::fs::File::open(path)?;
    let mut progress = Progress::of(file.metadata()?.len(), true);
    progress.name(name);
    let file = io::BufReader::with_capacity(1 << 18, Counted(file, progress));
    let mut plain = Compression::from_name(name).reader(file)?;
    codec::read_unsealed(&mut *plain, FIELD_MAX, sink)
}

/// A sink for those who look at znodes only.
struct Nodes<F>(F);

impl<F> SnapshotSink for Nodes<F>
where
    F: FnMut(&str, Option<&[u8]>, &StatPersisted) -> Result<(), SnapshotError>,
{
    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        _: i64,
        stat: &StatPersisted,
    ) -> Result<(), SnapshotError> {
        (self.0)(path, data, stat)
    }
}

/// Calls `each` with path, data and stat of every znode, in the order of the file.
fn read_nodes(
    path: &Path,
    each: impl FnMut(&str, Option<&[u8]>, &StatPersisted) -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    read_tree(path, &mut Nodes(each))
}

/// Says on stderr what is wrong with a snapshot that can be read all the same.
fn warn_if_damaged(path: &Path, console: &mut Console<'_>) -> io::Result<()> {
    match reader::verify(&RealDisk, path, FIELD_MAX) {
        Ok(_) => Ok(()),
        Err(e @ StorageError::CorruptSnapshot { .. }) => {
            writeln!(console.err, "Warning: {e}. A server would not load it.")
        }
        Err(e) => writeln!(console.err, "Warning: {e}"),
    }
}

/// One option of a tool, as commons-cli knows it.
struct Opt {
    short: char,
    long: &'static str,
    /// The name of its argument in the help, if it has one.
    argument: Option<&'static str>,
    help: &'static str,
}

/// A parsed command line.
#[derive(Default)]
struct Parsed {
    given: Vec<(char, String)>,
    rest: Vec<String>,
}

impl Parsed {
    fn has(&self, short: char) -> bool {
        self.given.iter().any(|g| g.0 == short)
    }

    fn value(&self, short: char) -> Option<&str> {
        self.given.iter().find(|g| g.0 == short).map(|g| g.1.as_str())
    }
}

/// Parses as commons-cli's `DefaultParser`: options anywhere, flags in one word (`-rv`), values as
/// the next word or behind `=`. The error is its message.
fn parse(options: &[Opt], arguments: &[String]) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            parsed.rest.extend(words.cloned());
            break;
        }
        let unknown = || format!("Unrecognized option: {word}");
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
            let option = options.iter().find(|o| o.long == name).ok_or_else(unknown)?;
            let value = value_of(option, value, &mut words)?;
            parsed.given.push((option.short, value));
        } else if let Some(cluster) = word.strip_prefix('-').filter(|c| !c.is_empty()) {
            for (at, short) in cluster.char_indices() {
                let option = options.iter().find(|o| o.short == short).ok_or_else(unknown)?;
                if option.argument.is_none() {
                    parsed.given.push((short, String::new()));
                    continue;
                }
                let joined = &cluster[at + short.len_utf8()..];
                let joined = joined.strip_prefix('=').unwrap_or(joined);
                let joined = (!joined.is_empty()).then_some(joined);
                parsed.given.push((short, value_of(option, joined, &mut words)?));
                break;
            }
        } else {
            parsed.rest.push(word.clone());
        }
    }
    Ok(parsed)
}

fn value_of<'a>(
    option: &Opt,
    joined: Option<&str>,
    words: &mut impl Iterator<Item = &'a String>,
) -> Result<String, String> {
    match (option.argument, joined) {
        (None, _) => Ok(String::new()),
        (Some(_), Some(value)) => Ok(value.to_owned()),
        (Some(_), None) => {
            words.next().cloned().ok_or(format!("Missing argument for option: {}", option.short))
        }
    }
}

/// commons-cli's help, options sorted by letter, 120 columns.
fn print_help(usage: &str, options: &[Opt], out: &mut dyn Write) -> io::Result<()> {
    const WIDTH: usize = 120;
    writeln!(out, "usage: {usage}")?;
    let left = |o: &Opt| {
        let argument = o.argument.map_or(String::new(), |name| format!(" <{name}>"));
        format!(" -{},--{}{argument}", o.short, o.long)
    };
    let width = options.iter().map(|o| left(o).len()).max().unwrap_or_default() + 3;
    let mut sorted: Vec<&Opt> = options.iter().collect();
    sorted.sort_by_key(|o| o.short);
    for option in sorted {
        let mut line = format!("{:width$}", left(option));
        let mut empty = true;
        for word in option.help.split(' ') {
            if !empty && line.len() + 1 + word.len() > WIDTH {
                writeln!(out, "{line}")?;
                line = " ".repeat(width);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
