//! JSON as the Java server prints it: two blanks per level, ` : ` behind names, `[ ]` and `{ }`
//! with blanks, arrays on one line, no newline at the end.

use std::fmt::Write as _;

use crate::metrics::{Gauge, java_double};

/// A value; members of an object keep their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::Text(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Json::Text(text)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Json::Int(value)
    }
}

impl From<i32> for Json {
    fn from(value: i32) -> Self {
        Json::Int(value.into())
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Json::Int(value as i64)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

impl From<Gauge> for Json {
    fn from(value: Gauge) -> Self {
        match value {
            Gauge::Int(value) => Json::Int(value),
            Gauge::Double(value) => Json::Double(value),
        }
    }
}

/// An object from pairs.
pub(super) fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

impl Json {
    /// The text.
    pub(super) fn pretty(&self) -> String {
        let mut out = String::with_capacity(256);
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, level: usize) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => _ = write!(out, "{value}"),
            Json::Int(value) => _ = write!(out, "{value}"),
            Json::Double(value) if value.is_finite() => out.push_str(&java_double(*value)),
            Json::Double(value) => _ = write!(out, "\"{}\"", java_double(*value)),
            Json::Text(text) => quote(out, text),
            Json::Array(values) => {
                out.push_str("[ ");
                for (index, value) in values.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    value.write(out, level);
                }
                out.push_str(if values.is_empty() { "]" } else { " ]" });
            }
            Json::Object(members) if members.is_empty() => out.push_str("{ }"),
            Json::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    _ = write!(out, "\n{:1$}", "", 2 * (level + 1));
                    quote(out, name);
                    out.push_str(" : ");
                    value.write(out, level + 1);
                }
                _ = write!(out, "\n{:1$}}}", "", 2 * level);
            }
        }
    }
}

/// A string in quotes, as Jackson writes it.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote(&mut out, text);
    out
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => _ = write!(out, "\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_jacksons() {
        let inner = object([("remote", "a\"b\\\u{1}".into()), ("n", (-1).into())]);
        let value = object([
            ("empty", Json::Array(Vec::new())),
            ("none", Json::Object(Vec::new())),
            ("list", Json::Array(vec![1.into(), 2.into()])),
            ("objects", Json::Array(vec![inner.clone(), inner])),
            ("avg", Json::Double(0.0)),
            ("error", Json::Null),
        ]);
        assert_eq!(
            value.pretty(),
            "{\n  \"empty\" : [ ],\n  \"none\" : { },\n  \"list\" : [ 1, 2 ],\n  \"objects\" : [ \
             {\n    \"remote\" : \"a\\\"b\\\\\\u0001\",\n    \"n\" : -1\n  }, {\n    \"remote\" \
             : \"a\\\"b\\\\\\u0001\",\n    \"n\" : -1\n  } ],\n  \"avg\" : 0.0,\n  \"error\" : \
             null\n}"
        );
    }
}
