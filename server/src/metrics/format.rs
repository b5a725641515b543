//! Texts: `mntr` lines and the Prometheus exposition format.

use std::fmt::Write as _;

use super::instruments::{HISTOGRAM_BOUNDS_US, Histogram, Summary};
use super::names::{Instrument, Metrics};

/// A gauge's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gauge {
    /// Shown as an integer.
    Int(i64),
    /// Shown as a Java double.
    Double(f64),
}

/// A gauge with one value per key (`quota_*_per_namespace`).
#[derive(Debug, Clone, PartialEq)]
pub struct GaugeSet {
    /// Name.
    pub name: &'static str,
    /// Key and value; shown in this order.
    pub values: Vec<(String, i64)>,
}

/// Values of the moment, collected by whoever renders.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gauges {
    /// Name and value; `None` is left out of `mntr` and 0 in Prometheus.
    pub gauges: Vec<(&'static str, Option<Gauge>)>,
    /// Gauges with keys.
    pub sets: Vec<GaugeSet>,
}

/// One line of `mntr` without its prefix, one member of `/commands/monitor`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name without `zk_`.
    pub name: String,
    /// Value.
    pub value: Gauge,
}

impl std::fmt::Display for Gauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Gauge::Int(value) => write!(f, "{value}"),
            Gauge::Double(value) => f.write_str(&java_double(*value)),
        }
    }
}

/// `Double.toString`: at least one decimal, scientific below 10^-3 and from 10^7.
pub fn java_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text.replace('e', "E"),
    }
}

/// Rounds half up to four decimals (`BigDecimal.setScale(4, HALF_UP)`).
pub fn round4(value: f64) -> f64 {
    if !value.is_finite() || value.abs() >= 1e15 {
        return value;
    }
    // The text is exact, so the fifth decimal decides as it does in Java.
    let exact = format!("{:.30}", value.abs());
    let Some((whole, decimals)) = exact.split_once('.') else { return value };
    let kept: i128 = format!("{whole}{}", &decimals[..4]).parse().unwrap_or(0);
    let up = i128::from(decimals.as_bytes()[4] >= b'5');
    let digits = format!("{:05}", kept + up);
    let (whole, decimals) = digits.split_at(digits.len() - 4);
    let rounded: f64 = format!("{whole}.{decimals}").parse().unwrap_or(value);
    rounded.copysign(value)
}

/// Quantiles a basic and an advanced summary show to Prometheus.
const BASIC: &[(f64, &str)] = &[(0.5, "0.5")];
const ADVANCED: &[(f64, &str)] = &[(0.5, "0.5"), (0.9, "0.9"), (0.99, "0.99")];

impl Metrics {
    /// Every value as the default provider shows it (`mntr`, `/commands/monitor`), without the
    /// `zk_` prefix. Gauges come first, then the list's order; Java's order is unspecified.
    pub fn samples(&self, gauges: &Gauges) -> Vec<Sample> {
        if self.is_hidden() {
            return Vec::new();
        }
        self.settle();
        let mut out = Vec::with_capacity(1024);
        let mut int =
            |name: String, value: i64| out.push(Sample { name, value: Gauge::Int(value) });
        for set in &gauges.sets {
            for (key, value) in &set.values {
                int(format!("{key}_{}", set.name), *value);
            }
        }
        let mut summary_samples = Vec::new();
        for (name, instrument) in self.all() {
            match instrument {
                Instrument::Histogram(times) => push_histogram(&mut summary_samples, name, times),
                Instrument::Counter(counter) => int(name.to_owned(), counter.get()),
                Instrument::CounterSet(set) => {
                    set.values().into_iter().for_each(|(key, n)| int(format!("{key}_{name}"), n));
                }
                Instrument::Summary(summary) => push_summary(&mut summary_samples, name, summary),
                Instrument::SummarySet(set) => {
                    for (key, summary) in set.values() {
                        push_summary(&mut summary_samples, &format!("{key}_{name}"), &summary);
                    }
                }
            }
        }
        out.extend(summary_samples);
        let shown = gauges.gauges.iter().filter_map(|(name, value)| {
            value.map(|value| Sample { name: (*name).to_owned(), value })
        });
        out.splice(0..0, shown);
        out
    }

    /// Every value as `mntr` shows it with the active provider: name without `zk_`, and value.
    ///
    /// With Prometheus these are its samples, labels in the name and doubles throughout
    /// (`PrometheusMetricsProvider.dump`).
    pub fn shown(&self, gauges: &Gauges) -> Vec<(String, String)> {
        if self.is_hidden() {
            return Vec::new();
        }
        if !self.is_prometheus() {
            let samples = self.samples(gauges).into_iter();
            return samples.map(|sample| (sample.name, sample.value.to_string())).collect();
        }
        let text = self.prometheus(gauges, &[]);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.rsplit_once(' '));
        pairs.map(|(name, value)| (name.replace(",}", "}"), value.to_owned())).collect()
    }

    /// The text of `/metrics`, format 0.0.4, as Java's provider writes it: HELP equals the name,
    /// counters keep their names without `_total`, doubles everywhere, a comma after each label.
    ///
    /// `keep` filters by sample name (the `name[]` parameter); without names all are shown.
    pub fn prometheus(&self, gauges: &Gauges, keep: &[String]) -> String {
        self.settle();
        let mut page = Page { text: String::with_capacity(64 * 1024), keep };
        for (name, value) in &gauges.gauges {
            let value = match value {
                Some(Gauge::Int(value)) => *value as f64,
                Some(Gauge::Double(value)) => *value,
                None => 0.0,
            };
            page.family(name, "gauge", |page| page.line(name, "", "", value));
        }
        for set in &gauges.sets {
            page.family(set.name, "gauge", |page| {
                for (key, value) in &set.values {
                    page.line(set.name, "", &key_label(key), *value as f64);
                }
            });
        }
        for (name, instrument) in self.all() {
            match instrument {
                Instrument::Counter(counter) => {
                    page.family(name, "counter", |p| p.line(name, "", "", counter.get() as f64));
                }
                Instrument::CounterSet(set) => page.family(name, "counter", |page| {
                    for (key, value) in set.values() {
                        page.line(name, "", &key_label(&key), value as f64);
                    }
                }),
                Instrument::Histogram(times) => {
                    page.family(name, "histogram", |page| page.histogram(name, times));
                }
                Instrument::Summary(summary) => {
                    page.family(name, "summary", |page| page.summary(name, "", summary));
                }
                Instrument::SummarySet(set) => page.family(name, "summary", |page| {
                    for (key, summary) in set.values() {
                        page.summary(name, &key_label(&key), &summary);
                    }
                }),
            }
        }
        page.text
    }
}

fn push_summary(out: &mut Vec<Sample>, name: &str, summary: &Summary) {
    let mut push = |part: &str, value| out.push(Sample { name: format!("{part}_{name}"), value });
    push("avg", Gauge::Double(summary.avg()));
    push("min", Gauge::Int(summary.min()));
    push("max", Gauge::Int(summary.max()));
    push("cnt", Gauge::Int(summary.count()));
    push("sum", Gauge::Int(summary.sum()));
    if let Some(percentiles) = summary.percentiles() {
        for (part, value) in ["p50", "p95", "p99", "p999"].iter().zip(percentiles) {
            push(part, Gauge::Int(value));
        }
    }
}

/// Count, sum in seconds, and the bounds at which half, 95 % and 99 % of the values lie.
fn push_histogram(out: &mut Vec<Sample>, name: &str, times: &Histogram) {
    let all = times.cumulated();
    let count = all.last().copied().unwrap_or(0);
    let mut push = |part: &str, value| out.push(Sample { name: format!("{part}_{name}"), value });
    push("cnt", Gauge::Int(count as i64));
    push("sum", Gauge::Double(times.sum_seconds()));
    for (part, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
        let rank = (count as f64 * share).ceil() as u64;
        let bucket = all.partition_point(|sum| *sum < rank);
        // What lies above the last bound is shown as the last bound.
        let bound = HISTOGRAM_BOUNDS_US.get(bucket).or(HISTOGRAM_BOUNDS_US.last());
        let bound = if count == 0 { 0 } else { bound.copied().unwrap_or(0) };
        push(part, Gauge::Double(bound as f64 / 1e6));
    }
}

fn key_label(key: &str) -> String {
    let escaped = key.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("key=\"{escaped}\",")
}

struct Page<'a> {
    text: String,
    keep: &'a [String],
}

impl Page<'_> {
    /// Writes the head of a family and its lines; nothing if the filter left no line.
    fn family(&mut self, name: &str, kind: &str, lines: impl FnOnce(&mut Self)) {
        let start = self.text.len();
        let _ = write!(self.text, "# HELP {name} {name}\n# TYPE {name} {kind}\n");
        let head = self.text.len();
        lines(self);
        if self.text.len() == head && !self.keep.is_empty() {
            self.text.truncate(start);
        }
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &str, value: f64) {
        let kept = |wanted: &String| wanted.strip_prefix(name).is_some_and(|rest| rest == suffix);
        if !self.keep.is_empty() && !self.keep.iter().any(kept) {
            return;
        }
        let value = match java_double(value) {
            infinite if infinite.ends_with("Infinity") => infinite.replace("Infinity", "Inf"),
            plain => plain,
        };
        let _ = if labels.is_empty() {
            writeln!(self.text, "{name}{suffix} {value}")
        } else {
            writeln!(self.text, "{name}{suffix}{{{labels}}} {value}")
        };
    }

    fn histogram(&mut self, name: &str, times: &Histogram) {
        let all = times.cumulated();
        let bounds = HISTOGRAM_BOUNDS_US.iter().map(|us| java_double(*us as f64 / 1e6));
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(all) {
            self.line(name, "_bucket", &format!("le=\"{bound}\","), count as f64);
        }
        self.line(name, "_count", "", all.last().copied().unwrap_or(0) as f64);
        self.line(name, "_sum", "", times.sum_seconds());
    }

    fn summary(&mut self, name: &str, labels: &str, summary: &Summary) {
        let wanted = match summary.percentiles() {
            None => BASIC,
            Some(_) => ADVANCED,
        };
        let ranks: Vec<f64> = wanted.iter().map(|(rank, _)| *rank).collect();
        let values = summary.windowed(&ranks);
        for (index, (_, rank)) in wanted.iter().enumerate() {
            let value = values.as_ref().map_or(f64::NAN, |values| values[index] as f64);
            self.line(name, "", &format!("{labels}quantile=\"{rank}\","), value);
        }
        self.line(name, "_count", labels, summary.count() as f64);
        self.line(name, "_sum", labels, summary.sum() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_in_java() {
        for (value, text) in [
            (0.0, "0.0"),
            (12.0, "12.0"),
            (21.6667, "21.6667"),
            (-1.5, "-1.5"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (29_360_128.0, "2.9360128E7"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(java_double(value), text);
        }
    }

    #[test]
    fn averages_round_half_up_on_the_exact_value() {
        for (value, text) in [
            (58.0 / 7.0, "8.2857"),
            (65.0 / 3.0, "21.6667"),
            (1.0 / 32.0, "0.0313"),
            (-1.0 / 32.0, "-0.0313"),
            (0.00005, "1.0E-4"),
            (2.00004999, "2.0"),
            (9.99999, "10.0"),
            (123_456_789.0, "1.23456789E8"),
        ] {
            assert_eq!(java_double(round4(value)), text, "{value}");
        }
    }

    #[test]
    fn default_provider_names() {
        let metrics = Metrics::new(false);
        metrics.fsynctime.add(3);
        metrics.fsynctime.add(4);
        metrics.readlatency.add(2);
        metrics.commit_count.add(9);
        metrics.write_per_namespace.add("app", 120);
        metrics.quota_exceeded_error_per_namespace.add("app", 1);
        let gauges = Gauges {
            gauges: vec![
                ("avg_latency", Some(Gauge::Double(1.5))),
                ("znode_count", Some(Gauge::Int(5))),
                ("synced_observers", None),
            ],
            sets: vec![GaugeSet {
                name: "quota_count_limit_per_namespace",
                values: vec![("app".into(), 10)],
            }],
        };
        let samples = metrics.samples(&gauges);
        let shown =
            |name: &str| samples.iter().find(|s| s.name == name).map(|s| s.value.to_string());
        for (name, value) in [
            ("avg_latency", "1.5"),
            ("znode_count", "5"),
            ("avg_fsynctime", "3.5"),
            ("min_fsynctime", "3"),
            ("max_fsynctime", "4"),
            ("cnt_fsynctime", "2"),
            ("sum_fsynctime", "7"),
            ("p999_readlatency", "2"),
            ("commit_count", "9"),
            ("sum_app_write_per_namespace", "120"),
            ("app_quota_exceeded_error_per_namespace", "1"),
            ("app_quota_count_limit_per_namespace", "10"),
        ] {
            assert_eq!(shown(name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(shown("synced_observers"), None);
        assert_eq!(shown("p50_fsynctime"), None, "basic summaries have no percentiles");
        assert!(Metrics::hidden().samples(&gauges).is_empty());
        assert!(Metrics::hidden().shown(&gauges).is_empty());
        metrics.reset();
        assert!(metrics.samples(&Gauges::default()).iter().all(|s| match s.value {
            Gauge::Int(value) => value == 0,
            Gauge::Double(value) => value == 0.0,
        }));
    }

    #[test]
    fn prometheus_text() {
        let metrics = Metrics::new(true);
        metrics.commit_count.add(12);
        (1..=10).for_each(|v| metrics.readlatency.add(v));
        metrics.rookeeper_fsync_seconds.add(150, 3);
        metrics.write_per_namespace.add("a\"b", 7);
        let gauges = Gauges {
            gauges: vec![("uptime", Some(Gauge::Int(29_360_128))), ("learners", None)],
            sets: Vec::new(),
        };
        let text = metrics.prometheus(&gauges, &[]);
        for part in [
            "# HELP commit_count commit_count\n# TYPE commit_count counter\ncommit_count 12.0\n",
            "# TYPE uptime gauge\nuptime 2.9360128E7\n",
            "# TYPE learners gauge\nlearners 0.0\n",
            "# TYPE readlatency summary\nreadlatency{quantile=\"0.5\",} 5.0\n\
             readlatency{quantile=\"0.9\",} 9.0\nreadlatency{quantile=\"0.99\",} 10.0\n\
             readlatency_count 10.0\nreadlatency_sum 55.0\n",
            "# TYPE fsynctime summary\nfsynctime{quantile=\"0.5\",} NaN\nfsynctime_count 0.0\n",
            "write_per_namespace{key=\"a\\\"b\",quantile=\"0.5\",} 7.0\n",
            "# TYPE rookeeper_fsync_seconds histogram\n",
            "rookeeper_fsync_seconds_bucket{le=\"1.0E-4\",} 0.0\n\
             rookeeper_fsync_seconds_bucket{le=\"2.0E-4\",} 3.0\n",
            "rookeeper_fsync_seconds_bucket{le=\"+Inf\",} 3.0\n\
             rookeeper_fsync_seconds_count 3.0\nrookeeper_fsync_seconds_sum 4.5E-4\n",
            "write_per_namespace_sum{key=\"a\\\"b\",} 7.0\n",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
        let shown = metrics.shown(&gauges);
        for (name, value) in [("uptime", "2.9360128E7"), ("readlatency{quantile=\"0.9\"}", "9.0")] {
            assert!(shown.contains(&(name.to_owned(), value.to_owned())), "{name}");
        }
        let some = metrics.prometheus(&gauges, &["readlatency_sum".into(), "uptime".into()]);
        assert_eq!(
            some,
            "# HELP uptime uptime\n# TYPE uptime gauge\nuptime 2.9360128E7\n\
             # HELP readlatency readlatency\n# TYPE readlatency summary\nreadlatency_sum 55.0\n"
        );
    }
}
