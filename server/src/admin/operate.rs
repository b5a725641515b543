//! What operators do through JMX on a Java server: end a session, close a connection or a learner's
//! link, change a limit of the running server. Each needs the permission that `snapshot` needs, and
//! a POST. What they read is here too: sessions, quotas, learners.

use std::net::SocketAddr;

use super::commands::{Context, Members, json, members};
use super::guarded::{authorize, refuse};
use super::http::Response;
use super::json::{Json, object};
use crate::base::SessionId;
use crate::net::view::ServerView;

/// A command that changes something: authorised, posted, while serving.
fn change(
    context: &Context<'_>,
    command: &str,
    work: impl FnOnce(&dyn ServerView) -> Result<Members, String>,
) -> Response {
    if let Err(refusal) = authorize(context, command) {
        return refusal;
    }
    if context.request.method != "POST" {
        return Response::error(405, "this command is to be posted");
    }
    let Some(view) = context.view.filter(|view| view.serving()) else {
        return refuse(command, 200, "This ZooKeeper instance is not currently serving requests");
    };
    match work(view) {
        Ok(all) => json(200, command, all, None),
        Err(error) => refuse(command, 400, &error),
    }
}

/// A number, decimal or with `0x`.
fn number(context: &Context<'_>, name: &str) -> Result<i64, String> {
    let text = context.request.argument(name).ok_or(format!("argument {name} is missing"))?;
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|bits| bits as i64),
        None => text.parse().ok(),
    };
    parsed.ok_or(format!("argument {name} is no number: {text}"))
}

/// `ConnectionBean.terminateSession`.
pub(super) fn close_session(context: &Context<'_>) -> Response {
    change(context, "close_session", |_| {
        let session = SessionId(number(context, "session_id")?);
        context.guard.close_session(session)?;
        Ok(members([("session_id", session.0.into())]))
    })
}

/// `ConnectionBean.terminateConnection`.
pub(super) fn close_connection(context: &Context<'_>) -> Response {
    change(context, "close_connection", |_| {
        let text = context.request.argument("remote_socket_address").unwrap_or_default();
        let remote: SocketAddr = text
            .parse()
            .map_err(|_| format!("argument remote_socket_address is no ip:port: {text}"))?;
        match context.guard.close_connection(remote) {
            true => Ok(members([("remote_socket_address", text.into())])),
            false => Err(format!("there is no connection from {remote}")),
        }
    })
}

/// `LearnerHandlerBean.terminateConnection`.
pub(super) fn close_learner(context: &Context<'_>) -> Response {
    change(context, "close_learner", |view| {
        let sid = number(context, "sid")?;
        let learners = view.peer().map(|peer| peer.learners).unwrap_or_default();
        let Some(learner) = learners.iter().find(|learner| learner.sid == sid) else {
            return Err(format!("there is no learner {sid} here"));
        };
        context.guard.close_learner(sid, learner.link);
        Ok(members([("sid", sid.into())]))
    })
}

/// `ZooKeeperServerBean.setMaxClientCnxnsPerHost`.
pub(super) fn set_max_client_cnxns(context: &Context<'_>) -> Response {
    change(context, "set_max_client_cnxns", |_| {
        let max = number(context, "max_client_cnxns")?;
        let limit = usize::try_from(max).map_err(|_| "max_client_cnxns is negative".to_owned())?;
        context.guard.set_max_client_connections(limit);
        Ok(members([("max_client_cnxns", max.into())]))
    })
}

/// Every session of the database with its timeout and the number of its ephemerals.
pub(super) fn sessions(_context: &Context<'_>, view: &dyn ServerView) -> Members {
    let all = view.sessions();
    let ephemerals: std::collections::BTreeMap<_, _> =
        all.ephemerals.iter().map(|(id, paths)| (*id, paths.len() as u64)).collect();
    let list = all.sessions.iter().map(|(id, timeout_ms)| {
        object([
            ("session_id", id.0.into()),
            ("session_timeout", (*timeout_ms).into()),
            ("ephemerals", ephemerals.get(id).copied().unwrap_or(0).into()),
        ])
    });
    members([("sessions", Json::Array(list.collect()))])
}

/// Limits and usage per top-level znode.
pub(super) fn quotas(_context: &Context<'_>, view: &dyn ServerView) -> Members {
    let sets = view.gauges().quotas.into_iter().map(|set| {
        let values = set.values.into_iter().map(|(key, value)| (key, value.into()));
        (set.name.to_owned(), Json::Object(values.collect()))
    });
    sets.collect()
}

/// Every learner of this leader (`LeaderBean.followerInfo`).
pub(super) fn learners(_context: &Context<'_>, view: &dyn ServerView) -> Members {
    let learners = view.peer().map(|peer| peer.learners).unwrap_or_default();
    members([("learners", Json::Array(learners.iter().map(learner).collect()))])
}

/// `LearnerHandler.getLearnerHandlerInfo`, and what kind of learner it is.
pub(super) fn learner(learner: &crate::net::view::LearnerView) -> Json {
    let remote = learner.remote.map_or(String::new(), crate::net::fourlw::java_address);
    object([
        ("remote_socket_address", remote.into()),
        ("sid", learner.sid.into()),
        ("established", learner.established_ms.into()),
        ("queued_packets", learner.queued.into()),
        ("queued_packets_size", learner.queued_bytes.into()),
        ("packets_received", learner.received.into()),
        ("packets_sent", learner.sent.into()),
        ("requests", learner.requests.into()),
        ("last_zxid", learner.last_zxid.into()),
    ])
}
