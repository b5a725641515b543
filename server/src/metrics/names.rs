//! The list: every name and kind of `ServerMetrics`, once.

use std::sync::Weak;

use super::instruments::{Counter, CounterSet, Detail, Histogram, Summary, SummarySet};
use super::tellers::{Teller, Tellers};
use crate::base::Mono;

/// What the list holds, for whoever walks it.
#[derive(Clone, Copy)]
pub(super) enum Instrument<'a> {
    Counter(&'a Counter),
    CounterSet(&'a CounterSet),
    Summary(&'a Summary),
    SummarySet(&'a SummarySet),
    Histogram(&'a Histogram),
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $kind:ident $name:ident;)*) => {
        /// Every instrument of the server. Field names are the names operators see.
        #[derive(Debug)]
        pub struct Metrics {
            prometheus: bool,
            hidden: bool,
            tellers: Tellers,
            $($(#[$doc])* pub $name: metrics!(@type $kind),)*
        }

        impl Metrics {
            /// All at zero. With `prometheus`, summaries also keep the ten-minute window their
            /// quantiles are computed from (a few KiB per summary in use).
            pub fn new(prometheus: bool) -> Self {
                Self {
                    prometheus,
                    hidden: false,
                    tellers: Tellers::default(),
                    $($name: metrics!(@new $kind, prometheus),)*
                }
            }

            /// Every instrument with its name, in the order of the list.
            pub(super) fn all(&self) -> Vec<(&'static str, Instrument<'_>)> {
                vec![$((stringify!($name), metrics!(@wrap $kind, &self.$name)),)*]
            }
        }
    };
    (@type counter) => { Counter };
    (@type counter_set) => { CounterSet };
    (@type basic) => { Summary };
    (@type advanced) => { Summary };
    (@type basic_set) => { SummarySet };
    (@type advanced_set) => { SummarySet };
    (@type histogram) => { Histogram };
    (@new histogram, $p:ident) => { Histogram::new() };
    (@wrap histogram, $e:expr) => { Instrument::Histogram($e) };
    (@new counter, $p:ident) => { Counter::new() };
    (@new counter_set, $p:ident) => { CounterSet::new() };
    (@new basic, $p:ident) => { Summary::new(Detail::Basic, $p) };
    (@new advanced, $p:ident) => { Summary::new(Detail::Advanced, $p) };
    (@new basic_set, $p:ident) => { SummarySet::new(Detail::Basic, $p) };
    (@new advanced_set, $p:ident) => { SummarySet::new(Detail::Advanced, $p) };
    (@wrap counter, $e:expr) => { Instrument::Counter($e) };
    (@wrap counter_set, $e:expr) => { Instrument::CounterSet($e) };
    (@wrap basic, $e:expr) => { Instrument::Summary($e) };
    (@wrap advanced, $e:expr) => { Instrument::Summary($e) };
    (@wrap basic_set, $e:expr) => { Instrument::SummarySet($e) };
    (@wrap advanced_set, $e:expr) => { Instrument::SummarySet($e) };
}

metrics! {
    /// Log fsync, ms.
    basic fsynctime;
    /// Writing a snapshot, ms.
    basic snapshottime;
    /// Snapshots ordered over HTTP that failed.
    counter snapshot_error_count;
    /// Snapshots ordered over HTTP and refused by the rate limit.
    counter snapshot_rate_limited_count;
    /// Restore ordered over HTTP, ms.
    basic restore_time;
    /// Restores that failed.
    counter restore_error_count;
    /// Restores refused by the rate limit.
    counter restore_rate_limited_count;
    /// Loading the database at start, ms.
    basic dbinittime;
    /// From arrival to reply of a read, ms.
    advanced readlatency;
    /// From arrival to reply of a write issued here, ms.
    advanced updatelatency;
    /// From the leader's stamp to apply on a learner, ms; depends on both wall clocks.
    advanced propagation_latency;
    /// Syncing with the leader as a follower, ms.
    basic follower_sync_time;
    /// Syncing with the leader as an observer, ms.
    basic observer_sync_time;
    /// Leader election, ms.
    basic election_time;
    /// Times this server went looking for a leader.
    counter looking_count;
    /// DIFF syncs sent to learners.
    counter diff_count;
    /// SNAP syncs sent to learners.
    counter snap_count;
    /// Commits sent as the leader.
    counter commit_count;
    /// Session requests (new and renewed).
    counter connection_request_count;
    /// Tokens missing in the connection throttle's bucket when a session asked.
    basic connection_token_deficit;
    /// Connections refused by caps or throttle.
    counter connection_rejected;
    /// SNAP syncs running at once.
    basic inflight_snap_count;
    /// DIFF syncs running at once.
    basic inflight_diff_count;
    /// Bytes of path and data written, per top-level znode.
    basic_set write_per_namespace;
    /// Bytes of path and data read, per top-level znode.
    basic_set read_per_namespace;
    /// Bytes received from clients.
    counter bytes_received_count;
    /// Errors of a thread the server cannot live without.
    counter unrecoverable_error_count;
    /// Watchers told per znode created.
    basic node_created_watch_count;
    /// Watchers told per znode deleted.
    basic node_deleted_watch_count;
    /// Watchers told per change of data.
    basic node_changed_watch_count;
    /// Watchers told per change of a child list.
    basic node_children_watch_count;
    /// Stays 0: dead watchers are removed at once.
    counter add_dead_watcher_stall_time;
    /// Stays 0: dead watchers are removed at once.
    counter dead_watchers_queued;
    /// Stays 0: dead watchers are removed at once.
    counter dead_watchers_cleared;
    /// Stays empty: dead watchers are removed at once.
    advanced dead_watchers_cleaner_latency;
    /// Stays 0: there is no response cache.
    counter response_packet_cache_hits;
    /// Stays 0: there is no response cache.
    counter response_packet_cache_misses;
    /// Stays 0: there is no response cache.
    counter response_packet_get_children_cache_hits;
    /// Stays 0: there is no response cache.
    counter response_packet_get_children_cache_misses;
    /// `ensemble` auth requests that matched.
    counter ensemble_auth_success;
    /// `ensemble` auth requests that did not match.
    counter ensemble_auth_fail;
    /// `ensemble` auth requests while no name is configured.
    counter ensemble_auth_skip;
    /// Wait before preparation, ms.
    advanced prep_processor_queue_time_ms;
    /// Requests waiting for preparation.
    basic prep_processor_queue_size;
    /// Requests handed to preparation.
    counter prep_processor_request_queued;
    /// Pending changes added to the overlay.
    counter outstanding_changes_queued;
    /// Pending changes removed from the overlay.
    counter outstanding_changes_removed;
    /// Preparing one request, ms.
    basic prep_process_time;
    /// Handing one proposal to log and learners, ms.
    basic proposal_process_time;
    /// Preparing a closeSession, ms.
    advanced close_session_prep_time;
    /// Session revalidations a learner asked this leader for.
    counter revalidate_count;
    /// Connections closed by the client or lost.
    counter connection_drop_count;
    /// Sessions that came back.
    counter connection_revalidate_count;
    /// Connections closed because they never opened a session.
    counter sessionless_connections_expired;
    /// Sessions expired.
    counter stale_sessions_expired;
    /// From looking for a leader to serving again, ms.
    basic unavailable_time;
    /// The same, on the server that became the leader, ms.
    basic leader_unavailable_time;
    /// Requests of one session waiting behind its write.
    basic requests_in_session_queue;
    /// Sessions with requests waiting.
    basic pending_session_queue_size;
    /// Reads waiting behind a write that committed.
    basic reads_after_write_in_session_queue;
    /// Reads answered when their write committed.
    basic reads_issued_from_session_queue;
    /// Sessions emptied per commit batch.
    basic session_queues_drained;
    /// Stays empty: there is no worker pool to wait for.
    basic time_waiting_empty_pool_in_commit_processor_read_ms;
    /// Applying one batch of writes, ms.
    basic write_batch_time_in_commit_processor;
    /// Requests in work at once.
    basic concurrent_request_processing_in_commit_processor;
    /// Reads waiting.
    basic read_commit_proc_req_queued;
    /// Writes waiting for their commit.
    basic write_commit_proc_req_queued;
    /// Commits waiting to be applied.
    basic commit_commit_proc_req_queued;
    /// Commits queued for apply.
    counter request_commit_queued;
    /// Reads answered per round.
    basic read_commit_proc_issued;
    /// Writes applied per round.
    basic write_commit_proc_issued;
    /// Requests answered with `THROTTLEDOP`.
    counter throttled_ops;
    /// A read's wait behind its session's writes, ms.
    advanced read_commitproc_time_ms;
    /// A write's way from here to its commit, ms.
    advanced write_commitproc_time_ms;
    /// From commit to apply of a write issued here, ms.
    advanced local_write_committed_time_ms;
    /// From commit to apply of a write issued elsewhere, ms.
    advanced server_write_committed_time_ms;
    /// One round of commits, ms.
    basic commit_process_time;
    /// Observer master: passing on a proposal, ms.
    advanced om_proposal_process_time_ms;
    /// Observer master: passing on a commit, ms.
    advanced om_commit_process_time_ms;
    /// Executing a read, ms.
    advanced read_final_proc_time_ms;
    /// Applying a write, ms.
    advanced write_final_proc_time_ms;
    /// From the leader's stamp to arrival of a proposal, ms.
    advanced proposal_latency;
    /// From the leader's stamp to our ack, ms.
    advanced proposal_ack_creation_latency;
    /// From the leader's stamp to arrival of the commit, ms.
    advanced commit_propagation_latency;
    /// Proposals received as a learner.
    counter learner_proposal_received_count;
    /// Commits received as a learner.
    counter learner_commit_received_count;
    /// Packets queued per learner.
    basic_set learner_handler_qp_size;
    /// Wait in the queue per learner, ms.
    advanced_set learner_handler_qp_time_ms;
    /// Transactions replayed at start.
    basic startup_txns_loaded;
    /// Replaying them, ms.
    basic startup_txns_load_time;
    /// Loading the snapshot at start, ms.
    basic startup_snap_load_time;
    /// From the log queue to durable, ms.
    advanced sync_processor_queue_and_flush_time_ms;
    /// Transactions waiting for the log.
    basic sync_processor_queue_size;
    /// Transactions handed to the log.
    counter sync_processor_request_queued;
    /// Wait for the log, ms.
    advanced sync_processor_queue_time_ms;
    /// One flush of the log, ms.
    advanced sync_processor_queue_flush_time_ms;
    /// Writing one transaction, ms.
    basic sync_process_time;
    /// Transactions per flush.
    basic sync_processor_batch_size;
    /// From proposal to quorum, ms.
    advanced quorum_ack_latency;
    /// From proposal to ack per server, sampled, ms.
    advanced_set ack_latency;
    /// Proposals made as the leader.
    counter proposal_count;
    /// Times we stopped leading because a voter changed its mind.
    counter quit_leading_due_to_disloyal_voter;
    /// Requests found stale.
    counter stale_requests;
    /// Stale requests dropped.
    counter stale_requests_dropped;
    /// Replies whose connection was gone.
    counter stale_replies;
    /// Wait in the request throttle, ms.
    advanced request_throttle_queue_time_ms;
    /// Times the request throttle waited.
    counter request_throttle_wait_count;
    /// Requests refused by the large-request limit.
    counter large_requests_rejected;
    /// Bytes waiting to be sent to one client.
    basic netty_queued_buffer_capacity;
    /// Transactions whose digest did not match the tree.
    counter digest_mismatches_count;
    /// Requests waiting to be forwarded to the leader.
    basic learner_request_processor_queue_size;
    /// TLS handshakes that failed.
    counter unsuccessful_handshake;
    /// Plaintext connections to the unified admin port.
    counter insecure_admin_count;
    /// Connections refused by the limit of TLS handshakes at once.
    counter tls_handshake_exceeded;
    /// TLS connections dropped because the server did not serve yet.
    counter cnxn_closed_without_zk_server_running;
    /// Stays 0: there is no such processor.
    counter skip_learner_request_to_next_processor_count;
    /// Closing a quorum socket, ms.
    basic socket_closing_time;
    /// Stays 0: there is no such processor.
    counter requests_not_forwarded_to_commit_processor;
    /// Bytes of replies sent.
    counter response_bytes;
    /// Bytes of watch events sent.
    counter watch_bytes;
    /// Time the process was not scheduled (`jvm.pause.monitor`), ms.
    advanced jvm_pause_time_ms;
    /// Writes refused by a hard quota, per top-level znode.
    counter_set quota_exceeded_error_per_namespace;
    /// Not Java's: one sync of the log.
    histogram rookeeper_fsync_seconds;
    /// Not Java's: the oldest transaction of a batch waiting for the log.
    histogram rookeeper_log_queue_seconds;
    /// Not Java's: from proposal to commit, on a leader and on a standalone server.
    histogram rookeeper_propose_to_commit_seconds;
    /// Not Java's: from the arrival of a burst to its reads' replies, a sample of the bursts.
    histogram rookeeper_read_seconds;
}

impl Metrics {
    /// Counts, but shows nothing (`NullMetricsProvider`).
    pub fn hidden() -> Self {
        Self { hidden: true, ..Self::new(false) }
    }

    /// Whether nothing is shown.
    pub fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Whether the Prometheus provider is active.
    pub fn is_prometheus(&self) -> bool {
        self.prometheus
    }

    /// Adds somebody who counts for himself.
    pub fn add_teller(&self, teller: Weak<dyn Teller>) {
        self.tellers.add(teller);
    }

    /// Returns when everything that was counted before is in: a client that had its answer finds its
    /// request counted.
    pub fn settle(&self) {
        self.tellers.settle();
    }

    /// Sets every counter and summary to zero, as `srst` does. Prometheus windows stay.
    pub fn reset(&self) {
        self.settle();
        for (_, instrument) in self.all() {
            match instrument {
                Instrument::Counter(counter) => counter.reset(),
                Instrument::CounterSet(set) => set.reset(),
                Instrument::Summary(summary) => summary.reset(),
                Instrument::SummarySet(set) => set.reset(),
                Instrument::Histogram(histogram) => histogram.reset(),
            }
        }
    }

    /// Moves the Prometheus windows on. Call it before rendering and at least once a minute.
    pub fn rotate(&self, now: Mono) {
        for (_, instrument) in self.all() {
            match instrument {
                Instrument::Summary(summary) => summary.rotate(now),
                Instrument::SummarySet(set) => set.rotate(now),
                Instrument::Counter(_) | Instrument::CounterSet(_) | Instrument::Histogram(_) => {}
            }
        }
    }
}
