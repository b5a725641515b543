//! Four servers on one host, three participants and one observer, started and asked with the
//! scripts exactly as the ensemble example says.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::server::{free_port, rookeeper_binary, scratch};

/// Runs `../scripts/zkServer.sh` from a directory next to `conf`, as an operator does.
fn script(home: &Path, arguments: &[&str]) -> Result<(bool, String)> {
    let output = Command::new("bash")
        .arg("./zkServer.sh")
        .args(arguments)
        .current_dir(home.join("scripts"))
        .env("ROOKEEPER", rookeeper_binary()?)
        .env("ZOO_LOG_DIR", home.join("logs"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// What `status` says behind `Mode: `; all it says while the server does not serve.
fn mode(home: &Path, config: &str) -> Result<String> {
    let (ok, text) = script(home, &["status", config])?;
    if !ok {
        return Ok(text);
    }
    let mode = text.lines().find_map(|line| line.strip_prefix("Mode: "));
    Ok(mode.with_context(|| format!("no mode in {text}"))?.to_owned())
}

/// Stops what was started, whatever happened.
struct Running<'a>(&'a Path, Vec<String>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        for config in &self.1 {
            if let Err(error) = script(self.0, &["stop", config]) {
                eprintln!("stopping {config}: {error:#}");
            }
        }
    }
}

fn four_servers() -> Result<()> {
    let temporary = scratch("example")?;
    let home = temporary.path();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    fs::create_dir_all(home.join("scripts"))?;
    fs::create_dir_all(home.join("conf"))?;
    for entry in fs::read_dir(sources)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            continue;
        }
        fs::copy(entry.path(), home.join("scripts").join(entry.file_name()))?;
    }
    let members: Vec<String> = (1..=4)
        .map(|sid| {
            let role = if sid == 4 { ":observer" } else { "" };
            format!("server.{sid}=localhost:{}:{}{role}\n", free_port(), free_port())
        })
        .collect();
    for sid in 1..=4 {
        let data = home.join(format!("zoo{sid}"));
        fs::create_dir_all(&data)?;
        fs::write(data.join("myid"), sid.to_string())?;
        let text = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort={}\n\
             admin.enableServer=false\n{}{}",
            data.display(),
            free_port(),
            if sid == 4 { "peerType=observer\n" } else { "" },
            members.concat()
        );
        fs::write(home.join(format!("conf/zoo{sid}.cfg")), text)?;
    }
    let configs: Vec<String> = (1..=4).map(|sid| format!("../conf/zoo{sid}.cfg")).collect();
    let running = Running(home, configs.clone());
    for config in &configs {
        let (ok, text) = script(home, &["start", config])?;
        ensure!(ok && text.contains("Starting zookeeper ... STARTED"), "start {config}: {text}");
    }
    // They may elect again while they are asked one after the other: all are asked again then.
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        let modes: Vec<String> =
            configs.iter().map(|config| mode(home, config)).collect::<Result<_>>()?;
        let mut voters = modes[..3].to_vec();
        voters.sort();
        if voters == ["follower", "follower", "leader"] && modes[3] == "observer" {
            break;
        }
        ensure!(Instant::now() < deadline, "{modes:?}");
    }
    drop(running);
    for config in &configs {
        let (ok, text) = script(home, &["status", config])?;
        ensure!(!ok && text.contains("Error contacting service"), "after stop: {text}");
    }
    Ok(())
}

#[test]
fn three_participants_and_an_observer() {
    four_servers().unwrap();
}
