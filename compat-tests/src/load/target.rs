//! Servers to compare: each a process of its own in a directory of its own.
//!
//! Java runs as a plain process with the JVM's own defaults, so that its CPU time can be read from
//! `/proc` like ours; the harness of the differential tests prefers containers and a quick start
//! instead, which would be unfair here.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jute::proto::{
    ConnectRequest, ConnectResponse, GetDataRequest, ReplyHeader, RequestHeader, op,
};
use jute::{Decode, Encode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::scenario::Server;
use crate::server::free_port;

/// How long a server may take to serve; Java reads a million znodes in some seconds.
const START_MAX: Duration = Duration::from_secs(300);
const STOP_MAX: Duration = Duration::from_secs(60);

/// Which program to run.
#[derive(Debug, Clone)]
pub enum Program {
    /// Our binary.
    Rookeeper(PathBuf),
    /// Java with this class path and these flags.
    Java {
        /// `-cp`.
        class_path: String,
        /// Flags such as `-Xmx4g`.
        flags: Vec<String>,
    },
    /// This program's own floor.
    Floor {
        /// Bytes per value.
        value_size: usize,
    },
}

/// A program, its directory and, while it runs, its process.
pub struct Target {
    /// Name in reports.
    pub name: &'static str,
    program: Program,
    home: PathBuf,
    addr: SocketAddr,
    child: Option<Child>,
}

impl Target {
    /// Keeps everything below `home`.
    pub fn new(name: &'static str, program: Program, home: &Path) -> Result<Self> {
        let home = home.join(name);
        fs::create_dir_all(&home)?;
        let addr = (Ipv4Addr::LOCALHOST, free_port()).into();
        Ok(Self { name, program, home, addr, child: None })
    }

    /// Starts with these lines added to `zoo.cfg`; returns the time until the first read succeeds.
    pub fn start(&mut self, settings: &[(&str, &str)]) -> Result<Duration> {
        let started = self.launch(settings)?;
        self.await_serving(started)
    }

    /// Starts and does not wait; returns when that was.
    pub fn launch(&mut self, settings: &[(&str, &str)]) -> Result<Instant> {
        ensure!(self.child.is_none(), "{} runs already", self.name);
        let config = self.write_config(settings)?;
        let log = File::options().create(true).append(true).open(self.home.join("log"))?;
        let mut command = match &self.program {
            Program::Rookeeper(binary) => {
                let mut command = Command::new(binary);
                command.arg("server").arg(&config);
                command
            }
            Program::Java { class_path, flags } => {
                let mut command = Command::new("java");
                command.args(flags).args(["-cp", class_path]);
                command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(&config);
                command
            }
            Program::Floor { value_size } => {
                let mut command = Command::new(std::env::current_exe()?);
                let port = self.addr.port().to_string();
                command.args(["floor", "--port", &port, "--value-size", &value_size.to_string()]);
                command
            }
        };
        let started = Instant::now();
        let child = command
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        self.child = Some(child);
        Ok(started)
    }

    /// Waits until a read succeeds; returns the time since `started`.
    pub fn await_serving(&mut self, started: Instant) -> Result<Duration> {
        let child = self.child.as_mut().context("it does not run")?;
        loop {
            if first_read(self.addr, patience(started.elapsed())).is_ok() {
                return Ok(started.elapsed());
            }
            let over = started.elapsed() > START_MAX;
            if over || child.try_wait()?.is_some() {
                let log = fs::read_to_string(self.home.join("log")).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(20).collect();
                bail!("{} does not serve:\n{}", self.name, last.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its directory.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The running server.
    pub fn server(&self) -> Server {
        Server { addr: self.addr, pid: self.child.as_ref().map(Child::id) }
    }

    /// SIGTERM or, to leave no time for anything, SIGKILL; waits for the end.
    pub fn stop(&mut self, signal: Signal) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(child.id())?), signal)?;
        let asked = Instant::now();
        while child.try_wait()?.is_none() {
            if asked.elapsed() > STOP_MAX {
                child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Removes the data. The server must be stopped.
    pub fn clear(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs", self.name);
        match fs::remove_dir_all(self.home.join("data")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    fn write_config(&self, settings: &[(&str, &str)]) -> Result<PathBuf> {
        let data = self.home.join("data");
        fs::create_dir_all(&data)?;
        let mut text = format!(
            "tickTime=2000\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n\
             maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n",
            data.display(),
            self.addr.port()
        );
        for (key, value) in settings {
            text += &format!("{key}={value}\n");
        }
        let path = self.home.join("zoo.cfg");
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Err(error) = self.stop(Signal::SIGKILL) {
            eprintln!("ending {}: {error:#}", self.name);
        }
    }
}

/// How long an answer may take before another connection asks. Java accepts connections before it can
/// serve them and forgets those; on a slow disk an answer can take longer than that is worth waiting
/// for at first.
fn patience(waited: Duration) -> Duration {
    (waited / 4).clamp(Duration::from_millis(250), Duration::from_secs(10))
}

/// Opens a session, reads the root and closes it.
fn first_read(addr: SocketAddr, patience: Duration) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(patience))?;
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout: 10_000,
        session_id: 0,
        passwd: Some(&[0; 16]),
        read_only: false,
    };
    let frame = exchange(&mut stream, &request.to_vec())?;
    ensure!(ConnectResponse::from_slice(&frame)?.timeout > 0, "no session");
    let mut read = RequestHeader { xid: 1, kind: op::GET_DATA }.to_vec();
    GetDataRequest { path: Some("/".into()), watch: false }.encode(&mut read);
    let frame = exchange(&mut stream, &read)?;
    ensure!(ReplyHeader::from_slice(&frame)?.err == 0, "the root cannot be read");
    exchange(&mut stream, &RequestHeader { xid: 2, kind: op::CLOSE_SESSION }.to_vec())?;
    Ok(())
}

fn exchange(stream: &mut TcpStream, request: &[u8]) -> Result<Vec<u8>> {
    // A buffer's encoding is a frame's: length and bytes.
    let mut frame = Vec::with_capacity(request.len() + 4);
    request.encode(&mut frame);
    stream.write_all(&frame)?;
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len) as usize;
    ensure!(len < 1 << 20, "a reply of {len} bytes");
    let mut frame = vec![0; len];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}
