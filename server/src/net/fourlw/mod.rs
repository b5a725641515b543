//! Four-letter words: which bytes are one, and what each answers (`FourLetterCommands`,
//! `server/command`).
//!
//! Owns: the words, the whitelist, the exact texts. Everything said comes from a
//! [`ServerView`], from [`Options`] fixed at start, and from the metrics. Must not know:
//! connections; `net` reads the four bytes, asks [`Responder::needs`] and sends the answer.
//!
//! Start at [`Words::answer`]; the texts are in `text.rs`, `mntr` in `monitor.rs`.

mod monitor;
mod text;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::view::ServerView;
use crate::metrics::Metrics;

pub use monitor::gauges;
pub use text::{conf, java_address, java_date, operation};

/// What a word needs to be answered.
pub struct Call<'a> {
    /// The four bytes.
    pub word: [u8; 4],
    /// Bytes that followed them on the connection (`stmk` needs 8).
    pub rest: &'a [u8],
    /// The server.
    pub view: &'a dyn ServerView,
}

/// Answers four-letter words. One per server; built from the configuration, which holds the
/// whitelist and what `conf` and `envi` print.
pub trait Responder: Send + Sync {
    /// How many bytes behind the word the command needs (`stmk`: 8); `None` if `word` is no
    /// command, so that the bytes are a frame length.
    fn needs(&self, word: [u8; 4]) -> Option<usize>;
    /// The whole answer; the connection is closed after it.
    fn answer(&self, call: Call<'_>) -> Vec<u8>;
}

/// Knows no words: every connection starts with a frame.
#[derive(Debug, Default)]
pub struct NoWords;

impl Responder for NoWords {
    fn needs(&self, _word: [u8; 4]) -> Option<usize> {
        None
    }

    fn answer(&self, _call: Call<'_>) -> Vec<u8> {
        Vec::new()
    }
}

/// Settings that `conf` prints besides what the view knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfOptions {
    /// `version-2` below `dataDir`, absolute.
    pub data_dir: PathBuf,
    /// `version-2` below `dataLogDir`, absolute.
    pub data_log_dir: PathBuf,
    /// Milliseconds.
    pub tick_time: i32,
    /// Per source address.
    pub max_client_cnxns: i32,
    /// Milliseconds.
    pub min_session_timeout: i32,
    /// Milliseconds.
    pub max_session_timeout: i32,
    /// -1 when not set.
    pub client_port_listen_backlog: i32,
    /// 0 on a standalone server.
    pub server_id: i64,
    /// Ticks; shown in an ensemble.
    pub init_limit: i32,
    /// Ticks; shown in an ensemble.
    pub sync_limit: i32,
}

/// Keys and values of `envi`, asked for at each call: memory sizes change.
pub type Environment = Box<dyn Fn() -> Vec<(&'static str, String)> + Send + Sync>;

/// Settings of the words.
pub struct Options {
    /// Names that answer (`4lw.commands.whitelist`); `None` for all.
    pub whitelist: Option<Vec<String>>,
    /// The version line's text behind `Zookeeper version: `.
    pub version: String,
    /// For `conf`.
    pub conf: ConfOptions,
    /// For `envi`.
    pub environment: Environment,
    /// For `mntr` and `srst`.
    pub metrics: Arc<Metrics>,
}

/// Every word, as the four bytes sent.
const WORDS: &[&[u8; 4]] = &[
    b"conf", b"cons", b"crst", b"dirs", b"dump", b"envi", b"gtmk", b"ruok", b"stmk", b"srst",
    b"srvr", b"stat", b"wchc", b"wchp", b"wchs", b"mntr", b"isro", b"hash",
];

/// What telnet sends on interrupt: a word without a command, but with a refusal.
const TELNET_CLOSE: [u8; 4] = [0xff, 0xf4, 0xff, 0xfd];

/// `ZooTrace`: client requests, session, event delivery and warnings.
const DEFAULT_TRACE_MASK: i64 = 306;

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

/// All words of ZooKeeper 3.9.
pub struct Words {
    options: Options,
    trace_mask: AtomicI64,
}

impl Words {
    /// Words with their settings.
    pub fn new(options: Options) -> Self {
        Self { options, trace_mask: AtomicI64::new(DEFAULT_TRACE_MASK) }
    }

    /// Settings.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The trace mask (`gtmk`).
    pub fn trace_mask(&self) -> i64 {
        self.trace_mask.load(Relaxed)
    }

    /// Replaces the trace mask (`stmk`).
    pub fn set_trace_mask(&self, mask: i64) {
        self.trace_mask.store(mask, Relaxed);
    }

    /// What an operator looks at first, whatever the whitelist says: `srvr`, connections,
    /// sessions, `mntr`.
    pub fn report(&self, view: &dyn ServerView) -> String {
        if !view.serving() {
            return NOT_SERVING.to_owned();
        }
        let Options { version, metrics, .. } = &self.options;
        let server = text::server(version, view, false);
        let monitor = monitor::monitor(version, view, metrics);
        format!("{server}{}{}{monitor}", text::connections(view), text::dump(view))
    }

    fn enabled(&self, name: &str) -> bool {
        self.options.whitelist.as_ref().is_none_or(|names| names.iter().any(|n| n == name))
    }
}

impl Responder for Words {
    fn needs(&self, word: [u8; 4]) -> Option<usize> {
        match &word {
            b"stmk" if self.enabled("stmk") => Some(8),
            // Enabled, it has no command: the bytes count as a length, as in Java.
            &TELNET_CLOSE if !self.enabled("telnet close") => Some(0),
            word if WORDS.contains(&word) => Some(0),
            _ => None,
        }
    }

    fn answer(&self, call: Call<'_>) -> Vec<u8> {
        let name = match &call.word {
            &TELNET_CLOSE => "telnet close",
            word => std::str::from_utf8(word).unwrap_or_default(),
        };
        if !self.enabled(name) {
            let refusal = format!("{name} is not executed because it is not in the whitelist.\n");
            return refusal.into_bytes();
        }
        let Options { version, conf, environment, metrics, .. } = &self.options;
        let view = call.view;
        let text = match (name, view.serving()) {
            ("ruok", _) => "imok".to_owned(),
            ("envi", _) => text::environment(&environment()),
            ("gtmk", _) => self.trace_mask.load(Relaxed).to_string(),
            ("stmk", _) => {
                let mask = call.rest.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes));
                self.trace_mask.store(mask, Relaxed);
                mask.to_string()
            }
            ("isro", serving) => text::is_read_only(serving.then(|| view.mode())).to_owned(),
            ("hash", false) => NOT_SERVING.to_owned(),
            (_, false) => format!("{NOT_SERVING}\n"),
            ("conf", true) => text::conf(conf, view),
            ("cons", true) => text::connections(view),
            ("crst", true) => {
                view.reset_connection_stats();
                "Connection stats reset.\n".to_owned()
            }
            ("srst", true) => {
                metrics.reset();
                view.reset_stats();
                view.reset_proposal_sizes();
                "Server stats reset.\n".to_owned()
            }
            ("dirs", true) => text::directories(view),
            ("dump", true) => text::dump(view),
            ("srvr", true) => text::server(version, view, false),
            ("stat", true) => text::server(version, view, true),
            ("wchs", true) => text::watch_summary(&view.watches()),
            ("wchc", true) => text::watches_by_session(&view.watches()),
            ("wchp", true) => text::watches_by_path(&view.watches()),
            ("mntr", true) => monitor::monitor(version, view, metrics),
            ("hash", true) => text::digests(view),
            _ => String::new(),
        };
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests;
