//! The replica core behind a lock.
//!
//! On a standalone server the I/O threads run it themselves: a write is prepared on the thread that
//! read it, while its bytes are warm, and goes straight to the log; no thread stands between. The
//! order of zxids, of the log queue and of the commit queue is the order in which this lock was
//! held. A member of an ensemble has actions that need the replica loop, so there every event goes
//! through its mailbox and the lock is only ever taken by one thread.
//!
//! Commits are applied there, too: by the I/O thread, if there is only one, which then has all that it
//! needs in its own processor's caches; otherwise small groups by the log thread that made them
//! durable, one thread less that has to wake up, and large ones by the replica loop. Whoever applies
//! takes the commits off their queue with the applier in hand, so they are applied in order.
//!
//! Lock order: applier, core, tree. Nobody takes the core with a guard of the tree in hand.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::log_loop::LogBox;
use super::outcome::AbortOnPanic;
use super::replica_loop::{Control, CoreBox};
use crate::apply::Applier;
use crate::base::{Mono, Now, Proposal, SessionId};
use crate::metrics::Metrics;
use crate::net::{Upstream, clock};
use crate::outbox::{Bell, Origin};
use crate::replica::{Action, Commit, Event, Replica, Request};
use crate::storage::Durable;
use crate::tree::cell::TreeReader;

/// The core, and where its actions go.
pub(super) struct Core {
    inner: Mutex<Inner>,
    /// Every thread may run the core: a standalone server.
    direct: bool,
    tree: TreeReader,
    applier: Mutex<Applier>,
    log: Arc<LogBox>,
    inbox: Arc<CoreBox>,
    /// The I/O thread that applies, if there is only one.
    io: Option<Arc<dyn Bell>>,
    metrics: Arc<Metrics>,
}

/// What the lock protects.
pub(super) struct Inner {
    pub replica: Replica<Origin>,
    /// Committed, in order, not yet taken by the replica loop.
    pub commits: VecDeque<Commit<Origin>>,
    /// How far the log of a standalone server is known to be on disk.
    pub durable: Durable,
    /// When the replica loop wakes up by itself; `None`: never.
    pub sleeps_until: Option<Mono>,
    /// No more requests.
    pub stopping: bool,
    /// The tree is being replaced: requests wait.
    pub paused: bool,
    /// Requests that wait.
    pub waiting: Vec<Request<Origin>>,
    actions: Vec<Action<Origin>>,
    appends: Vec<Arc<Proposal>>,
}

impl Core {
    pub fn new(
        replica: Replica<Origin>,
        applier: Applier,
        durable: Durable,
        log: Arc<LogBox>,
        inbox: Arc<CoreBox>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let direct = replica.peer().is_none();
        let inner = Inner {
            replica,
            commits: VecDeque::new(),
            durable,
            sleeps_until: None,
            stopping: false,
            paused: false,
            waiting: Vec::new(),
            actions: Vec::new(),
            appends: Vec::new(),
        };
        let io = applier.only_bell().filter(|_| direct);
        let (tree, applier) = (applier.reader(), Mutex::new(applier));
        Self { inner: Mutex::new(inner), direct, tree, applier, log, inbox, io, metrics }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// True if every thread may run the core.
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// The applier. Take it before the core.
    pub fn applier(&self) -> MutexGuard<'_, Applier> {
        self.applier.lock()
    }

    /// The log thread of a standalone server made everything up to `durable` durable: commits it,
    /// and applies it here and now.
    pub fn commit(&self, durable: Durable) {
        self.lock().durable = durable;
        self.commit_durable();
    }

    /// Lets the only I/O thread do the same: what it applies is what it prepared, with the sockets of
    /// those who asked, so that nothing but the bytes for the log ever goes to another processor.
    /// False if that is not to be: there are several, or the server stops and waits for the last
    /// commits.
    pub fn commit_on_io(&self, durable: Durable) -> bool {
        let Some(io) = &self.io else { return false };
        let mut inner = self.lock();
        inner.durable = durable;
        let stopping = inner.stopping;
        drop(inner);
        !stopping && io.ring_durable()
    }

    /// Commits and applies what is durable.
    fn commit_durable(&self) {
        let _guard = AbortOnPanic;
        let now = clock::now();
        let stopping = {
            let mut inner = self.lock();
            let durable = inner.durable.zxid();
            self.run(&mut inner, now, [Event::Durable(durable)]);
            inner.stopping || inner.paused
        };
        self.apply(now);
        if stopping {
            // The replica loop waits for the last of them.
            self.inbox.post(Control::Commits);
        }
    }

    /// The log thread said so. It may have said more since.
    pub fn note_durable(&self, durable: Durable) {
        let mut inner = self.lock();
        if durable.zxid() > inner.durable.zxid() {
            inner.durable = durable;
        }
    }

    /// Applies what is committed on a standalone server.
    pub fn apply(&self, now: Now) {
        let mut applier = self.applier();
        let mut commits = std::mem::take(&mut self.lock().commits);
        if commits.is_empty() {
            return;
        }
        self.metrics.request_commit_queued.add(commits.len() as i64);
        let last = applier.run(now, &mut commits);
        let mut inner = self.lock();
        if inner.commits.capacity() == 0 {
            inner.commits = commits;
        }
        self.run(&mut inner, now, [Event::Applied(last)]);
    }

    /// Runs events on a standalone server: appends go to the log at once, commits stay for the
    /// replica loop.
    pub fn run(
        &self,
        inner: &mut Inner,
        now: Now,
        events: impl IntoIterator<Item = Event<Origin>>,
    ) {
        debug_assert!(self.direct, "a member's actions need the replica loop");
        // I/O threads come here too, and survive panics elsewhere.
        let _guard = AbortOnPanic;
        let tree = self.tree.read();
        for event in events {
            inner.replica.handle(now, event, &tree, &mut inner.actions);
            for action in inner.actions.drain(..) {
                match action {
                    Action::Append(proposal) => inner.appends.push(proposal),
                    Action::Apply(commit) => inner.commits.push_back(commit),
                    Action::ReadOnly(_) => unreachable!("a standalone server is never alone"),
                    Action::Zab(action) => unreachable!("{action:?} on a standalone server"),
                }
            }
        }
        drop(tree);
        if !inner.appends.is_empty() {
            self.log.mark();
            self.log.post_bulk(&mut inner.appends);
        }
        // A session that was just made can be the next to expire, and the loop has not heard of it.
        let next = inner.replica.next_timeout();
        if next.is_some_and(|next| inner.sleeps_until.is_none_or(|until| next < until)) {
            inner.sleeps_until = next;
            self.inbox.post(Control::Commits);
        }
    }

    /// Runs events on a member; `out` gets their actions.
    pub fn run_member(
        &self,
        now: Now,
        events: impl IntoIterator<Item = Event<Origin>>,
        out: &mut Vec<Action<Origin>>,
    ) {
        let mut inner = self.lock();
        let tree = self.tree.read();
        for event in events {
            inner.replica.handle(now, event, &tree, out);
        }
    }
}

impl Upstream for Core {
    fn submit(&self, requests: &mut Vec<Request<Origin>>) {
        if !self.direct {
            self.inbox.post_bulk(requests);
            return;
        }
        let now = clock::now();
        let batch = Batch::of(requests, now.mono);
        let mut inner = self.lock();
        if inner.stopping {
            requests.clear();
            return;
        }
        if inner.paused {
            inner.waiting.append(requests);
            return;
        }
        self.run(&mut inner, now, requests.drain(..).map(Event::Request));
        let commits = !inner.commits.is_empty();
        drop(inner);
        batch.prepared(&self.metrics, clock::mono());
        if commits {
            self.inbox.post(Control::Commits);
        }
    }

    fn apply_durable(&self) {
        self.commit_durable();
    }

    fn heard(&self, session: SessionId, at: Mono, timeout_ms: i32) {
        if self.direct {
            let heard = Event::Heard(vec![(session, at, timeout_ms)]);
            self.run(&mut self.lock(), clock::now(), [heard]);
        } else {
            self.inbox.post(Control::Heard(session, at, timeout_ms));
        }
    }
}

/// What the metrics are told about a batch of requests, with two looks at the clock for all of it.
pub(super) struct Batch {
    requests: u64,
    closes: u64,
    waited_ms: u64,
    begun: Mono,
}

impl Batch {
    pub fn of(requests: &[Request<Origin>], now: Mono) -> Self {
        let close = |request: &&Request<Origin>| request.kind == jute::proto::op::CLOSE_SESSION;
        Self {
            requests: requests.len() as u64,
            closes: requests.iter().filter(close).count() as u64,
            waited_ms: requests.first().map_or(0, |first| now.since(first.origin.received)),
            begun: now,
        }
    }

    /// `PrepRequestProcessor`'s metrics.
    pub fn prepared(&self, metrics: &Metrics, now: Mono) {
        let took = now.since(self.begun) as i64;
        metrics.prep_processor_request_queued.add(self.requests as i64);
        metrics.prep_processor_queue_size.add(self.requests as i64);
        metrics.prep_processor_queue_time_ms.add_many(self.waited_ms as i64, self.requests);
        metrics.prep_process_time.add_many(took, self.requests);
        metrics.close_session_prep_time.add_many(took, self.closes);
    }
}
