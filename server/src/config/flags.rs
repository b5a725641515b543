//! JVM options from `SERVER_JVMFLAGS`, `JVMFLAGS` and the command line: `-D` counts, the rest is
//! accepted so that existing environment files keep working.

use std::fmt;

use super::error::{Level, Notice};
use super::table::shown;

/// Splits a shell word list: blanks separate, quotes and backslashes keep them.
pub fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    let mut quote = None;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(end), _) if c == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Options of a JVM command line.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct JvmFlags {
    /// Names and values of `-D`, in order; a later one wins.
    pub properties: Vec<(String, String)>,
    /// What has no effect here.
    pub ignored: Vec<String>,
}

impl fmt::Debug for JvmFlags {
    /// Secrets are masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let properties = self.properties.iter().map(|(name, value)| (name, shown(name, value)));
        f.debug_map().entries(properties).finish()?;
        f.debug_list().entries(&self.ignored).finish()
    }
}

impl JvmFlags {
    /// Whether a word of a command line is a JVM option and not an argument of the server.
    pub fn is_flag(word: &str) -> bool {
        word.starts_with('-') && word.len() > 1
    }

    /// Adds one option.
    pub fn add(&mut self, flag: &str) {
        match flag.strip_prefix("-D") {
            Some(property) if !property.is_empty() && !property.starts_with('=') => {
                let (name, value) = property.split_once('=').unwrap_or((property, ""));
                if name.starts_with("com.sun.management.") {
                    self.ignored.push(flag.to_owned());
                }
                self.properties.push((name.to_owned(), value.to_owned()));
            }
            _ => self.ignored.push(flag.to_owned()),
        }
    }

    /// Adds the options of an environment variable.
    pub fn add_words(&mut self, text: &str) {
        split_words(text).iter().for_each(|word| self.add(word));
    }

    /// What the operator should know about options without effect.
    pub fn notices(&self) -> Vec<Notice> {
        let (agents, others): (Vec<_>, Vec<_>) =
            self.ignored.iter().partition(|flag| flag.starts_with("-javaagent"));
        let mut notices = Vec::new();
        if !others.is_empty() {
            let text = others.iter().map(|flag| flag.as_str()).collect::<Vec<_>>().join(" ");
            let text = format!("JVM options without effect here: {text}");
            notices.push(Notice { level: Level::Info, text });
        }
        for agent in agents {
            let text = format!(
                "{agent}: there is no JVM to instrument. For metrics set \
                 metricsProvider.className=\
                 org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
            );
            notices.push(Notice { level: Level::Warn, text });
        }
        notices
    }
}
