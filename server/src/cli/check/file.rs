//! The configuration: every line, the properties of the environment, the files it names.

use std::path::Path;

use super::{Report, Verdict};
use crate::auth::Tls;
use crate::config::{Config, JavaProperties, JvmFlags, Level};

/// Whether a key is there, or says something in particular.
type Applies = fn(&Config) -> bool;

/// What is understood and yet not as in Java; the rows `no` and `differs` of `docs/parity.tsv` that a
/// configuration can ask for. Keys are those that are to blame.
const FEATURES: &[(&[&str], Applies, Verdict, &str)] = &[
    (
        &["maxResponseCacheSize", "maxGetChildrenResponseCacheSize"],
        |_| true,
        Verdict::Differs,
        "there is no cache of replies, they are made from the tree",
    ),
    (
        &["metricsProvider.exportJvmInfo"],
        |_| true,
        Verdict::Differs,
        "switches the process_* families: there are no jvm_* ones",
    ),
];

/// Reads and checks the file; `None` if a server would not start with it.
pub(super) fn check(file: &Path, report: &mut Report) -> Option<Config> {
    let mut flags = JvmFlags::default();
    for variable in ["SERVER_JVMFLAGS", "JVMFLAGS"] {
        flags.add_words(&std::env::var(variable).unwrap_or_default());
    }
    let shown = file.display();
    let entries = match std::fs::read(file).map(|bytes| JavaProperties::parse(&bytes)) {
        Ok(Ok(properties)) => properties,
        Ok(Err(error)) => {
            report.add(Verdict::Blocks, shown, error);
            return None;
        }
        Err(error) => {
            report.add(Verdict::Blocks, shown, format_args!("cannot be read: {error}"));
            return None;
        }
    };
    let config = match Config::load(file, &flags) {
        Ok(config) => config,
        Err(error) => {
            report.add(Verdict::Blocks, shown, format_args!("no server starts: {error}"));
            return None;
        }
    };
    // What is said about a line begins with its place; the rest is about the whole.
    let mut notices: Vec<_> = config.notices.iter().filter(|n| n.level != Level::Info).collect();
    for entry in entries.entries() {
        let (key, place) = (entry.key.trim(), format!("{shown}:{}", entry.line));
        let own = format!("{place}: {key}=");
        if let Some(at) = notices.iter().position(|notice| notice.text.starts_with(&own)) {
            let notice = notices.remove(at);
            report.add(Verdict::Differs, &place, &notice.text[place.len() + 2..]);
            continue;
        }
        let feature =
            FEATURES.iter().find(|(keys, applies, ..)| keys.contains(&key) && applies(&config));
        match feature {
            Some((_, _, verdict, text)) => {
                report.add(*verdict, place, format_args!("{key}: {text}"))
            }
            None => report.add(Verdict::Same, place, key),
        }
    }
    for notice in notices {
        report.add(Verdict::Differs, &shown, &notice.text);
    }
    jvm_flags(&flags, report);
    membership(&config, report);
    stores(&config, report);
    Some(config)
}

/// What operators give the JVM for its own sake.
fn jvm_flags(flags: &JvmFlags, report: &mut Report) {
    for flag in &flags.ignored {
        let text = if flag.starts_with("-javaagent") {
            "agents cannot work: metrics are in the Prometheus provider and the AdminServer"
        } else if flag.contains("com.sun.management") {
            "there is no JMX: what it shows is in the AdminServer"
        } else if flag.starts_with("-Xmx") || flag.starts_with("-Xms") {
            "there is no heap to size: memory follows the data"
        } else {
            "ignored: it is for the JVM"
        };
        report.add(Verdict::Differs, "JVMFLAGS", format_args!("{flag}: {text}"));
    }
}

/// Key stores and trust stores, opened as the server would.
fn stores(config: &Config, report: &mut Report) {
    let client = config.secure_client_address.is_some().then(|| config.client_tls_options());
    let quorum = config.ensemble.ssl_quorum.then(|| config.quorum_tls_options());
    for options in [client, quorum].into_iter().flatten() {
        let prefix = options.prefix.clone();
        match Tls::open(options) {
            Ok(_) => report.add(Verdict::Same, prefix, "key store and trust store can be used"),
            Err(error) => report.add(Verdict::Blocks, prefix, error),
        }
    }
}

fn membership(config: &Config, report: &mut Report) {
    if !config.is_distributed() {
        return;
    }
    let ensemble = &config.ensemble;
    let (voters, observers) =
        (ensemble.membership.voters().count(), ensemble.membership.observers().count());
    let id = config.my_id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    report.add(
        Verdict::Same,
        "ensemble",
        format_args!("myid {id}, {voters} participants, {observers} observers"),
    );
    let id_is_member = config.my_id.is_some_and(|id| ensemble.membership.members.contains_key(&id));
    if !id_is_member {
        let text = format!("myid {id} has no server.{id} line: it can only be added by reconfig");
        report.add(Verdict::Differs, "ensemble", text);
    }
    if voters % 2 == 0 {
        let text = "an even number of participants tolerates no more failures than one less";
        report.add(Verdict::Same, "ensemble", text);
    }
    if let Some(file) = &ensemble.dynamic_file {
        let version = ensemble.membership.version;
        let text = format!("dynamic configuration, version {version:x}");
        report.add(Verdict::Same, file.display(), text);
    }
    if ensemble.last_seen.is_some() {
        let text = "a reconfiguration was proposed and not committed: <zoo.cfg>.dynamic.next is \
            there; let the Java ensemble finish it first";
        report.add(Verdict::Differs, "ensemble", text);
    }
}
