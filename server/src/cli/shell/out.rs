//! Where a command's result goes: lines as Java prints them, or one JSON object per command.

use std::fmt::Display;
use std::io::Write;

use jute::data::Stat;
use serde_json::{Map, Value};

use crate::net::fourlw::java_date;

/// Writes a line to stdout. A reader that is gone is no error of ours; input ends the shell.
pub(super) fn say(text: impl Display) {
    // In one piece: the process may end while another thread prints an event.
    let text = format!("{text}\n");
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a line to stderr.
pub(super) fn complain(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// The result of one command.
pub(super) struct Out {
    /// Members of the object; `None` prints text.
    json: Option<Map<String, Value>>,
}

impl Out {
    pub(super) fn new(json: bool) -> Self {
        Out { json: json.then(Map::new) }
    }

    /// A result: its text as Java prints it, and its name and value in JSON.
    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>, text: impl Display) {
        match &mut self.json {
            Some(members) => drop(members.insert(name.to_owned(), value.into())),
            None => say(text),
        }
    }

    /// One more item of a list: printed at once as text.
    pub(super) fn item(&mut self, name: &str, value: impl Into<Value>, text: impl Display) {
        match &mut self.json {
            Some(members) => {
                let list = members.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.push(value.into());
                }
            }
            None => say(text),
        }
    }

    /// Text without a line end.
    pub(super) fn raw(&mut self, text: &str) {
        if self.json.is_none() {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }

    /// A member that only JSON has.
    pub(super) fn note_json(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(members) = &mut self.json {
            members.insert(name.to_owned(), value.into());
        }
    }

    /// What Java says on stderr about a success.
    pub(super) fn note(&mut self, name: &str, value: impl Into<Value>, text: impl Display) {
        match &mut self.json {
            Some(members) => drop(members.insert(name.to_owned(), value.into())),
            None => complain(text),
        }
    }

    /// `StatPrinter`.
    pub(super) fn stat(&mut self, stat: &Stat) {
        let Some(members) = &mut self.json else {
            say(stat_text(stat));
            return;
        };
        let stat = serde_json::json!({
            "czxid": stat.czxid, "ctime": stat.ctime, "mzxid": stat.mzxid, "mtime": stat.mtime,
            "pzxid": stat.pzxid, "cversion": stat.cversion, "dataVersion": stat.version,
            "aclVersion": stat.aversion, "ephemeralOwner": stat.ephemeral_owner,
            "dataLength": stat.data_length, "numChildren": stat.num_children,
        });
        members.insert("stat".to_owned(), stat);
    }

    /// Ends a command: in JSON, prints the object with the exit code and the error, if any.
    pub(super) fn finish(self, words: &[String], error: Option<&str>, code: i32) {
        let Some(mut members) = self.json else { return };
        members.insert("command".to_owned(), words.into());
        members.insert("exit".to_owned(), code.into());
        if let Some(error) = error {
            members.insert("error".to_owned(), error.into());
        }
        say(Value::Object(members));
    }
}

fn stat_text(stat: &Stat) -> String {
    format!(
        "cZxid = 0x{:x}\nctime = {}\nmZxid = 0x{:x}\nmtime = {}\npZxid = 0x{:x}\ncversion = {}\n\
         dataVersion = {}\naclVersion = {}\nephemeralOwner = 0x{:x}\ndataLength = {}\n\
         numChildren = {}",
        stat.czxid,
        java_date(stat.ctime),
        stat.mzxid,
        java_date(stat.mtime),
        stat.pzxid,
        stat.cversion,
        stat.version,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.num_children
    )
}
