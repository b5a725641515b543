//! Small builders for the tests of this module.

use std::sync::Arc;

use jute::txn::{ErrorTxn, Txn, TxnHeader};

use super::{Member, Membership, PeerAddress};
use crate::base::{Proposal, Sid};

/// A transaction without content.
pub(crate) fn proposal(zxid: i64) -> Arc<Proposal> {
    let header = TxnHeader { client_id: 1, cxid: zxid as i32, zxid, time: 0, kind: -1 };
    Arc::new(Proposal::encode(header, Txn::Error(ErrorTxn { err: -101 }), None))
}

/// Participants and observers on one host.
pub(crate) fn members(voters: &[i64], observers: &[i64]) -> Membership {
    let member = |sid: i64, participant| {
        let address = PeerAddress {
            host: "127.0.0.1".into(),
            quorum_port: 2000 + sid as u16,
            election_port: 3000 + sid as u16,
        };
        (Sid(sid), Member { addresses: vec![address], participant, client: None })
    };
    let all = voters
        .iter()
        .map(|sid| member(*sid, true))
        .chain(observers.iter().map(|sid| member(*sid, false)))
        .collect();
    Membership::majority(all, 0)
}
