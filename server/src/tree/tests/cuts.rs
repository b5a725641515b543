//! Cuts of a changing tree must be the tree at the moment they were opened (`CUT-EXACT`).

use std::collections::BTreeMap;
use std::sync::Arc;

use jute::Reader;
use proptest::prelude::*;

use super::twin::{Step, histories};
use super::*;
use crate::tree::cell::cell;
use crate::tree::cut::{Cut, CutError, CutLimits};
use crate::tree::load::{LoadError, TreeLoader};

/// What happens between two transactions.
#[derive(Debug, Clone, Copy)]
enum Act {
    Nothing,
    Open,
    /// Take some batches of a cut.
    Walk {
        cut: usize,
        batches: usize,
    },
    Drop {
        cut: usize,
    },
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Nothing),
        1 => Just(Act::Open),
        4 => (0..3usize, 1..4usize).prop_map(|(cut, batches)| Act::Walk { cut, batches }),
        1 => (0..3usize).prop_map(|cut| Act::Drop { cut }),
    ]
}

/// A cut being walked and what it has to give.
struct Walk {
    cut: Cut,
    records: Vec<u8>,
    done: bool,
    expected: Vec<String>,
    digest: i64,
}

impl Walk {
    fn open(tree: &mut DataTree, batch_records: usize) -> Self {
        let limits = CutLimits { batch_records, cuts_max: 3, ..Default::default() };
        let cut = tree.open_cut(limits).unwrap();
        let (expected, digest) = (dump(tree), tree.digest());
        Self { cut, records: Vec::new(), done: false, expected, digest }
    }

    fn step(&mut self, tree: &DataTree) {
        if !self.done {
            self.done = !self.cut.next_batch_of(tree, &mut self.records).unwrap();
        }
    }

    fn finish(mut self, tree: &DataTree) {
        while !self.done {
            self.step(tree);
        }
        assert_eq!(lines_of(&self.cut, &self.records), self.expected);
        let loaded = load(&self.cut, &self.records).unwrap();
        loaded.check().unwrap();
        assert_eq!(loaded.digest(), self.digest);
        assert_eq!(loaded.node_count(), self.cut.node_count());
        assert_eq!(loaded.last_zxid(), self.cut.zxid());
    }
}

/// Decodes records: path, data, acl id, stat.
fn records(bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>, i64, StatPersisted)> {
    let mut input = Reader::new(bytes);
    let mut all = Vec::new();
    while !input.is_empty() {
        let path: Option<String> = input.read().unwrap();
        let data = input.buffer().unwrap().map(<[u8]>::to_vec);
        all.push((path.unwrap(), data, input.read().unwrap(), input.read().unwrap()));
    }
    all
}

fn lines_of(cut: &Cut, bytes: &[u8]) -> Vec<String> {
    let acls: BTreeMap<i64, AclList> = cut.acls().iter().cloned().collect();
    let open: AclList = Arc::new([Acl::world(PERM_ALL)]);
    let mut lines = Vec::new();
    for (path, data, acl, stat) in records(bytes) {
        let acl = if acl == -1 { &open } else { &acls[&acl] };
        let path = if path.is_empty() { "/" } else { &path };
        lines.push(line(path, data.as_deref(), &stat, acl));
    }
    lines.sort_unstable();
    lines
}

fn load(cut: &Cut, bytes: &[u8]) -> Result<DataTree, LoadError> {
    let mut loader = TreeLoader::new(new_tree().options().clone());
    for (session, timeout_ms) in cut.sessions() {
        loader.session(*session, *timeout_ms);
    }
    for (id, list) in cut.acls() {
        loader.acl(*id, list.clone());
    }
    for (path, data, acl, stat) in records(bytes) {
        loader.node(&path, data.as_deref(), acl, &stat)?;
    }
    Ok(loader.finish(cut.zxid(), cut.last_digest())?.tree)
}

fn run(history: &[Step], acts: &[Act], batch_records: usize) {
    let (mut tree, mut zxid) = (new_tree(), 0);
    let mut walks: Vec<Walk> = Vec::new();
    for (step, act) in history.iter().zip(acts) {
        tree.apply(&step.proposal(&mut zxid), &mut |_| {});
        match *act {
            Act::Nothing => {}
            Act::Open if walks.len() < 3 => walks.push(Walk::open(&mut tree, batch_records)),
            Act::Open => {}
            Act::Walk { cut, batches } => {
                if let Some(walk) = walks.get_mut(cut) {
                    (0..batches).for_each(|_| walk.step(&tree));
                }
            }
            Act::Drop { cut } => {
                if cut < walks.len() {
                    walks.remove(cut).finish(&tree);
                }
            }
        }
    }
    for walk in walks {
        walk.finish(&tree);
    }
    tree.check().unwrap();
}

proptest! {
    #[test]
    fn a_cut_is_the_tree_when_it_was_opened(
        history in histories(),
        acts in prop::collection::vec(acts(), 120),
        batch in 1..4usize,
    ) {
        run(&history, &acts, batch);
    }
}

/// A wide directory whose children come and go while the walk is in it.
#[test]
fn children_that_move_during_the_walk_are_written_once() {
    let mut tree = new_tree();
    let mut zxid = 0;
    let mut go = |tree: &mut DataTree, txn: Txn| {
        zxid += 1;
        let kind = if matches!(txn, Txn::Delete(_)) { op::DELETE } else { op::CREATE };
        assert_eq!(code(tree, zxid, kind, txn), 0);
    };
    go(&mut tree, create("/d", "", -1));
    for n in 0..40 {
        go(&mut tree, create(&format!("/d/{n}"), "v", -1));
    }
    let mut walk = Walk::open(&mut tree, 1);
    for n in 0..40 {
        walk.step(&tree);
        // Takes from the front, so that the last, already written one moves there.
        go(&mut tree, delete(&format!("/d/{n}")));
        go(&mut tree, create(&format!("/d/new-{n}"), "w", -1));
    }
    walk.finish(&tree);
}

#[test]
fn saved_values_over_the_limit_cancel_the_cut_and_not_the_write() {
    let mut tree = new_tree();
    assert_eq!(code(&mut tree, 1, op::CREATE, create("/a", &"x".repeat(1000), -1)), 0);
    let limits = CutLimits { saved_bytes_max: 500, ..Default::default() };
    let mut cut = tree.open_cut(limits).unwrap();
    assert_eq!(code(&mut tree, 2, op::SET_DATA, set_data("/a", "y", 1)), 0);
    assert_eq!(tree.find("/a").unwrap().data(), Some(&b"y"[..]));
    assert_eq!(cut.next_batch_of(&tree, &mut Vec::new()), Err(CutError::Overflow(500)));
}

#[test]
fn written_values_are_not_saved() {
    let mut tree = new_tree();
    assert_eq!(code(&mut tree, 1, op::CREATE, create("/a", &"x".repeat(1000), -1)), 0);
    let limits = CutLimits { saved_bytes_max: 500, ..Default::default() };
    let mut cut = tree.open_cut(limits).unwrap();
    let mut out = Vec::new();
    while cut.next_batch_of(&tree, &mut out).unwrap() {}
    assert_eq!(code(&mut tree, 2, op::SET_DATA, set_data("/a", "y", 1)), 0);
    assert_eq!(cut.next_batch_of(&tree, &mut out), Ok(false));
}

#[test]
fn cuts_are_limited_and_closed_by_dropping_them() {
    let mut tree = new_tree();
    let limits = CutLimits { cuts_max: 2, ..Default::default() };
    let first = tree.open_cut(limits.clone()).unwrap();
    let _second = tree.open_cut(limits.clone()).unwrap();
    assert_eq!(tree.open_cut(limits.clone()).unwrap_err(), CutError::TooMany(2));
    drop(first);
    assert_eq!(tree.open_cuts(), 1);
    assert!(tree.open_cut(limits).is_ok());
}

/// `/a` and `/a/x` of the view and the new ones in their slots are different znodes.
#[test]
fn slots_are_used_again_while_a_cut_is_open() {
    let mut tree = new_tree();
    let mut zxid = 0;
    let mut go = |tree: &mut DataTree, kind: i32, txn: Txn| {
        zxid += 1;
        assert_eq!(code(tree, zxid, kind, txn), 0);
    };
    for path in ["/a", "/a/x", "/a/y"] {
        go(&mut tree, op::CREATE, create(path, "old", -1));
    }
    for steps in 0..10 {
        let mut walk = Walk::open(&mut tree, 1);
        let end = tree.nodes.id_end();
        (0..steps).for_each(|_| walk.step(&tree));
        for path in ["/a/x", "/a/y", "/a"] {
            go(&mut tree, op::DELETE, delete(path));
        }
        for path in ["/a", "/a/x", "/a/y"] {
            go(&mut tree, op::CREATE, create(path, "new", -1));
        }
        go(&mut tree, op::SET_DATA, set_data("/a/x", "newer", 1));
        assert_eq!(tree.nodes.id_end(), end);
        walk.finish(&tree);
    }
}

#[test]
fn replacing_the_tree_cancels_its_cuts() {
    let (mut writer, reader) = cell(new_tree());
    let mut cut = writer.write().open_cut(CutLimits::default()).unwrap();
    writer.replace(new_tree());
    assert_eq!(cut.next_batch(&reader, &mut Vec::new()), Err(CutError::Replaced));
}

#[test]
fn a_batch_ends_at_its_limits() {
    let mut tree = new_tree();
    let value = "x".repeat(600 << 10);
    for n in 0..4 {
        assert_eq!(code(&mut tree, n + 1, op::CREATE, create(&format!("/{n}"), &value, -1)), 0);
    }
    let mut cut = tree.open_cut(CutLimits::default()).unwrap();
    let mut out = Vec::new();
    assert_eq!(cut.next_batch_of(&tree, &mut out), Ok(true));
    assert!(out.len() < 2 << 20, "{}", out.len());
}

/// The real thing: one thread writes, another one walks.
#[test]
fn a_cut_is_exact_while_another_thread_writes() {
    let mut tree = new_tree();
    let path = |n: usize| format!("/d{}/n{n}", n % 7);
    let mut zxid = 0;
    let mut next = |kind: i32, txn: Txn| {
        zxid += 1;
        proposal(zxid, kind, txn)
    };
    for n in 0..7 {
        tree.apply(&next(op::CREATE, create(&format!("/d{n}"), "", -1)), &mut |_| {});
    }
    for n in 0..3000 {
        tree.apply(&next(op::CREATE, create(&path(n), "old", -1)), &mut |_| {});
    }
    let expected = dump(&tree);
    let (mut writer, reader) = cell(tree);
    let limits = CutLimits { batch_records: 16, ..Default::default() };
    let mut cut = writer.write().open_cut(limits).unwrap();
    std::thread::scope(|scope| {
        let walker = scope.spawn(move || {
            let mut records = Vec::new();
            while cut.next_batch(&reader, &mut records).unwrap() {}
            (lines_of(&cut, &records), cut.node_count())
        });
        for n in 0..3000 {
            let txn = match n % 3 {
                0 => next(op::DELETE, delete(&path(n))),
                1 => next(op::SET_DATA, set_data(&path(n), "new", 1)),
                _ => next(op::CREATE, create(&format!("{}/below", path(n)), "new", -1)),
            };
            let applied = writer.write().apply(&txn, &mut |_| {});
            assert_eq!(applied.err, 0);
        }
        let (lines, count) = walker.join().unwrap();
        assert_eq!((lines.len(), count), (expected.len(), expected.len()));
        assert!(lines == expected, "the cut is not the tree when it was opened");
    });
    writer.read().check().unwrap();
}
