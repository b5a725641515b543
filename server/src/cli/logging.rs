//! The log on stdout, in the columns of ZooKeeper's `logback.xml`:
//!
//! ```text
//! 2026-11-21 13:33:27,830 [myid:1] - INFO  [main:cli.serve@87] - text
//! ```
//!
//! The level comes from `-Dzookeeper.console.threshold`; `ROOKEEPER_LOG` (directives of
//! `tracing_subscriber::EnvFilter`, `net=debug,info` for example) overrides it.

use std::env;
use std::fmt;
use std::sync::{Arc, OnceLock};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::VisitOutput as _;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The text of `myid`, once it is known.
pub(super) type MyId = Arc<OnceLock<String>>;

struct JavaColumns {
    my_id: MyId,
    zone: jiff::tz::TimeZone,
}

impl<S, N> FormatEvent<S, N> for JavaColumns
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = jiff::Timestamp::now().to_zoned(self.zone.clone());
        let meta = event.metadata();
        let thread = std::thread::current();
        let target = meta.target();
        let target = target.strip_prefix("rookeeper::").unwrap_or(target).replace("::", ".");
        write!(
            writer,
            "{} [myid:{}] - {:<5} [{}:{target}@{}] - ",
            now.strftime("%Y-%m-%d %H:%M:%S,%3f"),
            self.my_id.get().map_or("", String::as_str),
            meta.level(),
            thread.name().unwrap_or("-"),
            meta.line().unwrap_or(0)
        )?;
        let mut text = String::new();
        let mut fields = DefaultVisitor::new(Writer::new(&mut text), true);
        event.record(&mut fields);
        fields.finish()?;
        // Stricter than Java: what somebody sent cannot begin a line of the log.
        for part in text.split_inclusive(|c: char| c.is_control() && c != '\t') {
            match part.chars().next_back().filter(|c| c.is_control() && *c != '\t') {
                Some(last) => {
                    let plain = &part[..part.len() - last.len_utf8()];
                    write!(writer, "{plain}{}", last.escape_default())?;
                }
                None => writer.write_str(part)?,
            }
        }
        writeln!(writer)
    }
}

/// The level of a logback threshold.
fn directive(threshold: &str) -> &'static str {
    match threshold.to_ascii_uppercase().as_str() {
        "OFF" => "off",
        "ERROR" | "FATAL" => "error",
        "WARN" => "warn",
        "DEBUG" => "debug",
        "TRACE" | "ALL" => "trace",
        _ => "info",
    }
}

/// Starts logging to stdout; the returned cell takes the text of `myid`.
pub(super) fn start(threshold: Option<&str>) -> MyId {
    let my_id = MyId::default();
    let level = directive(threshold.unwrap_or("INFO"));
    let filter = match env::var("ROOKEEPER_LOG") {
        Ok(directives) => EnvFilter::new(directives),
        Err(_) => EnvFilter::new(level),
    };
    let zone = jiff::tz::TimeZone::system();
    let columns = JavaColumns { my_id: my_id.clone(), zone };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let builder = builder.event_format(columns);
    // Fails only if a subscriber is set already, which then keeps logging.
    let _ = builder.with_writer(std::io::stdout).try_init();
    my_id
}

/// Logs at a level known only at run time.
pub(super) fn log(level: Level, text: &str) {
    match level {
        Level::ERROR => tracing::error!("{text}"),
        Level::WARN => tracing::warn!("{text}"),
        _ => tracing::info!("{text}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Sink {
        type Writer = Sink;
        fn make_writer(&'a self) -> Sink {
            self.clone()
        }
    }

    #[test]
    fn columns_are_logbacks() {
        let my_id = MyId::default();
        let sink = Sink::default();
        let columns = JavaColumns { my_id: my_id.clone(), zone: jiff::tz::TimeZone::UTC };
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .event_format(columns)
            .with_writer(sink.clone())
            .with_max_level(Level::INFO)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("binding to port {}", 2181);
            my_id.set("3".to_owned()).expect("once");
            tracing::warn!(session = 5, "late");
            tracing::warn!("scheme a\r\n2026-11-21 forged\tü\u{85}\0");
            tracing::debug!("unseen");
        });
        let text = String::from_utf8(sink.0.lock().expect("not poisoned").clone()).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[2].ends_with("scheme a\\r\\n2026-11-21 forged\tü\\u{85}\\u{0}"),
            "{}",
            lines[2]
        );
        let (date, rest) = lines[0].split_at(23);
        let shape: String =
            date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00 00:00:00,000");
        assert!(rest.starts_with(" [myid:] - INFO  ["), "{rest}");
        assert!(rest.contains(":cli.logging.tests@"), "{rest}");
        assert!(rest.ends_with("] - binding to port 2181"), "{rest}");
        assert!(lines[1].contains(" [myid:3] - WARN  ["), "{}", lines[1]);
        assert!(lines[1].ends_with("] - late session=5"), "{}", lines[1]);
    }

    #[test]
    fn thresholds() {
        for (java, ours) in
            [("INFO", "info"), ("debug", "debug"), ("OFF", "off"), ("ALL", "trace"), ("?", "info")]
        {
            assert_eq!(directive(java), ours);
        }
    }
}
