//! A learner that serves: what its leader sends from UPTODATE on, and what is acked
//! (`Follower.processPacket`, `Observer.processPacket`).

use std::sync::Arc;

use super::super::core::{Core, Leave};
use super::super::history::follows;
use super::super::leader::reconfigured;
use super::super::{Action, Mutation, Packet};
use super::Learner;
use crate::base::{Proposal, Sid, Zxid};

impl Learner {
    pub(super) fn serve(
        &mut self,
        packet: Packet,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        match packet {
            Packet::Proposal(proposal) if !self.observer => {
                if !follows(core.history.last(), proposal.zxid()) {
                    return Err(Leave("a proposal does not follow the one before it"));
                }
                let zxid = proposal.zxid();
                self.log(proposal, core, out)?;
                if core.options.mutations.has(Mutation::AckBeforeFsync) {
                    self.acked = zxid;
                    self.send(Packet::Ack(zxid), out);
                }
                Ok(())
            }
            Packet::Commit(zxid) if !self.observer => {
                self.commit(zxid, core, out)?;
                self.relay(None, core, out);
                Ok(())
            }
            Packet::CommitAndActivate { zxid, designated } if !self.observer => {
                let proposal = core.history.after(core.history.applied()).next().cloned();
                self.commit(zxid, core, out)?;
                self.relay(Some(designated), core, out);
                self.reconfigure(proposal.as_deref(), designated, core, out)
            }
            Packet::Inform(proposal) if self.observer => self.inform(proposal, core, out),
            Packet::InformAndActivate { designated, proposal } if self.observer => {
                self.inform(proposal.clone(), core, out)?;
                self.reconfigure(Some(&proposal), designated, core, out)
            }
            Packet::Ping { zxid, .. } => {
                let touched = std::mem::take(&mut self.touched).into_iter().collect();
                self.send(Packet::Ping { zxid, touched: Some(touched) }, out);
                Ok(())
            }
            Packet::Revalidated { session, valid } => {
                match self.observers.as_mut().and_then(|o| o.asked_about(session)) {
                    Some(link) => {
                        let answer = Packet::Revalidated { session, valid };
                        out.push(Action::Send(link, answer));
                    }
                    None => out.push(Action::Revalidated(session, valid)),
                }
                Ok(())
            }
            Packet::Sync => {
                match self.observers.as_mut().and_then(|o| o.synced()) {
                    Some(link) => out.push(Action::Send(link, Packet::Sync)),
                    None => out.push(Action::SyncAnswered),
                }
                Ok(())
            }
            // Passed over with a warning in Java: packets of the other role and late UPTODATEs.
            Packet::Proposal(_)
            | Packet::Commit(_)
            | Packet::Inform(_)
            | Packet::CommitAndActivate { .. }
            | Packet::InformAndActivate { .. }
            | Packet::UpToDate => Ok(()),
            _ => Err(Leave("a packet a leader must not send now")),
        }
    }

    fn relay(&mut self, designated: Option<Sid>, core: &Core, out: &mut Vec<Action>) {
        if let Some(observers) = &mut self.observers {
            observers.relay(designated, core, out);
        }
    }

    fn commit(&mut self, zxid: Zxid, core: &mut Core, out: &mut Vec<Action>) -> Result<(), Leave> {
        let next = core.history.after(core.history.applied()).next().map(|p| p.zxid());
        if next != Some(zxid) {
            // Java exits with 12 (UNMATCHED_TXN_COMMIT); a new sync repairs it as well.
            return Err(Leave("COMMIT of a zxid that is not the next one"));
        }
        core.history.apply_to(zxid, out);
        Ok(())
    }

    fn inform(
        &mut self,
        proposal: Arc<Proposal>,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        let zxid = proposal.zxid();
        if !follows(core.history.last(), zxid) {
            return Err(Leave("INFORM does not follow the one before it"));
        }
        self.log(proposal, core, out)?;
        core.history.apply_to(zxid, out);
        Ok(())
    }

    pub(super) fn reconfigure(
        &mut self,
        proposal: Option<&Proposal>,
        designated: Sid,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        if let Some(membership) = proposal.and_then(reconfigured) {
            let changed = self.activate(membership, core, out)?;
            if changed && designated != self.leader {
                return Err(Leave("another server leads in the new membership"));
            }
        }
        Ok(())
    }

    /// Acks, one by one, what is on disk and was not committed before NEWLEADER.
    pub(super) fn ack_durable(&mut self, core: &Core, out: &mut Vec<Action>) {
        if self.observer {
            return;
        }
        let durable = core.history.durable();
        let acks: Vec<Zxid> = core
            .history
            .after(self.acked)
            .map(|p| p.zxid())
            .take_while(|zxid| *zxid <= durable)
            .collect();
        for zxid in acks {
            self.acked = zxid;
            self.send(Packet::Ack(zxid), out);
        }
    }
}
