//! Configuration texts: an error that names the place, or a configuration.

use std::fs;

use rookeeper::config::{Config, JavaProperties, JvmFlags};
use rookeeper::zab::Membership;

/// `zoo.cfg`.
pub fn zoo_cfg(data: &[u8]) {
    let _ = JavaProperties::parse(data);
    let Ok(folder) = tempfile::tempdir() else { return };
    let file = folder.path().join("zoo.cfg");
    if fs::write(&file, data).is_err() {
        return;
    }
    let mut flags = JvmFlags::default();
    flags.add_words(&String::from_utf8_lossy(data));
    for flags in [JvmFlags::default(), flags] {
        if let Err(error) = Config::load(&file, &flags) {
            assert!(!error.to_string().is_empty());
        }
    }
}

pub(crate) fn zoo_cfg_seeds() -> Vec<Vec<u8>> {
    [
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=data\nclientPort=2181\n",
        "dataDir=data\nclientPort=2181\nserver.1=h1:2888:3888\nserver.2=h2:2888:3888:observer\n\
         peerType=observer\nautopurge.purgeInterval=1\nmaxClientCnxns=60\nsnapCount=100000\n",
        "dataDir = data \\\n  more\n# comment\nclientPort:2181\nquorum.cnxn.threads.size 20\n\
         server.1=[::1]:2888:3888;[::1]:2181\ngroup.1=1:2\nweight.1=3\n\\u00e9=\\u20ac\n",
        "-Dzookeeper.snapCount=5 -Djute.maxbuffer=0x10000 -Xmx1g \"-Da=b c\"",
        "secureClientPort=2182\nssl.keyStore.location=k.jks\nsslQuorum=true\nmetricsProvider.\
         className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// The configuration as it stands in `/zookeeper/config` and in dynamic files.
pub fn membership(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Membership::version_of(text);
    if let Ok(membership) = Membership::parse(text) {
        let rendered = membership.render();
        let again = Membership::parse(&rendered).expect("what was rendered parses");
        assert_eq!(again.render(), rendered);
    }
}

pub(crate) fn membership_seeds() -> Vec<Vec<u8>> {
    [
        "server.1=127.0.0.1:2888:3888:participant;127.0.0.1:2181\nversion=100000000",
        "server.1=h:1:2;3\nserver.2=h:1:2:observer;h:3\nserver.3=a:1:2|b:1:2;3\nversion=0",
        "server.1=[::1]:2888:3888;[::1]:2181\ngroup.1=1:2\ngroup.2=3\nweight.1=1\nserver.2=h:1:2\n\
         server.3=h:1:2\n",
        // A host in brackets that is no address.
        "server.1=[::1]:2888:3888;[on=0::1]:2181\nversion=0",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
