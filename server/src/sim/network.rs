//! Votes and links: what is delayed, lost, repeated, cut, stalled and reset on its way.

use std::collections::VecDeque;

use super::check::Heard;
use super::disk::State;
use super::world::{Next, World};
use crate::base::Sid;
use crate::zab::{Event, Link, Notification, Packet};

/// What travels on a link.
#[derive(Debug)]
pub(super) enum Item {
    Packet(Packet),
    Snapshot(State),
    End,
}

impl Item {
    /// The name a script uses.
    fn name(&self) -> &'static str {
        match self {
            Item::Packet(packet) => packet.name(),
            Item::Snapshot(_) => "snapshot",
            Item::End => "end",
        }
    }
}

#[derive(Debug)]
pub(super) struct Wire {
    /// Learner's node, leader's node.
    pub(super) ends: [usize; 2],
    open: [bool; 2],
    /// Towards each end.
    queues: [VecDeque<Item>; 2],
    last_arrival: [u64; 2],
    stalled: [bool; 2],
    /// Dialled at the port for observers.
    pub(super) to_master: bool,
    /// What the learner heard on it.
    pub(super) heard: Heard,
    new_leader_heard: bool,
}

impl Wire {
    fn hears(&mut self, packet: &Packet) {
        match packet {
            Packet::LeaderInfo { epoch } => self.heard.epoch = Some(*epoch),
            Packet::NewLeader { .. } => self.new_leader_heard = true,
            Packet::Proposal(p) | Packet::Inform(p) if !self.new_leader_heard => {
                self.heard.before_new_leader = p.zxid();
            }
            _ => {}
        }
    }
}

impl World {
    // Network.

    pub(super) fn net_delay(&mut self) -> u64 {
        if self.options.steady {
            return 1_000;
        }
        self.random.between(50, self.faults.delay_us.max(51))
    }

    pub(super) fn send_vote(&mut self, from: usize, to: Sid, notification: Notification) {
        let sid = self.nodes[from].sid;
        let node = &self.nodes[from];
        let result = self.checker.voted(sid, &notification, &node.disk, node.echoed);
        self.fail(result);
        let Some(target) = self.index(to) else { return };
        self.note(|| {
            let v = &notification.vote;
            format!(
                "{}->{} VOTE {:?} leader {} zxid {} round {} epoch {}",
                from + 1,
                target + 1,
                notification.state,
                v.leader,
                v.zxid,
                v.round,
                v.epoch
            )
        });
        self.nodes[from].last_votes.insert(to, notification.clone());
        if self.cut[from][target]
            || self.is_held(from, target, "VOTE")
            || self.random.chance(self.faults.vote_loss_ppm)
        {
            return;
        }
        let delay = self.net_delay();
        if self.random.chance(self.faults.vote_again_ppm) {
            let later = self.random.between(delay, 3_000_000);
            self.schedule(later, target, 0, Next::Vote(sid, notification.clone()));
        }
        self.schedule(delay, target, 0, Next::Vote(sid, notification));
    }

    /// A connection of the mesh came up again: the last vote is sent once more.
    pub(super) fn repeat_vote(&mut self, from: usize, to: usize) {
        let node = &self.nodes[from];
        if node.peer.is_none() || self.cut[from][to] {
            return;
        }
        if let Some(vote) = node.last_votes.get(&self.nodes[to].sid).cloned() {
            let (sid, delay) = (node.sid, self.net_delay());
            self.schedule(delay, to, 0, Next::Vote(sid, vote));
        }
    }

    pub(super) fn dial(&mut self, from: usize, sid: Sid, to_master: bool) {
        let life = self.nodes[from].life;
        let Some(to) = self.index(sid) else { return };
        let reachable = !self.cut[from][to] && !self.cut[to][from];
        let node = &self.nodes[to];
        let listening = if to_master { node.listening_for_observers } else { node.listening };
        if !reachable || node.peer.is_none() || !listening {
            let delay = if reachable { 1_000 } else { 500_000 };
            self.schedule(delay, from, life, Next::Event(Event::ConnectFailed(sid)));
            return;
        }
        self.next_link += 1;
        let link = Link(self.next_link);
        let wire = Wire {
            ends: [from, to],
            open: [true, true],
            queues: [VecDeque::new(), VecDeque::new()],
            last_arrival: [0, 0],
            stalled: [false, false],
            to_master,
            heard: Heard::default(),
            new_leader_heard: false,
        };
        self.wires.insert(link, wire);
        let other = self.nodes[to].life;
        self.schedule(1, to, other, Next::Event(Event::LinkUp(link)));
        self.schedule(1, from, life, Next::Event(Event::Connected { sid, link }));
    }

    pub(super) fn send(&mut self, from: usize, link: Link, item: Item) {
        let delay = self.net_delay();
        let now = self.now;
        let Some(wire) = self.wires.get_mut(&link) else { return };
        let side = usize::from(wire.ends[0] == from);
        let to = wire.ends[side];
        if !wire.open[1 - side] {
            return;
        }
        // At the end of a wire's life the other end is what counts.
        let at = (now + delay).max(wire.last_arrival[side]);
        wire.last_arrival[side] = at;
        let line = self.options.trace.then(|| match &item {
            Item::Packet(Packet::Ping { .. }) => String::new(),
            Item::Packet(packet) => format!("{}->{} {}", from + 1, to + 1, describe(packet)),
            Item::Snapshot(state) => format!("{}->{} snapshot {}", from + 1, to + 1, state.zxid),
            Item::End => format!("{}->{} end", from + 1, to + 1),
        });
        wire.queues[side].push_back(item);
        if let Some(line) = line.filter(|l| !l.is_empty()) {
            self.note(|| line);
        }
        self.schedule(at - now, to, 0, Next::Arrive(link));
    }

    pub(super) fn arrive(&mut self, to: usize, link: Link) {
        let Some(wire) = self.wires.get(&link) else { return };
        let side = usize::from(wire.ends[1] == to);
        let from = wire.ends[1 - side];
        if !wire.open[side] {
            return;
        }
        let Some(name) = wire.queues[side].front().map(Item::name) else { return };
        if self.cut[from][to] || self.is_held(from, to, name) {
            if let Some(wire) = self.wires.get_mut(&link)
                && !std::mem::replace(&mut wire.stalled[side], true)
            {
                self.schedule(20_000, to, 0, Next::Retry(link));
            }
            return;
        }
        let together = self.options.packets_together;
        let Some(wire) = self.wires.get_mut(&link) else { return };
        match wire.queues[side].pop_front() {
            Some(Item::Packet(packet)) => {
                wire.hears(&packet);
                let mut packets = vec![packet];
                // What is on its way may come with it; its own arrival then finds what is left.
                while together
                    && let Some(Item::Packet(_)) = wire.queues[side].front()
                    && let Some(Item::Packet(packet)) = wire.queues[side].pop_front()
                {
                    wire.hears(&packet);
                    packets.push(packet);
                }
                self.drive(to, Event::Packets(link, packets));
            }
            Some(Item::Snapshot(state)) => {
                self.nodes[to].received = Some((link, state));
                self.drive(to, Event::SnapshotReceived(link));
            }
            Some(Item::End) => {
                wire.open[side] = false;
                self.forget_closed(link);
                self.drive(to, Event::LinkDown(link));
            }
            None => {}
        }
    }

    /// Once nothing is in the way, everything that waits arrives.
    pub(super) fn retry(&mut self, to: usize, link: Link) {
        let Some(wire) = self.wires.get(&link) else { return };
        let side = usize::from(wire.ends[1] == to);
        let from = wire.ends[1 - side];
        let name = wire.queues[side].front().map_or("", Item::name);
        if self.cut[from][to] || self.is_held(from, to, name) {
            self.schedule(20_000, to, 0, Next::Retry(link));
            return;
        }
        let count = wire.queues[side].len() as u64;
        if let Some(wire) = self.wires.get_mut(&link) {
            wire.stalled[side] = false;
        }
        for delay in 0..count {
            self.schedule(delay, to, 0, Next::Arrive(link));
        }
    }

    /// One end closes. What it sent before still arrives if `flush`.
    pub(super) fn close_end(&mut self, index: usize, link: Link, flush: bool) {
        let Some(wire) = self.wires.get_mut(&link) else { return };
        let side = usize::from(wire.ends[1] == index);
        if !wire.open[side] {
            return;
        }
        let other = 1 - side;
        if wire.open[other] {
            if !flush {
                // A dying machine: part of what it sent may be lost; in a script, what is held.
                let queue = &mut wire.queues[other];
                let to = wire.ends[other];
                let keep = if self.options.steady {
                    let held = |item: &Item| {
                        let name = item.name();
                        self.held.iter().any(|(a, b, n)| (*a, *b) == (index, to) && n == name)
                    };
                    queue.iter().position(held).unwrap_or(queue.len())
                } else {
                    self.random.between(0, queue.len() as u64) as usize
                };
                queue.truncate(keep);
            }
            self.send(index, link, Item::End);
        }
        if let Some(wire) = self.wires.get_mut(&link) {
            wire.open[side] = false;
            wire.queues[side].clear();
        }
        self.forget_closed(link);
    }

    /// Resets a link at both ends.
    pub(super) fn reset(&mut self, link: Link) {
        let Some(wire) = self.wires.remove(&link) else { return };
        for (end, open) in wire.ends.into_iter().zip(wire.open) {
            if open {
                let delay = self.net_delay();
                let life = self.nodes[end].life;
                self.schedule(delay, end, life, Next::Event(Event::LinkDown(link)));
            }
        }
    }

    fn forget_closed(&mut self, link: Link) {
        if self.wires.get(&link).is_some_and(|w| w.open == [false, false]) {
            self.wires.remove(&link);
        }
    }

    pub(super) fn wires_of(&self, index: usize) -> Vec<Link> {
        self.wires.iter().filter(|(_, w)| w.ends.contains(&index)).map(|(l, _)| *l).collect()
    }

    pub(super) fn links(&self) -> Vec<Link> {
        self.wires.keys().copied().collect()
    }

    fn is_held(&self, from: usize, to: usize, name: &str) -> bool {
        self.held.iter().any(|(a, b, n)| *a == from && *b == to && (n == name || n == "*"))
    }
}

/// One packet in a trace.
fn describe(packet: &Packet) -> String {
    let name = packet.name();
    match packet {
        Packet::LearnerInfo { accepted, .. } => format!("{name} accepted {accepted}"),
        Packet::LeaderInfo { epoch } | Packet::NewLeader { epoch, .. } => format!("{name} {epoch}"),
        Packet::AckEpoch { last, current } => match current {
            Some(epoch) => format!("{name} {last} current {epoch}"),
            None => format!("{name} {last}"),
        },
        Packet::Diff(z)
        | Packet::Trunc(z)
        | Packet::Snap(z)
        | Packet::Ack(z)
        | Packet::Commit(z) => {
            format!("{name} {z}")
        }
        Packet::Proposal(p) | Packet::Inform(p) => format!("{name} {}", p.zxid()),
        _ => name.into(),
    }
}
