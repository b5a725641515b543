//! The quorum verifiers against naive twins, and the text forms of a membership.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::testing::members;
use super::{Member, Membership, MembershipError, Quorums};
use crate::base::Sid;

/// A generator of its own: the cases must not change with the simulator's.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// `QuorumMaj`, in words: more than half of those who vote said yes.
fn naive_majority(voters: &[i64], acks: &[i64]) -> bool {
    let mut yes = 0;
    for voter in voters {
        if acks.iter().any(|ack| ack == voter) {
            yes += 1;
        }
    }
    2 * yes > voters.len()
}

/// `QuorumHierarchical`, in words: in more than half of the groups that weigh anything, more than
/// half of the weight said yes.
fn naive_groups(group_of: &[(i64, i64)], weight: &[(i64, u64)], acks: &[i64]) -> bool {
    let weight_of = |sid: i64| weight.iter().find(|(s, _)| *s == sid).map_or(1, |(_, w)| *w);
    let mut names: Vec<i64> = group_of.iter().map(|(_, group)| *group).collect();
    names.sort_unstable();
    names.dedup();
    let (mut heavy, mut won) = (0, 0);
    for name in names {
        let sids = group_of.iter().filter(|(_, group)| *group == name).map(|(sid, _)| *sid);
        let (mut all, mut yes) = (0, 0);
        for sid in sids {
            all += weight_of(sid);
            if acks.contains(&sid) {
                yes += weight_of(sid);
            }
        }
        if all > 0 {
            heavy += 1;
            // Java divides by two and rounds down; with whole weights this is the same.
            if 2 * yes > all {
                won += 1;
            }
        }
    }
    !acks.is_empty() && 2 * won > heavy
}

fn sids(acks: &[i64]) -> BTreeSet<Sid> {
    acks.iter().map(|sid| Sid(*sid)).collect()
}

#[test]
fn verifiers_agree_with_their_naive_twins() {
    let mut dice = Dice(7);
    for case in 0..50_000 {
        let count = 1 + dice.below(9) as i64;
        let all: Vec<i64> = (1..=count).collect();
        let observers: Vec<i64> = (count + 1..count + 1 + dice.below(3) as i64).collect();
        let acks: Vec<i64> = (1..count + 4).filter(|_| dice.below(2) == 0).collect();
        let majority = members(&all, &observers);
        assert_eq!(
            majority.is_quorum(&sids(&acks)),
            naive_majority(&all, &acks),
            "{case}: {all:?} {acks:?}"
        );

        let groups = 1 + dice.below(4) as i64;
        let group_of: Vec<(i64, i64)> =
            all.iter().map(|sid| (*sid, dice.below(groups as u64) as i64)).collect();
        let weight: Vec<(i64, u64)> =
            all.iter().map(|sid| (*sid, dice.below(5))).filter(|(_, weight)| *weight < 4).collect();
        let hierarchical = Membership::groups(
            majority.members().clone(),
            group_of.iter().map(|(sid, group)| (Sid(*sid), *group)).collect(),
            weight.iter().map(|(sid, weight)| (Sid(*sid), *weight)).collect(),
            0,
        )
        .unwrap();
        // Java's callers keep observers out; our verifier does it itself.
        assert_eq!(
            hierarchical.is_quorum(&sids(&acks)),
            naive_groups(&group_of, &weight, &acks),
            "{case}: {group_of:?} {weight:?} {acks:?}"
        );
    }
}

/// No two quorums of one membership are disjoint, whatever the weights.
#[test]
fn two_quorums_always_meet() {
    let mut dice = Dice(11);
    for _ in 0..2_000 {
        let count = 1 + dice.below(7) as i64;
        let all: Vec<i64> = (1..=count).collect();
        let group_of = all.iter().map(|sid| (Sid(*sid), dice.below(3) as i64)).collect();
        let weight = all.iter().map(|sid| (Sid(*sid), dice.below(3))).collect();
        let membership =
            Membership::groups(members(&all, &[]).members().clone(), group_of, weight, 0).unwrap();
        let quorums: Vec<u64> = (0..1u64 << count)
            .filter(|set| {
                let acks: Vec<i64> =
                    all.iter().copied().filter(|s| set >> (s - 1) & 1 == 1).collect();
                membership.is_quorum(&sids(&acks))
            })
            .collect();
        for a in &quorums {
            assert!(quorums.iter().all(|b| a & b != 0), "{membership:?}");
        }
    }
}

#[test]
fn an_oracle_replaces_one_of_two_and_no_more() {
    let two = Quorums::new(Arc::new(members(&[1, 2], &[3]).with_oracle()), None);
    assert!(!two.all(&sids(&[1]), false) && two.all(&sids(&[1]), true));
    assert!(!two.all(&sids(&[3]), true), "an observer is nobody");
    assert!(!two.all(&sids(&[]), true));
    let three = Quorums::new(Arc::new(members(&[1, 2, 3], &[]).with_oracle()), None);
    assert!(!three.all(&sids(&[1]), true) && three.all(&sids(&[1, 3]), false));
    let plain = Quorums::new(Arc::new(members(&[1, 2], &[])), None);
    assert!(!plain.all(&sids(&[1]), true));
}

#[test]
fn only_a_newer_proposed_membership_counts() {
    let committed = Arc::new(members(&[1, 2, 3], &[]).with_version(5));
    let older = Arc::new(members(&[9], &[]).with_version(5));
    let quorums = Quorums::new(committed.clone(), Some(older));
    assert!(quorums.pending().is_none() && quorums.all(&sids(&[1, 2]), false));
    let newer = Arc::new(members(&[3, 4, 5], &[]).with_version(6));
    let quorums = Quorums::new(committed, Some(newer));
    assert!(!quorums.all(&sids(&[1, 2]), false));
    assert!(quorums.all(&sids(&[1, 3, 4]), false));
    assert_eq!(quorums.voters(), sids(&[1, 2, 3, 4, 5]));
}

/// Text as Java writes it.
#[test]
fn membership_text_round_trip() {
    let texts = [
        "server.1=127.0.0.1:28811:38811:participant;0.0.0.0:2181\n\
         server.2=127.0.0.1:28812:38812:participant\n\
         server.3=b:2:3:observer;127.0.0.1:2183\n\
         version=100000000",
        "server.1=a:2:3:participant\nserver.2=b:2:3:participant\nserver.3=c:2:3:participant\n\
         group.1=1:2\ngroup.2=3\nweight.1=2\nweight.2=1\nweight.3=0\nversion=0",
        "server.4=a:1:2|b:3:4:participant;[0:0:0:0:0:0:0:1]:2181\nversion=0",
    ];
    for text in texts {
        let membership = Membership::parse(text).unwrap();
        assert_eq!(membership.render(), text);
        assert_eq!(Membership::version_of(text), Some(membership.version()));
    }
}

#[test]
fn member_lines() {
    let cases = [
        ("h:1:2", Ok("h:1:2:participant")),
        (" h:1:2:OBSERVER ; 2181", Ok("h:1:2:observer;0.0.0.0:2181")),
        ("h:1:2;c:3", Ok("h:1:2:participant;c:3")),
        ("[::1]:1:2;[::1]:3", Ok("[0:0:0:0:0:0:0:1]:1:2:participant;[0:0:0:0:0:0:0:1]:3")),
        ("z:1:2|a:3:4", Ok("a:3:4|z:1:2:participant")),
        ("h:1", Err("expected host:quorumPort:electionPort[:role]")),
        ("h:1:2:x", Err("unknown role")),
        ("h:1:1", Err("quorum port and election port must differ")),
        ("h:1:70000", Err("bad port")),
        ("h:1:2;3;4", Err("more than one client address")),
        (
            "h:1:2:observer|h:3:4:participant",
            Err("the addresses of one server have different roles"),
        ),
        ("[::1:1:2", Err("'[' without ']'")),
    ];
    for (line, expected) in cases {
        let found = Member::parse(line).map(|m| m.render());
        assert_eq!(found.as_deref().map_err(|e| *e), expected, "{line}");
    }
}

#[test]
fn bad_memberships_are_refused() {
    for text in [
        "server.x=h:1:2",
        "client.1=h",
        "server.1=h:1:2\nversion=zz",
        "server.1=h:1:2\nserver.2=h:1:2\ngroup.1=1",
        "server.1=h:1:2\ngroup.1=1\ngroup.2=1",
        "server.1=h:1:2\ngroup.1=1:9",
        "server.1=h:1:2\ngroup.1=1\nweight.1=-1",
        "server.1=h:1:2\ngroup.1=1\nweight.1=99999999999",
    ] {
        assert!(Membership::parse(text).is_err(), "{text}");
    }
    let unknown = MembershipError::Key("a".into());
    assert_eq!(Membership::parse("a=b"), Err(unknown));
    let none: BTreeMap<Sid, Member> = BTreeMap::new();
    assert!(!Membership::majority(none, 0).is_quorum(&sids(&[])));
}
