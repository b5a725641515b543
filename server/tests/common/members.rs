//! Several servers of one ensemble in this process, on loopback.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rookeeper::config::{Config, JvmFlags};
use rookeeper::net::view::{Mode, PeerView};
use rookeeper::server::{Exit, Handle, Server};
use tempfile::TempDir;

use super::ports::free_port;
use super::{Client, options};

/// How long anything may take: a loaded machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Members by sid, from 1; all stopped at first.
pub struct Members {
    places: Vec<Place>,
    flags: String,
}

struct Place {
    dir: TempDir,
    server: Option<Handle>,
}

/// `127.0.0.1:quorum:election` with fresh ports.
pub fn address() -> String {
    address_on("127.0.0.1")
}

/// The same on another loopback address: several servers may then use one port.
pub fn address_on(host: &str) -> String {
    format!("{host}:{}:{}", free_port(), free_port())
}

impl Members {
    /// `roles` says `participant` or `observer` for each; `settings` are lines of every file.
    pub fn new(roles: &[&str], settings: &str) -> Self {
        let lines: String = (1..)
            .zip(roles)
            .map(|(sid, role)| format!("server.{sid}={}:{role}\n", address()))
            .collect();
        Self::with_lines(roles.len(), &lines, |_| settings.to_owned())
    }

    /// Members whose files name these; `settings` by sid.
    pub fn with_lines(count: usize, lines: &str, settings: impl Fn(usize) -> String) -> Self {
        let mut all = Self { places: Vec::new(), flags: String::new() };
        for sid in 1..=count {
            all.add(lines, &settings(sid));
        }
        all
    }

    /// JVM flags of every server that starts from now on.
    pub fn flags(mut self, flags: &str) -> Self {
        self.flags = flags.to_owned();
        self
    }

    /// One more; returns its sid.
    pub fn add(&mut self, lines: &str, settings: &str) -> usize {
        let dir = TempDir::new().unwrap();
        let sid = self.places.len() + 1;
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("myid"), format!("{sid}\n")).unwrap();
        // A line may name the client port instead.
        let client = match settings.contains("noClientPort") {
            true => "",
            false => "clientPort=0\nclientPortAddress=127.0.0.1\n",
        };
        let text = format!(
            "tickTime=200\nmaxSessionTimeout=20000\ninitLimit=60\nsyncLimit=30\ndataDir={}\n\
             preAllocSize=64\n{client}{}\n{lines}",
            data.display(),
            settings.replace("noClientPort", "")
        );
        fs::write(dir.path().join("zoo.cfg"), text).unwrap();
        self.places.push(Place { dir, server: None });
        sid
    }

    /// A file beside a server's `zoo.cfg`.
    pub fn path(&self, sid: usize, name: &str) -> PathBuf {
        self.places[sid - 1].dir.path().join(name)
    }

    /// Its text.
    pub fn read(&self, sid: usize, name: &str) -> String {
        let path = self.path(sid, name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// What its file says now.
    pub fn config(&self, sid: usize) -> Config {
        let mut jvm = JvmFlags::default();
        jvm.add_words(&self.flags);
        Config::load(&self.path(sid, "zoo.cfg"), &jvm).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Starts one, as the command does.
    pub fn start(&mut self, sid: usize) {
        let config = self.config(sid);
        config.back_up().unwrap();
        let begun = Instant::now();
        let handle = loop {
            match Server::start(options(&config)) {
                Ok(handle) => break handle,
                // Threads of the stopped one end a little later, and its lock with the last.
                Err(e) if e.to_string().contains("in use by another running server") => {
                    assert!(begun.elapsed() < PATIENCE, "{sid}: {e}");
                    sleep(Duration::from_millis(10));
                }
                Err(e) => panic!("{sid}: {e}"),
            }
        };
        self.places[sid - 1].server = Some(handle);
    }

    /// Starts these and waits until all serve.
    pub fn start_all(&mut self, sids: &[usize]) {
        for sid in sids {
            self.start(*sid);
        }
        for sid in sids {
            self.until(&format!("{sid} serves"), |all| all.server(*sid).view().serving());
        }
    }

    /// Stops one.
    pub fn stop(&mut self, sid: usize) {
        let server = self.places[sid - 1].server.take().expect("it runs");
        assert_eq!(server.stop(), Exit::Finished);
    }

    /// A running server.
    pub fn server(&self, sid: usize) -> &Handle {
        self.places[sid - 1].server.as_ref().expect("it runs")
    }

    /// What it is.
    pub fn mode(&self, sid: usize) -> Mode {
        self.server(sid).view().mode()
    }

    /// What it knows of the ensemble.
    pub fn peer(&self, sid: usize) -> PeerView {
        self.server(sid).view().peer().expect("a member")
    }

    /// Which of the running servers leads.
    pub fn leader(&self) -> usize {
        let running = (1..=self.places.len()).filter(|sid| self.places[sid - 1].server.is_some());
        running.into_iter().find(|sid| self.mode(*sid) == Mode::Leader).expect("a leader")
    }

    /// A new session of ten seconds at one.
    pub fn client(&self, sid: usize) -> Client {
        Client::connect(self.server(sid).addresses()[0])
    }

    /// A connection without handshake.
    pub fn raw(&self, sid: usize) -> Client {
        Client::raw(self.server(sid).addresses()[0])
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for place in &mut self.places {
            if let Some(server) = place.server.take() {
                server.stop();
            }
        }
    }
}
