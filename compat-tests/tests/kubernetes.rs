//! The example manifests, and the probes of common charts and operators, run in our image exactly as
//! they stand there.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use compat_tests::docker::{Container, image};
use serde::Deserialize;
use serde_yaml_ng::{Deserializer, Value};

fn manifests() -> Result<Vec<Value>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/kubernetes/rookeeper.yaml");
    let text = fs::read_to_string(file)?;
    Deserializer::from_str(&text).map(|part| Ok(Value::deserialize(part)?)).collect()
}

/// What stands at a path such as `spec/template/0`.
fn at<'a>(value: &'a Value, path: &str) -> Result<&'a Value> {
    path.split('/').try_fold(value, |value, step| {
        let found = match step.parse::<usize>() {
            Ok(index) => value.get(index),
            Err(_) => value.get(step),
        };
        found.with_context(|| format!("no {step} of {path}"))
    })
}

fn text<'a>(value: &'a Value, path: &str) -> Result<&'a str> {
    at(value, path)?.as_str().with_context(|| format!("{path} is no text"))
}

fn of_kind<'a>(all: &'a [Value], kind: &str) -> Result<Vec<&'a Value>> {
    let found: Vec<&Value> =
        all.iter().filter(|one| text(one, "kind").is_ok_and(|k| k == kind)).collect();
    ensure!(!found.is_empty(), "no {kind}");
    Ok(found)
}

fn fit_together() -> Result<()> {
    let all = manifests()?;
    let set = of_kind(&all, "StatefulSet")?[0];
    let labels = at(set, "spec/template/metadata/labels")?;
    ensure!(at(set, "spec/selector/matchLabels")? == labels);
    let budget = of_kind(&all, "PodDisruptionBudget")?[0];
    ensure!(at(budget, "spec/selector/matchLabels")? == labels);
    ensure!(at(budget, "spec/maxUnavailable")?.as_u64() == Some(1));
    let services = of_kind(&all, "Service")?;
    for service in &services {
        ensure!(at(service, "spec/selector")? == labels, "{service:?}");
    }
    let name = text(set, "spec/serviceName")?;
    let headless = services
        .iter()
        .find(|service| text(service, "metadata/name").is_ok_and(|n| n == name))
        .context("no service of the set's name")?;
    ensure!(text(headless, "spec/clusterIP")? == "None");
    // Or no server finds another before the first is ready.
    ensure!(at(headless, "spec/publishNotReadyAddresses")?.as_bool() == Some(true));

    let container = at(set, "spec/template/spec/containers/0")?;
    let named_ports: Vec<&str> = at(container, "ports")?
        .as_sequence()
        .context("a list")?
        .iter()
        .map(|port| text(port, "name"))
        .collect::<Result<_>>()?;
    for probe in ["livenessProbe", "readinessProbe"] {
        let port = text(container, &format!("{probe}/httpGet/port"))?;
        ensure!(named_ports.contains(&port), "{probe}: {port}");
    }
    // As many servers as pods, each under the name its pod will have.
    let replicas = at(set, "spec/replicas")?.as_u64().context("a number")?;
    let servers = variable(container, "ZOO_SERVERS")?;
    let expected: Vec<String> = (0..replicas)
        .map(|pod| {
            let set = text(set, "metadata/name").unwrap();
            format!("server.{}={set}-{pod}.{name}:2888:3888;2181", pod + 1)
        })
        .collect();
    ensure!(servers.split_whitespace().eq(expected.iter().map(String::as_str)), "{servers}");
    // Every mount has its volume.
    let mut volumes = vec![text(set, "spec/volumeClaimTemplates/0/metadata/name")?];
    for volume in at(set, "spec/template/spec/volumes")?.as_sequence().context("a list")? {
        volumes.push(text(volume, "name")?);
    }
    let mounts = at(container, "volumeMounts")?.as_sequence().context("a list")?;
    for mount in mounts {
        ensure!(volumes.contains(&text(mount, "name")?), "{mount:?}");
    }
    Ok(())
}

fn variable<'a>(container: &'a Value, name: &str) -> Result<&'a str> {
    let all = at(container, "env")?.as_sequence().context("a list")?;
    let one = all.iter().find(|one| text(one, "name").is_ok_and(|n| n == name));
    text(one.with_context(|| format!("no {name}"))?, "value")
}

#[test]
fn the_manifests_fit_together() {
    fit_together().unwrap();
}

/// A pod of the example: its command, variables and rights.
fn a_pod() -> Result<()> {
    let Some(image) = image() else { return Ok(()) };
    let all = manifests()?;
    let set = of_kind(&all, "StatefulSet")?[0];
    let pod = at(set, "spec/template/spec")?;
    let container = at(pod, "containers/0")?;
    ensure!(at(pod, "securityContext/runAsUser")?.as_u64() == Some(1000));
    ensure!(at(container, "securityContext/readOnlyRootFilesystem")?.as_bool() == Some(true));
    let mut arguments: Vec<String> = [
        "--network",
        "none",
        "--hostname",
        "zookeeper-1",
        "--user",
        "1000:1000",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
    ]
    .map(str::to_owned)
    .into();
    for mount in at(container, "volumeMounts")?.as_sequence().context("a list")? {
        arguments.extend(["--tmpfs".to_owned(), format!("{}:uid=1000", text(mount, "mountPath")?)]);
    }
    for one in at(container, "env")?.as_sequence().context("a list")? {
        let value = format!("{}={}", text(one, "name")?, text(one, "value")?);
        arguments.extend(["-e".to_owned(), value]);
    }
    let command = at(container, "command")?.as_sequence().context("a list")?;
    let command: Vec<&str> = command.iter().filter_map(Value::as_str).collect();
    arguments.extend(["--entrypoint".to_owned(), command[0].to_owned(), image.to_owned()]);
    arguments.extend(command[1..].iter().map(|word| (*word).to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let running = Container::run(&arguments)?;
    let probe = |name: &str| -> Result<Vec<String>> {
        let path = text(container, &format!("{name}/httpGet/path"))?;
        let url = format!("http://127.0.0.1:8080{path}");
        Ok(["wget", "-q", "-O", "-", &url].map(str::to_owned).into())
    };
    let words = |probe: &[String]| -> Result<(bool, String)> {
        running.try_exec(&probe.iter().map(String::as_str).collect::<Vec<_>>())
    };
    // Alone it lives, and is not ready.
    let live = probe("livenessProbe")?;
    running.await_exec(&live.iter().map(String::as_str).collect::<Vec<_>>())?;
    ensure!(!words(&probe("readinessProbe")?)?.0, "ready without a quorum");
    ensure!(running.exec(&["cat", "/data/myid"])?.trim() == "2");
    let configuration = running.exec(&["cat", "/conf/zoo.cfg"])?;
    for line in
        ["quorumListenOnAllIPs=true", "server.3=zookeeper-2.zookeeper-headless:2888:3888;2181"]
    {
        ensure!(configuration.lines().any(|l| l == line), "{line} is not in {configuration}");
    }
    running.order("stop")?;
    ensure!(running.inspect("{{.State.ExitCode}}")? == "143", "{}", running.logs()?);
    Ok(())
}

#[test]
fn a_pod_of_the_example_lives_and_waits_for_the_others() {
    a_pod().unwrap();
}

/// Probes as they stand in charts, operators and compose files; what they ask, and how.
const PROBES: [&str; 14] = [
    // Charts of Bitnami, and operators that took it from there.
    "echo \"ruok\" | timeout 2 nc -w 2 localhost 2181 | grep imok",
    "echo ruok | timeout 2 nc -w 2 localhost 2181 | grep imok",
    // The incubator chart and the tutorial of Kubernetes (zookeeper-ready, zkOk.sh).
    "OK=$(echo ruok | nc 127.0.0.1 2181); if [ \"$OK\" == \"imok\" ]; then exit 0; else exit 1; fi",
    // Pravega's operator.
    "set -ex; OK=$(echo ruok | socat stdio tcp:localhost:2181); \
     if [[ \"$OK\" == \"imok\" ]]; then exit 0; else exit 1; fi",
    // Strimzi's before KRaft, on its own port.
    "OK=$(echo ruok | nc 127.0.0.1 2181); test \"$OK\" = imok",
    // Other variants of nc.
    "echo ruok | nc -q 1 localhost 2181 | grep imok",
    // Stackable: a shell is all it needs.
    "exec 3<>/dev/tcp/127.0.0.1/2181 && echo srvr >&3 && grep '^Mode: ' <&3",
    // Bitnami's with `useAdmin`, by wget: its curl is not in our image.
    "wget -q -O - http://localhost:8080/commands/ruok | grep error | grep null",
    // Compose files: without a whitelist.
    "echo srvr | nc localhost 2181 | grep -E 'Mode: (standalone|leader|follower|observer)'",
    "echo srvr | timeout 10 nc -w 2 localhost 2181 | grep Zookeeper",
    "echo mntr | nc localhost 2181 | grep zk_server_state | grep -E 'leader|follower|standalone'",
    "zkServer.sh status",
    "wget -q -O - http://localhost:8080/commands/ruok | grep '\"error\" : null'",
    "wget -q -O - http://localhost:8080/ready",
];

fn probes() -> Result<()> {
    let Some(image) = image() else { return Ok(()) };
    let words = "ZOO_4LW_COMMANDS_WHITELIST=ruok, srvr, mntr";
    // No server yet: the entry point makes the configuration and waits for ever.
    let arguments = ["--network", "none", "-e", words, image, "sleep", "1000"];
    let container = Container::run(&arguments)?;
    container.await_exec(&["test", "-e", "/data/myid"])?;
    for probe in PROBES {
        let (passed, text) = container.try_exec(&["/bin/bash", "-c", probe])?;
        ensure!(!passed, "without a server, {probe} says {text}");
    }
    container.exec(&["bash", "-c", "zkServer.sh start-foreground > /dev/null 2>&1 &"])?;
    container.await_exec(&["wget", "-q", "-O", "-", "http://localhost:8080/ready"])?;
    for probe in PROBES {
        // Again, too, where it gives up after two seconds.
        container.await_exec(&["/bin/bash", "-c", probe])?;
    }
    Ok(())
}

#[test]
fn probes_of_charts_and_operators_pass_and_fail_at_the_right_times() {
    probes().unwrap();
}
