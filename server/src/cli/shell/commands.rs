//! The commands that ask the server.

use jute::data::Stat;
use jute::proto::*;

use super::error::{CliError, check_path};
use super::print;
use super::quota;
use super::words::{Flag, Given};
use crate::base::{ErrorCode, version};
use crate::client::{Client, WatchKind};

type Done = Result<(), CliError>;

/// A command: name, usage behind the name, options, body.
pub(super) struct Command {
    pub name: &'static str,
    pub usage: &'static str,
    pub flags: &'static [Flag],
    /// Fewest arguments; with fewer the usage is shown.
    pub arguments: usize,
    pub run: fn(&Client, &Given) -> Done,
}

const fn command(
    name: &'static str,
    usage: &'static str,
    flags: &'static [Flag],
    arguments: usize,
    run: fn(&Client, &Given) -> Done,
) -> Command {
    Command { name, usage, flags, arguments, run }
}

const STATS: Flag = ("s", false, "stats");
const RECONFIG: &str = "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;\
    port3[,...]*]] | [-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]";

/// All of them; the shell's own (`history`, `redo`, ...) are elsewhere.
pub(super) const COMMANDS: &[Command] = &[
    command(
        "addWatch",
        "[-m mode] path # optional mode is one of [PERSISTENT, PERSISTENT_RECURSIVE] - default is \
         PERSISTENT_RECURSIVE",
        &[("m", true, "")],
        1,
        add_watch,
    ),
    command("addauth", "scheme auth", &[], 1, |client, given| {
        let data = given.argument(1).unwrap_or_default();
        client.add_auth(&given.arguments[0], data.as_bytes());
        Ok(())
    }),
    command("close", "", &[], 0, |client, _| {
        client.close();
        Ok(())
    }),
    command(
        "config",
        "[-c] [-w] [-s]",
        &[STATS, ("w", false, "watch"), ("c", false, "client connection string")],
        0,
        config,
    ),
    command(
        "create",
        "[-s] [-e] [-c] [-t ttl] path [data] [acl]",
        &[
            ("e", false, "ephemeral"),
            ("s", false, "sequential"),
            ("c", false, "container"),
            ("t", true, "ttl"),
        ],
        1,
        create,
    ),
    command("delete", "[-v version] path", &[("v", true, "version")], 1, delete),
    command("deleteall", "path [-b batch size]", &[("b", true, "batch size")], 1, delete_all),
    command("delquota", "[-n|-b|-N|-B] path", quota::DELETE_FLAGS, 1, quota::delete),
    command(
        "get",
        "[-s] [-w] [-b] [-x] path",
        &[
            ("b", false, "Output data in base64 format"),
            ("s", false, "Print znode stats additionally"),
            ("w", false, "Watch for changes on the znode"),
            ("x", false, "Output data in hexdump format"),
        ],
        1,
        get,
    ),
    command("getAcl", "[-s] path", &[STATS], 1, |client, given| {
        let path = checked(given, 0)?;
        let server_path = client.server_path(path);
        let request = GetAclRequest { path: text(&server_path) };
        let reply = ask(client, op::GET_ACL, &request, path)?;
        let answer: GetAclResponse = read(&reply, path)?;
        print::acl(&answer.acl.unwrap_or_default());
        if given.has("s") {
            print::stat(&answer.stat);
        }
        Ok(())
    }),
    command("getAllChildrenNumber", "path", &[], 1, |client, given| {
        let path = checked(given, 0)?;
        let server_path = client.server_path(path);
        let request = GetAllChildrenNumberRequest { path: text(&server_path) };
        let reply = ask(client, op::GET_ALL_CHILDREN_NUMBER, &request, path)?;
        let answer: GetAllChildrenNumberResponse = read(&reply, path)?;
        println!("{}", answer.total_number);
        Ok(())
    }),
    command("getEphemerals", "path", &[], 0, |client, given| {
        let path = given.argument(0).unwrap_or("/");
        check_path(path)?;
        let server_path = client.server_path(path);
        let request = GetEphemeralsRequest { prefix_path: text(&server_path) };
        let reply = ask(client, op::GET_EPHEMERALS, &request, path)?;
        let answer: GetEphemeralsResponse<'_> = read(&reply, path)?;
        let paths = answer.ephemerals.unwrap_or_default().into_iter().flatten();
        let paths: Vec<String> = paths.map(|path| client.client_path(&path)).collect();
        println!("{}", print::list(&paths));
        Ok(())
    }),
    command("listquota", "path", &[], 1, quota::list),
    command(
        "ls",
        "[-s] [-w] [-R] path",
        &[
            ("?", false, "help"),
            ("s", false, "stat"),
            ("w", false, "watch"),
            ("R", false, "recurse"),
        ],
        1,
        ls,
    ),
    command(
        "reconfig",
        RECONFIG,
        &[
            STATS,
            ("v", true, "required current config version"),
            ("file", true, "path of config file to parse for membership"),
            ("members", true, "comma-separated list of config strings"),
            ("add", true, "comma-separated list of config strings for new servers"),
            ("remove", true, "comma-separated list of server IDs to remove"),
        ],
        0,
        reconfig,
    ),
    command(
        "removewatches",
        "path [-c|-d|-a] [-l]",
        &[
            ("c", false, "child watcher type"),
            ("d", false, "data watcher type"),
            ("p", false, "persistent watcher type"),
            ("r", false, "persistent recursive watcher type"),
            ("a", false, "any watcher type"),
            ("l", false, "remove locally when there is no server connection"),
        ],
        1,
        remove_watches,
    ),
    command(
        "set",
        "path data [-s] [-v version] [-b]",
        &[
            ("b", false, "Supply data in base64 format"),
            ("s", false, "Print znode stats additionally"),
            ("v", true, "Set with an expected version"),
        ],
        2,
        set,
    ),
    command(
        "setAcl",
        "[-s] [-v version] [-R] path acl",
        &[STATS, ("v", true, "version"), ("R", false, "recursive")],
        2,
        set_acl,
    ),
    command("setquota", "-n|-b|-N|-B val path", quota::SET_FLAGS, 1, quota::set),
    command("stat", "[-w] path", &[("w", false, "watch")], 1, |client, given| {
        let path = checked(given, 0)?;
        let watch = given.has("w");
        print::stat(&exists(client, path, watch)?);
        Ok(())
    }),
    command("sync", "path", &[], 1, |client, given| {
        let path = checked(given, 0)?;
        let server_path = client.server_path(path);
        let request = SyncRequest { path: text(&server_path) };
        match client.call(op::SYNC, &request) {
            Ok(_) => println!("Sync is OK"),
            Err(error) => println!("Sync has failed. rc={}", error.code()),
        }
        Ok(())
    }),
    command("version", "", &[], 0, |_, _| {
        println!("ZooKeeper CLI version: {}", version::full());
        Ok(())
    }),
    command("whoami", "", &[], 0, |client, _| {
        let reply = ask(client, op::WHO_AM_I, &Nothing, "")?;
        let answer: WhoAmIResponse<'_> = read(&reply, "")?;
        println!("Auth scheme: User");
        for info in answer.client_info.unwrap_or_default() {
            println!("{}: {}", info.auth_scheme.unwrap_or_default(), info.user.unwrap_or_default());
        }
        Ok(())
    }),
];

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
    names.sort();
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

fn child_of(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

fn version_of(given: &Given) -> Result<i32, CliError> {
    let Some(text) = given.value("v") else { return Ok(-1) };
    text.parse().map_err(|_| CliError::new(format!("For input string: \"{text}\"")))
}

fn ls(client: &Client, given: &Given) -> Done {
    let path = checked(given, 0)?;
    if given.argument(1).is_some() {
        eprintln!("'ls path [watch]' has been deprecated. Please use 'ls [-w] path' instead.");
    }
    let watch = given.has("w") || given.argument(1).is_some();
    if given.has("R") {
        let mut waiting = vec![path.to_owned()];
        exists(client, path, false)?;
        while let Some(path) = waiting.pop() {
            println!("{path}");
            let names = match children(client, &path, watch) {
                Ok((names, _)) => names,
                // Deleted since it was listed.
                Err(_) => continue,
            };
            waiting.extend(names.iter().rev().map(|name| child_of(&path, name)));
        }
        return Ok(());
    }
    let (names, stat) = children(client, path, watch)?;
    println!("{}", print::list(&names));
    if given.has("s") {
        print::stat(&stat);
    }
    Ok(())
}

fn get(client: &Client, given: &Given) -> Done {
    let path = checked(given, 0)?;
    if given.argument(1).is_some() {
        eprintln!(
            "'get path [watch]' has been deprecated. Please use 'get [-s] [-w] path' instead."
        );
    }
    let (data, stat) = get_data(client, path, given.has("w") || given.argument(1).is_some())?;
    println!(
        "{}",
        match data {
            None => "null".to_owned(),
            Some(data) if given.has("b") => print::base64(&data),
            Some(data) if given.has("x") => print::hex_dump(&data),
            Some(data) => String::from_utf8_lossy(&data).into_owned(),
        }
    );
    if given.has("s") {
        print::stat(&stat);
    }
    Ok(())
}

fn set(client: &Client, given: &Given) -> Done {
    let path = checked(given, 0)?;
    let data = given.argument(1).unwrap_or_default();
    let data = if given.has("b") { print::from_base64(data)? } else { data.as_bytes().to_vec() };
    let stat = set_data(client, path, &data, version_of(given)?)?;
    if given.has("s") {
        print::stat(&stat);
    }
    Ok(())
}

/// Flags of `CreateMode`: ephemeral 1, sequential 2, container 4, TTL 5 and 6.
fn create(client: &Client, given: &Given) -> Done {
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
    let path = given.argument(0).unwrap_or_default();
    // A sequence number may be the whole name.
    check_path(&if sequential { format!("{path}1") } else { path.to_owned() })?;
    let acl = match given.argument(2) {
        Some(text) => print::parse_acl(text),
        None => vec![jute::data::Acl::world(jute::data::PERM_ALL)],
    };
    let server_path = client.server_path(path);
    let data = given.argument(1).map(str::as_bytes);
    let reply = match ttl {
        Some(ttl) => {
            let flags = if sequential { 6 } else { 5 };
            let (path, acl) = (text(&server_path), Some(acl));
            client.call(op::CREATE_TTL, &CreateTtlRequest { path, data, acl, flags, ttl })
        }
        None => {
            let flags = match (container, ephemeral, sequential) {
                (true, ..) => 4,
                (_, ephemeral, sequential) => i32::from(ephemeral) + 2 * i32::from(sequential),
            };
            let kind = if container { op::CREATE_CONTAINER } else { op::CREATE };
            let (path, acl) = (text(&server_path), Some(acl));
            client.call(kind, &CreateRequest { path, data, acl, flags })
        }
    };
    let reply = reply.map_err(|error| {
        if error == ErrorCode::EphemeralOnLocalSession {
            eprintln!("Unable to create ephemeral node on a local session");
        }
        CliError::keeper(error, path)
    })?;
    // create2, createContainer and createTTL answer with a stat behind the path.
    let created: CreateResponse<'_> = read(&reply, path)?;
    eprintln!("Created {}", client.client_path(&created.path.unwrap_or_default()));
    Ok(())
}

fn delete(client: &Client, given: &Given) -> Done {
    let path = checked(given, 0)?;
    if given.argument(1).is_some() {
        eprintln!(
            "'delete path [version]' has been deprecated. Please use 'delete [-v version] path' \
             instead."
        );
    }
    remove(client, path, version_of(given)?)
}

fn delete_all(client: &Client, given: &Given) -> Done {
    if given.value("b").is_some_and(|text| text.parse::<i32>().is_err()) {
        return Err(CliError::new("-b argument must be an int value"));
    }
    let top = checked(given, 0)?.to_owned();
    let (mut waiting, mut found) = (vec![top], Vec::new());
    while let Some(path) = waiting.pop() {
        let (names, _) = children(client, &path, false)?;
        waiting.extend(names.iter().map(|name| child_of(&path, name)));
        found.push(path);
    }
    // Parents were found before their children.
    let failed = found.iter().rev().filter(|path| remove(client, path, -1).is_err()).count();
    if failed > 0 {
        eprintln!("Failed to delete some node(s) in the subtree!");
    }
    Ok(())
}

fn set_acl(client: &Client, given: &Given) -> Done {
    let path = checked(given, 0)?.to_owned();
    let acl = print::parse_acl(given.argument(1).unwrap_or_default());
    let version = version_of(given)?;
    let mut waiting = vec![path];
    while let Some(path) = waiting.pop() {
        let server_path = client.server_path(&path);
        let request = SetAclRequest { path: text(&server_path), acl: Some(acl.clone()), version };
        // Java says null where the list as a whole is refused.
        let reply = client.call(op::SET_ACL, &request).map_err(|error| match error {
            ErrorCode::InvalidAcl if acl.is_empty() => CliError::keeper(error, "null"),
            error => CliError::keeper(error, &path),
        })?;
        let answer: SetAclResponse = read(&reply, &path)?;
        if given.has("s") {
            print::stat(&answer.stat);
        }
        if given.has("R") {
            let (names, _) = children(client, &path, false)?;
            waiting.extend(names.iter().rev().map(|name| child_of(&path, name)));
        }
    }
    Ok(())
}

fn add_watch(client: &Client, given: &Given) -> Done {
    let (mode, kind) = match given.value("m").map(str::to_uppercase).as_deref() {
        None | Some("PERSISTENT_RECURSIVE") => (1, WatchKind::Recursive),
        Some("PERSISTENT") => (0, WatchKind::Persistent),
        Some(_) => return Err(CliError::new(usage("addWatch"))),
    };
    let path = checked(given, 0)?;
    let server_path = client.server_path(path);
    ask(client, op::ADD_WATCH, &AddWatchRequest { path: text(&server_path), mode }, path)?;
    client.watch(kind, &server_path);
    Ok(())
}

fn remove_watches(client: &Client, given: &Given) -> Done {
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
        (3, &[])
    };
    let server_path = client.server_path(path);
    let request = RemoveWatchesRequest { path: text(&server_path), kind: number };
    let result = ask(client, op::REMOVE_WATCHES, &request, path);
    if result.is_ok() || given.has("l") {
        match kinds {
            [] => client.unwatch(None, &server_path),
            kinds => kinds.iter().for_each(|kind| client.unwatch(Some(*kind), &server_path)),
        }
    }
    if given.has("l") { Ok(()) } else { result.map(drop) }
}

const CONFIG_NODE: &str = "/zookeeper/config";

fn config(client: &Client, given: &Given) -> Done {
    // Never below a chroot.
    let request = GetDataRequest { path: text(CONFIG_NODE), watch: given.has("w") };
    let reply = ask(client, op::GET_DATA, &request, CONFIG_NODE)?;
    if given.has("w") {
        client.watch(WatchKind::Data, CONFIG_NODE);
    }
    let answer: GetDataResponse<'_> = read(&reply, CONFIG_NODE)?;
    let text = String::from_utf8_lossy(answer.data.unwrap_or_default()).into_owned();
    println!("{}", if given.has("c") { client_addresses(&text) } else { text });
    if given.has("s") {
        print::stat(&answer.stat);
    }
    Ok(())
}

/// `ConfigUtils.getClientConfigStr`: version and client addresses.
fn client_addresses(config: &str) -> String {
    let mut version = "";
    let mut addresses = Vec::new();
    for (key, value) in config.lines().filter_map(|line| line.split_once('=')) {
        if key == "version" {
            version = value;
        } else if key.starts_with("server.") {
            addresses.push(value.split_once(';').map_or("", |(_, client)| client));
        }
    }
    format!("{version} {}", addresses.join(","))
}

fn reconfig(client: &Client, given: &Given) -> Done {
    let (file, members) = (given.value("file"), given.value("members"));
    let (add, remove) = (given.value("add"), given.value("remove"));
    if [file, members, add, remove].iter().all(Option::is_none) {
        return Err(CliError::new(usage("reconfig")));
    }
    let expected = match given.value("v") {
        None => -1,
        Some(text) => i64::from_str_radix(text, 16)
            .map_err(|_| CliError::new("-v must be followed by a long (configuration version)"))?,
    };
    if (file.is_some() || members.is_some()) && (add.is_some() || remove.is_some()) {
        return Err(CliError::new(
            "Can't use -file or -members together with -add or -remove (mixing incremental and \
             non-incremental modes is not allowed)",
        ));
    }
    if file.is_some() && members.is_some() {
        return Err(CliError::new(
            "Can't use -file and -members together (conflicting non-incremental modes)",
        ));
    }
    let whole = match (file, members) {
        (Some(file), _) => {
            let read = std::fs::read_to_string(file);
            let read =
                read.map_err(|error| CliError::new(format!("Error processing {file}{error}")))?;
            let lines =
                read.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
            Some(lines.collect::<Vec<_>>().join(","))
        }
        (None, members) => members.map(str::to_lowercase),
    };
    let (add, remove) = (add.map(str::to_lowercase), remove.map(str::to_lowercase));
    let request = ReconfigRequest {
        joining_servers: add.as_deref().map(Into::into),
        leaving_servers: remove.as_deref().map(Into::into),
        new_members: whole.as_deref().map(Into::into),
        cur_config_id: expected,
    };
    let reply = ask(client, op::RECONFIG, &request, "")?;
    let answer: GetDataResponse<'_> = read(&reply, "")?;
    println!(
        "Committed new configuration:\n{}",
        String::from_utf8_lossy(answer.data.unwrap_or_default())
    );
    if given.has("s") {
        print::stat(&answer.stat);
    }
    Ok(())
}

/// The usage text of a command; with its options if there is something to say about each.
pub(super) fn usage(name: &str) -> String {
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return name.to_owned();
    };
    let line = format!("{} {}", command.name, command.usage);
    if !matches!(name, "get" | "set") {
        return line;
    }
    let left = |(flag, value, _): &Flag| format!(" -{flag}{}", if *value { " <arg>" } else { "" });
    let width = command.flags.iter().map(|flag| left(flag).len()).max().unwrap_or(0);
    let options = command.flags.iter().map(|flag| format!("{:width$}   {}\n", left(flag), flag.2));
    format!("{line}\n{}", options.collect::<String>())
}
