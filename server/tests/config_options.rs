//! Which option of which module a key sets, and which keys are accepted without effect.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use common::*;
use rookeeper::base::Sid;
use rookeeper::config::{Config, Level};
use rookeeper::ensemble;
use tempfile::TempDir;

fn load(text: &str, flags: &str) -> Config {
    config(TempDir::new().unwrap().path(), text, flags)
}

/// The key changes the option from its default to the value expected, and nothing is warned about.
#[test]
fn keys_reach_the_modules() {
    type Look = fn(&Config) -> String;
    let cases: &[(&str, Look, &str, &str)] = &[
        (
            "admin.idleTimeout=1234",
            |c| c.admin_options().unwrap().unwrap().idle_timeout.as_millis().to_string(),
            "30000",
            "1234",
        ),
        ("globalOutstandingLimit=7", |c| c.net_options().outstanding_max.to_string(), "1000", "7"),
        (
            "jute.maxbuffer.extrasize=5000",
            |c| (c.net_options().field_max - c.net_options().frame_max).to_string(),
            "1048575",
            "5000",
        ),
        (
            "jute.maxbuffer.extrasize=5000",
            |c| c.storage_options(1).field_max.to_string(),
            "2097150",
            "1053575",
        ),
        (
            "request_throttle_max_requests=9",
            |c| c.net_options().request_throttle.requests_max.to_string(),
            "0",
            "9",
        ),
        (
            "request_throttle_stall_time=9",
            |c| c.net_options().request_throttle.stall_time_ms.to_string(),
            "100",
            "9",
        ),
        (
            "connection_throttle_tokens=9",
            |c| c.net_options().connection_throttle.tokens.to_string(),
            "0",
            "9",
        ),
        (
            "connection_throttle_fill_time=9",
            |c| c.net_options().connection_throttle.fill_time_ms.to_string(),
            "1",
            "9",
        ),
        (
            "connection_throttle_fill_count=9",
            |c| c.net_options().connection_throttle.fill_count.to_string(),
            "1",
            "9",
        ),
        (
            "connection_throttle_freeze_time=9",
            |c| c.net_options().connection_throttle.freeze_time_ms.to_string(),
            "-1",
            "9",
        ),
        (
            "connection_throttle_drop_increase=0.5",
            |c| c.net_options().connection_throttle.drop_increase.to_string(),
            "0.02",
            "0.5",
        ),
        (
            "connection_throttle_drop_decrease=0.5",
            |c| c.net_options().connection_throttle.drop_decrease.to_string(),
            "0.002",
            "0.5",
        ),
        (
            "connection_throttle_decrease_ratio=0.5",
            |c| c.net_options().connection_throttle.decrease_ratio.to_string(),
            "0",
            "0.5",
        ),
        (
            "connection_throttle_weight_enabled=true",
            |c| c.net_options().connection_throttle.weight_enabled.to_string(),
            "false",
            "true",
        ),
        (
            "connection_throttle_global_session_weight=9",
            |c| c.net_options().connection_throttle.global_session_weight.to_string(),
            "3",
            "9",
        ),
        (
            "connection_throttle_renew_session_weight=9",
            |c| c.net_options().connection_throttle.renew_session_weight.to_string(),
            "2",
            "9",
        ),
        (
            "connection_throttle_local_session_weight=2",
            |c| c.net_options().connection_throttle.local_session_weight.to_string(),
            "1",
            "2",
        ),
        (
            "netty.server.earlyDropSecureConnectionHandshakes=true",
            |c| c.net_options().early_drop.to_string(),
            "false",
            "true",
        ),
        (
            "IPAuthenticationProvider.usexforwardedfor=true",
            |c| c.admin_options().unwrap().unwrap().use_x_forwarded_for.to_string(),
            "false",
            "true",
        ),
        (
            "request_throttle_drop_stale=false",
            |c| c.net_options().request_throttle.drop_stale.to_string(),
            "true",
            "false",
        ),
        (
            "request_stale_connection_check=false",
            |c| c.net_options().request_throttle.stale_connection_check.to_string(),
            "true",
            "false",
        ),
        (
            "request_stale_latency_check=true",
            |c| c.net_options().request_throttle.stale_latency_check.to_string(),
            "false",
            "true",
        ),
        (
            "extendedTypesEnabled=true",
            |c| c.tree_options(1).extended_types.to_string(),
            "false",
            "true",
        ),
        (
            "emulate353TTLNodes=true",
            |c| c.tree_options(1).emulate_353_ttl.to_string(),
            "false",
            "true",
        ),
        ("commitLogCount=600", |c| c.storage_options(1).commit_log_count.to_string(), "500", "600"),
    ];
    let default = load("", "");
    for (text, look, before, after) in cases {
        assert_eq!(look(&default), *before, "{text}");
        let config = load(text, "");
        assert_eq!(look(&config), *after, "{text}");
        assert!(config.notices.iter().all(|n| n.level != Level::Warn), "{text}");
        // Most people set them as properties.
        let flags = format!("-Dzookeeper.{text}");
        assert_eq!(look(&load("", &flags)), *after, "{flags}");
    }
    // What is told about paths is a matter of minutes; the rest is `process.rs`.
    assert_eq!(default.net_options().path_stats, None);
    let stats = |text: &str, flags: &str| {
        let stats = load(&format!("pathStats.enabled=true\n{text}"), flags);
        stats.net_options().path_stats.unwrap()
    };
    let told = stats("", "");
    assert_eq!((told.slots, told.slot_ms, told.depth, told.top), (60, 15_000, 6, 20));
    assert_eq!((told.first.as_secs(), told.every.as_secs()), (300, 300));
    assert!((told.sample_rate - 0.1).abs() < 1e-9);
    let told = stats(
        "pathStats.slotCapacity=2\npathStats.slotDuration=3\npathStats.maxDepth=4\n\
         pathStats.topPathMax=5\npathStats.initialDelay=6",
        "-Dzookeeper.pathStats.delay=7 -Dzookeeper.pathStats.sampleRate=0.5",
    );
    assert_eq!((told.slots, told.slot_ms, told.depth, told.top), (2, 3000, 4, 5));
    assert_eq!((told.first.as_secs(), told.every.as_secs()), (360, 420));
    assert!((told.sample_rate - 0.5).abs() < 1e-9);
    let paced = load("", "-Dznode.container.maxPerMinute=10");
    assert_eq!(paced.replica_options().container_removals_per_minute, 10);
    assert_eq!(default.replica_options().container_removals_per_minute, 10_000);
}

/// What elections, synchronisation and the sockets between servers are told.
#[test]
fn keys_of_ensembles_reach_the_core() {
    type Look = fn(&ensemble::MemberOptions) -> String;
    let cases: &[(&str, Look, &str, &str)] = &[
        ("initLimit=7", |o| o.zab.init_limit.to_string(), "10", "7"),
        ("syncLimit=7", |o| o.zab.sync_limit.to_string(), "5", "7"),
        ("connectToLearnerMasterLimit=7", |o| o.zab.connect_limit.to_string(), "0", "7"),
        ("syncEnabled=false", |o| o.observer_logs.to_string(), "true", "false"),
        ("-Dleader.nodelay=false", |o| o.ensemble.leader_nodelay.to_string(), "true", "false"),
        ("-Dfollower.nodelay=false", |o| o.ensemble.follower_nodelay.to_string(), "true", "false"),
        ("leaderServes=no", |o| o.leader_serves.to_string(), "true", "false"),
        ("electionPortBindRetry=7", |o| o.ensemble.bind_attempts.to_string(), "3", "7"),
        ("cnxTimeout=7", |o| o.ensemble.connect_timeout_ms.to_string(), "5000", "7"),
        ("quorumCnxnTimeoutMs=7", |o| o.ensemble.handshake_timeout_ms.to_string(), "15000", "7"),
        ("tcpKeepAlive=true", |o| o.ensemble.keep_alive.to_string(), "false", "true"),
        (
            "quorumListenOnAllIPs=true",
            |o| o.ensemble.listen_on_all_ips.to_string(),
            "false",
            "true",
        ),
        (
            "fastleader.minNotificationInterval=7",
            |o| o.zab.notification_min_ms.to_string(),
            "200",
            "7",
        ),
        (
            "fastleader.maxNotificationInterval=7",
            |o| o.zab.notification_max_ms.to_string(),
            "60000",
            "7",
        ),
        (
            "leader.maxTimeToWaitForEpoch=7",
            |o| format!("{:?}", o.zab.wait_for_epoch_max_ms),
            "None",
            "Some(7)",
        ),
        ("leader.maxConcurrentSnapSyncs=7", |o| o.zab.snap_syncs_max.to_string(), "10", "7"),
        ("leader.maxConcurrentDiffSyncs=7", |o| o.zab.diff_syncs_max.to_string(), "100", "7"),
        ("forceSnapshotSync=true", |o| o.zab.force_snapshot.to_string(), "false", "true"),
        (
            "leaderConnectDelayDuringRetryMs=7",
            |o| o.zab.connect_pause_max_ms.to_string(),
            "100",
            "7",
        ),
        ("observer.reconnectDelayMs=7", |o| o.zab.observer_reconnect_ms.to_string(), "0", "7"),
        (
            "messageTracker.Enabled=true",
            |o| format!("{:?}", o.ensemble.tracked),
            "None",
            "Some(10)",
        ),
        (
            "messageTracker.BufferSize=7\nmessageTracker.Enabled=true",
            |o| format!("{:?}", o.ensemble.tracked),
            "None",
            "Some(7)",
        ),
        ("observer.election.DelayMs=7", |o| o.zab.observer_delay_ms.to_string(), "200", "7"),
        ("commitLogCount=700", |o| o.zab.window.to_string(), "500", "700"),
        ("commitLogCount=70", |o| o.zab.window.to_string(), "500", "500"),
        ("snapshotSizeFactor=-1", |o| o.log_factor.to_string(), "0.33", "-1"),
        (
            "oraclePath=/o",
            |o| format!("{:?} {}", o.ensemble.oracle_path, o.committed.has_oracle()),
            "None false",
            "Some(\"/o\") true",
        ),
        (
            "group.1=1:2:3",
            |o| o.committed.render().contains("weight.1=1").to_string(),
            "false",
            "true",
        ),
        ("group.1=1:2:3\nweight.2=4", |o| o.committed.weight(Sid(2)).to_string(), "1", "4"),
    ];
    let member = |text: &str| {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("myid"), "2").unwrap();
        let (text, flags) = match text.strip_prefix("-D") {
            Some(_) => ("", text),
            None => (text, ""),
        };
        let mut limits = String::new();
        for (key, line) in [("initLimit", "initLimit=10\n"), ("syncLimit", "syncLimit=5\n")] {
            if !text.contains(key) {
                limits.push_str(line);
            }
        }
        let servers: String =
            (1..=3).map(|n| format!("server.{n}=127.0.0.1:{}:{}\n", 2000 + n, 3000 + n)).collect();
        let config = config(dir.path(), &format!("{limits}{servers}{text}"), flags);
        config.member_options(1).expect("a member")
    };
    let default = member("");
    for (text, look, before, after) in cases {
        assert_eq!(look(&default), *before, "{text}");
        assert_eq!(look(&member(text)), *after, "{text}");
    }
}

/// They size a JVM, Java's threads, caches or beans. Accepted whatever they say, told once.
#[test]
fn keys_of_the_jvm_are_accepted() {
    for key in [
        "bitHashCacheSize",
        "commitProcessor.maxCommitBatchSize",
        "commitProcessor.maxReadBatchSize",
        "commitProcessor.numWorkerThreads",
        "commitProcessor.shutdownTimeout",
        "controllerPort",
        "follower.skipLearnerRequestToNextProcessor",
        "forward_learner_requests_to_commit_processor_disabled",
        "intBufferStartingSizeBytes",
        "leader.closeSocketAsync",
        "learner.asyncSending",
        "learner.closeSocketAsync",
        "maxGetChildrenResponseCacheSize",
        "maxInProcessingDeadWatchers",
        "maxResponseCacheSize",
        "metricsProvider.maxQueueSize",
        "metricsProvider.numWorkerThreads",
        "metricsProvider.workerShutdownTimeoutMs",
        "netty.advancedFlowControl.enabled",
        "nio.directBufferBytes",
        "nio.numSelectorThreads",
        "nio.shutdownTimeout",
        "observerMaster.sizeLimit",
        "quorum.cnxn.threads.size",
        "requireKerberosConfig",
        "admin.httpVersion",
        "ssl.sslProvider",
        "test.allowDiscontinuousProposals",
        "watcherCleanIntervalInSeconds",
        "watcherCleanThreadsNum",
        "watcherCleanThreshold",
    ] {
        let config = load(&format!("{key}=2"), "");
        let said: Vec<_> = config.notices.iter().filter(|n| n.level == Level::Warn).collect();
        assert_eq!(said.len(), 1, "{key}: {said:?}");
        let text = &said[0].text;
        assert!(text.contains(key) && text.contains("accepted, no effect here"), "{text}");
    }
    for flag in [
        "zookeeper.jmx.log4j.disable",
        "zookeeper.jmx.log4j.mbean",
        "jdk.tls.rejectClientInitiatedRenegotiation",
        "sun.security.jgss.native",
        "com.sun.management.jmxremote.port",
    ] {
        let config = load("", &format!("-D{flag}=true"));
        let said: Vec<_> = config.notices.iter().filter(|n| n.level == Level::Warn).collect();
        assert_eq!(said.len(), 1, "{flag}: {said:?}");
        assert!(said[0].text.contains("accepted, no effect here"), "{}", said[0].text);
    }
}

/// `nio.numWorkerThreads` is the one that means something here: how many threads do I/O.
#[test]
fn worker_threads_serve() {
    for (value, threads) in [("1", 1), ("8", 8)] {
        let text = format!("nio.numWorkerThreads={value}");
        assert_eq!(load(&text, "").net_options().io_threads, threads);
        let server = TestServer::configured(&text, "");
        let mut clients: Vec<_> = (0..10).map(|_| server.client()).collect();
        assert!(clients.iter_mut().all(|client| client.get("/", false).err == 0));
        server.stop();
    }
    assert_eq!(load("nio.numWorkerThreads=0", "").net_options().io_threads, 0, "as many as cores");
}
