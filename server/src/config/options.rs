//! From the configuration to each module's own `Options`: units become final, "0 and below means
//! none" becomes `None`, numbers become unsigned.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::load::resolve;
use super::members::port_in_range;
use super::{
    AuthProvider, Compression, Config, ConfigError, Kind, MetricsBackend, Secret, Whitelist,
};
use crate::acl::{
    DigestAlgorithm, DigestProvider, EnsembleProvider, Provider, SaslProvider, X509Provider,
};
use crate::base::Sid;
use crate::net::fourlw::ConfOptions;
use crate::tree::TreeOptions;
use crate::{acl, admin, audit, auth, ensemble, net, pipeline, prep, replica, storage, watch, zab};

/// Bytes that may wait for one learner before its link is cut; it syncs again.
const LEARNER_QUEUE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// A limit for which 0 and below mean that there is none.
fn limit(value: i64) -> Option<u64> {
    u64::try_from(value).ok().filter(|value| *value > 0)
}

/// A count that is never negative.
fn count(value: impl Into<i64>) -> u64 {
    u64::try_from(value.into()).unwrap_or(0)
}

fn size(value: impl Into<i64>) -> usize {
    usize::try_from(value.into()).unwrap_or(0)
}

impl Config {
    /// For [`crate::net`].
    pub fn net_options(&self) -> net::Options {
        let limits = &self.limits;
        let throttle = &limits.request_throttle;
        let tokens = &limits.connection_throttle;
        net::Options {
            addresses: self.client_address.into_iter().collect(),
            secure_addresses: self.secure_client_address.into_iter().collect(),
            tls: self.client_tls_used().then(|| self.client_tls_options()),
            unified: self.client_io.port_unification,
            certificate_scheme: self.auth.certificate_scheme.clone(),
            sasl: self.sasl_options(),
            sasl_super_users: self.auth.super_users.clone(),
            tls_handshakes_max: limit(self.client_io.handshake_limit.into())
                .map_or(0, |max| max as usize),
            early_drop: self.client_io.early_drop_handshakes,
            backlog: self.client_port_listen_backlog,
            keep_alive: self.client_io.tcp_keep_alive,
            connections_per_address_max: size(self.max_client_cnxns),
            connections_max: size(limits.max_cnxns),
            io_threads: self.client_io.worker_threads.map_or(0, size),
            frame_max: size(limits.jute_max_buffer),
            field_max: size(limits.jute_max_buffer) + size(limits.jute_extra_size),
            session_timeout_min_ms: self.min_session_timeout,
            session_timeout_max_ms: self.max_session_timeout,
            outstanding_max: size(limits.global_outstanding),
            large_request_threshold: limit(limits.large_request_threshold.into())
                .map(|bytes| bytes as usize),
            large_request_bytes_max: size(limits.large_request_max_bytes),
            request_throttle: net::RequestThrottle {
                requests_max: size(throttle.max_requests),
                stall_time_ms: count(throttle.stall_time_ms),
                drop_stale: throttle.drop_stale,
                stale_connection_check: throttle.stale_connection_check,
                stale_latency_check: throttle.stale_latency_check,
                op_wait_time_ms: count(throttle.op_wait_time_ms),
            },
            connection_throttle: net::ConnectionThrottle {
                tokens: tokens.tokens.into(),
                fill_time_ms: count(tokens.fill_time_ms),
                fill_count: tokens.fill_count.into(),
                freeze_time_ms: tokens.freeze_time_ms.into(),
                drop_increase: tokens.drop_increase,
                drop_decrease: tokens.drop_decrease,
                decrease_ratio: tokens.decrease_ratio,
                weight_enabled: tokens.weight_enabled,
                global_session_weight: tokens.global_weight.into(),
                renew_session_weight: tokens.renew_weight.into(),
                local_session_weight: tokens.local_weight.into(),
            },
            sessionless_timeout_ms: count(self.client_io.sessionless_timeout_ms),
            path_stats: self.monitoring.path_stats.as_ref().map(|stats| net::PathStatsOptions {
                slots: size(stats.slot_capacity),
                slot_ms: count(stats.slot_duration_s) * 1000,
                depth: size(stats.max_depth),
                sample_rate: stats.sample_rate,
                first: Duration::from_secs(60 * count(stats.initial_delay_min)),
                every: Duration::from_secs(60 * count(stats.delay_min)),
                top: size(stats.top_path_max),
            }),
            eager_acl_check: self.auth.eager_acl_check && self.is_distributed(),
            audit: self.monitoring.audit_enabled,
            ensemble_auth_named: self.auth.ensemble_auth_names.is_some(),
            allow_sasl_failed_clients: self.auth.allow_sasl_failed_clients,
            ..net::Options::default()
        }
    }

    /// Whether clients may speak TLS.
    fn client_tls_used(&self) -> bool {
        self.secure_client_address.is_some() || self.client_io.port_unification
    }

    /// TLS of the client port. Changed stores are taken at once, whatever `client.certReload`
    /// says: Java's server reads its stores for every connection.
    pub fn client_tls_options(&self) -> auth::TlsOptions {
        self.client_tls.options(false, self.auth.fips_mode, true)
    }

    /// Logins of clients; `None` if nobody asks for them. A section without a file is a mistake that
    /// is told when it is opened.
    fn sasl_options(&self) -> Option<auth::SaslOptions> {
        Some(auth::SaslOptions {
            file: self
                .auth
                .jaas_file
                .clone()
                .or_else(|| self.auth.sasl_section_given.then(PathBuf::new))?,
            section: self.auth.sasl_section.clone(),
            super_password: self.auth.sasl_super_password.clone(),
            properties: self.jaas_properties(),
        })
    }

    /// What `${name}` in the JAAS file stands for.
    fn jaas_properties(&self) -> BTreeMap<String, Secret> {
        self.properties.all().map(|(name, value)| (name.to_owned(), Secret::new(value))).collect()
    }

    /// TLS and SASL between servers.
    fn security_options(&self) -> ensemble::SecurityOptions {
        let ensemble = &self.ensemble;
        let sasl = &ensemble.sasl;
        ensemble::SecurityOptions {
            tls: Some(self.quorum_tls_options()),
            ssl_quorum: ensemble.ssl_quorum,
            unified: ensemble.port_unification,
            detection_ms: count(self.quorum_tls.handshake_detection_ms),
            sasl: sasl.enabled.then(|| auth::QuorumSaslOptions {
                file: self.auth.jaas_file.clone().unwrap_or_default(),
                server_section: sasl.server_context.clone(),
                learner_section: sasl.learner_context.clone(),
                server_requires: sasl.server_require,
                learner_requires: sasl.learner_require,
                properties: self.jaas_properties(),
            }),
        }
    }

    /// TLS of the quorum ports.
    pub fn quorum_tls_options(&self) -> auth::TlsOptions {
        let reload = self.ensemble.ssl_quorum_reload;
        self.quorum_tls.options(true, self.auth.fips_mode, reload)
    }

    /// For [`crate::replica`].
    pub fn replica_options(&self) -> replica::Options {
        let limits = &self.limits;
        replica::Options {
            tick_ms: count(self.tick_time),
            container_check_interval_ms: count(limits.container_check_interval_ms),
            container_removals_per_minute: count(limits.container_max_per_minute),
            container_never_used_max_ms: limits.container_max_never_used_ms,
            field_max: size(limits.jute_max_buffer) + size(limits.jute_extra_size),
            local_sessions: self.local_sessions_enabled,
            local_sessions_upgrade: self.local_sessions_upgrading_enabled,
            standalone_enabled: self.ensemble.standalone_enabled,
            read_only_mode: self.client_io.read_only_mode,
            session_server_id: match self.my_id {
                Some(id) if self.is_distributed() => id,
                _ => replica::Options::default().session_server_id,
            },
        }
    }

    /// For [`crate::pipeline`].
    pub fn pipeline_options(&self) -> pipeline::Options {
        let hours = count(self.purge_interval_hours);
        pipeline::Options {
            log_batch_max: match size(self.storage.max_batch_size) {
                0 => usize::MAX,
                some => some,
            },
            flush_delay_ms: count(self.storage.flush_delay_ms),
            flush_poll_ms: count(self.storage.max_write_queue_poll_ms),
            ack_logging_frequency: count(self.election.ack_logging_frequency),
            purge_retain_count: size(self.snap_retain_count),
            purge_interval_ms: hours * 3_600_000,
            purge_field_max: size(self.limits.jute_max_buffer) + size(self.limits.jute_extra_size),
        }
    }

    /// For [`crate::storage`]; `seed` spreads snapshots of servers over time.
    pub fn storage_options(&self, seed: u64) -> storage::Options {
        let files = &self.storage;
        storage::Options {
            log: storage::LogOptions {
                preallocate_bytes: limit(files.pre_alloc_size_kb)
                    .map_or(0, |kib| kib.saturating_mul(1024)),
                snap_count: u32::try_from(files.snap_count).unwrap_or(2),
                snap_size_limit_bytes: limit(files.snap_size_limit_kb)
                    .map(|kib| kib.saturating_mul(1024)),
                log_size_limit_bytes: limit(files.txn_log_size_limit_kb)
                    .map(|kib| kib.saturating_mul(1024)),
                force_sync: files.force_sync,
                fsync_warning: Duration::from_millis(count(files.fsync_warning_ms)),
                seed,
            },
            snapshot: storage::SnapshotOptions {
                compression: match files.compression {
                    Compression::None => storage::Compression::None,
                    Compression::Gzip => storage::Compression::Gzip,
                    Compression::Snappy => storage::Compression::Snappy,
                },
                digest: files.digest_enabled,
                last_zxid: files.serialize_last_processed_zxid,
            },
            datadir_auto_create: files.datadir_autocreate,
            db_auto_create: files.db_autocreate,
            snapshot_trust_empty: files.trust_empty,
            commit_log_count: size(files.commit_log_count),
            field_max: size(self.limits.jute_max_buffer) + size(self.limits.jute_extra_size),
        }
    }

    /// For a member of an ensemble; `None` without a server id or with a membership that is not
    /// understood, both of which loading has refused.
    pub fn member_options(&self, hash_seed: u64) -> Option<ensemble::MemberOptions> {
        let sid = Sid(self.my_id?);
        let (ensemble, election) = (&self.ensemble, &self.election);
        let read = |membership: &super::Membership| {
            let membership = zab::Membership::parse(&membership.to_string()).ok()?;
            let oracle = ensemble.oracle_path.is_some();
            Some(Arc::new(if oracle { membership.with_oracle() } else { membership }))
        };
        let tick_ms = count(self.tick_time);
        let (init_limit, sync_limit) = (count(ensemble.init_limit), count(ensemble.sync_limit));
        let connect_limit = count(ensemble.connect_to_learner_master_limit);
        Some(ensemble::MemberOptions {
            zab: zab::Options {
                tick_ms,
                init_limit,
                sync_limit,
                connect_limit,
                notification_min_ms: count(election.min_notification_ms),
                notification_max_ms: count(election.max_notification_ms),
                // Java waits 200 ms, which is most of a failover. Discovery corrects a vote that
                // comes late.
                finalize_wait_ms: 50,
                wait_for_epoch_max_ms: limit(election.max_wait_for_epoch_ms.into()),
                window: size(self.storage.commit_log_count),
                force_snapshot: election.force_snapshot_sync,
                snap_syncs_max: size(election.max_snap_syncs),
                diff_syncs_max: size(election.max_diff_syncs),
                connect_pause_max_ms: count(election.connect_delay_ms),
                observer_delay_ms: count(election.observer_election_delay_ms),
                observer_reconnect_ms: count(election.observer_reconnect_delay_ms),
                seed: hash_seed,
                reconfig_enabled: ensemble.reconfig_enabled,
                observer_master: ensemble.observer_master_port.is_some(),
                ..zab::Options::new(sid)
            },
            ensemble: ensemble::Options {
                sid,
                listen_on_all_ips: ensemble.listen_on_all_ips,
                connect_timeout_ms: count(election.cnx_timeout_ms),
                handshake_timeout_ms: limit(election.quorum_cnxn_timeout_ms.into())
                    .unwrap_or(tick_ms * sync_limit),
                observer_master_port: ensemble.observer_master_port,
                learner_connect_timeout_ms: tick_ms
                    * if connect_limit == 0 { init_limit } else { connect_limit },
                keep_alive: election.tcp_keep_alive,
                multi_address: ensemble.multi_address_enabled,
                bind_attempts: u32::try_from(election.port_bind_retry).unwrap_or(0),
                leader_nodelay: election.leader_nodelay,
                follower_nodelay: election.follower_nodelay,
                tracked: election.tracker_enabled.then(|| size(election.tracker_buffer_size)),
                resolver: ensemble::Resolver::default(),
                oracle_path: ensemble.oracle_path.clone(),
                field_max: size(self.limits.jute_max_buffer) + size(self.limits.jute_extra_size),
                queue_bytes_max: LEARNER_QUEUE_BYTES_MAX,
                tree: self.tree_options(hash_seed),
                security: self.security_options(),
            },
            committed: read(&ensemble.membership)?,
            last_seen: ensemble.last_seen.as_ref().and_then(read),
            log_factor: self.storage.snapshot_size_factor,
            observer_logs: ensemble.sync_enabled,
            leader_serves: election.leader_serves,
            files: self.membership_files(sid).map(|files| Arc::new(files) as _),
        })
    }

    /// For [`crate::tree`].
    pub fn tree_options(&self, hash_seed: u64) -> TreeOptions {
        TreeOptions {
            hash_seed,
            digest_enabled: self.storage.digest_enabled,
            extended_types: self.limits.extended_types,
            emulate_353_ttl: self.limits.emulate_353_ttl,
        }
    }

    /// For [`crate::watch`].
    pub fn watch_options(&self, hash_seed: u64) -> watch::Options {
        watch::Options { hash_seed, standard_only: self.limits.standard_watches_only }
    }

    /// The pause monitor, if it is wanted.
    pub fn pause_options(&self) -> Option<crate::server::pause::Options> {
        let settings = &self.pause_monitor;
        let ms = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        settings.enabled.then(|| crate::server::pause::Options {
            sleep: ms(settings.sleep_ms),
            info: ms(settings.info_ms),
            warn: ms(settings.warn_ms),
        })
    }

    /// The audit log, if it is wanted; `server_user` is who this process runs as. A file of its own
    /// is written if one is named.
    pub fn audit_options(&self, server_user: String) -> Option<audit::Options> {
        let threshold = self.property("zookeeper.auditlog.threshold").unwrap_or("INFO");
        let file = self.property("zookeeper.auditlog.file");
        let dir = std::path::Path::new(&self.logging.dir);
        self.monitoring.audit_enabled.then(|| audit::Options {
            file: file.map(|name| dir.join(name)),
            failures_only: matches!(threshold.to_ascii_uppercase().as_str(), "WARN" | "ERROR"),
            server_user,
        })
    }

    /// For [`crate::prep`].
    pub fn prep_options(&self, hash_seed: u64) -> prep::Options {
        prep::Options {
            enforce_quota: self.limits.enforce_quota,
            close_session_txn: self.storage.close_session_txn,
            reconfig_enabled: self.ensemble.reconfig_enabled,
            hash_seed,
            metrics: None,
        }
    }

    /// For [`crate::acl`].
    pub fn acl_options(&self) -> acl::Options {
        let auth = &self.auth;
        let digest = DigestProvider {
            algorithm: DigestAlgorithm::from_java_name(&auth.digest_algorithm).unwrap_or_default(),
            super_digest: auth.super_digest.as_ref().map(|secret| secret.expose().to_owned()),
        };
        let providers = auth.providers.iter().filter_map(|(_, provider)| {
            Some::<Arc<dyn Provider>>(match provider {
                AuthProvider::Sasl => {
                    Arc::new(SaslProvider { any_user: auth.let_any_sasl_user_do_x.clone() })
                }
                AuthProvider::X509 => {
                    Arc::new(X509Provider { super_user: auth.x509_super_user.clone() })
                }
                AuthProvider::Ensemble => {
                    Arc::new(EnsembleProvider { names: auth.ensemble_auth_names.clone() })
                }
                AuthProvider::Digest => Arc::new(digest.clone()),
                AuthProvider::Ip => return None,
            })
        });
        acl::Options {
            skip_acl: auth.skip_acl,
            digest: auth.digest_enabled.then(|| digest.clone()),
            providers: providers.collect(),
            enforced: auth.required_schemes.clone(),
        }
    }

    /// For [`crate::admin`]; `None` if it is switched off.
    ///
    /// # Errors
    /// If its address cannot be resolved.
    pub fn admin_options(&self) -> Result<Option<admin::Options>, ConfigError> {
        let settings = &self.admin;
        if !settings.enabled {
            return Ok(None);
        }
        let unusable = |error: ConfigError| ConfigError {
            kind: Kind::AdminServer,
            ..error.allowed("an address of this host and a free port, or admin.enableServer=false")
        };
        let port = port_in_range(settings.port).map_err(unusable)?;
        Ok(Some(admin::Options {
            address: resolve(&settings.address, port).map_err(unusable)?,
            idle_timeout: Duration::from_millis(count(settings.idle_timeout_ms).max(1)),
            command_url: settings.command_url.trim_end_matches('/').to_owned(),
            rate_limit: Duration::from_millis(count(settings.rate_limit_ms)),
            snapshot_enabled: settings.snapshot_enabled,
            restore_enabled: settings.restore_enabled,
            last_zxid_in_snapshots: self.storage.serialize_last_processed_zxid,
            use_x_forwarded_for: self.auth.use_x_forwarded_for,
            initial_configuration: self.initial_text.clone(),
            system_properties: self.properties.shown(),
            tls: (settings.force_https || settings.port_unification)
                .then(|| self.admin_tls_options()),
            plain_too: !settings.force_https,
        }))
    }

    /// The AdminServer's TLS: the stores of the quorum ports with the protocols and suites of the
    /// platform, as in Java.
    fn admin_tls_options(&self) -> auth::TlsOptions {
        let need = self.admin.need_client_auth;
        auth::TlsOptions {
            protocol: None,
            enabled_protocols: None,
            cipher_suites: None,
            client_auth: if need { auth::ClientAuth::Need } else { auth::ClientAuth::None },
            ..self.quorum_tls_options()
        }
    }

    /// Where Prometheus asks; `None` with another backend.
    ///
    /// # Errors
    /// If the address cannot be resolved.
    pub fn metrics_address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        let provider = &self.metrics_provider;
        if provider.backend != MetricsBackend::Prometheus {
            return Ok(None);
        }
        resolve(&provider.http_host, provider.http_port).map(Some).map_err(|error| ConfigError {
            kind: Kind::Unexpected,
            ..error.allowed("an address of this host in metricsProvider.httpHost")
        })
    }

    /// Names of the enabled four-letter words, `None` for all.
    pub fn word_whitelist(&self) -> Option<Vec<String>> {
        match &self.client_io.whitelist {
            Whitelist::All => None,
            Whitelist::Names(names) => Some(names.clone()),
        }
    }

    /// What `conf` prints.
    pub fn conf_options(&self) -> ConfOptions {
        let version_2 = |root: &PathBuf| {
            let dir = root.join("version-2");
            std::path::absolute(&dir).unwrap_or(dir)
        };
        ConfOptions {
            data_dir: version_2(&self.data_dir),
            data_log_dir: version_2(&self.data_log_dir),
            tick_time: self.tick_time,
            max_client_cnxns: self.max_client_cnxns,
            min_session_timeout: self.min_session_timeout,
            max_session_timeout: self.max_session_timeout,
            client_port_listen_backlog: self.client_port_listen_backlog,
            server_id: if self.is_distributed() { self.my_id.unwrap_or(0) } else { 0 },
            init_limit: self.ensemble.init_limit,
            sync_limit: self.ensemble.sync_limit,
        }
    }
}
