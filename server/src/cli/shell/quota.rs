//! `setquota`, `listquota`, `delquota`: znodes below `/zookeeper/quota`.

use std::collections::BTreeMap;

use jute::proto::{CreateRequest, op};

use super::commands::{Context, Done, ask, children, exists, get_data, remove, set_data, text};
use super::error::{CliError, check_path};
use super::out::complain;
use super::subtree::visit;
use super::words::{Flags, Given};
use crate::base::ErrorCode;
use crate::client::Client;

pub(super) const SET_FLAGS: Flags = Flags::OneOf(
    &[
        ("n", true, "num soft quota"),
        ("b", true, "bytes soft quota"),
        ("N", true, "num hard quota"),
        ("B", true, "bytes hard quota"),
    ],
    true,
);

pub(super) const DELETE_FLAGS: Flags = Flags::OneOf(
    &[
        ("n", false, "num soft quota"),
        ("b", false, "bytes soft quota"),
        ("N", false, "num hard quota"),
        ("B", false, "bytes hard quota"),
    ],
    false,
);

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
    format!("{ROOT}{path}")
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

/// The number behind the option: counts are Java ints above 0, bytes longs from 0 on.
fn limit_of(option: &str, text: &str) -> Result<i64, &'static str> {
    let not_a_number = "NumberFormatException happens when parsing the option value";
    if matches!(option, "n" | "N") {
        let count: i32 = text.parse().map_err(|_| not_a_number)?;
        Some(count.into())
            .filter(|count| *count > 0)
            .ok_or("the num quota must be greater than zero")
    } else {
        let bytes: i64 = text.parse().map_err(|_| not_a_number)?;
        Some(bytes)
            .filter(|bytes| *bytes >= 0)
            .ok_or("the bytes quota must be greater than or equal to zero")
    }
}

/// `createQuota`: one limit at a time.
pub(super) fn set(shell: &mut Context<'_>, given: &Given) -> Done {
    let client = shell.client;
    let path = given.argument(0).unwrap_or_default();
    if path.starts_with(ROOT) {
        complain(format_args!("cannot set a quota under the path: {ROOT}"));
        return Ok(());
    }
    let mut wanted = [None; 4];
    for (slot, (_, option)) in wanted.iter_mut().zip(KEYS) {
        let Some(value) = given.value(option) else { continue };
        match limit_of(option, value) {
            Ok(limit) => *slot = Some(limit),
            Err(why) => {
                complain(why);
                return Ok(());
            }
        }
    }
    check_path(path)?;
    match exists(client, path, false) {
        Err(error) if error.keeper == Some(ErrorCode::NoNode) => {
            return Err(CliError::new(format!("{path} does not exist.")));
        }
        stat => _ = stat?,
    }
    let quota = quota_path(path);
    check_path(&quota)?;
    check_below(client, path, &quota)?;
    check_above(client, path)?;
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
            warn_if_exceeded(shell, &stats, &merged)?;
            set_data(client, &limits, merged.text().as_bytes(), -1)?;
        }
        Err(error) if error.keeper == Some(ErrorCode::NoNode) => {
            let limit = merge(Limits([-1; 4]));
            create(client, &limits, limit.text().as_bytes())?;
            create(client, &stats, b"count=0,bytes=0")?;
            warn_if_exceeded(shell, &stats, &limit)?;
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn warn_if_exceeded(shell: &mut Context<'_>, stats: &str, limits: &Limits) -> Done {
    let (data, _) = get_data(shell.client, stats, false)?;
    let Limits([count, bytes, ..]) = Limits::parse(&data.unwrap_or_default());
    let Limits([count_soft, bytes_soft, count_hard, bytes_hard]) = *limits;
    let below = |limits: [i64; 2], now| limits.iter().any(|limit| (0..now).contains(limit));
    for (what, limits, now) in
        [("count", [count_soft, count_hard], count), ("bytes", [bytes_soft, bytes_hard], bytes)]
    {
        if below(limits, now) {
            let text = format!(
                "[Warning]: the {what} quota you create is less than the existing {what}:{now}"
            );
            shell.out.item("warnings", text.clone(), text);
        }
    }
    Ok(())
}

/// No znode below may have a quota.
fn check_below(client: &Client, path: &str, quota: &str) -> Done {
    let result = visit(client, quota, false, |node| {
        let names = match children(client, node, false) {
            Ok((names, _)) => names,
            // Removed since it was listed.
            Err(_) => return Ok(()),
        };
        if node != quota && names.iter().any(|name| name == LIMITS) {
            let child = &node[ROOT.len()..];
            return Err(CliError::new(format!("{path} has a child {child} which has a quota")));
        }
        Ok(())
    });
    match result {
        // There is nothing.
        Err(error) if error.keeper == Some(ErrorCode::NoNode) => Ok(()),
        result => result,
    }
}

/// No znode above may have a quota.
fn check_above(client: &Client, path: &str) -> Done {
    for (at, _) in path.match_indices('/').skip(1) {
        let parent = &path[..at];
        let names = match children(client, &quota_path(parent), false) {
            Err(error) if error.keeper == Some(ErrorCode::NoNode) => return Ok(()),
            names => names?.0,
        };
        if names.iter().any(|name| name == LIMITS) {
            return Err(CliError::new(format!("{path} has a parent {parent} which has a quota")));
        }
    }
    Ok(())
}

fn make_parents(client: &Client, quota: &str) -> Result<(), CliError> {
    let ends = quota.match_indices('/').map(|(at, _)| at).skip(1).chain([quota.len()]);
    for end in ends {
        let path = &quota[..end];
        if exists(client, path, false).is_err() {
            match create(client, path, b"") {
                Err(error) if error.keeper == Some(ErrorCode::NodeExists) => {}
                result => result?,
            }
        }
    }
    Ok(())
}

pub(super) fn list(shell: &mut Context<'_>, given: &Given) -> Done {
    let path = given.argument(0).unwrap_or_default();
    let quota = quota_path(path);
    let limits = format!("{quota}/{LIMITS}");
    shell.out.note("limitsPath", limits.clone(), format_args!("absolute path is {limits}"));
    for (name, path_of, what) in
        [("quota", limits, "quota"), ("stat", format!("{quota}/{STATS}"), "stat")]
    {
        check_path(&path_of)?;
        let data = match get_data(shell.client, &path_of, false) {
            Err(error) if error.keeper == Some(ErrorCode::NoNode) => {
                complain(format_args!("quota for {path} does not exist."));
                return Ok(());
            }
            data => data?.0.unwrap_or_default(),
        };
        let text = track_text(&String::from_utf8_lossy(&data));
        shell.out.put(name, text.clone(), format_args!("Output {what} for {path} {text}"));
    }
    Ok(())
}

/// `StatsTrack.toString`: count and bytes first, the others sorted behind a `=`.
fn track_text(text: &str) -> String {
    let pairs = text.split([',', ';']).filter_map(|pair| {
        let mut parts = pair.split('=');
        let key = parts.next().filter(|key| !key.is_empty())?;
        let value = parts.next().unwrap_or_default();
        Some((key, if value.is_empty() { "-1" } else { value }))
    });
    let mut values: BTreeMap<&str, &str> = pairs.collect();
    let count = values.remove("count").unwrap_or("-1");
    let bytes = values.remove("bytes").unwrap_or("-1");
    let mut out = format!("count={count},bytes={bytes}");
    if !values.is_empty() {
        out.push('=');
        values.iter().for_each(|(key, value)| out += &format!(";{key}={value}"));
    }
    out
}

pub(super) fn delete(shell: &mut Context<'_>, given: &Given) -> Done {
    let client = shell.client;
    let path = given.argument(0).unwrap_or_default();
    let quota = quota_path(path);
    let limits = format!("{quota}/{LIMITS}");
    check_path(&limits)?;
    let data = match get_data(client, &limits, false) {
        Err(error) if error.keeper == Some(ErrorCode::NoNode) => {
            let text = format!("Quota does not exist for {path}");
            shell.out.put("message", text.clone(), text);
            return Ok(());
        }
        data => data?.0.unwrap_or_default(),
    };
    if let Some(at) = KEYS.iter().position(|(_, option)| given.has(option)) {
        let mut left = Limits::parse(&data);
        left.0[at] = -1;
        return set_data(client, &limits, left.text().as_bytes(), -1).map(drop);
    }
    let (names, _) = children(client, &quota, false)?;
    names.iter().try_for_each(|name| remove(client, &format!("{quota}/{name}"), -1))?;
    // Empty parents go, up to the root of all quotas.
    let mut node = quota.as_str();
    while node != ROOT && children(client, node, false)?.0.is_empty() {
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
