//! Unpacked over a Java installation: `bin/`, `conf/`, `lib/` and `logs/` stay where an operator's
//! unit files and cron jobs expect them, and what of Java is left there does not disturb.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "common/notify.rs"]
#[allow(dead_code)] // it has more
mod notify;
#[path = "common/ports.rs"]
mod ports;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use notify::Notify;
use tempfile::TempDir;

/// How long a server may take until it says so; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

struct Installation {
    dir: TempDir,
    port: u16,
    notify: Notify,
}

impl Installation {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for name in ["bin", "conf", "lib", "logs", "data"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
        let scripts = fs::read_dir(sources).unwrap().map(|entry| entry.unwrap().path());
        // By a process of its own: a file that this one has open for writing, however briefly, may
        // be inherited by what another test starts just then, and cannot be executed meanwhile.
        let copied = Command::new("cp")
            .args(scripts.filter(|path| path.is_file()))
            .arg(root.join("bin"))
            .status();
        assert!(copied.unwrap().success());
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rookeeper"), root.join("bin/rookeeper"))
            .unwrap();
        // What Java leaves behind.
        fs::write(root.join("lib/zookeeper-3.9.5.jar"), "jar").unwrap();
        fs::write(root.join("conf/logback.xml"), "<configuration/>").unwrap();
        fs::write(
            root.join("conf/java.env"),
            "export SERVER_JVMFLAGS=\"-Xmx512m -Dzookeeper.snapCount=50\"\n",
        )
        .unwrap();
        let port = ports::free_port();
        let text = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            root.join("data").display()
        );
        fs::write(root.join("conf/zoo.cfg"), text).unwrap();
        let notify = Notify::bind(root.join("notify"));
        Self { dir, port, notify }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A script as a unit file runs it: by its full path, from anywhere, with hardly a variable.
    fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin").join(script));
        command
            .args(arguments)
            .current_dir("/")
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("NOTIFY_SOCKET", self.path("notify"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        self.command(script, arguments).output().unwrap()
    }

    fn await_ready(&self) {
        self.notify.until("READY=1");
    }
}

/// Ends the server, whatever happened.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_operators_unit_file_goes_on_working() {
    let there = Installation::new();
    // ExecStart=/opt/zookeeper/bin/zkServer.sh start-foreground
    let mut command = there.command("zkServer.sh", &["start-foreground"]);
    let log = fs::File::create(there.path("journal")).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log);
    // A port for JMX is not served, and said to be.
    let mut server = Running(command.env("JMXPORT", "9999").spawn().unwrap());
    there.await_ready();
    let journal = fs::read_to_string(there.path("journal")).unwrap();
    assert!(journal.contains("JMXPORT is ignored"), "{journal}");
    assert!(
        journal.contains(&format!("{}/conf/zoo.cfg", there.path("bin/..").display())),
        "{journal}"
    );
    // It asks for five seconds, and the server may stand still for longer.
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        let status = there.run("zkServer.sh", &["status"]);
        if status.status.success() || Instant::now() > deadline {
            break status;
        }
    };
    assert!(text(&status.stdout).ends_with("Mode: standalone\n"), "{status:?}");
    // The shell passes arguments and exit codes through.
    let address = format!("127.0.0.1:{}", there.port);
    for (arguments, code, out, err) in [
        (&["create", "/a b", "x y"][..], 0, "", "Created /a b\n"),
        (&["get", "/a b"], 0, "x y\n", ""),
        (&["get", "/nope"], 1, "", "Node does not exist: /nope\n"),
        (&["bogus"], 127, "", "Command not found: Command not found bogus\n"),
        (&["-r", "ls", "/"], 0, "[a b, zookeeper]\n", ""),
    ] {
        let mut all = vec!["-server", address.as_str()];
        all.extend_from_slice(arguments);
        let output = there.run("zkCli.sh", &all);
        assert!(text(&output.stdout).ends_with(out), "{output:?}");
        assert!(text(&output.stderr).ends_with(err), "{output:?}");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
    let version = there.run("zkServer.sh", &["version"]);
    assert!(text(&version.stdout).starts_with("Apache ZooKeeper, version 3.9.5 "), "{version:?}");
    kill(Pid::from_raw(i32::try_from(server.0.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(143));
    drop(server);
    // The tools find the data by the configuration next to them.
    let cleaned = there.run("zkCleanup.sh", &["-n", "3"]);
    assert!(cleaned.status.success(), "{cleaned:?}");
    let again = there.run("zkServer-initialize.sh", &["--myid=1"]);
    assert!(text(&again.stdout).contains("ZooKeeper data directory already exists"), "{again:?}");
}

#[test]
fn started_in_the_background_with_the_log_where_it_was() {
    let there = Installation::new();
    let conf = there.path("conf").display().to_string();
    let started = there.run("zkServer.sh", &["--config", &conf, "start"]);
    assert!(text(&started.stdout).ends_with("Starting zookeeper ... STARTED\n"), "{started:?}");
    there.await_ready();
    let logs: Vec<String> = fs::read_dir(there.path("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(logs.iter().any(|name| name.ends_with(".out")), "{logs:?}");
    assert!(there.path("data/zookeeper_server.pid").exists());
    let stopped = there.run("zkServer.sh", &["--config", &conf, "stop"]);
    assert!(text(&stopped.stdout).ends_with("Stopping zookeeper ... STOPPED\n"), "{stopped:?}");
    assert!(!there.path("data/zookeeper_server.pid").exists());
}
