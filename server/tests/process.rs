//! The binary as a process: what it prints, which ports it opens, how it ends.
//!
//! Readiness is the server's own notification (`NOTIFY_SOCKET`), so nothing here guesses times.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::notify::Notify;
use common::ports::free_port;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a server may take until it says so; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

struct Site {
    dir: TempDir,
    notify: Notify,
    port: u16,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let notify = Notify::bind(dir.path().join("notify"));
        Self { dir, notify, port: free_port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `program` with the binary, its configuration and `flags` behind it.
    fn command(&self, program: &[&str], text: &str, flags: &str) -> Command {
        let file = self.path("zoo.cfg");
        let head = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\npreAllocSize=64\n",
            self.path("data").display(),
            self.port
        );
        let admin = if text.contains("admin.") { "" } else { "admin.enableServer=false\n" };
        fs::write(&file, format!("{head}{admin}{text}")).unwrap();
        let words: Vec<&str> =
            program.iter().copied().chain([env!("CARGO_BIN_EXE_rookeeper")]).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .arg("server")
            .arg(file)
            .env("SERVER_JVMFLAGS", flags)
            .env("NOTIFY_SOCKET", self.path("notify"))
            .stdin(Stdio::null())
            // A pipe that nobody reads yet might become full.
            .stdout(File::create(self.path("out")).unwrap())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self, text: &str, flags: &str) -> Process {
        self.start_by(&[], text, flags)
    }

    fn start_by(&self, program: &[&str], text: &str, flags: &str) -> Process {
        self.ready(self.command(program, text, flags))
    }

    fn ready(&self, command: Command) -> Process {
        let process = Process::of(self, command);
        self.notify.until("READY=1");
        process
    }

    /// A start that fails.
    fn fails(&self, text: &str) -> Output {
        let output = self.command(&[], text, "").output().unwrap();
        Output { stdout: fs::read(self.path("out")).unwrap(), ..output }
    }

    fn word(&self, word: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(word.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Killed if a test fails.
struct Process {
    child: Option<Child>,
    out: PathBuf,
}

impl Process {
    fn of(site: &Site, mut command: Command) -> Self {
        Self { child: Some(command.spawn().unwrap()), out: site.path("out") }
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("running");
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    }

    /// Ends it and gives what it printed.
    fn stop(mut self) -> Output {
        self.signal(Signal::SIGTERM);
        let output = self.child.take().expect("running").wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(143));
        Output { stdout: fs::read(&self.out).unwrap(), ..output }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Status and body.
fn http(port: u16, request: &str) -> (u16, String) {
    let (status, body) = exchange(port, request);
    (status, String::from_utf8(body).unwrap())
}

fn fetch(port: u16, path: &str) -> (u16, Vec<u8>) {
    exchange(port, &format!("GET {path}"))
}

fn exchange(port: u16, request: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: digest u:p\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

fn refused(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}

#[test]
fn the_log_begins_with_the_environment() {
    let site = Site::new();
    let output = site.start("", "").stop();
    let log = String::from_utf8(output.stdout).unwrap();
    for key in ["zookeeper.version", "host.name", "java.version", "os.name", "user.dir"] {
        let said = format!("] - Server environment:{key}=");
        assert!(log.contains(&said), "{key} in {log}");
    }
    assert!(log.contains(" - INFO  ["), "{log}");
    assert!(!log.contains(" - DEBUG ["), "{log}");
    assert!(!log.contains("JVM Pause Monitor"), "only if asked for: {log}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn the_console_has_a_threshold() {
    for (level, shown, hidden) in
        [("WARN", " - WARN  [", " - INFO  ["), ("DEBUG", " - DEBUG [", " - TRACE [")]
    {
        let site = Site::new();
        let process = site.start("", &format!("-Dzookeeper.console.threshold={level}"));
        // Refused without a session: something worth a debug line.
        let mut stream = TcpStream::connect(("127.0.0.1", site.port)).unwrap();
        stream.write_all(&[0xff; 4]).unwrap();
        let _ = stream.read(&mut [0]);
        let log = String::from_utf8(process.stop().stdout).unwrap();
        assert!(log.contains(shown), "{level}: {log}");
        assert!(!log.contains(hidden), "{level}: {log}");
    }
}

#[test]
fn a_hang_up_can_be_ignored() {
    let site = Site::new();
    let process = site.start_by(&["nohup"], "", "");
    process.signal(Signal::SIGHUP);
    assert!(site.word("srvr").contains("Mode: standalone"));
    process.stop();
}

#[test]
fn running_out_of_descriptors_spares_those_who_are_in() {
    let site = Site::new();
    let shell = ["bash", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let text = "maxClientCnxns=0\n4lw.commands.whitelist=ruok\n";
    let process = site.start_by(&shell, text, "");
    let connect = |n: usize| -> Vec<TcpStream> {
        (0..n).map(|_| TcpStream::connect(("127.0.0.1", site.port)).unwrap()).collect()
    };
    let mut early = connect(1).remove(0);
    let mut hello = vec![0, 0, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 78, 32];
    hello.resize(4 + 45, 0);
    hello[31] = 16;
    early.write_all(&hello).unwrap();
    let mut answer = [0; 41];
    early.read_exact(&mut answer).unwrap();
    // Those that are not accepted fit into the backlog.
    let many = connect(70);
    let said = || fs::read_to_string(site.path("out")).unwrap();
    common::until("one is too many", || said().contains("cannot accept a connection"));
    // Xid -2, ping.
    early.write_all(&[0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11]).unwrap();
    let mut pong = [0; 20];
    early.read_exact(&mut pong).unwrap();
    assert_eq!(pong[..8], [0, 0, 0, 16, 0xff, 0xff, 0xff, 0xfe]);
    drop(many);
    // There is room again.
    assert_eq!(site.word("ruok"), "imok");
    process.stop();
}

#[test]
fn open_files_are_raised_and_few_are_told() {
    let text = "4lw.commands.whitelist=mntr\n";
    let limit = |hard: u32| {
        let site = Site::new();
        let shell = format!("ulimit -Sn 300; ulimit -Hn {hard}; exec \"$0\" \"$@\"");
        let process = site.start_by(&["bash", "-c", &shell], text, "");
        let metrics = site.word("mntr");
        let line = metrics.lines().find(|l| l.starts_with("zk_max_file_descriptor_count"));
        let shown = line.expect("a limit").split_whitespace().last().expect("a value").to_owned();
        (shown, String::from_utf8(process.stop().stdout).unwrap())
    };
    let (shown, log) = limit(1000);
    assert_eq!(shown, "1000");
    assert!(log.contains("The limit of open files is 1000"), "{log}");
    let (shown, log) = limit(5000);
    assert_eq!(shown, "5000");
    assert!(!log.contains("The limit of open files"), "{log}");
}

#[test]
fn systemd_is_told_what_goes_on() {
    let site = Site::new();
    let process = Process::of(&site, site.command(&[], "", ""));
    let next = || site.notify.next();
    assert!(next().starts_with("STATUS=Standalone"));
    assert_eq!(next(), "READY=1");
    // Ready means that clients are served.
    assert!(site.word("srvr").contains("Mode: standalone"));
    process.stop();
    assert_eq!(next(), "STOPPING=1");
    assert!(next().starts_with("STATUS="));
}

#[test]
fn systemd_is_told_what_a_member_is() {
    let site = Site::new();
    fs::create_dir_all(site.path("data")).unwrap();
    fs::write(site.path("data/myid"), "1\n").unwrap();
    let member = |sid| format!("server.{sid}=127.0.0.1:{}:{}\n", free_port(), free_port());
    let text = format!("standaloneEnabled=false\ninitLimit=10\nsyncLimit=5\n{}", member(1));
    let process = Process::of(&site, site.command(&[], &text, ""));
    site.notify.until("STATUS=Leading 1 voters: 0 followers and 0 observers in sync");
    process.stop();
    site.notify.until("STOPPING=1");

    // Alone among two it leads nobody.
    let site = Site::new();
    fs::create_dir_all(site.path("data")).unwrap();
    fs::write(site.path("data/myid"), "1\n").unwrap();
    let text = format!("initLimit=10\nsyncLimit=5\n{}{}{}", member(1), member(2), member(3));
    let process = Process::of(&site, site.command(&[], &text, ""));
    let said = site.notify.next();
    assert!(said.starts_with("STATUS=Not serving: looking"), "{said}");
    process.stop();
}

#[test]
fn the_admin_server_obeys_its_keys() {
    let site = Site::new();
    let port = free_port();
    let text = format!(
        "admin.serverPort={port}\nadmin.serverAddress=127.0.0.1\nadmin.commandURL=/x\n\
         admin.snapshot.enabled=false\nadmin.restore.enabled=false\nabc=1\n"
    );
    let process = site.start(&text, "");
    let (status, body) = http(port, "GET /x/ruok");
    assert_eq!((status, body.contains("\"command\" : \"ruok\"")), (200, true), "{body}");
    assert_eq!(http(port, "GET /commands/ruok").0, 404);
    assert_eq!(http(port, "GET /x/snapshot").0, 503);
    assert_eq!(http(port, "POST /x/restore").0, 503);
    assert!(http(port, "GET /x/srvr").1.contains("\"server_state\" : \"standalone\""));
    assert!(http(port, "GET /x/conf").1.contains(&format!("\"client_port\" : {}", site.port)));
    assert!(http(port, "GET /x/sysp").1.contains("\"zookeeper.abc\" : \"1\""));
    let (_, icfg) = http(port, "GET /x/icfg");
    assert!(icfg.contains("admin.commandURL=/x\\n"), "{icfg}");
    let elsewhere = TcpStream::connect(SocketAddr::from(([127, 0, 0, 2], port)));
    assert!(elsewhere.is_err(), "only where it was told to");
    let log = String::from_utf8(process.stop().stdout).unwrap();
    assert!(log.contains("Started AdminServer on address"), "{log}");

    // A busy port: the server does not start, with an exit code of its own.
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let text = format!("admin.serverPort={port}\nadmin.serverAddress=127.0.0.1\n");
    let output = site.fails(&text);
    assert_eq!(output.status.code(), Some(4));
    let said = "Unable to start AdminServer, exiting abnormally\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), said);
    // Switched off, it does not matter.
    site.start(&format!("{text}admin.enableServer=false\n"), "").stop();
}

#[test]
fn a_member_serves_without_its_admin_server() {
    let site = Site::new();
    fs::create_dir_all(site.path("data")).unwrap();
    fs::write(site.path("data/myid"), "1\n").unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "standaloneEnabled=false\ninitLimit=10\nsyncLimit=5\nadmin.serverAddress=127.0.0.1\n\
         admin.serverPort={}\nserver.1=127.0.0.1:{}:{}\n",
        busy.local_addr().unwrap().port(),
        free_port(),
        free_port()
    );
    let process = site.start(&text, "");
    // Ready says that the process is up; a member serves when it has a quorum.
    let deadline = Instant::now() + PATIENCE;
    // Its client port may not be open yet.
    while TcpStream::connect(("127.0.0.1", site.port)).is_err()
        || !site.word("srvr").contains("Mode: leader")
    {
        assert!(Instant::now() < deadline, "it does not serve");
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = String::from_utf8(process.stop().stdout).unwrap();
    let warned = log.lines().find(|line| line.contains("Problem starting AdminServer"));
    assert!(warned.is_some_and(|line| line.contains("WARN")), "{log}");
}

#[test]
fn snapshots_can_be_fetched_now_and_then() {
    for (interval, second) in [(300_000, 429), (0, 200)] {
        let site = Site::new();
        let port = free_port();
        let text = format!(
            "admin.serverPort={port}\nadmin.serverAddress=127.0.0.1\n\
             admin.rateLimiterIntervalInMS={interval}\n"
        );
        let process = site.start(&text, "");
        let fetch = || fetch(port, "/commands/snapshot");
        let (status, body) = fetch();
        assert_eq!(status, 200);
        let file = fs::read(site.path("data/version-2/snapshot.0")).unwrap();
        assert!(body == file, "the bytes of the file");
        assert_eq!(fetch().0, second);
        process.stop();
    }
}

#[test]
fn metrics_have_a_port_of_their_own() {
    let site = Site::new();
    let port = free_port();
    let class = "metricsProvider.className=\
        org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
    let text =
        format!("{class}\nmetricsProvider.httpPort={port}\nmetricsProvider.httpHost=127.0.0.1\n");
    let process = site.start(&format!("{text}4lw.commands.whitelist=mntr\n"), "");
    let (status, body) = http(port, "GET /metrics");
    assert_eq!(status, 200);
    assert!(body.contains("# TYPE znode_count gauge\nznode_count 5.0\n"), "{body}");
    assert!(body.contains("\nprocess_open_fds "), "{body}");
    // Only there.
    assert!(TcpStream::connect(SocketAddr::from(([127, 0, 0, 2], port))).is_err());
    let mntr = site.word("mntr");
    assert!(mntr.contains("\nzk_znode_count\t5.0\n"), "{mntr}");
    assert!(mntr.contains("zk_fsynctime{quantile=\"0.5\"}\t"), "{mntr}");
    process.stop();
    let process = site.start(&format!("{text}metricsProvider.exportJvmInfo=false\n"), "");
    assert!(!http(port, "GET /metrics").1.contains("\nprocess_open_fds "));
    process.stop();
    // Another class shows nothing but what a server is.
    let null = "metricsProvider.className=org.apache.zookeeper.metrics.impl.NullMetricsProvider\n";
    let process = site.start(&format!("{null}4lw.commands.whitelist=mntr\n"), "");
    let mntr = site.word("mntr");
    let names: Vec<&str> = mntr.lines().filter_map(|l| l.split('\t').next()).collect();
    assert_eq!(names, ["zk_version", "zk_server_state"], "{mntr}");
    process.stop();
    // Without the class nobody listens; with a busy port the start fails.
    let process = site.start(&format!("metricsProvider.httpPort={port}\n"), "");
    assert!(refused(port));
    process.stop();
    let _busy = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(site.fails(&text).status.code(), Some(1));
}

#[test]
fn a_tls_port_without_stores_is_refused() {
    let site = Site::new();
    let output = site.fails("secureClientPort=0\n");
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stdout).unwrap();
    assert!(log.contains("Keystore is required for SSL server: ssl.keyStore.location"), "{log}");
}

#[test]
fn cleanup_removes_what_a_purge_would() {
    let site = Site::new();
    // Each start that replays something leaves a snapshot: sessions are something.
    let hello = {
        let mut hello = vec![0, 0, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 39, 16];
        hello.resize(4 + 45, 0);
        hello[31] = 16;
        hello
    };
    let snapshots = || {
        let dir = fs::read_dir(site.path("data/version-2")).unwrap();
        let names = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.starts_with("snapshot.")).collect();
        names.sort();
        names
    };
    for n in 0..6 {
        let process = site.start("", "");
        // Before the session, or the next start has nothing to replay.
        common::until("it has its snapshot", || snapshots().len() == n + 1);
        let mut stream = TcpStream::connect(("127.0.0.1", site.port)).unwrap();
        stream.write_all(&hello).unwrap();
        stream.read_exact(&mut [0; 41]).unwrap();
        process.stop();
    }
    let before = snapshots();
    assert_eq!(before.len(), 6, "{before:?}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/zkCleanup.sh");
    let output = Command::new(script)
        .args(["-n", "3"])
        .env("ROOKEEPER", env!("CARGO_BIN_EXE_rookeeper"))
        .env("ZOOCFGDIR", site.dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    for name in &before[..3] {
        let line = format!("\t{}", site.path("data/version-2").join(name).display());
        assert!(
            said.lines().any(|l| l.starts_with("Removing file: ") && l.ends_with(&line)),
            "{name} in {said}"
        );
    }
    assert_eq!(snapshots(), before[3..]);
    site.start("", "").stop();
}

/// What operators' alerts look for in the log, after something happened to a standalone server.
#[test]
fn the_log_has_the_phrases_of_alerts() {
    use jute::Encode;
    use jute::proto::{AuthPacket, op};

    let site = Site::new();
    let text = "4lw.commands.whitelist=*\nmaxClientCnxns=3\nmaxSessionTimeout=60000\ntickTime=100\n\
                enforceQuota=true\naudit.enable=true\njvm.pause.monitor=true\n\
                jvm.pause.sleep.time.ms=20\njvm.pause.info-threshold.ms=40\n\
                jvm.pause.warn-threshold.ms=60000\nsnapCount=8\nfsync.warningthresholdms=0\n";
    let process = site.start(text, "");
    // Stopped and continued: the pause monitor notices.
    process.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(200));
    process.signal(Signal::SIGCONT);
    loop {
        let metrics = site.word("mntr");
        let line = metrics.lines().find_map(|l| l.strip_prefix("zk_max_jvm_pause_time_ms\t"));
        if line.expect("counted").parse::<f64>().unwrap() >= 100.0 {
            break;
        }
    }
    let address = SocketAddr::from(([127, 0, 0, 1], site.port));
    let mut client = common::Client::connect(address);
    for path in ["/zookeeper/quota/q", "/q"] {
        client.create(path, b"", 0);
    }
    let limits = "/zookeeper/quota/q/zookeeper_limits";
    client.create(limits, b"count=1,bytes=-1", 0);
    client.create("/zookeeper/quota/q/zookeeper_stats", b"count=0,bytes=0", 0);
    assert_eq!(client.create("/q/over", b"", 0).err, 0, "a soft limit does not refuse");
    for _ in 0..20 {
        client.create("/n", b"", 2);
    }
    let mut body = Vec::new();
    AuthPacket { kind: 0, scheme: Some("digest".into()), auth: Some(b"u:p") }.encode(&mut body);
    client.call(op::AUTH, &body);
    // A length that no frame has, a client that has seen the future, one too many.
    common::Client::raw(address).send_raw(b"\xff\xff\xff\xff");
    let mut ahead = common::Client::raw(address);
    assert_eq!(ahead.greet(0, [0; 16], 10_000, i64::MAX, false), None);
    let full: Vec<_> = (0..3).filter_map(|_| TcpStream::connect(address).ok()).collect();
    let is_refused = |mut stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let would_block = std::io::ErrorKind::WouldBlock;
        !stream.read(&mut [0]).is_err_and(|error| error.kind() == would_block)
    };
    while full.len() == 3 && !full.iter().any(is_refused) {}
    drop((full, client));
    // Once it has noticed, whoever asks is the only one.
    let is_alone = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"cons")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.matches(" /127.0.0.1:").count() == 1)
    };
    while !is_alone().unwrap_or(false) {}
    let output = process.stop();
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    for phrase in [
        "Reading configuration from:",
        "binding to port",
        "bound to port",
        "Creating new log file: log.",
        "Snapshotting: 0x",
        "Snapshot taken in ",
        "fsync-ing the write ahead log in ",
        "ms which will adversely effect operation latency.",
        "Quota exceeded: /q [current count=2, softCountLimit=1]",
        "got auth packet /127.0.0.1:",
        ": auth success for scheme digest and address /127.0.0.1:",
        "Len error. A message from /127.0.0.1:",
        "Refusing session(0x0) request for client /127.0.0.1:",
        "Too many connections from /127.0.0.1 - max is 3",
        "Unable to read additional data from client, it probably closed the socket",
        "Starting JVM Pause Monitor with infoThresholdMs:40 warnThresholdMs:60000 and \
         sleepTimeMs:20",
        "Detected pause in JVM or host machine (eg GC): pause of approximately ",
        "operation=serverStart\tresult=success",
        "operation=serverStop\tresult=invoked",
        "operation=create\tznode=/q\tznode_type=persistent\tresult=success",
    ] {
        assert!(log.contains(phrase), "{phrase}\n---\n{log}");
    }
}

#[test]
fn the_audit_log_goes_to_the_file_that_was_named() {
    let site = Site::new();
    let dir = site.dir.path().display().to_string();
    let file = format!("-Dzookeeper.log.dir={dir} -Dzookeeper.auditlog.file=zookeeper_audit.log");
    let work = |text: &str, flags: &str| {
        let process = site.start(text, flags);
        let mut client = common::Client::connect(SocketAddr::from(([127, 0, 0, 1], site.port)));
        client.create("/a", b"", 0);
        client.set("/none", b"");
        process.stop();
        fs::read_to_string(site.path("zookeeper_audit.log")).unwrap_or_default()
    };
    assert_eq!(work("", &file), "", "it is off by default");
    let errors =
        work("audit.enable=true\n", &format!("{file} -Dzookeeper.auditlog.threshold=ERROR"));
    assert!(errors.contains("operation=setData\tznode=/none\tresult=failure"), "{errors}");
    assert!(!errors.contains("result=success"), "{errors}");
    let all = work("audit.enable=true\n", &file);
    let new = all.strip_prefix(&errors).expect("appended to");
    assert!(new.contains("operation=serverStart\tresult=success"), "{new}");
    assert!(new.contains("operation=serverStop\tresult=invoked"), "{new}");
}

/// `pathStats.*`; without delays every second counts as a minute's end.
#[test]
fn the_paths_asked_for_most_are_told() {
    let site = Site::new();
    let keys = "pathStats.enabled=true\npathStats.sampleRate=1.0\npathStats.initialDelay=0\n\
                pathStats.delay=0\npathStats.maxDepth=1\npathStats.topPathMax=1\n\
                pathStats.slotDuration=3600\n";
    // Read as it comes.
    let mut command = site.command(&[], keys, "");
    command.stdout(Stdio::piped());
    let mut process = site.ready(command);
    let mut client = common::Client::connect(SocketAddr::from(([127, 0, 0, 1], site.port)));
    client.create("/a", b"", 0);
    for _ in 0..3 {
        client.set("/a/b", b"");
        client.get("/a/c", false);
        client.get("/a", false);
    }
    client.set("/other", b"");
    client.get("/other", false);
    let child = process.child.as_mut().expect("running");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = |wanted: &str| loop {
        let line = lines.next().expect("it goes on").unwrap();
        if line.contains(wanted) {
            return line;
        }
    };
    for (kind, line) in [("Read", "] - /a : 6"), ("Write", "] - /a : 4")] {
        loop {
            next(&format!("] - Here are the top {kind} paths:"));
            let told = next("] - ");
            // Of the second path nothing, of deeper ones nothing.
            assert!(!told.contains("other") && !told.contains("/a/"), "{told}");
            if told.ends_with(line) {
                break;
            }
        }
    }
    process.signal(Signal::SIGTERM);
    assert_eq!(process.child.take().expect("running").wait().unwrap().code(), Some(143));
}
