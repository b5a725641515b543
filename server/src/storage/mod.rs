//! Transaction logs, snapshots, epoch files, restore.
