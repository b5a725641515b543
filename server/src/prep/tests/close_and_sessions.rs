//! createSession and closeSession.

use super::*;

fn closed_paths(proposal: &Proposal) -> Vec<String> {
    match &proposal.txn {
        Txn::CloseSession(Some(txn)) => {
            txn.paths_to_delete.iter().flatten().flatten().cloned().collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn close_lists_applied_and_pending_ephemerals() {
    let mut w = World::new();
    w.ok(node("/p")).ok(flagged("/p/applied", 1)).ok(flagged("/gone", 1)).ok(flagged("/moved", 1));
    w.propose(flagged("/p/pending", 1));
    w.propose(delete("/gone", -1));
    w.propose(delete("/moved", -1));
    w.session = T;
    w.propose(flagged("/moved", 1));
    w.propose(flagged("/theirs", 1));
    // Touched but still ours.
    w.propose(set_data("/p/applied", "new", -1));
    w.session = S;
    let Prepared::Proposal(close) = w.propose(WriteRequest::CloseSession) else {
        panic!("a proposal")
    };
    assert_eq!(closed_paths(&close), ["/p/applied", "/p/pending"]);
    assert!(w.sessions.is_closing(SessionId(S)));
    // What follows sees them gone, and the parent empty.
    w.session = T;
    w.propose(delete("/p", -1));
    assert!(w.pending.back().is_some_and(|p| p.header.kind == op::DELETE));
    w.settle();
    assert!(w.tree.find("/p").is_none());
    assert!(w.tree.find("/moved").is_some());
    assert_eq!(w.tree.ephemerals_of(SessionId(S)).count(), 0);
}

#[test]
fn a_closing_session_can_do_nothing_more() {
    let mut w = World::new();
    w.ok(WriteRequest::CloseSession);
    assert_eq!(w.run(node("/a")), -112);
    assert_eq!(w.run(flagged("/a", 1)), -112);
    // Closing again is not refused: expiry and the client may race.
    assert_eq!(w.run(WriteRequest::CloseSession), 0);
}

#[test]
fn close_does_not_look_at_the_owner() {
    let mut w = World::new();
    w.ok(node("/a"));
    w.owner = Owner(3);
    assert_eq!(w.run(node("/b")), -118);
    assert_eq!(w.run(WriteRequest::CloseSession), 0);
}

#[test]
fn close_without_a_list() {
    let options = Options { close_session_txn: false, ..Options::default() };
    let mut w = World::with(options, TreeOptions::default());
    w.ok(flagged("/e", 1));
    w.propose(flagged("/pending", 1));
    assert_eq!(w.txn(WriteRequest::CloseSession), Txn::CloseSession(None));
    assert!(w.tree.find("/e").is_none() && w.tree.find("/pending").is_none());
}

#[test]
fn containers_and_ttl_znodes_outlive_sessions() {
    let mut w = World::new();
    w.ok(container("/c")).ok(ttl("/t", 5)).ok(WriteRequest::CloseSession);
    assert!(w.tree.find("/c").is_some() && w.tree.find("/t").is_some());
}

#[test]
fn create_session_tracks_and_owns() {
    let mut w = World::new();
    w.session = 42;
    w.owner = Owner(9);
    w.source = Source::Learner;
    let create = WriteRequest::CreateSession { timeout_ms: 4000 };
    assert_eq!(w.run(create), 0);
    assert_eq!(w.sessions.timeout_ms(SessionId(42)), Some(4000));
    assert_eq!(w.tree.sessions().timeout_ms(SessionId(42)), Some(4000));
    assert_eq!(w.run(node("/a")), 0);
    w.owner = Owner::LOCAL;
    assert_eq!(w.run(node("/b")), -118);
}
