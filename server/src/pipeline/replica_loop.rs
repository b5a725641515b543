//! The replica thread: feeds the core, executes its actions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::chronicle::Chronicle;
use super::core::{Batch, Core};
use super::host::{Host, NewTree};
use super::log_loop::{LogBox, Order};
use super::mailbox::Mailbox;
use super::snapshots::{Asked, Snapshots};
use super::swap::{self, Swap};
use crate::apply::Duty;
use crate::base::{Mono, Now, Proposal, SessionId};
use crate::metrics::Metrics;
use crate::net::clock;
use crate::outbox::{Fate, Origin, Outbox, Registry};
use crate::replica::{Action, Commit, Event, Request};
use crate::storage::Durable;
use crate::tree::DataTree;
use crate::tree::cut::CutLimits;
use crate::zab;

/// The replica thread's mailbox.
pub(super) type CoreBox = Mailbox<Control, Request<Origin>>;

/// What the replica thread is told besides requests.
pub(super) enum Control {
    /// The log is on stable storage up to here.
    Durable(Durable),
    /// The last sign of life of a session whose connection ended.
    Heard(SessionId, Mono, i32),
    /// The log was rolled because a snapshot is due.
    SnapshotDue,
    /// An operator wants a snapshot.
    SnapshotFor(Asked),
    /// The snapshot thread ended.
    SnapshotDone,
    /// Another thread ran the core: there are commits, or something is due earlier than before.
    Commits,
    /// Something for the zab core.
    Zab(Box<zab::Event>),
    /// The history was changed; the tree, if it changed with it.
    Replaced { tree: NewTree, durable: Durable, event: Box<zab::Event> },
    /// An operator ends a session.
    EndSession(SessionId),
    /// An operator brings another database.
    Swap(Box<DataTree>, swap::Ordered),
    /// It is on disk, or cannot be.
    Swapped { tree: Box<DataTree>, result: Result<Durable, String> },
    /// The log is broken: nothing commits any more.
    LogFailed,
    /// Finish what is there, then end.
    Stop,
}

/// The replica thread.
pub(super) struct ReplicaLoop {
    inbox: Arc<CoreBox>,
    log: Arc<LogBox>,
    core: Arc<Core>,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
    snapshots: Snapshots,
    /// Of a member of an ensemble.
    host: Option<Host>,
    chronicle: Option<Chronicle>,
    /// Another database on its way in.
    swap: Option<Swap>,
    actions: Vec<Action<Origin>>,
    appends: Vec<Arc<Proposal>>,
    commits: VecDeque<Commit<Origin>>,
    /// Packets of this turn, per link in order.
    outgoing: BTreeMap<zab::Link, Vec<zab::Packet>>,
    /// An observer with `syncEnabled=false`.
    keeps_no_log: bool,
    /// Signs of life up to here are reported.
    heard_until: Mono,
    stopping: bool,
    failed: bool,
}

impl ReplicaLoop {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        inbox: Arc<CoreBox>,
        log: Arc<LogBox>,
        core: Arc<Core>,
        metrics: Arc<Metrics>,
        registry: Arc<Registry>,
        snapshots: Snapshots,
        host: Option<Host>,
        chronicle: Option<Chronicle>,
    ) -> Self {
        Self {
            inbox,
            log,
            core,
            metrics,
            registry,
            snapshots,
            host,
            chronicle,
            swap: None,
            actions: Vec::new(),
            appends: Vec::new(),
            commits: VecDeque::new(),
            outgoing: BTreeMap::new(),
            keeps_no_log: false,
            heard_until: Mono(0),
            stopping: false,
            failed: false,
        }
    }

    /// The loop. Ends when stopped and everything proposed is applied, or when the log fails.
    pub fn run(self, first: Vec<zab::Action>) {
        let inbox = self.inbox.clone();
        self.run_to_the_end(first);
        inbox.close();
    }

    fn run_to_the_end(mut self, first: Vec<zab::Action>) {
        let now = clock::now();
        self.show_membership(now);
        self.keeps_no_log = self.observes_without_log();
        for action in first {
            if let Some(chronicle) = &mut self.chronicle {
                chronicle.action(now, &action);
            }
            self.perform(now, action);
        }
        self.flush();
        let (mut control, mut requests) = (Vec::new(), Vec::new());
        loop {
            let timeout = self.timeout(clock::mono());
            self.inbox.take(&mut control, &mut requests, timeout);
            let now = clock::now();
            for message in control.drain(..) {
                self.control(now, message);
            }
            if self.swap.is_none() {
                self.time_out(now);
            }
            self.prepare(now, &mut requests);
            self.apply(now);
            self.advance_swap();
            if self.failed {
                return;
            }
            if self.stopping && self.core.lock().replica.held() == 0 {
                break;
            }
        }
        self.snapshots.finish();
        self.log.post(Order::Stop);
        info!(last = %self.core.applier().read().last_zxid(), "replica loop ended");
    }

    fn timeout(&self, now: Mono) -> Option<Duration> {
        let mut core = self.core.lock();
        // Nothing expires while the database changes; whatever ends that posts something.
        core.sleeps_until = core.replica.next_timeout().filter(|_| self.swap.is_none());
        core.sleeps_until.map(|at| Duration::from_millis(at.since(now)))
    }

    fn control(&mut self, now: Now, message: Control) {
        match message {
            Control::Durable(durable) => {
                self.snapshots.durable(durable);
                if self.core.is_direct() {
                    self.core.note_durable(durable);
                }
                self.feed(now, Event::Durable(durable.zxid()));
                if self.snapshots.is_wanted() {
                    self.snapshots.take(&mut self.core.applier(), None);
                }
            }
            Control::Heard(session, at, timeout_ms) => {
                self.feed(now, Event::Heard(vec![(session, at, timeout_ms)]));
            }
            Control::SnapshotDue => self.snapshot(None),
            Control::SnapshotFor(asked) => self.snapshot(Some(asked)),
            Control::SnapshotDone => self.snapshots.done(),
            Control::Commits => {}
            Control::Zab(event) => self.feed(now, Event::Zab(*event)),
            Control::Replaced { tree, durable, event } => {
                self.apply(now);
                if let Some(tree) = tree {
                    swap::reclaim(self.core.applier().replace(*tree));
                    self.show_membership(now);
                }
                self.snapshots.durable(durable);
                self.feed(now, Event::Zab(*event));
            }
            Control::EndSession(session) => {
                if self.swap.is_none() {
                    self.feed(now, Event::EndSession(session));
                }
            }
            Control::Swap(tree, ordered) => self.begin_swap(tree, ordered),
            Control::Swapped { tree, result } => self.end_swap(now, tree, result),
            Control::LogFailed => self.failed = true,
            Control::Stop => {
                self.stopping = true;
                if self.core.is_direct() {
                    // Whoever was to do this may be gone.
                    let durable = self.core.lock().durable.zxid();
                    self.feed(now, Event::Durable(durable));
                }
            }
        }
    }

    fn snapshot(&mut self, asked: Option<Asked>) {
        // With the applier in hand the tree cannot get ahead of what is known of the log.
        let mut applier = self.core.applier();
        if self.core.is_direct() {
            self.snapshots.durable(self.core.lock().durable);
        }
        self.snapshots.take(&mut applier, asked);
    }

    fn begin_swap(&mut self, tree: Box<DataTree>, ordered: swap::Ordered) {
        let why = if !self.core.is_direct() {
            Some("a member of an ensemble gets its database from its leader")
        } else if self.swap.is_some() || self.stopping {
            Some("the server is busy with another restore, or stopping")
        } else {
            None
        };
        if let Some(why) = why {
            swap::reclaim(*tree);
            // Whoever asked may have given up.
            let _ = ordered.send(Err(why.to_owned()));
            return;
        }
        self.core.lock().paused = true;
        self.swap = Some(Swap::Waiting(tree, ordered));
    }

    fn advance_swap(&mut self) {
        let Some(Swap::Waiting(..)) = &self.swap else { return };
        // With the applier in hand nothing is being applied.
        let applier = self.core.applier();
        let (held, proposed) = {
            let core = self.core.lock();
            (core.replica.held() + core.commits.len(), core.replica.proposed())
        };
        drop(applier);
        if held > 0 {
            return;
        }
        if let Some(Swap::Waiting(tree, ordered)) = self.swap.take() {
            let (dirs, options) = self.snapshots.target();
            swap::write(tree, proposed, dirs, options, &self.log, self.inbox.clone());
            self.swap = Some(Swap::Writing(ordered));
        }
    }

    fn end_swap(&mut self, now: Now, tree: Box<DataTree>, result: Result<Durable, String>) {
        let Some(Swap::Writing(ordered)) = self.swap.take() else { return };
        let mut applier = self.core.applier();
        let mut core = self.core.lock();
        core.paused = false;
        let waiting = std::mem::take(&mut core.waiting);
        let answer = match result {
            Ok(durable) => {
                core.replica.restart(&tree, now);
                core.durable = durable;
                swap::reclaim(applier.replace(*tree));
                self.snapshots.durable(durable);
                // What waited was asked of the old database; its connections end.
                for outbox in self.registry.connections().iter() {
                    outbox.lock().close(Fate::CloseNow);
                }
                Ok(durable.zxid())
            }
            Err(why) => {
                swap::reclaim(*tree);
                let events = waiting.into_iter().map(Event::Request);
                self.core.run(&mut core, now, events);
                Err(why)
            }
        };
        drop(core);
        drop(applier);
        let _ = ordered.send(answer);
    }

    fn feed(&mut self, now: Now, event: Event<Origin>) {
        if self.core.is_direct() {
            self.core.run(&mut self.core.lock(), now, [event]);
            return;
        }
        match (&mut self.chronicle, &event) {
            (Some(chronicle), Event::Zab(event)) => chronicle.event(now, event),
            (Some(chronicle), Event::Durable(zxid)) => chronicle.durable(now, *zxid),
            _ => {}
        }
        self.core.run_member(now, [event], &mut self.actions);
        self.tell(now);
        self.execute(now);
    }

    /// What the core ordered goes into the chronicle before it is done.
    fn tell(&mut self, now: Now) {
        if let Some(chronicle) = &mut self.chronicle
            && let Some(peer) = self.core.lock().replica.peer()
        {
            chronicle.turn(now, peer, &self.actions);
        }
    }

    /// Sorts actions by who executes them. Appends and commits of one turn do not depend on each
    /// other: a commit is of an earlier append.
    fn execute(&mut self, now: Now) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Append(proposal) if self.keeps_no_log => {
                    // Committed already: nobody counts on this disk.
                    let zxid = proposal.zxid();
                    self.snapshots.durable(Durable::by_received_snapshot(zxid));
                    self.feed(now, Event::Durable(zxid));
                }
                Action::Append(proposal) => self.appends.push(proposal),
                Action::Apply(commit) => self.commits.push_back(commit),
                Action::ReadOnly(on) => {
                    self.apply(now);
                    match &self.host {
                        Some(host) if on => host.open_read_only(),
                        Some(host) => host.close("no longer alone"),
                        None => {}
                    }
                }
                Action::Zab(action) => self.perform(now, action),
            }
        }
        self.actions = actions;
    }

    /// What a member's core orders. Some of it has a place in the stream of commits.
    fn perform(&mut self, now: Now, action: zab::Action) {
        match action {
            zab::Action::Open(serving, _) => {
                self.apply(now);
                let mut applier = self.core.applier();
                applier.set_duty(match serving {
                    zab::Serving::Leader => Duty::Leader,
                    _ => Duty::Learner,
                });
                let was_ahead = applier.settle();
                drop(applier);
                if was_ahead {
                    // What was received is on disk as it came. Whoever starts from it would find the
                    // digests of its log wrong until the log has caught up; better from this one.
                    info!("the leader's snapshot was ahead of its zxid: taking an exact one");
                    self.snapshot(None);
                }
                if let Some(host) = &self.host {
                    host.open(serving);
                }
                self.feed(now, Event::Opened(serving));
            }
            zab::Action::Close(why) => {
                self.apply(now);
                if let Some(host) = &self.host {
                    host.close(why);
                }
            }
            zab::Action::Activate(_) => {
                // Behind the transaction that brought it.
                self.apply(now);
                self.show_membership(now);
                self.host_performs(action);
                let kept_no_log = self.keeps_no_log;
                self.keeps_no_log = self.observes_without_log();
                if let (true, false, Some(host)) = (kept_no_log, self.keeps_no_log, &self.host) {
                    host.stop_without_log();
                    self.failed = true;
                }
            }
            zab::Action::Send(link, packet) => self.send(link, packet),
            zab::Action::SendSnapshot { link, zxid } => {
                self.apply(now);
                self.flush();
                let Some(host) = &self.host else { return };
                let mut applier = self.core.applier();
                match applier.open_cut(CutLimits::default()) {
                    Ok(cut) if cut.zxid() == zxid => {
                        host.ensemble().send_snapshot(link, zxid, cut, applier.reader());
                    }
                    Ok(cut) => {
                        let at = cut.zxid();
                        unreachable!("CUT-EXACT: the tree is at {at}, not at {zxid}");
                    }
                    Err(error) => {
                        warn!(%error, "cannot send a snapshot now");
                        host.ensemble().close(link, "cannot send a snapshot now");
                    }
                }
            }
            zab::Action::Syncing { link, sid, kind, peer, zxid } => {
                debug!(learner = link.0, %sid, ?kind, %peer, %zxid, "bringing a learner up to date");
            }
            action => {
                if matches!(action, zab::Action::Truncate(_) | zab::Action::InstallSnapshot { .. })
                {
                    self.apply(now);
                    self.log.post_bulk(&mut self.appends);
                }
                self.failed |= matches!(action, zab::Action::Stop(..));
                self.host_performs(action);
            }
        }
    }

    /// Never a voter: its acks and votes stand for its disk.
    fn observes_without_log(&self) -> bool {
        self.host.as_ref().is_some_and(Host::observers_keep_no_log)
            && self.core.lock().replica.peer().is_some_and(|peer| !peer.votes())
    }

    fn host_performs(&mut self, action: zab::Action) {
        self.flush();
        if let Some(host) = &self.host {
            host.perform(action, || self.core.applier().read().last_zxid());
        }
    }

    /// Keeps a packet until the end of this turn, or until something else is done to a link.
    fn send(&mut self, link: zab::Link, packet: zab::Packet) {
        self.outgoing.entry(link).or_default().push(packet);
    }

    /// Sends what was kept, each link's packets in one go.
    fn flush(&mut self) {
        let Some(host) = &self.host else { return };
        // Links come and go: room is kept for those that were used in this turn.
        self.outgoing.retain(|link, packets| {
            let used = !packets.is_empty();
            if used {
                host.ensemble().send(*link, packets.drain(..));
            }
            used
        });
    }

    /// Puts the committed membership into `/zookeeper/config`. Standalone it stays empty.
    fn show_membership(&mut self, now: Now) {
        let membership = self.core.lock().replica.peer().map(|peer| peer.membership().clone());
        if let Some(membership) = membership {
            self.core.applier().set_config(now, &membership.render(), membership.version());
        }
    }

    /// Expiry. Connections note signs of life where they are; only sessions about to expire are
    /// looked up.
    fn time_out(&mut self, now: Now) {
        let (timeout, wants_all_heard) = {
            let core = self.core.lock();
            (core.replica.next_timeout(), core.replica.wants_all_heard(now.mono))
        };
        if timeout.is_none_or(|at| at > now.mono) {
            return;
        }
        if wants_all_heard {
            let heard = self.all_heard();
            self.feed(now, Event::Heard(heard));
        }
        let due = self.core.lock().replica.due_sessions(now.mono);
        let heard = due.into_iter().filter_map(|session| {
            let outbox = self.registry.by_session(session)?;
            let state = outbox.lock();
            let timeout_ms = state.attached.filter(|a| a.session == session)?.timeout_ms;
            Some((session, state.last_heard, timeout_ms))
        });
        let heard = heard.collect();
        self.feed(now, Event::Heard(heard));
        let expiring = {
            let core = self.core.lock();
            let due = core.replica.due_sessions(now.mono).into_iter();
            let sessions = core.replica.sessions();
            due.map(|id| (id, sessions.timeout_ms(id).unwrap_or(0))).collect::<Vec<_>>()
        };
        self.metrics.stale_sessions_expired.add(expiring.len() as i64);
        for (session, timeout_ms) in expiring {
            info!("Expiring session {session}, timeout of {timeout_ms}ms exceeded");
        }
        self.feed(now, Event::Timeout);
    }

    /// Sessions that were heard of since the last call.
    fn all_heard(&mut self) -> Vec<(SessionId, Mono, i32)> {
        let since = std::mem::replace(&mut self.heard_until, clock::mono());
        let connections = self.registry.connections();
        let heard = connections.iter().filter_map(|outbox| {
            let state = outbox.lock();
            let attached = state.attached.filter(|_| state.last_heard >= since)?;
            Some((attached.session, state.last_heard, attached.timeout_ms))
        });
        heard.collect()
    }

    /// Prepares a member's requests, and starts disk and network before anything is applied.
    fn prepare(&mut self, now: Now, requests: &mut Vec<Request<Origin>>) {
        if !requests.is_empty() {
            // Asked under a role that ended: answering it now could overtake what was asked before
            // and is forgotten.
            let mut last: Option<(Arc<Outbox>, bool)> = None;
            requests.retain(|request| {
                let outbox = &request.origin.outbox;
                match &last {
                    // Bursts are of one connection.
                    Some((known, open)) if Arc::ptr_eq(known, outbox) => *open,
                    _ => {
                        let open = outbox.lock().is_open();
                        last = Some((outbox.clone(), open));
                        open
                    }
                }
            });
            let batch = Batch::of(requests, now.mono);
            let events = requests.drain(..).map(Event::Request);
            self.core.run_member(now, events, &mut self.actions);
            batch.prepared(&self.metrics, clock::mono());
            self.tell(now);
            self.execute(now);
        }
        if !self.appends.is_empty() {
            self.log.mark();
            self.log.post_bulk(&mut self.appends);
        }
        self.flush();
    }

    fn apply(&mut self, now: Now) {
        if self.core.is_direct() {
            return self.core.apply(now);
        }
        if self.commits.is_empty() {
            return;
        }
        self.metrics.request_commit_queued.add(self.commits.len() as i64);
        let last = self.core.applier().run(now, &mut self.commits);
        self.feed(now, Event::Applied(last));
    }
}
