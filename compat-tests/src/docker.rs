//! Containers through the `docker` command, the way operators use them: run, exec, kill, stop.
//!
//! The engine may have no bridge, so a container has either the host's network, on ports of its
//! own, or none but its loopback.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::server::rookeeper_binary;

/// How long a container may take for anything: a loaded machine is no failure.
const PATIENCE: Duration = Duration::from_secs(180);

/// The tag of our image in tests.
const TAG: &str = "rookeeper:compat";

/// A container that is removed at the end of the test.
pub struct Container {
    id: String,
}

impl Container {
    /// `docker run -d <arguments>`: options, image and command. After a `stop` it has that long
    /// until it is killed.
    pub fn run(arguments: &[&str]) -> Result<Self> {
        let patience = PATIENCE.as_secs().to_string();
        let id = docker(&[&["run", "-d", "--stop-timeout", &patience], arguments].concat())?;
        Ok(Self { id: id.trim().to_owned() })
    }

    /// `docker exec`: exit code zero or an error with what it said.
    pub fn exec(&self, command: &[&str]) -> Result<String> {
        docker(&[&["exec", &self.id], command].concat())
    }

    /// `docker exec` of a command that may fail: its output and whether it succeeded.
    pub fn try_exec(&self, command: &[&str]) -> Result<(bool, String)> {
        let output = output(&[&["exec", &self.id], command].concat())?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// Repeats a command until it succeeds; returns its output.
    pub fn await_exec(&self, command: &[&str]) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (succeeded, text) = self.try_exec(command)?;
            if succeeded {
                return Ok(text);
            }
            if Instant::now() > deadline {
                bail!("{command:?} does not succeed: {text}\n{}", self.logs()?);
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// `docker <word> <container>`: kill, stop, start, pause ...
    pub fn order(&self, word: &str) -> Result<()> {
        docker(&[word, &self.id]).map(drop)
    }

    /// A field of `docker inspect`.
    pub fn inspect(&self, template: &str) -> Result<String> {
        Ok(docker(&["inspect", "-f", template, &self.id])?.trim().to_owned())
    }

    /// Everything it has written.
    pub fn logs(&self) -> Result<String> {
        let output = output(&["logs", &self.id])?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text += &String::from_utf8_lossy(&output.stderr);
        Ok(text)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(error) = docker(&["rm", "-f", "-v", &self.id]) {
            eprintln!("removing a container: {error:#}");
        }
    }
}

fn output(arguments: &[&str]) -> Result<Output> {
    Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("docker {arguments:?}"))
}

/// Runs a `docker` command; its stdout.
pub fn docker(arguments: &[&str]) -> Result<String> {
    let output = output(arguments)?;
    ensure!(
        output.status.success(),
        "docker {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Builds our image from the binary under test, once per process, and returns its name. `None`
/// where no Docker Engine answers, which is said on stderr: `setup.sh` starts one where it can.
pub fn image() -> Option<&'static str> {
    static BUILT: OnceLock<bool> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if !output(&["info"]).is_ok_and(|output| output.status.success()) {
            eprintln!("NOT RUN: no Docker Engine answers here");
            return false;
        }
        build().expect("the image can be built");
        true
    });
    built.then_some(TAG)
}

fn build() -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/package/image.sh");
    let output = Command::new(script)
        .args(["--tag", TAG])
        .env("ROOKEEPER_BIN", rookeeper_binary()?)
        .output()
        .context("scripts/package/image.sh")?;
    ensure!(output.status.success(), "image.sh: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
