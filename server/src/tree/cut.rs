//! Cuts: exact views of the tree, written out while it changes (`CUT-EXACT`).
//!
//! Java's snapshots are fuzzy. A cut is the tree at one zxid:
//!
//! * Opening takes constant time, plus the session and ACL tables.
//! * The first change to a znode that the cut has not written yet saves its old record in the cut
//!   ([`DataTree::preserve`]). Znodes created later are marked *born* and left out; a removed child
//!   is remembered under its parent.
//! * [`Cut::next_batch`] walks depth first, parents first, 128 records at most per read guard. A
//!   saved record goes before the live one and is dropped when written.
//!
//! The walk holds no list of children. It goes through a parent's live list from the end: removing
//! moves the last child into the gap and adding appends, so what moves to the front was seen
//! already (*written*) or is born, and both are skipped. Children removed before the walk came to
//! them are in the parent's list of removed ones.
//!
//! Slots may be used again while a cut is open. Its id then means two znodes: one of the view,
//! which was saved when it was removed and is reached only through a list of removed ones, and one
//! that is born and so are all its children. A live list never holds an id in the first sense, a
//! list of removed ones never in the second.
//!
//! Saved records over a limit of bytes cancel the cut, never the write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jute::Encode;
use jute::data::StatPersisted;
use parking_lot::Mutex;
use thiserror::Error;

use super::cell::TreeReader;
use super::node::{Blob, NodeId, ROOT};
use super::{AclList, DataTree, ZxidDigest};
use crate::base::{SessionId, Zxid};

/// List entries looked at under one read guard per record, those skipped included.
const BATCH_STEPS: usize = 8;
/// Bytes after which a batch ends early, so that huge values do not hold the guard for long.
const BATCH_BYTES: usize = 1 << 20;
/// What a saved record costs beside its blob, roughly.
const SAVED_OVERHEAD: usize = size_of::<Saved>() + 32;

/// Limits of a cut.
#[derive(Debug, Clone)]
pub struct CutLimits {
    /// How many cuts may be open at once, this one included.
    pub cuts_max: usize,
    /// Old values kept for this cut, bytes; beyond it the cut is cancelled.
    pub saved_bytes_max: usize,
    /// Records written under one read guard, at least 1.
    pub batch_records: usize,
}

impl Default for CutLimits {
    fn default() -> Self {
        Self { cuts_max: 8, saved_bytes_max: 256 << 20, batch_records: 128 }
    }
}

/// Why there is no cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CutError {
    /// Too many are open.
    #[error("{0} cuts of the tree are open already")]
    TooMany(usize),
    /// Writes outran the cut; open another one later.
    #[error("the cut was cancelled: old values passed {0} bytes")]
    Overflow(usize),
    /// The tree was replaced as a whole.
    #[error("the cut was cancelled: the tree was replaced")]
    Replaced,
}

/// An exact view of the tree at one zxid. Dropping it closes it.
#[derive(Debug)]
pub struct Cut {
    shared: Arc<SharedCut>,
    zxid: Zxid,
    last_digest: Option<ZxidDigest>,
    node_count: usize,
    data_size: u64,
    sessions: Vec<(SessionId, i32)>,
    acls: Vec<(i64, AclList)>,
    batch_records: usize,
    started: bool,
    /// From the root to the znode whose children are being walked.
    frames: Vec<Frame>,
    /// Path of the top frame.
    path: String,
}

#[derive(Debug)]
struct Frame {
    id: NodeId,
    /// Children at this position and above were dealt with.
    cursor: usize,
    /// Length of this znode's path.
    path_len: usize,
}

/// The part of a cut that the tree writes into.
#[derive(Debug)]
pub(super) struct SharedCut {
    closed: AtomicBool,
    /// The walker locks it under the read guard, the tree under the write guard: never contended.
    state: Mutex<CutState>,
}

#[derive(Debug)]
struct CutState {
    view: View,
    saved_bytes: usize,
    saved_bytes_max: usize,
    cancelled: Option<CutError>,
}

/// What makes the view differ from the live tree.
#[derive(Debug, Default)]
struct View {
    written: IdSet,
    born: IdSet,
    saved: BTreeMap<NodeId, Saved>,
    /// Per parent: children that were removed before they were written.
    removed: BTreeMap<NodeId, Vec<NodeId>>,
}

/// A record as it was when the cut was opened.
#[derive(Debug)]
struct Saved {
    blob: Blob,
    acl: i64,
    stat: StatPersisted,
}

impl Saved {
    fn bytes(&self) -> usize {
        SAVED_OVERHEAD + self.blob.size()
    }
}

impl CutState {
    /// True if the cut still needs the record of this znode.
    fn awaits(&self, id: NodeId) -> bool {
        self.cancelled.is_none() && !self.view.born.contains(id) && !self.view.written.contains(id)
    }

    /// Frees nothing: that may take long, and the tree is locked. The cut itself frees.
    fn cancel(&mut self, why: CutError) {
        self.cancelled.get_or_insert(why);
    }
}

/// What the tree does for its cuts.
impl DataTree {
    /// Opens a cut: an exact view of the tree as it is now. Constant time, plus the sessions and
    /// the ACL table.
    pub fn open_cut(&mut self, limits: CutLimits) -> Result<Cut, CutError> {
        self.forget_closed_cuts();
        if self.cuts.len() >= limits.cuts_max {
            return Err(CutError::TooMany(self.cuts.len()));
        }
        let state = CutState {
            view: View { written: IdSet::with_end(self.nodes.id_end()), ..View::default() },
            saved_bytes: 0,
            saved_bytes_max: limits.saved_bytes_max,
            cancelled: None,
        };
        let shared = Arc::new(SharedCut { closed: AtomicBool::new(false), state: state.into() });
        self.cuts.push(shared.clone());
        Ok(Cut {
            shared,
            zxid: self.last_zxid,
            last_digest: self.last_digest,
            node_count: self.nodes.len(),
            data_size: self.data_size,
            sessions: self.sessions.iter().collect(),
            acls: self.acls.snapshot(),
            batch_records: limits.batch_records.max(1),
            started: false,
            frames: Vec::new(),
            path: String::new(),
        })
    }

    /// Number of open cuts.
    pub fn open_cuts(&self) -> usize {
        self.cuts.iter().filter(|cut| !cut.closed.load(Ordering::Acquire)).count()
    }

    /// Ends every open cut: the tree is about to go.
    pub fn cancel_cuts(&mut self) {
        for cut in self.cuts.drain(..) {
            cut.state.lock().cancel(CutError::Replaced);
        }
    }

    /// Drops the tree's part of closed cuts.
    pub(super) fn forget_closed_cuts(&mut self) {
        self.cuts.retain(|cut| !cut.closed.load(Ordering::Acquire));
    }

    /// Must be called before anything in the record of a znode changes, and before it is removed.
    pub(super) fn preserve(&mut self, id: NodeId) {
        for cut in &self.cuts {
            let mut state = cut.state.lock();
            if !state.awaits(id) || state.view.saved.contains_key(&id) {
                continue;
            }
            let slot = self.nodes.get(id);
            let saved = Saved {
                blob: slot.blob().clone(),
                acl: self.acls.id(slot.acl),
                stat: self.nodes.persisted(id),
            };
            state.saved_bytes += saved.bytes();
            if state.saved_bytes > state.saved_bytes_max {
                let limit = state.saved_bytes_max;
                state.cancel(CutError::Overflow(limit));
            } else {
                state.view.saved.insert(id, saved);
            }
        }
    }

    /// A znode was created.
    pub(super) fn note_born(&mut self, id: NodeId) {
        for cut in &self.cuts {
            let mut state = cut.state.lock();
            if state.cancelled.is_none() {
                state.view.born.insert(id);
            }
        }
    }

    /// A child is about to leave its parent's list.
    pub(super) fn note_removed(&mut self, parent: NodeId, child: NodeId) {
        for cut in &self.cuts {
            let mut state = cut.state.lock();
            if state.awaits(child) {
                state.view.removed.entry(parent).or_default().push(child);
            }
        }
    }
}

impl Cut {
    /// The zxid of the view.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Digest of the last transaction in the view, for the snapshot's digest section.
    pub fn last_digest(&self) -> Option<ZxidDigest> {
        self.last_digest
    }

    /// Number of znodes, the root included.
    pub fn node_count(&self) -> usize {
        self.node_count
    }

    /// Approximate data size of the view, as [`DataTree::approximate_data_size`].
    pub fn approximate_data_size(&self) -> u64 {
        self.data_size
    }

    /// Sessions and timeouts in ms, ascending.
    pub fn sessions(&self) -> &[(SessionId, i32)] {
        &self.sessions
    }

    /// The ACL map: every id that a record refers to except -1, ascending.
    pub fn acls(&self) -> &[(i64, AclList)] {
        &self.acls
    }

    /// Appends the next records (path, data, acl id, `StatPersisted`; parents first, the root as
    /// `""`), at most `batch_records` or about 1 MiB, taken under one read guard. False when all
    /// were written; the end mark `/` is the caller's. After an error the cut is of no more use.
    pub fn next_batch(&mut self, reader: &TreeReader, out: &mut Vec<u8>) -> Result<bool, CutError> {
        self.next_batch_of(&reader.read(), out)
    }

    /// The same with a guard, or a bare tree, at hand. It must be the tree the cut was opened on.
    pub fn next_batch_of(&mut self, tree: &DataTree, out: &mut Vec<u8>) -> Result<bool, CutError> {
        let shared = self.shared.clone();
        let mut state = shared.state.lock();
        if let Some(why) = state.cancelled {
            return Err(why);
        }
        let full = out.len() + BATCH_BYTES;
        let mut records = 0;
        let mut steps = 0;
        if !self.started {
            self.started = true;
            self.visit(ROOT, tree, &mut state, out);
            records += 1;
        }
        let steps_max = self.batch_records.saturating_mul(BATCH_STEPS);
        while records < self.batch_records && steps < steps_max && out.len() < full {
            steps += 1;
            let Some(frame) = self.frames.last_mut() else { return Ok(false) };
            match frame.next_child(tree, &state) {
                Step::Skip => {}
                Step::Child(child) => {
                    self.path.truncate(frame.path_len);
                    self.visit(child, tree, &mut state, out);
                    records += 1;
                }
                Step::LiveDone => {
                    let (id, path_len) = (frame.id, frame.path_len);
                    match state.view.removed.get_mut(&id).and_then(Vec::pop) {
                        Some(child) => {
                            self.path.truncate(path_len);
                            self.visit(child, tree, &mut state, out);
                            records += 1;
                        }
                        None => {
                            state.view.removed.remove(&id);
                            self.frames.pop();
                        }
                    }
                }
            }
        }
        Ok(true)
    }

    /// Writes a znode's record and goes below it. `self.path` is the parent's path.
    fn visit(&mut self, id: NodeId, tree: &DataTree, state: &mut CutState, out: &mut Vec<u8>) {
        let saved = state.view.saved.remove(&id);
        if let Some(saved) = &saved {
            state.saved_bytes -= saved.bytes();
        }
        let record = saved.unwrap_or_else(|| {
            let slot = tree.nodes.get(id);
            Saved {
                blob: slot.blob().clone(),
                acl: tree.acls.id(slot.acl),
                stat: tree.nodes.persisted(id),
            }
        });
        if id != ROOT {
            self.path.push('/');
            self.path.push_str(record.blob.name());
        }
        self.path.as_str().encode(out);
        record.blob.data().encode(out);
        record.acl.encode(out);
        record.stat.encode(out);
        state.view.written.insert(id);
        self.frames.push(Frame { id, cursor: usize::MAX, path_len: self.path.len() });
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // The tree forgets its part at its next change: only then there is a write guard.
        self.shared.closed.store(true, Ordering::Release);
        let view = {
            let mut state = self.shared.state.lock();
            state.cancel(CutError::Replaced);
            std::mem::take(&mut state.view)
        };
        // Freed without the lock, for which the tree may be waiting.
        drop(view);
    }
}

enum Step {
    /// A child to write.
    Child(NodeId),
    /// A child that was written already or is not part of the view.
    Skip,
    /// No live children are left.
    LiveDone,
}

impl Frame {
    fn next_child(&mut self, tree: &DataTree, state: &CutState) -> Step {
        // Nothing if the znode is gone.
        let children = tree.nodes.children(self.id);
        self.cursor = self.cursor.min(children.len());
        if self.cursor == 0 {
            return Step::LiveDone;
        }
        self.cursor -= 1;
        let child = children[self.cursor];
        if state.awaits(child) { Step::Child(child) } else { Step::Skip }
    }
}

/// A set of ids: one bit each.
#[derive(Debug, Default)]
struct IdSet(Vec<u64>);

impl IdSet {
    /// Room for ids below `end`. The zeros come from the system and cost nothing until touched.
    fn with_end(end: NodeId) -> Self {
        Self(vec![0; end as usize / 64 + 1])
    }

    fn insert(&mut self, id: NodeId) {
        let word = id as usize / 64;
        if word >= self.0.len() {
            self.0.resize((word + 1).max(self.0.len() * 2), 0);
        }
        self.0[word] |= 1 << (id % 64);
    }

    fn contains(&self, id: NodeId) -> bool {
        self.0.get(id as usize / 64).is_some_and(|word| word & (1 << (id % 64)) != 0)
    }
}
