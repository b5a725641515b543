//! One handle for a Java server and for ours, on the same `zoo.cfg` and the same directory.
//!
//! A Java server runs in a container of the official image's name through `testcontainers`, with
//! the host's network and its directory mounted under the same path, so that both kinds read the
//! very same configuration. Where no Docker Engine answers, the same jars run as a plain process;
//! that is said once on stderr, never silently.

use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testcontainers::core::Mount;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::runtime::Runtime;

/// The release our server is a drop-in for.
pub const TARGET: &str = "3.9.5";

/// All Java releases of `images/releases.tsv`, oldest first.
pub const RELEASES: [&str; 5] = ["3.5.10", "3.6.4", "3.7.2", "3.8.6", "3.9.5"];

/// How long a server may take until it serves.
const START_MAX: Duration = Duration::from_secs(180);

/// How long a server may take to stop when asked to.
const STOP_MAX: Duration = Duration::from_secs(90);

/// Which program serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Apache ZooKeeper of this release.
    Java(&'static str),
    /// Our binary.
    Rookeeper,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Java(release) => write!(f, "java-{release}"),
            Kind::Rookeeper => write!(f, "rookeeper"),
        }
    }
}

/// A server's directory, settings and, while it runs, its process.
pub struct Server {
    kind: Kind,
    home: PathBuf,
    port: u16,
    settings: Vec<(String, String)>,
    jvm_flags: Vec<String>,
    running: Option<Running>,
    starts: u32,
}

enum Running {
    Container(Box<ContainerAsync<GenericImage>>),
    Process(Child),
}

impl Server {
    /// A stopped server that keeps everything below `home`, which may hold another one's data.
    pub fn new(kind: Kind, home: &Path) -> Result<Self> {
        fs::create_dir_all(home.join("data")).context("creating the data directory")?;
        let home = home.canonicalize()?;
        Ok(Self {
            kind,
            port: free_port(),
            home,
            settings: Vec::new(),
            jvm_flags: Vec::new(),
            running: None,
            starts: 0,
        })
    }

    /// Adds a line to `zoo.cfg`; a later one of the same key wins over an earlier one.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.change(key, value);
        self
    }

    /// Changes a line of `zoo.cfg` for the next start.
    pub fn change(&mut self, key: &str, value: impl ToString) {
        self.settings.retain(|(k, _)| k != key);
        self.settings.push((key.to_owned(), value.to_string()));
    }

    /// Adds a JVM flag such as `-Dzookeeper.skipACL=yes`; ours gets it in `SERVER_JVMFLAGS` too.
    pub fn jvm_flag(mut self, flag: &str) -> Self {
        self.jvm_flags.push(flag.to_owned());
        self
    }

    /// Copies the key and trust stores of the server's own tests to `tls` in its directory, which
    /// containers see. `{home}` in settings and flags stands for that directory.
    pub fn with_stores(self) -> Result<Self> {
        copy_stores(&self.home.join("tls"))?;
        Ok(self)
    }

    /// Puts a file into its directory.
    pub fn with_file(self, name: &str, content: &str) -> Result<Self> {
        fs::write(self.home.join(name), content)?;
        Ok(self)
    }

    /// Which program this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Lets another program serve the same directory and port. The server must be stopped.
    pub fn become_kind(&mut self, kind: Kind) {
        assert!(self.running.is_none(), "{} still runs", self.kind);
        self.kind = kind;
    }

    /// The client port on loopback.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// `dataDir`.
    pub fn data_dir(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Starts and waits until clients are served.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.await_serving()
    }

    /// Starts and does not wait: a member of an ensemble serves only when others are there.
    pub fn launch(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "{} runs already", self.kind);
        self.starts += 1;
        let config = self.write_config()?;
        self.running = Some(match self.kind {
            Kind::Rookeeper => Running::Process(self.spawn_ours(&config)?),
            Kind::Java(release) if engine_answers() => {
                Running::Container(Box::new(self.start_container(release, &config)?))
            }
            Kind::Java(release) => Running::Process(self.spawn_java(release, &config)?),
        });
        Ok(())
    }

    /// Waits until clients are served.
    pub fn await_serving(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        while self.mode().is_none() {
            if !self.is_alive() || Instant::now() > deadline {
                let log = self.log();
                self.kill_9().ok();
                bail!("{} did not start, its log ends:\n{}", self.kind, tail(&log, 30));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What `srvr` says behind `Mode: `; `None` while no clients are served.
    pub fn mode(&self) -> Option<String> {
        // A Java server that is still loading may take the word and never answer.
        let answer = self.ask("srvr", Duration::from_millis(300)).ok()?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// `kill -9`: nothing is flushed, nothing is closed.
    pub fn kill_9(&mut self) -> Result<()> {
        self.end(Signal::SIGKILL)
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::SIGTERM)
    }

    /// Stops the process (SIGSTOP) where it is, or lets it go on. When this returns after a stop,
    /// none of its threads runs: the signal alone lets them go on until they notice.
    pub fn pause(&mut self, pause: bool) -> Result<()> {
        let signal = if pause { Signal::SIGSTOP } else { Signal::SIGCONT };
        let pid = match &self.running {
            None => bail!("{} does not run", self.kind),
            Some(Running::Process(child)) => {
                let pid = i32::try_from(child.id())?;
                kill(Pid::from_raw(pid), signal).context("sending the signal")?;
                pid
            }
            Some(Running::Container(container)) => {
                send_to_container(container.id(), signal)?;
                container_pid(container.id())?
            }
        };
        let deadline = Instant::now() + STOP_MAX;
        while pause && !is_stopped(pid)? {
            ensure!(Instant::now() < deadline, "{} runs on after SIGSTOP", self.kind);
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Process id of our server, or of a Java server without a container.
    pub fn pid(&self) -> Option<i32> {
        match &self.running {
            Some(Running::Process(child)) => i32::try_from(child.id()).ok(),
            _ => None,
        }
    }

    /// True while the process runs.
    pub fn is_alive(&mut self) -> bool {
        match &mut self.running {
            None => false,
            Some(Running::Process(child)) => matches!(child.try_wait(), Ok(None)),
            Some(Running::Container(container)) => {
                runtime().block_on(container.is_running()).unwrap_or(false)
            }
        }
    }

    /// What all runs so far have written to stdout and stderr.
    pub fn log(&self) -> String {
        self.log_from(1)
    }

    /// What the last run has written to stdout and stderr.
    pub fn last_log(&self) -> String {
        self.log_from(self.starts)
    }

    fn log_from(&self, first: u32) -> String {
        let mut text = String::new();
        for start in first..=self.starts {
            text += &fs::read_to_string(self.log_path(start)).unwrap_or_default();
        }
        if let Some(Running::Container(container)) = &self.running {
            text += &container_log(container);
        }
        text
    }

    /// Sends a four-letter word and returns the answer.
    pub fn four_letter_word(&self, word: &str) -> Result<String> {
        self.ask(word, Duration::from_secs(20))
    }

    fn ask(&self, word: &str, patience: Duration) -> Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address(), patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(word.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        match running {
            Running::Process(mut child) => {
                let pid = Pid::from_raw(i32::try_from(child.id())?);
                kill(pid, signal).context("sending the signal")?;
                let deadline = Instant::now() + STOP_MAX;
                while child.try_wait()?.is_none() {
                    if Instant::now() > deadline {
                        child.kill()?;
                        child.wait()?;
                        bail!("{} ignored {signal} for {STOP_MAX:?}", self.kind);
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            Running::Container(container) => {
                // It is removed by its drop, which needs the runtime, if anything fails.
                let _runtime = runtime().enter();
                let sent = send_to_container(container.id(), signal);
                let output = Command::new("docker").args(["wait", container.id()]).output()?;
                ensure!(output.status.success(), "docker wait: {output:?}");
                let log = container_log(&container);
                fs::write(self.log_path(self.starts), &log)?;
                runtime().block_on(container.rm()).context("removing the container")?;
                sent.with_context(|| {
                    format!("{} had ended by itself:\n{}", self.kind, tail(&log, 30))
                })?;
            }
        }
        Ok(())
    }

    fn write_config(&self) -> Result<PathBuf> {
        let mut text = format!(
            "tickTime=2000\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\nextendedTypesEnabled=true\n",
            self.data_dir().display(),
            self.port
        );
        for (key, value) in &self.settings {
            text += &format!("{key}={}\n", self.here(value));
        }
        let path = self.home.join("zoo.cfg");
        // After a reconfiguration the file is the server's own.
        let present = fs::read_to_string(&path).unwrap_or_default();
        if !present.contains("dynamicConfigFile=") {
            fs::write(&path, text)?;
        }
        Ok(path)
    }

    /// `{home}` is the server's directory.
    fn here(&self, text: &str) -> String {
        text.replace("{home}", &self.home.display().to_string())
    }

    fn flags(&self) -> Vec<String> {
        self.jvm_flags.iter().map(|flag| self.here(flag)).collect()
    }

    fn log_path(&self, start: u32) -> PathBuf {
        self.home.join(format!("server-{start}.log"))
    }

    fn log_files(&self) -> Result<(Stdio, Stdio)> {
        let file = File::create(self.log_path(self.starts))?;
        Ok((file.try_clone()?.into(), file.into()))
    }

    fn spawn_ours(&self, config: &Path) -> Result<Child> {
        let (stdout, stderr) = self.log_files()?;
        let binary = rookeeper_binary()?;
        Command::new(&binary)
            .arg("server")
            .arg(config)
            .env("SERVER_JVMFLAGS", self.flags().join(" "))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))
    }

    fn spawn_java(&self, release: &str, config: &Path) -> Result<Child> {
        let (stdout, stderr) = self.log_files()?;
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/rootfs/conf");
        let class_path = format!("{}:{}/*", images.display(), jars(release)?.display());
        Command::new("java")
            .env("LANG", "C.UTF-8")
            .args(FAST_START)
            .args(self.flags())
            .args(["-cp", &class_path, "org.apache.zookeeper.server.quorum.QuorumPeerMain"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .context("starting java")
    }

    fn start_container(
        &self,
        release: &str,
        config: &Path,
    ) -> Result<ContainerAsync<GenericImage>> {
        let home = self.home.display().to_string();
        let flags = FAST_START.iter().map(|f| (*f).to_owned());
        let flags: Vec<String> = flags.chain(self.flags()).collect();
        let request = GenericImage::new("zookeeper", release)
            .with_cmd(["zkServer.sh", "start-foreground", &config.display().to_string()])
            .with_network("host")
            .with_mount(Mount::bind_mount(home.clone(), home))
            .with_env_var("SERVER_JVMFLAGS", flags.join(" "))
            .with_startup_timeout(START_MAX);
        runtime().block_on(request.start()).with_context(|| {
            format!("starting zookeeper:{release} (compat-tests/setup.sh builds the images)")
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.kill_9() {
            eprintln!("ending {}: {error:#}", self.kind);
        }
    }
}

/// Who is tested: ours, or Java itself if `COMPAT_SUBJECT=java` asks whether the method is sound.
pub fn subject() -> Kind {
    match std::env::var("COMPAT_SUBJECT").as_deref() {
        Ok("java") => Kind::Java(TARGET),
        _ => Kind::Rookeeper,
    }
}

/// The compiled binary: `ROOKEEPER_BIN`, or the newest build of this workspace.
pub fn rookeeper_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ROOKEEPER_BIN") {
        return Ok(path.into());
    }
    let target = target_dir();
    let builds = ["release", "debug"].map(|profile| target.join(profile).join("rookeeper"));
    let modified = |path: &PathBuf| fs::metadata(path).and_then(|m| m.modified()).ok();
    builds
        .into_iter()
        .filter(|path| modified(path).is_some())
        .max_by_key(modified)
        .with_context(|| format!("no rookeeper binary below {}: cargo build", target.display()))
}

/// Where `setup.sh` puts jars and compiled clients.
pub fn cache_dir() -> PathBuf {
    match std::env::var_os("COMPAT_CACHE") {
        Some(path) => path.into(),
        None => repository().join("target/compat"),
    }
}

/// The folder with the jars of a release.
pub fn jars(release: &str) -> Result<PathBuf> {
    let path = cache_dir().join("jars").join(release);
    ensure!(path.is_dir(), "{} is missing: run compat-tests/setup.sh", path.display());
    Ok(path)
}

/// Copies the key and trust stores of the server's own tests.
pub fn copy_stores(to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(repository().join("server/tests/tls"))? {
        let entry = entry?;
        // Containers run as somebody else.
        fs::write(to.join(entry.file_name()), fs::read(entry.path())?)?;
    }
    Ok(())
}

/// A fresh directory for one test, removed at its end unless `COMPAT_KEEP` is set.
pub fn scratch(name: &str) -> Result<tempfile::TempDir> {
    let keep = std::env::var_os("COMPAT_KEEP").is_some();
    let prefix = format!("compat-{name}-");
    Ok(tempfile::Builder::new().prefix(&prefix).disable_cleanup(keep).tempdir()?)
}

/// A port on loopback nobody listens on, never the same twice in one process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Below the range the system takes for outgoing connections, so that none can be in the way
    // between two starts of a server. Processes start at different places of it.
    let base: u16 =
        std::env::var("COMPAT_PORT_BASE").ok().and_then(|p| p.parse().ok()).unwrap_or(26_000);
    let first = (std::process::id() % 40) as u16 * 20;
    loop {
        let port = base + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 1000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Flags that let a JVM start quickly and leave the cores to others.
const FAST_START: [&str; 3] =
    ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dzookeeper.nio.numWorkerThreads=2"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => path.into(),
        None => repository().join("target"),
    }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime needs only threads and epoll")
    })
}

/// True if a Docker Engine answers. `COMPAT_JAVA=process` says not to ask.
fn engine_answers() -> bool {
    static ANSWERS: OnceLock<bool> = OnceLock::new();
    *ANSWERS.get_or_init(|| {
        let wanted = std::env::var("COMPAT_JAVA").unwrap_or_default() != "process";
        let answers = wanted
            && Command::new("docker")
                .arg("info")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
        if !answers {
            eprintln!("no Docker Engine: Java servers run as plain processes of the same jars");
        }
        answers
    })
}

fn send_to_container(id: &str, signal: Signal) -> Result<()> {
    let number = (signal as i32).to_string();
    let output = Command::new("docker").args(["kill", "--signal", &number, id]).output()?;
    ensure!(output.status.success(), "docker kill: {output:?}");
    Ok(())
}

/// Process id of what runs in a container, as the host sees it.
fn container_pid(id: &str) -> Result<i32> {
    let output = Command::new("docker").args(["inspect", "-f", "{{.State.Pid}}", id]).output()?;
    ensure!(output.status.success(), "docker inspect: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("docker inspect says {text:?}"))
}

/// True if every thread of a process is stopped.
fn is_stopped(pid: i32) -> Result<bool> {
    for task in fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")? {
        let stat = fs::read_to_string(task?.path().join("stat")).unwrap_or_default();
        // The state stands behind the name, which may hold anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if state.is_some_and(|state| state != 'T') {
            return Ok(false);
        }
    }
    Ok(true)
}

fn container_log(container: &ContainerAsync<GenericImage>) -> String {
    let mut bytes = runtime().block_on(container.stdout_to_vec()).unwrap_or_default();
    bytes.extend(runtime().block_on(container.stderr_to_vec()).unwrap_or_default());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
