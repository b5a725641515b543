//! The commands that ask the server: the table, and those about one znode. What walks a subtree is
//! in `subtree.rs`, quotas in `quota.rs`, membership in `config.rs`.

use jute::data::Stat;
use jute::proto::*;

use super::error::{CliError, check_path};
use super::out::{Out, complain, say};
use super::words::{Flags, Given};
use super::{config, print, quota, subtree};
use crate::base::{ErrorCode, version};
use crate::client::{Client, WatchKind};

pub(super) type Done = Result<(), CliError>;

/// What a command works with.
pub(super) struct Context<'a> {
    pub client: &'a Client,
    pub out: &'a mut Out,
    /// The mode of the last `addWatch -m`, which Java keeps for those without.
    pub watch_mode: &'a mut i32,
}

/// A command: name, usage behind the name, options, body.
pub(super) struct Command {
    pub name: &'static str,
    pub usage: &'static str,
    pub flags: Flags,
    /// Fewest arguments; with fewer the usage is shown.
    pub arguments: usize,
    pub run: fn(&mut Context<'_>, &Given) -> Done,
}

const fn command(
    name: &'static str,
    usage: &'static str,
    flags: Flags,
    arguments: usize,
    run: fn(&mut Context<'_>, &Given) -> Done,
) -> Command {
    Command { name, usage, flags, arguments, run }
}

const NONE: Flags = Flags::Any(&[]);
const RECONFIG: &str = "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;\
    port3[,...]*]] | [-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]";

/// All of them; the shell's own (`history`, `redo`, ...) are elsewhere.
pub(super) const COMMANDS: &[Command] = &[
    command(
        "addWatch",
        "[-m mode] path # optional mode is one of [PERSISTENT, PERSISTENT_RECURSIVE] - default is \
         PERSISTENT_RECURSIVE",
        Flags::Any(&[("m", true, "")]),
        1,
        add_watch,
    ),
    command("addauth", "scheme auth", NONE, 1, |shell, given| {
        let data = given.argument(1).unwrap_or_default();
        shell.client.add_auth(&given.arguments[0], data.as_bytes());
        Ok(())
    }),
    command("close", "", NONE, 0, |shell, _| {
        shell.client.close();
        Ok(())
    }),
    command(
        "config",
        "[-c] [-w] [-s]",
        Flags::Any(&[
            ("s", false, "stats"),
            ("w", false, "watch"),
            ("c", false, "client connection string"),
        ]),
        0,
        config::config,
    ),
    command(
        "create",
        "[-s] [-e] [-c] [-t ttl] path [data] [acl]",
        Flags::Any(&[
            ("e", false, "ephemeral"),
            ("s", false, "sequential"),
            ("c", false, "container"),
            ("t", true, "ttl"),
        ]),
        1,
        create,
    ),
    command("delete", "[-v version] path", Flags::Any(&[("v", true, "version")]), 1, delete),
    command(
        "deleteall",
        "path [-b batch size]",
        Flags::Any(&[("b", true, "batch size")]),
        1,
        subtree::delete_all,
    ),
    command("delquota", "[-n|-b|-N|-B] path", quota::DELETE_FLAGS, 1, quota::delete),
    command(
        "get",
        "[-s] [-w] [-b] [-x] path",
        Flags::Any(&[
            ("b", false, "Output data in base64 format"),
            ("s", false, "Print znode stats additionally"),
            ("w", false, "Watch for changes on the znode"),
            ("x", false, "Output data in hexdump format"),
        ]),
        1,
        get,
    ),
    command("getAcl", "[-s] path", Flags::Any(&[("s", false, "stats")]), 1, get_acl),
    command("getAllChildrenNumber", "path", NONE, 1, |shell, given| {
        let path = checked(given, 0)?;
        let server_path = shell.client.server_path(path);
        let request = GetAllChildrenNumberRequest { path: text(&server_path) };
        let reply = ask(shell.client, op::GET_ALL_CHILDREN_NUMBER, &request, path)?;
        let number = read::<GetAllChildrenNumberResponse>(&reply, path)?.total_number;
        shell.out.put("number", number, number);
        Ok(())
    }),
    command("getEphemerals", "path", NONE, 0, |shell, given| {
        let path = given.argument(0).unwrap_or("/");
        check_path(path)?;
        let server_path = shell.client.server_path(path);
        let request = GetEphemeralsRequest { prefix_path: text(&server_path) };
        let reply = ask(shell.client, op::GET_EPHEMERALS, &request, path)?;
        let answer: GetEphemeralsResponse<'_> = read(&reply, path)?;
        let paths = answer.ephemerals.unwrap_or_default().into_iter().flatten();
        let paths: Vec<String> = paths.map(|path| shell.client.client_path(&path)).collect();
        shell.out.put("ephemerals", paths.clone(), print::list(&paths));
        Ok(())
    }),
    command("listquota", "path", NONE, 1, quota::list),
    command("ls", "[-s] [-w] [-R] path", LS_FLAGS, 1, ls),
    command(
        "reconfig",
        RECONFIG,
        Flags::Any(&[
            ("s", false, "stats"),
            ("v", true, "required current config version"),
            ("file", true, "path of config file to parse for membership"),
            ("members", true, "comma-separated list of config strings"),
            ("add", true, "comma-separated list of config strings for new servers"),
            ("remove", true, "comma-separated list of server IDs to remove"),
        ]),
        0,
        config::reconfig,
    ),
    command(
        "removewatches",
        "path [-c|-d|-a] [-l]",
        Flags::Any(&[
            ("c", false, "child watcher type"),
            ("d", false, "data watcher type"),
            ("p", false, "persistent watcher type"),
            ("r", false, "persistent recursive watcher type"),
            ("a", false, "any watcher type"),
            ("l", false, "remove locally when there is no server connection"),
        ]),
        1,
        remove_watches,
    ),
    command(
        "set",
        "path data [-s] [-v version] [-b]",
        Flags::Any(&[
            ("b", false, "Supply data in base64 format"),
            ("s", false, "Print znode stats additionally"),
            ("v", true, "Set with an expected version"),
        ]),
        2,
        set,
    ),
    command(
        "setAcl",
        "[-s] [-v version] [-R] path acl",
        Flags::Any(&[("s", false, "stats"), ("v", true, "version"), ("R", false, "recursive")]),
        2,
        subtree::set_acl,
    ),
    command("setquota", "-n|-b|-N|-B val path", quota::SET_FLAGS, 1, quota::set),
    command("stat", "[-w] path", Flags::Any(&[("w", false, "watch")]), 1, |shell, given| {
        let path = given.argument(0).unwrap_or_default();
        let watch = given.has("w") || old_watch(given, "stat", "stat [-w] path");
        check_path(path)?;
        let stat = exists(shell.client, path, watch)?;
        shell.out.stat(&stat);
        Ok(())
    }),
    command("sync", "path", NONE, 1, sync),
    command("version", "", NONE, 0, |shell, given| {
        if !given.arguments.is_empty() {
            return Err(CliError::new("version "));
        }
        let full = version::full();
        shell.out.put("version", full.clone(), format_args!("ZooKeeper CLI version: {full}"));
        Ok(())
    }),
    command("whoami", "", NONE, 0, |shell, _| {
        let reply = ask(shell.client, op::WHO_AM_I, &Nothing, "")?;
        let answer: WhoAmIResponse<'_> = read(&reply, "")?;
        shell.out.raw("Auth scheme: User\n");
        for info in answer.client_info.unwrap_or_default() {
            let (scheme, user) =
                (info.auth_scheme.unwrap_or_default(), info.user.unwrap_or_default());
            let value = serde_json::json!({ "scheme": *scheme, "user": *user });
            shell.out.item("identities", value, format_args!("{scheme}: {user}"));
        }
        Ok(())
    }),
];

const LS_FLAGS: Flags = Flags::Any(&[
    ("?", false, "help"),
    ("R", false, "recurse"),
    ("s", false, "stat"),
    ("w", false, "watch"),
]);

/// Whether a command reads its own words: Java does not parse those of these two.
pub(super) fn takes_anything(name: &str) -> bool {
    matches!(name, "close" | "whoami")
}

/// A request without a body.
struct Nothing;

impl jute::Encode for Nothing {
    fn encode(&self, _out: &mut Vec<u8>) {}
}

pub(super) fn text(text: &str) -> jute::codec::UStr<'_> {
    Some(text.into())
}

/// The argument as a path.
pub(super) fn checked(given: &Given, index: usize) -> Result<&str, CliError> {
    let path = given.argument(index).unwrap_or_default();
    check_path(path)?;
    Ok(path)
}

pub(super) fn ask(
    client: &Client,
    kind: i32,
    request: &impl jute::Encode,
    path: &str,
) -> Result<crate::client::Reply, CliError> {
    client.call(kind, request).map_err(|error| CliError::keeper(error, path))
}

pub(super) fn read<'a, T: jute::Decode<'a>>(
    reply: &'a crate::client::Reply,
    path: &str,
) -> Result<T, CliError> {
    reply.read().map_err(|error| CliError::keeper(error, path))
}

/// `exists`, which is an error if it does not.
pub(super) fn exists(client: &Client, path: &str, watch: bool) -> Result<Stat, CliError> {
    let server_path = client.server_path(path);
    let request = ExistsRequest { path: text(&server_path), watch };
    let reply = client.call(op::EXISTS, &request);
    if watch {
        match &reply {
            Ok(_) => client.watch(WatchKind::Data, &server_path),
            Err(ErrorCode::NoNode) => client.watch(WatchKind::Exists, &server_path),
            Err(_) => {}
        }
    }
    let reply = reply.map_err(|error| CliError::keeper(error, path))?;
    Ok(read::<ExistsResponse>(&reply, path)?.stat)
}

/// Data (`None` is null) and stat.
pub(super) fn get_data(
    client: &Client,
    path: &str,
    watch: bool,
) -> Result<(Option<Vec<u8>>, Stat), CliError> {
    let server_path = client.server_path(path);
    let reply =
        ask(client, op::GET_DATA, &GetDataRequest { path: text(&server_path), watch }, path)?;
    if watch {
        client.watch(WatchKind::Data, &server_path);
    }
    let answer: GetDataResponse<'_> = read(&reply, path)?;
    Ok((answer.data.map(<[u8]>::to_vec), answer.stat))
}

/// Names in order, and the stat of the parent.
pub(super) fn children(
    client: &Client,
    path: &str,
    watch: bool,
) -> Result<(Vec<String>, Stat), CliError> {
    let server_path = client.server_path(path);
    let request = GetChildren2Request { path: text(&server_path), watch };
    let reply = ask(client, op::GET_CHILDREN2, &request, path)?;
    if watch {
        client.watch(WatchKind::Child, &server_path);
    }
    let answer: GetChildren2Response<'_> = read(&reply, path)?;
    let names = answer.children.unwrap_or_default().into_iter().flatten();
    let mut names: Vec<String> = names.map(|name| name.into_owned()).collect();
    // As Java compares strings: by UTF-16 unit.
    names.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    Ok((names, answer.stat))
}

pub(super) fn set_data(
    client: &Client,
    path: &str,
    data: &[u8],
    version: i32,
) -> Result<Stat, CliError> {
    let server_path = client.server_path(path);
    let request = SetDataRequest { path: text(&server_path), data: Some(data), version };
    let reply = ask(client, op::SET_DATA, &request, path)?;
    Ok(read::<SetDataResponse>(&reply, path)?.stat)
}

pub(super) fn remove(client: &Client, path: &str, version: i32) -> Done {
    let server_path = client.server_path(path);
    ask(client, op::DELETE, &DeleteRequest { path: text(&server_path), version }, path).map(drop)
}

/// `-v`, -1 without. A number that is none ends Java's shell; ours only refuses the command.
pub(super) fn version_of(given: &Given) -> Result<i32, CliError> {
    let Some(text) = given.value("v") else { return Ok(-1) };
    text.parse().map_err(|_| CliError::new(format!("For input string: \"{text}\"")))
}

/// Whether a second argument asks for a watch, as it did before 3.5; it is deprecated.
fn old_watch(given: &Given, name: &str, now: &str) -> bool {
    let old = given.argument(1).is_some();
    if old {
        complain(format_args!(
            "'{name} path [watch]' has been deprecated. Please use '{now}' instead."
        ));
    }
    old
}

fn ls(shell: &mut Context<'_>, given: &Given) -> Done {
    if given.has("?") {
        say(format_args!("usage: ls [options] path\n{}", options_text(LS_FLAGS).trim_end()));
    }
    let watch = old_watch(given, "ls", "ls [-w] path") || given.has("w");
    if given.arguments.is_empty() {
        return Err(CliError::new(usage("ls")));
    }
    let path = checked(given, 0)?;
    if given.has("R") {
        return subtree::list(shell, path, watch);
    }
    let (names, stat) = children(shell.client, path, watch)?;
    shell.out.put("children", names.clone(), print::list(&names));
    if given.has("s") {
        shell.out.stat(&stat);
    }
    Ok(())
}

fn get(shell: &mut Context<'_>, given: &Given) -> Done {
    let watch = old_watch(given, "get", "get [-s] [-w] path") || given.has("w");
    let path = checked(given, 0)?;
    let (data, stat) = get_data(shell.client, path, watch)?;
    let bytes = data.as_deref().unwrap_or(b"null");
    let shown = if given.has("x") {
        print::hex_dump(bytes)
    } else if given.has("b") {
        print::base64(bytes)
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    };
    // In JSON, null is null whatever the form.
    shell.out.put("data", data.is_some().then(|| shown.clone()), &shown);
    if given.has("s") {
        shell.out.stat(&stat);
    }
    Ok(())
}

fn set(shell: &mut Context<'_>, given: &Given) -> Done {
    let data = given.argument(1).unwrap_or_default();
    let data = if given.has("b") { print::from_base64(data)? } else { data.as_bytes().to_vec() };
    let version = version_of(given)?;
    let stat = set_data(shell.client, checked(given, 0)?, &data, version)?;
    if given.has("s") {
        shell.out.stat(&stat);
    }
    Ok(())
}

fn get_acl(shell: &mut Context<'_>, given: &Given) -> Done {
    let path = checked(given, 0)?;
    let server_path = shell.client.server_path(path);
    let request = GetAclRequest { path: text(&server_path) };
    let reply = ask(shell.client, op::GET_ACL, &request, path)?;
    let answer: GetAclResponse = read(&reply, path)?;
    for entry in answer.acl.unwrap_or_default() {
        let value = serde_json::json!({
            "scheme": entry.id.scheme, "id": entry.id.id, "perms": print::permissions(entry.perms),
        });
        shell.out.item("acl", value, print::acl(&entry));
    }
    if given.has("s") {
        shell.out.stat(&answer.stat);
    }
    Ok(())
}

/// The largest TTL, ms (`EphemeralType.TTL`): 40 bits of the owner field.
const TTL_MAX: i64 = 0xff_ffff_ffff;

/// Flags of `CreateMode`: ephemeral 1, sequential 2, container 4, TTL 5 and 6.
fn create(shell: &mut Context<'_>, given: &Given) -> Done {
    let client = shell.client;
    let (ephemeral, sequential) = (given.has("e"), given.has("s"));
    let container = given.has("c");
    if container && (ephemeral || sequential) {
        return Err(CliError::new(
            "-c cannot be combined with -s or -e. Containers cannot be ephemeral or sequential.",
        ));
    }
    let ttl = match given.value("t") {
        None => None,
        Some(text) => Some(
            text.parse::<i64>().map_err(|_| CliError::new("-t argument must be a long value"))?,
        ),
    };
    if ttl.is_some() && ephemeral {
        return Err(CliError::new("TTLs cannot be used with Ephemeral znodes"));
    }
    if ttl.is_some() && container {
        return Err(CliError::new("TTLs cannot be used with Container znodes"));
    }
    if ttl.is_some_and(|ttl| !(1..=TTL_MAX).contains(&ttl)) {
        let text = format!("ttl must be positive and cannot be larger than: {TTL_MAX}");
        return Err(CliError::new(text));
    }
    let path = given.argument(0).unwrap_or_default();
    let acl = match given.argument(2) {
        Some(text) => print::parse_acl(text),
        None => vec![jute::data::Acl::world(jute::data::PERM_ALL)],
    };
    // A sequence number may be the whole name.
    check_path(&if sequential { format!("{path}1") } else { path.to_owned() })?;
    if acl.is_empty() {
        complain("KeeperErrorCode = InvalidACL");
        return Err(CliError::keeper(ErrorCode::InvalidAcl, "null"));
    }
    let server_path = client.server_path(path);
    let data = given.argument(1).map(str::as_bytes);
    let (path_field, acl) = (text(&server_path), Some(acl));
    let reply = match ttl {
        Some(ttl) => {
            let flags = if sequential { 6 } else { 5 };
            let request = CreateTtlRequest { path: path_field, data, acl, flags, ttl };
            client.call(op::CREATE_TTL, &request)
        }
        None => {
            let flags = match (container, ephemeral, sequential) {
                (true, ..) => 4,
                (_, ephemeral, sequential) => i32::from(ephemeral) + 2 * i32::from(sequential),
            };
            let kind = if container { op::CREATE_CONTAINER } else { op::CREATE };
            client.call(kind, &CreateRequest { path: path_field, data, acl, flags })
        }
    };
    let reply = reply.map_err(|error| {
        match error {
            ErrorCode::EphemeralOnLocalSession => {
                complain("Unable to create ephemeral node on a local session");
            }
            ErrorCode::InvalidAcl => {
                complain(format_args!("KeeperErrorCode = InvalidACL for {path}"))
            }
            _ => {}
        }
        CliError::keeper(error, path)
    })?;
    // create2, createContainer and createTTL answer with a stat behind the path.
    let created: CreateResponse<'_> = read(&reply, path)?;
    let created = client.client_path(&created.path.unwrap_or_default());
    shell.out.note("path", created.clone(), format_args!("Created {created}"));
    Ok(())
}

fn delete(shell: &mut Context<'_>, given: &Given) -> Done {
    if given.argument(1).is_some() {
        complain(
            "'delete path [version]' has been deprecated. Please use 'delete [-v version] path' \
             instead.",
        );
    }
    let version = version_of(given)?;
    remove(shell.client, checked(given, 0)?, version)
}

/// How long `sync` waits.
const SYNC_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

fn sync(shell: &mut Context<'_>, given: &Given) -> Done {
    let path = checked(given, 0)?;
    let server_path = shell.client.server_path(path);
    let answer = shell.client.send(op::SYNC, &SyncRequest { path: text(&server_path) });
    let code = match answer.recv_timeout(SYNC_TIMEOUT) {
        Ok(Ok(_)) => 0,
        Ok(Err(error)) => error.code(),
        // Java's text for a future that was not completed.
        Err(_) => return Err(CliError::new("null")),
    };
    match code {
        0 => shell.out.put("rc", 0, "Sync is OK"),
        code => shell.out.put("rc", code, format_args!("Sync has failed. rc={code}")),
    }
    Ok(())
}

fn add_watch(shell: &mut Context<'_>, given: &Given) -> Done {
    if given.arguments.len() != 1 {
        return Err(CliError::new(usage("addWatch")));
    }
    match given.value("m").map(str::to_uppercase).as_deref() {
        None => {}
        Some("PERSISTENT") => *shell.watch_mode = 0,
        Some("PERSISTENT_RECURSIVE") => *shell.watch_mode = 1,
        Some(_) => return Err(CliError::new(usage("addWatch"))),
    }
    let mode = *shell.watch_mode;
    let path = checked(given, 0)?;
    let server_path = shell.client.server_path(path);
    ask(shell.client, op::ADD_WATCH, &AddWatchRequest { path: text(&server_path), mode }, path)?;
    let kind = if mode == 0 { WatchKind::Persistent } else { WatchKind::Recursive };
    shell.client.watch(kind, &server_path);
    Ok(())
}

fn remove_watches(shell: &mut Context<'_>, given: &Given) -> Done {
    let path = checked(given, 0)?;
    let (number, kinds): (i32, &[WatchKind]) = if given.has("c") {
        (1, &[WatchKind::Child])
    } else if given.has("d") {
        (2, &[WatchKind::Data, WatchKind::Exists])
    } else if given.has("p") {
        (4, &[WatchKind::Persistent])
    } else if given.has("r") {
        (5, &[WatchKind::Recursive])
    } else {
        (3, WatchKind::ALL)
    };
    let server_path = shell.client.server_path(path);
    let request = RemoveWatchesRequest { path: text(&server_path), kind: number };
    let result = shell.client.call(op::REMOVE_WATCHES, &request);
    let keeper = |error| Err(CliError::keeper(error, path));
    if !shell.client.has_watch(kinds, &server_path) {
        return keeper(ErrorCode::NoWatcher);
    }
    match result {
        Err(error) if !given.has("l") => keeper(error),
        result => {
            shell.client.unwatch(kinds, &server_path, result.err());
            Ok(())
        }
    }
}

/// The usage text of a command; with its options if Java's has them.
pub(super) fn usage(name: &str) -> String {
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return name.to_owned();
    };
    let line = format!("{} {}", command.name, command.usage);
    match name {
        "get" | "set" => format!("{line}\n{}", options_text(command.flags)),
        _ => line,
    }
}

/// One line per option (`HelpFormatter`).
fn options_text(flags: Flags) -> String {
    let left = |flag: &str, value: bool| format!(" -{flag}{}", if value { " <arg>" } else { "" });
    let lefts: Vec<String> = flags.all().iter().map(|flag| left(flag.0, flag.1)).collect();
    let width = lefts.iter().map(String::len).max().unwrap_or(0);
    let lines = lefts.iter().zip(flags.all());
    lines.map(|(left, flag)| format!("{left:width$}   {}\n", flag.2)).collect()
}
