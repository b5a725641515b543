//! Protocol stories: a text file of commands, each with everything that happens because of it.
//!
//! ```text
//! # Why the story is told.
//! cluster 3 0                 three voters, no observers; nobody runs
//! ----
//! start 1 2 3
//! ----
//! 1 starts at 0x0
//! ...
//! ```
//!
//! `UPDATE_SCRIPTS=1` writes what happens into the files; a human reads the difference. Delays are
//! fixed, nothing happens by chance.

use std::fmt::Write as _;

use bytes::Bytes;
use jute::proto::op;

use super::disk::Disk;
use super::world::World;
use super::{Faults, SimOptions};
use crate::base::{SessionId, Zxid};
use crate::zab::{ForwardedRequest, Mutation, Mutations};

/// Runs one script; returns its text with the output that really came.
pub(super) fn play(text: &str, mutations: Mutations) -> String {
    let mut out = String::new();
    let mut world: Option<World> = None;
    let mut written = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            let _ = writeln!(out, "{line}");
            continue;
        }
        // What the file expects is skipped: the real output takes its place.
        if lines.peek() == Some(&"----") {
            lines.next();
            while lines.next_if(|l| !l.is_empty()).is_some() {}
        }
        let _ = writeln!(out, "{line}\n----");
        for shown in command(line, &mut world, &mut written, mutations) {
            let _ = writeln!(out, "{shown}");
        }
        lines.next_if(|l| l.is_empty());
        let _ = writeln!(out);
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out.push('\n');
    out
}

fn command(
    line: &str,
    world: &mut Option<World>,
    written: &mut i32,
    mutations: Mutations,
) -> Vec<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| -> usize { words[at].parse().expect("a number") };
    if words[0] == "cluster" {
        let mut options = SimOptions {
            seed: 1,
            voters: number(1),
            observers: number(2),
            clients: 0,
            think_us: 0,
            tick_ms: 2_000,
            window: 500,
            snap_syncs: 10,
            observer_masters: false,
            packets_together: false,
            counting: String::new(),
            storm_ms: 0,
            faults: Faults::none(),
            mutations,
            trace: true,
            steady: true,
        };
        // `early-acks=yes`: learners ack proposals before NEWLEADER, as some Java releases do.
        for option in &words[3..] {
            match option.split_once('=').expect("option=value") {
                ("window", value) => options.window = value.parse().expect("a number"),
                ("early-acks", _) => {
                    options.mutations = options.mutations.with(Mutation::AckEarly);
                }
                ("observer-masters", _) => options.observer_masters = true,
                ("snap-syncs", value) => options.snap_syncs = value.parse().expect("a number"),
                (name, _) if name.starts_with("group.") || name.starts_with("weight.") => {
                    let _ = writeln!(options.counting, "{option}");
                }
                (name, _) => panic!("unknown option {name}"),
            }
        }
        *world = Some(World::new(options));
        return Vec::new();
    }
    let world = world.as_mut().expect("the script starts with cluster");
    let node = |at: usize| number(at) - 1;
    match words[0] {
        "start" => {
            for word in words[1..].iter().take_while(|w| **w != "votes") {
                world.start(word.parse::<usize>().expect("a number") - 1);
            }
        }
        "run" => {}
        "write" => {
            for _ in 0..number(2) {
                *written += 1;
                let request = ForwardedRequest {
                    session: SessionId(1 + node(1) as i64),
                    cxid: *written,
                    op: op::SET_DATA,
                    body: Bytes::copy_from_slice(&written.to_be_bytes()),
                    identities: None,
                };
                world.submit(node(1), request);
            }
        }
        "kill" => world.kill(node(1)),
        // node, how many times, action
        "kill-before" => {
            world.kill_before = Some((node(1), words[3..].join(" "), number(2)));
        }
        "hold" => world.held.push((node(1), node(2), words[3].to_owned())),
        "release" if words.len() == 1 => world.held.clear(),
        "release" => world.held.retain(|h| (h.0, h.1) != (node(1), node(2))),
        "cut" => {
            for at in 2..words.len() {
                world.cut[node(1)][node(at)] = true;
                world.cut[node(at)][node(1)] = true;
            }
        }
        "heal" => world.heal_network(),
        "wipe" => world.nodes[node(1)].disk = Disk::wiped(),
        "snapshot" => {
            let node = &mut world.nodes[node(1)];
            node.disk.snapshot(node.tree);
        }
        // Everything up to this zxid, in hex, happened already.
        "jump" => world.jump(Zxid(i64::from_str_radix(words[1], 16).expect("a zxid"))),
        "full" => world.nodes[node(1)].disk.full = true,
        "status" => return status(world),
        other => panic!("unknown command {other}"),
    }
    let ms = match words[0] {
        "run" => number(1) as u64,
        "start" | "write" => 100,
        _ => 0,
    };
    world.run(world.now + ms * 1_000);
    let votes = words.last() == Some(&"votes");
    world.take_trace().into_iter().filter(|l| votes || !l.contains(" VOTE ")).collect()
}

fn status(world: &World) -> Vec<String> {
    let line = |node: &super::world::Node| {
        let (accepted, current) = (node.disk.accepted, node.disk.current);
        let role = match (&node.peer, node.serving) {
            (None, _) => "down".to_owned(),
            (Some(peer), None) => format!("{:?}", peer.state()),
            (Some(_), Some(serving)) => format!("serving as {serving:?}"),
        };
        format!(
            "{}: {role}, tree {}, disk {}, epochs {accepted} {current}",
            node.sid,
            node.tree.zxid,
            node.disk.durable()
        )
    };
    world.nodes.iter().map(line).collect()
}
