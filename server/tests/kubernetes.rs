//! What operators for Kubernetes write into configurations, and how they ask and change servers,
//! with the names of pods replaced by loopback.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::ports::free_port;
use common::stores::store;
use common::*;
use jute::Encode;
use jute::proto::{ReconfigRequest, op};
use rookeeper::config::{Config, JvmFlags};
use rookeeper::net::view::Mode;
use tempfile::TempDir;

/// The new membership has no quorum of members in sync.
const NEW_CONFIG_NO_QUORUM: i32 = -13;

/// A server as its file says; its directory is `dir`.
fn start(dir: TempDir, file: &Path, flags: &str) -> TestServer {
    let mut jvm = JvmFlags::default();
    jvm.add_words(flags);
    let handle = start_when_free(|| {
        let config = Config::load(file, &jvm).unwrap_or_else(|e| panic!("{e}"));
        config.back_up().unwrap();
        options(&config)
    });
    TestServer { handle: handle.unwrap_or_else(|e| panic!("{e}")), dir }
}

fn mode(server: &TestServer) -> Option<Mode> {
    let view = server.handle.view();
    // First what it is: the role before it is closed by then.
    let mode = view.mode();
    view.serving().then_some(mode)
}

/// Exit code 0, and what it prints.
fn bash(script: &str) -> (bool, String) {
    let output = Command::new("bash").args(["-c", script]).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Ports of a member: quorum, election, clients.
type Ports = (u16, u16, u16);

fn ports() -> Ports {
    (free_port(), free_port(), free_port())
}

/// The stores under `prefix`, with the passwords that the operators make up.
fn stores(prefix: &str, kind: &str) -> String {
    format!(
        "{prefix}.keyStore.location={}\n{prefix}.keyStore.password=secret\n\
         {prefix}.trustStore.location={}\n{prefix}.trustStore.password=secret\n{kind}",
        store("server.p12").display(),
        store("trust.p12").display()
    )
}

/// `zoo.cfg` of Stackable's operator with TLS for clients: its keys, sorted as there.
fn stackable(dir: &Path, me: usize, all: &[Ports]) -> String {
    let client = all[me - 1].2;
    let factory = "org.apache.zookeeper.server.NettyServerCnxnFactory";
    let mut text = format!(
        "admin.serverPort={}\nauthProvider.x509=org.apache.zookeeper.server.auth.\
         X509AuthenticationProvider\nclient.portUnification=true\nclientPort={client}\n\
         dataDir={}\ninitLimit=60\nmetricsProvider.className=org.apache.zookeeper.metrics.\
         prometheus.PrometheusMetricsProvider\nmetricsProvider.httpPort={}\n",
        free_port(),
        dir.display(),
        free_port()
    );
    for (sid, (quorum, election, client)) in (1..).zip(all) {
        text += &format!("server.{sid}=127.0.0.1:{quorum}:{election};{client}\n");
    }
    text += &format!("serverCnxnFactory={factory}\nssl.hostnameVerification=true\n");
    text += "ssl.quorum.clientAuth=need\nssl.quorum.hostnameVerification=true\nsslQuorum=true\n";
    text += "syncLimit=60\ntickTime=500\n";
    text + &stores("ssl", "") + &stores("ssl.quorum", "")
}

#[test]
fn stackables_configuration_and_probe() {
    let all = [ports(), ports()];
    let member = |sid: usize| {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("myid"), format!("{sid}\n")).unwrap();
        let file = dir.path().join("zoo.cfg");
        fs::write(&file, stackable(dir.path(), sid, &all)).unwrap();
        start(dir, &file, "")
    };
    // The readiness probe of its pods, word for word but for the port.
    let probe = |sid: usize| {
        let port = all[sid - 1].2;
        bash(&format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo srvr >&3 && grep '^Mode: ' <&3"))
    };
    let first = member(1);
    assert!(!probe(1).0, "ready without a quorum");
    let second = member(2);
    for sid in [1, 2] {
        until("the probe passes", || probe(sid).0);
        let text = probe(sid).1;
        assert!(["Mode: leader\n", "Mode: follower\n"].contains(&&*text), "{text}");
    }
    // With one gone there is no quorum, and the probe says so.
    second.stop();
    until("the probe fails", || !probe(1).0);
    first.stop();
}

/// The file of Strimzi's `zookeeper_config_generator.sh`, with its own address as it is there.
fn strimzi(dir: &Path, me: usize, all: &[Ports], secure: u16) -> String {
    let kinds =
        |prefix: &str| format!("{prefix}.trustStore.type=PKCS12\n{prefix}.keyStore.type=PKCS12\n");
    let mut text = format!(
        "# The directory where the snapshot is stored.\ndataDir={}\n\n# Other options\n\
         4lw.commands.whitelist=*\nstandaloneEnabled=false\nreconfigEnabled=true\n\n# TLS options\n\
         serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
         ssl.clientAuth=need\nssl.quorum.clientAuth=need\nsecureClientPort={secure}\n\
         sslQuorum=true\n\n{}\n{}\n# Provided configuration\ntickTime=500\ninitLimit=60\n\
         syncLimit=60\nmaxSessionTimeout=60000\nautopurge.purgeInterval=1\n\
         admin.enableServer=false\n\n\
         # Zookeeper nodes configuration\n",
        dir.display(),
        stores("ssl", &kinds("ssl")),
        stores("ssl.quorum", &kinds("ssl.quorum")),
    );
    for (sid, (quorum, election, client)) in (1..).zip(all) {
        let host = if sid == me { "0.0.0.0" } else { "127.0.0.1" };
        let line =
            format!("server.{sid}={host}:{quorum}:{election}:participant;127.0.0.1:{client}\n");
        text += &line;
    }
    text
}

#[test]
fn strimzis_configuration_makes_an_ensemble() {
    let all = [ports(), ports(), ports()];
    let members: Vec<TestServer> = (1..=3)
        .map(|sid| {
            let dir = TempDir::new().unwrap();
            fs::write(dir.path().join("myid"), format!("{sid}\n")).unwrap();
            let file = dir.path().join("zookeeper.properties");
            fs::write(&file, strimzi(dir.path(), sid, &all, free_port())).unwrap();
            start(dir, &file, "-Dzookeeper.skipACL=yes -Dzookeeper.electionPortBindRetry=0")
        })
        .collect();
    until("all three serve", || members.iter().all(|server| mode(server).is_some()));
    for server in &members {
        // Its health check, at the port that only the pod itself reaches.
        assert_eq!(server.word("ruok"), "imok");
    }
    let mut client = members[0].client();
    assert_eq!(client.create("/brokers", b"", 0).err, 0);
    for server in &members {
        let mut client = server.client();
        let mut sync = Vec::new();
        "/".encode(&mut sync);
        client.call(op::SYNC, &sync);
        assert_eq!(client.get("/brokers", false).err, 0);
    }
    members.into_iter().for_each(|server| drop(server.stop()));
}

/// A pod of Pravega's operator: `/conf`, `/data` and what its start script makes of them.
struct Pod {
    dir: PathBuf,
    sid: usize,
    ports: Ports,
}

impl Pod {
    fn new(dir: &Path, sid: usize) -> Self {
        let pod = Self { dir: dir.to_owned(), sid, ports: ports() };
        fs::create_dir_all(dir.join("conf")).unwrap();
        fs::create_dir_all(dir.join("data/conf")).unwrap();
        let data = dir.join("data");
        let text = format!(
            "4lw.commands.whitelist=cons, envi, conf, crst, srvr, stat, mntr, ruok\ndataDir={}\n\
             standaloneEnabled=false\nreconfigEnabled=true\nskipACL=yes\nmetricsProvider.\
             className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
             metricsProvider.httpPort=7000\nmetricsProvider.exportJvmInfo=true\ninitLimit=60\n\
             syncLimit=60\ntickTime=500\nglobalOutstandingLimit=1000\npreAllocSize=65536\n\
             snapCount=10000\ncommitLogCount=500\nsnapSizeLimitInKb=4194304\nmaxCnxns=0\n\
             maxClientCnxns=60\nminSessionTimeout=1000\nmaxSessionTimeout=60000\n\
             autopurge.snapRetainCount=3\nautopurge.purgeInterval=1\nquorumListenOnAllIPs=false\n\
             admin.serverPort=8080\ndynamicConfigFile={}\n",
            data.display(),
            data.join("zoo.cfg.dynamic").display()
        );
        fs::write(dir.join("conf/zoo.cfg"), &text).unwrap();
        fs::write(data.join("conf/zoo.cfg"), text).unwrap();
        fs::write(data.join("myid"), format!("{sid}\n")).unwrap();
        pod
    }

    fn file(&self) -> PathBuf {
        self.dir.join("data/conf/zoo.cfg")
    }

    /// `zkConfig` of its scripts.
    fn member(&self, role: &str) -> String {
        let (quorum, election, client) = self.ports;
        format!("server.{}=127.0.0.1:{quorum}:{election}:{role};{client}", self.sid)
    }

    fn write_dynamic(&self, text: &str) {
        fs::write(self.dir.join("data/zoo.cfg.dynamic"), text).unwrap();
    }

    /// What `zookeeperReady.sh` finds: the role in the file that the last line names.
    fn role(&self) -> String {
        let script = format!(
            r#"set -e
STATIC_CONFIG={}
MYID={}
DYN_CFG_FILE_LINE=`cat $STATIC_CONFIG|grep "dynamicConfigFile\="`
DYN_CFG_FILE=${{DYN_CFG_FILE_LINE##dynamicConfigFile=}}
SERVER_FOUND=`cat $DYN_CFG_FILE | grep "server.${{MYID}}=" | wc -l`
if [[ "$SERVER_FOUND" == "0" ]]; then echo none; exit 0; fi
SERVER=`cat $DYN_CFG_FILE | grep "server.${{MYID}}="`
if [[ "$SERVER" == *"participant"* ]]; then echo participant
elif [[ "$SERVER" == *"observer"* ]]; then echo observer; fi"#,
            self.file().display(),
            self.sid
        );
        bash(&script).1.trim().to_owned()
    }

    /// The restart: all of `/conf/zoo.cfg` but its last line, and the last line of ours.
    fn refresh(&self) {
        let script = format!(
            r#"STATIC_CONFIG={}
echo -e "$( head -n -1 {} )""\n""$( tail -n 1 "$STATIC_CONFIG" )" > $STATIC_CONFIG"#,
            self.file().display(),
            self.dir.join("conf/zoo.cfg").display()
        );
        assert!(bash(&script).0);
    }

    fn start(&self, dir: TempDir) -> TestServer {
        start(dir, &self.file(), "")
    }
}

/// What `zu.jar add` and `remove` ask; the new membership without its version.
fn reconfig(server: &TestServer, joining: Option<&str>, leaving: Option<&str>) -> String {
    let mut client = server.client();
    let request = ReconfigRequest {
        joining_servers: joining.map(Into::into),
        leaving_servers: leaving.map(Into::into),
        new_members: None,
        cur_config_id: -1,
    };
    // A server that was just removed comes back as a guest first; the script waits a second.
    let begun = Instant::now();
    let reply = loop {
        let reply = client.call(op::RECONFIG, &request.to_vec());
        if reply.err != NEW_CONFIG_NO_QUORUM {
            break reply;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not come back");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(reply.err, 0);
    let mut input = jute::Reader::new(&reply.body);
    let text = String::from_utf8(input.buffer().unwrap().unwrap().to_vec()).unwrap();
    text.lines()
        .filter(|line| line.starts_with("server."))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn pravegas_operator_scales_up_and_down() {
    let (home_1, home_2) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = Pod::new(home_1.path(), 1);
    let second = Pod::new(home_2.path(), 2);
    first.write_dynamic(&format!("{}\n", first.member("participant")));
    let one = first.start(home_1);
    until("it leads itself", || mode(&one) == Some(Mode::Leader));
    assert_eq!(first.role(), "participant");

    // A second pod registers as an observer, and starts.
    let members = reconfig(&one, Some(&second.member("observer")), None);
    assert_eq!(members.lines().count(), 2, "{members}");
    second.write_dynamic(&members);
    let two = second.start(home_2);
    until("it observes", || mode(&two) == Some(Mode::Observer));
    until("its file says so", || second.role() == "observer");

    // Its readiness probe makes it a participant.
    reconfig(&one, None, Some("2"));
    reconfig(&one, Some(&second.member("participant")), None);
    until("it follows", || mode(&two) == Some(Mode::Follower));
    until("its file says so", || second.role() == "participant");
    until("so does the other's", || first.role() == "participant");
    let last = fs::read_to_string(second.file()).unwrap();
    assert!(last.lines().last().unwrap().starts_with("dynamicConfigFile="), "{last}");

    // The second pod is restarted, with a new copy of the operator's file.
    let home_2 = two.stop();
    second.refresh();
    let two = second.start(home_2);
    until("both serve", || mode(&one).is_some() && mode(&two).is_some());
    assert_eq!(second.role(), "participant");

    // And scaled away. If it leads by now, this is its last deed, and the answer may be lost.
    let mut client = one.client();
    let request = ReconfigRequest {
        joining_servers: None,
        leaving_servers: Some("2".into()),
        new_members: None,
        cur_config_id: -1,
    };
    client.send(op::RECONFIG, &request.to_vec());
    until("one is left", || one.handle.view().peer().is_some_and(|peer| peer.members.len() == 1));
    two.stop();
    until("the first leads alone", || mode(&one) == Some(Mode::Leader));
    let mut client = one.client();
    assert_eq!(client.create("/alone", b"", 0).err, 0);
    one.stop();
}
