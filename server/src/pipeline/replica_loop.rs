//! The replica thread: feeds the core, executes its actions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use super::log_loop::{LogBox, Order};
use super::mailbox::Mailbox;
use super::snapshots::Snapshots;
use crate::apply::Applier;
use crate::base::{Mono, Now, Proposal, SessionId};
use crate::net::clock;
use crate::outbox::{Origin, Registry};
use crate::replica::{Action, Commit, Event, Replica, Request};
use crate::storage::Durable;

/// The replica thread's mailbox.
pub(super) type CoreBox = Mailbox<Control, Request<Origin>>;

/// A look at the core.
type Look = Box<dyn FnOnce(&Replica<Origin>, Now) + Send>;

/// What the replica thread is told besides requests.
pub(super) enum Control {
    /// The log is on stable storage up to here.
    Durable(Durable),
    /// The last sign of life of a session whose connection ended.
    Heard(SessionId, Mono, i32),
    /// The log was rolled because a snapshot is due.
    SnapshotDue,
    /// The snapshot thread ended.
    SnapshotDone,
    /// Somebody wants to see.
    Inspect(Look),
    /// The log is broken: nothing commits any more.
    LogFailed,
    /// Finish what is there, then end.
    Stop,
}

/// The replica thread.
pub(super) struct ReplicaLoop {
    inbox: Arc<CoreBox>,
    log: Arc<LogBox>,
    replica: Replica<Origin>,
    applier: Applier,
    registry: Arc<Registry>,
    snapshots: Snapshots,
    actions: Vec<Action<Origin>>,
    appends: Vec<Arc<Proposal>>,
    commits: VecDeque<Commit<Origin>>,
    stopping: bool,
    failed: bool,
}

impl ReplicaLoop {
    pub fn new(
        inbox: Arc<CoreBox>,
        log: Arc<LogBox>,
        replica: Replica<Origin>,
        applier: Applier,
        registry: Arc<Registry>,
        snapshots: Snapshots,
    ) -> Self {
        Self {
            inbox,
            log,
            replica,
            applier,
            registry,
            snapshots,
            actions: Vec::new(),
            appends: Vec::new(),
            commits: VecDeque::new(),
            stopping: false,
            failed: false,
        }
    }

    /// The loop. Ends when stopped and everything proposed is applied, or when the log fails.
    pub fn run(mut self) {
        let (mut control, mut requests) = (Vec::new(), Vec::new());
        loop {
            let timeout = self.timeout(clock::mono());
            self.inbox.take(&mut control, &mut requests, timeout);
            let now = clock::now();
            for message in control.drain(..) {
                self.control(now, message);
            }
            self.time_out(now);
            self.prepare(now, &mut requests);
            self.apply(now);
            if self.failed {
                return;
            }
            if self.stopping && self.replica.held() == 0 {
                break;
            }
        }
        self.snapshots.finish();
        self.log.post(Order::Stop);
        info!(last = %self.applier.read().last_zxid(), "replica loop ended");
    }

    fn timeout(&self, now: Mono) -> Option<Duration> {
        self.replica.next_timeout().map(|at| Duration::from_millis(at.since(now)))
    }

    fn control(&mut self, now: Now, message: Control) {
        match message {
            Control::Durable(durable) => {
                self.snapshots.durable(durable);
                self.feed(now, Event::Durable(durable.zxid()));
            }
            Control::Heard(session, at, timeout_ms) => {
                self.feed(now, Event::Heard(vec![(session, at, timeout_ms)]));
            }
            Control::SnapshotDue => self.snapshots.take(&mut self.applier),
            Control::SnapshotDone => self.snapshots.done(&mut self.applier),
            Control::Inspect(look) => look(&self.replica, now),
            Control::LogFailed => self.failed = true,
            Control::Stop => self.stopping = true,
        }
    }

    fn feed(&mut self, now: Now, event: Event<Origin>) {
        let tree = self.applier.read();
        self.replica.handle(now, event, &tree, &mut self.actions);
        drop(tree);
        self.execute();
    }

    /// Sorts actions by who executes them. Appends and commits of one turn do not depend on each
    /// other: a commit is of an earlier append.
    fn execute(&mut self) {
        for action in self.actions.drain(..) {
            match action {
                Action::Append(proposal) => self.appends.push(proposal),
                Action::Apply(commit) => self.commits.push_back(commit),
            }
        }
    }

    /// Expiry. Connections note signs of life where they are; only sessions about to expire are
    /// looked up.
    fn time_out(&mut self, now: Now) {
        if self.replica.next_timeout().is_none_or(|at| at > now.mono) {
            return;
        }
        let heard = self.replica.due_sessions(now.mono).into_iter().filter_map(|session| {
            let outbox = self.registry.by_session(session)?;
            let state = outbox.lock();
            let timeout_ms = state.attached.filter(|a| a.session == session)?.timeout_ms;
            Some((session, state.last_heard, timeout_ms))
        });
        let heard = heard.collect();
        self.feed(now, Event::Heard(heard));
        self.feed(now, Event::Timeout);
    }

    /// Prepares requests under one guard, and starts the disk before anything is applied.
    fn prepare(&mut self, now: Now, requests: &mut Vec<Request<Origin>>) {
        if !requests.is_empty() {
            let tree = self.applier.read();
            for request in requests.drain(..) {
                self.replica.handle(now, Event::Request(request), &tree, &mut self.actions);
            }
            drop(tree);
            self.execute();
        }
        self.log.post_bulk(&mut self.appends);
    }

    fn apply(&mut self, now: Now) {
        if self.commits.is_empty() {
            return;
        }
        let last = self.applier.run(now.mono, &mut self.commits);
        self.feed(now, Event::Applied(last));
    }
}
