//! What a [`Peer`] does when, to the millisecond: intervals, limits, what is not waited for.
//! Protocol stories are in `testdata`.

use std::sync::Arc;

use bytes::Bytes;
use jute::proto::op;
use jute::txn::{SetDataTxn, Txn, TxnHeader};

use super::testing::{members, proposal};
use super::{
    Action, Event, ForwardedRequest, Link, Membership, NOTIFICATION_VERSION, Notification, Options,
    Packet, Peer, PeerState, Restored, Vote,
};
use super::{asked, testing};
use crate::base::{Epoch, Mono, Proposal, SessionId, Sid, Zxid};

/// A packet that came alone.
fn came(link: Link, packet: Packet) -> Event {
    Event::Packets(link, vec![packet])
}

/// One server of three, and its clock.
struct Bench {
    peer: Peer,
    now: u64,
    out: Vec<Action>,
}

impl Bench {
    fn new(sid: i64, change: impl FnOnce(&mut Options)) -> Self {
        Self::of(sid, members(&[1, 2, 3], &[]), change)
    }

    fn of(sid: i64, membership: Membership, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(Sid(sid));
        change(&mut options);
        let restored = Restored {
            last: Zxid::ZERO,
            untrusted: false,
            recent: vec![],
            accepted: Epoch(0),
            current: Epoch(0),
            committed: Arc::new(membership),
            last_seen: None,
        };
        let mut out = Vec::new();
        let peer = Peer::new(Mono(0), options, restored, &mut out).unwrap();
        Bench { peer, now: 0, out }
    }

    fn feed(&mut self, event: Event) -> Vec<Action> {
        self.out.clear();
        self.peer.handle(Mono(self.now), event, &mut self.out);
        // Disks are fast here.
        let mut saved = 0;
        loop {
            let is_save = |a: &&Action| matches!(a, Action::SaveEpochs { .. });
            if self.out.iter().filter(is_save).count() == saved {
                break;
            }
            saved += 1;
            self.peer.handle(Mono(self.now), Event::EpochsSaved, &mut self.out);
        }
        self.out.clone()
    }

    /// Lets time pass up to the next timeout, at most to `until`.
    fn next(&mut self, until: u64) -> Vec<Action> {
        self.now = self.peer.next_timeout().map_or(until, |at| at.0.min(until));
        self.feed(Event::Timeout)
    }

    fn hear(&mut self, from: i64, state: PeerState, leader: i64, round: i64) -> Vec<Action> {
        let epoch = self.peer.epochs().1;
        let vote = Vote { leader: Sid(leader), zxid: Zxid::ZERO, round, epoch };
        let notification =
            Notification { state, vote, version: NOTIFICATION_VERSION, config: None };
        self.feed(Event::Notification { from: Sid(from), notification })
    }

    /// Makes server 2 of three follow 3 on link 1.
    fn follow(&mut self) {
        self.hear(3, PeerState::Leading, 3, 1);
        self.hear(1, PeerState::Following, 3, 1);
        assert_eq!(self.peer.leader(), Some(Sid(3)));
        self.feed(Event::Connected { sid: Sid(3), link: Link(1) });
        self.feed(came(Link(1), Packet::LeaderInfo { epoch: Epoch(1) }));
        self.feed(came(Link(1), Packet::Diff(Zxid::ZERO)));
        let new_leader = Packet::NewLeader { epoch: Epoch(1), config: None };
        self.feed(came(Link(1), new_leader));
        self.feed(came(Link(1), Packet::UpToDate));
        assert!(self.peer.is_serving());
    }
}

fn notifies(actions: &[Action]) -> bool {
    actions.iter().any(|a| matches!(a, Action::Notify { .. }))
}

fn connects(actions: &[Action]) -> bool {
    actions.iter().any(|a| matches!(a, Action::Connect(_)))
}

/// `fastleader.minNotificationInterval`, doubled up to `fastleader.maxNotificationInterval`.
#[test]
fn votes_are_repeated_ever_more_rarely() {
    for (min, max, expected) in [
        (
            200,
            60_000,
            vec![200, 600, 1400, 3000, 6200, 12_600, 25_400, 51_000, 102_200, 162_200, 222_200],
        ),
        (1000, 2000, vec![1000, 3000, 5000, 7000]),
    ] {
        let mut bench = Bench::new(1, |o| {
            o.notification_min_ms = min;
            o.notification_max_ms = max;
        });
        let mut times = Vec::new();
        while times.len() < expected.len() {
            assert!(notifies(&bench.next(u64::MAX)));
            times.push(bench.now);
        }
        assert_eq!(times, expected);
    }
}

/// `initLimit` or `connectToLearnerMasterLimit` bound the whole, `leaderConnectDelayDuringRetryMs`
/// each pause.
#[test]
fn attempts_to_reach_the_leader_are_spaced_and_bounded() {
    for (pause_max, limit_ticks, attempts) in [
        // 10 + 20 + 40 + 80 + 7 × 100
        (100, 0, vec![0, 10, 30, 70, 150, 250, 350, 450, 550, 650, 750, 850]),
        (40, 0, vec![0, 10, 30, 70, 110, 150, 190, 230, 270, 310, 350, 390]),
        // Two ticks of 100 ms: over after 200.
        (100, 2, vec![0, 10, 30, 70, 150]),
    ] {
        let mut bench = Bench::new(1, |o| {
            o.tick_ms = 100;
            o.connect_pause_max_ms = pause_max;
            o.connect_limit = limit_ticks;
        });
        bench.hear(3, PeerState::Leading, 3, 1);
        let mut times = Vec::new();
        let mut actions = bench.hear(2, PeerState::Following, 3, 1);
        while bench.peer.state() == PeerState::Following {
            if connects(&actions) {
                times.push(bench.now);
                bench.feed(Event::ConnectFailed(Sid(3)));
            }
            actions = bench.next(u64::MAX);
        }
        assert_eq!(times, attempts);
    }
}

/// A leader hears nothing of a learner, a learner nothing of its leader.
#[test]
fn a_follower_waits_sync_limit_for_its_leader() {
    let mut bench = Bench::new(2, |o| {
        o.tick_ms = 100;
        o.sync_limit = 7;
    });
    bench.follow();
    bench.now = 500;
    bench.feed(came(Link(1), Packet::Ping { zxid: Zxid::ZERO, touched: None }));
    assert_eq!(bench.peer.next_timeout(), Some(Mono(1200)));
    bench.now = 1199;
    bench.feed(Event::Timeout);
    assert!(bench.peer.is_serving());
    bench.next(u64::MAX);
    assert_eq!((bench.now, bench.peer.state()), (1200, PeerState::Looking));
}

/// A leader that was elected and finds nobody to follow it.
#[test]
fn a_leader_waits_init_limit_for_a_quorum() {
    let mut bench = Bench::new(3, |o| {
        o.tick_ms = 100;
        o.init_limit = 9;
    });
    bench.hear(1, PeerState::Looking, 3, 1);
    bench.hear(2, PeerState::Looking, 3, 1);
    assert_eq!((bench.now, bench.peer.state()), (0, PeerState::Leading), "all agree: no wait");
    while bench.peer.state() == PeerState::Leading {
        bench.next(u64::MAX);
    }
    assert_eq!(bench.now, 900);
}

/// `leader.maxTimeToWaitForEpoch`: a voter that supported us looks again, so it does not come.
#[test]
fn a_leader_without_an_epoch_gives_up_when_a_voter_looks_again() {
    for (limit, leads) in [(None, true), (Some(50), false), (Some(200), true)] {
        let mut bench = Bench::new(3, |o| o.wait_for_epoch_max_ms = limit);
        bench.hear(1, PeerState::Looking, 3, 1);
        bench.hear(2, PeerState::Looking, 3, 1);
        assert_eq!(bench.peer.state(), PeerState::Leading);
        bench.now = 100;
        bench.hear(1, PeerState::Looking, 1, 2);
        assert_eq!(bench.peer.state() == PeerState::Leading, leads, "{limit:?}");
    }
}

/// A quorum stands for a while before it is believed, unless nobody is left who could know better:
/// nobody waits for a leader that has just closed its connection.
#[test]
fn a_lost_leader_is_not_waited_for() {
    let decided = |bench: &mut Bench| {
        for _ in 0..10 {
            if bench.peer.state() != PeerState::Looking {
                break;
            }
            bench.next(u64::MAX);
        }
        bench.now
    };
    // It closed the connection.
    let mut bench = Bench::new(2, |_| {});
    bench.follow();
    bench.now = 1000;
    bench.feed(Event::LinkDown(Link(1)));
    assert_eq!(bench.peer.state(), PeerState::Looking);
    bench.hear(1, PeerState::Looking, 2, 2);
    assert_eq!((decided(&mut bench), bench.peer.state()), (1000, PeerState::Leading));
    // It did, but it is there and looks as well.
    let mut bench = Bench::new(2, |o| o.finalize_wait_ms = 150);
    bench.follow();
    bench.now = 1000;
    bench.feed(Event::LinkDown(Link(1)));
    bench.hear(3, PeerState::Looking, 3, 1);
    bench.hear(1, PeerState::Looking, 2, 2);
    assert_eq!(decided(&mut bench), 1150, "its new vote may come any moment");
    // It was silent for too long: who knows what the others think.
    let mut bench = Bench::new(2, |o| {
        o.finalize_wait_ms = 150;
        o.notification_min_ms = 10_000;
    });
    bench.follow();
    while bench.peer.is_serving() {
        bench.next(u64::MAX);
    }
    let lost = bench.now;
    bench.hear(1, PeerState::Looking, 2, 2);
    assert_eq!(decided(&mut bench), lost + 150);
}

/// `leader.maxConcurrentDiffSyncs`; snapshots in `testdata/throttled_observers.txt`.
#[test]
fn diffs_for_observers_are_throttled_too() {
    let mut bench = Bench::of(3, members(&[1, 2, 3], &[4, 5]), |o| o.diff_syncs_max = 1);
    bench.hear(1, PeerState::Looking, 3, 1);
    bench.hear(2, PeerState::Looking, 3, 1);
    assert_eq!(bench.peer.state(), PeerState::Leading);
    let come = |bench: &mut Bench, link: u64, sid: i64| {
        bench.feed(Event::LinkUp(Link(link)));
        let info = Packet::LearnerInfo {
            observer: sid > 3,
            accepted: Epoch(0),
            sid: Some(Sid(sid)),
            protocol: jute::quorum::PROTOCOL_VERSION,
            config_version: 0,
        };
        bench.feed(came(Link(link), info));
        let ack = Packet::AckEpoch { last: Zxid::ZERO, current: Some(Epoch(0)) };
        let actions = bench.feed(came(Link(link), ack));
        actions.iter().any(|a| matches!(a, Action::Send(_, Packet::Diff(_))))
    };
    let synced = Packet::Ack(Zxid::new(Epoch(1), 0));
    assert!(come(&mut bench, 1, 1));
    bench.feed(came(Link(1), synced.clone()));
    assert!(bench.peer.is_serving());
    assert!(come(&mut bench, 2, 4));
    assert!(!come(&mut bench, 3, 5), "one too many");
    assert!(come(&mut bench, 4, 2), "a participant never is");
    bench.feed(came(Link(4), synced.clone()));
    bench.feed(came(Link(2), synced));
    assert!(come(&mut bench, 5, 5));
}

/// `observer.election.DelayMs`: observers that lost their leader come back at different times.
#[test]
fn observers_look_again_after_a_drawn_delay() {
    let mut delays = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut bench = Bench::of(4, members(&[1, 2, 3], &[4]), |o| {
            o.observer_delay_ms = 3000;
            o.seed = seed;
        });
        bench.hear(3, PeerState::Leading, 3, 1);
        bench.hear(2, PeerState::Following, 3, 1);
        assert_eq!(bench.peer.state(), PeerState::Observing);
        bench.feed(Event::Connected { sid: Sid(3), link: Link(1) });
        bench.now = 10;
        let actions = bench.feed(Event::LinkDown(Link(1)));
        assert!(!notifies(&actions));
        assert!(notifies(&bench.next(u64::MAX)), "it looks");
        assert!((10..3010).contains(&bench.now));
        delays.insert(bench.now);
    }
    assert!(delays.len() > 10, "{delays:?}");
}

/// `observer.reconnectDelayMs` comes on top, also where the other delay is switched off.
#[test]
fn observers_connect_again_after_a_drawn_delay() {
    let mut delays = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut bench = Bench::of(4, members(&[1, 2, 3], &[4]), |o| {
            o.observer_delay_ms = 0;
            o.observer_reconnect_ms = 5000;
            o.seed = seed;
        });
        bench.hear(3, PeerState::Leading, 3, 1);
        bench.hear(2, PeerState::Following, 3, 1);
        bench.feed(Event::Connected { sid: Sid(3), link: Link(1) });
        let actions = bench.feed(Event::LinkDown(Link(1)));
        assert!(!notifies(&actions));
        assert!(notifies(&bench.next(u64::MAX)), "it looks");
        assert!(bench.now < 5000);
        delays.insert(bench.now);
    }
    assert!(delays.len() > 10, "{delays:?}");
}

/// Releases before 3.4 sent no protocol version, or a lower one, and knew no LEADERINFO.
#[test]
fn learners_must_agree_on_the_epoch_first() {
    for (protocol, greeted) in [(0, false), (0xffff, false), (0x10000, true), (0x10001, true)] {
        let mut bench = Bench::new(3, |_| {});
        bench.hear(1, PeerState::Looking, 3, 1);
        bench.hear(2, PeerState::Looking, 3, 1);
        assert_eq!(bench.peer.state(), PeerState::Leading);
        bench.feed(Event::LinkUp(Link(1)));
        let hello = Packet::LearnerInfo {
            observer: false,
            accepted: Epoch(0),
            sid: (protocol > 0).then_some(Sid(1)),
            protocol,
            config_version: 0,
        };
        let out = bench.feed(came(Link(1), hello));
        let told = |a: &Action| matches!(a, Action::Send(Link(1), Packet::LeaderInfo { .. }));
        let closed = |a: &Action| matches!(a, Action::CloseLink(Link(1), _));
        let (told, closed) = (out.iter().any(told), out.iter().any(closed));
        assert_eq!((told, closed), (greeted, !greeted), "{protocol:x}");
        assert_eq!(bench.peer.state(), PeerState::Leading, "whatever a learner is");
    }
}

fn closed(actions: &[Action], link: Link) -> bool {
    actions.iter().any(|a| matches!(a, Action::CloseLink(closed, _) if *closed == link))
}

fn asks(op: i32, session: i64, body: usize) -> Packet {
    let session = SessionId(session);
    let body = Bytes::from(vec![0; body]);
    Packet::Request(ForwardedRequest { session, cxid: 1, op, body, identities: None })
}

/// An observer that floods its master loses its link; others and the master's leader notice
/// nothing. One that waits for its answers may ask for ever.
#[test]
fn an_observer_may_not_ask_without_end() {
    let leader = Link(1);
    let come = |bench: &mut Bench, link: u64| {
        let link = Link(link);
        bench.feed(Event::LinkUp(link));
        let info = Packet::LearnerInfo {
            observer: true,
            accepted: Epoch(0),
            sid: Some(Sid(link.0 as i64)),
            protocol: jute::quorum::PROTOCOL_VERSION,
            config_version: 0,
        };
        bench.feed(came(link, info));
        let ack = Packet::AckEpoch { last: Zxid::ZERO, current: Some(Epoch(0)) };
        bench.feed(came(link, ack));
        bench.feed(came(link, Packet::Ack(Zxid::new(Epoch(1), 0))));
        link
    };
    let question = |n: usize| Packet::Revalidate { session: SessionId(n as i64), timeout_ms: 1 };
    let count = asked::OBSERVER_MAX.count;
    let large = 1 << 20;
    let floods: [(&dyn Fn(usize) -> Packet, usize); 4] = [
        (&question, count),
        (&|_| asks(op::SYNC, 1, 0), count),
        (&|n| asks(op::SET_DATA, n as i64, 0), count),
        (&|_| asks(op::SET_DATA, 1, large), asked::OBSERVER_MAX.bytes / large - 1),
    ];
    for (kind, (flood, max)) in floods.into_iter().enumerate() {
        let mut bench = Bench::new(2, |o| o.observer_master = true);
        bench.follow();
        let (bad, good) = (come(&mut bench, 8), come(&mut bench, 9));
        for n in 0..max {
            let out = bench.feed(came(bad, flood(n)));
            assert!(!closed(&out, bad), "{kind}: {n} of {max}");
        }
        let out = bench.feed(came(bad, flood(max)));
        assert!(closed(&out, bad) || kind == 3, "{kind}");
        let out = bench.feed(came(bad, flood(max + 1)));
        assert!(!out.iter().any(|a| matches!(a, Action::Send(..))), "{kind}: it is gone");
        let out = bench.feed(came(good, asks(op::SYNC, 2, 0)));
        assert!(matches!(out[..], [Action::Send(Link(1), Packet::Request(_))]), "{out:?}");
    }

    let mut bench = Bench::new(2, |o| o.observer_master = true);
    bench.follow();
    let good = come(&mut bench, 9);
    let ask = |bench: &mut Bench, packet: &Packet| {
        let out = bench.feed(came(good, packet.clone()));
        assert!(matches!(out[..], [Action::Send(Link(1), _)]), "{out:?}");
    };
    let (sync, write) = (asks(op::SYNC, 1, 0), asks(op::SET_DATA, 1, large));
    for _ in 0..count / 2 + 2 {
        ask(&mut bench, &question(1));
        ask(&mut bench, &sync);
        let answer = Packet::Revalidated { session: SessionId(1), valid: true };
        bench.feed(came(leader, answer));
        bench.feed(came(leader, Packet::Sync));
    }
    for n in 1..asked::OBSERVERS_MAX.bytes / large + 2 {
        ask(&mut bench, &write);
        let zxid = Zxid::new(Epoch(1), n as u32);
        bench.feed(came(leader, Packet::Proposal(testing::proposal(zxid.0))));
        bench.feed(came(leader, Packet::Commit(zxid)));
        bench.feed(Event::Durable(zxid));
    }
}

/// What makes an emptied disk whole may end when the leader is gone already.
#[test]
fn an_emptied_disk_is_believed_when_it_is_whole() {
    let restored = Restored {
        last: Zxid::ZERO,
        untrusted: true,
        recent: vec![],
        accepted: Epoch(0),
        current: Epoch(0),
        committed: Arc::new(members(&[1, 2, 3], &[])),
        last_seen: None,
    };
    let mut out = Vec::new();
    let peer = Peer::new(Mono(0), Options::new(Sid(2)), restored, &mut out).unwrap();
    let votes = |actions: &[Action]| {
        let mut votes = actions.iter().filter_map(|action| match action {
            Action::Notify { notification, .. } => Some(notification.vote.zxid),
            _ => None,
        });
        votes.next()
    };
    assert_eq!(votes(&out), Some(Zxid(-1)), "nothing is known of it");
    let mut bench = Bench { peer, now: 0, out };
    bench.hear(3, PeerState::Leading, 3, 1);
    bench.hear(1, PeerState::Following, 3, 1);
    bench.feed(Event::Connected { sid: Sid(3), link: Link(1) });
    bench.feed(came(Link(1), Packet::LeaderInfo { epoch: Epoch(1) }));
    bench.feed(came(Link(1), Packet::Diff(Zxid::ZERO)));
    let new_leader = Packet::NewLeader { epoch: Epoch(1), config: None };
    let mut out = Vec::new();
    bench.peer.handle(Mono(1), came(Link(1), new_leader), &mut out);
    assert!(out.iter().any(|a| matches!(a, Action::SaveEpochs { synced: true, .. })));
    bench.peer.handle(Mono(2), Event::LinkDown(Link(1)), &mut out);
    out.clear();
    bench.peer.handle(Mono(3), Event::EpochsSaved, &mut out);
    assert_eq!(votes(&out), Some(Zxid::ZERO), "it votes with what it has");
}

/// A learner that floods its leader loses its link; the leadership goes on.
#[test]
fn a_learner_may_not_ask_without_end() {
    let large = 1 << 20;
    let fitting = asked::REQUEST_BYTES_MAX / large - 1;
    for (body, max, commits) in
        [(0, asked::REQUESTS_MAX, false), (large, fitting, false), (large, fitting, true)]
    {
        let mut bench = Bench::of(3, members(&[1, 2, 3], &[]), |_| {});
        bench.hear(1, PeerState::Looking, 3, 1);
        bench.hear(2, PeerState::Looking, 3, 1);
        for sid in [1, 2] {
            bench.feed(Event::LinkUp(Link(sid)));
            let info = Packet::LearnerInfo {
                observer: false,
                accepted: Epoch(0),
                sid: Some(Sid(sid as i64)),
                protocol: jute::quorum::PROTOCOL_VERSION,
                config_version: 0,
            };
            bench.feed(came(Link(sid), info));
            let ack = Packet::AckEpoch { last: Zxid::ZERO, current: Some(Epoch(0)) };
            bench.feed(came(Link(sid), ack));
            bench.feed(came(Link(sid), Packet::Ack(Zxid::new(Epoch(1), 0))));
        }
        assert!(bench.peer.is_serving());
        // Something is outstanding, or nothing ever.
        let zxid = bench.peer.next_zxid().unwrap();
        bench.feed(Event::Propose(testing::proposal(zxid.0)));
        if commits {
            bench.feed(Event::Durable(zxid));
            bench.feed(came(Link(2), Packet::Ack(zxid)));
        }
        let packet = asks(op::SYNC, 1, body);
        let mut refused = None;
        for n in 0..max + 2 {
            if closed(&bench.feed(came(Link(1), packet.clone())), Link(1)) {
                refused = Some(n);
                break;
            }
        }
        assert_eq!(refused.is_some(), !commits, "{body} {refused:?}");
        assert!(refused.is_none_or(|n| n + 1 >= max), "{refused:?} of {max}");
        assert!(bench.peer.is_serving());
        let out = bench.feed(came(Link(2), asks(op::SYNC, 2, 0)));
        assert!(matches!(out[..], [Action::Request(Link(2), _)]), "{out:?}");
    }
}

/// `oraclePath`: with two voters the oracle stands in for the other one, and only while that one
/// does not follow.
#[test]
fn an_oracle_lets_one_of_two_go_on() {
    let pair = || members(&[1, 2], &[]).with_oracle();
    for (word, leads) in [(None, false), (Some(false), false), (Some(true), true)] {
        let mut bench = Bench::of(2, pair(), |_| {});
        if let Some(word) = word {
            bench.feed(Event::Oracle(word));
        }
        for _ in 0..4 {
            bench.next(u64::MAX);
        }
        assert_eq!(bench.peer.is_serving(), leads, "{word:?}");
        if leads {
            let zxid = bench.peer.next_zxid().unwrap();
            bench.feed(Event::Propose(super::testing::proposal(zxid.0)));
            let actions = bench.feed(Event::Durable(zxid));
            assert!(actions.iter().any(|a| matches!(a, Action::Apply(_))));
            // It changes its mind: the quorum is lost at the next tick.
            bench.feed(Event::Oracle(false));
            bench.next(u64::MAX);
            bench.next(u64::MAX);
            assert!(!bench.peer.is_serving());
        }
    }
}

/// A reconfiguration that commits between NEWLEADER and UPTODATE is in no NEWLEADER: it counts when
/// its commit says so (`Learner.syncWithLeader`; ZOOKEEPER-2172).
#[test]
fn a_membership_may_change_during_a_sync() {
    let changed = |voters: &[i64], observers: &[i64], version: i64| {
        let mut text = members(voters, observers).render();
        text.truncate(text.rfind("version=").unwrap());
        format!("{text}version={version:x}")
    };
    let reconfig = |n: u32, text: &str| {
        let zxid = Zxid::new(Epoch(1), n);
        let header = TxnHeader {
            client_id: 1,
            cxid: 1,
            zxid: zxid.0,
            time: 0,
            kind: jute::proto::op::RECONFIG,
        };
        let txn = SetDataTxn {
            path: Some("/zookeeper/config".into()),
            data: Some(text.to_owned().into_bytes().into()),
            version: -1,
        };
        Arc::new(Proposal::encode(header, Txn::SetData(txn), None))
    };
    let activated = |actions: &[Action]| -> Vec<i64> {
        let versions = actions.iter().filter_map(|a| match a {
            Action::Activate(membership) => Some(membership.version()),
            _ => None,
        });
        versions.collect()
    };
    // Before NEWLEADER as well as behind it.
    for late in [false, true] {
        let mut bench = Bench::new(2, |o| o.reconfig_enabled = true);
        bench.hear(3, PeerState::Leading, 3, 1);
        bench.hear(1, PeerState::Following, 3, 1);
        bench.feed(Event::Connected { sid: Sid(3), link: Link(1) });
        bench.feed(came(Link(1), Packet::LeaderInfo { epoch: Epoch(1) }));
        bench.feed(came(Link(1), Packet::Diff(Zxid::ZERO)));
        let new_leader = Packet::NewLeader { epoch: Epoch(1), config: None };
        if late {
            bench.feed(came(Link(1), new_leader.clone()));
        }
        let version = Zxid::new(Epoch(1), 1).0;
        let proposal = reconfig(1, &changed(&[1, 2, 3, 4], &[], version));
        let zxid = proposal.zxid();
        let out = bench.feed(came(Link(1), Packet::Proposal(proposal.clone())));
        assert!(activated(&out).is_empty(), "it is only proposed");
        let commit = Packet::CommitAndActivate { zxid, designated: Sid(3) };
        let out = bench.feed(came(Link(1), commit));
        assert_eq!(activated(&out), [version]);
        bench.feed(Event::Durable(zxid));
        if !late {
            bench.feed(came(Link(1), new_leader));
        }
        bench.feed(came(Link(1), Packet::UpToDate));
        assert!(bench.peer.is_serving(), "late: {late}");
        assert_eq!(bench.peer.membership().version(), version);

        // Another leader is wanted, or another role: neither is waited for.
        for (designated, text) in [
            (4, changed(&[1, 2, 3, 4], &[], version + 1)),
            (3, changed(&[1, 3, 4], &[2], version + 1)),
        ] {
            let mut bench = Bench::new(2, |o| o.reconfig_enabled = true);
            bench.hear(3, PeerState::Leading, 3, 1);
            bench.hear(1, PeerState::Following, 3, 1);
            bench.feed(Event::Connected { sid: Sid(3), link: Link(1) });
            bench.feed(came(Link(1), Packet::LeaderInfo { epoch: Epoch(1) }));
            bench.feed(came(Link(1), Packet::Diff(Zxid::ZERO)));
            let proposal = reconfig(1, &text);
            let zxid = proposal.zxid();
            bench.feed(came(Link(1), Packet::Proposal(proposal)));
            let commit = Packet::CommitAndActivate { zxid, designated: Sid(designated) };
            let out = bench.feed(came(Link(1), commit));
            assert_eq!(activated(&out), [version + 1]);
            assert!(out.iter().any(|a| matches!(a, Action::CloseLink(Link(1), _))), "{designated}");
        }
    }
}

/// Packets that come together do what they would do one by one; a leader counts their acks once.
#[test]
fn packets_may_come_together() {
    let zxid = |counter| Zxid::new(Epoch(1), counter);
    let lead = || {
        let mut bench = Bench::new(3, |_| {});
        bench.hear(1, PeerState::Looking, 3, 1);
        bench.hear(2, PeerState::Looking, 3, 1);
        bench.feed(Event::LinkUp(Link(1)));
        let info = Packet::LearnerInfo {
            observer: false,
            accepted: Epoch(0),
            sid: Some(Sid(1)),
            protocol: jute::quorum::PROTOCOL_VERSION,
            config_version: 0,
        };
        let ack = Packet::AckEpoch { last: Zxid::ZERO, current: Some(Epoch(0)) };
        for packet in [info, ack, Packet::Ack(zxid(0))] {
            bench.feed(came(Link(1), packet));
        }
        assert!(bench.peer.is_serving());
        for counter in 1..=4 {
            bench.feed(Event::Propose(proposal(zxid(counter).0)));
        }
        bench.feed(Event::Durable(zxid(3)));
        bench
    };
    let follow = || {
        let mut bench = Bench::new(2, |_| {});
        bench.follow();
        bench
    };
    let acks = (1..=4).map(|counter| Packet::Ack(zxid(counter))).collect::<Vec<_>>();
    let stream = (1..=3).flat_map(|counter| {
        let zxid = zxid(counter);
        [Packet::Proposal(proposal(zxid.0)), Packet::Commit(zxid)]
    });
    let cases: [(Bench, Bench, Vec<Packet>, usize); 2] =
        [(lead(), lead(), acks, 3), (follow(), follow(), stream.collect(), 3)];
    for (mut together, mut apart, packets, applied) in cases {
        let mut expected = Vec::new();
        for packet in &packets {
            expected.extend(bench_actions(apart.feed(came(Link(1), packet.clone()))));
        }
        let actions = bench_actions(together.feed(Event::Packets(Link(1), packets)));
        assert_eq!(actions, expected);
        assert_eq!(actions.iter().filter(|a| a.starts_with("Apply")).count(), applied);
    }
}

fn bench_actions(actions: Vec<Action>) -> Vec<String> {
    actions.iter().map(|action| format!("{action:?}")).collect()
}
