//! The texts. Existing monitoring parses them with regular expressions: every blank counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use jute::proto::op;

use super::ConfOptions;
use crate::base::SessionId;
use crate::metrics::{java_double, round4};
use crate::net::view::{ConnectionView, Mode, ServerView, WatchesView};

/// `java.util.Date.toString` in the zone of this machine: `Sat Nov 21 13:41:23 UTC 2026`.
pub fn java_date(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    let zone = jiff::tz::TimeZone::system();
    time.to_zoned(zone).strftime("%a %b %d %H:%M:%S %Z %Y").to_string()
}

/// `InetSocketAddress.toString` of a peer: `/127.0.0.1:2181`, `/[0:0:0:0:0:0:0:1]:2181`.
pub fn java_address(address: SocketAddr) -> String {
    let port = address.port();
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}:{port}"),
        IpAddr::V6(ip) => {
            let groups = ip.segments().map(|group| format!("{group:x}"));
            format!("/[{}]:{port}", groups.join(":"))
        }
    }
}

/// The short name of an operation, as `cons` shows the last one.
pub fn operation(code: Option<i32>) -> &'static str {
    match code {
        Some(op::CREATE | op::CREATE2 | op::CREATE_TTL | op::CREATE_CONTAINER) => "CREA",
        Some(op::DELETE | op::DELETE_CONTAINER) => "DELE",
        Some(op::SET_DATA) => "SETD",
        Some(op::SET_ACL) => "SETA",
        Some(op::EXISTS) => "EXIS",
        Some(op::GET_DATA) => "GETD",
        Some(op::GET_ACL) => "GETA",
        Some(op::GET_CHILDREN | op::GET_CHILDREN2) => "GETC",
        Some(op::GET_ALL_CHILDREN_NUMBER) => "GETACN",
        Some(op::SYNC) => "SYNC",
        Some(op::PING) => "PING",
        Some(op::CREATE_SESSION) => "SESS",
        Some(op::CLOSE_SESSION) => "CLOS",
        Some(op::MULTI) => "MULT",
        Some(op::MULTI_READ) => "MLTR",
        Some(op::CHECK) => "CHEC",
        Some(op::SET_WATCHES) => "SETW",
        Some(op::SET_WATCHES2) => "STW2",
        Some(op::ADD_WATCH) => "ADDW",
        Some(op::REMOVE_WATCHES) => "REMW",
        Some(op::CHECK_WATCHES) => "CHKW",
        Some(op::RECONFIG) => "RECO",
        Some(op::GET_EPHEMERALS) => "GETE",
        Some(op::WHO_AM_I) => "HOMI",
        _ => "NA",
    }
}

/// Writing to a `String` cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

pub(super) fn is_read_only(mode: Option<Mode>) -> &'static str {
    match mode {
        None => "null",
        Some(Mode::ReadOnly) => "ro",
        Some(_) => "rw",
    }
}

pub(super) fn environment(environment: &[(&'static str, String)]) -> String {
    let mut out = "Environment:\n".to_owned();
    for (key, value) in environment {
        put!(out, "{key}={value}\n");
    }
    out
}

fn connection(out: &mut String, connection: &ConnectionView, brief: bool) {
    put!(
        out,
        " {}[{:x}](queued={},recved={},sent={}",
        java_address(connection.remote),
        connection.interest_ops,
        connection.outstanding,
        connection.received,
        connection.sent
    );
    if let (false, Some(session)) = (brief, &connection.session) {
        put!(
            out,
            ",sid=0x{:x},lop={},est={},to={}",
            session.id.0,
            operation(session.last_op),
            session.established_ms,
            session.timeout_ms
        );
        if session.last_cxid >= 0 {
            put!(out, ",lcxid=0x{:x}", session.last_cxid);
        }
        put!(
            out,
            ",lzxid=0x{:x},lresp={},llat={},minlat={},avglat={},maxlat={}",
            session.last_zxid.0,
            session.last_response.0,
            session.last_latency_ms,
            session.min_latency_ms,
            session.avg_latency_ms,
            session.max_latency_ms
        );
    }
    out.push_str(")\n");
}

pub(super) fn connections(view: &dyn ServerView) -> String {
    let mut out = String::new();
    view.connections().iter().for_each(|each| connection(&mut out, each, false));
    out.push('\n');
    out
}

pub(super) fn server(version: &str, view: &dyn ServerView, clients: bool) -> String {
    let (mode, stats, tree) = (view.mode(), view.stats(), view.tree());
    let mut out = format!("Zookeeper version: {version}\n");
    if mode == Mode::ReadOnly {
        out.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    if clients {
        out.push_str("Clients:\n");
        view.connections().iter().for_each(|each| connection(&mut out, each, true));
        out.push('\n');
    }
    let average = java_double(round4(stats.latency_avg_ms));
    put!(out, "Latency min/avg/max: {}/{average}/{}\n", stats.latency_min_ms, stats.latency_max_ms);
    put!(out, "Received: {}\nSent: {}\n", stats.packets_received, stats.packets_sent);
    put!(out, "Connections: {}\nOutstanding: {}\n", stats.connections, stats.outstanding);
    put!(out, "Zxid: 0x{:x}\nMode: {}\n", tree.last_zxid.0, mode.name());
    put!(out, "Node count: {}\n", tree.node_count);
    if let Some((last, min, max)) = view.proposal_sizes() {
        put!(out, "Proposal sizes last/min/max: {last}/{min}/{max}\n");
    }
    out
}

/// `conf`: also what `print` of a quorum member adds.
pub fn conf(options: &ConfOptions, view: &dyn ServerView) -> String {
    let (plain, secure) = view.addresses();
    let port = |addresses: &[SocketAddr]| {
        addresses.first().map_or(-1, |address| i32::from(address.port()))
    };
    let (data_size, log_size) = view.dir_sizes();
    let mut out = String::new();
    put!(out, "clientPort={}\nsecureClientPort={}\n", port(&plain), port(&secure));
    put!(out, "dataDir={}\ndataDirSize={data_size}\n", options.data_dir.display());
    put!(out, "dataLogDir={}\ndataLogSize={log_size}\n", options.data_log_dir.display());
    put!(out, "tickTime={}\nmaxClientCnxns={}\n", options.tick_time, options.max_client_cnxns);
    put!(out, "minSessionTimeout={}\n", options.min_session_timeout);
    put!(out, "maxSessionTimeout={}\n", options.max_session_timeout);
    put!(out, "clientPortListenBacklog={}\n", options.client_port_listen_backlog);
    put!(out, "serverId={}\n", options.server_id);
    if let Some(peer) = view.peer() {
        let ports = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join("|");
        put!(out, "initLimit={}\nsyncLimit={}\n", options.init_limit, options.sync_limit);
        put!(out, "electionAlg=3\nelectionPort={}\n", ports(&peer.election_ports));
        put!(out, "quorumPort={}\n", ports(&peer.quorum_ports));
        put!(out, "peerType={}\nmembership: \n{}", u8::from(peer.observer), peer.membership);
    }
    out
}

pub(super) fn directories(view: &dyn ServerView) -> String {
    let (data, log) = view.dir_sizes();
    format!("datadir_size: {data}\nlogdir_size: {log}\n")
}

fn expiry_sets<T>(out: &mut String, sets: &[(i64, Vec<T>)], member: impl Fn(&T) -> String) {
    let members: usize = sets.iter().map(|(_, members)| members.len()).sum();
    put!(out, "Sets ({})/({members}):\n", sets.len());
    for (time, members) in sets {
        put!(out, "{} expire at {}:\n", members.len(), java_date(*time));
        members.iter().for_each(|each| put!(out, "\t{}\n", member(each)));
    }
}

pub(super) fn dump(view: &dyn ServerView) -> String {
    let sessions = view.sessions();
    let mut out = "SessionTracker dump:\n".to_owned();
    match view.mode() {
        Mode::Follower | Mode::Observer => {
            let mut known = sessions.sessions.clone();
            known.sort_unstable_by_key(|(id, _)| id.0);
            put!(out, "Global Sessions({}):\n", known.len());
            known.iter().for_each(|(id, timeout)| put!(out, "0x{:x}\t{timeout}ms\n", id.0));
        }
        Mode::Standalone | Mode::Leader | Mode::ReadOnly => {
            out.push_str("Session ");
            expiry_sets(&mut out, &sessions.buckets, |id| format!("0x{:x}", id.0));
        }
    }
    put!(out, "ephemeral nodes dump:\nSessions with Ephemerals ({}):\n", sessions.ephemerals.len());
    for (id, paths) in &sessions.ephemerals {
        put!(out, "0x{:x}:\n", id.0);
        paths.iter().for_each(|path| put!(out, "\t{path}\n"));
    }
    out.push_str("Connections dump:\nConnections ");
    expiry_sets(&mut out, &sessions.connections, |(remote, session)| {
        format!("ip: {} sessionId: 0x{:x}", java_address(*remote), session.0)
    });
    out
}

pub(super) fn watch_summary(watches: &WatchesView) -> String {
    format!(
        "{} connections watching {} paths\nTotal watches:{}\n",
        watches.by_session.len(),
        watches.paths,
        watches.total
    )
}

pub(super) fn watches_by_session(watches: &WatchesView) -> String {
    let mut out = String::new();
    for (session, paths) in &watches.by_session {
        put!(out, "0x{:x}\n", session.0);
        paths.iter().for_each(|path| put!(out, "\t{path}\n"));
    }
    out.push('\n');
    out
}

pub(super) fn watches_by_path(watches: &WatchesView) -> String {
    let mut paths: BTreeMap<&str, Vec<SessionId>> = BTreeMap::new();
    for (session, watched) in &watches.by_session {
        watched.iter().for_each(|path| paths.entry(path).or_default().push(*session));
    }
    let mut out = String::new();
    for (path, sessions) in paths {
        put!(out, "{path}\n");
        sessions.iter().for_each(|session| put!(out, "\t0x{:x}\n", session.0));
    }
    out.push('\n');
    out
}

pub(super) fn digests(view: &dyn ServerView) -> String {
    let mut out = String::new();
    for (zxid, digest) in view.tree().digests {
        put!(out, "{:x}: {digest}\n", zxid.0);
    }
    out
}
