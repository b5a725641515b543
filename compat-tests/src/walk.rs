//! Everything a client can see of a tree, as text.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use jute::data::Stat;
use jute::proto::{GetAclResponse, GetChildrenResponse, GetDataResponse, op};
use jute::{Decode, Reader};

use crate::diff::render;
use crate::wire::{Session, ToBody};

/// One znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Znode {
    /// Data; null and empty differ.
    pub data: Option<Vec<u8>>,
    /// ACL as text.
    pub acl: String,
    /// Metadata.
    pub stat: Stat,
}

/// Znodes asked for at once: pipelined, a tree of many thousands is read before a session expires.
const BATCH: usize = 64;

/// All znodes by path, with `session`'s rights. Order and time of reading leave no trace in it.
pub fn walk(session: &mut Session) -> Result<BTreeMap<String, Znode>> {
    let mut found = BTreeMap::new();
    let mut open = vec!["/".to_owned()];
    while !open.is_empty() {
        let batch = open.split_off(open.len().saturating_sub(BATCH));
        for path in &batch {
            let body = (Some(path.clone()), false).to_body();
            for kind in [op::GET_DATA, op::GET_ACL, op::GET_CHILDREN] {
                session.post(kind, &body)?;
            }
        }
        for path in batch {
            let mut next = || {
                let reply = session.reply()?;
                ensure!(reply.header.err == 0, "reading {path:?}: error {}", reply.header.err);
                Ok(reply)
            };
            let (data, acl, children) = (next()?, next()?, next()?);
            let response = GetDataResponse::from_slice(&data.body)?;
            let acl = Reader::new(&acl.body).read::<GetAclResponse>()?.acl;
            let names = GetChildrenResponse::from_slice(&children.body)?.children;
            for name in names.unwrap_or_default() {
                let name = name.unwrap_or_default();
                let parent = if path == "/" { "" } else { &path };
                open.push(format!("{parent}/{name}"));
            }
            let znode = Znode {
                data: response.data.map(<[u8]>::to_vec),
                acl: render::acl(&acl),
                stat: response.stat,
            };
            found.insert(path, znode);
        }
    }
    Ok(found)
}

/// The lines in which two trees differ; empty if they are equal.
pub fn differences(a: &BTreeMap<String, Znode>, b: &BTreeMap<String, Znode>) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, left) in a {
        match b.get(path) {
            None => lines.push(format!("{path:?} is missing, was {left:?}")),
            Some(right) if left != right => {
                lines.push(format!("{path:?}\n  first  {left:?}\n  second {right:?}"));
            }
            Some(_) => {}
        }
    }
    for path in b.keys().filter(|path| !a.contains_key(*path)) {
        lines.push(format!("{path:?} is new"));
    }
    lines
}
