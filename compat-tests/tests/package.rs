//! The Debian package on a clean Debian root under its own systemd, and the tarball over an old
//! installation.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::docker::{Container, docker, image};
use compat_tests::server::{free_port, rookeeper_binary, scratch};

/// How long a server may take until it serves: a loaded machine is no failure.
const PATIENCE: Duration = Duration::from_secs(180);

/// Made by `images/build.sh`: the essential packages, systemd and adduser.
const DEBIAN: &str = "rookeeper-debian-root:1";

/// Runs a script of `scripts/package`; the path it prints.
fn built(script: &str, arguments: &[&str]) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/package").join(script);
    let output = Command::new(path)
        .args(arguments)
        .env("ROOKEEPER_BIN", rookeeper_binary()?)
        .stdin(Stdio::null())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{script}: {errors}");
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// A booted Debian without any network.
fn debian() -> Result<Container> {
    let container = Container::run(&[
        "--network",
        "none",
        "--tmpfs",
        "/run",
        "--tmpfs",
        "/run/lock",
        "--tmpfs",
        "/tmp",
        "--cap-add",
        "SYS_ADMIN",
        "--security-opt",
        "seccomp=unconfined",
        "--security-opt",
        "apparmor=unconfined",
        "-v",
        "/sys/fs/cgroup:/sys/fs/cgroup:ro",
        DEBIAN,
        "/sbin/init",
        "--unit=basic.target",
    ])?;
    container.await_exec(&[
        "bash",
        "-c",
        "systemctl is-system-running | grep -E 'running|degraded'",
    ])?;
    Ok(container)
}

fn install(container: &Container, package: &Path) -> Result<String> {
    let inside = format!("/opt/{}", package.file_name().context("a name")?.to_string_lossy());
    let target = format!("{}:{inside}", container.inspect("{{.Id}}")?);
    docker(&["cp", &package.display().to_string(), &target])?;
    container.exec(&["dpkg", "--install", &inside])
}

fn life_of_a_package() -> Result<()> {
    if image().is_none() {
        return Ok(());
    }
    let folder = scratch("package")?;
    let output = folder.path().display().to_string();
    let first = built("deb.sh", &["--output", &output])?;
    let second = built("deb.sh", &["--version", "99.0-1", "--output", &output])?;
    let debian = debian()?;
    let shell = |command: &str| debian.exec(&["bash", "-c", command]);
    let state = || debian.try_exec(&["systemctl", "is-active", "rookeeper"]);

    install(&debian, &first)?;
    // Started, which is to say ready: the unit waits for the server's word.
    let status = debian.await_exec(&["zkServer.sh", "status"])?;
    ensure!(status.contains("Mode: standalone"), "{status}");
    ensure!(state()?.1.trim() == "active", "{}", shell("journalctl -u rookeeper")?);
    let told = shell("systemctl show -p StatusText,NotifyAccess,LimitNOFILE rookeeper")?;
    ensure!(told.contains("StatusText=Standalone, serving clients"), "{told}");
    ensure!(told.contains("LimitNOFILE=65536"), "{told}");
    ensure!(shell("systemctl is-enabled zookeeper")?.trim() == "alias");
    ensure!(shell("ps -o user= -C rookeeper || stat -c %U /proc/$(systemctl show -p MainPID --value rookeeper)")?
        .trim() == "zookeeper");
    let created = shell("zkCli.sh create /kept value 2>&1")?;
    ensure!(created.contains("Created /kept"), "{created}");
    // What a person looks for.
    shell("test -s /usr/share/man/man1/rookeeper.1.gz")?;
    shell("test -s /usr/share/bash-completion/completions/rookeeper")?;
    debian.await_exec(&["/usr/share/zookeeper/bin/zkServer.sh", "status"])?;
    ensure!(shell("dpkg --verify rookeeper")?.is_empty());

    // Stop and start: 143 is no failure.
    shell("systemctl stop rookeeper")?;
    ensure!(state()?.1.trim() == "inactive", "{}", state()?.1);
    ensure!(!debian.try_exec(&["zkServer.sh", "status"])?.0);
    shell("systemctl start rookeeper")?;
    ensure!(debian.exec(&["zkCli.sh", "get", "/kept"])?.contains("value"));
    // Killed, it comes back.
    let pid = shell("systemctl show -p MainPID --value rookeeper")?;
    shell(&format!("kill -9 {}", pid.trim()))?;
    debian.await_exec(&[
        "bash",
        "-c",
        &format!(
            "test $(systemctl show -p MainPID --value rookeeper) != {} && zkServer.sh status",
            pid.trim()
        ),
    ])?;

    // An upgrade keeps what the operator changed, and restarts.
    let pid = shell("systemctl show -p MainPID --value rookeeper")?;
    shell("echo maxClientCnxns=77 >> /etc/zookeeper/zoo.cfg")?;
    install(&debian, &second)?;
    ensure!(shell("dpkg-query -W -f '${Version}' rookeeper")? == "99.0-1");
    ensure!(shell("systemctl show -p MainPID --value rookeeper")? != pid, "not restarted");
    ensure!(shell("cat /etc/zookeeper/zoo.cfg")?.contains("maxClientCnxns=77"));
    ensure!(debian.exec(&["zkCli.sh", "get", "/kept"])?.contains("value"));

    // A removal stops it and keeps configuration and data; a purge keeps data only.
    shell("dpkg --remove rookeeper")?;
    ensure!(state()?.1.trim() != "active");
    shell(
        "test -e /etc/zookeeper/zoo.cfg && test -d /var/lib/zookeeper/version-2 && ! test -e /usr/bin/rookeeper",
    )?;
    shell("dpkg --purge rookeeper")?;
    shell(
        "! test -e /etc/zookeeper && ! test -e /var/log/zookeeper && test -d /var/lib/zookeeper/version-2",
    )?;
    ensure!(!debian.try_exec(&["dpkg", "-s", "rookeeper"])?.0);

    // Installed again, it finds its data.
    install(&debian, &first)?;
    debian.await_exec(&["zkServer.sh", "status"])?;
    ensure!(debian.exec(&["zkCli.sh", "get", "/kept"])?.contains("value"));
    Ok(())
}

#[test]
fn the_debian_package_installs_runs_upgrades_and_purges() {
    life_of_a_package().unwrap();
}

fn tarball() -> Result<()> {
    let folder = scratch("tarball")?;
    let output = folder.path().display().to_string();
    let archive = built("tarball.sh", &["--output", &output])?;
    // What is there already: an installation with its jars, its configuration and its environment.
    let home = folder.path().join("zookeeper");
    for name in ["bin", "conf", "lib", "logs"] {
        fs::create_dir_all(home.join(name))?;
    }
    let port = free_port();
    let configuration = format!(
        "tickTime=2000\ndataDir={}\nclientPort={port}\nadmin.enableServer=false\n",
        home.join("data").display()
    );
    fs::write(home.join("conf/zoo.cfg"), &configuration)?;
    fs::write(
        home.join("conf/java.env"),
        "SERVER_JVMFLAGS=-Dzookeeper.4lw.commands.whitelist=ruok\n",
    )?;
    fs::write(home.join("bin/zkServer.sh"), "old\n")?;
    fs::write(home.join("lib/zookeeper-3.9.5.jar"), "old\n")?;
    let status = Command::new("tar")
        .args(["--strip-components=1", "-xzf"])
        .arg(&archive)
        .arg("-C")
        .arg(&home)
        .status()?;
    ensure!(status.success());
    ensure!(fs::read_to_string(home.join("conf/zoo.cfg"))? == configuration, "overwritten");
    for file in [
        "bin/rookeeper",
        "lib/rookeeper/rookeeper",
        "conf/zoo_sample.cfg",
        "docs/operations.md",
        "LICENSE",
    ] {
        ensure!(home.join(file).is_file(), "no {file}");
    }
    // The command of the unit file, which knows nothing of us.
    let script = |word: &str| -> Result<(bool, String)> {
        let output = Command::new(home.join("bin/zkServer.sh"))
            .arg(word)
            .env_remove("ROOKEEPER")
            .env_remove("ROOKEEPER_BIN")
            .env_remove("ZOOCFGDIR")
            .env_remove("ZOO_LOG_DIR")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    };
    let (started, text) = script("start")?;
    ensure!(started && text.contains("STARTED"), "{text}");
    // Started is not yet serving.
    let deadline = Instant::now() + PATIENCE;
    let mut status = script("status");
    while matches!(status, Ok((false, _))) && Instant::now() < deadline {
        sleep(Duration::from_millis(50));
        status = script("status");
    }
    let ruok = || {
        Command::new(home.join("bin/rookeeper"))
            .args(["word", "localhost", &port.to_string(), "ruok"])
            .output()
    };
    let mut word = ruok()?;
    // It waits for five seconds only; a server that refuses says so.
    if word.stdout.is_empty() {
        word = ruok()?;
    }
    let logs: Vec<_> = fs::read_dir(home.join("logs"))?.collect();
    let (stopped, text) = script("stop")?;
    ensure!(stopped && text.contains("STOPPED"), "{text}");
    let (serving, text) = status?;
    ensure!(serving && text.contains("Mode: standalone"), "{text}");
    ensure!(String::from_utf8_lossy(&word.stdout).contains("imok"), "java.env is not read");
    ensure!(logs.len() == 1, "no output below logs/");
    Ok(())
}

#[test]
fn the_tarball_goes_over_an_old_installation() {
    tarball().unwrap();
}
