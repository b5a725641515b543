//! `SnapshotFormatter`: every znode of a snapshot, as text or as ncdu's JSON.
//!
//! Reads the file twice: once to count, once to print. So memory does not grow with the snapshot.
//! Znodes come in the order of the file, which is that of Java's tool for files that Java wrote.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::tz::TimeZone;
use jute::data::StatPersisted;

use super::{Console, check_file, read_nodes, read_tree, text, warn_if_damaged};
use crate::admin::quoted;
use crate::base::SessionId;
use crate::cli::exit;
use crate::storage::datadir::names;
use crate::storage::snapshot::codec::{SnapshotError, SnapshotSink};

const USAGE: &str = "USAGE: SnapshotFormatter [-d|-json] snapshot_file\n       \
    -d dump the data for each znode\n       \
    -json dump znode info in json format";

/// `zkSnapShotToolkit.sh`.
pub fn run(arguments: &[String], console: &mut Console<'_>) -> io::Result<i32> {
    let (mut data, mut json, mut file) = (false, false, None);
    let mut rest = arguments.iter();
    for word in rest.by_ref() {
        match word.as_str() {
            "-d" => data = true,
            "-json" => json = true,
            _ => {
                file = Some(word);
                break;
            }
        }
    }
    let (Some(file), None) = (file, rest.next()) else {
        writeln!(console.err, "{USAGE}")?;
        return Ok(exit::INVALID_INVOCATION);
    };
    if let Err(message) = check_file(file) {
        writeln!(console.err, "{message}")?;
        return Ok(exit::INVALID_INVOCATION);
    }
    if data && json {
        writeln!(
            console.err,
            "Cannot specify both data dump (-d) and json mode (-json) in same call"
        )?;
        return Ok(exit::INVALID_INVOCATION);
    }
    let path = Path::new(file);
    warn_if_damaged(path, console)?;
    let printed = if json { print_json(path, console) } else { print_text(path, data, console) };
    match printed {
        Ok(()) => Ok(exit::FINISHED),
        Err(SnapshotError::Read(e)) if e.kind() == io::ErrorKind::BrokenPipe => Err(e),
        Err(e) => {
            console.out.flush()?;
            writeln!(console.err, "{}: {e}", path.display())?;
            Ok(exit::UNEXPECTED)
        }
    }
}

fn print_text(path: &Path, data: bool, console: &mut Console<'_>) -> Result<(), SnapshotError> {
    let mut totals = Totals::default();
    read_tree(path, &mut totals)?;
    // Java's table holds the root under two names.
    writeln!(console.out, "ZNode Details (count={}):", totals.nodes + 1)?;
    let mut printer = TextPrinter { out: console.out, zone: &console.zone, data };
    read_nodes(path, |path, data, stat| printer.node(path, data, stat))?;
    writeln!(console.out, "----")?;
    writeln!(console.out, "Session Details (sid, timeout, ephemeralCount):")?;
    for (session, timeout) in &totals.sessions {
        let ephemerals = totals.ephemerals.get(&session.0).copied().unwrap_or_default();
        writeln!(console.out, "{}, {timeout}, {ephemerals}", hex(session.0))?;
    }
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let named = names::zxid(name, names::SNAPSHOT).map_or(-1, |z| z.0);
    writeln!(console.out, "----\nLast zxid: 0x{:x}", named.max(totals.zxid_max))?;
    Ok(())
}

/// `%#016x`.
fn hex(value: i64) -> String {
    format!("0x{value:014x}")
}

/// First reading: what must be known before or after the znodes.
#[derive(Default)]
struct Totals {
    nodes: u64,
    sessions: Vec<(SessionId, i32)>,
    ephemerals: HashMap<i64, u64>,
    zxid_max: i64,
}

impl SnapshotSink for Totals {
    fn session(&mut self, session: SessionId, timeout_ms: i32) -> Result<(), SnapshotError> {
        self.sessions.push((session, timeout_ms));
        Ok(())
    }
    fn node(
        &mut self,
        _: &str,
        _: Option<&[u8]>,
        _: i64,
        stat: &StatPersisted,
    ) -> Result<(), SnapshotError> {
        self.nodes += 1;
        self.zxid_max = self.zxid_max.max(stat.mzxid).max(stat.pzxid);
        if stat.ephemeral_owner != 0 {
            *self.ephemerals.entry(stat.ephemeral_owner).or_default() += 1;
        }
        Ok(())
    }
}

struct TextPrinter<'a> {
    out: &'a mut dyn Write,
    zone: &'a TimeZone,
    data: bool,
}

impl TextPrinter<'_> {
    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        stat: &StatPersisted,
    ) -> Result<(), SnapshotError> {
        let path = if path.is_empty() { "/" } else { path };
        let out = &mut *self.out;
        writeln!(out, "----\n{path}\n  cZxid = {}", hex(stat.czxid))?;
        writeln!(out, "  ctime = {}", text::long_date(stat.ctime, self.zone))?;
        writeln!(out, "  mZxid = {}", hex(stat.mzxid))?;
        writeln!(out, "  mtime = {}", text::long_date(stat.mtime, self.zone))?;
        writeln!(out, "  pZxid = {}", hex(stat.pzxid))?;
        writeln!(out, "  cversion = {}", stat.cversion)?;
        writeln!(out, "  dataVersion = {}", stat.version)?;
        writeln!(out, "  aclVersion = {}", stat.aversion)?;
        writeln!(out, "  ephemeralOwner = {}", hex(stat.ephemeral_owner))?;
        let data = data.unwrap_or_default();
        if self.data {
            writeln!(out, "  data = {}", BASE64.encode(data))?;
        } else {
            writeln!(out, "  dataLength = {}", data.len())?;
        }
        Ok(())
    }
}

fn print_json(path: &Path, console: &mut Console<'_>) -> Result<(), SnapshotError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    write!(
        console.out,
        "[1,0,{{\"progname\":\"SnapshotFormatter.java\",\"progver\":\"0.01\",\"timestamp\":{now}}}"
    )?;
    let mut printer =
        JsonPrinter { out: console.out, waiting: None, open: Vec::new(), inode: 1000 };
    read_nodes(path, |path, data, _| printer.node(path, data))?;
    printer.flush(None)?;
    let open = printer.open.len();
    write!(console.out, "{}]", "]".repeat(open))?;
    Ok(())
}

/// A znode is an object, one with children an array that begins with it. Whether it has any is
/// known when the next one comes.
struct JsonPrinter<'a> {
    out: &'a mut dyn Write,
    /// Path and length of the znode that was read last.
    waiting: Option<(String, usize)>,
    /// Paths of the arrays that are open.
    open: Vec<String>,
    inode: u64,
}

impl JsonPrinter<'_> {
    /// Prints the waiting znode, knowing that `next` follows it.
    fn flush(&mut self, next: Option<&str>) -> io::Result<()> {
        let Some((path, length)) = self.waiting.take() else { return Ok(()) };
        while self.open.last().is_some_and(|parent| !is_below(&path, parent)) {
            self.open.pop();
            write!(self.out, "]")?;
        }
        let name = path.rsplit('/').next().filter(|n| !n.is_empty()).unwrap_or("/");
        let has_children = next.is_some_and(|next| is_below(next, &path));
        self.inode += 1;
        write!(
            self.out,
            ",{}{{\"name\":{},\"asize\":{length},\"dsize\":{length},\"dev\":0,\"ino\":{}}}",
            if has_children { "[" } else { "" },
            quoted(name),
            self.inode
        )?;
        if has_children {
            self.open.push(path);
        }
        Ok(())
    }

    fn node(&mut self, path: &str, data: Option<&[u8]>) -> Result<(), SnapshotError> {
        self.flush(Some(path))?;
        self.waiting = Some((path.to_owned(), data.unwrap_or_default().len()));
        Ok(())
    }
}

/// The root is `""`.
fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
}
