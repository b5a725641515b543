//! Several servers of one ensemble in this process, on loopback.

use std::fs;
use std::path::PathBuf;

use jute::proto::op;
use rookeeper::config::{Config, JvmFlags};
use rookeeper::net::view::{Mode, PeerView};
use rookeeper::server::{Exit, Handle};
use tempfile::TempDir;

use super::ports::free_port;
use super::{Client, attempt, create, options, start_when_free, until};

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
        // Half a minute for a peer that stands still, a minute for its clients; the port of a server
        // that was stopped may be taken a little longer.
        let text = format!(
            "tickTime=200\nmaxSessionTimeout=60000\ninitLimit=150\nsyncLimit=150\n\
             electionPortBindRetry=0\ndataDir={}\npreAllocSize=64\n{client}{}\n{lines}",
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
        let handle = start_when_free(|| options(&config));
        self.places[sid - 1].server = Some(handle.unwrap_or_else(|e| panic!("{sid}: {e}")));
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

    /// Which of the running servers leads, once one does.
    pub fn leader(&self) -> usize {
        let running = |sid: &usize| self.places[sid - 1].server.is_some();
        let mut found = None;
        self.until("somebody leads", |all| {
            let mut running = (1..=all.places.len()).filter(running);
            found = running.find(|sid| all.mode(*sid) == Mode::Leader);
            found.is_some()
        });
        found.expect("just found")
    }

    /// Waits until all of these serve under another leader than `gone`. Serving alone does not
    /// tell: they may not have noticed yet that it is gone.
    pub fn until_led_by_another(&self, gone: usize, sids: &[usize]) {
        self.until("another leads", |all| {
            sids.iter().all(|sid| {
                let leader = all.peer(*sid).leader_id;
                leader.is_some_and(|l| l != gone as i64) && all.server(*sid).view().serving()
            })
        });
    }

    /// A session of four seconds at one, and the ephemeral it made. It may be over before that.
    pub fn short_session(&self, sid: usize, name: &str) -> (Client, String) {
        attempt("a short session", |n| {
            let path = format!("/{name}-{n}");
            let mut client = self.raw(sid);
            client.greet(0, [0; 16], 4000, 0, false)?;
            client.send(op::CREATE, &create(&path, b"", 1));
            let reply = client.try_read()?;
            (reply.err == 0).then_some((client, path))
        })
    }

    /// A new session of a minute at one. As every client does it comes again if it is turned away: a
    /// server whose role or port changes just then may do so.
    pub fn client(&self, sid: usize) -> Client {
        let mut found = None;
        self.until("a session", |all| {
            found = all.raw(sid).with_session();
            found.is_some()
        });
        found.expect("just found")
    }

    /// A connection without handshake.
    pub fn raw(&self, sid: usize) -> Client {
        Client::raw(self.server(sid).addresses()[0])
    }

    /// Waits until something is so.
    pub fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        until(what, || done(self));
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
