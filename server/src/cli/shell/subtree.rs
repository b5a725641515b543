//! The commands that walk a subtree (`ZKUtil`): `ls -R`, `setAcl`, `deleteall`.

use std::collections::VecDeque;

use jute::data::Acl;
use jute::proto::*;
use jute::{Encode, Reader};

use super::commands::{
    Context, Done, ask, checked, children, get_data, read, remove, text, version_of,
};
use super::error::CliError;
use super::out::complain;
use super::print;
use super::words::Given;
use crate::base::ErrorCode;
use crate::client::Client;

fn child_of(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

/// `visitSubTreeDFS`: a znode, then its children in order, then each child's children and so on. A
/// znode that goes away meanwhile is passed over.
pub(super) fn visit(
    client: &Client,
    top: &str,
    watch: bool,
    mut each: impl FnMut(&str) -> Done,
) -> Done {
    get_data(client, top, watch)?;
    each(top)?;
    let mut waiting = vec![top.to_owned()];
    while let Some(path) = waiting.pop() {
        let names = match children(client, &path, watch) {
            Ok((names, _)) => names,
            Err(error) if error.keeper == Some(ErrorCode::NoNode) => continue,
            Err(error) => return Err(error),
        };
        let paths: Vec<String> = names.iter().map(|name| child_of(&path, name)).collect();
        paths.iter().try_for_each(|path| each(path))?;
        waiting.extend(paths.into_iter().rev());
    }
    Ok(())
}

pub(super) fn list(shell: &mut Context<'_>, top: &str, watch: bool) -> Done {
    let out = &mut *shell.out;
    visit(shell.client, top, watch, |path| {
        out.item("paths", path, path);
        Ok(())
    })
}

pub(super) fn set_acl(shell: &mut Context<'_>, given: &Given) -> Done {
    let path = given.argument(0).unwrap_or_default();
    let acl = print::parse_acl(given.argument(1).unwrap_or_default());
    let version = version_of(given)?;
    let path = checked(given, 0).map(|_| path)?;
    if given.has("R") {
        let (client, out) = (shell.client, &mut *shell.out);
        return visit(client, path, false, |path| {
            // Java goes on, and prints what went wrong without a line end.
            if let Err(error) = set_one_acl(client, path, &acl, version) {
                let code = error.keeper.unwrap_or(ErrorCode::SystemError);
                let about = (!acl.is_empty()).then_some(path);
                out.raw(&super::error::message_about(code, about));
            }
            Ok(())
        });
    }
    let stat = set_one_acl(shell.client, path, &acl, version)?.stat;
    if given.has("s") {
        shell.out.stat(&stat);
    }
    Ok(())
}

fn set_one_acl(
    client: &Client,
    path: &str,
    acl: &[Acl],
    version: i32,
) -> Result<SetAclResponse, CliError> {
    // Java's client refuses an empty list itself, and names no path.
    if acl.is_empty() {
        return Err(CliError::keeper(ErrorCode::InvalidAcl, "null"));
    }
    let server_path = client.server_path(path);
    let request = SetAclRequest { path: text(&server_path), acl: Some(acl.to_vec()), version };
    let reply = ask(client, op::SET_ACL, &request, path)?;
    read(&reply, path)
}

/// Batches on their way at the same time.
const BATCHES_MAX: usize = 10;

/// `deleteRecursive`: deletes in batches, leaves first; after a batch that failed no other starts.
pub(super) fn delete_all(shell: &mut Context<'_>, given: &Given) -> Done {
    let client = shell.client;
    let batch = match given.value("b") {
        None => 1000,
        Some(text) => {
            text.parse::<i32>().map_err(|_| CliError::new("-b argument must be an int value"))?
        }
    };
    let top = checked(given, 0)?.to_owned();
    let mut found = vec![top];
    let mut next = 0;
    while next < found.len() {
        let path = found[next].clone();
        let (names, _) = children(client, &path, false)?;
        found.extend(names.iter().map(|name| child_of(&path, name)));
        next += 1;
    }
    shell.out.note_json("nodes", found.len());
    // Parents were found before their children.
    found.reverse();
    let Some(batch) = usize::try_from(batch).ok().filter(|batch| *batch > 0) else {
        return found.iter().try_for_each(|path| remove(client, path, -1));
    };
    let mut waiting = VecDeque::new();
    let mut well = true;
    let mut collect = |waiting: &mut VecDeque<std::sync::mpsc::Receiver<_>>, most: usize| {
        while waiting.len() > most {
            let Some(answer) = waiting.pop_front() else { break };
            well &= matches!(answer.recv(), Ok(Ok(reply)) if all_well(&reply));
        }
        well
    };
    for paths in found.chunks(batch) {
        if !collect(&mut waiting, BATCHES_MAX - 1) {
            break;
        }
        let paths = paths.iter().map(|path| client.server_path(path)).collect();
        waiting.push_back(client.send(op::MULTI, &Deletes(paths)));
    }
    if !collect(&mut waiting, 0) {
        complain("Failed to delete some node(s) in the subtree!");
    }
    Ok(())
}

/// A multi that deletes these paths.
struct Deletes(Vec<String>);

impl Encode for Deletes {
    fn encode(&self, out: &mut Vec<u8>) {
        for path in &self.0 {
            MultiHeader { kind: op::DELETE, done: false, err: -1 }.encode(out);
            DeleteRequest { path: text(path), version: -1 }.encode(out);
        }
        MULTI_END.encode(out);
    }
}

/// Whether no result of a multi is an error: those are of the kind -1.
fn all_well(reply: &crate::client::Reply) -> bool {
    let mut reader = Reader::new(reply.body());
    // Results of deletes are headers only.
    while let Ok(header) = reader.read::<MultiHeader>() {
        if header.done {
            return true;
        }
        if header.kind != op::DELETE {
            return false;
        }
    }
    false
}
