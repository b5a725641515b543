//! The grammar of `java.util.Properties.load(InputStream)`.

use std::fmt;

/// One key with its value, as written in one logical line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Key, escapes resolved, not trimmed.
    pub key: String,
    /// Value, escapes resolved, not trimmed.
    pub value: String,
    /// Line on which the logical line begins, from 1.
    pub line: usize,
}

/// A file's entries in order of first appearance; of a repeated key the last value counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JavaProperties {
    entries: Vec<Entry>,
}

/// `\u` without four hex digits behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: Malformed \\uxxxx encoding.", self.line)
    }
}

impl std::error::Error for SyntaxError {}

/// `String.trim`: cuts everything up to the blank, control characters included.
pub fn java_trim(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0c)
}

impl JavaProperties {
    /// Parses a file. Bytes are ISO-8859-1: other characters need a `\u` escape.
    pub fn parse(bytes: &[u8]) -> Result<Self, SyntaxError> {
        let mut properties = Self::default();
        let mut lines = Lines { bytes, at: 0, line: 1 };
        while let Some((line, text)) = lines.next_logical() {
            let (key, value) = split(&text);
            let unescape = |part| unescape(part).ok_or(SyntaxError { line });
            properties.put(Entry { key: unescape(key)?, value: unescape(value)?, line });
        }
        Ok(properties)
    }

    fn put(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|e| e.key == entry.key) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.key == key)
    }
}

/// The text of a file as it may be shown to anybody: values of the keys that `is_secret` names are
/// masked, in comments too; the rest stays as it is.
pub(super) fn masked(bytes: &[u8], is_secret: impl Fn(&str) -> bool) -> String {
    const MASK: &[u8] = b"=********";
    let secret = |key: &[u8]| unescape(key).is_none_or(|key| is_secret(java_trim(&key)));
    let mut starts = vec![0];
    let mut natural = Lines { bytes, at: 0, line: 1 };
    while natural.next_natural().is_some() {
        starts.push(natural.at);
    }
    let mut text = Vec::new();
    let mut done = 0;
    let mut lines = Lines { bytes, at: 0, line: 1 };
    while let Some((line, logical)) = lines.next_logical() {
        let (key, _) = split(&logical);
        if secret(key) {
            text.extend_from_slice(&bytes[done..starts[line - 1]]);
            text.extend([key, MASK, b"\n"].concat());
            done = lines.at;
        }
    }
    text.extend_from_slice(&bytes[done..]);
    let mut shown = Vec::new();
    for line in text.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        let marks = line.iter().take_while(|b| is_blank(**b) || matches!(**b, b'#' | b'!')).count();
        let end = line.trim_ascii_end().len();
        let (key, _) = split(&line[marks.min(end)..end]);
        match line[..marks].contains(&b'#') || line[..marks].contains(&b'!') {
            true if secret(key) => {
                shown.extend([&line[..marks], key, MASK, &line[end..]].concat());
            }
            _ => shown.extend_from_slice(line),
        }
    }
    String::from_utf8_lossy(&shown).into_owned()
}

struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// One natural line without its end, `None` at the end of the file.
    fn next_natural(&mut self) -> Option<&[u8]> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len());
        let newline = match rest[end..] {
            [b'\r', b'\n', ..] => 2,
            [] => 0,
            _ => 1,
        };
        self.at += end + newline;
        self.line += 1;
        Some(&rest[..end])
    }

    /// One logical line: comments and blank lines skipped, continuations joined.
    fn next_logical(&mut self) -> Option<(usize, Vec<u8>)> {
        let mut text = Vec::new();
        let mut first = 0;
        let mut continued = false;
        loop {
            let line = self.line;
            let Some(natural) = self.next_natural() else {
                // A lone backslash at the very end is an entry with an empty key.
                return (continued || !text.is_empty()).then_some((first, text));
            };
            let start = natural.iter().position(|b| !is_blank(*b)).unwrap_or(natural.len());
            let natural = &natural[start..];
            if text.is_empty() {
                // A continuation of nothing is a new line.
                let skip = matches!(natural, [] | [b'#' | b'!', ..]);
                if skip && !(continued && natural.is_empty()) {
                    continued = false;
                    continue;
                }
                first = line;
            }
            let backslashes = natural.iter().rev().take_while(|b| **b == b'\\').count();
            continued = backslashes % 2 == 1;
            text.extend_from_slice(&natural[..natural.len() - usize::from(continued)]);
            if !continued && !text.is_empty() {
                return Some((first, text));
            }
        }
    }
}

/// Key and value of a logical line, still escaped.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let key_end = line.iter().position(|byte| {
        let ends = !escaped && (matches!(byte, b'=' | b':') || is_blank(*byte));
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    let Some(key_end) = key_end else { return (line, &[]) };
    let mut separated = matches!(line[key_end], b'=' | b':');
    let value = line[key_end + 1..].iter().position(|byte| {
        if is_blank(*byte) {
            return false;
        }
        let separator = !separated && matches!(byte, b'=' | b':');
        separated |= separator;
        !separator
    });
    (&line[..key_end], value.map_or(&[], |start| &line[key_end + 1 + start..]))
}

/// Resolves escapes; `None` if a `\u` is malformed.
fn unescape(raw: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'\\' {
            units.push(u16::from(*byte));
            continue;
        }
        let [escape, after @ ..] = rest else { break };
        rest = after;
        units.push(match escape {
            b't' => u16::from(b'\t'),
            b'r' => u16::from(b'\r'),
            b'n' => u16::from(b'\n'),
            b'f' => 0x0c,
            b'u' => {
                let digits = rest.get(..4)?;
                rest = &rest[4..];
                digits.iter().try_fold(0u16, |unit, digit| {
                    Some(unit << 4 | char::from(*digit).to_digit(16)? as u16)
                })?
            }
            other => u16::from(*other),
        });
    }
    Some(String::from_utf16_lossy(&units))
}
