//! `SnapshotRecursiveSummary`: number of znodes and bytes below each znode that has children.

use std::io;
use std::path::Path;

use super::{Console, check_file, read_nodes, warn_if_damaged};
use crate::cli::exit;
use crate::storage::snapshot::codec::SnapshotError;

const USAGE: &str = "USAGE:\n\n\n\
    SnapshotRecursiveSummary  <snapshot_file>  <starting_node>  <max_depth>\n\n\n\
    snapshot_file:    path to the zookeeper snapshot\n\
    starting_node:    the path in the zookeeper tree where the traversal should begin\n\
    max_depth:        defines the depth where the tool still writes to the output. 0 means there \
    is no depth limit, every non-leaf node's stats will be displayed, 1 means it will only contain \
    the starting node's and it's children's stats, 2 ads another level and so on. This ONLY affects \
    the level of details displayed, NOT the calculation.";

/// `zkSnapshotRecursiveSummaryToolkit.sh`.
pub fn run(arguments: &[String], console: &mut Console<'_>) -> io::Result<i32> {
    let parsed = match arguments {
        [file, start, depth] => depth.parse::<i32>().ok().map(|depth| (file, start, depth)),
        _ => None,
    };
    let Some((file, start, depth_max)) = parsed else {
        writeln!(console.err, "{USAGE}")?;
        return Ok(exit::INVALID_INVOCATION);
    };
    if let Err(message) = check_file(file) {
        writeln!(console.err, "{message}")?;
        return Ok(exit::UNEXPECTED);
    }
    let path = Path::new(file);
    warn_if_damaged(path, console)?;
    let start = start.trim_end_matches('/');
    let mut summary = Summary { start, nodes: Vec::new(), open: Vec::new() };
    if let Err(e) = read_nodes(path, |path, data, _| summary.node(path, data)) {
        writeln!(console.err, "{file}: {e}")?;
        return Ok(exit::UNEXPECTED);
    }
    summary.close_down_to(0);
    if summary.nodes.is_empty() {
        writeln!(console.err, "There is no znode {start} in {file}")?;
        return Ok(exit::UNEXPECTED);
    }
    for node in summary.nodes.iter().filter(|n| n.descendants > 0) {
        if depth_max != 0 && i64::from(depth_max) < node.level as i64 {
            continue;
        }
        let tab = "--".repeat(node.level);
        let shown = if node.path.is_empty() { "/" } else { &node.path };
        writeln!(console.out, "{tab} {shown}")?;
        writeln!(console.out, "{tab}   children: {}", node.descendants)?;
        writeln!(console.out, "{tab}   data: {}", node.bytes)?;
    }
    writeln!(console.out)?;
    Ok(exit::FINISHED)
}

struct Entry {
    path: String,
    level: usize,
    descendants: u64,
    bytes: u64,
}

/// Adds up while reading: parents come before children, and a subtree is in one piece.
struct Summary<'a> {
    /// Without a trailing slash; empty for the root.
    start: &'a str,
    nodes: Vec<Entry>,
    /// Indexes of the znodes whose subtree is being read, outermost first.
    open: Vec<usize>,
}

impl Summary<'_> {
    /// Ends subtrees until `depth` of them are open, adding each to the one around it.
    fn close_down_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            let Some(index) = self.open.pop() else { return };
            let (descendants, bytes) = (self.nodes[index].descendants + 1, self.nodes[index].bytes);
            if let Some(parent) = self.open.last() {
                self.nodes[*parent].descendants += descendants;
                self.nodes[*parent].bytes += bytes;
            }
        }
    }

    fn node(&mut self, path: &str, data: Option<&[u8]>) -> Result<(), SnapshotError> {
        let below = path.strip_prefix(self.start);
        if !below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Ok(());
        }
        while let Some(last) = self.open.last() {
            let parent = &self.nodes[*last].path;
            if path.strip_prefix(parent.as_str()).is_some_and(|rest| rest.starts_with('/')) {
                break;
            }
            self.close_down_to(self.open.len() - 1);
        }
        let level = self.open.len();
        self.open.push(self.nodes.len());
        let bytes = data.unwrap_or_default().len() as u64;
        self.nodes.push(Entry { path: path.to_owned(), level, descendants: 0, bytes });
        Ok(())
    }
}
