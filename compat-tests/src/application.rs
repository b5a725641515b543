//! Applications that keep their state in an ensemble, as child processes that can be killed and
//! started again.
//!
//! An application's jars and our program that uses it are in `applications/` of the cache, where
//! `setup.sh` puts them. Processes end with the test, also if that is killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jute::proto::op;

use crate::ensemble::Ensemble;
use crate::server::cache_dir;
use crate::wire::{Hello, Session};

/// How long an application may take for anything: JVMs start slowly on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a server may take for one look into its tree.
const LOOK_MAX: Duration = Duration::from_secs(5);

const NO_NODE: i32 = -101;

/// Flags that let a JVM start quickly, stay small, and leave the cores to others.
const SMALL: [&str; 2] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

/// One process of an application: a Java class with its arguments.
pub struct Application {
    name: String,
    arguments: Vec<String>,
    home: PathBuf,
    running: Option<Child>,
    starts: u32,
}

impl Application {
    /// A stopped process that logs into `home`. `arguments` are those of `java` behind the class
    /// path: flags, class, its arguments. `heap` is in MiB.
    pub fn new(name: &str, kind: &str, home: &Path, heap: u32, arguments: &[&str]) -> Result<Self> {
        fs::create_dir_all(home).context("creating a directory")?;
        let mut all = vec![format!("-Xmx{heap}m")];
        all.extend(SMALL.iter().map(|flag| (*flag).to_owned()));
        all.extend(["-cp".to_owned(), class_path(kind)?]);
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let (name, home) = (name.to_owned(), home.to_owned());
        Ok(Self { name, arguments: all, home, running: None, starts: 0 })
    }

    /// Starts it and does not wait.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "{} runs already", self.name);
        self.starts += 1;
        let log = File::create(self.log_path(self.starts))?;
        // The kernel ends the process with us, whatever ends us.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "java"])
            .args(&self.arguments)
            .env("LANG", "C.UTF-8")
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        self.running = Some(child.with_context(|| format!("starting {}", self.name))?);
        Ok(())
    }

    /// `kill -9`, and waits for the end. Nothing happens if it does not run.
    pub fn kill_9(&mut self) -> Result<()> {
        let Some(mut child) = self.running.take() else { return Ok(()) };
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// True from the start until it was killed.
    pub fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Fails if it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        let Some(child) = &mut self.running else { return Ok(()) };
        if let Some(status) = child.try_wait()? {
            self.running = None;
            bail!("{} has ended with {status}", self.name);
        }
        Ok(())
    }

    /// What its runs have written.
    pub fn log(&self) -> String {
        let all = (1..=self.starts).map(|start| fs::read_to_string(self.log_path(start)));
        all.map(Result::unwrap_or_default).collect()
    }

    /// The end of what it has written, under its name.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(60)..].join("\n");
        format!("---- {}:\n{end}\n", self.name)
    }

    fn log_path(&self, start: u32) -> PathBuf {
        self.home.join(format!("{}-{start}.log", self.name))
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        if let Err(error) = self.kill_9() {
            eprintln!("ending {}: {error:#}", self.name);
        }
    }
}

/// Where `setup.sh` has put an application.
pub fn folder(kind: &str) -> Result<PathBuf> {
    let path = cache_dir().join("applications").join(kind);
    ensure!(path.is_dir(), "{} is missing: run compat-tests/setup.sh", path.display());
    Ok(path)
}

/// Our program for an application, the logging of both, and the application's jars.
pub fn class_path(kind: &str) -> Result<String> {
    let folder = folder(kind)?;
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/applications");
    Ok(format!("{0}:{ours}:{0}/jars/*", folder.display()))
}

/// A program of ours for an application, which talks with it through its own library.
pub fn client(kind: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new("java");
    // What the library logs would be in the transcript.
    command.arg("-Xmx192m").args(SMALL).arg("-Dlog4j.configuration=file:/dev/null");
    command.arg("-cp").arg(class_path(kind)?).args(arguments);
    Ok(command)
}

/// An ensemble and what runs on it.
pub struct Deployment {
    /// The servers.
    pub ensemble: Ensemble,
    /// The processes, by their number from 0.
    pub applications: Vec<Application>,
}

impl Deployment {
    /// Waits until `done` returns something. Fails with all logs if that takes too long, if it fails
    /// itself, or if an application ends.
    pub fn until<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let result = self.applications.iter_mut().try_for_each(Application::check);
            match result.and_then(|()| done(self)) {
                Ok(Some(value)) => return Ok(value),
                Ok(None) if Instant::now() < deadline => sleep(Duration::from_millis(50)),
                Ok(None) => bail!("waited {PATIENCE:?} in vain until {what}\n{}", self.logs()),
                Err(error) => bail!("{error:#}, waiting until {what}\n{}", self.logs()),
            }
        }
    }

    /// A znode's data as the first server that serves has it; `None` if it is not there, or if none
    /// serves just now.
    pub fn data(&self, path: &str) -> Option<String> {
        let bytes = self.ask(|session| match session.data(path)? {
            Ok(data) => Ok(Some(data)),
            Err(NO_NODE) => Ok(None),
            Err(code) => bail!("getData {path}: {code}"),
        });
        Some(String::from_utf8_lossy(&bytes?).into_owned())
    }

    /// A znode's children; none if it is not there, or if no server serves just now.
    pub fn children(&self, path: &str) -> Vec<String> {
        let names = self.ask(|session| match session.children(path)? {
            Ok(names) => Ok(Some(names)),
            Err(NO_NODE) => Ok(None),
            Err(code) => bail!("getChildren {path}: {code}"),
        });
        names.unwrap_or_default()
    }

    fn ask<T>(&self, look: impl Fn(&mut Session) -> Result<Option<T>>) -> Option<T> {
        for address in self.ensemble.addresses() {
            let Ok(mut session) = Session::open_within(address, &Hello::default(), Some(LOOK_MAX))
            else {
                continue;
            };
            if let Ok(found) = look(&mut session) {
                session.post(op::CLOSE_SESSION, &[]).ok();
                return found;
            }
        }
        None
    }

    /// The end of every log.
    pub fn logs(&self) -> String {
        let applications: String = self.applications.iter().map(Application::log_end).collect();
        applications + &self.ensemble.logs()
    }
}
