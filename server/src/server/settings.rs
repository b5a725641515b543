//! From a configuration to the server's options.

use std::sync::Arc;

use super::Options;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::fourlw::Responder;
use crate::prep;
use crate::storage::RealDisk;

impl Options {
    /// A server as `config` describes it. `random` gives seeds: for hash tables, and to spread the
    /// snapshots of an ensemble.
    pub fn of(
        config: &Config,
        metrics: Arc<Metrics>,
        fourlw: Arc<dyn Responder>,
        random: impl Fn() -> u64,
    ) -> Self {
        let separate = config.data_log_dir != config.data_dir;
        Self {
            net: config.net_options(),
            replica: config.replica_options(),
            pipeline: config.pipeline_options(),
            storage: config.storage_options(random()),
            tree: config.tree_options(random()),
            prep: prep::Options { metrics: Some(metrics.clone()), ..config.prep_options(random()) },
            acl: config.acl_options(),
            watch: config.watch_options(random()),
            data_dir: config.data_dir.clone(),
            data_log_dir: separate.then(|| config.data_log_dir.clone()),
            disk: Arc::new(RealDisk),
            fourlw,
            metrics,
            audit: None,
            pause_monitor: config.pause_options(),
            seed: random(),
            member: config.is_distributed().then(|| config.member_options(random())).flatten(),
        }
    }
}
