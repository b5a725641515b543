//! What a server tells operators, reduced to what must be the same on every server: words without
//! their numbers, JSON as keys and types, metrics as names and kinds.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came back over HTTP.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names of the header fields in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request over a connection of its own, which ends with the answer: nothing comes in chunks.
/// `headers` are whole lines.
pub fn http(port: u16, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
    for line in headers {
        head += &format!("{line}\r\n");
    }
    if method == "POST" || method == "PUT" {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    // A refused body may not be read.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    // What was refused unread ends with a reset behind the answer, which is seen below if it came.
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.with_context(|| format!("{method} {path}: no end of the head"))?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let headers = fields.map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())).collect();
    Ok(Answer { status, headers, body: answer[end + 4..].to_vec() })
}

/// Numbers become `N` (and so do hexadecimal ones behind `0x`), so that only the form is left; names
/// of days, months and the time zone become one.
pub fn form(text: &str) -> Vec<String> {
    text.lines().map(without_numbers).map(|line| without_dates(&line)).collect()
}

fn without_numbers(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if !c.is_ascii_digit() {
            out.push(c);
            continue;
        }
        out.push('N');
        if c == '0' && chars.peek() == Some(&'x') {
            chars.next();
            while chars.peek().is_some_and(char::is_ascii_hexdigit) {
                chars.next();
            }
        }
        while chars.peek().is_some_and(|c| c.is_ascii_digit() || *c == '.') {
            chars.next();
        }
    }
    out.trim_end().to_owned()
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn without_dates(line: &str) -> String {
    let word = |word: &str| match word {
        word if DAYS.contains(&word) => "DAY".to_owned(),
        word if MONTHS.contains(&word) => "MONTH".to_owned(),
        "GMT" | "UTC" => "ZONE".to_owned(),
        word => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Keys and types of a JSON value, a line each, sorted, each once. Keys that are numbers (session
/// ids, times) become `#`.
pub fn shape(value: &Value) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    add_shape("", value, &mut lines);
    lines
}

fn add_shape(prefix: &str, value: &Value, lines: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Object(members) => {
            for (key, value) in members {
                let number = key.parse::<i64>().is_ok();
                let key = if number { "#" } else { key };
                add_shape(&format!("{prefix}.{key}"), value, lines);
            }
            "object"
        }
        Value::Array(values) => {
            values.iter().for_each(|value| add_shape(&format!("{prefix}[]"), value, lines));
            "array"
        }
        Value::String(_) => "text",
        Value::Number(number) if number.is_f64() => "fraction",
        Value::Number(_) => "integer",
        Value::Bool(_) => "bool",
        Value::Null => "null",
    };
    lines.insert(format!("{prefix} {kind}"));
}

/// The names of `mntr`, those of servers as `#`.
pub fn metric_names(mntr: &str) -> BTreeSet<String> {
    let names = mntr.lines().filter_map(|line| line.split_once('\t'));
    names.map(|(name, _)| of_any_server(name)).collect()
}

/// Families and kinds of a text for Prometheus, and the labels each comes with.
pub fn families(text: &str) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            lines.insert(family.to_owned());
        } else if !line.starts_with('#') {
            let name = line.rsplit_once(' ').map_or(line, |(name, _)| name);
            lines.insert(of_any_server(name));
        }
    }
    lines
}

/// `1_ack_latency` and `{key="1"` are of a server.
fn of_any_server(name: &str) -> String {
    let parts = name.split('_');
    let one =
        |part: &str| if part.parse::<u32>().is_ok() { "#".to_owned() } else { part.to_owned() };
    let name = parts.map(one).collect::<Vec<_>>().join("_");
    match name.split_once("{key=\"") {
        Some((front, rest)) if rest.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{front}{{key=\"#{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        _ => name,
    }
}

/// What only one of two has, as lines of a report.
pub fn only(expected: &BTreeSet<String>, actual: &BTreeSet<String>) -> Vec<String> {
    let missing = expected.difference(actual).map(|line| format!("  only Java: {line}"));
    let extra = actual.difference(expected).map(|line| format!("  only ours: {line}"));
    missing.chain(extra).collect()
}
