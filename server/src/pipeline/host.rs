//! Carries out what the zab core of an ensemble member orders: links, epoch files, history on disk,
//! role.
//!
//! Disk work that changes history (epochs, truncation, a received snapshot) runs on the log thread,
//! behind everything appended before it. Its answers come back as events.

use std::io;
use std::sync::Arc;
use std::thread::Builder;

use tracing::{error, info, warn};

use super::log_loop::{LogBox, Order};
use super::replica_loop::{Control, CoreBox};
use super::{Exit, Outcome};
use crate::base::{Epoch, Zxid};
use crate::ensemble::{Ensemble, MembershipFiles};
use crate::outbox::{Fate, Registry, Role};
use crate::storage::restore::OwnedTreeSource;
use crate::storage::truncate::{adopt_snapshot, truncate};
use crate::storage::txnlog::reader::TxnLogReader;
use crate::storage::{
    self, DataDirs, Durable, SnapshotOptions, StorageError, TxnLogWriter, write_snapshot,
};
use crate::tree::{DataTree, TreeOptions};
use crate::zab::{Action, Event, Link, Membership, Serving};

/// On-disk DIFF is always worth this many bytes of log.
const LOG_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// Moves the client port to a host and a port.
pub type ServeClientsAt = Box<dyn Fn(&str, u16) + Send>;

/// What a member has besides a standalone server's parts.
pub struct MemberParts {
    /// The sockets between servers.
    pub ensemble: Arc<Ensemble>,
    /// Settings for reading the directories again.
    pub storage: storage::Options,
    /// Settings of a tree read again.
    pub tree: TreeOptions,
    /// Whether clients are served.
    pub role: Arc<Role>,
    /// Serves clients here from now on: host and port of our own member line.
    pub serve_clients_at: ServeClientsAt,
    /// Closes every client connection.
    pub drop_clients: Box<dyn Fn() + Send>,
    /// `snapshotSizeFactor`: log bytes a learner may be sent per byte of snapshot; negative never.
    pub log_factor: f64,
    /// `leaderServes`.
    pub leader_serves: bool,
    /// `localSessionsEnabled`.
    pub local_sessions: bool,
    /// As observer, write a log (`syncEnabled`).
    pub observer_logs: bool,
    /// Where memberships are kept; `None` if nowhere.
    pub files: Option<Arc<dyn MembershipFiles>>,
}

/// Runs on the replica thread.
pub(super) struct Host {
    parts: MemberParts,
    dirs: Arc<DataDirs>,
    log: Arc<LogBox>,
    core: Arc<CoreBox>,
    registry: Arc<Registry>,
    outcome: Arc<Outcome>,
    snapshot: SnapshotOptions,
}

impl Host {
    pub fn new(
        parts: MemberParts,
        dirs: Arc<DataDirs>,
        log: Arc<LogBox>,
        core: Arc<CoreBox>,
        registry: Arc<Registry>,
        outcome: Arc<Outcome>,
        snapshot: SnapshotOptions,
    ) -> Self {
        Self { parts, dirs, log, core, registry, outcome, snapshot }
    }

    /// True if an observer writes no log here (`syncEnabled=false`).
    pub fn observers_keep_no_log(&self) -> bool {
        !self.parts.observer_logs
    }

    /// What is in memory is not on disk, and now it would have to be.
    pub fn stop_without_log(&self) {
        error!("this observer kept no log (syncEnabled=false) and is to vote now: start it again");
        self.outcome.set(Exit::Member(1));
    }

    pub fn ensemble(&self) -> &Ensemble {
        &self.parts.ensemble
    }

    /// Everything that needs neither the tree nor its writer.
    pub fn perform(&self, action: Action, tree_end: impl FnOnce() -> Zxid) {
        let ensemble = &self.parts.ensemble;
        match action {
            Action::Notify { to, notification } => ensemble.notify(to, &notification),
            Action::Send(link, packet) => ensemble.send(link, [packet]),
            Action::Connect(sid) => ensemble.connect(sid),
            Action::ConnectMaster(sid) => ensemble.connect_master(sid),
            Action::Listen(on) => ensemble.listen(on),
            Action::ListenObservers(on) => ensemble.listen_for_observers(on),
            Action::CloseLink(link, why) => ensemble.close(link, why),
            Action::StreamLog { link, after, upto } => ensemble.stream_log(link, after, upto),
            Action::SaveEpochs { accepted, current, synced } => {
                self.save_epochs(accepted, current, synced);
            }
            Action::Truncate(zxid) => self.truncate(zxid, tree_end() > zxid),
            Action::InstallSnapshot { link, zxid } => self.install(link, zxid),
            Action::FindInLog { link, peer } => self.find_in_log(link, peer),
            Action::Activate(membership) => {
                info!(version = %format!("{:x}", membership.version()), "membership activated");
                ensemble.set_membership(membership.clone());
                if let Some((host, port)) = ensemble.own_client_address(&membership) {
                    (self.parts.serve_clients_at)(&host, port);
                }
                self.keep(membership, |files, membership| files.keep_committed(membership));
            }
            Action::SaveLastSeen(membership) => {
                info!(version = %format!("{:x}", membership.version()), "membership proposed");
                ensemble.set_proposed(membership.clone());
                self.keep(membership, |files, membership| files.keep_proposed(membership));
            }
            Action::Stop(code, why) => {
                error!(code, why, "the server cannot go on");
                self.outcome.set(Exit::Member(code));
            }
            action => unreachable!("{action:?} is carried out elsewhere"),
        }
    }

    /// Serves from now on.
    pub fn open(&self, serving: Serving) {
        if serving == Serving::Leader && !self.parts.leader_serves {
            info!("leading without clients: leaderServes=no");
            return;
        }
        info!(?serving, "serving clients");
        self.parts.role.open(false, self.parts.local_sessions);
    }

    /// Serves reads from now on.
    pub fn open_read_only(&self) {
        info!("Read-only server started");
        self.parts.role.open(true, self.parts.local_sessions);
    }

    /// Serves no longer: what clients asked and was not answered is forgotten.
    pub fn close(&self, why: &str) {
        info!(why, "no longer serving clients");
        self.parts.role.close();
        for outbox in self.registry.connections().iter() {
            // What was answered is true, and leaves first: the answer to a reconfig that ends our
            // leadership, above all.
            outbox.lock().close(Fate::CloseAfterFlush);
        }
        (self.parts.drop_clients)();
    }

    /// Writes a membership on the log thread: a proposed one is on disk before the transaction that
    /// proposes it is.
    fn keep(
        &self,
        membership: Arc<Membership>,
        write: fn(&dyn MembershipFiles, &Membership) -> io::Result<()>,
    ) {
        let Some(files) = self.parts.files.clone() else { return };
        self.log.post(Order::Run(Box::new(move |_| {
            if let Err(error) = write(&*files, &membership) {
                error!(%error, "cannot write the dynamic configuration");
            }
        })));
    }

    fn save_epochs(&self, accepted: Epoch, current: Epoch, synced: bool) {
        let dirs = self.dirs.clone();
        let (snapshot, tree_options) = (self.snapshot.clone(), self.parts.tree.clone());
        self.on_disk("save the epochs", move |_| {
            if dirs.accepted_epoch()? != Some(accepted) {
                dirs.write_accepted_epoch(accepted)?;
            }
            if dirs.current_epoch()? != Some(current) {
                dirs.write_current_epoch(current)?;
            }
            if synced && dirs.is_emptied()? {
                if dirs.snapshots()?.is_empty() {
                    // It came by DIFF: logs without a snapshot are taken for damage.
                    let mut nothing = DataTree::new(tree_options);
                    let mut source = OwnedTreeSource::new(&mut nothing)?;
                    let file = write_snapshot(&dirs, &snapshot, &mut source)?;
                    file.publish(Durable::by_received_snapshot(Zxid::ZERO))?;
                }
                dirs.clear_emptied()?;
                info!(
                    "the emptied directory holds the ensemble's history: this server votes again"
                );
            }
            Ok(Control::Zab(Box::new(Event::EpochsSaved)))
        });
    }

    fn truncate(&self, zxid: Zxid, reload: bool) {
        let (dirs, options) = (self.dirs.clone(), self.parts.storage.clone());
        let tree_options = self.parts.tree.clone();
        self.on_disk("truncate the history", move |writer| {
            let durable = match truncate(&dirs, &options, zxid) {
                Ok(durable) => durable,
                Err(failure @ StorageError::Truncate { .. }) => {
                    warn!(%failure, "cannot truncate");
                    return Ok(Control::Zab(Box::new(Event::Truncated(None))));
                }
                Err(failure) => return Err(failure),
            };
            info!(%zxid, reload, "history truncated");
            writer.restart_behind(durable);
            let tree = match reload {
                true => Some(storage::restore(&dirs, &options, tree_options)?.tree),
                false => None,
            };
            let event = Event::Truncated(Some(zxid));
            Ok(Control::Replaced { tree: tree.map(Box::new), durable, event: Box::new(event) })
        });
    }

    /// A snapshot from the leader becomes our history.
    fn install(&self, link: Link, zxid: Zxid) {
        let Some(mut tree) = self.parts.ensemble.take_received(link) else {
            // The link is gone, and with it the role that asked.
            self.core.post(Control::Zab(Box::new(Event::SnapshotInstalled)));
            return;
        };
        let (dirs, options) = (self.dirs.clone(), self.parts.storage.clone());
        let snapshot = self.snapshot.clone();
        self.on_disk("install a snapshot", move |writer| {
            let mut source = OwnedTreeSource::new(&mut tree)?;
            let file = write_snapshot(&dirs, &snapshot, &mut source)?;
            drop(source);
            let durable = adopt_snapshot(&dirs, &options, file)?;
            writer.restart_behind(durable);
            info!(%zxid, "snapshot installed");
            let event = Box::new(Event::SnapshotInstalled);
            Ok(Control::Replaced { tree: Some(Box::new(tree)), durable, event })
        });
    }

    fn on_disk(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut TxnLogWriter) -> Result<Control, StorageError> + Send + 'static,
    ) {
        let (core, outcome) = (self.core.clone(), self.outcome.clone());
        self.log.post(Order::Run(Box::new(move |writer| match work(writer) {
            Ok(answer) => core.post(answer),
            Err(failure) => {
                error!(%failure, "cannot {what}");
                outcome.set(Exit::StorageFailed);
                core.post(Control::LogFailed);
            }
        })));
    }

    /// Runs beside the log thread: a leader's log must not wait for a learner.
    fn find_in_log(&self, link: Link, peer: Zxid) {
        let (dirs, core) = (self.dirs.clone(), self.core.clone());
        let (field_max, factor) = (self.parts.storage.field_max, self.parts.log_factor);
        let look = move || {
            let floor = find_floor(&dirs, field_max, factor, peer).unwrap_or_else(|failure| {
                warn!(%failure, "cannot look into the log for a learner");
                None
            });
            core.post(Control::Zab(Box::new(Event::LogFloor { link, floor })));
        };
        let spawned: io::Result<_> =
            Builder::new().name("sync-look".into()).stack_size(super::STACK_BYTES).spawn(look);
        if spawned.is_err() {
            let event = Event::LogFloor { link, floor: None };
            self.core.post(Control::Zab(Box::new(event)));
        }
    }
}

/// The greatest transaction not above `peer` and the one behind it, if the log has both and is
/// small enough (`FileTxnSnapLog.readTxnLog`, `ZKDatabase.getProposalsFromTxnLog`).
fn find_floor(
    dirs: &Arc<DataDirs>,
    field_max: usize,
    factor: f64,
    peer: Zxid,
) -> Result<Option<(Zxid, Zxid)>, StorageError> {
    if factor < 0.0 || peer <= Zxid::ZERO {
        return Ok(None);
    }
    // From the beginning of the file that may hold it: a peer's zxid need not be one of ours.
    let Some(first) = dirs.logs()?.iter().map(|f| f.zxid).filter(|z| *z <= peer).max() else {
        return Ok(None);
    };
    let behind = Zxid(first.0.saturating_sub(1));
    let mut reader = TxnLogReader::open(dirs, field_max, behind, false)?;
    let budget = (dirs.sizes()?.0 as f64 * factor) as u64;
    if factor > 0.0 && reader.bytes_left() > budget.max(LOG_BYTES_MIN) {
        return Ok(None);
    }
    let mut floor = None;
    while let Some(logged) = reader.next_logged()? {
        if logged.zxid > peer {
            return Ok(floor.map(|floor| (floor, logged.zxid)));
        }
        floor = Some(logged.zxid);
    }
    Ok(None)
}

/// A tree that replaces the present one.
pub(super) type NewTree = Option<Box<DataTree>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RealDisk;
    use crate::zab::testing::proposal;

    /// What lies between two logged transactions is taken back to the lower one (TRUNC, then DIFF from
    /// disk).
    #[test]
    fn the_log_tells_where_a_learner_left_our_history() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let mut options = storage::Options::default();
        // Padding counts, as in Java.
        options.log.preallocate_bytes = 1 << 16;
        let dirs = DataDirs::open(Arc::new(RealDisk), dir.path(), None, &options);
        let dirs = Arc::new(dirs.expect("opened"));
        let start = Durable::by_received_snapshot(Zxid(0x1_0000_0001));
        let mut writer = TxnLogWriter::new(dirs.clone(), &options, start);
        for zxid in [0x1_0000_0002, 0x1_0000_0003, 0x2_0000_0001, 0x2_0000_0002] {
            writer.append(&proposal(zxid)).expect("appended");
        }
        writer.commit().expect("written");
        let floor = |peer: i64, factor: f64| {
            find_floor(&dirs, options.field_max, factor, Zxid(peer))
                .expect("the log can be read")
                .map(|(floor, next)| (floor.0, next.0))
        };
        let cases = [
            (0x1_0000_0001, None),
            (0x1_0000_0002, Some((0x1_0000_0002, 0x1_0000_0003))),
            (0x1_0000_0003, Some((0x1_0000_0003, 0x2_0000_0001))),
            (0x1_0000_0007, Some((0x1_0000_0003, 0x2_0000_0001))),
            (0x2_0000_0001, Some((0x2_0000_0001, 0x2_0000_0002))),
            // The end is the window's matter.
            (0x2_0000_0002, None),
            (0x2_0000_0009, None),
        ];
        for (peer, expected) in cases {
            assert_eq!(floor(peer, 0.33), expected, "{peer:x}");
            assert_eq!(floor(peer, -1.0), None, "on-disk DIFF is off");
        }
    }
}
