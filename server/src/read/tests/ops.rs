//! Every read but those about watches.

use jute::proto::{
    ErrorResponse, ExistsRequest, ExistsResponse, GetAclRequest, GetAclResponse,
    GetAllChildrenNumberRequest, GetChildren2Request, GetChildren2Response, GetChildrenRequest,
    GetChildrenResponse, GetDataRequest, GetDataResponse, GetEphemeralsRequest,
    GetEphemeralsResponse, MULTI_END, MultiHeader, WhoAmIResponse,
};
use proptest::prelude::*;

use super::*;

fn get_data(p: &str) -> GetDataRequest<'_> {
    GetDataRequest { path: path(p), watch: false }
}

fn names(list: &Option<Vec<UStr<'_>>>) -> Vec<String> {
    let mut names: Vec<String> = list.iter().flatten().flatten().map(|n| n.to_string()).collect();
    names.sort();
    names
}

#[test]
fn exists() {
    let w = World::new();
    let request = |p| ExistsRequest { path: path(p), watch: false };
    for p in ["/a", "/", "", "/zookeeper/config"] {
        let body = w.body(op::EXISTS, &request(p));
        assert_eq!(ExistsResponse::from_slice(&body), Ok(ExistsResponse { stat: w.stat(p) }));
        assert_eq!(body.len(), 68);
    }
    for (p, code) in [
        ("/missing", -101),
        ("garbage", -101),
        ("/a/", -101),
        ("/a\0", -8),
        ("/secret", -102),
        ("/secret/missing", -101),
    ] {
        assert_eq!(w.code(op::EXISTS, &request(p)), code, "{p:?}");
    }
    let null = ExistsRequest { path: None, watch: true };
    assert_eq!(w.code(op::EXISTS, &null), -5);
}

#[test]
fn get_data_and_null() {
    let mut w = World::new();
    let body = w.body(op::GET_DATA, &get_data("/a"));
    let response = GetDataResponse::from_slice(&body).unwrap();
    assert_eq!((response.data, &response.stat), (Some(&b"data of /a"[..]), &w.stat("/a")));
    assert_eq!(response.stat.num_children, 2);
    for data in [None, Some(&b""[..])] {
        w.set_data("/a", data);
        let body = w.body(op::GET_DATA, &get_data("/a"));
        assert_eq!(GetDataResponse::from_slice(&body).unwrap().data, data);
    }
    for (p, code) in [("/missing", -101), ("/a\0", -101), ("/secret", -102)] {
        assert_eq!(w.code(op::GET_DATA, &get_data(p)), code);
    }
    assert_eq!(w.code(op::GET_DATA, &GetDataRequest { path: None, watch: false }), -5);
    w.as_user("u:x");
    w.body(op::GET_DATA, &get_data("/secret"));
}

#[test]
fn children() {
    let w = World::new();
    let body = w.body(op::GET_CHILDREN, &GetChildrenRequest { path: path("/a"), watch: false });
    assert_eq!(names(&GetChildrenResponse::from_slice(&body).unwrap().children), ["b", "c"]);
    let request = |p| GetChildren2Request { path: path(p), watch: false };
    let body = w.body(op::GET_CHILDREN2, &request("/"));
    let response = GetChildren2Response::from_slice(&body).unwrap();
    assert_eq!(names(&response.children), ["a", "eph", "eph2", "secret", "zookeeper"]);
    assert_eq!(response.stat, w.stat("/"));
    let body = w.body(op::GET_CHILDREN2, &request("/a/b"));
    assert_eq!(names(&GetChildren2Response::from_slice(&body).unwrap().children), [""; 0]);
    assert_eq!(w.code(op::GET_CHILDREN2, &request("/missing")), -101);
    assert_eq!(w.code(op::GET_CHILDREN2, &request("/secret")), -102);
}

#[test]
fn all_children_number() {
    let w = World::new();
    let request = |p| GetAllChildrenNumberRequest { path: path(p) };
    // All but the root: 3 reserved ones and ours.
    assert_eq!(w.body(op::GET_ALL_CHILDREN_NUMBER, &request("/")), 9i32.to_vec());
    assert_eq!(w.body(op::GET_ALL_CHILDREN_NUMBER, &request("/a")), 2i32.to_vec());
    assert_eq!(w.code(op::GET_ALL_CHILDREN_NUMBER, &request("/x")), -101);
    assert_eq!(w.code(op::GET_ALL_CHILDREN_NUMBER, &request("/secret")), -102);
}

#[test]
fn acls_are_masked_without_admin() {
    let mut w = World::new();
    let request = GetAclRequest { path: path("/a") };
    let list = vec![
        Acl::new(1, "digest", "u:hash"),
        Acl::new(1, "world", "anyone"),
        Acl::new(16, "digest", "adm:hash"),
        Acl::new(1, "ip", "1.2.3.4/8"),
    ];
    w.set_acl("/a", list.clone());
    let shown = |w: &World| {
        let body = w.body(op::GET_ACL, &request);
        let response = GetAclResponse::from_slice(&body).unwrap();
        assert_eq!(response.stat, w.stat("/a"));
        response.acl.unwrap()
    };
    let mut masked = list.clone();
    masked[0] = Acl::new(1, "digest", "u:x");
    masked[2] = Acl::new(16, "digest", "adm:x");
    assert_eq!(shown(&w), masked);
    assert_eq!(shown(w.as_user("adm:hash")), list);
    // ADMIN alone is enough to see the list; neither is not.
    w.set_acl("/a", vec![Acl::new(16, "digest", "adm:hash")]);
    assert_eq!(shown(&w).len(), 1);
    w.as_user("u:hash");
    assert_eq!(w.code(op::GET_ACL, &request), -102);
    assert_eq!(w.code(op::GET_ACL, &GetAclRequest { path: path("/x") }), -101);
}

#[test]
fn ephemerals() {
    let w = World::new();
    let request = |p: Option<&'static str>| GetEphemeralsRequest { prefix_path: p.map(Into::into) };
    for (prefix, expected) in [
        (None, vec!["/eph", "/eph2"]),
        (Some(""), vec!["/eph", "/eph2"]),
        (Some(" / "), vec!["/eph", "/eph2"]),
        (Some("\t"), vec!["/eph", "/eph2"]),
        (Some("/eph"), vec!["/eph", "/eph2"]),
        (Some("/eph2"), vec!["/eph2"]),
        (Some(" /eph"), vec![]),
        (Some("/a"), vec![]),
    ] {
        let body = w.body(op::GET_EPHEMERALS, &request(prefix));
        let response = GetEphemeralsResponse::from_slice(&body).unwrap();
        assert_eq!(names(&response.ephemerals), expected, "{prefix:?}");
    }
}

#[test]
fn who_am_i() {
    let mut w = World::new();
    w.identities.push(Identity::new("super", ""));
    w.identities.push(Identity::new("digest", "u:hash"));
    let body = w.send_raw(op::WHO_AM_I, &[]).remove(0).body;
    let response = WhoAmIResponse::from_slice(&body).unwrap();
    let shown: Vec<(String, String)> = response
        .client_info
        .iter()
        .flatten()
        .map(|i| (i.auth_scheme.as_deref().unwrap().into(), i.user.as_deref().unwrap().into()))
        .collect();
    let expected =
        [("ip", "127.0.0.1"), ("super", ""), ("digest", "u")].map(|(a, b)| (a.into(), b.into()));
    assert_eq!(shown, expected);
}

#[test]
fn pings_have_their_own_xid() {
    let w = World::new();
    let frames = w.send_raw(op::PING, &[]);
    let header = ReplyHeader { xid: -2, zxid: w.zxid, err: 0 };
    assert_eq!(frames, [Frame { header, body: vec![] }]);
}

#[test]
fn undecodable() {
    let w = World::new();
    let good = get_data("/a").to_vec();
    for len in 0..good.len() {
        let frames = w.send_raw(op::GET_DATA, &good[..len]);
        let header = ReplyHeader { xid: XID, zxid: w.zxid, err: -5 };
        assert_eq!(frames, [Frame { header, body: vec![] }]);
    }
    // What follows the record is ignored, and any byte but 0 is true.
    let mut long = good;
    *long.last_mut().unwrap() = 7;
    long.push(0);
    assert_eq!(w.send_raw(op::GET_DATA, &long)[0].header.err, 0);
    assert_eq!(w.watches.watch_count(), 1);
}

fn multi(ops: &[(i32, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, body) in ops {
        MultiHeader { kind: *kind, done: false, err: -1 }.encode(&mut out);
        out.extend_from_slice(body);
    }
    MULTI_END.encode(&mut out);
    out
}

fn multi_read(w: &World, ops: &[(i32, Vec<u8>)]) -> (i32, Vec<u8>) {
    let mut frames = w.send_raw(op::MULTI_READ, &multi(ops));
    assert_eq!(frames.len(), 1);
    let frame = frames.remove(0);
    (frame.header.err, frame.body)
}

#[test]
fn multi_reads() {
    let w = World::new();
    let data = |p| (op::GET_DATA, GetDataRequest { path: path(p), watch: true }.to_vec());
    let children =
        |p| (op::GET_CHILDREN, GetChildrenRequest { path: path(p), watch: true }.to_vec());
    let null = (op::GET_DATA, GetDataRequest { path: None, watch: false }.to_vec());
    let end = MULTI_END.to_vec();
    assert_eq!(multi_read(&w, &[]), (0, end.clone()));

    let (err, body) = multi_read(&w, &[data("/a"), children("/a"), data("/x"), data("/secret")]);
    assert_eq!(err, 0);
    let mut input = Reader::new(&body);
    let header = |kind, err| MultiHeader { kind, done: false, err };
    assert_eq!(input.read(), Ok(header(op::GET_DATA, 0)));
    let response: GetDataResponse<'_> = input.read().unwrap();
    assert_eq!(response.data, Some(&b"data of /a"[..]));
    assert_eq!(input.read(), Ok(header(op::GET_CHILDREN, 0)));
    let response: GetChildrenResponse<'_> = input.read().unwrap();
    assert_eq!(names(&response.children), ["b", "c"]);
    for code in [-101, -102] {
        assert_eq!(input.read(), Ok(header(-1, code)));
        assert_eq!(input.read(), Ok(ErrorResponse { err: code }));
    }
    assert_eq!(input.remaining(), end);
    assert_eq!(w.watches.watch_count(), 0);

    // A null path is an error with the results so far behind it.
    let (err, body) = multi_read(&w, &[data("/x"), null, data("/a")]);
    let mut expected = header(-1, -101).to_vec();
    (-101i32).encode(&mut expected);
    expected.extend_from_slice(&end);
    assert_eq!((err, body), (-5, expected));

    // Writes: an error with an empty stream behind it; a mixture: without.
    let write = (op::DELETE, jute::proto::DeleteRequest { path: path("/a"), version: -1 }.to_vec());
    assert_eq!(multi_read(&w, &[write.clone(), write.clone()]), (-5, end));
    assert_eq!(multi_read(&w, &[write.clone(), data("/a")]), (-5, vec![]));
    assert_eq!(multi_read(&w, &[data("/a"), write]), (-5, vec![]));
    assert_eq!(multi_read(&w, &[(op::EXISTS, data("/a").1)]), (-5, vec![]));
}

#[test]
fn a_multi_read_cannot_ask_for_everything() {
    static LARGE: [u8; 1 << 20] = [7; 1 << 20];
    let mut w = World::new();
    w.set_data("/a", Some(&LARGE));
    let ops = vec![(op::GET_DATA, get_data("/a").to_vec()); 63];
    assert_eq!(multi_read(&w, &ops).0, 0);
    let ops = vec![(op::GET_DATA, get_data("/a").to_vec()); 64];
    assert_eq!(multi_read(&w, &ops), (-5, vec![]));
}

proptest! {
    /// Whatever comes in, one well-formed reply (and events, for setWatches) goes out.
    #[test]
    fn arbitrary_bodies(kind in -12i32..110, body: Vec<u8>) {
        let frames = World::new().send_raw(kind, &body);
        prop_assert!(!frames.is_empty());
    }
}
