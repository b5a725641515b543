//! The world: nodes, their clocks and links, and one queue of things to come. Everything happens on
//! one thread in one order, drawn from one seed.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use jute::proto::op;
use jute::txn::{SetDataTxn, Txn, TxnHeader};

use super::check::{Checker, Heard, Violation};
use super::clients::{Client, lives};
use super::disk::{Disk, State};
use super::network::{Item, Wire};
use super::random::Random;
use super::{Faults, SimOptions};
use crate::base::{Epoch, Mono, Proposal, SessionId, Sid, Zxid};
use crate::zab::{
    Action, Event, ForwardedRequest, Link, Member, Membership, Mutation, Notification, Options,
    Packet, Peer, PeerAddress, Restored, Serving, SyncOrigin,
};

/// Lines of trace kept.
const TRACE_MAX: usize = 4000;

/// Things that may happen in one run; more means that messages breed messages.
const STEPS_MAX: u64 = 500_000;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Next {
    /// A node's timeout may be due.
    Timer,
    /// An event for the core.
    Event(Event),
    /// A vote arrives.
    Vote(Sid, Notification),
    /// The front of a link's queue arrives here.
    Arrive(Link),
    /// Is the way still cut?
    Retry(Link),
    /// A node dials another, at its port for learners or at the one for observers.
    Dial(Sid, bool),
    /// The sync of the log that covers so many entries ends.
    Synced(usize),
    /// The oldest write of the epoch files ends.
    EpochsSaved,
    Truncate(Zxid),
    Install(Zxid),
    /// The node starts again.
    Start,
    Client(usize),
    Fault,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    seq: u64,
    node: usize,
    /// Dropped if the node died since; 0 is kept always.
    life: u32,
    next: Next,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) sid: Sid,
    /// None while it is down.
    pub(super) peer: Option<Peer>,
    pub(super) disk: Disk,
    pub(super) tree: State,
    pub(super) serving: Option<Serving>,
    /// Counts starts.
    pub(super) life: u32,
    /// Not before this time does it start again; `u64::MAX` never.
    pub(super) paused_until: u64,
    pub(super) listening: bool,
    /// It follows, and serves observers.
    pub(super) listening_for_observers: bool,
    /// Greatest zxid with which others proposed this node since it started.
    pub(super) echoed: Option<Zxid>,
    log_broken: bool,
    syncing: bool,
    saves: VecDeque<(Epoch, Epoch, bool)>,
    timer_at: Option<u64>,
    pub(super) received: Option<(Link, State)>,
    /// Transactions applied since the state the node started from, not checked yet.
    unchecked: Vec<(Zxid, State, SessionId, i32)>,
    base: State,
    clock_offset_us: u64,
    clock_rate_ppm: u64,
    pub(super) last_votes: BTreeMap<Sid, Notification>,
    /// Syncs of our clients that wait for SYNC packets, by number.
    pub(super) syncs: VecDeque<i32>,
}

/// The simulation.
#[derive(Debug)]
pub struct World {
    pub(super) options: SimOptions,
    pub(super) random: Random,
    /// Microseconds since the start.
    pub(super) now: u64,
    seq: u64,
    queue: BinaryHeap<Entry>,
    pub(super) nodes: Vec<Node>,
    pub(super) wires: BTreeMap<Link, Wire>,
    pub(super) next_link: u64,
    /// `cut[a][b]`: nothing gets from a to b.
    pub(super) cut: Vec<Vec<bool>>,
    pub(super) faults: Faults,
    pub(super) checker: Checker,
    pub(super) clients: Vec<Client>,
    pub(super) next_session: i64,
    pub(super) violation: Option<Violation>,
    trace: VecDeque<String>,
    /// Things that happened.
    pub steps: u64,
    membership: Arc<Membership>,
    /// Kill this node when it is about to do an action of this name for the n-th time.
    pub(super) kill_before: Option<(usize, String, usize)>,
    /// Messages of this name from a to b are held back.
    pub(super) held: Vec<(usize, usize, String)>,
    actions: Vec<Action>,
    /// Syncs so far.
    pub(super) next_sync: i32,
    /// Since then nothing goes wrong any more.
    pub(super) healed_at: Option<u64>,
    /// A voter was wiped in this run.
    pub(super) wiped: bool,
    /// Clients only read from now on.
    pub(super) stopped: bool,
}

impl World {
    /// A world about to start; every node starts within the first moments.
    pub fn new(options: SimOptions) -> Self {
        let mut random = Random::new(options.seed);
        let count = options.voters + options.observers;
        let members = (0..count).map(|i| {
            let address = PeerAddress { host: "h".into(), quorum_port: 1, election_port: 2 };
            let member =
                Member { addresses: vec![address], participant: i < options.voters, client: None };
            (Sid(i as i64 + 1), member)
        });
        let membership = Membership::majority(members.collect(), 0);
        let membership = Arc::new(if options.counting.is_empty() {
            membership
        } else {
            let text = format!("{}{}", options.counting, membership.render());
            Membership::parse(&text).expect("the script's groups fit its members")
        });
        let start = State::EMPTY;
        let nodes = (0..count)
            .map(|i| Node {
                sid: Sid(i as i64 + 1),
                peer: None,
                disk: Disk::new(start, start.zxid.epoch()),
                tree: start,
                serving: None,
                life: 0,
                paused_until: 0,
                listening: false,
                listening_for_observers: false,
                echoed: None,
                log_broken: false,
                syncing: false,
                saves: VecDeque::new(),
                timer_at: None,
                received: None,
                unchecked: Vec::new(),
                base: start,
                clock_offset_us: if options.steady { 0 } else { random.below(1 << 40) },
                clock_rate_ppm: if options.steady {
                    1_000_000
                } else {
                    random.between(900_000, 1_100_000)
                },
                last_votes: BTreeMap::new(),
                syncs: VecDeque::new(),
            })
            .collect();
        let mut world = World {
            faults: options.faults.clone(),
            random,
            now: 0,
            seq: 0,
            queue: BinaryHeap::new(),
            nodes,
            wires: BTreeMap::new(),
            next_link: 0,
            cut: vec![vec![false; count]; count],
            checker: Checker::default(),
            clients: Vec::new(),
            next_session: 0,
            violation: None,
            trace: VecDeque::new(),
            steps: 0,
            membership,
            kill_before: None,
            held: Vec::new(),
            actions: Vec::new(),
            next_sync: 0,
            healed_at: None,
            wiped: false,
            stopped: false,
            options,
        };
        world.checker.begin(start);
        if !world.options.steady {
            for node in 0..count {
                let delay = world.random.below(200_000);
                world.schedule(delay, node, 0, Next::Start);
            }
            for client in 0..world.options.clients {
                world.clients.push(Client::default());
                world.schedule(1_000, 0, 0, Next::Client(client));
            }
            world.schedule(500_000, 0, 0, Next::Fault);
        }
        world
    }

    /// Runs until `until_us`, or until a promise is broken.
    pub fn run(&mut self, until_us: u64) {
        while self.violation.is_none() {
            match self.queue.peek() {
                Some(entry) if entry.at <= until_us => {}
                _ => break,
            }
            let Some(entry) = self.queue.pop() else { break };
            self.now = self.now.max(entry.at);
            self.steps += 1;
            if self.steps > STEPS_MAX {
                let text = format!("RUNAWAY: more than {STEPS_MAX} things happened");
                return self.fail(Err(Violation(text)));
            }
            self.happen(entry);
        }
        if self.violation.is_none() {
            self.now = self.now.max(until_us);
        }
    }

    /// As if every node had applied and stored everything up to `zxid`.
    #[cfg(test)]
    pub(super) fn jump(&mut self, zxid: Zxid) {
        let state = State { zxid, hash: 1 };
        self.checker.begin(state);
        for node in &mut self.nodes {
            node.disk.install(state, false);
            (node.tree, node.base) = (state, state);
            if let Some(peer) = &mut node.peer {
                peer.jump(zxid);
            }
        }
    }

    /// The trace so far, oldest line first.
    pub fn trace(&self) -> impl Iterator<Item = &str> {
        self.trace.iter().map(String::as_str)
    }

    #[cfg(test)]
    pub(super) fn take_trace(&mut self) -> Vec<String> {
        self.trace.drain(..).collect()
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.options.trace {
            let line = if self.options.steady {
                line()
            } else {
                format!("{:>10.3} {}", self.now as f64 / 1000.0, line())
            };
            if self.trace.len() == TRACE_MAX && !self.options.steady {
                self.trace.pop_front();
            }
            self.trace.push_back(line);
        }
    }

    pub(super) fn schedule(&mut self, delay_us: u64, node: usize, life: u32, next: Next) {
        self.seq += 1;
        let at = self.now + delay_us;
        self.queue.push(Entry { at, seq: self.seq, node, life, next });
    }

    pub(super) fn index(&self, sid: Sid) -> Option<usize> {
        usize::try_from(sid.0 - 1).ok().filter(|i| *i < self.nodes.len())
    }

    pub(super) fn fail(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.note(|| format!("VIOLATION {}", violation.0));
            self.violation.get_or_insert(violation);
        }
    }

    fn happen(&mut self, entry: Entry) {
        let Entry { node, life, next, .. } = entry;
        match next {
            Next::Client(client) => return self.client_turn(client),
            Next::Fault => return self.fault_turn(),
            Next::Start => return self.start(node),
            _ => {}
        }
        if self.nodes[node].peer.is_none() || (life != 0 && self.nodes[node].life != life) {
            // The other end of a dead node's link still hears about it.
            return;
        }
        let paused = self.nodes[node].paused_until;
        if paused > self.now {
            self.schedule(paused - self.now, node, life, next);
            return;
        }
        match next {
            Next::Timer => {
                self.nodes[node].timer_at = None;
                self.drive(node, Event::Timeout);
            }
            Next::Event(event) => self.drive(node, event),
            Next::Vote(from, notification) => {
                let node_ = &mut self.nodes[node];
                if notification.vote.leader == node_.sid {
                    node_.echoed = node_.echoed.max(Some(notification.vote.zxid));
                }
                self.drive(node, Event::Notification { from, notification });
            }
            Next::Arrive(link) => self.arrive(node, link),
            Next::Retry(link) => self.retry(node, link),
            Next::Dial(sid, to_master) => self.dial(node, sid, to_master),
            Next::Synced(written) => self.log_synced(node, written),
            Next::EpochsSaved => {
                let node_ = &mut self.nodes[node];
                if let Some(save) = node_.saves.pop_front() {
                    node_.disk.save_epochs(save);
                    self.drive(node, Event::EpochsSaved);
                }
            }
            Next::Truncate(zxid) => {
                let node_ = &mut self.nodes[node];
                let end = node_.disk.truncate(zxid);
                if let Some(state) = end
                    && node_.tree.zxid > state.zxid
                {
                    node_.reload(&mut self.checker);
                }
                self.drive(node, Event::Truncated(end.map(|s| s.zxid)));
            }
            Next::Install(zxid) => {
                let keep = self.options.mutations.has(Mutation::OldLogAfterSnap);
                let node_ = &mut self.nodes[node];
                if let Some((_, state)) = node_.received.take() {
                    debug_assert_eq!(state.zxid, zxid);
                    node_.disk.install(state, keep);
                    node_.tree = state;
                    node_.base = state;
                    node_.unchecked.clear();
                }
                self.drive(node, Event::SnapshotInstalled);
            }
            Next::Client(_) | Next::Fault | Next::Start => {}
        }
    }

    // Nodes.

    pub(super) fn start(&mut self, index: usize) {
        let options = &self.options;
        let node = &mut self.nodes[index];
        if node.peer.is_some() || node.disk.rotten || node.paused_until == u64::MAX {
            return;
        }
        node.disk.full = false;
        node.log_broken = false;
        node.echoed = None;
        let found = node.disk.restore();
        node.reload(&mut self.checker);
        let last = node.tree.zxid;
        let mut core = Options::new(node.sid);
        core.tick_ms = options.tick_ms;
        core.window = options.window;
        core.snap_syncs_max = options.snap_syncs;
        core.seed = options.seed.wrapping_add(node.sid.0 as u64);
        core.notification_max_ms = 5_000;
        core.mutations = options.mutations;
        core.observer_master = options.observer_masters;
        let restored = Restored {
            last,
            untrusted: node.disk.untrusted,
            recent: found.replayed,
            accepted: node.disk.accepted,
            current: node.disk.current,
            committed: self.membership.clone(),
            last_seen: None,
        };
        node.life += 1;
        node.paused_until = 0;
        let now = node.clock(self.now);
        let mut actions = std::mem::take(&mut self.actions);
        match Peer::new(now, core, restored, &mut actions) {
            Ok(peer) => {
                self.nodes[index].peer = Some(peer);
                self.note(|| format!("{} starts at {last}", index + 1));
                self.execute(index, &mut actions);
                // Peers that connect anew hear the last vote again.
                for other in 0..self.nodes.len() {
                    self.repeat_vote(other, index);
                }
            }
            Err(why) => {
                self.fail(Err(Violation(format!("node {} refuses to start: {why}", index + 1))));
            }
        }
        actions.clear();
        self.actions = actions;
        self.arm_timer(index);
    }

    /// Power off.
    pub(super) fn kill(&mut self, index: usize) {
        if self.nodes[index].peer.is_none() {
            return;
        }
        self.note(|| format!("{} is killed", index + 1));
        let random = &mut self.random;
        let node = &mut self.nodes[index];
        node.peer = None;
        node.serving = None;
        node.listening = false;
        node.listening_for_observers = false;
        node.syncing = false;
        node.timer_at = None;
        node.received = None;
        node.syncs.clear();
        // Renames of the epoch files may have happened.
        let landed = random.between(0, node.saves.len() as u64) as usize;
        for save in node.saves.drain(..).take(landed) {
            node.disk.save_epochs(save);
        }
        node.disk.crash(random);
        self.drop_clients(index);
        let links: Vec<Link> = self.wires_of(index);
        for link in links {
            self.close_end(index, link, false);
        }
    }

    /// Feeds one event and does what comes out.
    pub(super) fn drive(&mut self, index: usize, event: Event) {
        let now = self.nodes[index].clock(self.now);
        let Some(peer) = &mut self.nodes[index].peer else { return };
        let mut actions = std::mem::take(&mut self.actions);
        let before = peer.state();
        peer.handle(now, event, &mut actions);
        let after = peer.state();
        if before != after {
            let leader = peer.leader();
            self.note(|| match leader {
                Some(sid) => format!("{} is {after:?}, leader {sid}", index + 1),
                None => format!("{} is {after:?}", index + 1),
            });
        }
        self.execute(index, &mut actions);
        actions.clear();
        self.actions = actions;
        self.arm_timer(index);
    }

    fn arm_timer(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let Some(at) = node.peer.as_ref().and_then(Peer::next_timeout) else { return };
        let at = node.world_time(at).max(self.now + 1);
        if node.timer_at.is_none_or(|armed| at < armed) {
            node.timer_at = Some(at);
            let life = node.life;
            self.schedule(at - self.now, index, life, Next::Timer);
        }
    }

    fn execute(&mut self, index: usize, actions: &mut Vec<Action>) {
        for action in actions.drain(..) {
            if self.violation.is_some() {
                return;
            }
            if let Some((node, name, times)) = &mut self.kill_before
                && *node == index
                && *name == action_name(&action)
            {
                *times -= 1;
                if *times == 0 {
                    self.kill_before = None;
                    self.kill(index);
                    return;
                }
            }
            if self.random.chance(self.faults.kill_at_action_ppm) {
                self.kill(index);
                let delay = self.random.between(1, 3_000_000);
                self.schedule(delay, index, 0, Next::Start);
                return;
            }
            let life = self.nodes[index].life;
            self.perform(index, action);
            if self.nodes[index].peer.is_none() || self.nodes[index].life != life {
                return;
            }
        }
    }

    fn perform(&mut self, index: usize, action: Action) {
        let sid = self.nodes[index].sid;
        let life = self.nodes[index].life;
        match action {
            Action::Notify { to, notification } => self.send_vote(index, to, notification),
            Action::Append(proposal) => {
                // A log that failed once takes nothing more.
                if self.nodes[index].disk.full || self.nodes[index].log_broken {
                    self.nodes[index].log_broken = true;
                    self.schedule(1, index, life, Next::Event(Event::LogFailed));
                    return;
                }
                self.nodes[index].disk.append(proposal);
                self.start_log_sync(index);
            }
            Action::SaveEpochs { accepted, current, synced } => {
                self.note(|| format!("{} saves epochs {accepted} {current}", index + 1));
                self.nodes[index].saves.push_back((accepted, current, synced));
                let delay = self.disk_delay();
                self.schedule(delay, index, life, Next::EpochsSaved);
            }
            Action::Truncate(zxid) => {
                self.note(|| format!("{} truncates to {zxid}", index + 1));
                let delay = self.disk_delay();
                self.schedule(delay, index, life, Next::Truncate(zxid));
            }
            Action::InstallSnapshot { zxid, .. } => {
                self.note(|| format!("{} installs snapshot {zxid}", index + 1));
                let delay = self.disk_delay();
                self.schedule(delay, index, life, Next::Install(zxid));
            }
            Action::Connect(to) => {
                let delay = self.net_delay();
                self.schedule(delay, index, life, Next::Dial(to, false));
            }
            Action::ConnectMaster(to) => {
                let delay = self.net_delay();
                self.schedule(delay, index, life, Next::Dial(to, true));
            }
            Action::Listen(on) => self.nodes[index].listening = on,
            Action::ListenObservers(on) => self.nodes[index].listening_for_observers = on,
            Action::Send(link, packet) => {
                let disk = &self.nodes[index].disk;
                let result = match self.wires.get(&link) {
                    Some(wire) if wire.to_master => {
                        self.checker.relayed(sid, &packet, disk, wire.heard)
                    }
                    Some(wire) => self.checker.sent(sid, &packet, disk, wire.heard),
                    // On a link that was reset, nobody hears whose epoch it is.
                    None if matches!(packet, Packet::NewLeader { .. }) => Ok(()),
                    None => self.checker.sent(sid, &packet, disk, Heard::default()),
                };
                self.fail(result);
                self.send(index, link, Item::Packet(packet));
            }
            Action::CloseLink(link, why) => {
                self.note(|| format!("{} closes a link: {why}", index + 1));
                self.close_end(index, link, true);
            }
            Action::FindInLog { link, peer } => {
                let floor = self.nodes[index].disk.floor(peer);
                let delay = self.disk_delay();
                let event = Event::LogFloor { link, floor };
                self.schedule(delay, index, life, Next::Event(event));
            }
            Action::StreamLog { link, after, upto } => {
                for proposal in self.nodes[index].disk.range(after, upto) {
                    let zxid = proposal.zxid();
                    self.send(index, link, Item::Packet(Packet::Proposal(proposal)));
                    self.send(index, link, Item::Packet(Packet::Commit(zxid)));
                }
            }
            Action::SendSnapshot { link, zxid } => {
                let tree = self.nodes[index].tree;
                if tree.zxid != zxid {
                    let text = format!("node {sid} sends a snapshot of {zxid} at {}", tree.zxid);
                    self.fail(Err(Violation(text)));
                }
                self.send(index, link, Item::Packet(Packet::Snap(zxid)));
                self.send(index, link, Item::Snapshot(tree));
            }
            Action::Apply(proposal) => self.apply(index, &proposal),
            Action::Open(role, epoch) => self.open(index, role, epoch),
            Action::Close(why) => {
                self.note(|| format!("{} stops serving: {why}", index + 1));
                self.nodes[index].serving = None;
                self.drop_clients(index);
            }
            Action::Request(link, request) => self.request(index, Some(link), request),
            Action::Revalidate { link, session, .. } => {
                let event = Event::Revalidated { link, session, valid: lives(session) };
                self.schedule(1, index, life, Next::Event(event));
            }
            Action::Revalidated(session, valid) => self.session_answered(index, session, valid),
            Action::SyncDone(number) => self.sync_done(index, number as i32),
            Action::SyncAnswered => match self.nodes[index].syncs.pop_front() {
                Some(number) => self.sync_done(index, number),
                None => {
                    let text = format!("SYNC: node {sid} is answered a sync that it did not ask");
                    self.fail(Err(Violation(text)));
                }
            },
            Action::Stop(code, why) => {
                self.note(|| format!("{} exits with {code}: {why}", index + 1));
                self.kill(index);
                let delay = self.random.between(1, 3_000_000);
                self.schedule(delay, index, 0, Next::Start);
            }
            Action::Touched(..)
            | Action::LearnerGone(_)
            | Action::SaveLastSeen(_)
            | Action::Syncing { .. }
            | Action::Activate(_) => {}
        }
    }

    fn open(&mut self, index: usize, role: Serving, epoch: Epoch) {
        let node = &mut self.nodes[index];
        let (sid, tree) = (node.sid, node.tree);
        node.serving = Some(role);
        self.note(|| format!("{} serves as {role:?} of epoch {epoch} at {}", index + 1, tree.zxid));
        let node = &mut self.nodes[index];
        let unchecked = std::mem::take(&mut node.unchecked);
        let base = std::mem::replace(&mut node.base, tree);
        let mut result = self.checker.started_from(sid, base);
        for (before, after, session, cxid) in unchecked {
            result = result.and_then(|()| self.checker.applied(sid, before, after, session, cxid));
        }
        self.fail(result);
    }

    fn apply(&mut self, index: usize, proposal: &Proposal) {
        let node = &mut self.nodes[index];
        let before = node.tree;
        node.tree = before.apply(proposal);
        self.checker.seen(before, node.tree);
        let (session, cxid) = (SessionId(proposal.header.client_id), proposal.header.cxid);
        if node.serving.is_none() {
            node.unchecked.push((before.zxid, node.tree, session, cxid));
            return;
        }
        let (sid, tree) = (node.sid, node.tree);
        node.base = tree;
        self.note(|| format!("{} applies {}", index + 1, tree.zxid));
        let result = self.checker.applied(sid, before.zxid, tree, session, cxid);
        self.fail(result);
        self.client_applied(index, session, cxid, tree.zxid);
        if self.random.chance(self.faults.snapshot_ppm) {
            self.nodes[index].disk.snapshot(tree);
        }
    }

    /// A write or sync reaches a leader.
    pub(super) fn request(&mut self, index: usize, from: Option<Link>, request: ForwardedRequest) {
        if request.op == op::SYNC {
            let node = &self.nodes[index];
            let next = node.peer.as_ref().and_then(Peer::next_zxid);
            let proposed = next.map_or(node.tree.zxid, |next| Zxid(next.0 - 1));
            let proposed = if proposed.counter() == 0 { node.tree.zxid } else { proposed };
            self.checker.sync_asked(request.cxid, proposed);
            let origin = match from {
                Some(link) => SyncOrigin::Learner(link),
                None => SyncOrigin::Local(request.cxid as u64),
            };
            let life = self.nodes[index].life;
            self.schedule(1, index, life, Next::Event(Event::Sync(origin)));
            return;
        }
        let node = &self.nodes[index];
        let Some(zxid) = node.peer.as_ref().and_then(Peer::next_zxid) else { return };
        let header = TxnHeader {
            client_id: request.session.0,
            cxid: request.cxid,
            zxid: zxid.0,
            time: 0,
            kind: op::SET_DATA,
        };
        let txn = SetDataTxn { path: Some("/a".into()), data: Some(request.body), version: 1 };
        let proposal = Arc::new(Proposal::encode(header, Txn::SetData(txn), None));
        // Straight on: the next request must see the next zxid. `drive` runs inside `execute` here,
        // with an action list of its own.
        self.drive(index, Event::Propose(proposal));
    }

    // Disk.

    fn start_log_sync(&mut self, index: usize) {
        if !self.nodes[index].syncing {
            self.nodes[index].syncing = true;
            let (delay, life) = (self.disk_delay(), self.nodes[index].life);
            let written = self.nodes[index].disk.written();
            self.schedule(delay, index, life, Next::Synced(written));
        }
    }

    fn log_synced(&mut self, index: usize, written: usize) {
        let node = &mut self.nodes[index];
        node.syncing = false;
        if self.random.chance(self.faults.fsync_fails_ppm) {
            self.note(|| format!("{}: fsync fails", index + 1));
            self.drive(index, Event::LogFailed);
            return;
        }
        let node = &mut self.nodes[index];
        let end = node.disk.synced_to(written);
        self.drive(index, Event::Durable(end));
        let node = &self.nodes[index];
        if node.peer.is_some() && node.disk.written() > 0 && node.disk.has_unsynced() {
            self.start_log_sync(index);
        }
    }

    fn disk_delay(&mut self) -> u64 {
        if self.options.steady {
            return 1_000;
        }
        let slow = self.random.chance(20_000);
        self.random.between(100, if slow { 200_000 } else { 5_000 })
    }
}

impl Node {
    /// This node's monotonic clock.
    fn clock(&self, now_us: u64) -> Mono {
        let us = u128::from(now_us) * u128::from(self.clock_rate_ppm) / 1_000_000;
        Mono((us as u64 + self.clock_offset_us) / 1000)
    }

    /// The world's time when this node's clock shows `mono`.
    fn world_time(&self, mono: Mono) -> u64 {
        let us = (mono.0 * 1000).saturating_sub(self.clock_offset_us);
        let us = u128::from(us) * 1_000_000 / u128::from(self.clock_rate_ppm);
        us as u64 + 2
    }

    /// Reads the tree back from disk.
    fn reload(&mut self, checker: &mut Checker) {
        let found = self.disk.restore();
        self.base = found.base;
        self.tree = found.base;
        self.unchecked.clear();
        for proposal in &found.replayed {
            let before = self.tree.zxid;
            let state = self.tree;
            self.tree = state.apply(proposal);
            checker.seen(state, self.tree);
            let header = &proposal.header;
            self.unchecked.push((before, self.tree, SessionId(header.client_id), header.cxid));
        }
    }
}

/// The name a script uses for an action.
fn action_name(action: &Action) -> String {
    match action {
        Action::Send(_, packet) => format!("send {}", packet.name()),
        Action::Append(_) => "append".into(),
        Action::SaveEpochs { .. } => "save-epochs".into(),
        Action::Truncate(_) => "truncate".into(),
        Action::InstallSnapshot { .. } => "install".into(),
        Action::Apply(_) => "apply".into(),
        Action::Open(..) => "open".into(),
        _ => "other".into(),
    }
}
