//! `TxnLogToolkit`: dump, recover and chop a log; `LogChopper`.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use jute::persistence::{FileHeader, TXNLOG_MAGIC};
use jute::{Decode, Encode};
use simd_adler32::adler32;

use super::progress::{Counted, Progress};
use super::{Console, FIELD_MAX, Opt, parse, print_help, text};
use crate::base::{Proposal, Zxid};
use crate::cli::exit;
use crate::storage::txnlog::format;

const OPTIONS: &[Opt] = &[
    Opt { short: 'h', long: "help", argument: None, help: "Print help message" },
    Opt {
        short: 'r',
        long: "recover",
        argument: None,
        help: "Recovery mode. Re-calculate CRC for broken entries.",
    },
    Opt {
        short: 'v',
        long: "verbose",
        argument: None,
        help: "Be verbose in recovery mode: print all entries, not just fixed ones.",
    },
    Opt {
        short: 'd',
        long: "dump",
        argument: None,
        help: "Dump mode. Dump all entries of the log file with printing the content of a \
               nodepath (default)",
    },
    Opt {
        short: 'y',
        long: "yes",
        argument: None,
        help: "Non-interactive mode: repair all CRC errors without asking",
    },
    Opt { short: 'c', long: "chop", argument: None, help: "Chop mode. Chop txn file to a zxid." },
    Opt {
        short: 'z',
        long: "zxid",
        argument: Some("arg"),
        help: "Used with chop. Zxid to which to chop.",
    },
];
const USAGE: &str = "TxnLogToolkit [-dhrvc] <txn_log_file_name> (-z <zxid>)";

/// Why a tool stops early: a message for stderr and the exit code.
struct Stop(i32, String);

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        // A pipe that was closed is no failure; `run` in the parent module sees to it.
        Stop(exit::UNEXPECTED, e.to_string())
    }
}

/// `zkTxnLogToolkit.sh`.
pub fn toolkit(arguments: &[String], console: &mut Console<'_>) -> io::Result<i32> {
    let parsed = match parse(OPTIONS, arguments) {
        Ok(parsed) => parsed,
        Err(message) => {
            writeln!(console.err, "{message}\n")?;
            print_help(USAGE, OPTIONS, console.out)?;
            return Ok(exit::UNEXPECTED);
        }
    };
    let file = match parsed.rest.first() {
        _ if parsed.has('h') => {
            print_help(USAGE, OPTIONS, console.out)?;
            return Ok(exit::FINISHED);
        }
        None => {
            print_help(USAGE, OPTIONS, console.out)?;
            return Ok(exit::UNEXPECTED);
        }
        Some(file) => Path::new(file),
    };
    let result = match parsed.value('z').filter(|_| parsed.has('c')) {
        Some(zxid) => chop_beside(file, zxid, console),
        None => {
            let mode =
                Mode { recover: parsed.has('r'), verbose: parsed.has('v'), yes: parsed.has('y') };
            dump(file, mode, console)
        }
    };
    match result {
        Ok(()) => Ok(exit::FINISHED),
        Err(Stop(code, message)) => {
            console.out.flush()?;
            writeln!(console.err, "{message}")?;
            Ok(code)
        }
    }
}

/// `LogChopper zxid in out`: 0 if something was chopped off, else 2.
pub fn chopper(arguments: &[String], console: &mut Console<'_>) -> io::Result<i32> {
    let [zxid, input, output] = arguments else {
        writeln!(
            console.out,
            "Usage: LogChopper zxid_to_chop_to txn_log_to_chop chopped_filename\n    \
             this program will read the txn_log_to_chop file and copy all the transactions\n    \
             from it up to (and including) the given zxid into chopped_filename."
        )?;
        return Ok(exit::INVALID_INVOCATION);
    };
    let chopped = decode_long(zxid)
        .ok_or_else(|| Stop(0, format!("For input string: \"{zxid}\"")))
        .and_then(|zxid| chop(Path::new(input), Path::new(output), zxid, console));
    match chopped {
        Ok(true) => Ok(exit::FINISHED),
        Ok(false) => Ok(exit::INVALID_INVOCATION),
        Err(Stop(_, message)) => {
            writeln!(console.out, "Got exception: {message}")?;
            Ok(exit::INVALID_INVOCATION)
        }
    }
}

#[derive(Clone, Copy)]
struct Mode {
    recover: bool,
    verbose: bool,
    yes: bool,
}

/// One entry as it stands, good or not.
struct Entry {
    checksum: i64,
    payload: Vec<u8>,
    end_mark: Option<u8>,
}

impl Entry {
    fn checksum_is_good(&self) -> bool {
        i64::from(adler32(&self.payload.as_slice())) == self.checksum
    }
}

/// Reads entries without judging them.
struct Entries {
    input: BufReader<Counted<File>>,
}

impl Entries {
    fn open(path: &Path, console: &mut Console<'_>) -> Result<(Self, FileHeader), Stop> {
        let missing = || {
            let message = format!("File doesn't exist or not readable: {}", path.display());
            Stop(exit::UNEXPECTED, message)
        };
        let file = File::open(path).map_err(|_| missing())?;
        let mut progress = Progress::of(file.metadata()?.len(), true);
        progress.name(&path.file_name().unwrap_or_default().to_string_lossy());
        let mut input = BufReader::with_capacity(1 << 18, Counted(file, progress));
        let mut bytes = [0; format::HEADER_BYTES];
        input.read_exact(&mut bytes)?;
        let header = FileHeader::from_slice(&bytes).expect("16 bytes are a header");
        if header.magic != TXNLOG_MAGIC {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            return Err(Stop(exit::INVALID_INVOCATION, format!("Invalid magic number for {name}")));
        }
        writeln!(
            console.out,
            "ZooKeeper Transactional Log File with dbid {} txnlog format version {}",
            header.dbid, header.version
        )?;
        Ok((Self { input }, header))
    }

    /// The next entry; `None` at the end of the file or at an entry of length 0.
    fn next(&mut self) -> Result<Option<Entry>, Stop> {
        let mut head = [0; format::ENTRY_HEAD_BYTES];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let (checksum, len) = head.split_at(8);
        let checksum = i64::from_be_bytes(checksum.try_into().expect("8 bytes"));
        let len = i32::from_be_bytes(len.try_into().expect("4 bytes"));
        let wanted = match usize::try_from(len) {
            Ok(0) => return Ok(None),
            Ok(n) if n <= FIELD_MAX => n,
            _ => return Err(Stop(exit::UNEXPECTED, format!("Unreasonable length = {len}"))),
        };
        let mut payload = Vec::new();
        self.input.by_ref().take(wanted as u64).read_to_end(&mut payload)?;
        if payload.len() < wanted {
            return Ok(None);
        }
        let mut end_mark = [0];
        let end_mark = self.fill(&mut end_mark)?.then_some(end_mark[0]);
        Ok(Some(Entry { checksum, payload, end_mark }))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, Stop> {
        match self.input.read_exact(buffer) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

fn dump(path: &Path, mode: Mode, console: &mut Console<'_>) -> Result<(), Stop> {
    let fixed_path = with_suffix(path, ".fixed");
    if mode.recover && fixed_path.exists() {
        let shown = fixed_path.display();
        let message = format!("Recovery file {shown} already exists or not writable");
        return Err(Stop(exit::UNEXPECTED, message));
    }
    let (mut entries, header) = Entries::open(path, console)?;
    let mut fixed = None;
    if mode.recover {
        let file = File::create_new(&fixed_path)?;
        let mut writer = io::BufWriter::with_capacity(1 << 18, file);
        writer.write_all(&header.to_vec())?;
        fixed = Some(writer);
    }
    let (mut count, mut fixed_count) = (0, 0);
    while let Some(mut entry) = entries.next()? {
        if !entry.checksum_is_good() {
            let fix = mode.recover && mode.yes;
            print(&entry, if fix { "CRC FIXED - " } else { "CRC ERROR - " }, console)?;
            if fix || (mode.recover && ask(console)?) {
                entry.checksum = adler32(&entry.payload.as_slice()).into();
                fixed_count += 1;
            }
        }
        if !mode.recover || mode.verbose {
            print(&entry, "", console)?;
        }
        if entry.end_mark != Some(format::END_OF_RECORD) {
            return Err(Stop(exit::UNEXPECTED, "Last transaction was partial.".to_owned()));
        }
        if let Some(writer) = &mut fixed {
            write_entry(&entry, writer)?;
        }
        count += 1;
    }
    writeln!(console.out, "EOF reached after {count} txns.")?;
    if let Some(writer) = fixed {
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        writeln!(
            console.out,
            "Recovery file {} has been written with {fixed_count} fixed CRC error(s)",
            fixed_path.display()
        )?;
    }
    Ok(())
}

fn print(entry: &Entry, prefix: &str, console: &mut Console<'_>) -> io::Result<()> {
    let line = match Proposal::decode(entry.payload.clone().into()) {
        Ok(proposal) => text::transaction(&proposal.header, &proposal.txn, &console.zone),
        Err(e) => format!("<{} bytes that are no transaction: {e}>\n", entry.payload.len()),
    };
    write!(console.out, "{prefix}{line}")
}

fn ask(console: &mut Console<'_>) -> Result<bool, Stop> {
    loop {
        write!(console.out, "Would you like to fix it (Yes/No/Abort) ? ")?;
        console.out.flush()?;
        let mut line = String::new();
        let ended = console.input.read_line(&mut line)? == 0;
        match line.trim_start().chars().next().map(|c| c.to_ascii_uppercase()) {
            Some('Y') => return Ok(true),
            Some('N') => return Ok(false),
            Some('A') => return Err(Stop(exit::FINISHED, "Recovery aborted.".to_owned())),
            _ if ended => return Err(Stop(exit::UNEXPECTED, "No answer.".to_owned())),
            _ => {}
        }
    }
}

fn write_entry(entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    let len = i32::try_from(entry.payload.len()).map_err(io::Error::other)?;
    out.write_all(&entry.checksum.to_be_bytes())?;
    out.write_all(&len.to_be_bytes())?;
    out.write_all(&entry.payload)?;
    out.write_all(&[format::END_OF_RECORD])
}

/// `-c -z`: the outcome is only printed, the exit code is 0 whatever happens, as in Java.
fn chop_beside(path: &Path, zxid: &str, console: &mut Console<'_>) -> Result<(), Stop> {
    if File::open(path).is_err() {
        let message = format!("File doesn't exist or not readable: {}", path.display());
        return Err(Stop(exit::UNEXPECTED, message));
    }
    let number = decode_long(zxid)
        .ok_or_else(|| Stop(exit::UNEXPECTED, format!("For input string: \"{zxid}\"")))?;
    let output = with_suffix(path, &format!(".chopped{number}"));
    let message = match chop(path, &output, number, console) {
        Ok(true) => return Ok(()),
        Ok(false) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            format!("Failed to chop {name}")
        }
        Err(Stop(_, message)) => message,
    };
    writeln!(console.out, "Got exception: {message}")?;
    Ok(())
}

/// Copies the entries up to `zxid`; true if there was something behind them.
fn chop(from: &Path, to: &Path, zxid: i64, console: &mut Console<'_>) -> Result<bool, Stop> {
    let same = |a: &Path| a.canonicalize().ok();
    if same(to).is_some() && same(to) == same(from) {
        return Err(Stop(0, "the output would overwrite the input".to_owned()));
    }
    let (mut entries, header) = Entries::open(from, console)?;
    let mut out = io::BufWriter::with_capacity(1 << 18, File::create(to)?);
    out.write_all(&header.to_vec())?;
    let (mut count, mut found) = (0, false);
    let mut previous: Option<Zxid> = None;
    let chopped = loop {
        let Some(entry) = entries.next()? else {
            writeln!(console.out, "EOF reached after {count} txns.")?;
            break false;
        };
        if !entry.checksum_is_good() {
            let computed = adler32(&entry.payload.as_slice());
            let message = format!("CRC doesn't match {} vs {computed}", entry.checksum);
            return Err(Stop(0, message));
        }
        if entry.end_mark != Some(format::END_OF_RECORD) {
            writeln!(console.out, "Last transaction was partial.")?;
            return Err(Stop(0, "Last transaction was partial.".to_owned()));
        }
        let proposal =
            Proposal::decode(entry.payload.clone().into()).map_err(|e| Stop(0, e.to_string()))?;
        let this = proposal.zxid();
        found |= this.0 == zxid;
        if let Some(previous) = previous {
            report_gap(previous, this, console)?;
        }
        previous = Some(this);
        if this.0 > zxid {
            let good = count > 0 && found;
            if good {
                writeln!(console.out, "Chopping at {zxid:x} new log has {count} records")?;
            } else {
                writeln!(console.out, "This log does not contain zxid {zxid:x}")?;
            }
            break good;
        }
        write_entry(&entry, &mut out)?;
        count += 1;
    };
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(chopped)
}

fn report_gap(before: Zxid, this: Zxid, console: &mut Console<'_>) -> io::Result<()> {
    if this.0 == before.0.wrapping_add(1) {
        return Ok(());
    }
    let kind = if this.epoch() == before.epoch() {
        "intra"
    } else if this.counter() != 1 {
        "inter"
    } else {
        return Ok(());
    };
    writeln!(console.out, "There is {kind}-epoch gap between {:x} and {:x}", before.0, this.0)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `Long.decode`: `0x`, `#` hexadecimal, a leading 0 octal, else decimal; a sign in front.
pub(super) fn decode_long(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = if let Some(hex) =
        digits.strip_prefix("0x").or(digits.strip_prefix("0X")).or(digits.strip_prefix('#'))
    {
        (hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (&digits[1..], 8)
    } else {
        (digits, 10)
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}
