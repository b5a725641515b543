//! Ensembles of Java's servers and ours whose membership changes: who leads whom, what stands in
//! `/zookeeper/config` and in the files, and a start from those files.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;

use anyhow::{Result, ensure};
use compat_tests::ensemble::{Ensemble, Member, Part, exists, sync};
use compat_tests::server::{Kind, TARGET};
use compat_tests::wire::Session;
use jute::Encode;
use jute::proto::{ReconfigRequest, op};

const CONFIG: &str = "/zookeeper/config";

fn text_of(session: &mut Session) -> Result<String> {
    sync(session)?;
    Ok(String::from_utf8(session.data(CONFIG)?.unwrap())?)
}

/// Java's lines follow its hash table: sorted, they compare.
fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    lines.sort();
    lines
}

fn version(text: &str) -> String {
    text.rsplit_once("version=").map(|(_, version)| version.to_owned()).unwrap_or_default()
}

fn reconfig(session: &mut Session, joining: Option<&str>, leaving: Option<&str>) -> Result<i32> {
    let request = ReconfigRequest {
        joining_servers: joining.map(Into::into),
        leaving_servers: leaving.map(Into::into),
        new_members: None,
        cur_config_id: -1,
    };
    Ok(session.call(op::RECONFIG, &request.to_vec())?.header.err)
}

/// Waits until all of these show the same membership, which is not `before`, and keep it in files
/// that say the same. Returns its text.
fn agreed(all: &mut Ensemble, sids: &[usize], before: &str) -> Result<String> {
    let mut found = String::new();
    all.until("all show the same new membership", |all| {
        let mut texts = Vec::new();
        for sid in sids {
            let Ok(mut session) = all.session(*sid) else { return Ok(false) };
            let Ok(text) = text_of(&mut session) else { return Ok(false) };
            texts.push(text);
        }
        found = texts[0].clone();
        Ok(version(&found) != version(before)
            && texts.iter().all(|text| sorted(text) == sorted(&found)))
    })?;
    let file = format!("zoo.cfg.dynamic.{}", version(&found));
    let mut kept = sorted(&found);
    kept.retain(|line| !line.starts_with("version="));
    let kept = kept.join("\n");
    for sid in sids {
        let config = all.config(*sid);
        let dynamic = config.with_file_name(&file);
        all.until(&format!("server {sid} keeps it"), |_| {
            let text = fs::read_to_string(&config)?;
            let last = text.lines().last().unwrap_or_default().to_owned();
            let next = config.with_file_name("zoo.cfg.dynamic.next");
            Ok(dynamic.exists()
                && last == format!("dynamicConfigFile={}", dynamic.display())
                && !next.exists())
        })?;
        let text = fs::read_to_string(&dynamic)?;
        ensure!(text == kept, "server {sid} keeps\n{text}\nnot\n{kept}");
    }
    Ok(found)
}

fn changes(leader: Kind, learner: Kind) -> Result<()> {
    let members: [Member; 4] = [
        (learner, Part::Participant),
        (leader, Part::Participant),
        (learner, Part::Participant),
        (learner, Part::Observer),
    ];
    let settings = [("reconfigEnabled", "true")];
    let mut all = Ensemble::new("reconfig", &members, &settings, &["-Dzookeeper.skipACL=yes"])?;
    all.start(&[1, 2])?;
    all.await_mode(2, "leader")?;
    all.start(&[3, 4])?;
    let everybody = [1, 2, 3, 4];
    let first = agreed(&mut all, &everybody, "version=0")?;
    ensure!(version(&first) == "100000000", "{first}");
    let line = |sid: usize| {
        let start = format!("server.{sid}=");
        first.lines().find(|line| line.starts_with(&start)).unwrap().to_owned()
    };

    // A voter becomes a guest, an observer, a voter.
    let mut session = all.session(2)?;
    ensure!(session.create("/a", b"1", 0)? == 0);
    ensure!(reconfig(&mut session, None, Some("3"))? == 0, "remove 3");
    let mut last = agreed(&mut all, &everybody, &first)?;
    all.await_mode(3, "follower")?;
    for (role, mode) in [("observer", "observer"), ("participant", "follower")] {
        let address = all.server(3).address();
        let joining = format!("{};{address}", line(3).replace("participant", role));
        ensure!(reconfig(&mut session, Some(&joining), None)? == 0, "3 as {role}");
        last = agreed(&mut all, &everybody, &last)?;
        all.await_mode(3, mode)?;
    }
    // Asked by a learner's client.
    let mut asked = all.session(1)?;
    let address = all.server(4).address();
    let joining = format!("{};{address}", line(4));
    ensure!(reconfig(&mut asked, Some(&joining), None)? == 0, "4 with a client address");
    last = agreed(&mut all, &everybody, &last)?;
    // Nobody wants half of the quorum to be missing.
    let nowhere = "server.7=127.0.0.1:1:2;3,server.8=127.0.0.1:4:5;6,server.9=127.0.0.1:7:8;9,\
        server.10=127.0.0.1:11:12;13";
    ensure!(reconfig(&mut asked, Some(nowhere), None)? == -13);

    // The leader goes.
    // A Java learner that changes its leader may drop its clients before they are answered.
    if let Ok(code) = reconfig(&mut asked, None, Some("2")) {
        ensure!(code == 0, "remove the leader: {code}");
    }
    last = agreed(&mut all, &everybody, &last)?;
    ensure!(!last.contains("server.2="), "{last}");
    let led_by = all.await_leader(&everybody)?;
    ensure!(led_by != 2, "{led_by} leads");
    all.await_mode(2, "follower")?;
    for sid in everybody {
        let mut session = all.session(sid)?;
        ensure!(session.create(&format!("/b{sid}"), b"", 0)? == 0, "create at {sid}");
    }

    // All that stays goes on from the files.
    for sid in [1, 3, 4] {
        all.server(sid).stop()?;
    }
    all.server(2).stop()?;
    all.start(&[1, 3, 4])?;
    for sid in [1, 3, 4] {
        let mut session = all.session(sid)?;
        ensure!(sorted(&text_of(&mut session)?) == sorted(&last), "server {sid}");
        ensure!(exists(&mut session, "/b2")?);
    }
    all.assert_same(&[1, 3, 4])
}

#[test]
fn ours_leads_java() {
    changes(Kind::Rookeeper, Kind::Java(TARGET)).unwrap();
}

#[test]
fn java_leads_ours() {
    changes(Kind::Java(TARGET), Kind::Rookeeper).unwrap();
}
