//! `mntr`: the gauges of the moment, then every counter and summary.

use crate::metrics::{Gauge, Gauges, Metrics, round4};
use crate::net::view::{Mode, ServerView};

/// Every gauge of a serving server, under Java's names (`ZooKeeperServer.registerMetrics` and the
/// roles' own). What only a role has is absent without it.
pub fn gauges(view: &dyn ServerView) -> Gauges {
    let (stats, tree, extra) = (view.stats(), view.tree(), view.gauges());
    let int = |value: u64| Some(Gauge::Int(value as i64));
    let signed = |value: i64| Some(Gauge::Int(value));
    let (last, min, max) = stats.response_size;
    let (open, limit) = file_descriptors();
    let mut gauges = vec![
        ("avg_latency", Some(Gauge::Double(round4(stats.latency_avg_ms)))),
        ("max_latency", int(stats.latency_max_ms)),
        ("min_latency", int(stats.latency_min_ms)),
        ("packets_received", int(stats.packets_received)),
        ("packets_sent", int(stats.packets_sent)),
        ("num_alive_connections", int(stats.connections)),
        ("outstanding_requests", int(stats.outstanding)),
        ("uptime", int(stats.uptime.as_millis() as u64)),
        ("znode_count", int(tree.node_count)),
        ("watch_count", int(tree.watch_count)),
        ("ephemerals_count", int(tree.ephemerals_count)),
        ("approximate_data_size", int(tree.data_size)),
        ("global_sessions", int(extra.global_sessions)),
        ("local_sessions", int(extra.local_sessions)),
        ("open_file_descriptor_count", signed(open)),
        ("max_file_descriptor_count", signed(limit)),
        ("connection_drop_probability", Some(Gauge::Double(extra.connection_drop_probability))),
        ("last_client_response_size", signed(last)),
        ("max_client_response_size", signed(max)),
        ("min_client_response_size", signed(min)),
        ("outstanding_tls_handshake", int(extra.outstanding_tls_handshakes)),
        ("auth_failed_count", int(stats.auth_failed)),
        ("non_mtls_remote_conn_count", int(extra.non_mtls_remote)),
        ("non_mtls_local_conn_count", int(extra.non_mtls_local)),
        ("rookeeper_watch_memory_bytes", int(extra.watch_bytes)),
        ("rookeeper_resident_memory_bytes", int(extra.resident_bytes)),
    ];
    if let Some(peer) = view.peer() {
        gauges.push(("quorum_size", int(peer.quorum_size)));
        if let Some(leader) = &peer.leader {
            let (last, min, max) = view.proposal_sizes().unwrap_or((-1, -1, -1));
            gauges.extend([
                ("learners", int(leader.learners)),
                ("synced_followers", int(leader.synced_followers)),
                ("synced_non_voting_followers", int(leader.synced_non_voting_followers)),
                ("pending_syncs", int(leader.pending_syncs)),
                ("leader_uptime", int(leader.uptime.as_millis() as u64)),
                ("last_proposal_size", signed(last)),
                ("max_proposal_size", signed(max)),
                ("min_proposal_size", signed(min)),
            ]);
        }
        if view.mode() == Mode::Follower || peer.leader.is_some() {
            gauges.push(("synced_observers", peer.synced_observers.and_then(int)));
        }
    }
    Gauges { gauges, sets: extra.quotas }
}

/// Open files of this process and how many it may have; -1 where the platform does not say.
fn file_descriptors() -> (i64, i64) {
    let open = std::fs::read_dir("/proc/self/fd").map_or(-1, |entries| entries.count() as i64);
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    (open, limit.map_or(-1, |(soft, _)| i64::try_from(soft).unwrap_or(i64::MAX)))
}

pub(super) fn monitor(version: &str, view: &dyn ServerView, metrics: &Metrics) -> String {
    let mut out = String::with_capacity(20 * 1024);
    let mut line = |name: &str, value: &str| {
        out.push_str("zk_");
        out.push_str(name);
        out.push('\t');
        out.push_str(value);
        out.push('\n');
    };
    line("version", version);
    line("server_state", view.mode().name());
    if let Some(peer) = view.peer() {
        line("peer_state", &peer.state);
        if let Some(id) = peer.observer_master_id {
            line("observer_master_id", &id.to_string());
        }
    }
    for (name, value) in metrics.shown(&gauges(view)) {
        line(&name, &value);
    }
    out
}
