//! Names with nothing behind them here: accepted, and said so once.

/// Properties that only mean something to a JVM or to Java's threads.
///
/// Full property names; a trailing `*` matches the rest.
pub(super) const JVM_ONLY: &[&str] = &[
    "zookeeper.bitHashCacheSize",
    "zookeeper.commitProcessor.maxCommitBatchSize",
    "zookeeper.commitProcessor.maxReadBatchSize",
    "zookeeper.commitProcessor.numWorkerThreads",
    "zookeeper.commitProcessor.shutdownTimeout",
    "zookeeper.controllerPort",
    "zookeeper.clientPortAddress",
    "zookeeper.follower.skipLearnerRequestToNextProcessor",
    "zookeeper.forward_learner_requests_to_commit_processor_disabled",
    "zookeeper.intBufferStartingSizeBytes",
    "zookeeper.jmx.log4j.*",
    "zookeeper.leader.closeSocketAsync",
    "leader.closeSocketAsync",
    "zookeeper.learner.asyncSending",
    "learner.asyncSending",
    "zookeeper.learner.closeSocketAsync",
    "learner.closeSocketAsync",
    "zookeeper.maxGetChildrenResponseCacheSize",
    "zookeeper.maxInProcessingDeadWatchers",
    "zookeeper.maxResponseCacheSize",
    "zookeeper.netty.advancedFlowControl.enabled",
    "zookeeper.nio.directBufferBytes",
    "zookeeper.nio.shutdownTimeout",
    "zookeeper.observerMaster.sizeLimit",
    "zookeeper.admin.httpVersion",
    "zookeeper.ssl.sslProvider",
    "zookeeper.test.allowDiscontinuousProposals",
    "zookeeper.watcherClean*",
    "jdk.tls.rejectClientInitiatedRenegotiation",
    "com.sun.management.*",
    "com.sun.security.onlyCheckRevocationOfEECert",
];

/// Properties about Kerberos. A login that needs it is refused at the start (`auth`).
pub(super) const KERBEROS: &[&str] = &[
    "zookeeper.kerberos.*",
    "zookeeper.security.auth_to_local",
    "zookeeper.kinit",
    "zookeeper.server.realm",
    "zookeeper.requireKerberosConfig",
    "java.security.krb5.*",
    "sun.security.jgss.native",
];

/// Read by something else than the server's settings: no word about them.
pub(super) const ELSEWHERE: &[&str] = &[
    // The client side (`rookeeper cli`).
    "zookeeper.sasl.client",
    "zookeeper.sasl.clientconfig",
    "zookeeper.sasl.client.*",
    "zookeeper.server.principal",
    "zookeeper.clientCnxnSocket",
    "zookeeper.request.timeout",
    "zookeeper.disableAutoWatchReset",
    // The log file and audit file appenders of logback.xml, which rotation is left to the platform.
    "zookeeper.log.maxfilesize",
    "zookeeper.log.maxbackupindex",
    "zookeeper.tracelog.*",
    "zookeeper.auditlog.*",
];

/// Keys Java's guide names or users write, that no server has ever read from `zoo.cfg`, and the
/// spelling that works.
pub(super) const DEAD: &[(&str, &str)] = &[
    ("connectionMaxTokens", "connection_throttle_tokens"),
    ("connectionTokenFillTime", "connection_throttle_fill_time"),
    ("connectionTokenFillCount", "connection_throttle_fill_count"),
    ("connectionFreezeTime", "connection_throttle_freeze_time"),
    ("connectionDropIncrease", "connection_throttle_drop_increase"),
    ("connectionDropDecrease", "connection_throttle_drop_decrease"),
    ("connectionDecreaseRatio", "connection_throttle_decrease_ratio"),
    ("requestThrottleLimit", "request_throttle_max_requests"),
    ("requestThrottleStallTime", "request_throttle_stall_time"),
    ("requestThrottleDropStale", "request_throttle_drop_stale"),
    ("requestStaleLatencyCheck", "request_stale_latency_check"),
    ("requestStaleConnectionCheck", "request_stale_connection_check"),
    ("throttledOpWaitTime", "throttled_op_wait_time"),
    ("advancedFlowControlEnabled", "netty.advancedFlowControl.enabled"),
    ("outstandingHandshake.limit", "netty.server.outstandingHandshake.limit"),
    ("maxConcurrentSnapSyncs", "leader.maxConcurrentSnapSyncs"),
    ("maxConcurrentDiffSyncs", "leader.maxConcurrentDiffSyncs"),
    ("maxTimeToWaitForEpoch", "leader.maxTimeToWaitForEpoch"),
    ("jute.maxbuffer", "-Djute.maxbuffer=N in SERVER_JVMFLAGS"),
    ("readonlymode.enabled", "-Dreadonlymode.enabled=true in SERVER_JVMFLAGS"),
    ("znode.container.checkIntervalMs", "-Dznode.container.checkIntervalMs=N in SERVER_JVMFLAGS"),
    ("znode.container.maxPerMinute", "-Dznode.container.maxPerMinute=N in SERVER_JVMFLAGS"),
    (
        "znode.container.maxNeverUsedIntervalMs",
        "-Dznode.container.maxNeverUsedIntervalMs=N in SERVER_JVMFLAGS",
    ),
    ("leader.nodelay", "-Dleader.nodelay in SERVER_JVMFLAGS"),
    ("follower.nodelay", "-Dfollower.nodelay in SERVER_JVMFLAGS"),
    (
        "java.security.auth.login.config",
        "-Djava.security.auth.login.config=FILE in SERVER_JVMFLAGS",
    ),
    ("client.secure", "nothing: only clients read it"),
];

/// `-D` names that look like keys of `zoo.cfg` and are only read there.
pub(super) const KEYS_ONLY: &[&str] = &[
    "zookeeper.sslQuorum",
    "zookeeper.portUnification",
    "zookeeper.connectToLearnerMasterLimit",
    "zookeeper.clientPort",
    "zookeeper.dataDir",
    "zookeeper.dataLogDir",
    "zookeeper.tickTime",
    "zookeeper.maxClientCnxns",
    "zookeeper.minSessionTimeout",
    "zookeeper.maxSessionTimeout",
    "zookeeper.initLimit",
    "zookeeper.syncLimit",
    "zookeeper.secureClientPort",
    "zookeeper.standaloneEnabled",
    "zookeeper.reconfigEnabled",
    "zookeeper.autopurge.snapRetainCount",
    "zookeeper.autopurge.purgeInterval",
];

/// Whether `name` is in `list`.
pub(super) fn listed(list: &[&str], name: &str) -> bool {
    list.iter().any(|entry| match entry.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *entry,
    })
}
