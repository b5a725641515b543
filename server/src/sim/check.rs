//! The judges. They see transactions as nodes apply them, packets as nodes send them, and what is
//! durable at that moment; never the core's own state.

use std::collections::{BTreeMap, HashMap};

use super::disk::{Disk, State};
use crate::base::{Epoch, SessionId, Sid, Zxid};
use crate::zab::{Notification, Packet, PeerState};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

/// What a learner heard on its link to the leader, or to an observer master.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// The epoch of LEADERINFO.
    pub epoch: Option<Epoch>,
    /// The last transaction ahead of NEWLEADER.
    pub before_new_leader: Zxid,
}

impl Default for Heard {
    fn default() -> Self {
        Heard { epoch: None, before_new_leader: Zxid(i64::MIN) }
    }
}

/// What must never happen, in any run.
#[derive(Debug, Default)]
pub struct Checker {
    /// The one history: digest behind each transaction that a serving node applied.
    history: BTreeMap<Zxid, u64>,
    last: Option<State>,
    /// The state before each state that any node was ever in.
    parents: HashMap<(Zxid, u64), State>,
    /// Who sent NEWLEADER of an epoch.
    leaders: BTreeMap<Epoch, Sid>,
    /// Greatest zxid acknowledged to a client.
    acked: Zxid,
    /// Writes acknowledged.
    pub acked_count: u64,
    /// Last cxid per session, in history order.
    sessions: HashMap<SessionId, i32>,
    /// Syncs that came to a leader: what it had proposed by then.
    syncs: HashMap<i32, Zxid>,
}

impl Checker {
    /// The ensemble starts with this state everywhere.
    pub fn begin(&mut self, state: State) {
        self.last = Some(state);
        self.history.insert(state.zxid, state.hash);
    }

    /// The end of the history so far.
    pub fn last(&self) -> State {
        self.last.unwrap_or(State::EMPTY)
    }

    /// Greatest zxid acknowledged to a client.
    pub fn acked(&self) -> Zxid {
        self.acked
    }

    /// A serving node went from `before` to `after`: one history, without gaps (PrefixConsistency,
    /// TotalOrder, Integrity).
    pub fn applied(
        &mut self,
        sid: Sid,
        before: Zxid,
        after: State,
        session: SessionId,
        cxid: i32,
    ) -> Result<(), Violation> {
        let last = self.last();
        if after.zxid <= last.zxid {
            return match self.history.get(&after.zxid) {
                Some(hash) if *hash == after.hash => Ok(()),
                Some(_) => {
                    Err(Violation(format!("node {sid} applied another history at {}", after.zxid)))
                }
                None => Err(Violation(format!(
                    "node {sid} applied {}, which the history up to {} does not have",
                    after.zxid, last.zxid
                ))),
            };
        }
        if before != last.zxid {
            return Err(Violation(format!(
                "node {sid} applied {} behind {before}, but the history went on to {}: \
                 committed transactions are lost",
                after.zxid, last.zxid
            )));
        }
        let previous = self.sessions.insert(session, cxid);
        if previous.is_some_and(|previous| previous >= cxid) {
            return Err(Violation(format!(
                "session {session}: request {cxid} came behind {}",
                previous.unwrap_or_default()
            )));
        }
        self.history.insert(after.zxid, after.hash);
        self.last = Some(after);
        Ok(())
    }

    /// Some node, serving or not, went from one state to the next: where states come from.
    pub fn seen(&mut self, before: State, after: State) {
        self.parents.insert((after.zxid, after.hash), before);
    }

    /// A restored or received state that a serving node starts from. It may be ahead of what any
    /// serving node applied: its leader died before it served, and a snapshot carried the state on.
    pub fn started_from(&mut self, sid: Sid, state: State) -> Result<(), Violation> {
        let last = self.last();
        if state.zxid <= last.zxid {
            return match self.history.get(&state.zxid) {
                Some(hash) if *hash == state.hash => Ok(()),
                _ if state == State::EMPTY => Ok(()),
                _ => Err(Violation(format!(
                    "node {sid} serves from a state at {} that never was",
                    state.zxid
                ))),
            };
        }
        let (mut steps, mut at) = (Vec::new(), state);
        while at.zxid > last.zxid {
            steps.push(at);
            match self.parents.get(&(at.zxid, at.hash)) {
                Some(before) => at = *before,
                None => {
                    let text = format!("node {sid} serves from a state nobody made: {}", at.zxid);
                    return Err(Violation(text));
                }
            }
        }
        if at != last {
            return Err(Violation(format!(
                "node {sid} serves from {} on top of {}, but the history went on to {}: committed \
                 transactions are lost",
                state.zxid, at.zxid, last.zxid
            )));
        }
        self.history.extend(steps.into_iter().map(|s| (s.zxid, s.hash)));
        self.last = Some(state);
        Ok(())
    }

    /// A client got its answer.
    pub fn acknowledged(&mut self, zxid: Zxid) {
        self.acked = self.acked.max(zxid);
        self.acked_count += 1;
    }

    /// A leader that had proposed everything up to `proposed` is asked to sync.
    pub fn sync_asked(&mut self, number: i32, proposed: Zxid) {
        self.syncs.insert(number, proposed);
    }

    /// A client is told that the node it asked, which is at `tree`, has everything that was proposed
    /// when its sync came to the leader.
    pub fn synced(&mut self, sid: Sid, number: i32, tree: Zxid) -> Result<(), Violation> {
        match self.syncs.remove(&number) {
            Some(proposed) if tree >= proposed => Ok(()),
            Some(proposed) => Err(Violation(format!(
                "SYNC: node {sid} answers at {tree} a sync that must wait for {proposed}"
            ))),
            None => Err(Violation(format!("SYNC: node {sid} answers, but no leader was asked"))),
        }
    }

    /// A packet leaves an observer or its observer master on the link between them.
    pub fn relayed(
        &mut self,
        sid: Sid,
        packet: &Packet,
        disk: &Disk,
        heard: Heard,
    ) -> Result<(), Violation> {
        match packet {
            Packet::NewLeader { epoch, .. } | Packet::LeaderInfo { epoch }
                if !self.leaders.contains_key(epoch) =>
            {
                Err(Violation(format!(
                    "ONE-LEADER: node {sid} tells of epoch {epoch} without leader"
                )))
            }
            Packet::NewLeader { .. } => Ok(()),
            Packet::Inform(proposal) if !self.history.contains_key(&proposal.zxid()) => {
                let zxid = proposal.zxid();
                Err(Violation(format!("COMMITTED-ONLY: node {sid} tells an observer of {zxid}")))
            }
            Packet::Commit(zxid) if !self.history.contains_key(zxid) => {
                Err(Violation(format!("COMMITTED-ONLY: node {sid} sends an observer {zxid}")))
            }
            packet => self.sent(sid, packet, disk, heard),
        }
    }

    /// A packet leaves a node. `heard` is what came on this link.
    #[allow(clippy::collapsible_match)] // what is checked, apart from when
    pub fn sent(
        &mut self,
        sid: Sid,
        packet: &Packet,
        disk: &Disk,
        heard: Heard,
    ) -> Result<(), Violation> {
        let broken =
            |name: &str, what: String| Err(Violation(format!("{name}: node {sid} {what}")));
        match packet {
            Packet::NewLeader { epoch, .. } => {
                let first = *self.leaders.entry(*epoch).or_insert(sid);
                if first != sid {
                    return broken(
                        "ONE-LEADER",
                        format!("leads epoch {epoch}, as did node {first}"),
                    );
                }
            }
            Packet::Ack(zxid) if zxid.counter() != 0 => {
                if !disk.holds(*zxid) && disk.durable() < *zxid {
                    return broken("ACK-AFTER-FSYNC", format!("acks {zxid}, which is not on disk"));
                }
            }
            Packet::Ack(zxid) => {
                if disk.durable() < heard.before_new_leader {
                    return broken(
                        "EPOCH-AFTER-HISTORY",
                        format!("acks epoch {} without all of its history", zxid.epoch()),
                    );
                }
                if disk.current != zxid.epoch() {
                    let has = disk.current;
                    return broken(
                        "EPOCH-AFTER-HISTORY",
                        format!("acks epoch {} with currentEpoch {has}", zxid.epoch()),
                    );
                }
            }
            Packet::AckEpoch { .. } => {
                if heard.epoch.is_some_and(|epoch| disk.accepted < epoch) {
                    let has = disk.accepted;
                    return broken("EPOCH-BEFORE-ACK", format!("accepts with acceptedEpoch {has}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A vote leaves a node. `echoed` is the greatest zxid with which others proposed this node
    /// since it started: in its round it takes up even a stale vote for itself, as Java does, so
    /// that the round can end; discovery then refuses it (`StateSummary.isMoreRecentThan`).
    pub fn voted(
        &self,
        sid: Sid,
        notification: &Notification,
        disk: &Disk,
        echoed: Option<Zxid>,
    ) -> Result<(), Violation> {
        let vote = notification.vote;
        if notification.state == PeerState::Looking
            && vote.leader == sid
            && vote.zxid > disk.durable()
            && echoed.is_none_or(|echoed| vote.zxid > echoed)
        {
            let durable = disk.durable();
            return Err(Violation(format!(
                "VOTE-FROM-LOG: node {sid} votes with {}, its disk ends at {durable}",
                vote.zxid
            )));
        }
        Ok(())
    }
}
