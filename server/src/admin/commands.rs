//! The commands: names, aliases, who may run them, what they answer (`Commands`).

use super::http::{Request, Response};
use super::json::{Json, object};
use super::{Facts, Guard, operate};
use crate::net::fourlw::{gauges, java_address, operation};
use crate::net::view::{ConnectionView, Mode, ServerView};

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

pub(super) type Members = Vec<(String, Json)>;

/// What a command sees.
pub(super) struct Context<'a> {
    pub facts: &'a Facts,
    pub view: Option<&'a dyn ServerView>,
    pub guard: &'a dyn Guard,
    pub request: &'a Request,
}

impl<'a> Context<'a> {
    /// The view of commands that only run while the server serves.
    fn serving(&self) -> Option<&'a dyn ServerView> {
        self.view.filter(|view| view.serving())
    }
}

/// One command.
pub(super) struct Command {
    /// Primary name first.
    pub names: &'static [&'static str],
    pub run: Run,
}

/// When a command runs and how.
pub(super) enum Run {
    /// While serving.
    Serving(fn(&Context<'_>, &dyn ServerView) -> Members),
    /// Always.
    Always(fn(&Context<'_>) -> Members),
    /// With a body of its own; needs authentication.
    Guarded(fn(&Context<'_>) -> Response),
}

macro_rules! commands {
    ($($kind:ident $names:expr => $run:expr;)*) => {
        /// In the order of their primary names.
        pub(super) const COMMANDS: &[Command] =
            &[$(Command { names: &$names, run: Run::$kind($run) },)*];
    };
}

commands! {
    Guarded ["close_connection"] => operate::close_connection;
    Guarded ["close_learner"] => operate::close_learner;
    Guarded ["close_session"] => operate::close_session;
    Serving ["configuration", "conf", "config"] => configuration;
    Serving ["connection_stat_reset", "crst"] => |_, view| {
        view.reset_connection_stats();
        Members::new()
    };
    Serving ["connections", "cons"] => |_, view| connections(view, false);
    Serving ["dirs"] => |_, view| {
        let (data, log) = view.dir_sizes();
        members([("datadir_size", data.into()), ("logdir_size", log.into())])
    };
    Serving ["dump"] => |_, view| dump(view);
    Always ["environment", "env", "envi"] => |context| {
        let environment = (context.facts.words.options().environment)();
        environment.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
    };
    Always ["get_trace_mask", "gtmk"] => |context| {
        members([("tracemask", context.facts.words.trace_mask().into())])
    };
    Serving ["hash"] => |_, view| {
        let digests = view.tree().digests.into_iter().map(|(zxid, digest)| {
            object([
                ("zxid", zxid.0.into()),
                ("digest", digest.into()),
                ("digest_version", DIGEST_VERSION.into()),
            ])
        });
        members([("digests", Json::Array(digests.collect()))])
    };
    Serving ["initial_configuration", "icfg"] => |context, _| {
        let text = context.facts.initial_configuration.clone();
        members([("initial_configuration", text.map_or(Json::Null, Json::Text))])
    };
    Serving ["is_read_only", "isro"] => |_, view| {
        members([("read_only", (view.mode() == Mode::ReadOnly).into())])
    };
    Serving ["last_snapshot", "lsnp"] => |_, view| {
        let (zxid, time) = view.last_snapshot().map_or((-1, -1), |(zxid, time)| (zxid.0, time));
        members([("zxid", format!("{zxid:x}").into()), ("timestamp", time.into())])
    };
    Serving ["leader", "lead"] => |_, view| match view.peer() {
        None => members([("error", "server is not initialized".into())]),
        Some(peer) => members([
            ("is_leader", (view.mode() == Mode::Leader).into()),
            ("leader_id", peer.leader_id.unwrap_or(-1).into()),
            ("leader_ip", peer.leader_ip.unwrap_or_default().into()),
        ]),
    };
    Serving ["learners"] => operate::learners;
    Always ["monitor", "mntr"] => monitor;
    Serving ["observer_connection_stat_reset", "orst"] => |_, view| {
        view.reset_observer_stats();
        Members::new()
    };
    Serving ["observers", "obsr"] => |_, view| {
        let (synced, learners) = view.peer().map_or((0, Vec::new()), |peer| {
            (peer.synced_observers.unwrap_or(0), peer.learners)
        });
        let observers = learners.iter().filter(|learner| learner.observer && learner.synced);
        members([
            ("synced_observers", synced.into()),
            ("observers", Json::Array(observers.map(operate::learner).collect())),
        ])
    };
    Serving ["quotas"] => operate::quotas;
    Guarded ["restore", "rest"] => super::guarded::restore;
    Serving ["ruok"] => |_, _| Members::new();
    Serving ["server_stats", "srvr"] => server_stats;
    Serving ["sessions"] => operate::sessions;
    Guarded ["set_max_client_cnxns"] => operate::set_max_client_cnxns;
    Always ["set_trace_mask", "stmk"] => set_trace_mask;
    Guarded ["snapshot", "snap"] => super::guarded::snapshot;
    Serving ["stat_reset", "srst"] => |context, view| {
        context.facts.words.options().metrics.reset();
        view.reset_stats();
        Members::new()
    };
    Serving ["stats", "stat"] => |context, view| {
        let mut all = server_stats(context, view);
        all.extend(connections(view, true));
        all
    };
    Always ["system_properties", "sysp"] => |context| {
        let properties = context.facts.system_properties.iter();
        properties.map(|(name, value)| (name.clone(), value.as_str().into())).collect()
    };
    Serving ["voting_view"] => |_, view| {
        let all = view.peer().map(|peer| peer.members).unwrap_or_default();
        let voters = all.iter().filter(|member| !member.observer).map(|member| {
            let texts = |all: &[String]| {
                Json::Array(all.iter().map(|text| text.as_str().into()).collect())
            };
            let shown = object([
                ("server_addresses", texts(&member.server_addresses)),
                ("election_addresses", texts(&member.election_addresses)),
                ("client_address", member.client_address.clone().unwrap_or_default().into()),
                ("learner_type", "participant".into()),
            ]);
            (member.sid.to_string(), shown)
        });
        members([("current_config", Json::Object(voters.collect()))])
    };
    Serving ["watch_summary", "wchs"] => |_, view| {
        let watches = view.watches();
        members([
            ("num_connections", (watches.by_session.len() as u64).into()),
            ("num_paths", watches.paths.into()),
            ("num_total_watches", watches.total.into()),
        ])
    };
    Serving ["watches", "wchc"] => |_, view| {
        let by_session = view.watches().by_session.into_iter().map(|(session, paths)| {
            (session.0.to_string(), Json::Array(paths.into_iter().map(Json::Text).collect()))
        });
        members([("session_id_to_watched_paths", Json::Object(by_session.collect()))])
    };
    Serving ["watches_by_path", "wchp"] => |_, view| {
        let mut paths = std::collections::BTreeMap::<String, Vec<Json>>::new();
        for (session, watched) in view.watches().by_session {
            for path in watched {
                paths.entry(path).or_default().push(session.0.into());
            }
        }
        let paths = paths.into_iter().map(|(path, sessions)| (path, Json::Array(sessions)));
        members([("path_to_session_ids", Json::Object(paths.collect()))])
    };
    Always ["zabstate"] => zab_state;
}

/// `DigestCalculator.DIGEST_VERSION`.
const DIGEST_VERSION: i64 = 2;

pub(super) fn members<const N: usize>(members: [(&str, Json); N]) -> Members {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Finds a command by primary name or alias.
fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.names.contains(&name))
}

/// Runs the command `name`. Unknown ones answer 200 with an error, as in Java.
pub(super) fn run(name: &str, context: &Context<'_>) -> Response {
    let Some(command) = find(name) else {
        return json(200, name, Members::new(), Some(&format!("Unknown command: {name}")));
    };
    let primary = command.names[0];
    match (&command.run, context.serving()) {
        (Run::Guarded(run), _) => run(context),
        (_, _) if context.request.method == "POST" => {
            Response::error(500, "this command is not to be posted")
        }
        (Run::Always(run), _) => json(200, primary, run(context), None),
        (Run::Serving(run), Some(view)) => json(200, primary, run(context, view), None),
        (Run::Serving(_), None) => json(200, primary, Members::new(), Some(NOT_SERVING)),
    }
}

/// The body of every answer: data, `command`, `error`. A command that set its own error keeps it
/// in front.
pub(super) fn json(status: u16, command: &str, mut all: Members, error: Option<&str>) -> Response {
    let own_error = all.iter().any(|(name, _)| name == "error");
    all.push(("command".to_owned(), command.into()));
    if !own_error {
        all.push(("error".to_owned(), error.map_or(Json::Null, Json::from)));
    }
    Response::text(status, "application/json", Json::Object(all).pretty())
}

fn configuration(context: &Context<'_>, view: &dyn ServerView) -> Members {
    let conf = &context.facts.words.options().conf;
    let (plain, _) = view.addresses();
    let port = plain.first().map_or(-1, |address| i64::from(address.port()));
    let text = |path: &std::path::Path| Json::Text(path.display().to_string());
    members([
        ("client_port", port.into()),
        ("data_dir", text(&conf.data_dir)),
        ("data_log_dir", text(&conf.data_log_dir)),
        ("tick_time", conf.tick_time.into()),
        ("max_client_cnxns", conf.max_client_cnxns.into()),
        ("min_session_timeout", conf.min_session_timeout.into()),
        ("max_session_timeout", conf.max_session_timeout.into()),
        ("server_id", conf.server_id.into()),
        ("client_port_listen_backlog", conf.client_port_listen_backlog.into()),
    ])
}

fn connection(connection: &ConnectionView, brief: bool) -> Json {
    let address = java_address(connection.remote);
    let mut all = members([
        ("remote_socket_address", address.trim_start_matches('/').into()),
        ("interest_ops", i32::from(connection.interest_ops).into()),
        ("outstanding_requests", connection.outstanding.into()),
        ("packets_received", connection.received.into()),
        ("packets_sent", connection.sent.into()),
    ]);
    if !brief {
        let session = connection.session.as_ref();
        let number = |value: Option<u64>| Json::Int(value.unwrap_or(0) as i64);
        all.extend(members([
            ("session_id", session.map_or(0, |s| s.id.0).into()),
            ("last_operation", operation(session.and_then(|s| s.last_op)).into()),
            ("established", connection.established_ms.into()),
            ("session_timeout", session.map_or(0, |s| s.timeout_ms).into()),
            ("last_cxid", session.map_or(-1, |s| s.last_cxid).into()),
            ("last_zxid", session.map_or(-1, |s| s.last_zxid.0).into()),
            ("last_response_time", number(session.map(|s| s.last_response.0))),
            ("last_latency", number(session.map(|s| s.last_latency_ms))),
            ("min_latency", number(session.map(|s| s.min_latency_ms))),
            ("avg_latency", number(session.map(|s| s.avg_latency_ms))),
            ("max_latency", number(session.map(|s| s.max_latency_ms))),
        ]));
    }
    Json::Object(all)
}

fn connections(view: &dyn ServerView, brief: bool) -> Members {
    let (secure, plain): (Vec<_>, Vec<_>) = view.connections().into_iter().partition(|c| c.secure);
    let list = |all: Vec<ConnectionView>| {
        Json::Array(all.iter().map(|each| connection(each, brief)).collect())
    };
    members([("connections", list(plain)), ("secure_connections", list(secure))])
}

fn dump(view: &dyn ServerView) -> Members {
    let sessions = view.sessions();
    let buckets = sessions.buckets.into_iter().map(|(time, ids)| {
        (time.to_string(), Json::Array(ids.into_iter().map(|id| id.0.into()).collect()))
    });
    let ephemerals = sessions.ephemerals.into_iter().map(|(id, paths)| {
        (id.0.to_string(), Json::Array(paths.into_iter().map(Json::Text).collect()))
    });
    members([
        ("expiry_time_to_session_ids", Json::Object(buckets.collect())),
        ("session_id_to_ephemeral_paths", Json::Object(ephemerals.collect())),
    ])
}

fn buffer_sizes((last, min, max): (i64, i64, i64)) -> Json {
    object([
        ("last_buffer_size", last.into()),
        ("min_buffer_size", min.into()),
        ("max_buffer_size", max.into()),
    ])
}

fn server_stats(context: &Context<'_>, view: &dyn ServerView) -> Members {
    let (stats, tree, extra) = (view.stats(), view.tree(), view.gauges());
    let (data_size, log_size) = view.dir_sizes();
    let numbers = object([
        ("packets_sent", stats.packets_sent.into()),
        ("packets_received", stats.packets_received.into()),
        ("fsync_threshold_exceed_count", stats.fsync_threshold_exceeded.into()),
        ("client_response_stats", buffer_sizes(stats.response_size)),
        ("data_dir_size", data_size.into()),
        ("log_dir_size", log_size.into()),
        ("provider_null", false.into()),
        ("last_processed_zxid", tree.last_zxid.0.into()),
        ("outstanding_requests", stats.outstanding.into()),
        ("server_state", view.mode().name().into()),
        ("avg_latency", Json::Double(crate::metrics::round4(stats.latency_avg_ms))),
        ("max_latency", stats.latency_max_ms.into()),
        ("min_latency", stats.latency_min_ms.into()),
        ("num_alive_client_connections", stats.connections.into()),
        ("uptime", (stats.uptime.as_millis() as u64).into()),
        ("auth_failed_count", stats.auth_failed.into()),
        ("non_mtlsremote_conn_count", extra.non_mtls_remote.into()),
        ("non_mtlslocal_conn_count", extra.non_mtls_local.into()),
    ]);
    let mut all = members([
        ("version", context.facts.words.options().version.as_str().into()),
        ("read_only", (view.mode() == Mode::ReadOnly).into()),
        ("server_stats", numbers),
        ("client_response", buffer_sizes(stats.response_size)),
    ]);
    if let Some(sizes) = view.proposal_sizes() {
        all.push(("proposal_stats".to_owned(), buffer_sizes(sizes)));
    }
    all.push(("node_count".to_owned(), tree.node_count.into()));
    all
}

fn monitor(context: &Context<'_>) -> Members {
    let options = context.facts.words.options();
    let Some(view) = context.view else {
        return members([("error", NOT_SERVING.into())]);
    };
    let mut all = members([
        ("version", options.version.as_str().into()),
        ("server_state", view.mode().name().into()),
    ]);
    if let Some(peer) = view.peer() {
        all.push(("peer_state".to_owned(), peer.state.into()));
        if let Some(id) = peer.observer_master_id {
            all.push(("observer_master_id".to_owned(), id.into()));
        }
    }
    if options.metrics.is_prometheus() {
        let shown = options.metrics.shown(&gauges(view)).into_iter();
        all.extend(
            shown.map(|(name, value)| (name, Json::Double(value.parse().unwrap_or(f64::NAN)))),
        );
    } else {
        let samples = options.metrics.samples(&gauges(view)).into_iter();
        all.extend(samples.map(|sample| (sample.name, sample.value.into())));
    }
    all
}

fn set_trace_mask(context: &Context<'_>) -> Members {
    const NEEDED: &str = "setTraceMask requires long traceMask argument";
    let Some(text) = context.request.argument("traceMask") else {
        return members([("error", NEEDED.into())]);
    };
    match text.parse::<i64>() {
        Ok(mask) => {
            context.facts.words.set_trace_mask(mask);
            members([("tracemask", mask.into())])
        }
        Err(_) => members([("error", format!("{NEEDED}, got {text}").into())]),
    }
}

fn zab_state(context: &Context<'_>) -> Members {
    match context.view.and_then(ServerView::peer) {
        None => members([("voting", false.into()), ("zabstate", "".into())]),
        Some(peer) => {
            let zxid = context.view.map_or(0, |view| view.tree().last_zxid.0);
            let own = peer.members.iter().find(|member| member.sid == peer.my_id);
            let quorum = own.map_or(&[][..], |own| &own.server_addresses);
            let election = own.map_or(&[][..], |own| &own.election_addresses);
            let client = own.and_then(|own| own.client_address.clone()).or_else(|| {
                let (plain, _) = context.view?.addresses();
                plain.first().map(ToString::to_string)
            });
            members([
                ("myid", context.facts.words.options().conf.server_id.into()),
                ("is_leader", peer.leader.is_some().into()),
                ("quorum_address", addresses(quorum)),
                ("election_address", addresses(election)),
                ("client_address", client.map_or(Json::Null, Json::Text)),
                ("voting", peer.voting.into()),
                ("last_zxid", format!("0x{zxid:x}").into()),
                ("zab_epoch", (zxid >> 32).into()),
                ("zab_counter", (zxid & 0xffff_ffff).into()),
                ("zabstate", peer.zab_state.into()),
            ])
        }
    }
}

/// What `MultipleAddresses` looks like to Java's JSON mapper. They are this server's own, so all of
/// them are reachable.
fn addresses(all: &[String]) -> Json {
    let texts = |texts: Vec<String>| Json::Array(texts.into_iter().map(Json::Text).collect());
    let parts = || all.iter().filter_map(|address| address.rsplit_once(':'));
    let mut ports: Vec<i64> = parts().filter_map(|(_, port)| port.parse().ok()).collect();
    let mut hosts: Vec<String> =
        parts().map(|(host, _)| host.trim_matches(['[', ']']).to_owned()).collect();
    let mut wildcards: Vec<String> = ports.iter().map(|port| format!("0.0.0.0:{port}")).collect();
    ports.dedup();
    hosts.dedup();
    wildcards.dedup();
    let one = all.first().map_or(Json::Null, |one| one.as_str().into());
    object([
        ("empty", all.is_empty().into()),
        ("all_addresses", texts(all.to_vec())),
        ("all_ports", Json::Array(ports.into_iter().map(Json::from).collect())),
        ("all_host_strings", texts(hosts)),
        ("reachable_address", one.clone()),
        ("all_reachable_addresses", texts(all.to_vec())),
        ("all_reachable_addresses_or_all", texts(all.to_vec())),
        ("reachable_or_one", one.clone()),
        ("one", one),
        ("wildcard_addresses", texts(wildcards)),
    ])
}
