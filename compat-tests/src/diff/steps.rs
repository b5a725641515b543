//! The generator: what a client may do, and what it should not, from one seed.

use std::borrow::Cow;

use jute::Encode;
use jute::data::{Acl, Id};
use jute::proto::{
    AddWatchRequest, CheckVersionRequest, CheckWatchesRequest, CreateRequest, CreateTtlRequest,
    DeleteRequest, ExistsRequest, GetEphemeralsRequest, MULTI_END, MultiHeader, ReconfigRequest,
    SetAclRequest, SetDataRequest, SetWatches, SetWatches2, XID_AUTH, XID_PING, XID_SET_WATCHES,
    op,
};

use super::render::hex;
use crate::random::Random;

/// Sessions of one run.
pub const SLOTS: usize = 4;

/// The slot whose sessions are super users, and the only one that sends setWatches: ours does not
/// tell others about znodes they may not read, Java does.
const SUPER_SLOT: usize = 3;

/// One request of a step.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its xid.
    pub xid: i32,
    /// Its op code.
    pub kind: i32,
    /// What follows the header.
    pub body: Vec<u8>,
    /// For people.
    pub label: String,
}

/// How a connection is opened.
#[derive(Debug, Clone)]
pub enum Greeting {
    /// A new session; `old` as clients without the read-only byte.
    New {
        /// Timeout asked for, ms.
        timeout: i32,
        /// Without the read-only byte.
        old: bool,
    },
    /// The session of this slot once more.
    Again {
        /// Newest zxid seen: 0, the real one or one from the future.
        last_zxid: i64,
        /// With a password that is not the session's.
        wrong_password: bool,
    },
    /// A session nobody has opened.
    Unknown,
}

/// What both servers are given next.
#[derive(Debug, Clone)]
pub enum Step {
    /// Pipelined requests of one session.
    Requests(usize, Vec<Request>),
    /// A connection; an open one of the slot is kept until the new one is answered.
    Connect(usize, Greeting),
    /// Bytes that are no request; the server closes.
    Raw(usize, Vec<u8>),
    /// The client closes its socket.
    Drop(usize),
}

/// What a run is mostly about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A bit of everything.
    General,
    /// Few paths, many watches.
    Watches,
    /// Long multis that fail in all places.
    Multi,
    /// Sessions that come and go.
    Sessions,
    /// Bytes that make no sense.
    Garbage,
    /// Quotas; one request at a time, since Java checks them against applied state.
    Quota,
    /// ACLs and identities.
    Acl,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 7] = [
        Profile::General,
        Profile::Watches,
        Profile::Multi,
        Profile::Sessions,
        Profile::Garbage,
        Profile::Quota,
        Profile::Acl,
    ];
}

/// Makes steps. Everything follows from the seed and from what the reference server answered.
#[derive(Debug)]
pub struct Generator {
    random: Random,
    profile: Profile,
    xid: i32,
    /// Newest zxid the reference showed.
    pub last_zxid: i64,
    /// Paths the reference created, newest last.
    pub created: Vec<String>,
    /// Which slots hold an open connection, and which hold a session to come back to.
    pub open: [bool; SLOTS],
    /// Which slots have had a session.
    pub known: [bool; SLOTS],
    queue: Vec<Step>,
}

const ROOTS: [&str; 4] = ["/a", "/b", "/c", "/q"];
const ODD_PATHS: [&str; 26] = [
    "",
    "/",
    "//",
    "a",
    "a/b",
    "/a/",
    "/a//b",
    "/a/.",
    "/a/./b",
    "/a/../b",
    "/a/...",
    "/a/x..",
    "/a/\u{0}",
    "/\u{1}",
    "/a/\u{7f}",
    "/a/\u{9f}x",
    "/a/\u{d7ff}",
    "/a/\u{e000}",
    "/a/\u{fff0}",
    "/a/😀",
    "/a/ü",
    "/missing/",
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/config",
    "/zookeeper/x",
];
const SCHEMES: [(&str, &str); 18] = [
    ("world", "anyone"),
    ("world", "nobody"),
    ("auth", ""),
    ("auth", "ignored"),
    ("digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="),
    ("digest", "v:x"),
    ("digest", "a:b:c"),
    ("digest", "nocolon"),
    ("digest", ":b"),
    ("digest", "a:"),
    ("ip", "127.0.0.1"),
    ("ip", "127.0.0.0/8"),
    ("ip", "10.0.0.1"),
    ("ip", "1.2.3.4/"),
    ("ip", "::1"),
    ("sasl", "x"),
    ("super", ""),
    ("unknown", "x"),
];
const CREDENTIALS: [&str; 5] = ["u:p", "v:w", "super:pw", "nocolon", "u:wrong"];

impl Generator {
    /// The program of `seed`.
    pub fn new(seed: u64, profile: Profile) -> Self {
        Self {
            random: Random::new(seed),
            profile,
            xid: 0,
            last_zxid: 0,
            created: Vec::new(),
            open: [false; SLOTS],
            known: [false; SLOTS],
            queue: Vec::new(),
        }
    }

    /// The next step.
    pub fn next_step(&mut self) -> Step {
        if let Some(step) = self.queue.pop() {
            match step {
                Step::Requests(slot, _) if !self.open[slot] => {}
                step => return step,
            }
        }
        let slot = self.random.below(SLOTS);
        if !self.open[slot] {
            return self.connect(slot);
        }
        let sessions = self.profile == Profile::Sessions;
        let weights = [
            if sessions { 60 } else { 965 },
            if sessions { 10 } else { 8 },
            if sessions { 10 } else { 8 },
            if self.profile == Profile::Garbage { 60 } else { 4 },
            if self.profile == Profile::Quota { 60 } else { 5 },
            if self.profile == Profile::Garbage { 60 } else { 5 },
        ];
        match self.random.weighted(&weights) {
            0 => self.batch(slot),
            1 => Step::Drop(slot),
            2 => {
                self.become_super(slot);
                Step::Connect(slot, self.again())
            }
            3 => Step::Raw(slot, self.broken_frame()),
            4 => self.quota(slot),
            _ => {
                let fatal = self.fatal();
                Step::Requests(slot, vec![fatal])
            }
        }
    }

    fn connect(&mut self, slot: usize) -> Step {
        self.become_super(slot);
        Step::Connect(slot, self.greeting(slot))
    }

    /// Puts the identity of a new connection into the queue, if the slot has one.
    fn become_super(&mut self, slot: usize) {
        if slot == SUPER_SLOT {
            let mut body = 0i32.to_vec();
            "digest".encode(&mut body);
            b"super:pw"[..].encode(&mut body);
            let label = "auth super".to_owned();
            let auth = Request { xid: XID_AUTH, kind: op::AUTH, body, label };
            self.queue.push(Step::Requests(slot, vec![auth]));
        }
    }

    fn greeting(&mut self, slot: usize) -> Greeting {
        let choice = self.random.below(10);
        if self.known[slot] && choice < 6 {
            return self.again();
        }
        match choice {
            7 => Greeting::Unknown,
            8 => Greeting::Again { last_zxid: 0, wrong_password: self.known[slot] },
            _ => Greeting::New {
                timeout: *self.random.pick(&[300_000, 400_000, 1_000_000, -1, i32::MAX]),
                old: self.random.percent(20),
            },
        }
    }

    fn again(&mut self) -> Greeting {
        let last_zxid = match self.random.below(8) {
            0 => self.last_zxid + 1000,
            1 | 2 => 0,
            _ => self.last_zxid,
        };
        Greeting::Again { last_zxid, wrong_password: false }
    }

    fn batch(&mut self, slot: usize) -> Step {
        // Answered by the connection at once, out of order: alone, or the order would be a race.
        if self.random.percent(if self.profile == Profile::Acl { 10 } else { 2 }) {
            let auth = self.auth();
            return Step::Requests(slot, vec![auth]);
        }
        let single = self.profile == Profile::Quota || self.random.percent(40);
        let count = if single { 1 } else { 2 + self.random.below(9) };
        let mut requests: Vec<Request> = (0..count).map(|_| self.request(slot)).collect();
        // Java's pending changes do not carry a new ACL: whether a write behind setACL sees it
        // depends on how fast the setACL is applied. Ours always sees it. So nothing follows.
        if let Some(at) = requests.iter().position(|r| r.kind == op::SET_ACL) {
            requests.truncate(at + 1);
        }
        let close = if self.profile == Profile::Sessions { 12 } else { 1 };
        if self.random.percent(close) {
            requests.push(self.plain(op::CLOSE_SESSION, Vec::new(), "closeSession".to_owned()));
        }
        Step::Requests(slot, requests)
    }

    fn plain(&mut self, kind: i32, body: Vec<u8>, label: String) -> Request {
        self.xid += 1;
        // Any number is echoed; a few clients use odd ones.
        let xid = match self.random.below(200) {
            0 => 0,
            1 => -3,
            2 => i32::MIN,
            _ => self.xid,
        };
        Request { xid, kind, body, label }
    }

    fn request(&mut self, slot: usize) -> Request {
        let is_super = slot == SUPER_SLOT;
        let watchy = self.profile == Profile::Watches;
        let weights = [
            26,                                                  // create
            10,                                                  // delete
            12,                                                  // setData
            if self.profile == Profile::Acl { 14 } else { 4 },   // setACL
            if self.profile == Profile::Multi { 40 } else { 8 }, // multi
            4,                                                   // multiRead
            if watchy { 20 } else { 10 },                        // exists
            if watchy { 20 } else { 12 },                        // getData
            if watchy { 20 } else { 10 },                        // getChildren, 2
            if self.profile == Profile::Acl { 10 } else { 4 },   // getACL
            8,                                                   // others
            if watchy { 10 } else { 3 },                         // addWatch
            if watchy { 10 } else { 3 },                         // check, removeWatches
            if !is_super {
                0
            } else if watchy {
                24
            } else {
                8
            }, // setWatches
            if self.profile == Profile::Garbage { 30 } else { 2 }, // cut short
        ];
        match self.random.weighted(&weights) {
            0 => {
                let (kind, body, label) = self.create(false);
                self.plain(kind, body, label)
            }
            1 => {
                let (body, label) = self.delete();
                self.plain(op::DELETE, body, label)
            }
            2 => {
                let (body, label) = self.set_data();
                self.plain(op::SET_DATA, body, label)
            }
            3 => self.set_acl(),
            4 => self.multi(),
            5 => self.multi_read(),
            6 => self.read(op::EXISTS, "exists"),
            7 => self.read(op::GET_DATA, "getData"),
            8 => {
                let kind = *self.random.pick(&[op::GET_CHILDREN, op::GET_CHILDREN2]);
                self.read(kind, "getChildren")
            }
            9 => {
                let path = self.path();
                let label = format!("getACL {path:?}");
                self.plain(op::GET_ACL, path.to_vec(), label)
            }
            10 => self.other(),
            11 => {
                let path = self.path();
                let mode = *self.random.pick(&[0, 1, 0, 1, 0, 1, 2, -1]);
                let label = format!("addWatch {path:?} mode {mode}");
                let body = AddWatchRequest { path: path.map(Cow::Owned), mode }.to_vec();
                self.plain(op::ADD_WATCH, body, label)
            }
            12 => {
                let path = self.path();
                let check = *self.random.pick(&[op::CHECK_WATCHES, op::REMOVE_WATCHES]);
                let kind = *self.random.pick(&[1, 2, 3, 4, 5, 3, 0, 6]);
                let label = format!("check/removeWatches {check} {path:?} type {kind}");
                let body = CheckWatchesRequest { path: path.map(Cow::Owned), kind }.to_vec();
                self.plain(check, body, label)
            }
            13 => self.set_watches(),
            _ => self.cut_short(is_super),
        }
    }

    /// A path: mostly one that may exist, sometimes a strange one, rarely null.
    fn path(&mut self) -> Option<String> {
        let garbage = self.profile == Profile::Garbage;
        match self.random.below(100) {
            0 if self.random.percent(30) => None,
            1..=4 => Some((*self.random.pick(&ODD_PATHS)).to_owned()),
            5..=15 if garbage => Some((*self.random.pick(&ODD_PATHS)).to_owned()),
            16..=45 if !self.created.is_empty() => {
                let newest = self.created.len().saturating_sub(30);
                Some(self.random.pick(&self.created[newest..]).clone())
            }
            46..=48 => Some("/".to_owned()),
            _ => Some(self.fresh_path()),
        }
    }

    fn fresh_path(&mut self) -> String {
        let mut path = (*self.random.pick(&ROOTS)).to_owned();
        for _ in 0..self.random.below(3) {
            path.push('/');
            let name = *self.random.pick(&["x", "y", "z"]);
            path.push_str(name);
        }
        path
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        match self.random.below(20) {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(vec![b'L'; 1 + self.random.below(5000)]),
            n => Some(format!("data{n}").into_bytes()),
        }
    }

    fn version(&mut self) -> i32 {
        *self.random.pick(&[-1, -1, -1, -1, -1, 0, 0, 1, 2, 3, -2, i32::MAX])
    }

    fn acl(&mut self) -> Option<Vec<Acl>> {
        let odd = if self.profile == Profile::Acl { 60 } else { 8 };
        if !self.random.percent(odd) {
            return Some(vec![Acl::world(31)]);
        }
        if self.random.percent(5) {
            return None;
        }
        let count = self.random.below(4);
        let entries = (0..count).map(|_| {
            // Most lists should be valid, or nothing is ever created.
            let good = [SCHEMES[0], SCHEMES[2], SCHEMES[4], SCHEMES[5], SCHEMES[10], SCHEMES[11]];
            let (scheme, id) = if self.random.percent(90) {
                *self.random.pick(&good)
            } else {
                *self.random.pick(&SCHEMES)
            };
            let perms = *self.random.pick(&[31, 31, 1, 2, 4, 8, 16, 3, 17, 0, 5, 1024]);
            // Beside another entry of the same permissions Java fails to compare it: -5, not -114.
            let null = count == 1 && self.random.percent(2);
            let scheme = if null { None } else { Some(scheme.to_owned()) };
            Acl { perms, id: Id { scheme, id: Some(id.to_owned()) } }
        });
        Some(entries.collect())
    }

    /// Op code, body and label of one of the creates.
    fn create(&mut self, in_multi: bool) -> (i32, Vec<u8>, String) {
        let mut path = self.path();
        let data = self.data();
        let acl = self.acl();
        let kind = *self.random.pick(&[
            op::CREATE,
            op::CREATE,
            op::CREATE2,
            op::CREATE2,
            op::CREATE_CONTAINER,
            op::CREATE_TTL,
        ]);
        let mut flags = match kind {
            op::CREATE_TTL => *self.random.pick(&[5, 5, 6, 6, 0]),
            // Not with an ephemeral flag: Java's pending change then has another owner than the
            // znode will have, and closing the session at once deletes it.
            op::CREATE_CONTAINER => *self.random.pick(&[4, 4, 4, 0]),
            _ => *self.random.pick(&[0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4]),
        };
        if self.random.percent(2) {
            flags = *self.random.pick(&[7, -1, 99, 5, 6]);
        }
        if matches!(flags, 2 | 3 | 6)
            && self.random.percent(30)
            && let Some(path) = &mut path
        {
            path.push('/');
        }
        // A value Java accepts and dies of: flags without a TTL and a negative one.
        let ttl = if matches!(flags, 5 | 6) {
            *self.random.pick(&[100_000, 1 << 39, (1 << 40) - 1, 100_000, 0, -1, 1 << 40])
        } else {
            100_000
        };
        if let Some(p) = &path
            && p.contains("zookeeper_limits")
        {
            path = Some("/a".to_owned());
        }
        // Answered with -5 by a standalone server, but poison to a Java ensemble.
        let acl = if in_multi && acl.is_none() { Some(Vec::new()) } else { acl };
        let label = format!(
            "create op {kind} {path:?} {} acl {} flags {flags}{}",
            super::render::data(data.as_deref()),
            super::render::acl(&acl),
            if kind == op::CREATE_TTL { format!(" ttl {ttl}") } else { String::new() }
        );
        let path = path.map(Cow::Owned);
        let data = data.as_deref();
        let body = if kind == op::CREATE_TTL {
            CreateTtlRequest { path, data, acl, flags, ttl }.to_vec()
        } else {
            CreateRequest { path, data, acl, flags }.to_vec()
        };
        (kind, body, label)
    }

    fn delete(&mut self) -> (Vec<u8>, String) {
        let path = self.path();
        let version = self.version();
        let label = format!("delete {path:?} version {version}");
        (DeleteRequest { path: path.map(Cow::Owned), version }.to_vec(), label)
    }

    fn set_data(&mut self) -> (Vec<u8>, String) {
        let mut path = self.path();
        if path.as_ref().is_some_and(|p| p.contains("zookeeper_")) {
            path = Some("/a".to_owned());
        }
        let data = self.data();
        let version = self.version();
        let label =
            format!("setData {path:?} {} version {version}", super::render::data(data.as_deref()));
        let path = path.map(Cow::Owned);
        (SetDataRequest { path, data: data.as_deref(), version }.to_vec(), label)
    }

    fn set_acl(&mut self) -> Request {
        // Closing /zookeeper/config or the root would end the run early.
        let path = match self.path() {
            Some(p) if p == "/" || p.is_empty() || p.starts_with("/zookeeper") => {
                Some("/b".to_owned())
            }
            path => path,
        };
        let acl = self.acl();
        let version = self.version();
        let label = format!("setACL {path:?} {} version {version}", super::render::acl(&acl));
        let body = SetAclRequest { path: path.map(Cow::Owned), acl, version }.to_vec();
        self.plain(op::SET_ACL, body, label)
    }

    fn multi(&mut self) -> Request {
        let mut body = Vec::new();
        let mut label = "multi".to_owned();
        let longest = if self.profile == Profile::Multi { 8 } else { 5 };
        for _ in 0..self.random.below(longest) {
            let (kind, op_body, op_label) = match self.random.below(10) {
                0..=4 => self.create(true),
                5 | 6 => {
                    let (body, label) = self.delete();
                    (op::DELETE, body, label)
                }
                7 | 8 => {
                    let (body, label) = self.set_data();
                    (op::SET_DATA, body, label)
                }
                _ => {
                    let path = self.path();
                    let version = self.version();
                    let label = format!("check {path:?} {version}");
                    let body = CheckVersionRequest { path: path.map(Cow::Owned), version }.to_vec();
                    (op::CHECK, body, label)
                }
            };
            let kind = if self.random.percent(1) {
                *self.random.pick(&[op::SET_ACL, op::GET_DATA, op::EXISTS, 999])
            } else {
                kind
            };
            MultiHeader { kind, done: false, err: -1 }.encode(&mut body);
            body.extend(op_body);
            label += &format!("\n      {op_label}");
        }
        MULTI_END.encode(&mut body);
        self.plain(op::MULTI, body, label)
    }

    fn multi_read(&mut self) -> Request {
        let mut body = Vec::new();
        let mut label = "multiRead".to_owned();
        for _ in 0..self.random.below(5) {
            let path = self.path();
            let kind = *self.random.pick(&[op::GET_DATA, op::GET_CHILDREN]);
            let watch = self.random.percent(30);
            label += &format!(" {kind} {path:?}");
            MultiHeader { kind, done: false, err: -1 }.encode(&mut body);
            ExistsRequest { path: path.map(Cow::Owned), watch }.encode(&mut body);
        }
        if self.random.percent(3) {
            let (op_body, op_label) = self.delete();
            MultiHeader { kind: op::DELETE, done: false, err: -1 }.encode(&mut body);
            body.extend(op_body);
            label += &op_label;
        }
        MULTI_END.encode(&mut body);
        self.plain(op::MULTI_READ, body, label)
    }

    fn read(&mut self, kind: i32, name: &str) -> Request {
        let path = self.path();
        let watch = self.random.percent(if self.profile == Profile::Watches { 70 } else { 25 });
        let label = format!("{name} op {kind} {path:?} watch {watch}");
        let body = ExistsRequest { path: path.map(Cow::Owned), watch }.to_vec();
        self.plain(kind, body, label)
    }

    fn other(&mut self) -> Request {
        let path = self.path();
        match self.random.below(10) {
            0 | 1 => {
                let label = format!("sync {path:?}");
                self.plain(op::SYNC, path.to_vec(), label)
            }
            2 | 3 => {
                let label = format!("getEphemerals {path:?}");
                let body = GetEphemeralsRequest { prefix_path: path.map(Cow::Owned) }.to_vec();
                self.plain(op::GET_EPHEMERALS, body, label)
            }
            4 | 5 => {
                let label = format!("getAllChildrenNumber {path:?}");
                self.plain(op::GET_ALL_CHILDREN_NUMBER, path.to_vec(), label)
            }
            6 => self.plain(op::WHO_AM_I, Vec::new(), "whoAmI".to_owned()),
            7 => {
                let body = ReconfigRequest {
                    joining_servers: Some(Cow::Borrowed("server.2=localhost:1:2;3")),
                    leaving_servers: None,
                    new_members: None,
                    cur_config_id: -1,
                };
                self.plain(op::RECONFIG, body.to_vec(), "reconfig".to_owned())
            }
            8 => {
                let path = ["/zookeeper/config", "/zookeeper/quota", "/", ""];
                let path = Some((*self.random.pick(&path)).to_owned());
                let label = format!("getData {path:?}");
                let body = ExistsRequest { path: path.map(Cow::Owned), watch: true }.to_vec();
                self.plain(op::GET_DATA, body, label)
            }
            _ => {
                let xid = if self.random.percent(80) { XID_PING } else { 77 };
                Request { xid, kind: op::PING, body: Vec::new(), label: format!("ping xid {xid}") }
            }
        }
    }

    fn paths(&mut self) -> Option<Vec<Option<Cow<'static, str>>>> {
        if self.random.percent(2) {
            return None;
        }
        let count = self.random.below(4);
        Some((0..count).map(|_| self.path().map(Cow::Owned)).collect())
    }

    fn set_watches(&mut self) -> Request {
        let back = self.random.below(60) as i64;
        let relative_zxid = *self.random.pick(&[self.last_zxid, self.last_zxid - back, 0]);
        let data_watches = self.paths();
        let exist_watches = self.paths();
        let child_watches = self.paths();
        let xid = if self.random.percent(70) { XID_SET_WATCHES } else { 78 };
        if self.random.percent(40) {
            let record = SetWatches { relative_zxid, data_watches, exist_watches, child_watches };
            let label = format!("{record:?}");
            return Request { xid, kind: op::SET_WATCHES, body: record.to_vec(), label };
        }
        let record = SetWatches2 {
            relative_zxid,
            data_watches,
            exist_watches,
            child_watches,
            persistent_watches: self.paths(),
            persistent_recursive_watches: self.paths(),
        };
        let label = format!("{record:?}");
        Request { xid, kind: op::SET_WATCHES2, body: record.to_vec(), label }
    }

    /// A good request without its end, or with more behind it, or with a bad length inside.
    fn cut_short(&mut self, is_super: bool) -> Request {
        let mut request = match self.random.below(5) {
            0 => self.multi(),
            1 => self.multi_read(),
            2 if is_super => self.set_watches(),
            3 => self.set_acl(),
            _ => {
                let (kind, body, label) = self.create(false);
                self.plain(kind, body, label)
            }
        };
        match self.random.below(4) {
            0 => {
                request.body.extend_from_slice(b"more");
                request.label = format!("with trailing bytes: {}", request.label);
            }
            1 if request.body.len() >= 4 => {
                let hostile = *self.random.pick(&[-2, i32::MAX, i32::MIN, 3_000_000]);
                request.body[..4].copy_from_slice(&i32::to_be_bytes(hostile));
                request.label = format!("first int {hostile}: op {}", request.kind);
            }
            _ => {
                // Cut a create or an ACL list; a cut multi is a decode error as well.
                request.body.truncate(self.random.below(request.body.len().max(1)));
                request.label = format!("cut: op {} {}", request.kind, hex(&request.body));
            }
        }
        request
    }

    fn auth(&mut self) -> Request {
        let mut body = 0i32.to_vec();
        let scheme = match self.random.below(40) {
            0 => Some("world"),
            1 => Some("nonsense"),
            2 => Some("sasl"),
            3 => None,
            4 => Some("super"),
            5..=8 => Some("ip"),
            _ => Some("digest"),
        };
        scheme.encode(&mut body);
        let credentials = *self.random.pick(&CREDENTIALS);
        let auth = (!self.random.percent(2)).then_some(credentials.as_bytes());
        auth.encode(&mut body);
        let label = format!("auth {scheme:?} {credentials:?} null {}", auth.is_none());
        Request { xid: XID_AUTH, kind: op::AUTH, body, label }
    }

    /// A request that ends the connection, or that a server without SASL answers by itself.
    fn fatal(&mut self) -> Request {
        let kind = *self.random.pick(&[op::CHECK, 0, 10, -1, 999, op::SASL, op::SASL, i32::MIN]);
        let mut body = Vec::new();
        if kind == op::SASL {
            let token = (!self.random.percent(20)).then_some(&b"token"[..]);
            token.encode(&mut body);
        }
        self.plain(kind, body, format!("op {kind}"))
    }

    fn broken_frame(&mut self) -> Vec<u8> {
        match self.random.below(6) {
            0 => (-1i32).to_vec(),
            1 => i32::MAX.to_vec(),
            2 => 0x10_0000i32.to_vec(),
            3 => 0i32.to_vec(),
            4 => vec![0, 0, 0, 4, 0, 0, 0, 1],
            _ => i32::MIN.to_vec(),
        }
    }

    /// What a client does to set or remove a quota, and some changes below it.
    fn quota(&mut self, slot: usize) -> Step {
        let prefix = self.fresh_path();
        let quota = format!("/zookeeper/quota{prefix}");
        let limits = format!("{quota}/zookeeper_limits");
        let stats = format!("{quota}/zookeeper_stats");
        let mut steps = Vec::new();
        if self.random.percent(70) {
            let text = *self.random.pick(&[
                "count=5,bytes=-1",
                "count=-1,bytes=30=;byteHardLimit=40",
                "count=2,bytes=10=;byteHardLimit=20;countHardLimit=3",
                "count=4,bytes=-1=;countHardLimit=4",
                "bytes=100,count=100",
            ]);
            let mut at = "/zookeeper/quota".to_owned();
            for part in prefix.split('/').skip(1) {
                at = format!("{at}/{part}");
                steps.push(self.open_create(&at, ""));
            }
            steps.push(self.open_create(&limits, text));
            steps.push(self.open_create(&stats, "count=0,bytes=0"));
        } else {
            for path in [&stats, &limits] {
                let body = DeleteRequest { path: Some(Cow::Borrowed(path)), version: -1 };
                steps.push(self.plain(op::DELETE, body.to_vec(), format!("delete {path}")));
            }
        }
        for path in [stats, limits] {
            let body = ExistsRequest { path: Some(Cow::Borrowed(&path)), watch: true };
            steps.push(self.plain(op::GET_DATA, body.to_vec(), format!("getData {path}")));
        }
        // One at a time, last first since the queue is a stack.
        let mut steps = steps.into_iter().map(|request| Step::Requests(slot, vec![request]));
        let first = steps.next().expect("a quota needs at least two requests");
        self.queue.extend(steps.rev());
        first
    }

    fn open_create(&mut self, path: &str, data: &str) -> Request {
        let body = crate::wire::create_body(path, data.as_bytes(), 0);
        self.plain(op::CREATE, body, format!("create {path} {data}"))
    }
}
