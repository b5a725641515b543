//! `SnapshotComparer`: which subtrees grew, shrank, came or went between two snapshots.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Console, Opt, check_file, parse, print_help, read_nodes, warn_if_damaged};
use crate::cli::exit;
use crate::storage::snapshot::codec::SnapshotError;

const OPTIONS: &[Opt] = &[
    Opt {
        short: 'l',
        long: "left",
        argument: Some("LEFT"),
        help: "(Required) The left snapshot file.",
    },
    Opt {
        short: 'r',
        long: "right",
        argument: Some("RIGHT"),
        help: "(Required) The right snapshot file.",
    },
    Opt {
        short: 'b',
        long: "bytes",
        argument: Some("BYTETHRESHOLD"),
        help: "(Required) The node data delta size threshold, in bytes, for printing the node.",
    },
    Opt {
        short: 'n',
        long: "nodes",
        argument: Some("NODETHRESHOLD"),
        help: "(Required) The descendant node delta size threshold, in nodes, for printing the \
               node.",
    },
    Opt { short: 'd', long: "debug", argument: None, help: "Use debug output." },
    Opt { short: 'i', long: "interactive", argument: None, help: "Enter interactive mode." },
];
const USAGE: &str = "java -cp <classPath> org.apache.zookeeper.server.SnapshotComparer -b <BYTETHRESHOLD> [-d] \
     [-i] -l <LEFT> -n <NODETHRESHOLD> -r <RIGHT>";

/// `zkSnapshotComparer.sh`.
pub fn run(arguments: &[String], console: &mut Console<'_>) -> io::Result<i32> {
    let parsed = parse(OPTIONS, arguments).and_then(|parsed| {
        let missing: Vec<_> = ['l', 'r', 'b', 'n']
            .into_iter()
            .filter(|o| !parsed.has(*o))
            .map(String::from)
            .collect();
        match missing.len() {
            0 => Ok(parsed),
            1 => Err(format!("Missing required option: {}", missing[0])),
            _ => Err(format!("Missing required options: {}", missing.join(", "))),
        }
    });
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(message) => {
            writeln!(console.err, "{message}")?;
            // The usage line of Java's help ends here; options follow.
            print_help(USAGE.split(" -b").next().unwrap_or(USAGE), OPTIONS, console.out)?;
            return Ok(exit::INVALID_INVOCATION);
        }
    };
    let value = |short| parsed.value(short).unwrap_or_default();
    let (Ok(bytes), Ok(nodes)) = (value('b').parse::<i32>(), value('n').parse::<i32>()) else {
        writeln!(console.err, "The thresholds -b and -n must be integers.")?;
        return Ok(exit::UNEXPECTED);
    };
    writeln!(console.out, "Successfully parsed options!")?;
    let mut trees = Vec::new();
    for file in [value('l'), value('r')] {
        if let Err(message) = check_file(file) {
            console.out.flush()?;
            writeln!(console.err, "{message}")?;
            return Ok(exit::UNEXPECTED);
        }
        warn_if_damaged(Path::new(file), console)?;
        match Tree::read(Path::new(file), console) {
            Ok(tree) => trees.push(tree),
            Err(e) => {
                console.out.flush()?;
                writeln!(console.err, "{file}: {e}")?;
                return Ok(exit::UNEXPECTED);
            }
        }
    }
    let (bytes, nodes) = (i64::from(bytes), i64::from(nodes));
    let debug = parsed.has('d');
    let interactive = parsed.has('i');
    let [left, right] = &trees[..] else { unreachable!("two files were read") };
    left.print(console.out)?;
    right.print(console.out)?;
    let verbose = debug || interactive;
    let mut comparison = Comparison { left, right, bytes, nodes, debug, verbose, out: console.out };
    if interactive {
        comparison.interactive(console.input)?;
    } else {
        comparison.print_thresholds()?;
        for depth in 0..comparison.depths() {
            comparison.depth(depth)?;
        }
    }
    writeln!(console.out, "All layers compared.")?;
    Ok(exit::FINISHED)
}

struct Node {
    /// Full path; empty for the root.
    label: String,
    parent: Option<usize>,
    children: Vec<usize>,
    depth: usize,
    /// Bytes of data here and below.
    size: i64,
    /// Znodes below.
    count: i64,
}

/// A snapshot's znodes with the totals of their subtrees.
#[derive(Default)]
struct Tree {
    nodes: Vec<Node>,
    by_label: HashMap<String, usize>,
    /// Per depth, sorted by path.
    depths: Vec<Vec<usize>>,
}

impl Tree {
    fn read(path: &Path, console: &mut Console<'_>) -> Result<Self, SnapshotError> {
        let seconds = |span: Duration| format!("{:.6}", span.as_secs_f64());
        let start = Instant::now();
        let mut tree = Tree::default();
        read_nodes(path, |path, data, _| tree.node(path, data))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let time = seconds(start.elapsed());
        writeln!(console.out, "Deserialized snapshot in {name} in {time} seconds")?;
        let start = Instant::now();
        tree.sum();
        let time = seconds(start.elapsed());
        writeln!(console.out, "Processed data tree in {time} seconds")?;
        Ok(tree)
    }

    /// Children come after their parents, so one pass backwards adds everything up.
    fn sum(&mut self) {
        for index in (0..self.nodes.len()).rev() {
            let Node { parent, size, count, depth, .. } = self.nodes[index];
            if let Some(parent) = parent {
                self.nodes[parent].size += size;
                self.nodes[parent].count += count + 1;
            }
            if self.depths.len() <= depth {
                self.depths.resize(depth + 1, Vec::new());
            }
            self.depths[depth].push(index);
        }
        for depth in &mut self.depths {
            depth.sort_by(|a, b| self.nodes[*a].label.cmp(&self.nodes[*b].label));
        }
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "Node count: {}", self.nodes.len())?;
        writeln!(out, "Total size: {}", self.nodes.first().map_or(0, |root| root.size))?;
        writeln!(out, "Max depth: {}", self.depths.len())?;
        for (depth, nodes) in self.depths.iter().enumerate() {
            writeln!(out, "Count of nodes at depth {depth}: {}", nodes.len())?;
        }
        writeln!(out)
    }

    fn node(&mut self, path: &str, data: Option<&[u8]>) -> Result<(), SnapshotError> {
        let index = self.nodes.len();
        let parent = match path.rsplit_once('/') {
            None => None,
            Some((parent, _)) => Some(*self.by_label.get(parent).ok_or_else(|| {
                SnapshotError::Invalid(format!("unable to find parent {parent} of path {path}"))
            })?),
        };
        if let Some(parent) = parent {
            self.nodes[parent].children.push(index);
        }
        let depth = parent.map_or(0, |parent| self.nodes[parent].depth + 1);
        let size = data.unwrap_or_default().len() as i64;
        let label = path.to_owned();
        self.nodes.push(Node { label, parent, children: Vec::new(), depth, size, count: 0 });
        self.by_label.insert(path.to_owned(), index);
        Ok(())
    }
}

struct Comparison<'a> {
    left: &'a Tree,
    right: &'a Tree,
    bytes: i64,
    nodes: i64,
    debug: bool,
    /// Say what is below the thresholds too.
    verbose: bool,
    out: &'a mut dyn Write,
}

impl Comparison<'_> {
    fn depths(&self) -> usize {
        self.left.depths.len().max(self.right.depths.len())
    }

    fn print_thresholds(&mut self) -> io::Result<()> {
        writeln!(
            self.out,
            "Printing analysis for nodes difference larger than {} bytes or node count difference \
             larger than {}.",
            self.bytes, self.nodes
        )
    }

    fn interactive(&mut self, input: &mut dyn io::BufRead) -> io::Result<()> {
        let deepest = self.depths() - 1;
        let mut current = 0;
        while current <= deepest {
            writeln!(self.out, "Current depth is {current}")?;
            writeln!(
                self.out,
                "- Press enter to move to print current depth layer;\n- Type a number to jump to \
                 and print all nodes at a given depth;\n- Enter an ABSOLUTE path to print the \
                 immediate subtree of a node. Path must start with '/'."
            )?;
            self.out.flush()?;
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end_matches(['\n', '\r']);
            self.print_thresholds()?;
            if line.is_empty() {
                self.depth(current)?;
                current += 1;
            } else if line.starts_with('/') {
                self.subtree(line)?;
            } else {
                match line.parse::<i32>() {
                    Ok(depth) => match usize::try_from(depth).ok().filter(|d| *d <= deepest) {
                        Some(depth) => {
                            current = depth;
                            self.depth(depth)?;
                        }
                        None => {
                            writeln!(self.out, "Depth must be in range [0, {deepest}]")?;
                            continue;
                        }
                    },
                    Err(_) => writeln!(
                        self.out,
                        "Input {line} is not valid. Depth must be in range [0, {deepest}]. Path \
                         must be an absolute path which starts with '/'."
                    )?,
                }
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    fn depth(&mut self, depth: usize) -> io::Result<()> {
        writeln!(self.out, "Analysis for depth {depth}")?;
        let at = |tree: &Tree| tree.depths.get(depth).cloned().unwrap_or_default();
        let (left, right) = (at(self.left), at(self.right));
        self.merge(&left, &right)
    }

    fn subtree(&mut self, path: &str) -> io::Result<()> {
        writeln!(self.out, "Analysis for node {path}")?;
        let children = |tree: &Tree| {
            tree.by_label.get(path).map(|index| {
                let mut children = tree.nodes[*index].children.clone();
                children.sort_by(|a, b| tree.nodes[*a].label.cmp(&tree.nodes[*b].label));
                children
            })
        };
        let (left, right) = (children(self.left), children(self.right));
        if left.is_none() && right.is_none() {
            return writeln!(self.out, "Path {path} is neither found in left tree nor right tree.");
        }
        self.merge(&left.unwrap_or_default(), &right.unwrap_or_default())
    }

    /// Walks two sorted lists side by side.
    fn merge(&mut self, left: &[usize], right: &[usize]) -> io::Result<()> {
        let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
        loop {
            let (l, r) = (
                left.peek().map(|i| &self.left.nodes[**i]),
                right.peek().map(|i| &self.right.nodes[**i]),
            );
            let order = match (l, r) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(l), Some(r)) => {
                    let order = l.label.cmp(&r.label);
                    if self.debug {
                        let verdict = match order {
                            Ordering::Less => "left is less",
                            Ordering::Greater => "right is less",
                            Ordering::Equal => "same",
                        };
                        writeln!(self.out, "Comparing {} to {}\n{verdict}", l.label, r.label)?;
                    }
                    order
                }
            };
            match order {
                Ordering::Less => {
                    self.only("left", l.expect("an order needs it"))?;
                    left.next();
                }
                Ordering::Greater => {
                    self.only("right", r.expect("an order needs it"))?;
                    right.next();
                }
                Ordering::Equal => {
                    self.both(l.expect("an order needs it"), r.expect("an order needs it"))?;
                    left.next();
                    right.next();
                }
            }
        }
    }

    fn only(&mut self, side: &str, node: &Node) -> io::Result<()> {
        let Node { label, size, count, .. } = node;
        if *size > self.bytes || *count > self.nodes {
            writeln!(
                self.out,
                "Node {label} found only in {side} tree. Descendant size: {size}. Descendant \
                 count: {count}"
            )
        } else if self.verbose {
            writeln!(self.out, "Filtered {side} node {label} of size {size}")
        } else {
            Ok(())
        }
    }

    fn both(&mut self, left: &Node, right: &Node) -> io::Result<()> {
        let (bytes, nodes) = (right.size - left.size, right.count - left.count);
        let label = &left.label;
        if bytes.abs() > self.bytes || nodes.abs() > self.nodes {
            writeln!(
                self.out,
                "Node {label} found in both trees. Delta: {bytes} bytes, {nodes} descendants"
            )
        } else if self.verbose {
            writeln!(
                self.out,
                "Filtered node {label} of left size {}, right size {}",
                left.size, right.size
            )
        } else {
            Ok(())
        }
    }
}
