//! Tables over whole configurations. `testdata/properties.txt` was written by
//! `java.util.Properties`: hex input, then `ok` with hex key=value pairs sorted by key, or `error`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::table::decode;
use super::*;

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Dir(tempfile::tempdir().expect("temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).expect("write");
        self.path(name)
    }

    /// Loads a file of `text` behind a `dataDir` line (so `text` begins on line 2).
    fn load(&self, text: &str, flags: &str) -> Result<Config, ConfigError> {
        let data = self.0.path().display();
        let file = self.write("zoo.cfg", format!("dataDir={data}\n{text}"));
        let mut jvm = JvmFlags::default();
        jvm.add_words(flags);
        Config::load(&file, &jvm)
    }
}

fn load(text: &str) -> Result<Config, ConfigError> {
    Dir::new().load(text, "")
}

fn good(text: &str) -> Config {
    load(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn bad(text: &str) -> ConfigError {
    load(text).map(|_| ()).expect_err(text)
}

fn warnings(config: &Config) -> Vec<&str> {
    config.notices.iter().filter(|n| n.level == Level::Warn).map(|n| n.text.as_str()).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn properties_grammar_is_javas() {
    let mut checked = 0;
    for line in include_str!("testdata/properties.txt").lines() {
        let mut words = line.split(' ');
        let input = unhex(words.next().unwrap());
        let shown = String::from_utf8_lossy(&input).into_owned();
        let parsed = JavaProperties::parse(&input);
        match words.next().unwrap() {
            "error" => assert!(parsed.is_err(), "{shown:?}"),
            _ => {
                let parsed = parsed.unwrap_or_else(|error| panic!("{shown:?}: {error}"));
                let mut ours: Vec<_> =
                    parsed.entries().iter().map(|e| (e.key.clone(), e.value.clone())).collect();
                ours.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
                let text = |hex| String::from_utf8(unhex(hex)).unwrap();
                let javas: Vec<_> = words
                    .map(|pair| pair.split_once('=').unwrap())
                    .map(|(key, value)| (text(key), text(value)))
                    .collect();
                assert_eq!(ours, javas, "{shown:?}");
            }
        }
        checked += 1;
    }
    assert!(checked > 1500);
}

#[test]
fn entries_know_their_lines() {
    let text = b"# c\n\na=1\nb=2\\\n  3\r\nc=4\rd=5\n! x\na=6\n";
    let parsed = JavaProperties::parse(text).unwrap();
    let lines: Vec<_> = parsed.entries().iter().map(|e| (e.key.as_str(), e.line)).collect();
    assert_eq!(lines, [("a", 9), ("b", 4), ("c", 6), ("d", 7)]);
    assert_eq!(JavaProperties::parse(b"a=1\nb=\\u12\n").unwrap_err().line, 2);
}

#[test]
fn numbers_decode_as_in_java() {
    for (text, value) in [
        ("10", Some(10)),
        ("-10", Some(-10)),
        ("+10", Some(10)),
        ("0x10", Some(16)),
        ("0X1f", Some(31)),
        ("#10", Some(16)),
        ("-0x10", Some(-16)),
        ("010", Some(8)),
        ("0", Some(0)),
        ("-0", Some(0)),
        ("08", None),
        ("", None),
        ("-", None),
        ("0x", None),
        ("0x-1", None),
        ("--1", None),
        (" 1", None),
        ("1L", None),
        ("1.0", None),
    ] {
        assert_eq!(decode(text), value, "{text:?}");
    }
}

#[test]
fn defaults() {
    let config = good("");
    assert_eq!(
        (config.tick_time, config.min_session_timeout, config.max_session_timeout),
        (3000, 6000, 60_000)
    );
    assert_eq!(config.data_dir, config.data_log_dir);
    assert_eq!((config.client_address, config.secure_client_address), (None, None));
    assert_eq!((config.max_client_cnxns, config.client_port_listen_backlog), (60, -1));
    assert_eq!((config.snap_retain_count, config.purge_interval_hours), (3, 0));
    assert_eq!(config.my_id, None);
    assert!(!config.is_distributed());
    assert_eq!(config.storage.snap_count, 100_000);
    assert_eq!(config.storage.compression, Compression::None);
    assert!(config.storage.force_sync && config.storage.digest_enabled);
    assert_eq!(config.limits.jute_max_buffer, 1_048_575);
    assert_eq!(config.limits.jute_extra_size, 1_048_575);
    assert_eq!(config.client_io.whitelist, Whitelist::Names(vec!["srvr".into()]));
    assert!(config.auth.required_schemes.is_empty() && !config.auth.skip_acl);
    assert_eq!((config.admin.port, config.admin.command_url.as_str()), (8080, "/commands"));
    assert_eq!(config.metrics_provider.backend, MetricsBackend::Default);
    assert_eq!(config.metrics_provider.http_port, 7000);
    assert!(!config.client_tls.client_hostname_verification);
    assert!(config.quorum_tls.client_hostname_verification);
    assert_eq!(warnings(&config), Vec::<&str>::new());
}

#[test]
fn typed_keys_take_effect() {
    let config = good(
        "tickTime=2000\nclientPort=2181\nclientPortAddress=127.0.0.1\nclientPortListenBacklog=7\n\
         maxClientCnxns=0\nminSessionTimeout=100\nmaxSessionTimeout=-1\ndataLogDir=/log\n\
         autopurge.snapRetainCount=5\nautopurge.purgeInterval=24\nlocalSessionsEnabled=TRUE\n\
         localSessionsUpgradingEnabled=true\ninitLimit=10\nsyncLimit=5\nelectionAlg=3\n\
         quorumListenOnAllIPs=true\nsyncEnabled=false\nreconfigEnabled=true\n\
         observerMasterPort=2191\nconnectToLearnerMasterLimit=4\noraclePath=/o\n\
         metricsProvider.className=\
         org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
         metricsProvider.httpPort=7001\nmetricsProvider.exportJvmInfo=false\nmetricsProvider.x=y\n\
         jvm.pause.monitor=true\njvm.pause.warn-threshold.ms=1\n",
    );
    assert_eq!(config.client_address, Some("127.0.0.1:2181".parse().unwrap()));
    assert_eq!((config.min_session_timeout, config.max_session_timeout), (100, 40_000));
    assert_eq!((config.max_client_cnxns, config.client_port_listen_backlog), (0, 7));
    assert_eq!(config.data_log_dir, Path::new("/log"));
    assert_eq!((config.snap_retain_count, config.purge_interval_hours), (5, 24));
    assert!(config.local_sessions_enabled && config.local_sessions_upgrading_enabled);
    let ensemble = &config.ensemble;
    assert_eq!((ensemble.init_limit, ensemble.sync_limit), (10, 5));
    assert!(ensemble.listen_on_all_ips && ensemble.reconfig_enabled && !ensemble.sync_enabled);
    assert_eq!(ensemble.observer_master_port, Some(2191));
    assert_eq!(ensemble.connect_to_learner_master_limit, 4);
    assert_eq!(config.metrics_provider.backend, MetricsBackend::Prometheus);
    assert_eq!(config.metrics_provider.http_port, 7001);
    assert_eq!(config.metrics_provider.others, [("x".to_owned(), "y".to_owned())]);
    assert!(config.pause_monitor.enabled && config.pause_monitor.warn_ms == 1);
    assert_eq!(warnings(&config), Vec::<&str>::new());
}

#[test]
fn property_keys_take_effect() {
    let config = good(
        "snapCount=0x10\nsnapSizeLimitInKb=-1\npreAllocSize=010\ntxnLogSizeLimitInKb=5\n\
         commitLogCount=600\nsnapshotSizeFactor=0.5\nforceSync=no\nfsync.warningthresholdms=20\n\
         flushDelay=30\nmaxBatchSize=0\ndatadir.autocreate=false\ndb.autocreate=FALSE\n\
         snapshot.trust.empty=True\nsnapshot.compression.method=GZ\n\
         serializeLastProcessedZxid.enabled=no\ndigest.enabled=false\nglobalOutstandingLimit=7\n\
         maxCnxns=3\nlargeRequestThreshold=100\nenforceQuota=true\nextendedTypesEnabled=true\n\
         request_throttle_max_requests=9\nthrottled_op_wait_time=8\nconnection_throttle_tokens=2\n\
         connection_throttle_local_session_weight=5\n4lw.commands.whitelist=ruok, mntr ,bogus\n\
         skipACL=yes\nDigestAuthenticationProvider.superDigest=super:abc\n\
         superUser=a\nsuperUser.2=b\nadmin.serverPort=0\nadmin.enableServer=false\n\
         enforce.auth.enabled=true\nenforce.auth.schemes=digest, sasl\n\
         authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n\
         ssl.keyStore.location=/k.p12\nssl.keyStore.password=pw\nssl.clientAuth=want\n\
         jute.maxbuffer.extrasize=10\nclientTcpKeepAlive=true\n",
    );
    let storage = &config.storage;
    assert_eq!(
        (storage.snap_count, storage.snap_size_limit_kb, storage.pre_alloc_size_kb),
        (16, -1, 10)
    );
    assert_eq!((storage.txn_log_size_limit_kb, storage.commit_log_count), (5, 600));
    assert_eq!((storage.snapshot_size_factor, storage.force_sync), (0.5, false));
    assert_eq!((storage.fsync_warning_ms, storage.flush_delay_ms), (20, 30));
    assert_eq!((storage.max_write_queue_poll_ms, storage.max_batch_size), (10, 0));
    assert!(!storage.datadir_autocreate && !storage.db_autocreate && storage.trust_empty);
    assert_eq!(storage.compression, Compression::Gzip);
    assert!(!storage.serialize_last_processed_zxid && !storage.digest_enabled);
    let limits = &config.limits;
    assert_eq!((limits.global_outstanding, limits.max_cnxns), (7, 3));
    assert_eq!(limits.large_request_threshold, 100);
    assert!(limits.enforce_quota && limits.extended_types);
    assert_eq!(limits.request_throttle.max_requests, 9);
    assert_eq!(limits.request_throttle.op_wait_time_ms, 8);
    let throttle = &limits.connection_throttle;
    assert_eq!((throttle.tokens, throttle.global_weight, throttle.renew_weight), (2, 5, 5));
    assert_eq!(limits.jute_extra_size, 1024);
    let names = ["bogus", "mntr", "ruok", "srvr"].map(str::to_owned).to_vec();
    assert_eq!(config.client_io.whitelist, Whitelist::Names(names));
    assert!(config.client_io.tcp_keep_alive);
    assert!(config.auth.skip_acl);
    assert_eq!(config.auth.super_digest.as_ref().unwrap().expose(), "super:abc");
    assert_eq!(config.auth.super_users, ["a", "b"]);
    assert_eq!(config.auth.required_schemes, ["digest", "sasl"]);
    assert_eq!(config.auth.providers, [("1".to_owned(), AuthProvider::Sasl)]);
    assert!(!config.admin.enabled);
    assert_eq!(config.client_tls.key_store.as_ref().unwrap().kind, StoreType::Pkcs12);
    assert_eq!(config.client_tls.client_auth, ClientAuth::Want);
    assert_eq!(warnings(&config), Vec::<&str>::new());
    let shown = format!("{config:?}");
    let props = config.properties.shown();
    assert!(props.contains(&("zookeeper.ssl.keyStore.password".into(), "********".into())));
    assert!(!shown.contains("Secret(\"pw"), "secrets are not in debug output");
}

#[test]
fn lenient_values_fall_back_with_a_warning() {
    for (text, warned) in [
        ("snapCount=abc", "snapCount=abc: not a number"),
        ("snapCount=1", "SnapCount should be 2 or more"),
        ("snapCount=99999999999", "snapCount=99999999999: not a number"),
        ("preAllocSize=x", "preAllocSize=x: not a whole number"),
        ("commitLogCount=5", "commitLogCount 5 is less than"),
        ("snapshotSizeFactor=1.5", "snapshotSizeFactor 1.5 is invalid"),
        ("snapshotSizeFactor=x", "snapshotSizeFactor=x: not a decimal number"),
        ("maxCnxns=-1", "maxCnxns should be greater than or equal to 0"),
        ("largeRequestThreshold=0", "Invalid largeRequestThreshold 0"),
        ("largeRequestMaxBytes=0", "largeRequestMaxBytes=0"),
        ("connection_throttle_fill_time=0", "connection_throttle_fill_time=0"),
        ("snapshot.compression.method=zip", "snapshot.compression.method=zip"),
        ("autopurge.snapRetainCount=1", "Invalid autopurge.snapRetainCount: 1. Defaulting to 3"),
        ("authProvider.1=com.example.Mine", "Problems loading com.example.Mine"),
        ("ssl.handshakeDetectionTimeoutMillis=0", "Invalid value, must be a number above 0"),
        ("dataLogDir=relative/dir", "relative/dir is relative"),
    ] {
        let config = good(text);
        let warnings = warnings(&config);
        assert!(warnings.len() == 1 && warnings[0].contains(warned), "{text}: {warnings:?}");
    }
    assert_eq!(good("snapCount=abc").storage.snap_count, 100_000);
    assert_eq!(good("snapCount=1").storage.snap_count, 2);
    assert_eq!(good("snapCount=010").storage.snap_count, 8);
}

#[test]
fn errors_name_file_line_key_value_and_what_is_allowed() {
    for (text, key, said, code) in [
        ("tickTime=0", "tickTime=0", "tickTime is not set", 2),
        ("tickTime=x", "tickTime=x", "For input string: \"x\"", 2),
        ("tickTime=-5", "tickTime=-5", "minSessionTimeout must not be larger", 2),
        ("tickTime=0x10", "tickTime=0x10", "For input string: \"0x10\"", 2),
        ("clientPort=", "clientPort=", "For input string: \"\"", 2),
        ("clientPort=65536", "clientPort=65536", "port out of range:65536", 2),
        ("clientPort=-1", "clientPort=-1", "port out of range:-1", 2),
        ("secureClientPort=70000", "secureClientPort=70000", "port out of range:70000", 2),
        (
            "clientPortAddress=::1",
            "clientPortAddress=::1",
            "clientPortAddress is set but clientPort is not set",
            2,
        ),
        (
            "secureClientPortAddress=::1",
            "secureClientPortAddress=::1",
            "secureClientPortAddress is set but secureClientPort is not set",
            2,
        ),
        (
            "clientPort=1\nclientPortAddress=no.such.host.invalid",
            "clientPortAddress=no.such.host.invalid",
            "no.such.host.invalid",
            2,
        ),
        (
            "minSessionTimeout=9\nmaxSessionTimeout=8",
            "minSessionTimeout=9",
            "minSessionTimeout must not be larger than maxSessionTimeout",
            2,
        ),
        ("electionAlg=1", "electionAlg=1", "Invalid electionAlg value. Only 3 is supported.", 2),
        ("peerType=boss", "peerType=boss", "Unrecognised peertype: boss", 2),
        (
            "syncEnabled=yes",
            "syncEnabled=yes",
            "Invalid option yes for syncEnabled. Choose 'true' or 'false.'",
            2,
        ),
        ("reconfigEnabled=1", "reconfigEnabled=1", "Invalid option 1 for reconfigEnabled", 2),
        (
            "metricsProvider.className=x.Y",
            "metricsProvider.className=x.Y",
            "metrics provider class was not found",
            2,
        ),
        ("metricsProvider.httpPort=-2", "metricsProvider.httpPort=-2", "port out of range:-2", 2),
        (
            "quorum.auth.serverRequireSasl=true",
            "quorum.auth.serverRequireSasl=true",
            "quorum.auth.enableSasl is disabled, so cannot enable quorum.auth.serverRequireSasl",
            2,
        ),
        (
            "quorum.auth.learnerRequireSasl=true",
            "quorum.auth.learnerRequireSasl=true",
            "quorum.auth.enableSasl is disabled, so cannot enable quorum.auth.learnerRequireSasl",
            2,
        ),
        (
            "quorum.auth.enableSasl=true\nquorum.auth.serverRequireSasl=true",
            "quorum.auth.serverRequireSasl=true",
            "quorum.auth.learnerRequireSasl is disabled",
            2,
        ),
        (
            "secureClientPort=0\nssl.authProvider=foo",
            "ssl.authProvider=foo",
            "No auth provider configured for the SSL authentication scheme 'foo'.",
            2,
        ),
        ("jvm.pause.sleep.time.ms=x", "jvm.pause.sleep.time.ms=x", "For input string: \"x\"", 2),
        ("serverCnxnFactory=a.B", "serverCnxnFactory=a.B", "Couldn't instantiate a.B", 1),
        (
            "nio.numSelectorThreads=0",
            "nio.numSelectorThreads=0",
            "numSelectorThreads must be at least 1",
            1,
        ),
        ("enforce.auth.enabled=true", "enforce.auth.enabled=true", "must be  configured.", 2),
        (
            "enforce.auth.enabled=true\nenforce.auth.schemes=magic",
            "enforce.auth.schemes=magic",
            "Authentication scheme magic is not available.",
            2,
        ),
        (
            "DigestAuthenticationProvider.digestAlg=ROT13",
            "DigestAuthenticationProvider.digestAlg=ROT13",
            "ROT13",
            1,
        ),
        ("audit.enable=true\naudit.impl.class=a.B", "audit.impl.class=a.B", "a.B", 1),
        (
            "ssl.context.supplier.class=a.B",
            "ssl.context.supplier.class=a.B",
            "cannot supply the TLS context",
            1,
        ),
        (
            "secureClientPort=0\nssl.keyStore.location=/k.txt",
            "ssl.keyStore.location=/k.txt",
            "Unable to auto-detect store file type from file name: /k.txt",
            1,
        ),
        ("cnxTimeout=x", "cnxTimeout=x", "For input string: \"x\"", 1),
        ("server.x=h:1:2", "server.x=h:1:2", "For input string: \"x\"", 2),
        (
            "server.1=h:1",
            "server.1=h:1",
            "does not have the form server_config or server_config;client_config",
            2,
        ),
    ] {
        let error = bad(text);
        let shown = error.to_string();
        assert!(shown.contains("zoo.cfg:"), "{text}: {shown}");
        assert!(shown.contains(key) && shown.contains(said), "{text}: {shown}");
        assert_eq!(error.exit_code(), code, "{text}");
        let line = text.split('\n').position(|line| line == key).unwrap() + 2;
        assert!(shown.contains(&format!("zoo.cfg:{line}: ")), "{text}: {shown}");
    }
    assert!(
        bad("tickTime=x")
            .to_string()
            .ends_with("(allowed: a whole number, -2147483648 to 2147483647)")
    );
}

#[test]
fn options_are_in_final_units() {
    let config = good(
        "clientPort=0\npreAllocSize=1\nsnapSizeLimitInKb=0\nautopurge.purgeInterval=2\n\
         maxClientCnxns=-1\nmaxBatchSize=0\nwatchManagerName=\
         org.apache.zookeeper.server.watch.WatchManagerOptimized",
    );
    let net = config.net_options();
    assert_eq!(net.addresses, ["0.0.0.0:0".parse().unwrap()]);
    assert_eq!((net.connections_per_address_max, net.frame_max), (0, 1_048_575));
    assert_eq!(net.large_request_threshold, None);
    let storage = config.storage_options(7);
    assert_eq!(storage.log.preallocate_bytes, 1024);
    assert_eq!((storage.log.snap_size_limit_bytes, storage.log.seed), (None, 7));
    let pipeline = config.pipeline_options();
    assert_eq!((pipeline.purge_interval_ms, pipeline.log_batch_max), (7_200_000, usize::MAX));
    assert!(config.watch_options(1).standard_only);
    assert!(crate::acl::Schemes::new(config.acl_options()).is_ok());
    assert!(config.conf_options().data_dir.ends_with("version-2"));
    assert_eq!(config.word_whitelist(), Some(vec!["srvr".to_owned()]));
    assert_eq!(good("4lw.commands.whitelist=*").word_whitelist(), None);
}

#[test]
fn files_that_cannot_be_read() {
    let dir = Dir::new();
    let missing = Config::load(&dir.path("zoo.cfg"), &JvmFlags::default()).unwrap_err();
    assert!(missing.to_string().contains("zoo.cfg file is missing"), "{missing}");
    assert_eq!(missing.exit_code(), 2);
    let file = dir.write("a.cfg", "clientPort=2181\n");
    let error = Config::load(&file, &JvmFlags::default()).unwrap_err();
    assert!(error.to_string().ends_with("a.cfg: dataDir is not set"), "{error}");
    let file = dir.write("b.cfg", "dataDir=/x\na=\\u12\n");
    let error = Config::load(&file, &JvmFlags::default()).unwrap_err();
    assert!(error.to_string().contains("line 2: Malformed \\uxxxx encoding."), "{error}");
}

#[test]
fn positional_arguments() {
    let arguments = |words: &[&str]| {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        Config::from_arguments(&words, &JvmFlags::default())
    };
    let config = arguments(&["2181", "/data", "2000", "10"]).unwrap();
    assert_eq!((config.tick_time, config.max_client_cnxns), (2000, 10));
    assert_eq!(config.client_address, Some("0.0.0.0:2181".parse().unwrap()));
    assert_eq!(config.data_dir, Path::new("/data"));
    assert_eq!(arguments(&["2181", "/data"]).unwrap().max_client_cnxns, 0);
    for words in [&[][..], &["2181"], &["1", "/d", "2", "3", "4"], &["x", "/d"], &["1", "/d", "y"]]
    {
        let error = arguments(words).unwrap_err();
        assert_eq!((error.kind, error.exit_code()), (Kind::Arguments, 2), "{words:?}");
    }
    assert!(arguments(&[]).unwrap_err().to_string().contains("Invalid number of arguments:[]"));
}

#[test]
fn precedence() {
    let dir = Dir::new();
    let snap = |text: &str, flags: &str| dir.load(text, flags).unwrap().storage.snap_count;
    assert_eq!(snap("", "-Dzookeeper.snapCount=500"), 500);
    assert_eq!(snap("snapCount=1000", "-Dzookeeper.snapCount=500"), 1000, "the file wins");
    assert_eq!(snap("", "-Dzookeeper.snapCount=500 -Dzookeeper.snapCount=600"), 600);
    assert_eq!(snap("zookeeper.snapCount=7", ""), 100_000, "a prefixed key is another property");
    let config = dir.load("tickTime=2000", "-Dzookeeper.tickTime=9").unwrap();
    assert_eq!(config.tick_time, 2000, "typed keys ignore -D");
    assert!(warnings(&config)[0].contains("only the key tickTime"));
    let config = dir.load("syncEnabled=true", "-Dzookeeper.observer.syncEnabled=false").unwrap();
    assert!(!config.ensemble.sync_enabled, "this one property wins over its key");
    let fsync = |flags: &str| dir.load("", flags).unwrap().storage.fsync_warning_ms;
    assert_eq!(fsync("-Dfsync.warningthresholdms=5"), 5);
    assert_eq!(fsync("-Dfsync.warningthresholdms=5 -Dzookeeper.fsync.warningthresholdms=6"), 6);
    let config = dir.load("jute.maxbuffer=5", "-Djute.maxbuffer=0x200000").unwrap();
    assert_eq!(config.limits.jute_max_buffer, 2 << 20, "only -D sets it");
    assert!(warnings(&config)[0].contains("-Djute.maxbuffer=N"));
    let config = dir.load("", "-Dreadonlymode.enabled=true").unwrap();
    assert_eq!(config.client_io.whitelist, Whitelist::Names(vec!["isro".into(), "srvr".into()]));
    assert_eq!(good("4lw.commands.whitelist=a,*").client_io.whitelist, Whitelist::All);
    assert_eq!(config.property("readonlymode.enabled"), Some("true"));
}

#[test]
fn every_name_without_effect_is_warned_about_once() {
    for (text, flags, warned) in [
        ("abc=1", "", "abc=1: unknown, no effect"),
        ("nio.directBufferBytes=1", "", "accepted, no effect here"),
        ("nio.numSelectorThreads=2", "", "accepted, no effect here"),
        ("watcherCleanThreadsNum=2", "", "accepted, no effect here"),
        ("quorum.cnxn.threads.size=50", "", "accepted, no effect here"),
        ("metricsProvider.maxQueueSize=5", "", "accepted, no effect here"),
        ("kerberos.removeHostFromPrincipal=true", "", "there is no Kerberos"),
        ("kerberos.removeRealmFromPrincipal=true", "", "there is no Kerberos"),
        ("kerberos.canonicalizeHostNames=true", "", "there is no Kerberos"),
        ("kerberos.minReLoginTimeMs=1", "", "there is no Kerberos"),
        ("security.auth_to_local=RULE:[1:$1]", "", "there is no Kerberos"),
        ("kinit=/usr/bin/kinit", "", "there is no Kerberos"),
        ("", "-Dzookeeper.server.realm=R", "there is no Kerberos"),
        ("quorum.auth.kerberos.servicePrincipal=a/b", "", "there is no Kerberos"),
        ("", "-Djava.security.krb5.conf=/etc/krb5.conf", "there is no Kerberos"),
        ("", "-Djdk.tls.rejectClientInitiatedRenegotiation=false", "accepted, no effect here"),
        ("", "-Dcom.sun.security.onlyCheckRevocationOfEECert=true", "accepted, no effect here"),
        ("ssl.sslProvider=OPENSSL", "", "accepted, no effect here"),
        ("connectionMaxTokens=5", "", "what works is connection_throttle_tokens"),
        ("readonlymode.enabled=true", "", "-Dreadonlymode.enabled=true"),
        ("zookeeper.snapCount=5", "", "keys are written without prefix, snapCount"),
        ("", "-Dzookeeper.abc=1", "command line: -Dzookeeper.abc=1: unknown"),
        ("", "-Dzookeeper.sslQuorum=true", "only the key sslQuorum"),
        ("", "-javaagent:jmx.jar=7070", "PrometheusMetricsProvider"),
    ] {
        let config = Dir::new().load(text, flags).unwrap();
        let warnings = warnings(&config);
        assert!(
            warnings.len() == 1 && warnings[0].contains(warned),
            "{text} {flags}: {warnings:?}"
        );
    }
    let silent = "-Dfile.encoding=UTF-8 -Dzookeeper.client.secure=true -Dzookeeper.log.dir=/l";
    assert_eq!(warnings(&Dir::new().load("", silent).unwrap()), Vec::<&str>::new());
    let config = Dir::new().load("", "-Xmx1g -XX:+UseG1GC").unwrap();
    assert!(config.notices.iter().any(|n| n.level == Level::Info && n.text.contains("-Xmx1g")));
}

#[test]
fn shell_words() {
    for (text, words) in [
        ("", vec![]),
        ("  a  b\tc\n", vec!["a", "b", "c"]),
        ("-Da='x y' -Db=\"p q\"r", vec!["-Da=x y", "-Db=p qr"]),
        ("a\\ b '\\' \"\\\"\" ''", vec!["a b", "\\", "\"", ""]),
    ] {
        assert_eq!(split_words(text), words, "{text}");
    }
    let mut flags = JvmFlags::default();
    flags.add_words("-Da=b=c -Dempty -Xmx1g -D=x");
    let properties = [("a", "b=c"), ("empty", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(flags.properties, properties);
    assert_eq!(flags.ignored, ["-Xmx1g", "-D=x"]);
}

#[test]
fn member_lines() {
    for (text, written) in [
        ("h:2888:3888", "h:2888:3888:participant"),
        ("h:2888:3888;2181", "h:2888:3888:participant;0.0.0.0:2181"),
        ("h:2888:3888:OBSERVER;c:2181", "h:2888:3888:observer;c:2181"),
        ("h:2888:3888: observer ", "h:2888:3888:observer"),
        ("[::1]:2888:3888;[::1]:2181", "[::1]:2888:3888:participant;[::1]:2181"),
        ("10.0.0.1:1:2:participant;", "10.0.0.1:1:2:participant"),
        ("b:1:2|a:3:4", "a:3:4|b:1:2:participant"),
    ] {
        let member = Member::parse(1, text, true).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(member.to_string(), written, "{text}");
    }
    let form = "does not have the form server_config or server_config;client_config where";
    for (text, said) in [
        ("", form),
        ("h", form),
        ("h:1", form),
        ("h:1:2:observer:x", form),
        ("h:1:2;3;4", form),
        ("h:1:2;a:b:c", form),
        ("h:x:2", "Address unresolved: h:x"),
        ("h:1:y", "Address unresolved: h:y"),
        ("h:1:2;z", "Address unresolved: 0.0.0.0:z"),
        ("h:1:70000", "port out of range:70000"),
        (
            "h:1:1",
            "Client and election port must be different! Please update the configuration file \
                on server.7",
        ),
        ("[::1:1:2", "[::1:1:2 starts with '[' but has no matching ']:'"),
        ("[::1]:", "[::1]: doesn't have a port after colon"),
        ("h:1:2:boss", "Unrecognised peertype: boss"),
        (
            "a:1:2:observer|b:1:2:participant",
            "Multiple addresses should have similar roles: OBSERVER vs PARTICIPANT",
        ),
    ] {
        let error = Member::parse(7, text, true).expect_err(text);
        assert!(error.text.contains(said), "{text}: {error}");
    }
    let error = Member::parse(7, "a:1:2|b:1:2", false).unwrap_err();
    let said =
        "Multiple address feature is disabled, but multiple addresses were specified for sid 7";
    assert_eq!(error.text, said);
    let multi = "server.1=a:1:2|b:1:2\nmultiAddress.enabled=true";
    assert!(bad(multi).text.contains("Multiple address feature is disabled"));
    let config = Dir::new().load("server.1=a:1:2|b:1:2", "-Dzookeeper.multiAddress.enabled=true");
    assert_eq!(config.unwrap().ensemble.membership.members[&1].addresses.len(), 2);
}

const THREE: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2;5\n";

#[test]
fn ensembles() {
    let dir = Dir::new();
    dir.write("myid", "1\n");
    let limits = "initLimit=10\nsyncLimit=5\n";
    let config = dir.load(&format!("{THREE}{limits}clientPort=2181"), "").unwrap();
    assert!(config.is_distributed());
    assert_eq!(config.my_id, Some(1));
    assert_eq!(
        config.ensemble.membership.to_string(),
        "server.1=a:1:2:participant\nserver.2=b:1:2:participant\n\
         server.3=c:1:2:participant;0.0.0.0:5\nversion=0"
    );
    let own = &config.ensemble.membership.members[&1];
    assert!(own.client_from_static && own.client.as_ref().unwrap().port == 2181);

    for (text, said, code) in [
        (format!("{THREE}syncLimit=5"), "initLimit is not set", 2),
        (format!("{THREE}initLimit=5"), "syncLimit is not set", 2),
        (
            "server.1=a:1:2:observer".into(),
            "Observers w/o participants is an invalid configuration",
            2,
        ),
        (
            "server.1=a:1:2\nserver.2=a:1:2:observer".into(),
            "Observers w/o quorum is an invalid configuration",
            2,
        ),
        (
            "standaloneEnabled=false".into(),
            "standaloneEnabled = false then number of participants should be >0",
            2,
        ),
        (format!("{limits}server.2=a:1:2\nserver.3=a:1:2"), "My id 1 not in the peer list", 1),
        (format!("{THREE}{limits}group.1=1:2"), "Server 3is not in a group", 2),
        (format!("{THREE}{limits}group.1=1:2:3\ngroup.2=3"), "Server 3is in multiple groups", 2),
        (format!("{THREE}{limits}weight.x=3\ngroup.1=1:2:3"), "For input string: \"x\"", 2),
        (
            "clientPort=2181\nserver.1=a:1:2;2182".into(),
            "client address for this server (id = 1) in static config file",
            2,
        ),
    ] {
        let error = dir.load(&text, "").map(|_| ()).expect_err(&text);
        assert!(error.to_string().contains(said), "{text}: {error}");
        assert_eq!(error.exit_code(), code, "{text}");
    }
    let missing = bad(&format!("{THREE}{limits}"));
    assert!(missing.text == "myid file is missing" && missing.exit_code() == 2);

    let weighted = format!("{THREE}{limits}group.1=1:2:3\nweight.2=4");
    let membership = dir.load(&weighted, "").unwrap().ensemble.membership;
    assert_eq!(membership.weights.values().copied().collect::<Vec<_>>(), [1, 4, 1]);
    assert_eq!(
        membership.file_text(),
        "group.1=1:2:3\nserver.1=a:1:2:participant\nserver.2=b:1:2:participant\n\
         server.3=c:1:2:participant;0.0.0.0:5\nweight.1=1\nweight.2=4\nweight.3=1"
    );
    for (text, warned) in [
        (format!("{limits}server.1=a:1:2\nserver.2=b:1:2"), "No server failure will be tolerated"),
        (format!("{THREE}{limits}server.4=d:1:2"), "Non-optimal configuration"),
        (
            format!("{THREE}{limits}peerType=observer"),
            "Peer type from servers list (PARTICIPANT) doesn't match peerType (OBSERVER)",
        ),
    ] {
        let config = dir.load(&text, "").unwrap();
        assert!(warnings(&config).iter().any(|w| w.contains(warned)), "{text}");
    }
    let one = format!("{limits}server.1=a:1:2\nstandaloneEnabled=false");
    assert!(dir.load(&one, "").unwrap().is_distributed(), "a quorum of one");
}

#[test]
fn the_official_images_single_server() {
    let dir = Dir::new();
    dir.write("myid", "1\n");
    let text =
        "server.1=localhost:2888:3888;2181\nstandaloneEnabled=true\ninitLimit=5\nsyncLimit=2";
    let config = dir.load(text, "").unwrap();
    assert!(!config.is_distributed());
    assert_eq!(config.client_address, Some("0.0.0.0:2181".parse::<SocketAddr>().unwrap()));
    let said = "Invalid configuration, only one server specified (ignoring)";
    assert!(config.notices.iter().any(|n| n.level == Level::Error && n.text == said));
}

#[test]
fn myid_files() {
    for (text, result) in [
        ("1", Ok(Some(1))),
        ("12\nother lines", Ok(Some(12))),
        ("3\r\n", Ok(Some(3))),
        ("-4", Ok(Some(-4))),
        ("x", Err("serverid x is not a number")),
        ("1 ", Err("serverid 1  is not a number")),
        ("", Err("serverid null is not a number")),
        ("\n1", Err("serverid  is not a number")),
    ] {
        let dir = Dir::new();
        dir.write("myid", text);
        match (dir.load("", ""), result) {
            (Ok(config), Ok(id)) => assert_eq!(config.my_id, id, "{text:?}"),
            (Err(error), Err(said)) => {
                assert_eq!((error.text.as_str(), error.exit_code()), (said, 2), "{text:?}");
                assert!(error.to_string().contains("myid: "), "{error}");
            }
            (ours, expected) => panic!("{text:?}: {:?} {expected:?}", ours.map(|c| c.my_id)),
        }
    }
    let dir = Dir::new();
    dir.write("myid", "255");
    let error = dir.load("extendedTypesEnabled=true", "").map(|_| ()).unwrap_err();
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn dynamic_files() {
    let dir = Dir::new();
    dir.write("myid", "3");
    let limits = "initLimit=10\nsyncLimit=5\n";
    let dynamic = dir.write("zoo.cfg.dynamic.100000000", THREE);
    let text = format!("{limits}dynamicConfigFile={}", dynamic.display());
    let config = dir.load(&text, "").unwrap();
    assert_eq!(config.ensemble.membership.version, 0x1_0000_0000);
    assert_eq!(config.client_address, Some("0.0.0.0:5".parse().unwrap()));
    assert_eq!(config.ensemble.last_seen, None);

    dir.write("zoo.cfg.dynamic.next", format!("{THREE}version=200000000"));
    let next = dir.load(&text, "").unwrap().ensemble.last_seen.unwrap();
    assert_eq!(next.version, 0x2_0000_0000);
    dir.write("zoo.cfg.dynamic.next", "server.1=broken");
    let config = dir.load(&text, "").unwrap();
    assert!(warnings(&config)[0].contains("NextQuorumVerifier is initiated to null"));

    let both = dir.load(&format!("{text}\nserver.9=a:1:2"), "").unwrap_err();
    assert_eq!(both.text, "parameter: server.9 must be in a separate dynamic config file");
    for (name, content, said) in [
        ("d1", "server.1=a:1:2\nclientPort=1", "Unrecognised parameter: clientPort"),
        ("d2", "server.1=a:1:2\nversion=1", "dynamic file shouldn't have version inside"),
    ] {
        let file = dir.write(name, content);
        let error = dir.load(&format!("dynamicConfigFile={}", file.display()), "").unwrap_err();
        assert_eq!((error.text.as_str(), error.exit_code()), (said, 2));
        assert!(error.to_string().contains(&format!("{name}:2: ")), "{error}");
    }
    let error = dir.load("dynamicConfigFile=/no/such/file", "").unwrap_err();
    assert!(error.to_string().contains("/no/such/file file is missing"), "{error}");
}

/// Whoever may look at a server's settings need not know its passwords.
#[test]
fn secrets_are_shown_nowhere() {
    let text = "ssl.keyStore.password=hush1\n# ssl.keyStore.password=hush2\nsnapCount=5\n\
                ssl.trustStore.pass\\\nword : hush\\\n  hush3\n  !admin.password hush4\n\
                DigestAuthenticationProvider.superDigest=hush5\nssl.keyStore.password=hush6\n\
                ssl.keyStore.passwordPath=/kept\n#kept\ntickTime=7";
    let dir = Dir::new();
    let flags = "-Dzookeeper.ssl.quorum.keyStore.password=hush7 -Dkept=8";
    let config = dir.load(text, flags).unwrap();
    let shown = config.initial_text.as_deref().unwrap();
    let expected = "ssl.keyStore.password=********\n# ssl.keyStore.password=********\n\
                    snapCount=5\nssl.trustStore.password=********\n  !admin.password=********\n\
                    DigestAuthenticationProvider.superDigest=********\n\
                    ssl.keyStore.password=********\nssl.keyStore.passwordPath=/kept\n#kept\n\
                    tickTime=7";
    let (first, rest) = shown.split_once('\n').unwrap();
    assert_eq!((first.starts_with("dataDir="), rest), (true, expected));
    let mut jvm = JvmFlags::default();
    jvm.add_words(flags);
    let options = config.net_options();
    for text in [format!("{config:?}"), format!("{jvm:?}"), format!("{options:?}")] {
        assert!(!text.contains("hush"), "{text}");
    }
    assert!(format!("{jvm:?}").contains("kept") && format!("{config:?}").contains("kept"));
}

#[test]
fn the_tls_engine_is_ours() {
    let listener = "secureClientPort=1\nssl.sslProvider=";
    for engine in ["JDK", "OPENSSL", "OPENSSL_REFCNT"] {
        assert!(load(&format!("{listener}{engine}")).is_ok(), "{engine}");
    }
    let error = bad(&format!("{listener}NSS")).to_string();
    assert!(error.contains("ssl.sslProvider=NSS") && error.contains("OPENSSL_REFCNT"), "{error}");
    assert!(load("ssl.sslProvider=NSS").is_ok(), "nobody reads it without TLS");
}

#[test]
fn only_built_in_providers_judge_certificates() {
    let listener = "secureClientPort=1\nssl.authProvider=";
    assert!(load(&format!("{listener}x509")).is_ok());
    let error = bad(&format!("{listener}bogus"));
    assert_eq!(error.kind, Kind::Config, "exit code 2");
    assert!(error.to_string().contains("ssl.authProvider=bogus"), "{error}");
    for location in ["ssl.keyStore", "ssl.trustStore"] {
        let error = bad(&format!("secureClientPort=1\n{location}.location=/a/x.bcfks"));
        assert!(error.to_string().contains("BCFKS stores cannot be read here"), "{error}");
        let error =
            bad(&format!("secureClientPort=1\n{location}.location=/a/x\n{location}.type=bcfks"));
        assert!(error.to_string().contains(&format!("{location}.location=/a/x")), "{error}");
    }
}

#[test]
fn names_of_clients_are_not_looked_up() {
    let text = "secureClientPort=1\nfips-mode=false\nssl.allowReverseDnsLookup=true";
    let config = good(text);
    assert!(!config.client_tls_options().allow_reverse_dns);
    let warnings = warnings(&config);
    assert!(warnings.len() == 1 && warnings[0].contains("ssl.allowReverseDnsLookup=true"));
}

/// How long a unified port waits for the first byte; on the client port nothing waits for it.
#[test]
fn detection_timeouts() {
    for (value, expected, warned) in [("1000", 1000, 0), ("0", 5000, 1), ("x", 5000, 1)] {
        let config = good(&format!("ssl.quorum.handshakeDetectionTimeoutMillis={value}"));
        assert_eq!(config.quorum_tls.handshake_detection_ms, expected, "{value}");
        assert_eq!(warnings(&config).len(), warned, "{value}");
    }
}

/// What `fips-mode` switches: names of peers. DIGEST-MD5 between servers is refused with it.
#[test]
fn fips_mode() {
    for (text, server, client) in [
        ("", false, false),
        ("fips-mode=true", false, false),
        ("fips-mode=false", true, true),
        ("fips-mode=false\nssl.quorum.hostnameVerification=false", false, false),
        ("fips-mode=false\nssl.quorum.clientHostnameVerification=false", true, false),
    ] {
        let options = good(text).quorum_tls_options();
        assert_eq!((options.check_server_name, options.check_client_name), (server, client));
    }
    for (value, reverse) in [("", true), ("true", true), ("false", false)] {
        let text = format!("ssl.quorum.allowReverseDnsLookup={value}");
        let text = if value.is_empty() { "" } else { &text };
        assert_eq!(good(text).quorum_tls_options().allow_reverse_dns, reverse, "{value}");
    }
    // A client always looks at the server's name; at its address only without `fips-mode`.
    for (fips, by_address) in [(None, false), (Some("true"), false), (Some("false"), true)] {
        let property = |value: &str| ("zookeeper.fips-mode".to_owned(), value.to_owned());
        let options = client_tls_options(&fips.map(property).into_iter().collect()).unwrap();
        assert_eq!((options.check_server_name, options.by_address), (true, by_address), "{fips:?}");
    }
}
