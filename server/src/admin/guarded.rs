//! `snapshot` and `restore`: the two commands that need a permission, and what stops them.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::commands::{Context, json};
use super::http::{Content, Response};

/// One call per interval, failed ones included (`RateLimiter`).
#[derive(Debug)]
pub(super) struct RateLimit {
    interval: Duration,
    last: Mutex<Option<Instant>>,
}

impl RateLimit {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, last: Mutex::new(None) }
    }

    /// Whether a call may go on now.
    pub(super) fn allow(&self) -> bool {
        let mut last = self.last.lock();
        if last.is_some_and(|last| last.elapsed() < self.interval) {
            return false;
        }
        *last = Some(Instant::now());
        true
    }
}

pub(super) fn refuse(command: &str, status: u16, error: &str) -> Response {
    json(status, command, Vec::new(), Some(error))
}

/// The `Authorization` header, checked for all permissions on `/`; `Err` is the answer.
pub(super) fn authorize(context: &Context<'_>, command: &str) -> Result<(), Response> {
    let Some(header) = context.request.header("authorization") else {
        return Err(refuse(command, 401, "Auth info is missing for the command"));
    };
    // A scheme and its data, or the scheme alone where the data is the connection's.
    let mut words = header.trim_end_matches(' ').split(' ');
    let (scheme, data) = (words.next().unwrap_or_default(), words.next());
    if words.next().is_some() || (data.is_none() && scheme == "digest") {
        return Err(refuse(command, 401, "Not authenticated"));
    }
    let (data, ip) = (data.unwrap_or_default(), client_ip(context));
    match context.guard.may_do_all(scheme, data.as_bytes(), ip) {
        super::Allowed::Yes => Ok(()),
        super::Allowed::NotAuthenticated => Err(refuse(command, 401, "Not authenticated")),
        super::Allowed::NotAuthorized => Err(refuse(command, 403, "Not authorized")),
    }
}

/// The peer, or what the first proxy says it was. Text that is no address is nobody's.
fn client_ip(context: &Context<'_>) -> IpAddr {
    let direct = context.request.remote.ip();
    if !context.facts.use_x_forwarded_for {
        return direct;
    }
    let forwarded = context.request.header("x-forwarded-for").filter(|list| !list.is_empty());
    let first = forwarded.and_then(|list| list.split(',').find(|entry| !entry.is_empty()));
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    first.map_or(direct, |text| text.trim().parse().unwrap_or(nobody))
}

pub(super) fn snapshot(context: &Context<'_>) -> Response {
    let command = "snapshot";
    if let Err(refusal) = authorize(context, command) {
        return refusal;
    }
    let facts = context.facts;
    let metrics = &facts.words.options().metrics;
    if context.request.method == "POST" {
        return Response::error(500, "this command is not to be posted");
    }
    if !context.view.is_some_and(|view| view.serving()) {
        return refuse(command, 200, "This ZooKeeper instance is not currently serving requests");
    }
    if !facts.snapshot_enabled {
        return refuse(command, 503, "Snapshot command is disabled");
    }
    if !facts.last_zxid_in_snapshots {
        return refuse(command, 500, "serializeLastProcessedZxid is disabled");
    }
    if !facts.snapshot_rate.allow() {
        metrics.snapshot_rate_limited_count.add(1);
        return refuse(command, 429, "Too many requests");
    }
    let failed = |error: &str| {
        metrics.snapshot_error_count.add(1);
        tracing::warn!("snapshot command failed: {error}");
        refuse(command, 500, error)
    };
    let (zxid, path) = match context.guard.take_snapshot() {
        Ok(taken) => taken,
        Err(error) => return failed(&error),
    };
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (size, file) = match opened {
        Ok((0, _)) => return failed("the snapshot is empty"),
        Ok(opened) => opened,
        Err(error) => return failed(&error.to_string()),
    };
    let streaming = context.request.argument("streaming");
    let mut response = match streaming.is_none_or(|value| value.eq_ignore_ascii_case("true")) {
        false => json(200, command, Vec::new(), None),
        true => {
            let headers = vec![("content-type", "application/octet-stream".to_owned())];
            Response { status: 200, headers, body: Content::File(file, size) }
        }
    };
    response.headers.push(("last_zxid", format!("0x{:x}", zxid.0)));
    response.headers.push(("snapshot_size", size.to_string()));
    response
}

pub(super) fn restore(context: &Context<'_>) -> Response {
    let command = "restore";
    if let Err(refusal) = authorize(context, command) {
        return refusal;
    }
    if !context.facts.restore_enabled {
        return refuse(command, 503, "Restore command is disabled");
    }
    if context.request.method != "POST" {
        return Response::error(500, "this command is to be posted");
    }
    let facts = context.facts;
    let metrics = &facts.words.options().metrics;
    if !context.view.is_some_and(|view| view.serving()) {
        return refuse(command, 200, "This ZooKeeper instance is not currently serving requests");
    }
    if !facts.last_zxid_in_snapshots {
        return refuse(command, 500, "serializeLastProcessedZxid is disabled");
    }
    let Some(mut body) = context.request.body.lock().take() else {
        return refuse(command, 400, "there is no body");
    };
    if !facts.restore_rate.allow() {
        metrics.restore_rate_limited_count.add(1);
        return refuse(command, 429, "Too many requests");
    }
    let begun = Instant::now();
    match context.guard.restore(&mut body) {
        Ok(zxid) => {
            metrics.restore_time.add(begun.elapsed().as_millis() as i64);
            json(200, command, vec![("last_zxid".to_owned(), zxid.0.into())], None)
        }
        Err(error) => {
            metrics.restore_error_count.add(1);
            tracing::warn!("restore command failed: {error}");
            refuse(command, 500, &error)
        }
    }
}
