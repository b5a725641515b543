//! `SESSION-FIFO`, `WATCH-BEFORE-DATA`, `ZXID-MONOTONE`: what a client may rely on.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::Write;

use common::*;
use jute::proto::op;
use nix::sys::socket::{setsockopt, sockopt};

const EVENT: i32 = -1;

/// With one I/O thread, which then applies what is committed, and with two, which leave that to the
/// log thread and the replica thread.
fn servers() -> impl Iterator<Item = TestServer> {
    [1, 2].into_iter().map(|threads| TestServer::with(|options| options.net.io_threads = threads))
}

#[test]
fn reads_behind_writes_see_exactly_the_writes_before_them() {
    for server in servers() {
        let mut client = server.client();
        client.create("/n", b"0", 0);
        let mut burst = Vec::new();
        let rounds = 500;
        for round in 0..rounds {
            let value = format!("{round:05}");
            burst.extend(request(3 * round, op::SET_DATA, &set_data("/n", value.as_bytes())));
            burst.extend(request(3 * round + 1, op::GET_DATA, &path_watch("/n", false)));
            burst.extend(request(3 * round + 2, op::SYNC, &path_watch("/n", false)));
        }
        client.send_raw(&burst);
        let mut zxid = 0;
        for round in 0..rounds {
            for step in 0..3 {
                let reply = client.read();
                assert_eq!((reply.xid, reply.err), (3 * round + step, 0));
                assert!(reply.zxid >= zxid, "ZXID-MONOTONE");
                zxid = reply.zxid;
                if step == 1 {
                    assert_eq!(&reply.body[4..9], format!("{round:05}").as_bytes());
                }
            }
        }
        server.stop();
    }
}

#[test]
fn errors_and_pings_keep_their_place() {
    for server in servers() {
        let mut client = server.client();
        let mut burst = request(1, op::CREATE, &create("/x", b"", 0));
        burst.extend(request(2, op::CREATE, &create("/x", b"", 0)));
        burst.extend(request(3, op::CREATE, b""));
        burst.extend(request(9, op::PING, b""));
        burst.extend(request(4, op::DELETE, &[&create("/x", b"", 0)[..6], &[255; 4]].concat()));
        burst.extend(request(5, op::EXISTS, &path_watch("/x", false)));
        client.send_raw(&burst);
        let replies: Vec<_> = (0..6).map(|_| client.read()).map(|r| (r.xid, r.err)).collect();
        assert_eq!(replies, [(1, 0), (2, -110), (3, -5), (-2, 0), (4, 0), (5, -101)]);
        server.stop();
    }
}

#[test]
fn events_precede_what_shows_the_change() {
    for server in servers() {
        let mut writer = server.client();
        writer.create("/w", b"0", 0);
        let mut watcher = server.client();
        for round in 0..300 {
            let armed = watcher.get("/w", true);
            assert_eq!(armed.err, 0);
            // The writer does not wait, so the reads of the watcher race with it.
            writer.send(op::SET_DATA, &set_data("/w", format!("{round}").as_bytes()));
            let mut event_seen = false;
            loop {
                watcher.send(op::GET_DATA, &path_watch("/w", false));
                let mut reply = watcher.read();
                if reply.xid == EVENT {
                    event_seen = true;
                    assert!(reply.zxid > armed.zxid);
                    reply = watcher.read();
                }
                let changed = reply.body[4..] != armed.body[4..];
                assert!(!changed || event_seen, "WATCH-BEFORE-DATA");
                if changed {
                    break;
                }
            }
            assert_eq!(writer.read().err, 0);
        }
        server.stop();
    }
}

#[test]
fn ones_own_events_come_before_the_reply() {
    for server in servers() {
        let mut client = server.client();
        client.call(op::EXISTS, &path_watch("/e", true));
        client.call(op::GET_CHILDREN, &path_watch("/", true));
        let xid = client.send(op::CREATE, &create("/e", b"", 0));
        let first = client.read();
        let second = client.read();
        assert_eq!((first.xid, &first.body[..4]), (EVENT, &[0, 0, 0, 1][..]));
        assert_eq!((second.xid, &second.body[..4]), (EVENT, &[0, 0, 0, 4][..]));
        assert_eq!(client.read().xid, xid);
        server.stop();
    }
}

#[test]
fn watches_end_with_their_connection() {
    for server in servers() {
        let mut watcher = server.client();
        watcher.get("/", true);
        assert_eq!(server.handle.view().tree().watch_count, 1);
        watcher.call(op::CLOSE_SESSION, b"");
        assert!(watcher.is_closed());
        // Another connection, very likely with the same name in the watch tables, hears nothing.
        let mut other = server.client();
        other.set("/", b"changed");
        other.send(op::PING, b"");
        assert_eq!(other.read().xid, -2);
        server.stop();
    }
}

/// A client may ask, say goodbye and hang up without reading (kazoo does): answers cannot be sent any
/// more, but what was received counts.
#[test]
fn a_goodbye_counts_though_nobody_listens() {
    for server in servers() {
        let mut watcher = server.client();
        let long = format!("/{}", "x".repeat(4000));
        for _ in 0..20 {
            let mut leaver = server.client();
            leaver.create("/e", b"", 1);
            assert_eq!(watcher.call(op::EXISTS, &path_watch("/e", true)).err, 0);
            // More than is received at once, and short answers, so that the client is not held back.
            let mut burst = Vec::new();
            for xid in 2..500 {
                burst.extend(request(xid, op::EXISTS, &path_watch(&long, false)));
            }
            burst.extend(request(500, op::CLOSE_SESSION, &[]));
            // Hanging up with answers unread throws away what this side has not sent yet. Its buffer
            // is small, so that this is some of what follows.
            setsockopt(&leaver.stream, sockopt::SndBuf, &4096).unwrap();
            for xid in 501..530 {
                burst.extend(request(xid, op::EXISTS, &path_watch(&long, false)));
            }
            leaver.stream.write_all(&burst).unwrap();
            drop(leaver);
            let event = watcher.read();
            assert_eq!((event.xid, &event.body[..4]), (-1, &[0, 0, 0, 2][..]), "NodeDeleted");
        }
        server.stop();
    }
}

#[test]
fn a_million_pipelined_requests() {
    for server in servers() {
        let mut client = server.client();
        client.create("/m", b"payload", 0);
        let mut sender = client.stream.try_clone().unwrap();
        let total = 1_000_000;
        let writes_every = 100;
        let thread = std::thread::spawn(move || {
            let mut burst = Vec::new();
            for xid in 0..total {
                if xid % writes_every == 0 {
                    burst.extend(request(xid, op::SET_DATA, &set_data("/m", b"payload")));
                } else {
                    burst.extend(request(xid, op::EXISTS, &path_watch("/m", false)));
                }
                if burst.len() > 1 << 16 {
                    sender.write_all(&burst).unwrap();
                    burst.clear();
                }
            }
            sender.write_all(&burst).unwrap();
        });
        let mut client = std::io::BufReader::new(client.stream);
        for xid in 0..total {
            let reply = read_reply(&mut client);
            assert_eq!(reply, (xid, 0));
        }
        thread.join().unwrap();
        server.stop();
    }
}

/// Xid and error.
fn read_reply(stream: &mut impl std::io::Read) -> (i32, i32) {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).unwrap();
    let mut frame = vec![0; i32::from_be_bytes(prefix) as usize];
    stream.read_exact(&mut frame).unwrap();
    let int = |at: usize| i32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    (int(0), int(12))
}
