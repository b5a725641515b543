//! The small types of this module.

/// A connection, as the watch tables know it. Chosen by the caller; it may be used again after
/// [`super::WatchTable::clear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatcherId(pub u32);

/// How a watch behaves (`WatcherMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Fires once.
    Standard,
    /// Fires until removed.
    Persistent,
    /// Fires until removed, for the path and everything below it.
    PersistentRecursive,
}

impl Mode {
    /// The mode of an `addWatch` request; `None` for an unknown number.
    pub fn from_add_watch(mode: i32) -> Option<Self> {
        match mode {
            0 => Some(Mode::Persistent),
            1 => Some(Mode::PersistentRecursive),
            _ => None,
        }
    }

    pub(super) fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// One of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Existence and data of the path.
    Data,
    /// Children of the path.
    Child,
}

/// Which watches `checkWatches` and `removeWatches` mean (`Watcher.WatcherType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatcherType {
    /// Standard child watches.
    Children,
    /// Standard data watches.
    Data,
    /// All watches.
    Any,
    /// Persistent watches.
    Persistent,
    /// Persistent recursive watches.
    PersistentRecursive,
}

impl WatcherType {
    /// The type with a number on the wire; `None` for an unknown one.
    pub fn from_code(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::Children,
            2 => Self::Data,
            3 => Self::Any,
            4 => Self::Persistent,
            5 => Self::PersistentRecursive,
            _ => return None,
        })
    }
}

/// What a client is told (`Watcher.Event.EventType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum EventType {
    NodeCreated = 1,
    NodeDeleted = 2,
    NodeDataChanged = 3,
    NodeChildrenChanged = 4,
}

impl EventType {
    /// The number on the wire.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// True if delivery is filtered by the ACL of the *changed znode's parent*, which for this
    /// event is the znode in the event; false if by the changed znode's own (CVE-2024-23944).
    pub fn is_about_parent(self) -> bool {
        self == EventType::NodeChildrenChanged
    }
}

/// What happened to a znode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// It was created.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was set.
    DataChanged,
}
