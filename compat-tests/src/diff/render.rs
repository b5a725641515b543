//! Frames as text in which equal behaviour reads equal.

use std::collections::HashMap;
use std::fmt::Write;

use anyhow::{Result, ensure};
use jute::data::{Acl, Stat};
use jute::proto::{
    Create2Response, CreateResponse, ErrorResponse, GetAclResponse, GetChildrenResponse,
    GetDataResponse, GetEphemeralsResponse, MultiHeader, ReplyHeader, SyncResponse, WatcherEvent,
    WhoAmIResponse, op,
};
use jute::{Decode, Reader, codec::UStr};

/// What one server has shown so far: names for its session ids and the time of each zxid.
#[derive(Debug, Default)]
pub struct Names {
    sessions: HashMap<i64, usize>,
    times: HashMap<i64, i64>,
    /// Paths of successful creates, newest last.
    pub created: Vec<String>,
}

impl Names {
    /// Gives the next name to a session id that was not seen yet.
    pub fn session(&mut self, id: i64) -> String {
        if id == 0 {
            return "none".to_owned();
        }
        let next = self.sessions.len();
        format!("S{}", self.sessions.entry(id).or_insert(next))
    }

    /// The name of a known session, the number itself for anything else.
    fn owner(&self, id: i64) -> String {
        match self.sessions.get(&id) {
            Some(n) => format!("S{n}"),
            None => format!("{id:#x}"),
        }
    }

    /// Two times of the same zxid must be the same; then the zxid says all.
    fn time(&mut self, zxid: i64, time: i64) -> String {
        if time == 0 {
            return "0".to_owned();
        }
        let known = *self.times.entry(zxid).or_insert(time);
        if known == time { "t".to_owned() } else { format!("t{:+}", time - known) }
    }

    /// A stat, without what must differ.
    pub fn stat(&mut self, s: &Stat) -> String {
        format!(
            "[c{:x} {} m{:x} {} p{:x} v{} cv{} av{} owner {} {} bytes {} children]",
            s.czxid,
            self.time(s.czxid, s.ctime),
            s.mzxid,
            self.time(s.mzxid, s.mtime),
            s.pzxid,
            s.version,
            s.cversion,
            s.aversion,
            self.owner(s.ephemeral_owner),
            s.data_length,
            s.num_children
        )
    }

    /// The body of a reply to an operation of kind `kind`.
    pub fn reply(&mut self, kind: i32, header: &ReplyHeader, body: &[u8]) -> String {
        let mut text = format!("zxid {:x} err {}", header.zxid, header.err);
        if header.err != 0 && kind != op::MULTI_READ {
            if !body.is_empty() {
                write!(text, " body {}", hex(body)).expect("strings take everything");
            }
            return text;
        }
        let mut input = Reader::with_limit(body, body.len());
        match self.body(kind, &mut input, &mut text) {
            Ok(()) if input.is_empty() => {}
            Ok(()) => text += &format!(" TRAILING {}", hex(input.remaining())),
            Err(error) => text += &format!(" UNREADABLE ({error}) {}", hex(body)),
        }
        text
    }

    fn body(&mut self, kind: i32, input: &mut Reader<'_>, text: &mut String) -> Result<()> {
        match kind {
            op::CREATE => {
                let path = input.read::<CreateResponse<'_>>()?.path;
                self.created(text, &path);
            }
            op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                let response: Create2Response<'_> = input.read()?;
                self.created(text, &response.path);
                *text += &self.stat(&response.stat);
            }
            op::EXISTS | op::SET_DATA | op::SET_ACL => *text += &self.stat(&input.read::<Stat>()?),
            op::GET_DATA | op::RECONFIG => {
                let response: GetDataResponse<'_> = input.read()?;
                *text += &format!(" {} {}", data(response.data), self.stat(&response.stat));
            }
            op::GET_ACL => {
                let response: GetAclResponse = input.read()?;
                *text += &format!(" {} {}", acl(&response.acl), self.stat(&response.stat));
            }
            op::GET_CHILDREN => {
                *text += &sorted(input.read::<GetChildrenResponse<'_>>()?.children);
            }
            op::GET_CHILDREN2 => {
                let children = input.read::<GetChildrenResponse<'_>>()?.children;
                *text += &format!(" {} {}", sorted(children), self.stat(&input.read()?));
            }
            op::SYNC => *text += &format!(" {:?}", input.read::<SyncResponse<'_>>()?.path),
            op::GET_EPHEMERALS => {
                *text += &sorted(input.read::<GetEphemeralsResponse<'_>>()?.ephemerals);
            }
            op::GET_ALL_CHILDREN_NUMBER => *text += &format!(" {}", input.read::<i32>()?),
            op::ADD_WATCH => *text += &format!(" {}", input.read::<ErrorResponse>()?.err),
            op::SASL => *text += &format!(" {:?}", input.buffer()?),
            op::WHO_AM_I => {
                let infos = input.read::<WhoAmIResponse<'_>>()?.client_info;
                let mut names: Vec<String> = infos
                    .unwrap_or_default()
                    .into_iter()
                    .map(|info| format!("{:?}:{:?}", info.auth_scheme, info.user))
                    .collect();
                names.sort();
                *text += &format!(" {names:?}");
            }
            op::MULTI | op::MULTI_READ => self.multi(input, text)?,
            _ => {}
        }
        Ok(())
    }

    fn multi(&mut self, input: &mut Reader<'_>, text: &mut String) -> Result<()> {
        if input.is_empty() {
            return Ok(());
        }
        loop {
            let header: MultiHeader = input.read()?;
            *text += &format!(" {{{} {}", header.kind, header.err);
            if header.done {
                *text += " end}";
                return Ok(());
            }
            match header.kind {
                -1 => *text += &format!(" {}", input.read::<ErrorResponse>()?.err),
                op::DELETE | op::CHECK => {}
                kind => {
                    ensure!(header.err == 0, "result {kind} with error {}", header.err);
                    self.body(kind, input, text)?;
                }
            }
            *text += "}";
        }
    }

    fn created(&mut self, text: &mut String, path: &UStr<'_>) {
        *text += &format!(" {path:?} ");
        if let Some(path) = path {
            self.created.push(path.to_string());
        }
    }
}

/// A notification.
pub fn event(header: &ReplyHeader, body: &[u8]) -> String {
    let kind = ["None", "Created", "Deleted", "DataChanged", "ChildrenChanged"];
    let Ok(event) = WatcherEvent::from_slice(body) else {
        return format!("event UNREADABLE {}", hex(body));
    };
    let name = usize::try_from(event.kind).ok().and_then(|n| kind.get(n)).unwrap_or(&"?");
    format!(
        "event zxid {:x} err {} {name} state {} {:?}",
        header.zxid, header.err, event.state, event.path
    )
}

/// Data, shortened when long; null and empty differ.
pub fn data(data: Option<&[u8]>) -> String {
    match data {
        None => "null".to_owned(),
        Some(bytes) if bytes.len() > 200 => {
            let sum = bytes.iter().fold(0u64, |sum, b| sum.wrapping_mul(31) + u64::from(*b));
            format!("{} bytes #{sum:x}", bytes.len())
        }
        Some(bytes) => format!("\"{}\"", bytes.escape_ascii()),
    }
}

/// An ACL. Adjacent digest entries of equal permissions are sorted: that is how `auth` of a
/// connection with several identities expands, and Java keeps those in a hash set.
pub fn acl(acl: &Option<Vec<Acl>>) -> String {
    let Some(entries) = acl else { return "null".to_owned() };
    let mut shown: Vec<(i32, bool, String)> = entries
        .iter()
        .map(|e| {
            let digest = e.id.scheme.as_deref() == Some("digest");
            (e.perms, digest, format!("{:?}:{:?}:{}", e.id.scheme, e.id.id, e.perms))
        })
        .collect();
    let mut start = 0;
    for end in 1..=shown.len() {
        let same = end < shown.len() && shown[start].1 && {
            let (a, b) = (&shown[start], &shown[end]);
            a.0 == b.0 && a.1 == b.1
        };
        if !same {
            shown[start..end].sort();
            start = end;
        }
    }
    format!("{:?}", shown.into_iter().map(|(_, _, text)| text).collect::<Vec<_>>())
}

fn sorted(names: Option<Vec<UStr<'_>>>) -> String {
    match names {
        None => " null".to_owned(),
        Some(mut names) => {
            names.sort();
            let names: Vec<&str> = names.iter().map(|n| n.as_deref().unwrap_or("null")).collect();
            format!(" {names:?}")
        }
    }
}

/// Bytes as hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        write!(text, "{b:02x}").expect("strings take everything");
        text
    })
}
