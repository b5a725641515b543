//! `PREP-SEES-ALL`: proposals do not depend on how far the tree lags behind.

use proptest::prelude::*;

use super::*;

const PATHS: [&str; 8] = ["/", "/a", "/a/b", "/a/b/c", "/b", "/b/c", "/zookeeper/x", "/zookeeper"];
const USERS: [&str; 2] = ["u:x", "v:y"];

#[derive(Debug, Clone)]
struct Step {
    write: WriteRequest,
    session: i64,
    user: usize,
    /// How many pending proposals are applied afterwards in the lagging world, and whether the
    /// overlay is told.
    apply: usize,
    tell: bool,
}

fn acl() -> impl Strategy<Value = Option<Vec<Acl>>> {
    prop_oneof![
        6 => Just(open()),
        2 => Just(only("u:x", PERM_ALL)),
        1 => Just(Some(vec![Acl::new(PERM_ALL, "auth", "")])),
        1 => Just(None),
    ]
}

fn single() -> impl Strategy<Value = WriteRequest> {
    let path = || prop::sample::select(&PATHS[..]);
    let version = || prop_oneof![4 => Just(-1), 1 => 0i32..3];
    prop_oneof![
        6 => (path(), 0i32..4, acl(), prop::sample::select(&[1, 15, 19, 21][..])).prop_map(
            |(path, flags, acl, kind)| {
                let (flags, ttl) = if kind == 21 { (5, 9) } else { (flags, -1) };
                WriteRequest::Create(Create { acl, ..create(kind, path, flags, ttl) })
            }
        ),
        3 => (path(), version()).prop_map(|(p, v)| delete(p, v)),
        3 => (path(), "[a-z]{0,9}", version()).prop_map(|(p, d, v)| set_data(p, &d, v)),
        1 => (path(), version()).prop_map(|(p, v)| check(p, v)),
    ]
}

fn write() -> impl Strategy<Value = WriteRequest> {
    prop_oneof![
        8 => single().prop_filter("check is no request", |w| !matches!(w, WriteRequest::Check { .. })),
        3 => proptest::collection::vec(single(), 0..5).prop_map(WriteRequest::Multi),
        1 => (prop::sample::select(&PATHS[..]), acl()).prop_map(|(p, a)| set_acl(p, a, -1)),
        1 => prop::sample::select(&PATHS[..]).prop_map(delete_container),
        1 => Just(WriteRequest::CloseSession),
        1 => Just(WriteRequest::CreateSession { timeout_ms: 10 }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    (write(), 1i64..4, 0usize..2, 0usize..4, any::<bool>())
        .prop_map(|(write, session, user, apply, tell)| Step { write, session, user, apply, tell })
}

proptest! {
    #[test]
    fn a_lagging_tree_changes_nothing(
        steps in proptest::collection::vec(step(), 0..60),
        digest_enabled: bool,
        hash_seed: u64,
    ) {
        let options = TreeOptions { extended_types: true, digest_enabled, ..Default::default() };
        let mut prompt = World::with(Options::default(), options.clone());
        let mut lagging = World::with(Options { hash_seed, ..Options::default() }, options);
        for session in 1..4 {
            for world in [&mut prompt, &mut lagging] {
                world.sessions.track(Mono(0), SessionId(session), 100);
            }
        }
        for Step { write, session, user, apply, tell } in steps {
            for world in [&mut prompt, &mut lagging] {
                world.session = session;
                world.as_user(USERS[user]);
            }
            let expected = prompt.propose_quietly(write.clone(), digest_enabled);
            let proposed = lagging.propose_quietly(write, digest_enabled);
            prop_assert_eq!(&proposed, &expected);
            prompt.apply_quietly(usize::MAX, true);
            lagging.apply_quietly(apply, tell);
        }
        lagging.apply_quietly(usize::MAX, true);
        prop_assert_eq!(lagging.tree.check(), Ok(()));
        prop_assert_eq!(lagging.tree.digest(), prompt.tree.digest());
        prop_assert_eq!(lagging.prep.outstanding(), 0);
    }
}

impl World {
    fn propose_quietly(&mut self, write: WriteRequest, digest_enabled: bool) -> Proposal {
        let context = Context {
            session: SessionId(self.session),
            cxid: 1,
            kind: write.kind(),
            identities: self.identities.clone().into(),
            owner: self.owner,
            source: self.source,
            upgrade_error: None,
        };
        let zxid = Zxid(self.zxid + 1);
        let now = Now { mono: Mono(1), wall: Wall(1000 + zxid.0) };
        let request = Request { context, write };
        let prepared = self.prep.prepare(&self.tree, &mut self.sessions, None, request, zxid, now);
        let Prepared::Proposal(proposal) = prepared else { panic!("nothing is undecodable") };
        assert!(digest_enabled || proposal.digest.is_none());
        self.zxid = zxid.0;
        self.prep.overlay.check();
        self.pending.push_back(proposal.clone());
        proposal
    }

    /// Applies at most `count` pending proposals.
    fn apply_quietly(&mut self, count: usize, tell: bool) {
        for _ in 0..count {
            let Some(applied) = self.apply_one() else { break };
            // What was decided fits: the code of an error transaction is the only one there is.
            assert!(applied.zxid.0 <= self.zxid);
        }
        if tell {
            self.prep.applied(self.tree.last_zxid());
            self.prep.overlay.check();
        }
    }
}

#[test]
fn reset_forgets_what_never_committed() {
    let mut w = World::new();
    w.propose(node("/a"));
    w.prep.reset();
    w.pending.clear();
    assert_eq!(w.prep.outstanding(), 0);
    assert_eq!(w.run(set_data("/a", "x", -1)), -101);
    assert_eq!(w.run(node("/a")), 0);
}

#[test]
fn applied_keeps_newer_changes() {
    let mut w = World::new();
    w.propose(node("/a"));
    w.propose(set_data("/a", "1", 0));
    w.apply_one();
    w.prep.applied(Zxid(1));
    w.prep.overlay.check();
    // The tree says version 0; the overlay knows better.
    assert_eq!(w.run(set_data("/a", "2", 1)), 0);
}
