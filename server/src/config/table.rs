//! The table of system properties: merged by precedence, read with Java's leniency, and knowing
//! which names were asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use parking_lot::Mutex;

use super::error::{Level, Notice, Place};

/// Who set a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `-Dname=value` in the environment or among the arguments.
    CommandLine,
    /// A key of `zoo.cfg`.
    File(Place),
    /// The server itself, as Java's does (`zookeeper.authProvider.x509`).
    Server,
}

/// System properties by full name.
#[derive(Default)]
pub struct PropertyTable {
    values: BTreeMap<String, (String, Source)>,
    asked: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for PropertyTable {
    /// Secrets are masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl PropertyTable {
    /// Sets a property, replacing an earlier one.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>, source: Source) {
        self.values.insert(name.into(), (value.into(), source));
    }

    /// The value of a property. Asking marks the name as known, set or not.
    pub fn get(&self, name: &str) -> Option<&str> {
        if !self.asked.lock().contains(name) {
            self.asked.lock().insert(name.to_owned());
        }
        self.values.get(name).map(|(value, _)| value.as_str())
    }

    /// Who set a property.
    pub fn source(&self, name: &str) -> Option<&Source> {
        self.values.get(name).map(|(_, source)| source)
    }

    /// Where a property was written, for error texts.
    pub fn place(&self, name: &str) -> Option<Place> {
        let (value, source) = self.values.get(name)?;
        Some(match source {
            Source::File(place) => place.clone(),
            Source::CommandLine | Source::Server => Place {
                file: None,
                line: None,
                key: format!("-D{name}"),
                value: shown(name, value),
            },
        })
    }

    /// Properties set that nobody asked for.
    pub fn unasked(&self) -> Vec<(&str, &Source)> {
        let asked = self.asked.lock();
        let unasked = self.values.iter().filter(|(name, _)| !asked.contains(name.as_str()));
        unasked.map(|(name, (_, source))| (name.as_str(), source)).collect()
    }

    /// Name and value of every property that begins with `prefix`, in name order. Marks them as
    /// known.
    pub fn with_prefix(&self, prefix: &str) -> Vec<(&str, &str)> {
        let found: Vec<_> = self
            .values
            .range(prefix.to_owned()..)
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, (value, _))| (name.as_str(), value.as_str()))
            .collect();
        self.asked.lock().extend(found.iter().map(|(name, _)| (*name).to_owned()));
        found
    }

    /// Every property with its value, secrets and all.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, (value, _))| (name.as_str(), value.as_str()))
    }

    /// Every property as an operator may see it: sorted, secrets masked.
    pub fn shown(&self) -> Vec<(String, String)> {
        self.values.iter().map(|(name, (value, _))| (name.clone(), shown(name, value))).collect()
    }
}

/// Whether a name holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    (name.contains("password") && !name.ends_with("passwordpath")) || name.contains("superdigest")
}

/// A value as it may appear in logs and answers.
pub(super) fn shown(name: &str, value: &str) -> String {
    if is_secret(name) { "********".to_owned() } else { value.to_owned() }
}

/// `Integer.decode`, `Long.decode`: optional sign, then `0x`, `0X` or `#` for hexadecimal, a
/// leading zero for octal, decimal otherwise.
pub(super) fn decode(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = match lower.or_else(|| digits.strip_prefix('#')) {
        Some(hex) => (hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) || digits.len() > 30 {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// `Integer.parseInt`: decimal with an optional sign, nothing else.
pub(super) fn parse_i32(text: &str) -> Option<i32> {
    let well_formed = !text.is_empty() && text.is_ascii();
    well_formed.then(|| text.parse().ok()).flatten()
}

/// `Long.parseLong`.
pub(super) fn parse_i64(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Reads properties of one `zookeeper.` name space; mistakes become notices, never errors, where
/// Java falls back silently.
pub(super) struct Reader<'a> {
    table: &'a PropertyTable,
    notices: &'a mut Vec<Notice>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: &'a PropertyTable, notices: &'a mut Vec<Notice>) -> Self {
        Self { table, notices }
    }

    pub(super) fn table(&self) -> &'a PropertyTable {
        self.table
    }

    /// `zookeeper.<key>`, as text.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.table.get(&format!("zookeeper.{key}")).map(str::to_owned)
    }

    pub(super) fn text_or(&self, key: &str, default: &str) -> String {
        self.text(key).unwrap_or_else(|| default.to_owned())
    }

    /// `Boolean.getBoolean`: true only for "true" in any case.
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        self.text(key).map_or(default, |value| value.eq_ignore_ascii_case("true"))
    }

    /// `Integer.getInteger`: lenient, out of range or unreadable is the default, with a warning.
    pub(super) fn int(&mut self, key: &str, default: i32) -> i32 {
        self.int_named(&format!("zookeeper.{key}"), default)
    }

    pub(super) fn int_named(&mut self, name: &str, default: i32) -> i32 {
        let range = (i32::MIN.into(), i32::MAX.into());
        self.lenient(name, default.into(), range) as i32
    }

    /// `Long.getLong`.
    pub(super) fn long(&mut self, key: &str, default: i64) -> i64 {
        self.long_named(&format!("zookeeper.{key}"), default)
    }

    pub(super) fn long_named(&mut self, name: &str, default: i64) -> i64 {
        let range = (i64::MIN.into(), i64::MAX.into());
        self.lenient(name, default.into(), range) as i64
    }

    fn lenient(&mut self, name: &str, default: i128, range: (i128, i128)) -> i128 {
        let Some(text) = self.table.get(name) else { return default };
        match decode(text) {
            Some(value) if (range.0..=range.1).contains(&value) => value,
            _ => {
                let place = self.place_text(name);
                let allowed = "decimal, 0x hexadecimal or 0 octal";
                self.warn(format!(
                    "{place}: not a number ({allowed}, {} to {}); using {default}",
                    range.0, range.1
                ));
                default
            }
        }
    }

    /// `Double.parseDouble`; the default and a warning when it cannot be read.
    pub(super) fn double(&mut self, key: &str, default: f64) -> f64 {
        let name = format!("zookeeper.{key}");
        let Some(text) = self.table.get(&name) else { return default };
        match super::java_trim(text).parse::<f64>() {
            Ok(value) if value.is_finite() => value,
            _ => {
                let place = self.place_text(&name);
                self.warn(format!("{place}: not a decimal number; using {default}"));
                default
            }
        }
    }

    /// Where a property was written, as text.
    pub(super) fn place_text(&self, name: &str) -> String {
        self.table.place(name).map_or_else(|| name.to_owned(), |place| place.to_string())
    }

    pub(super) fn warn(&mut self, text: String) {
        self.notices.push(Notice { level: Level::Warn, text });
    }

    pub(super) fn info(&mut self, text: String) {
        self.notices.push(Notice { level: Level::Info, text });
    }
}
