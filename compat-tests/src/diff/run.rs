//! The lockstep itself.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use jute::Reader;
use jute::proto::{ReplyHeader, XID_NOTIFICATION, XID_PING, op};

use super::render::{self, Names};
use super::steps::{Generator, Greeting, Profile, Request, SLOTS, Step};
use crate::wire::{Connected, Hello, Wire, handshake, request};

/// How many earlier steps a report shows.
const HISTORY: usize = 12;

/// The two answers that should have been one.
#[derive(Debug)]
pub struct Difference {
    /// Number of the step.
    pub step: usize,
    /// The steps before, oldest first, then this one, and the reference's answers.
    pub history: Vec<String>,
    /// Lines of the reference that the subject lacks, and the reverse.
    pub lines: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "difference in step {}", self.step)?;
        for line in self.history.iter().chain(&self.lines) {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

/// What a run has done.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests and connects sent to each server.
    pub operations: usize,
    /// Events that arrived.
    pub events: usize,
    /// Replies with an error code.
    pub errors: usize,
    /// The first difference; the run ends there, since the states may differ from then on.
    pub difference: Option<Difference>,
}

/// Gives the program of `seed` to both servers, which must be empty, until `operations` are done.
/// Fails only if the reference cannot be talked to; trouble of the subject is a difference.
pub fn lockstep(
    reference: SocketAddr,
    subject: SocketAddr,
    seed: u64,
    profile: Profile,
    operations: usize,
) -> Result<Report> {
    let mut run = Lockstep::new(reference, subject, seed, profile);
    run.go_on(operations)?;
    Ok(run.report)
}

/// A run that can be interrupted, for what happens to the servers themselves.
pub struct Lockstep {
    generator: Generator,
    sides: [Side; 2],
    history: VecDeque<String>,
    number: usize,
    /// So far.
    pub report: Report,
}

impl Lockstep {
    /// Both servers must be empty.
    pub fn new(reference: SocketAddr, subject: SocketAddr, seed: u64, profile: Profile) -> Self {
        Self {
            generator: Generator::new(seed, profile),
            sides: [Side::new(reference), Side::new(subject)],
            history: VecDeque::new(),
            number: 0,
            report: Report::default(),
        }
    }

    /// Does so many operations more, or stops at the first difference. Fails only if the reference
    /// cannot be talked to.
    pub fn go_on(&mut self, operations: usize) -> Result<()> {
        let end = self.report.operations + operations;
        while self.report.difference.is_none() && self.report.operations < end {
            let step = self.generator.next_step();
            self.take(&step)?;
        }
        Ok(())
    }

    /// Both servers have been restarted: all connections are gone, the sessions are not.
    pub fn servers_restarted(&mut self) {
        self.history.push_back("both servers were restarted".to_owned());
        for side in &mut self.sides {
            side.disconnect();
        }
        self.look();
    }

    fn take(&mut self, step: &Step) -> Result<()> {
        self.number += 1;
        self.report.operations += match step {
            Step::Requests(_, requests) => requests.len(),
            _ => 1,
        };
        let expected = self.sides[0].take(step).with_context(|| format!("reference: {step:?}"))?;
        let actual = match self.sides[1].take(step) {
            Ok(lines) => lines,
            Err(error) => vec![format!("FAILED {error:#}")],
        };
        self.report.events += expected.iter().filter(|line| line.contains(" event ")).count();
        self.report.errors += expected.iter().filter(|line| line.contains(" err -")).count();
        self.history.push_back(describe(self.number, step, &expected));
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
        if expected != actual {
            let lines = compare(&expected, &actual);
            let history = std::mem::take(&mut self.history).into();
            self.report.difference = Some(Difference { step: self.number, history, lines });
        }
        self.look();
        Ok(())
    }

    /// The generator learns what the reference has shown.
    fn look(&mut self) {
        let reference = &mut self.sides[0];
        self.generator.last_zxid = reference.last_zxid;
        self.generator.created.append(&mut reference.names.created);
        self.generator.open = std::array::from_fn(|slot| reference.slots[slot].wire.is_some());
        self.generator.known =
            std::array::from_fn(|slot| reference.slots[slot].connected.is_some());
    }
}

fn describe(number: usize, step: &Step, answers: &[String]) -> String {
    let mut text = format!("#{number} ");
    match step {
        Step::Requests(slot, requests) => {
            text += &format!("session slot {slot}");
            for r in requests {
                text += &format!("\n    > xid {} {}", r.xid, r.label);
            }
        }
        other => text += &format!("{other:?}"),
    }
    for answer in answers {
        text += &format!("\n    < {answer}");
    }
    text
}

fn compare(expected: &[String], actual: &[String]) -> Vec<String> {
    let equal = expected.iter().zip(actual).take_while(|(e, a)| e == a).count();
    let (expected, actual) = (&expected[equal..], &actual[equal..]);
    let tail = expected.iter().rev().zip(actual.iter().rev()).take_while(|(e, a)| e == a).count();
    let reference = expected[..expected.len() - tail].iter().map(|l| format!("  reference: {l}"));
    let subject = actual[..actual.len() - tail].iter().map(|l| format!("  subject:   {l}"));
    reference.chain(subject).collect()
}

/// One server as the program sees it.
struct Side {
    address: SocketAddr,
    names: Names,
    slots: [Slot; SLOTS],
    last_zxid: i64,
}

#[derive(Default)]
struct Slot {
    wire: Option<Wire>,
    connected: Option<Connected>,
    pending: VecDeque<Request>,
    zxid: i64,
}

/// One received frame.
struct Received {
    header: ReplyHeader,
    body: Vec<u8>,
    /// Op code of the request it answers; `None` for an event.
    kind: Option<i32>,
}

impl Side {
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            names: Names::default(),
            slots: std::array::from_fn(|_| Slot::default()),
            last_zxid: 0,
        }
    }

    fn disconnect(&mut self) {
        for slot in &mut self.slots {
            slot.wire = None;
            slot.pending.clear();
        }
    }

    /// Executes a step and tells what all sessions saw of it.
    fn take(&mut self, step: &Step) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let active = match step {
            Step::Requests(slot, requests) => {
                let Some(wire) = &mut self.slots[*slot].wire else { return Ok(lines) };
                let mut bytes = Vec::new();
                for r in requests {
                    bytes.extend(crate::wire::frame(&request(r.xid, r.kind, &r.body)));
                }
                wire.send_raw(&bytes)?;
                self.slots[*slot].pending.extend(requests.iter().cloned());
                *slot
            }
            Step::Raw(slot, bytes) => {
                let Some(wire) = &mut self.slots[*slot].wire else { return Ok(lines) };
                wire.send_raw(bytes)?;
                let mut received = Vec::new();
                while let Some(payload) = wire.receive()? {
                    received.push(payload);
                }
                lines.push(format!("{slot} {received:?} then closed"));
                self.slots[*slot].wire = None;
                *slot
            }
            Step::Drop(slot) => {
                // Java closes its side when it has forgotten the connection. Until then a new one of the
                // same session may be forgotten with it.
                if let Some(wire) = self.slots[*slot].wire.take() {
                    wire.hang_up();
                }
                *slot
            }
            Step::Connect(slot, greeting) => {
                lines.push(self.connect(*slot, greeting)?);
                *slot
            }
        };
        let mut received: Vec<(usize, Vec<Received>, bool)> = Vec::new();
        let (replies, closed) = self.collect(active)?;
        received.push((active, replies, closed));
        for slot in (0..SLOTS).filter(|slot| *slot != active) {
            if let Some(wire) = &mut self.slots[slot].wire {
                wire.send(&request(XID_PING, op::PING, &[]))?;
                self.slots[slot].pending.push_back(Request {
                    xid: XID_PING,
                    kind: op::PING,
                    body: Vec::new(),
                    label: String::new(),
                });
                let (replies, closed) = self.collect(slot)?;
                received.push((slot, replies, closed));
            }
        }
        let closing: HashSet<i64> = received
            .iter()
            .flat_map(|(_, replies, _)| replies)
            .filter(|r| r.kind == Some(op::CLOSE_SESSION))
            .map(|r| r.header.zxid)
            .collect();
        for (slot, replies, closed) in received {
            self.render(slot, &replies, &closing, &mut lines);
            if closed {
                lines.push(format!("{slot} closed"));
                self.slots[slot].wire = None;
            }
        }
        Ok(lines)
    }

    /// Reads until nothing is pending, or until the server closes.
    fn collect(&mut self, slot: usize) -> Result<(Vec<Received>, bool)> {
        let slot = &mut self.slots[slot];
        let mut received = Vec::new();
        let Some(wire) = &mut slot.wire else { return Ok((received, false)) };
        let mut expect_end = false;
        while !slot.pending.is_empty() || expect_end {
            let Some(payload) = wire.receive()? else {
                slot.pending.clear();
                return Ok((received, true));
            };
            let mut input = Reader::new(&payload);
            let header: ReplyHeader = input.read()?;
            let body = input.remaining().to_vec();
            if header.xid == XID_NOTIFICATION && slot.pending.front().is_none_or(|r| r.xid != -1) {
                received.push(Received { header, body, kind: None });
                continue;
            }
            let kind = match slot.pending.pop_front() {
                Some(request) => {
                    expect_end |= request.kind == op::CLOSE_SESSION
                        || header.err == -6 && header.zxid == -1
                        || header.err == -115;
                    request.kind
                }
                None => -2,
            };
            received.push(Received { header, body, kind: Some(kind) });
        }
        Ok((received, false))
    }

    fn render(
        &mut self,
        slot: usize,
        received: &[Received],
        closing: &HashSet<i64>,
        lines: &mut Vec<String>,
    ) {
        let first = lines.len();
        let mut group: Option<(i64, usize)> = None;
        for r in received {
            let Some(kind) = r.kind else {
                let zxid = r.header.zxid;
                // Java deletes the ephemerals of a session in hash order: sort what it caused.
                let start = match group {
                    Some((z, start)) if z == zxid => start,
                    _ => lines.len(),
                };
                group = Some((zxid, start));
                lines.push(format!("{slot} {}", render::event(&r.header, &r.body)));
                if closing.contains(&zxid) {
                    lines[start..].sort();
                }
                continue;
            };
            group = None;
            let text = self.names.reply(kind, &r.header, &r.body);
            lines.push(format!("{slot} xid {} {text}", r.header.xid));
            self.last_zxid = self.last_zxid.max(r.header.zxid);
            if r.header.zxid > 0 {
                let newest = &mut self.slots[slot].zxid;
                if r.header.zxid < *newest {
                    lines.push(format!("{slot} ZXID WENT BACK from {newest:x}"));
                }
                *newest = r.header.zxid;
            }
        }
        debug_assert!(first <= lines.len());
    }

    fn connect(&mut self, slot: usize, greeting: &Greeting) -> Result<String> {
        let known = self.slots[slot].connected.clone();
        let hello = match (greeting, &known) {
            (Greeting::New { timeout, old }, _) => {
                Hello { timeout: *timeout, with_read_only: !old, ..Hello::default() }
            }
            (Greeting::Again { last_zxid, wrong_password }, Some(connected)) => {
                let mut hello = Hello { last_zxid: *last_zxid, ..Hello::again(connected) };
                if *wrong_password {
                    hello.password[3] ^= 0x55;
                }
                hello
            }
            (Greeting::Again { .. }, None) => Hello::default(),
            (Greeting::Unknown, _) => {
                Hello { session: 0x1234_5678_9abc, password: vec![7; 16], ..Hello::default() }
            }
        };
        let mut wire = Wire::connect(self.address)?;
        let Some(connected) = handshake(&mut wire, &hello)? else {
            return Ok(format!("{slot} connect: closed without an answer"));
        };
        let name = self.names.session(connected.session);
        let mut text = format!(
            "{slot} connect: {name} timeout {} response of {} bytes",
            connected.timeout, connected.length
        );
        if connected.timeout <= 0 {
            let zeros = connected.password.iter().all(|b| *b == 0);
            let closed = wire.receive()?.is_none();
            text += &format!(" password of zeros {zeros} then closed {closed}");
            return Ok(text);
        }
        text += &format!(" password of {}", connected.password.len());
        if let Some(known) = known.filter(|k| k.session == connected.session) {
            text += &format!(" same {}", known.password == connected.password);
            if let Some(mut old) = self.slots[slot].wire.take() {
                let mut frames = 0;
                while old.receive()?.is_some() {
                    frames += 1;
                }
                text += &format!(" old connection closed after {frames} frames");
            }
        }
        self.slots[slot] = Slot {
            wire: Some(wire),
            connected: Some(connected),
            pending: VecDeque::new(),
            zxid: 0,
        };
        Ok(text)
    }
}
