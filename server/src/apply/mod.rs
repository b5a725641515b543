//! Applies what is committed: tree, watches, replies, and the reads parked behind a write.
//!
//! ```text
//!  commits ──► tree.apply ──► watch.trigger ──► events ──┐
//!                  │                                     ├──► outboxes ──► bells, after the guard
//!                  └──► reply ──► parked reads ──────────┘
//! ```
//!
//! Owns the only [`TreeWriter`]. Works in sections: at most [`SECTION_COMMITS`] commits or
//! [`SECTION_TIME`] under one write guard, then every touched connection's thread is woken once.
//! It waits for no client, disk or network (`APPLY-NEVER-WAITS`).
//!
//! Must not know: where commits come from, sockets, files.
//!
//! Start reading at [`Applier::run`].

mod audit;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jute::proto::{RequestHeader, op};
use jute::{Decode, Encode, Reader};
use parking_lot::RwLockReadGuard;
use tracing::{debug, error, info};

use crate::acl::Schemes;
use crate::audit::AuditLog;
use crate::base::{ErrorCode, Mono, Now, SessionId, Wall, Zxid};
use crate::metrics::{Metrics, Namespaces, Run, Spread};
use crate::outbox::{
    Admission, Attached, Bell, Counters, Fate, Handshake, Origin, Outbox, Parked, Registry, Role,
    State, Tally, WakeList, append_connect_response,
};
use crate::read::{self, ReadContext, ReadRequest, reply};
use crate::replica::Commit;
use crate::tree::cell::{TreeReader, TreeWriter};
use crate::tree::cut::{Cut, CutError, CutLimits};
use crate::tree::{Change, ChangeKind, DataTree, DigestCheck};
use crate::watch::{EventType, Fired, Trigger, WatchTable};

/// Commits applied under one write guard.
pub const SECTION_COMMITS: usize = 64;

/// Time spent under one write guard before readers get their turn.
pub const SECTION_TIME: Duration = Duration::from_micros(200);

/// Commits between two looks at the clock.
const CLOCK_EVERY: usize = 8;

/// Where the membership stands.
const CONFIG: &str = "/zookeeper/config";

/// What an applier shares with the rest of the server.
pub struct Parts {
    /// The watch tables.
    pub watches: Arc<WatchTable>,
    /// Permissions, for the delivery of events and parked reads.
    pub schemes: Arc<Schemes>,
    /// All connections.
    pub registry: Arc<Registry>,
    /// What is in flight.
    pub admission: Arc<Admission>,
    /// Read-only or not, for connect responses.
    pub role: Arc<Role>,
    /// Wakes I/O threads.
    pub wakes: WakeList,
    /// Counters of the apply thread.
    pub counters: Arc<Counters>,
    /// Where everything else is counted.
    pub metrics: Arc<Metrics>,
    /// Who changed what, if that is asked for.
    pub audit: Option<Arc<AuditLog>>,
    /// Largest string or buffer inside a parked request, bytes.
    pub field_max: usize,
    /// Unsent bytes above which a connection is closed.
    pub outbox_max_bytes: usize,
}

/// Applies commits.
pub struct Applier {
    tree: TreeWriter,
    desk: Desk,
}

struct Desk {
    parts: Parts,
    now: Mono,
    tally: Tally,
    /// Requests answered and large-request bytes freed in this section.
    answered: usize,
    large_bytes: usize,
    /// Encoding of the event being delivered.
    event: Vec<u8>,
    /// Latencies of writes not yet in the metrics: a value and how often in a row it came.
    update_latency: Run,
    /// The same for parked reads.
    read_latency: Run,
    /// Wall time of this call, and what this server is.
    wall: Wall,
    duty: Duty,
    /// Ages of the transactions applied, by the stamp of whoever proposed them.
    age: Ages,
    section: Section,
    /// The session whose end is being applied, while there is an audit log.
    closing: Option<SessionId>,
    /// Sizes of writes and of parked reads, per top-level znode.
    written: Namespaces,
    read: Namespaces,
}

/// What the server is to the transactions it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duty {
    /// It proposed them, and its own log is the quorum.
    #[default]
    Solo,
    /// It proposed them.
    Leader,
    /// It was told that they are committed.
    Learner,
}

/// What one section did, for `CommitProcessor`'s metrics.
#[derive(Debug, Default)]
struct Section {
    writes: u64,
    own_writes: u64,
    reads: u64,
    /// Sessions whose queue was emptied.
    drained: u64,
    /// Requests that waited in the queues of the sessions that got an answer.
    queued: Spread,
}

impl Section {
    /// Entered once per section; times are those of the whole section, in ms.
    fn enter(self, took: i64, metrics: &Metrics) {
        let others = self.writes - self.own_writes;
        metrics.write_final_proc_time_ms.add_many(took, self.writes);
        metrics.local_write_committed_time_ms.add_many(took, self.own_writes);
        metrics.server_write_committed_time_ms.add_many(took, others);
        metrics.write_batch_time_in_commit_processor.add(took);
        metrics.commit_process_time.add(took);
        metrics.write_commit_proc_issued.add(self.writes as i64);
        metrics.requests_in_session_queue.absorb(&self.queued);
        if self.reads > 0 {
            metrics.read_commit_proc_issued.add(self.reads as i64);
            metrics.reads_after_write_in_session_queue.add(self.reads as i64);
            metrics.reads_issued_from_session_queue.add(self.reads as i64);
            metrics.read_final_proc_time_ms.add_many(took, self.reads);
        }
        if self.drained > 0 {
            metrics.session_queues_drained.add(self.drained as i64);
        }
    }
}

/// Ages of transactions in ms: a value and how often in a row it came.
#[derive(Debug, Default)]
struct Ages {
    value: i64,
    times: u64,
}

impl Ages {
    fn add(&mut self, age: i64, duty: Duty, metrics: &Metrics) {
        if age != self.value {
            self.enter(duty, metrics);
            self.value = age;
        }
        self.times += 1;
    }

    /// The stamp is the proposer's wall clock: ages between hosts may be negative, and then count
    /// for nothing, as in Java (`Request.logLatency`).
    fn enter(&mut self, duty: Duty, metrics: &Metrics) {
        let times = std::mem::take(&mut self.times);
        if self.value < 0 || times == 0 {
            return;
        }
        metrics.propagation_latency.add_many(self.value, times);
        match duty {
            Duty::Learner => metrics.commit_propagation_latency.add_many(self.value, times),
            Duty::Leader => metrics.quorum_ack_latency.add_many(self.value, times),
            Duty::Solo => {}
        }
        if duty != Duty::Learner {
            // Whole ms, rounded up: no bucket promises more than is known.
            let us = (self.value as u64 + 1) * 1000;
            metrics.rookeeper_propose_to_commit_seconds.add(us, times);
        }
    }
}

impl Applier {
    /// Takes over the tree.
    pub fn new(tree: TreeWriter, parts: Parts) -> Self {
        let desk = Desk {
            parts,
            now: Mono(0),
            tally: Tally::default(),
            answered: 0,
            large_bytes: 0,
            event: Vec::new(),
            update_latency: Run::default(),
            read_latency: Run::default(),
            wall: Wall(0),
            duty: Duty::default(),
            age: Ages::default(),
            section: Section::default(),
            closing: None,
            written: Namespaces::default(),
            read: Namespaces::default(),
        };
        Self { tree, desk }
    }

    /// Read access.
    pub fn read(&self) -> RwLockReadGuard<'_, DataTree> {
        self.tree.read()
    }

    /// Another reader.
    pub fn reader(&self) -> TreeReader {
        self.tree.reader()
    }

    /// See [`WakeList::only_bell`].
    pub fn only_bell(&self) -> Option<Arc<dyn Bell>> {
        self.desk.parts.wakes.only_bell()
    }

    /// Opens a cut between two sections.
    pub fn open_cut(&mut self, limits: CutLimits) -> Result<Cut, CutError> {
        self.tree.write().open_cut(limits)
    }

    /// See [`DataTree::settle`].
    pub fn settle(&mut self) -> bool {
        self.tree.write().settle()
    }

    /// Goes on with another tree: the history was cut or replaced. No client is connected. Returns
    /// the old one: freeing it takes time that nobody should wait for.
    #[must_use]
    pub fn replace(&mut self, tree: DataTree) -> DataTree {
        self.tree.replace(tree)
    }

    /// Puts the text of a membership into `/zookeeper/config`, unless it is there: the transaction
    /// stream may have brought it (`ZKDatabase.initConfigInZKDatabase`).
    pub fn set_config(&mut self, now: Now, text: &str, version: i64) {
        let mut tree = self.tree.write();
        let present = tree.find(CONFIG);
        if present.is_some_and(|node| {
            node.stat().mzxid == version && node.data() == Some(text.as_bytes())
        }) {
            return;
        }
        self.desk.now = now.mono;
        let desk = &mut self.desk;
        tree.set_config(text.as_bytes(), version, now.wall, &mut |change| desk.changed(change));
        drop(tree);
        self.desk.end_section(Duration::ZERO);
    }

    /// What the server is from now on.
    pub fn set_duty(&mut self, duty: Duty) {
        self.desk.duty = duty;
    }

    /// Applies all commits, in order, and leaves `commits` empty. Returns the tree's last zxid.
    pub fn run(&mut self, now: Now, commits: &mut VecDeque<Commit<Origin>>) -> Zxid {
        self.desk.now = now.mono;
        self.desk.wall = now.wall;
        self.desk.parts.metrics.commit_commit_proc_req_queued.add(commits.len() as i64);
        let mut last = Zxid::ZERO;
        while !commits.is_empty() {
            let mut tree = self.tree.write();
            let begun = Instant::now();
            for done in 1..=SECTION_COMMITS {
                let Some(commit) = commits.pop_front() else { break };
                self.desk.commit(&mut tree, commit);
                if done % CLOCK_EVERY == 0 && begun.elapsed() > SECTION_TIME {
                    break;
                }
            }
            last = tree.last_zxid();
            drop(tree);
            self.desk.end_section(begun.elapsed());
        }
        last
    }
}

impl Desk {
    fn commit(&mut self, tree: &mut DataTree, commit: Commit<Origin>) {
        match commit {
            Commit::Txn { proposal, origin } => {
                let before = tree.last_zxid();
                assert!(proposal.zxid() > before, "ZXID-ORDER: {} after {before}", proposal.zxid());
                if self.parts.audit.is_some() && proposal.header.kind == op::CLOSE_SESSION {
                    self.closing = Some(SessionId(proposal.header.client_id));
                }
                let applied = tree.apply(&proposal, &mut |change| self.changed(change));
                if let DigestCheck::Mismatch { expected, actual } = applied.digest {
                    let count = &self.parts.metrics.digest_mismatches_count;
                    let which = if count.get() == 0 { "First digest" } else { "Digest" };
                    error!(
                        "{which} mismatch on txn: {}, expected digest is {expected:x}, actual \
                         digest is {actual:x}",
                        proposal.zxid()
                    );
                    count.add(1);
                }
                let age = self.wall.0 - proposal.header.time;
                self.age.add(age, self.duty, &self.parts.metrics);
                self.section.writes += 1;
                self.section.own_writes += u64::from(origin.is_some());
                if proposal.header.kind == op::CLOSE_SESSION {
                    self.close_session(SessionId(proposal.header.client_id), origin.as_ref());
                }
                self.closing = None;
                let Some(origin) = origin else { return };
                if let Some(log) = &self.parts.audit {
                    audit::applied(log, &self.parts.schemes, &origin, &proposal);
                }
                match origin.handshake {
                    Some(handshake) => {
                        let session = SessionId(proposal.header.client_id);
                        self.greet(tree, &origin, handshake, Some(session));
                    }
                    None => {
                        let failed = proposal.header.kind == op::ERROR;
                        let shown = if failed { op::ERROR } else { origin.op };
                        if proposal.header.kind == op::RECONFIG {
                            let node = tree.find(CONFIG);
                            let text = node.and_then(|node| node.data()).unwrap_or_default();
                            self.answer(tree, &origin, shown, |_, xid, _, out| {
                                reply::reconfig(xid, &applied, text, out);
                                reply::After::Keep
                            });
                            return;
                        }
                        self.answer(tree, &origin, shown, |kind, xid, _, out| {
                            reply::write(kind, xid, &applied, out)
                        });
                    }
                }
            }
            Commit::Refused { origin, code } => {
                if let Some(log) = &self.parts.audit {
                    let attached = origin.outbox.lock().attached;
                    let session = attached.map_or(SessionId(0), |attached| attached.session);
                    audit::refused(log, &self.parts.schemes, &origin, session);
                }
                self.answer(tree, &origin, op::ERROR, |_, xid, zxid, out| {
                    if code == ErrorCode::SessionMoved {
                        return reply::After::Close;
                    }
                    reply::error(xid, zxid, code, out);
                    reply::After::Keep
                });
            }
            Commit::Synced { origin } => {
                self.answer(tree, &origin, origin.op, |_, xid, zxid, out| {
                    reply::frame(xid, zxid, 0, out, |out| origin.path.as_deref().encode(out));
                    reply::After::Keep
                });
            }
            Commit::Granted { origin, session } => {
                let Some(handshake) = origin.handshake else {
                    unreachable!("only handshakes begin sessions")
                };
                self.greet(tree, &origin, handshake, Some(session));
            }
            Commit::Ended { session, origin } => {
                self.close_session(session, origin.as_ref());
                let Some(origin) = origin else { return };
                self.answer(tree, &origin, origin.op, |_, xid, zxid, out| {
                    reply::header(xid, zxid, 0, out);
                    reply::After::Close
                });
            }
            Commit::Renewed { origin, session } => {
                let Some(handshake) = origin.handshake else {
                    unreachable!("only handshakes are renewals")
                };
                self.parts.metrics.connection_revalidate_count.add(1);
                self.greet(tree, &origin, handshake, session);
            }
        }
    }

    /// Events of one change, into the outboxes of its watchers (`WATCH-BEFORE-DATA`).
    fn changed(&mut self, change: Change<'_>) {
        let what = match change.kind {
            ChangeKind::Created => Trigger::Created,
            ChangeKind::Deleted => Trigger::Deleted,
            ChangeKind::DataChanged => Trigger::DataChanged,
        };
        let set = &self.parts.metrics.write_per_namespace;
        self.written.add(change.path, (change.path.len() + change.bytes) as i64, set);
        if let (Some(session), Some(log)) = (self.closing, &self.parts.audit)
            && change.kind == ChangeKind::Deleted
        {
            audit::ephemeral(log, session, change.path);
        }
        let watches = self.parts.watches.clone();
        watches.trigger(what, change.path, &mut |fired| self.fire(change, fired));
    }

    fn fire(&mut self, change: Change<'_>, fired: Fired<'_>) {
        let Self { parts, event, tally, .. } = self;
        event.clear();
        reply::event(fired.event, fired.path, change.zxid, event);
        let acl = if fired.event.is_about_parent() { change.parent_acl } else { change.acl };
        let told = match fired.event {
            EventType::NodeCreated => &parts.metrics.node_created_watch_count,
            EventType::NodeDeleted => &parts.metrics.node_deleted_watch_count,
            EventType::NodeDataChanged => &parts.metrics.node_changed_watch_count,
            EventType::NodeChildrenChanged => &parts.metrics.node_children_watch_count,
        };
        told.add(fired.watchers.len() as i64);
        let mut bytes = 0;
        let connections = parts.registry.connections();
        for watcher in fired.watchers {
            let Some(outbox) = connections.get(*watcher) else { continue };
            let mut state = outbox.lock();
            if !state.is_open()
                || !parts.schemes.allows(acl, jute::data::PERM_READ, &state.identities)
            {
                continue;
            }
            state.out.extend_from_slice(event);
            bytes += event.len();
            state.stats.sent += 1;
            tally.sent += 1;
            if state.unsent_bytes() > parts.outbox_max_bytes {
                debug!(remote = %outbox.remote, "closing a connection that does not read");
                state.close(Fate::CloseNow);
            }
            parts.wakes.touch(outbox.place, &mut state);
        }
        parts.metrics.watch_bytes.add(bytes as i64);
    }

    /// The session is gone: its connection goes too, without a word unless it asked.
    fn close_session(&mut self, session: SessionId, origin: Option<&Origin>) {
        let Some(holder) = self.parts.registry.take_session(session) else { return };
        if origin.is_some_and(|origin| Arc::ptr_eq(&origin.outbox, &holder)) {
            return;
        }
        let mut state = holder.lock();
        state.close(Fate::CloseNow);
        self.parts.wakes.touch(holder.place, &mut state);
    }

    /// Answers a handshake: `session` is `None` if there is none to come back to.
    fn greet(
        &mut self,
        tree: &DataTree,
        origin: &Origin,
        handshake: Handshake,
        session: Option<SessionId>,
    ) {
        let outbox = &origin.outbox;
        let mut state = outbox.lock();
        if !state.is_open() {
            return;
        }
        self.unpark(&mut state, origin);
        let granted = session.map(|session| (session, handshake.timeout_ms));
        let before = state.out.len();
        let read_only = self.parts.role.is_read_only();
        append_connect_response(&mut state.out, granted, handshake.with_read_only, read_only);
        self.count(&mut state, origin, origin.op, tree.last_zxid(), before);
        self.parts.wakes.touch(outbox.place, &mut state);
        let Some((session, timeout_ms)) = granted else {
            let remote = outbox.remote;
            info!("Invalid session {} for client /{remote}, probably expired", handshake.session);
            state.close(Fate::CloseAfterFlush);
            return;
        };
        state.attached = Some(Attached { session, timeout_ms });
        let former = self.parts.registry.attach(session, outbox);
        drop(state);
        if let Some(former) = former.filter(|former| !Arc::ptr_eq(former, outbox)) {
            let mut state = former.lock();
            state.close(Fate::CloseNow);
            self.parts.wakes.touch(former.place, &mut state);
        }
    }

    /// Answers a request that went through the pipeline, then the reads parked behind it.
    fn answer(
        &mut self,
        tree: &DataTree,
        origin: &Origin,
        shown: i32,
        write: impl FnOnce(i32, i32, Zxid, &mut Vec<u8>) -> reply::After,
    ) {
        let outbox = &origin.outbox;
        let mut state = outbox.lock();
        if !state.is_open() {
            self.parts.metrics.stale_replies.add(1);
            return;
        }
        self.unpark(&mut state, origin);
        let before = state.out.len();
        let after = write(origin.op, origin.xid, tree.last_zxid(), &mut state.out);
        self.count(&mut state, origin, shown, tree.last_zxid(), before);
        if after == reply::After::Close {
            state.close(Fate::CloseAfterFlush);
        } else {
            self.parked_reads(tree, outbox, &mut state);
        }
        self.parts.wakes.touch(outbox.place, &mut state);
    }

    /// Takes the request off the front of the parked ones (`SESSION-FIFO`).
    fn unpark(&mut self, state: &mut State, origin: &Origin) {
        self.section.queued.add(state.parked.len() as i64, 1);
        match state.parked.pop_front() {
            Some(Parked::Write { xid, op, large_bytes, .. })
                if xid == origin.xid && op == origin.op =>
            {
                self.answered += 1;
                self.large_bytes += large_bytes as usize;
            }
            other => panic!("SESSION-FIFO: {origin:?} is answered, {other:?} is due"),
        }
    }

    /// `shown` is what `cons` shows as the last operation: `NA` for a write that failed, as in Java.
    fn count(&mut self, state: &mut State, origin: &Origin, shown: i32, zxid: Zxid, before: usize) {
        state.stats.answer(origin.xid, shown, zxid, origin.received, self.now);
        let latency = self.now.since(origin.received);
        self.tally.answer(latency, state.out.len() - before);
        self.update_latency.add(latency, &self.parts.metrics.updatelatency);
    }

    /// Answers what waits up to the session's next write.
    fn parked_reads(&mut self, tree: &DataTree, outbox: &Outbox, state: &mut State) {
        let session = state.attached.map_or(SessionId(0), |attached| attached.session);
        while let Some(next) = state.parked.front() {
            if matches!(next, Parked::Write { .. }) {
                return;
            }
            self.section.reads += 1;
            let before = state.out.len();
            let (xid, op, received) = match state.parked.pop_front() {
                Some(Parked::Read { frame, identities, received }) => {
                    let mut input = Reader::new(&frame);
                    let header = RequestHeader::decode(&mut input)
                        .expect("the header was decoded before the request was parked");
                    let field_max = self.parts.field_max;
                    let request = ReadRequest::decode(header.kind, &frame[8..], field_max);
                    let context = ReadContext {
                        session,
                        identities: &identities,
                        schemes: &self.parts.schemes,
                        watcher: outbox.watcher,
                    };
                    let watches = &self.parts.watches;
                    read::execute(tree, watches, &context, header.xid, &request, &mut state.out);
                    if let Some((path, bytes)) = read::shown(&request, &state.out[before..]) {
                        let set = &self.parts.metrics.read_per_namespace;
                        self.read.add(path, bytes, set);
                    }
                    (header.xid, header.kind, received)
                }
                Some(Parked::Answer { xid, op, err, received }) => {
                    reply::error(xid, tree.last_zxid(), err, &mut state.out);
                    (xid, op, received)
                }
                Some(Parked::Write { .. }) | None => unreachable!("looked at above"),
            };
            self.answered += 1;
            if state.unsent_bytes() > self.parts.outbox_max_bytes {
                debug!(remote = %outbox.remote, "closing a connection that asks without reading");
                state.close(Fate::CloseNow);
                return;
            }
            state.stats.answer(xid, op, tree.last_zxid(), received, self.now);
            let latency = self.now.since(received);
            self.tally.answer(latency, state.out.len() - before);
            self.read_latency.add(latency, &self.parts.metrics.readlatency);
            self.parts.metrics.read_commitproc_time_ms.add(latency as i64);
        }
        self.section.drained += 1;
    }

    fn end_section(&mut self, took: Duration) {
        self.parts.admission.give_back(std::mem::take(&mut self.answered));
        self.parts.admission.give_back_large(std::mem::take(&mut self.large_bytes));
        let tally = std::mem::take(&mut self.tally);
        let metrics = &self.parts.metrics;
        metrics.response_bytes.add(tally.response_bytes as i64);
        self.update_latency.enter(&metrics.updatelatency);
        self.read_latency.enter(&metrics.readlatency);
        self.age.enter(self.duty, metrics);
        self.parts.counters.add(&tally);
        let section = std::mem::take(&mut self.section);
        section.enter(took.as_millis() as i64, metrics);
        self.written.enter(&metrics.write_per_namespace);
        self.read.enter(&metrics.read_per_namespace);
        // Last: who has a reply finds it counted.
        self.parts.wakes.ring();
    }
}
