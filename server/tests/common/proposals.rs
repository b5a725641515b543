//! Transactions as a leader writes them into its log.

use jute::data::Acl;
use jute::proto::op;
use jute::txn::{CreateTxn, Txn, TxnDigest, TxnHeader};
use rookeeper::base::Proposal;

/// Creates `/n<zxid>`, without data and open to the world.
pub fn create(zxid: i64, digest: Option<TxnDigest>) -> Proposal {
    let txn = CreateTxn {
        path: Some(format!("/n{zxid}")),
        data: None,
        acl: Some(vec![Acl::world(31)]),
        ephemeral: false,
        parent_cversion: -1,
    };
    let header = TxnHeader { client_id: 7, cxid: 1, zxid, time: 1, kind: op::CREATE };
    Proposal::encode(header, Txn::Create(txn), digest)
}
