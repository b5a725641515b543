//! Watches of a client, so that they can be armed again after a reconnect.

use std::collections::BTreeSet;

use jute::proto::SetWatches2;

/// Kinds of watches as the client registers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchKind {
    /// By getData.
    Data,
    /// By exists of a znode that was not there.
    Exists,
    /// By getChildren.
    Child,
    /// By addWatch, mode 0.
    Persistent,
    /// By addWatch, mode 1.
    Recursive,
}

impl WatchKind {
    /// All of them.
    pub const ALL: &[WatchKind] = &[
        WatchKind::Data,
        WatchKind::Exists,
        WatchKind::Child,
        WatchKind::Persistent,
        WatchKind::Recursive,
    ];

    /// The event that says it was removed.
    pub(super) fn removed_event(self) -> &'static str {
        match self {
            WatchKind::Data | WatchKind::Exists => "DataWatchRemoved",
            WatchKind::Child => "ChildWatchRemoved",
            WatchKind::Persistent | WatchKind::Recursive => "PersistentWatchRemoved",
        }
    }
}

/// Kinds and server paths.
#[derive(Debug, Default)]
pub(super) struct Watches(BTreeSet<(WatchKind, String)>);

impl Watches {
    pub(super) fn add(&mut self, kind: WatchKind, path: &str) {
        self.0.insert((kind, path.to_owned()));
    }

    /// Whether there is any of these kinds.
    pub(super) fn has(&self, kinds: &[WatchKind], path: &str) -> bool {
        self.0.iter().any(|(kind, p)| p == path && kinds.contains(kind))
    }

    /// Removes these kinds and says which were there.
    pub(super) fn remove(&mut self, kinds: &[WatchKind], path: &str) -> Vec<WatchKind> {
        let (gone, kept): (BTreeSet<_>, BTreeSet<_>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(k, p)| p == path && kinds.contains(k));
        self.0 = kept;
        gone.into_iter().map(|(kind, _)| kind).collect()
    }

    /// One-shot watches that an event of this kind uses up.
    pub(super) fn fired(&mut self, kind: i32, path: &str) {
        let used: &[WatchKind] = match kind {
            1 | 3 => &[WatchKind::Data, WatchKind::Exists],
            2 => &[WatchKind::Data, WatchKind::Exists, WatchKind::Child],
            4 => &[WatchKind::Child],
            _ => &[],
        };
        self.0.retain(|(kind, p)| p != path || !used.contains(kind));
    }

    /// What arms them all again; `None` without any.
    pub(super) fn request(&self, relative_zxid: i64) -> Option<SetWatches2<'_>> {
        let of = |wanted: WatchKind| {
            let paths = self.0.iter().filter(|(kind, _)| *kind == wanted);
            Some(paths.map(|(_, path)| Some(path.as_str().into())).collect::<Vec<_>>())
        };
        (!self.0.is_empty()).then(|| SetWatches2 {
            relative_zxid,
            data_watches: of(WatchKind::Data),
            exist_watches: of(WatchKind::Exists),
            child_watches: of(WatchKind::Child),
            persistent_watches: of(WatchKind::Persistent),
            persistent_recursive_watches: of(WatchKind::Recursive),
        })
    }
}
