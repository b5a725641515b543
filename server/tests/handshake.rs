//! Handshakes, frames and headers, byte for byte as captured from Java 3.9.5.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use common::*;
use jute::Encode;
use jute::proto::{ConnectRequest, op};
use rookeeper::base::SessionId;
use rookeeper::session::password;

/// Sends and expects hex; `SID`, `PWD` stand for the session's id and password, which differ from
/// run to run, `ZXn` for the n-th zxid after the handshake.
struct Script {
    client: Client,
    session: i64,
    base: i64,
}

impl Script {
    fn open(server: &TestServer) -> Self {
        let mut client = Client::raw(server.address());
        client.send_raw(&unhex(
            "0000002d 00000000 0000000000000000 00002710 0000000000000000 \
             00000010 00000000000000000000000000000000 00",
        ));
        let reply = client.read_frame().unwrap();
        let session = i64::from_be_bytes(reply[8..16].try_into().unwrap());
        let passwd = hex(&password(SessionId(session)));
        assert_eq!(hex(&reply), format!("0000000000002710{session:016x}00000010{passwd}00"));
        // The handshake itself took the base zxid.
        let base = server.handle.view().tree().last_zxid.0;
        Self { client, session, base }
    }

    fn send(&mut self, text: &str) -> &mut Self {
        self.client.send_raw(&unhex(text));
        self
    }

    fn expect(&mut self, text: &str) -> &mut Self {
        let mut text = text.replace("SID", &format!("{:016x}", self.session));
        for n in 0..8 {
            text = text.replace(&format!("ZX{n}"), &format!("{:016x}", self.base + n));
        }
        let frame = self.client.read_frame().expect("a frame");
        assert_eq!(hex(&framed(&frame)), hex(&unhex(&text)));
        self
    }
}

#[test]
fn the_captured_conversation() {
    let server = TestServer::start();
    let mut script = Script::open(&server);
    script
        .send("00000008 fffffffe 0000000b")
        .expect("00000010 fffffffe ZX0 00000000")
        .send("0000001d fffffffc 00000064 00000000 00000006 646967657374 00000003 753a70")
        .expect("00000010 fffffffc 0000000000000000 00000000")
        .send("00000010 00000001 00000003 00000003 2f7476 01")
        .expect("00000010 00000001 ZX0 ffffff9b")
        .send(
            "00000034 00000002 00000001 00000003 2f7476 00000002 6869 00000001 0000001f \
             00000005 776f726c64 00000006 616e796f6e65 00000000",
        )
        .expect("0000001f ffffffff ZX1 00000000 00000001 00000003 00000003 2f7476")
        .expect("00000017 00000002 ZX1 00000000 00000003 2f7476")
        .send(
            "00000039 00000004 0000000e 0000000d 00 ffffffff 00000003 2f7476 00000007 \
             00000002 00 ffffffff 00000003 2f7476 ffffffff ffffffff 01 ffffffff",
        )
        .expect(
            "00000033 00000004 ZX2 00000000 ffffffff 00 ffffff99 ffffff99 \
             ffffffff 00 fffffffe fffffffe ffffffff 01 ffffffff",
        )
        .send("00000008 00000005 fffffff5")
        .expect("00000010 00000005 ZX3 00000000");
    assert!(script.client.is_closed());
    server.stop();
}

#[test]
fn old_clients_get_no_read_only_byte() {
    let server = TestServer::start();
    let mut client = Client::raw(server.address());
    client.send_raw(&unhex(
        "0000002c 00000000 0000000000000000 00002710 0000000000000000 \
         00000010 00000000000000000000000000000000",
    ));
    assert_eq!(client.read_frame().unwrap().len(), 36);
    let mut stranger = Client::raw(server.address());
    stranger.send_raw(&unhex(
        "0000002c 00000000 0000000000000000 00002710 0000000000000077 \
         00000010 00000000000000000000000000000000",
    ));
    assert_eq!(hex(&stranger.read_frame().unwrap()), "0".repeat(32) + "00000010" + &"0".repeat(32));
    assert!(stranger.is_closed());
    server.stop();
}

#[test]
fn timeouts_are_clamped_both_ways() {
    let server = TestServer::start();
    for (asked, granted) in [(1, 4000), (-5, 4000), (0, 4000), (5000, 5000), (i32::MAX, 40_000)] {
        let mut client = Client::raw(server.address());
        client.handshake(0, [0; 16], asked, 0).unwrap();
        assert_eq!(client.timeout_ms, granted, "asked for {asked}");
    }
    server.stop();
}

#[test]
fn a_client_from_the_future_is_closed_without_a_word() {
    let server = TestServer::start();
    let mut client = Client::raw(server.address());
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 1 << 40,
        timeout: 10_000,
        session_id: 0,
        passwd: None,
        read_only: false,
    };
    client.send_frame(&request.to_vec());
    assert!(client.is_closed());
    server.stop();
}

#[test]
fn a_session_moves_to_a_new_connection_with_the_password_only() {
    let server = TestServer::start();
    let mut first = server.client();
    let session = first.session;

    let mut stranger = Client::raw(server.address());
    assert_eq!(stranger.handshake(session, [7; 16], 10_000, 0), None);
    assert!(stranger.is_closed());
    // Stricter than Java: the owner is still there.
    assert_eq!(first.create("/mine", b"", 1).err, 0);

    let mut second = Client::raw(server.address());
    let passwd = first.passwd;
    assert_eq!(second.handshake(session, passwd, 20_000, 0), Some(session));
    assert_eq!((second.timeout_ms, second.passwd), (20_000, passwd));
    assert!(first.is_closed(), "one connection per session");
    // The ephemeral outlived the move.
    assert_eq!(second.get("/mine", false).err, 0);
    server.stop();
}

#[test]
fn requests_pipelined_behind_the_handshake_wait_for_it() {
    let server = TestServer::start();
    let mut client = Client::raw(server.address());
    let connect = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout: 10_000,
        session_id: 0,
        passwd: None,
        read_only: false,
    };
    let mut bytes = framed(&connect.to_vec());
    bytes.extend(request(1, op::CREATE, &create("/p", b"x", 0)));
    bytes.extend(request(2, op::GET_DATA, &path_watch("/p", false)));
    client.send_raw(&bytes);
    assert_eq!(client.read_frame().unwrap().len(), 37);
    assert_eq!((client.read().err, client.read().xid), (0, 2));
    server.stop();
}

#[test]
fn frame_lengths_have_limits() {
    let server = TestServer::start();
    // Before the handshake.
    for bad in ["ffffffff", "00100000", "7fffffff", "00000000"] {
        let mut client = Client::raw(server.address());
        client.send_raw(&unhex(bad));
        assert!(client.is_closed(), "{bad}");
    }
    // And after it: the largest frame passes, one more byte does not.
    let mut client = server.client();
    let mut body = path_watch("/", false);
    body.resize(0xfffff - 8, 0);
    assert_eq!(client.call(op::EXISTS, &body).err, 0);
    client.send_raw(&0x10_0000u32.to_be_bytes());
    assert!(client.is_closed());
    let mut client = server.client();
    client.send_raw(&unhex("00000004 00000001"));
    assert!(client.is_closed(), "a header needs eight bytes");
    server.stop();
}

#[test]
fn unknown_op_codes_are_answered_and_end_the_connection() {
    let server = TestServer::start();
    for kind in [0, 10, op::CHECK, 23, 99, op::CREATE_SESSION, op::ERROR, i32::MIN] {
        let mut client = server.client();
        let reply = client.call(kind, &[]);
        assert_eq!((reply.zxid, reply.err, reply.body.len()), (-1, -6, 0), "op {kind}");
        assert!(client.is_closed());
    }
    server.stop();
}

#[test]
fn auth_is_answered_at_once_with_zxid_zero() {
    let server = TestServer::start();
    let mut client = server.client();
    let mut packet = Vec::new();
    0i32.encode(&mut packet);
    "digest".encode(&mut packet);
    b"u:p"[..].encode(&mut packet);
    client.send_raw(&request(-4, op::AUTH, &packet));
    let reply = client.read();
    assert_eq!((reply.xid, reply.zxid, reply.err), (-4, 0, 0));
    let mut packet = Vec::new();
    0i32.encode(&mut packet);
    "nobody".encode(&mut packet);
    b"u:p"[..].encode(&mut packet);
    client.send_raw(&request(-4, op::AUTH, &packet));
    let reply = client.read();
    assert_eq!((reply.xid, reply.zxid, reply.err), (-4, 0, -115));
    assert!(client.is_closed());
    assert_eq!(server.handle.view().stats().auth_failed, 1);
    server.stop();
}

#[test]
fn sasl_without_a_login_section() {
    let server = TestServer::start();
    let mut client = server.client();
    let reply = client.call(op::SASL, &unhex("00000000"));
    assert_eq!((reply.zxid, reply.err, hex(&reply.body)), (0, 0, "ffffffff".to_owned()));
    client.send(op::SASL, &unhex("ffffffff"));
    assert!(client.is_closed());
    server.stop();
}

#[test]
fn enforcement_lets_only_authentication_through() {
    let server = TestServer::with(|options| options.acl.enforced = vec!["digest".into()]);
    let mut client = server.client();
    let reply = client.call(op::PING, &[]);
    assert_eq!((reply.zxid, reply.err), (0, -124));
    assert!(client.is_closed());
    let mut client = server.client();
    let mut packet = Vec::new();
    0i32.encode(&mut packet);
    "digest".encode(&mut packet);
    b"u:p"[..].encode(&mut packet);
    client.send_raw(&request(-4, op::AUTH, &packet));
    assert_eq!(client.read().err, 0);
    assert_eq!(client.create("/ok", b"", 0).err, 0);
    server.stop();
}

#[test]
fn undecodable_bodies_spare_the_connection() {
    let server = TestServer::start();
    let mut client = server.client();
    let zxid = server.handle.view().tree().last_zxid;
    for kind in [op::GET_DATA, op::CREATE, op::SET_DATA, op::SYNC] {
        let reply = client.call(kind, &[]);
        assert_eq!((reply.err, reply.body.len()), (-5, 0), "op {kind}");
    }
    assert_eq!(server.handle.view().tree().last_zxid, zxid, "no zxid is used up");
    server.stop();
}
