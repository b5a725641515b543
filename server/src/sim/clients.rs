//! Clients: each connects to some serving node, writes and syncs, and remembers what it was
//! promised.

use bytes::Bytes;
use jute::proto::op;

use super::world::{Next, World};
use crate::base::{SessionId, Zxid};
use crate::zab::{Event, ForwardedRequest, Serving};

/// One client. Each connection is a session of its own.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// The node it talks to.
    node: Option<usize>,
    session: SessionId,
    cxid: i32,
    /// The write that is not answered yet.
    waiting: Option<i32>,
    /// When it gave up waiting, it reconnects.
    patience_us: u64,
    /// It never goes to a node that has seen less.
    seen: Zxid,
}

impl World {
    pub(super) fn client_turn(&mut self, id: usize) {
        let pause = self.random.between(2_000, self.options.think_us.max(2_001));
        self.schedule(pause, 0, 0, Next::Client(id));
        let Some(node) = self.clients[id].node else { return self.client_connects(id) };
        if self.clients[id].waiting.is_some() {
            if self.clients[id].patience_us < self.now {
                self.clients[id].node = None;
                self.clients[id].waiting = None;
            }
            return;
        }
        let tree = self.nodes[node].tree.zxid;
        let client = &mut self.clients[id];
        if tree < client.seen {
            let text = format!("ZXID-MONOTONE: client {id} saw {} and now {tree}", client.seen);
            self.fail(Err(super::check::Violation(text)));
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
        if self.nodes[node].serving.is_none() || self.nodes[node].tree.zxid < self.clients[id].seen
        {
            return;
        }
        self.next_session += 1;
        let session = SessionId(self.next_session);
        let client = &mut self.clients[id];
        client.node = Some(node);
        client.session = session;
        client.cxid = 0;
        client.waiting = None;
    }

    fn client_writes(&mut self, id: usize, node: usize) {
        let now = self.now;
        let client = &mut self.clients[id];
        client.cxid += 1;
        client.waiting = Some(client.cxid);
        client.patience_us = now + 5_000_000;
        let request = ForwardedRequest {
            session: client.session,
            cxid: client.cxid,
            op: op::SET_DATA,
            body: Bytes::copy_from_slice(&client.session.0.to_be_bytes()),
            identities: Some(Vec::new()),
        };
        self.submit(node, request);
    }

    fn client_syncs(&mut self, id: usize, node: usize) {
        let request = ForwardedRequest {
            session: self.clients[id].session,
            cxid: id as i32,
            op: op::SYNC,
            body: Bytes::new(),
            identities: Some(Vec::new()),
        };
        if self.nodes[node].serving != Some(Serving::Leader) {
            self.nodes[node].syncs.push_back(id as u64);
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

    pub(super) fn sync_done(&mut self, _client: usize) {
        self.syncs_done += 1;
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
                && client.waiting == Some(cxid)
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
