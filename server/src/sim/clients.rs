//! Clients: each connects to some serving node, asks it about the session it had before, writes and
//! syncs, and remembers what it was promised.

use std::sync::Arc;

use bytes::Bytes;
use jute::proto::op;

use super::check::Violation;
use super::world::{Next, World};
use crate::base::{SessionId, Zxid};
use crate::zab::{Event, ForwardedRequest, Serving};

/// How long a client waits for an answer; then it tries another node.
const PATIENCE_US: u64 = 5_000_000;

/// Ticks on top of that when all is well: then it must get its answer, or lose its node.
const PATIENCE_TICKS: u64 = 10;

/// What a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The write with this cxid.
    Write(i32),
    /// The sync with this number.
    Sync(i32),
    /// Does the session it had live?
    Session(SessionId),
}

/// One client. Each connection is a session of its own.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// The node it talks to.
    node: Option<usize>,
    session: SessionId,
    cxid: i32,
    /// What is not answered yet, and since when.
    waiting: Option<(Waiting, u64)>,
    /// It never goes to a node that has seen less.
    seen: Zxid,
}

/// What leaders know of a session. Every third one ended long ago.
pub(super) fn lives(session: SessionId) -> bool {
    session.0 % 3 != 0
}

impl World {
    pub(super) fn client_turn(&mut self, id: usize) {
        let pause = self.random.between(2_000, self.options.think_us.max(2_001));
        self.schedule(pause, 0, 0, Next::Client(id));
        let Some(node) = self.clients[id].node else { return self.client_connects(id) };
        if let Some((waiting, since)) = self.clients[id].waiting {
            let healed = self.healed_at.is_some_and(|healed| healed < since);
            let ticks = if healed { PATIENCE_TICKS } else { 0 };
            if since + PATIENCE_US + ticks * self.options.tick_ms * 1000 < self.now {
                if healed {
                    let text = format!("PROGRESS: node {} does not answer {waiting:?}", node + 1);
                    return self.fail(Err(Violation(text)));
                }
                self.clients[id].node = None;
                self.clients[id].waiting = None;
            }
            return;
        }
        let tree = self.nodes[node].tree.zxid;
        let client = &mut self.clients[id];
        if tree < client.seen {
            let text = format!("ZXID-MONOTONE: client {id} saw {} and now {tree}", client.seen);
            self.fail(Err(Violation(text)));
            return;
        }
        client.seen = tree;
        if self.writes_stopped() {
            return;
        }
        if self.random.chance(100_000) {
            self.client_syncs(id, node);
        } else {
            self.client_writes(id, node);
        }
    }

    fn client_connects(&mut self, id: usize) {
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let Some(serving) = self.nodes[node].serving else { return };
        if self.nodes[node].tree.zxid < self.clients[id].seen {
            return;
        }
        self.next_session += 1;
        let client = &mut self.clients[id];
        let before = std::mem::replace(&mut client.session, SessionId(self.next_session));
        client.node = Some(node);
        client.cxid = 0;
        client.waiting = None;
        if before.0 != 0 && serving != Serving::Leader {
            client.waiting = Some((Waiting::Session(before), self.now));
            self.drive(node, Event::Revalidate(before, 10_000));
        }
    }

    fn client_writes(&mut self, id: usize, node: usize) {
        let client = &mut self.clients[id];
        client.cxid += 1;
        client.waiting = Some((Waiting::Write(client.cxid), self.now));
        let request = ForwardedRequest {
            session: client.session,
            cxid: client.cxid,
            op: op::SET_DATA,
            body: Bytes::copy_from_slice(&client.session.0.to_be_bytes()),
            identities: Some(Arc::new([])),
        };
        self.submit(node, request);
    }

    fn client_syncs(&mut self, id: usize, node: usize) {
        self.next_sync += 1;
        let number = self.next_sync;
        self.clients[id].waiting = Some((Waiting::Sync(number), self.now));
        let request = ForwardedRequest {
            session: self.clients[id].session,
            cxid: number,
            op: op::SYNC,
            body: Bytes::new(),
            identities: Some(Arc::new([])),
        };
        if self.nodes[node].serving != Some(Serving::Leader) {
            self.nodes[node].syncs.push_back(number);
        }
        self.submit(node, request);
    }

    /// Hands a request to a node as its connection would.
    pub(super) fn submit(&mut self, node: usize, request: ForwardedRequest) {
        match self.nodes[node].serving {
            Some(Serving::Leader) => self.request(node, None, request),
            Some(_) => self.drive(node, Event::Forward(request)),
            None => {}
        }
    }

    /// A node answers a sync. Its client may be gone.
    pub(super) fn sync_done(&mut self, node: usize, number: i32) {
        let (sid, tree) = (self.nodes[node].sid, self.nodes[node].tree.zxid);
        let result = self.checker.synced(sid, number, tree);
        self.fail(result);
        self.client_answered(node, Waiting::Sync(number));
    }

    /// A node answers whether a session lives. Its client may be gone.
    pub(super) fn session_answered(&mut self, node: usize, session: SessionId, valid: bool) {
        if valid != lives(session) {
            let text = format!("SESSION: node {} says {valid} of {session}", node + 1);
            self.fail(Err(Violation(text)));
        }
        self.client_answered(node, Waiting::Session(session));
    }

    fn client_answered(&mut self, node: usize, answer: Waiting) {
        for client in &mut self.clients {
            if client.node == Some(node) && client.waiting.is_some_and(|(w, _)| w == answer) {
                client.waiting = None;
            }
        }
    }

    /// A node applied a write: does one of its clients wait for it?
    pub(super) fn client_applied(
        &mut self,
        node: usize,
        session: SessionId,
        cxid: i32,
        zxid: Zxid,
    ) {
        for client in &mut self.clients {
            if client.node == Some(node)
                && client.session == session
                && client.waiting.is_some_and(|(waiting, _)| waiting == Waiting::Write(cxid))
            {
                client.waiting = None;
                client.seen = zxid;
                self.checker.acknowledged(zxid);
            }
        }
    }

    /// A node closed its clients.
    pub(super) fn drop_clients(&mut self, node: usize) {
        self.nodes[node].syncs.clear();
        for client in &mut self.clients {
            if client.node == Some(node) {
                client.node = None;
                client.waiting = None;
            }
        }
    }
}
