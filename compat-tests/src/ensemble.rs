//! Ensembles of any mix of Java releases and ours on loopback.
//!
//! One at a time in a process: three servers are enough for two cores. Every wait ends with an
//! event or with the logs of all servers in the failure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jute::proto::{SyncRequest, op};
use jute::{Encode, proto};

use crate::proxy::Network;
use crate::server::{Kind, RELEASES, Server, TARGET, free_port, scratch};
use crate::walk::{differences, walk};
use crate::wire::{Hello, Reply, Session};

/// How long an ensemble may take for anything: a loaded machine is no failure.
const PATIENCE: Duration = Duration::from_secs(180);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The Java releases to test with: all if `COMPAT_MATRIX=full`, else the newest and an old one.
pub fn releases() -> Vec<&'static str> {
    match std::env::var("COMPAT_MATRIX").as_deref() {
        Ok("full") => RELEASES.to_vec(),
        _ => vec!["3.6.4", TARGET],
    }
}

/// What a server votes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Votes.
    Participant,
    /// Only hears.
    Observer,
}

/// One member: what it runs and whether it votes. Its sid is its place, from 1.
pub type Member = (Kind, Part);

/// Servers with a common configuration; all stopped at first.
pub struct Ensemble {
    servers: Vec<Server>,
    network: Option<Network>,
    /// Quorum and election ports, by place.
    ports: Vec<(u16, u16)>,
    home: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Ensemble {
    /// Directories and configurations; nothing runs yet. `settings` are lines of every `zoo.cfg`,
    /// `flags` JVM flags of every server.
    pub fn new(
        name: &str,
        members: &[Member],
        settings: &[(&str, &str)],
        flags: &[&str],
    ) -> Result<Self> {
        Self::build(name, members, settings, flags, false)
    }

    /// Like [`Ensemble::new`], and all that the servers say to each other goes through
    /// [`Ensemble::network`].
    pub fn with_network(
        name: &str,
        members: &[Member],
        settings: &[(&str, &str)],
        flags: &[&str],
    ) -> Result<Self> {
        Self::build(name, members, settings, flags, true)
    }

    fn build(
        name: &str,
        members: &[Member],
        settings: &[(&str, &str)],
        flags: &[&str],
        with_network: bool,
    ) -> Result<Self> {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let home = scratch(name)?;
        let real: Vec<(u16, u16)> = members.iter().map(|_| (free_port(), free_port())).collect();
        let network = if with_network { Some(Network::new(&real)?) } else { None };
        let mut servers = Vec::new();
        for ((kind, part), sid) in members.iter().zip(1..) {
            let mut server = Server::new(*kind, &home.path().join(sid.to_string()))?
                .set("tickTime", 1000)
                .set("initLimit", 30)
                // A machine that stands still for seconds must not make them elect again.
                .set("syncLimit", 60)
                .set("maxSessionTimeout", 600_000)
                .set("4lw.commands.whitelist", "*");
            for ((_, part), other) in members.iter().zip(1..) {
                let role = match part {
                    Part::Participant => "participant",
                    Part::Observer => "observer",
                };
                let (quorum, election) = match &network {
                    Some(network) if other != sid => network.ports(sid, other),
                    _ => real[other - 1],
                };
                let line = format!("127.0.0.1:{quorum}:{election}:{role}");
                server = server.set(&format!("server.{other}"), line);
            }
            if *part == Part::Observer {
                server = server.set("peerType", "observer");
            }
            for (key, value) in settings {
                server = server.set(key, value);
            }
            for flag in flags {
                server = server.jvm_flag(flag);
            }
            fs::write(server.data_dir().join("myid"), format!("{sid}\n"))?;
            servers.push(server);
        }
        Ok(Self { servers, network, ports: real, home, _turn: turn })
    }

    /// The network of an ensemble that was made with one.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("made by with_network")
    }

    /// Puts the stores of the server's own tests, and this JAAS file if there is one, into every
    /// server's directory.
    pub fn with_secrets(self, jaas: Option<&str>) -> Result<Self> {
        for sid in self.sids() {
            let home = self.home.path().join(sid.to_string());
            super::server::copy_stores(&home.join("tls"))?;
            if let Some(jaas) = jaas {
                fs::write(home.join("jaas.conf"), jaas)?;
            }
        }
        Ok(self)
    }

    /// The server with this sid.
    pub fn server(&mut self, sid: usize) -> &mut Server {
        &mut self.servers[sid - 1]
    }

    /// Quorum and election port of a server.
    pub fn ports(&self, sid: usize) -> (u16, u16) {
        self.ports[sid - 1]
    }

    /// All sids.
    pub fn sids(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.servers.len()
    }

    /// Where a server's `zoo.cfg` is.
    pub fn config(&self, sid: usize) -> PathBuf {
        self.home.path().join(sid.to_string()).join("zoo.cfg")
    }

    /// `host:port` of every server, as clients take it.
    pub fn connect_string(&self) -> String {
        let all: Vec<String> = self.addresses().iter().map(SocketAddr::to_string).collect();
        all.join(",")
    }

    /// Client addresses of all servers.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(Server::address).collect()
    }

    /// The directory that holds the servers' ones and goes with the ensemble.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Starts these together and waits until all serve.
    pub fn start(&mut self, sids: &[usize]) -> Result<()> {
        for sid in sids {
            self.server(*sid).launch()?;
        }
        for sid in sids {
            let result = self.server(*sid).await_serving();
            result.with_context(|| format!("server {sid}\n{}", self.logs()))?;
        }
        Ok(())
    }

    /// Waits until a server has this mode.
    pub fn await_mode(&mut self, sid: usize, mode: &str) -> Result<()> {
        self.until(&format!("server {sid} is {mode}"), |all| {
            Ok(all.servers[sid - 1].mode().as_deref() == Some(mode))
        })
    }

    /// Waits until one of these leads and the others follow it; tells which.
    pub fn await_leader(&mut self, sids: &[usize]) -> Result<usize> {
        let mut leader = 0;
        self.until(&format!("{sids:?} have a leader"), |all| {
            let mut modes = sids.iter().map(|sid| (*sid, all.servers[sid - 1].mode()));
            leader = 0;
            Ok(modes.all(|(sid, mode)| match mode.as_deref() {
                Some("leader") => {
                    leader = sid;
                    true
                }
                Some("follower" | "observer") => true,
                _ => false,
            }) && leader != 0)
        })?;
        Ok(leader)
    }

    /// A new session at one server.
    pub fn session(&self, sid: usize) -> Result<Session> {
        self.session_with(sid, &Hello::default())
    }

    /// A new or continued session at one server.
    pub fn session_with(&self, sid: usize, hello: &Hello) -> Result<Session> {
        let address = self.servers[sid - 1].address();
        Session::open_with(address, hello).with_context(|| format!("a session at server {sid}"))
    }

    /// Polls until `done`; on failure the logs say why.
    pub fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self).with_context(|| format!("waiting until {what}"))? {
            if Instant::now() > deadline {
                bail!("waited {PATIENCE:?} in vain until {what}\n{}", self.logs());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Waits until these servers have applied the same transactions, then compares all they show
    /// to a client, metadata included. Every digest a server checked must have been right, too.
    pub fn assert_same(&mut self, sids: &[usize]) -> Result<()> {
        // `sync` at a Java leader is no barrier for its own clients, and a znode may go while it is
        // read, so what differs at first is looked at again.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = match self.compare(sids) {
                Ok(found) if found.is_empty() => break,
                Ok(found) => found,
                Err(error) => format!("{error:#}"),
            };
            ensure!(Instant::now() < deadline, "{found}\n{}", self.logs());
            sleep(Duration::from_millis(20));
        }
        self.digests_were_right(sids)?;
        self.digests_compared(sids)?;
        Ok(())
    }

    /// Servers compare the digest that comes with a transaction with that of their tree. Ours must
    /// never have found a difference. Java's find some after a SNAP from a Java leader, which sends its
    /// tree while it changes (`LearnerHandler`, `DataTree.serializeNode`) under the zxid at which it
    /// began, and no digest that would say where it ended (`ZKDatabase.serializeSnapshot`). What is
    /// committed meanwhile follows as PROPOSAL and COMMIT and is compared when it is applied
    /// (`Learner.syncWithLeader`), though later effects are in the tree already. There may be as many
    /// as transactions met the stream, and none behind NEWLEADER, which is queued when the tree is
    /// out. Ours passes over them, and replaces what it received by an exact snapshot, so that a Java
    /// server that starts from its directory finds none; only one that starts from it before that
    /// is written counts them again. A difference that lasts would be found with every transaction.
    ///
    /// Measured with 50,000 znodes and a writer beside the sync: 983 to 4,722 at a Java learner of a
    /// Java leader, none at ours, none at a Java server on the directory that ours then left.
    fn digests_were_right(&mut self, sids: &[usize]) -> Result<()> {
        for sid in sids {
            let before = self.wrong_digests(*sid)?;
            if before == 0 {
                continue;
            }
            for _ in 0..3 {
                close(self.session(*sid)?)?;
            }
            let lasts = self.wrong_digests(*sid)? > before;
            let kind = self.server(*sid).kind();
            ensure!(
                kind != Kind::Rookeeper && !lasts,
                "server {sid} found {before} wrong digests:\n{}\n{}",
                self.said(*sid, "igest"),
                self.logs()
            );
            println!("server {sid}, {kind}, found {before} wrong digests, and no more");
        }
        Ok(())
    }

    /// How many digests a server found wrong; 3.5 has none.
    fn wrong_digests(&mut self, sid: usize) -> Result<u64> {
        let metrics = self.server(sid).four_letter_word("mntr")?;
        let count = metrics.lines().find_map(|l| l.strip_prefix("zk_digest_mismatches_count"));
        Ok(count.map_or(Ok(0), |count| count.trim().parse())?)
    }

    /// Compares the tree digests of equal zxids that these servers remember: every 128th zxid has
    /// one. A server that found wrong digests remembers them, too, so it is left out. Returns how many
    /// were found at two servers.
    pub fn digests_compared(&mut self, sids: &[usize]) -> Result<usize> {
        let mut known: BTreeMap<String, (usize, String)> = BTreeMap::new();
        let mut compared = 0;
        for sid in sids {
            if self.wrong_digests(*sid)? > 0 {
                continue;
            }
            // 3.5 does not know the word.
            for line in self.server(*sid).four_letter_word("hash")?.lines() {
                let Some((zxid, digest)) = line.split_once(": ") else { continue };
                match known.get(zxid) {
                    None => {
                        known.insert(zxid.to_owned(), (*sid, digest.to_owned()));
                    }
                    Some((other, expected)) => {
                        ensure!(
                            digest == expected,
                            "digests at {zxid}: {expected} at server {other}, {digest} at {sid}"
                        );
                        compared += 1;
                    }
                }
            }
        }
        Ok(compared)
    }

    /// What differs between the trees that these servers show. Each is read through a session of
    /// its own that lives no longer than that.
    fn compare(&self, sids: &[usize]) -> Result<String> {
        let mut first = None;
        for sid in sids {
            let mut session = self.session(*sid)?;
            sync(&mut session)?;
            let mut tree = walk(&mut session)?;
            close(session)?;
            // Its stat is a server's own in Java.
            tree.remove("/zookeeper/config");
            match &first {
                None => first = Some((*sid, tree)),
                Some((other, expected)) => {
                    let found = differences(expected, &tree);
                    if !found.is_empty() {
                        let found = found.join("\n");
                        return Ok(format!("servers {other} and {sid} differ:\n{found}"));
                    }
                }
            }
        }
        Ok(String::new())
    }

    /// The lines of a server's log with this word, from all its runs.
    pub fn said(&self, sid: usize, word: &str) -> String {
        let log = self.servers[sid - 1].log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(word)).collect();
        lines.join("\n")
    }

    /// The end of every server's log.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for (server, sid) in self.servers.iter().zip(1..) {
            let log = server.log();
            let lines: Vec<&str> = log.lines().filter(is_telling).collect();
            let end = lines[lines.len().saturating_sub(60)..].join("\n");
            let _ = writeln!(text, "---- server {sid}, {}:\n{end}", server.kind());
        }
        text
    }
}

/// True unless every start or every question to a server writes such a line.
fn is_telling(line: &&str) -> bool {
    !line.contains("environment:") && !line.contains("four-letter word") && !line.contains("\tat ")
}

/// Waits until the server of this session has seen everything committed before.
pub fn sync(session: &mut Session) -> Result<()> {
    session.must(op::SYNC, &SyncRequest { path: Some("/".into()) }.to_vec())?;
    Ok(())
}

/// Sets data; returns the error code.
pub fn set_data(session: &mut Session, path: &str, data: &[u8]) -> Result<i32> {
    let body =
        proto::SetDataRequest { path: Some(path.into()), data: Some(data), version: -1 }.to_vec();
    Ok(session.call(op::SET_DATA, &body)?.header.err)
}

/// Deletes; returns the error code.
pub fn delete(session: &mut Session, path: &str) -> Result<i32> {
    let body = proto::DeleteRequest { path: Some(path.into()), version: -1 }.to_vec();
    Ok(session.call(op::DELETE, &body)?.header.err)
}

/// True if the znode is there.
pub fn exists(session: &mut Session, path: &str) -> Result<bool> {
    match session.data(path)? {
        Ok(_) => Ok(true),
        Err(-101) => Ok(false),
        Err(code) => bail!("getData {path}: {code}"),
    }
}

/// Reads or looks for a znode and leaves a watch.
pub fn watch(session: &mut Session, kind: i32, path: &str) -> Result<i32> {
    let body = proto::GetDataRequest { path: Some(path.into()), watch: true }.to_vec();
    Ok(session.call(kind, &body)?.header.err)
}

/// The next watch event as type, state and path.
pub fn event(session: &mut Session) -> Result<(i32, i32, String)> {
    if session.events.is_empty() {
        let payload = session.wire.receive()?.context("the server closed the connection")?;
        let reply = Reply::parse(&payload)?;
        ensure!(reply.header.xid == proto::XID_NOTIFICATION, "{reply:?} is no event");
        session.events.push(reply);
    }
    let reply = session.events.remove(0);
    let mut input = jute::Reader::new(&reply.body);
    let (kind, state) = (input.read()?, input.read()?);
    let path = input.read::<Option<std::borrow::Cow<'_, str>>>()?.unwrap_or_default().into_owned();
    Ok((kind, state, path))
}

/// Ends a session as clients do.
pub fn close(mut session: Session) -> Result<()> {
    session.must(op::CLOSE_SESSION, &[])?;
    Ok(())
}
