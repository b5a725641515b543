//! Garbage on the election and quorum ports does not disturb an ensemble.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compat_tests::ensemble::{Ensemble, Part};
use compat_tests::random::Random;
use compat_tests::server::Kind;

/// Ports of a server: quorum and election.
fn ports(all: &mut Ensemble, sid: usize) -> Result<(u16, u16)> {
    let config = std::fs::read_to_string(all.config(sid))?;
    let line = config
        .lines()
        .find_map(|line| line.strip_prefix(&format!("server.{sid}=127.0.0.1:")))
        .context("no server line")?;
    let mut numbers = line.split(':').map(str::parse);
    let mut next = || anyhow::Ok(numbers.next().context("no port")??);
    Ok((next()?, next()?))
}

fn hello(sid: i64, address: &str) -> Vec<u8> {
    let mut bytes = (-65536i64).to_be_bytes().to_vec();
    bytes.extend(sid.to_be_bytes());
    bytes.extend((address.len() as i32).to_be_bytes());
    bytes.extend(address.as_bytes());
    bytes
}

fn packet(kind: i32, zxid: i64, data: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend(zxid.to_be_bytes());
    bytes.extend((data.len() as i32).to_be_bytes());
    bytes.extend(data);
    bytes.extend((-1i32).to_be_bytes());
    bytes
}

/// A LEARNERINFO of this sid, accepted epoch and protocol.
fn learner_info(epoch: i64, sid: i64, protocol: i32) -> Vec<u8> {
    let mut data = sid.to_be_bytes().to_vec();
    data.extend(protocol.to_be_bytes());
    data.extend(0i64.to_be_bytes());
    packet(11, epoch << 32, &data)
}

/// What a port may get. Each is sent and the sending side closed; the answer is read to its end or
/// for a moment.
fn attacks(random: &mut Random) -> Vec<Vec<u8>> {
    let mut all = vec![
        Vec::new(),
        vec![0],
        vec![0xff; 4096],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        hello(99, "127.0.0.1:1"),
        hello(1, "127.0.0.1:1"),
        hello(2, "127.0.0.1:1"),
        hello(-5, "127.0.0.1:1"),
        hello(i64::MAX, ""),
        hello(3, &"x".repeat(3000)),
        (-65537i64).to_be_bytes().to_vec(),
        // A vote frame of 2 GiB, of nothing, and half of one.
        [hello(77, "127.0.0.1:1"), i32::MAX.to_be_bytes().to_vec()].concat(),
        [hello(77, "127.0.0.1:1"), 0i32.to_be_bytes().to_vec()].concat(),
        [hello(77, "127.0.0.1:1"), 40i32.to_be_bytes().to_vec(), vec![1; 20]].concat(),
        [hello(77, "127.0.0.1:1"), 40i32.to_be_bytes().to_vec(), vec![0x7f; 40]].concat(),
        // Learners: unknown, our own sid, from the future, of no protocol, half, oversized.
        learner_info(0, 99, 0x10000),
        learner_info(0, 2, 0x10000),
        learner_info(0x7fff_ffff, 1, 0x10000),
        learner_info(0, 98, 1),
        learner_info(0, 97, 0x10000)[..20].to_vec(),
        [11i32.to_be_bytes().to_vec(), vec![0; 8], i32::MAX.to_be_bytes().to_vec()].concat(),
        [learner_info(0, 96, 0x10000), packet(18, i64::MAX, &[0xff; 4])].concat(),
        packet(1, 1, b"not a request"),
        packet(-7, 0, &[]),
    ];
    for _ in 0..20 {
        let length = random.below(400);
        all.push((0..length).map(|_| random.bits() as u8).collect());
    }
    all
}

fn attack(port: u16, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    // The other side may have closed already.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 512]);
    Ok(())
}

#[test]
fn garbage_on_both_ports() {
    let run = || -> Result<()> {
        let p = Part::Participant;
        let kind = Kind::Rookeeper;
        let mut all = Ensemble::new("garbage", &[(kind, p), (kind, p), (kind, p)], &[], &[])?;
        all.start(&[1, 2, 3])?;
        let leader = all.await_leader(&[1, 2, 3])?;
        let mut sessions = all.sids().map(|sid| all.session(sid)).collect::<Result<Vec<_>>>()?;
        let mut random = Random::new(7);
        let mut held = Vec::new();
        for (round, bytes) in attacks(&mut random).into_iter().enumerate() {
            for sid in all.sids() {
                let (quorum, election) = ports(&mut all, sid)?;
                attack(election, &bytes)?;
                if sid == leader {
                    attack(quorum, &bytes)?;
                    // One that says nothing more and reads nothing, to the end of the test.
                    let mut silent = TcpStream::connect(("127.0.0.1", quorum))?;
                    silent.write_all(&bytes[..bytes.len().min(8)])?;
                    held.push(silent);
                }
            }
            for (session, sid) in sessions.iter_mut().zip(1..) {
                let code = session.create(&format!("/after-{round}-{sid}"), b"", 0);
                let code = code.with_context(|| format!("after {bytes:?}\n{}", all.logs()))?;
                ensure!(code == 0, "a write after {bytes:?}: {code}");
            }
        }
        ensure!(all.await_leader(&[1, 2, 3])? == leader, "another server leads");
        for sid in all.sids() {
            ensure!(all.server(sid).is_alive());
        }
        all.assert_same(&[1, 2, 3])
    };
    run().unwrap();
}
