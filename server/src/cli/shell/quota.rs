//! `setquota`, `listquota`, `delquota`: znodes below `/zookeeper/quota`.

use jute::proto::{CreateRequest, op};

use super::commands::{ask, checked, children, exists, get_data, remove, set_data, text};
use super::error::CliError;
use super::words::{Flag, Given};
use crate::client::Client;

pub(super) const SET_FLAGS: &[Flag] = &[
    ("n", true, "num soft quota"),
    ("b", true, "bytes soft quota"),
    ("N", true, "num hard quota"),
    ("B", true, "bytes hard quota"),
];

pub(super) const DELETE_FLAGS: &[Flag] = &[
    ("n", false, "num soft quota"),
    ("b", false, "bytes soft quota"),
    ("N", false, "num hard quota"),
    ("B", false, "bytes hard quota"),
];

const ROOT: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// The four numbers of a limits znode (`StatsTrack`); -1 is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Limits([i64; 4]);

/// Keys in the order of [`Limits`], and the options they come from.
const KEYS: [(&str, &str); 4] =
    [("count", "n"), ("bytes", "b"), ("countHardLimit", "N"), ("byteHardLimit", "B")];

impl Limits {
    fn parse(data: &[u8]) -> Self {
        let text = String::from_utf8_lossy(data);
        let mut limits = [-1; 4];
        for pair in text.split([',', ';']) {
            let mut parts = pair.split('=');
            let (key, value) = (parts.next().unwrap_or_default(), parts.next());
            if let Some(at) = KEYS.iter().position(|(known, _)| *known == key) {
                limits[at] = value.and_then(|value| value.parse().ok()).unwrap_or(-1);
            }
        }
        Limits(limits)
    }

    /// The second `=` makes old servers ignore what they do not know.
    fn text(&self) -> String {
        let [count, bytes, count_hard, byte_hard] = self.0;
        format!(
            "count={count},bytes={bytes}=;byteHardLimit={byte_hard};countHardLimit={count_hard}"
        )
    }
}

fn quota_path(path: &str) -> String {
    if path == "/" { ROOT.to_owned() } else { format!("{ROOT}{path}") }
}

fn create(client: &Client, path: &str, data: &[u8]) -> Result<(), CliError> {
    let server_path = client.server_path(path);
    let request = CreateRequest {
        path: text(&server_path),
        data: Some(data),
        acl: Some(vec![jute::data::Acl::world(jute::data::PERM_ALL)]),
        flags: 0,
    };
    ask(client, op::CREATE, &request, path).map(drop)
}

pub(super) fn set(client: &Client, given: &Given) -> Result<(), CliError> {
    let path = checked(given, 0)?;
    if path.starts_with(ROOT) {
        eprintln!("cannot set a quota under the path: {ROOT}");
        return Ok(());
    }
    let mut wanted = [None; 4];
    for (at, (_, option)) in KEYS.iter().enumerate() {
        let Some(value) = given.value(option) else { continue };
        let Ok(value) = value.parse::<i64>() else {
            eprintln!("NumberFormatException happens when parsing the option value");
            return Ok(());
        };
        let (number, least) = if matches!(*option, "n" | "N") { ("num", 1) } else { ("bytes", 0) };
        if value < least {
            let than = if least == 1 { "than zero" } else { "than or equal to zero" };
            eprintln!("the {number} quota must be greater {than}");
            return Ok(());
        }
        wanted[at] = Some(value);
    }
    if wanted.iter().all(Option::is_none) {
        eprintln!("{}", super::commands::usage("setquota"));
        return Ok(());
    }
    if exists(client, path, false).is_err() {
        return Err(CliError::new(format!("{path} does not exist.")));
    }
    let quota = quota_path(path);
    check_relatives(client, path, &quota)?;
    make_parents(client, &quota)?;
    let (limits, stats) = (format!("{quota}/{LIMITS}"), format!("{quota}/{STATS}"));
    let merge = |mut limits: Limits| {
        let pairs = limits.0.iter_mut().zip(wanted);
        pairs.for_each(|(old, new)| *old = new.unwrap_or(*old));
        limits
    };
    match get_data(client, &limits, false) {
        Ok((data, _)) => {
            let merged = merge(Limits::parse(&data.unwrap_or_default()));
            set_data(client, &limits, merged.text().as_bytes(), -1)?;
        }
        Err(_) => {
            create(client, &limits, merge(Limits([-1; 4])).text().as_bytes())?;
            create(client, &stats, b"count=0,bytes=0")?;
        }
    }
    warn_if_exceeded(client, &stats, wanted);
    Ok(())
}

fn warn_if_exceeded(client: &Client, stats: &str, wanted: [Option<i64>; 4]) {
    let Ok((Some(data), _)) = get_data(client, stats, false) else { return };
    let Limits([count, bytes, ..]) = Limits::parse(&data);
    let below = |limits: [Option<i64>; 2], now| limits.iter().flatten().any(|limit| *limit < now);
    if below([wanted[0], wanted[2]], count) {
        println!("[Warning]: the count quota you create is less than the existing count:{count}");
    }
    if below([wanted[1], wanted[3]], bytes) {
        println!("[Warning]: the bytes quota you create is less than the existing bytes:{bytes}");
    }
}

/// Neither above nor below a quota may be another one.
fn check_relatives(client: &Client, path: &str, quota: &str) -> Result<(), CliError> {
    let of = |quota: &str| match quota.strip_prefix(ROOT) {
        Some("") | None => "/".to_owned(),
        Some(path) => path.to_owned(),
    };
    let mut waiting = vec![quota.to_owned()];
    while let Some(node) = waiting.pop() {
        let Ok((names, _)) = children(client, &node, false) else { continue };
        if node != quota && names.iter().any(|name| name == LIMITS) {
            let text = format!("{path} has a child {} which has a quota", of(&node));
            return Err(CliError::new(text));
        }
        waiting.extend(names.iter().map(|name| format!("{node}/{name}")));
    }
    let mut parent = quota;
    while let Some((above, _)) = parent.rsplit_once('/') {
        parent = above;
        if !parent.starts_with(ROOT) {
            break;
        }
        if exists(client, &format!("{parent}/{LIMITS}"), false).is_ok() {
            let text = format!("{path} has a parent {} which has a quota", of(parent));
            return Err(CliError::new(text));
        }
    }
    Ok(())
}

fn make_parents(client: &Client, quota: &str) -> Result<(), CliError> {
    for (at, _) in quota.match_indices('/').skip(1) {
        if exists(client, &quota[..at], false).is_err() {
            create(client, &quota[..at], b"")?;
        }
    }
    match exists(client, quota, false) {
        Ok(_) => Ok(()),
        Err(_) => create(client, quota, b""),
    }
}

pub(super) fn list(client: &Client, given: &Given) -> Result<(), CliError> {
    let path = checked(given, 0)?;
    let quota = quota_path(path);
    let limits = format!("{quota}/{LIMITS}");
    eprintln!("absolute path is {limits}");
    let (Ok((data, _)), Ok((stats, _))) =
        (get_data(client, &limits, false), get_data(client, &format!("{quota}/{STATS}"), false))
    else {
        eprintln!("quota for {path} does not exist.");
        return Ok(());
    };
    let shown =
        |data: Option<Vec<u8>>| String::from_utf8_lossy(&data.unwrap_or_default()).into_owned();
    println!("Output quota for {path} {}", shown(data));
    println!("Output stat for {path} {}", shown(stats));
    Ok(())
}

pub(super) fn delete(client: &Client, given: &Given) -> Result<(), CliError> {
    let path = checked(given, 0)?;
    let quota = quota_path(path);
    let limits = format!("{quota}/{LIMITS}");
    let Ok((data, _)) = get_data(client, &limits, false) else {
        println!("Quota does not exist for {path}");
        return Ok(());
    };
    let mut left = Limits::parse(&data.unwrap_or_default());
    let some = KEYS.iter().enumerate().filter(|(_, (_, option))| given.has(option));
    let some: Vec<usize> = some.map(|(at, _)| at).collect();
    if !some.is_empty() {
        some.iter().for_each(|at| left.0[*at] = -1);
        return set_data(client, &limits, left.text().as_bytes(), -1).map(drop);
    }
    remove(client, &limits, -1)?;
    remove(client, &format!("{quota}/{STATS}"), -1)?;
    // Empty parents go, up to the root of all quotas.
    let mut node = quota.as_str();
    while node != ROOT && children(client, node, false).is_ok_and(|(names, _)| names.is_empty()) {
        remove(client, node, -1)?;
        node = node.rsplit_once('/').map_or(ROOT, |(parent, _)| parent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_what_they_write() {
        let limits = Limits([5, -1, 7, 8]);
        assert_eq!(limits.text(), "count=5,bytes=-1=;byteHardLimit=8;countHardLimit=7");
        assert_eq!(Limits::parse(limits.text().as_bytes()), limits);
        assert_eq!(Limits::parse(b"count=3,bytes=4"), Limits([3, 4, -1, -1]));
    }
}
