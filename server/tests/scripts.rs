//! The scripts as operators call them, with the real binary: output lines, exit codes, files.
//!
//! Readiness is the server's own notification (`NOTIFY_SOCKET`), so nothing here guesses times.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "common/notify.rs"]
#[allow(dead_code)] // it has more
mod notify;
#[path = "common/ports.rs"]
mod ports;

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use notify::Notify;
use tempfile::TempDir;

/// How long a server may take until it says so; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").canonicalize().unwrap()
}

/// A configuration directory with a server in it, and where the server says that it is ready.
struct Site {
    dir: TempDir,
    notify: Notify,
    port: u16,
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(self.path("data/zookeeper_server.pid")) {
            let _ = kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL);
        }
    }
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let notify = Notify::bind(dir.path().join("notify"));
        let port = ports::free_port();
        let site = Site { dir, notify, port };
        fs::create_dir(site.path("conf")).unwrap();
        site.configure(&format!("clientPort={port}\nclientPortAddress=127.0.0.1\n"));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, text: &str) {
        let data = self.path("data");
        let text =
            format!("dataDir={}\npreAllocSize=64\nadmin.serverPort=0\n{text}", data.display());
        fs::write(self.path("conf/zoo.cfg"), text).unwrap();
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Command {
        // Whoever runs the tests may ignore them (`nohup`, a job in the background), and a server that
        // inherits this ignores SIGHUP as Java does.
        let mut command = Command::new("env");
        command
            .arg("--default-signal=HUP,INT")
            .arg(scripts().join(script))
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("ROOKEEPER", env!("CARGO_BIN_EXE_rookeeper"))
            .env("ZOOCFGDIR", self.path("conf"))
            .env("ZOO_LOG_DIR", self.path("logs"))
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("USER", "me")
            .env("HOSTNAME", "here")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        self.command(script, arguments).output().unwrap()
    }

    fn server(&self, arguments: &[&str]) -> Output {
        self.run("zkServer.sh", arguments)
    }

    /// Waits for the next state the server reports, not its words for people.
    fn state(&self) -> String {
        self.notify.state()
    }

    fn pid(&self) -> i32 {
        fs::read_to_string(self.path("data/zookeeper_server.pid")).unwrap().parse().unwrap()
    }

    fn word(&self, word: &str) -> String {
        let port = self.port.to_string();
        // It waits five seconds, and the server may stand still for longer.
        let run = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_rookeeper"));
            command.args(["word", "127.0.0.1", &port, word]).output().unwrap()
        };
        let output = patiently(run, |output| output.status.success());
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).to_owned()
    }

    fn daemon_output(&self) -> String {
        fs::read_to_string(self.path("logs/zookeeper-me-server-here.out")).unwrap_or_default()
    }
}

/// The output of a command that is run until it fits, or the last one.
fn patiently(run: impl Fn() -> Output, fits: impl Fn(&Output) -> bool) -> Output {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = run();
        if fits(&output) || Instant::now() > deadline {
            return output;
        }
    }
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("not ended by a signal")
}

#[test]
fn start_status_stop() {
    let site = Site::new();
    let status = site.server(&["status"]);
    let found = format!(
        "Client port found: {}. Client address: 127.0.0.1. Client SSL: false.\n",
        site.port
    );
    let down = format!("{found}Error contacting service. It is probably not running.\n");
    assert_eq!((stdout(&status), code(&status)), (down.as_str(), 1));

    let start = site.server(&["start"]);
    assert_eq!(stdout(&start), "Starting zookeeper ... STARTED\n", "{}", stderr(&start));
    assert_eq!(code(&start), 0);
    let using = format!("Using config: {}\n", site.path("conf/zoo.cfg").display());
    assert_eq!(stderr(&start), using);
    assert_eq!(site.state(), "READY=1");
    let pid = site.pid();
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(name.trim(), "rookeeper");

    let again = site.server(&["start"]);
    let running = format!("Starting zookeeper ... already running as process {pid}.\n");
    assert_eq!((stdout(&again), code(&again)), (running.as_str(), 1));

    let status = patiently(|| site.server(&["status"]), |status| code(status) == 0);
    let up = format!("{found}Mode: standalone\n");
    assert_eq!((stdout(&status), code(&status)), (up.as_str(), 0));

    let stop = site.server(&["stop"]);
    assert_eq!((stdout(&stop), code(&stop)), ("Stopping zookeeper ... STOPPED\n", 0));
    assert!(!site.path("data/zookeeper_server.pid").exists());
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the process is gone");
    assert!(site.daemon_output().contains("Exiting JVM with code 143"));

    let stop = site.server(&["stop"]);
    let none = format!(
        "Stopping zookeeper ... no zookeeper to stop (could not find file {})\n",
        site.path("data/zookeeper_server.pid").display()
    );
    assert_eq!((stdout(&stop), code(&stop)), (none.as_str(), 0));
}

#[test]
fn restart_changes_the_process() {
    let site = Site::new();
    assert_eq!(code(&site.server(&["start"])), 0);
    let first = site.pid();
    let restart = site.server(&["restart"]);
    let said = "Stopping zookeeper ... STOPPED\nStarting zookeeper ... STARTED\n";
    assert_eq!((stdout(&restart), code(&restart)), (said, 0));
    assert_ne!(site.pid(), first);
    assert_eq!(code(&site.server(&["stop"])), 0);
}

#[test]
fn a_server_that_cannot_start_says_so() {
    let site = Site::new();
    site.configure("tickTime=0\n");
    // The script looks once, after a second; on a slow machine the server may not have got so far.
    let run = || {
        let start = site.server(&["start"]);
        let deadline = Instant::now() + PATIENCE;
        while code(&start) == 0 && !site.daemon_output().contains("Exiting JVM") {
            assert!(Instant::now() < deadline, "it goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Nobody may be there to bury it.
        let _ = fs::remove_file(site.path("data/zookeeper_server.pid"));
        start
    };
    let start = patiently(run, |start| code(start) != 0);
    assert_eq!((stdout(&start), code(&start)), ("Starting zookeeper ... FAILED TO START\n", 1));
    let log = site.daemon_output();
    let line = "zoo.cfg:4: tickTime=0: tickTime is not set (allowed: 1 and above, milliseconds)";
    assert!(log.contains(line), "{log}");
    assert!(log.lines().any(|l| l == "Invalid config, exiting abnormally"), "{log}");
    assert!(log.contains("Exiting JVM with code 2"), "{log}");
}

#[test]
fn start_foreground_is_the_server_itself() {
    for (signal, expected) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130), (Signal::SIGHUP, 129)]
    {
        let site = Site::new();
        let mut command = site.command("zkServer.sh", &["start-foreground"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        assert_eq!(site.state(), "READY=1");
        let pid = child.id() as i32;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        assert_eq!(name.trim(), "rookeeper", "the shell was replaced");
        kill(Pid::from_raw(pid), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), None);
        assert_eq!(code(&output), expected);
        assert_eq!(site.state(), "STOPPING=1");
    }
}

#[test]
fn a_report_on_demand() {
    let site = Site::new();
    let mut command = site.command("zkServer.sh", &["start-foreground"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(site.state(), "READY=1");
    let pid = Pid::from_raw(child.id() as i32);
    // Taken in the order of their numbers: SIGQUIT before SIGTERM.
    kill(pid, Signal::SIGQUIT).unwrap();
    assert!(site.word("srvr").contains("Mode: standalone"), "it goes on");
    kill(pid, Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(stdout(&output).contains("Full report "), "{}", stdout(&output));
    assert!(stdout(&output).contains("zk_znode_count\t"), "{}", stdout(&output));
}

#[test]
fn environment_files_and_flags() {
    let site = Site::new();
    fs::write(
        site.path("conf/zookeeper-env.sh"),
        format!("ZOO_LOG_DIR='{}'\n", site.path("other logs").display()),
    )
    .unwrap();
    fs::write(
        site.path("conf/java.env"),
        "export SERVER_JVMFLAGS=\"-Xmx1g -Dzookeeper.4lw.commands.whitelist=conf\"\n\
         JVMFLAGS=-Dzookeeper.console.threshold=DEBUG\n",
    )
    .unwrap();
    let start = site.server(&["start"]);
    assert_eq!(code(&start), 0, "{}", stderr(&start));
    assert_eq!(site.state(), "READY=1");
    assert!(site.word("conf").starts_with(&format!("clientPort={}\n", site.port)));
    assert!(site.word("ruok").contains("not in the whitelist"));
    let log = fs::read_to_string(site.path("other logs/zookeeper-me-server-here.out")).unwrap();
    assert!(log.contains("JVM options without effect here: -Xmx1g"), "{log}");
    assert!(!site.path("logs").exists());
    assert_eq!(code(&site.server(&["stop"])), 0);
}

#[test]
fn positional_form_and_usage() {
    let site = Site::new();
    let port = site.port.to_string();
    let data = site.path("elsewhere");
    let mut child = Command::new(env!("CARGO_BIN_EXE_rookeeper"))
        .args(["server", &port, data.to_str().unwrap(), "2500", "10"])
        .env("NOTIFY_SOCKET", site.path("notify"))
        .env(
            "JVMFLAGS",
            "-Dzookeeper.4lw.commands.whitelist=* -Dzookeeper.preAllocSize=64 \
            -Dzookeeper.admin.enableServer=false",
        )
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(site.state(), "READY=1");
    let conf = site.word("conf");
    assert!(conf.contains("tickTime=2500\nmaxClientCnxns=10\n"), "{conf}");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));

    for arguments in [&["server"][..], &["server", "1", "2", "3", "4", "5"]] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_rookeeper")).args(arguments).output().unwrap();
        assert_eq!(code(&output), 2);
        let usage = "Usage: ZooKeeperServerMain configfile | port datadir [ticktime] [maxcnxns]\n";
        assert_eq!(stderr(&output), usage);
    }
}

#[test]
fn exit_codes_of_a_start() {
    let site = Site::new();
    let server = || {
        let output = Command::new(env!("CARGO_BIN_EXE_rookeeper"))
            .arg("server")
            .arg(site.path("conf/zoo.cfg"))
            .output()
            .unwrap();
        (code(&output), stderr(&output).to_owned(), stdout(&output).to_owned())
    };
    // The port is taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    site.configure(&format!("clientPort={port}\nclientPortAddress=127.0.0.1\n"));
    assert_eq!(server().0, 1);
    // The port of the AdminServer is.
    site.configure(&format!("admin.serverPort={port}\nadmin.serverAddress=127.0.0.1\n"));
    let (code, stderr, _) = server();
    let said = "Unable to start AdminServer, exiting abnormally\n";
    assert_eq!((code, stderr.as_str()), (4, said));
    site.configure(&format!("clientPort={port}\nclientPortAddress=127.0.0.1\n"));
    // The data directory is a file.
    fs::remove_dir_all(site.path("data")).unwrap();
    fs::write(site.path("data"), "").unwrap();
    let (code, stderr, _) = server();
    assert_eq!((code, stderr.as_str()), (3, "Unable to access datadir, exiting abnormally\n"));
    fs::remove_file(site.path("data")).unwrap();
    // It does not exist and must not be made.
    site.configure("datadir.autocreate=false\n");
    assert_eq!(server().0, 3);
    // Bad settings.
    site.configure("clientPort=x\n");
    let (code, stderr, stdout) = server();
    assert_eq!((code, stderr.as_str()), (2, "Invalid config, exiting abnormally\n"));
    assert!(stdout.contains("clientPort=x: For input string: \"x\""), "{stdout}");
}

#[test]
fn where_the_configuration_comes_from() {
    let site = Site::new();
    fs::create_dir(site.path("other")).unwrap();
    fs::copy(site.path("conf/zoo.cfg"), site.path("other/zoo.cfg")).unwrap();
    fs::copy(site.path("conf/zoo.cfg"), site.path("conf/zoo2.cfg")).unwrap();
    fs::copy(site.path("conf/zoo.cfg"), site.path("here.cfg")).unwrap();
    let conf = site.path("conf");
    for (arguments, used) in [
        (&["--config", "other", "status"][..], "other/zoo.cfg".to_owned()),
        (&["status", "zoo2.cfg"], format!("{}/zoo2.cfg", conf.display())),
        (&["status", "./here.cfg"], "./here.cfg".to_owned()),
        (&["status", "conf/../here.cfg"], "conf/../here.cfg".to_owned()),
    ] {
        let output = site.server(arguments);
        assert_eq!(stderr(&output), format!("Using config: {used}\n"), "{arguments:?}");
        assert!(stdout(&output).starts_with("Client port found: "), "{arguments:?}");
    }
}

#[test]
fn where_status_finds_the_port() {
    let site = Site::new();
    fs::create_dir(site.path("data")).unwrap();
    let found = |address: &str, tls| {
        format!("Client port found: 7. Client address: {address}. Client SSL: {tls}.\n")
    };
    let no_id =
        "myid could not be determined, will not able to locate clientPort in the server configs.\n";
    let looking = "Client port not found. Looking for secureClientPort in the static config.\n";
    let dynamic = "Client port not found in static config file. Looking in dynamic config file.\n";
    let dynamic_file = site.path("dynamic");
    fs::write(&dynamic_file, "server.1=[::1]:2:3:participant;[::1]:7\n").unwrap();
    let with_dynamic = format!("dynamicConfigFile={}\n", dynamic_file.display());
    for (myid, text, said) in [
        (None, " clientPort = 7\n", found("localhost", false)),
        (None, "clientPort=7\nclientPortAddress=::1\n", found("::1", false)),
        (Some("1"), "server.1=h:2:3;7\n", found("localhost", false)),
        (Some("1"), "server.1=h:2:3;127.0.0.1:7\n", found("127.0.0.1", false)),
        (Some("1"), with_dynamic.as_str(), format!("{dynamic}{}", found("::1", false))),
        (None, "secureClientPort=7\n", format!("{no_id}{looking}{}", found("localhost", true))),
        (
            None,
            "",
            format!(
                "{no_id}{looking}Unable to find either secure or unsecure client port in any \
                 configs. Terminating.\n"
            ),
        ),
        (
            Some("1"),
            "server.1=h:2:3\n",
            format!(
                "{dynamic}Client port not found in the server configs\n{looking}Unable to find \
                 either secure or unsecure client port in any configs. Terminating.\n"
            ),
        ),
    ] {
        site.configure(text);
        match myid {
            Some(id) => fs::write(site.path("data/myid"), id).unwrap(),
            None => drop(fs::remove_file(site.path("data/myid"))),
        }
        let output = site.server(&["status"]);
        assert!(stdout(&output).starts_with(&said), "{text}: {}", stdout(&output));
        assert_eq!(code(&output), 1, "{text}");
    }
}

#[test]
fn small_commands() {
    let site = Site::new();
    let version = site.server(&["version"]);
    assert!(stdout(&version).starts_with("Apache ZooKeeper, version 3.9.5 "));
    assert_eq!((stdout(&version).lines().count(), code(&version)), (1, 0));

    for arguments in [&["bogus"][..], &[]] {
        let usage = site.server(arguments);
        let said = "{start|start-foreground|stop|version|restart|status|print-cmd}\n";
        assert!(stderr(&usage).contains("Usage: ") && stderr(&usage).ends_with(said));
        assert_eq!(code(&usage), 0);
    }

    let printed = site.server(&["print-cmd"]);
    let line = stdout(&printed);
    assert!(line.contains(&format!("server \"{}\"", site.path("conf/zoo.cfg").display())));
    assert!(line.ends_with("2>&1 < /dev/null\n"), "{line}");
    assert!(!site.path("logs").exists() && !site.path("data").exists(), "nothing was started");
    fs::create_dir(site.path("logs")).unwrap();
    let mut shell = Command::new("bash");
    shell
        .arg("-c")
        .arg(format!("{} & echo $!", line.trim_end()))
        .env("NOTIFY_SOCKET", site.path("notify"));
    let pid = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    assert_eq!(site.state(), "READY=1", "the printed line runs");
    kill(Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(site.state(), "STOPPING=1");
}

#[test]
fn directories_that_must_exist() {
    let site = Site::new();
    let mut command = site.command("zkServer.sh", &["start"]);
    let output = command.env("ZOO_DATADIR_AUTOCREATE_DISABLE", "1").output().unwrap();
    let said = format!(
        "ZooKeeper data directory is missing at {} fix the path or run initialize\n",
        site.path("data").display()
    );
    assert_eq!((stdout(&output), code(&output)), (said.as_str(), 1));
}

#[test]
fn initialize() {
    let site = Site::new();
    let script = "zkServer-initialize.sh";
    let first = site.run(script, &["--myid=3"]);
    assert_eq!((stdout(&first), code(&first)), ("Using myid of 3\n", 0));
    assert_eq!(fs::read_to_string(site.path("data/myid")).unwrap(), "3\n");
    assert!(site.path("data/version-2").is_dir() && site.path("data/initialize").is_file());

    let second = site.run(script, &["--myid", "4"]);
    let exists = format!(
        "ZooKeeper data directory already exists at {} (or use --force to force \
         re-initialization)\n",
        site.path("data").display()
    );
    assert_eq!((stdout(&second), code(&second)), (exists.as_str(), 1));
    assert_eq!(fs::read_to_string(site.path("data/myid")).unwrap(), "3\n");

    fs::write(site.path("data/version-2/log.1"), "x").unwrap();
    let forced = site.run(script, &["--force"]);
    assert!(stdout(&forced).starts_with("Force enabled, data/txnlog directories will be"));
    assert!(stdout(&forced).contains("No myid provided, be sure to specify it in "));
    assert_eq!(code(&forced), 0);
    assert!(!site.path("data/myid").exists());
    assert_eq!(fs::read_dir(site.path("data/version-2")).unwrap().count(), 0);

    let missing = site.run(script, &["--configfile=/no/such.cfg"]);
    assert_eq!(stdout(&missing), "Unable to find config file at /no/such.cfg\n");
    for arguments in [&["-h"][..], &["--help"], &["--bogus"], &["--configfile=/no/such.cfg"]] {
        assert_eq!(code(&site.run(script, arguments)), 1, "{arguments:?}");
    }
}

#[test]
fn cleanup_arguments() {
    let site = Site::new();
    fs::create_dir_all(site.path("data/version-2")).unwrap();
    for (arguments, said) in [
        (&["-n", "2"][..], "count should be greater than or equal to 3\n"),
        (&["-n", "x"], "'x' can not be parsed to integer.\n"),
        (&["-k", "5"], ""),
        (&[], ""),
    ] {
        let output = site.run("zkCleanup.sh", arguments);
        assert_eq!((stderr(&output), code(&output)), (said, 1), "{arguments:?}");
        assert!(stdout(&output).starts_with("Usage:\nPurgeTxnLog dataLogDir [snapDir] -n count\n"));
    }
    let output = site.run("zkCleanup.sh", &["-n", "3"]);
    assert_eq!((stdout(&output), stderr(&output), code(&output)), ("", "", 0));
}

#[test]
fn the_way_of_kafka() {
    let site = Site::new();
    let config = site.path("conf/zoo.cfg");
    let config = config.to_str().unwrap();
    let with_log_dir = |script: &str, arguments: &[&str]| {
        let mut command = site.command(script, arguments);
        command.env("LOG_DIR", site.path("kafka")).output().unwrap()
    };
    let usage = with_log_dir("zookeeper-server-start.sh", &[]);
    assert!(stdout(&usage).starts_with("USAGE: ") && code(&usage) == 1);
    let none = with_log_dir("zookeeper-server-stop.sh", &[]);
    assert_eq!((stdout(&none), code(&none)), ("No zookeeper server to stop\n", 1));

    let start = with_log_dir("zookeeper-server-start.sh", &["-daemon", config]);
    assert_eq!((stdout(&start), code(&start)), ("", 0), "{}", stderr(&start));
    assert_eq!(site.state(), "READY=1");
    assert!(site.word("srvr").contains("Mode: standalone"));
    let stop = with_log_dir("zookeeper-server-stop.sh", &[]);
    assert_eq!((stdout(&stop), code(&stop)), ("", 0));
    assert_eq!(site.state(), "STOPPING=1");

    let site = Site::new();
    let config = site.path("conf/zoo.cfg");
    let mut foreground = site.command("zookeeper-server-start.sh", &[config.to_str().unwrap()]);
    foreground.env("LOG_DIR", site.path("kafka")).stdout(Stdio::null());
    let mut child = foreground.spawn().unwrap();
    assert_eq!(site.state(), "READY=1");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
