//! A whole server in this process, spoken to in raw frames.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use common::*;

#[test]
fn create_get_set_and_restart() {
    let server = TestServer::start();
    let mut client = server.client();
    let created = client.create("/a", b"one", 0);
    assert_eq!((created.err, &created.body[4..]), (0, &b"/a"[..]));
    let got = client.get("/a", false);
    assert_eq!(&got.body[..7], b"\0\0\0\x03one");
    assert_eq!(client.set("/a", b"two").err, 0);
    assert_eq!(client.create("/a", b"", 0).err, -110);
    let zxid = client.get("/a", false).zxid;
    let dir = server.stop();

    let server = TestServer::on(dir, |_| {});
    let mut client = server.client();
    let got = client.get("/a", false);
    assert_eq!(&got.body[..7], b"\0\0\0\x03two");
    assert!(got.zxid > zxid);
    server.stop();
}
