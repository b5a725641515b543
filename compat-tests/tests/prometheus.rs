//! A real Prometheus scrapes our endpoint with the example configuration, and its own tool reads the
//! text and the alerts.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use compat_tests::server::{Kind, Server, free_port, scratch};
use compat_tests::wire::Session;

const PATIENCE: Duration = Duration::from_secs(180);

/// Lint about names that are ZooKeeper's own, which dashboards know them by.
const JAVAS_NAMES: [&str; 7] = [
    "counter metrics should have \"_total\" suffix",
    "no help text",
    "non-counter metrics should not have \"_total\" suffix",
    "non-histogram and non-summary metrics should not have \"_count\" suffix",
    "non-histogram and non-summary metrics should not have \"_sum\" suffix",
    "metric names should not contain abbreviated units",
    "use base unit",
];

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/prometheus")
}

/// Our server with the provider's endpoint at a port of its own, and something to count.
fn server(home: &Path) -> Result<(Server, u16)> {
    let port = free_port();
    let class = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
    let mut server = Server::new(Kind::Rookeeper, home)?
        .set("metricsProvider.className", class)
        .set("metricsProvider.httpHost", "127.0.0.1")
        .set("metricsProvider.httpPort", port);
    server.start()?;
    let mut session = Session::open(server.address())?;
    for index in 0..10 {
        ensure!(session.create(&format!("/n{index}"), b"value", 0)? == 0);
    }
    Ok((server, port))
}

fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    // 1.0: no chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: h\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of the head")?;
    ensure!(head.contains(" 200 "), "{head}");
    Ok(body.to_owned())
}

/// Runs `promtool`, feeds it, and returns exit code and all it says.
fn promtool(arguments: &[&str], input: &str) -> Result<(Option<i32>, String)> {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool (compat-tests/setup.sh installs it)")?;
    child.stdin.take().context("piped")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
}

fn the_text() -> Result<()> {
    let folder = scratch("promtool")?;
    let (mut server, port) = server(folder.path())?;
    let text = get(port, "/metrics")?;
    server.stop()?;
    ensure!(text.lines().any(|line| line.starts_with("znode_count ")), "{text}");
    // What the alerts look at, but for what only a leader has.
    let alerts = fs::read_to_string(examples().join("alerts.yml"))?;
    for part in alerts.split("{job=").take(alerts.matches("{job=").count()) {
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let name = part.rsplit(|c| !is_name(c)).next().unwrap_or_default();
        if !["", "up", "synced_followers", "synced_observers", "learners"].contains(&name) {
            ensure!(text.contains(&format!("\n{name}")), "{name} is no metric");
        }
    }
    let (code, found) = promtool(&["check", "metrics"], &text)?;
    // 1: not to be parsed; 3: read, with remarks about names.
    ensure!(matches!(code, Some(0 | 3)), "{code:?} {found}");
    let strange: Vec<&str> = found
        .lines()
        .filter(|line| !JAVAS_NAMES.iter().any(|known| line.contains(known)))
        .collect();
    ensure!(strange.is_empty(), "{}", strange.join("\n"));
    // The tool does find what is wrong.
    let broken = format!("{text}broken{{ 1\n");
    ensure!(promtool(&["check", "metrics"], &broken)?.0 == Some(1));
    Ok(())
}

#[test]
fn promtool_reads_the_text() {
    the_text().unwrap();
}

/// Killed at the end.
struct Prometheus(Child, PathBuf);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Prometheus {
    /// With the example configuration, at the port of our server and in a hurry.
    fn start(home: &Path, target: u16, port: u16) -> Result<Self> {
        let text = fs::read_to_string(examples().join("prometheus.yml"))?;
        let (old, new) = ("127.0.0.1:7000", format!("127.0.0.1:{target}"));
        ensure!(text.contains(old) && text.contains("15s"), "{text}");
        let text = text.replace(old, &new).replace("scrape_interval: 15s", "scrape_interval: 1s");
        fs::write(home.join("prometheus.yml"), text)?;
        fs::copy(examples().join("alerts.yml"), home.join("alerts.yml"))?;
        let log = home.join("prometheus.log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", home.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", home.join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("prometheus (compat-tests/setup.sh installs it)")?;
        Ok(Self(child, log))
    }

    /// Waits until an expression has a value.
    fn await_value(&mut self, port: u16, expression: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        loop {
            if let Ok(answer) = get(port, &format!("/api/v1/query?query={encoded}")) {
                let answer: serde_json::Value = serde_json::from_str(&answer)?;
                if answer.pointer("/data/result/0/value/1").is_some() {
                    return Ok(());
                }
            }
            ensure!(self.0.try_wait()?.is_none(), "it ended: {}", fs::read_to_string(&self.1)?);
            if Instant::now() > deadline {
                bail!("no value of {expression}: {}", fs::read_to_string(&self.1)?);
            }
            sleep(Duration::from_millis(100));
        }
    }
}

fn a_scrape() -> Result<()> {
    let folder = scratch("prometheus")?;
    let (mut server, port) = server(folder.path())?;
    let own = free_port();
    let mut prometheus = Prometheus::start(folder.path(), port, own)?;
    // Conditions are part of the questions: a scrape may take no longer than its interval, and
    // what does not hold after a slow one may hold after the next.
    for expression in [
        // 1 only if the whole text was understood.
        "max_over_time(up{job=\"zookeeper\"}[10m]) == 1",
        "scrape_samples_post_metric_relabeling > 200",
        // Ten of ours, and those every server has.
        "znode_count >= 14",
        "commit_count >= 0",
        "fsynctime_count >= 10",
        "fsynctime{quantile=\"0.5\"} >= 0",
        "process_resident_memory_bytes > 1e6",
    ] {
        prometheus.await_value(own, expression)?;
    }
    server.stop()?;
    Ok(())
}

#[test]
fn prometheus_scrapes_with_the_example_configuration() {
    a_scrape().unwrap();
}

#[test]
fn the_example_configuration_is_valid() {
    let file = examples().join("prometheus.yml");
    let (code, text) = promtool(&["check", "config", file.to_str().unwrap()], "").unwrap();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("6 rules found"), "{text}");
}
