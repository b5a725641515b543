//! Reads that arm, look for, or remove watches.

use jute::proto::{
    AddWatchRequest, CheckWatchesRequest, ExistsRequest, GetChildrenRequest, GetDataRequest,
    RemoveWatchesRequest, SetWatches as Lists, SetWatches2 as Lists2, WatcherEvent,
};

use super::*;
use crate::watch::{EventType, Trigger, WatcherType};

fn armed(w: &World, path: &str) -> Vec<WatcherType> {
    use WatcherType::*;
    let kinds = [Data, Children, Persistent, PersistentRecursive];
    kinds.into_iter().filter(|kind| w.watches.contains(path, ME, *kind)).collect()
}

fn events(w: &World, what: Trigger, path: &str) -> Vec<EventType> {
    let mut fired = Vec::new();
    w.watches.trigger(what, path, &mut |f| fired.push(f.event));
    fired
}

#[test]
fn reads_arm_watches() {
    let w = World::new();
    let exists = |p| w.code(op::EXISTS, &ExistsRequest { path: path(p), watch: true });
    let data = |p| w.code(op::GET_DATA, &GetDataRequest { path: path(p), watch: true });
    let children = |p| w.code(op::GET_CHILDREN, &GetChildrenRequest { path: path(p), watch: true });
    use WatcherType::*;
    assert_eq!((exists("/a"), armed(&w, "/a")), (0, vec![Data]));
    // Armed without the znode.
    assert_eq!((exists("/x"), armed(&w, "/x")), (-101, vec![Data]));
    assert_eq!((exists("/secret"), armed(&w, "/secret")), (-102, vec![]));
    assert_eq!((data("/a/b"), armed(&w, "/a/b")), (0, vec![Data]));
    assert_eq!((data("/y"), armed(&w, "/y")), (-101, vec![]));
    assert_eq!((data("/secret"), armed(&w, "/secret")), (-102, vec![]));
    assert_eq!((children("/a"), armed(&w, "/a")), (0, vec![Data, Children]));
    assert_eq!((children("/y"), armed(&w, "/y")), (-101, vec![]));
    assert_eq!((children("/secret"), armed(&w, "/secret")), (-102, vec![]));
    assert_eq!(w.watches.watch_count(), 4);
    // Without the flag nothing is armed.
    w.code(op::EXISTS, &ExistsRequest { path: path("/eph"), watch: false });
    assert_eq!(armed(&w, "/eph"), []);
}

#[test]
fn add_check_remove() {
    let w = World::new();
    let add = |p, mode| w.send(op::ADD_WATCH, &AddWatchRequest { path: p, mode });
    let check = |p, kind| w.code(op::CHECK_WATCHES, &CheckWatchesRequest { path: p, kind });
    let remove = |p, kind| w.code(op::REMOVE_WATCHES, &RemoveWatchesRequest { path: p, kind });
    // The body is 4 zero bytes; neither znode nor permission is needed.
    for (p, mode) in [("/secret", 0), ("/missing", 1), ("garbage", 0)] {
        let frame = add(path(p), mode);
        assert_eq!((frame.header.err, frame.body), (0, vec![0; 4]));
    }
    assert_eq!(add(path("/a"), 2).header.err, -5);
    assert_eq!(add(path("/a"), -1).header.err, -5);
    use WatcherType::*;
    assert_eq!(armed(&w, "/secret"), [Persistent]);
    assert_eq!(armed(&w, "/missing"), [PersistentRecursive]);
    assert_eq!(w.watches.watch_count(), 5);

    for (p, kind, code) in [
        ("/secret", 1, -121),
        ("/secret", 2, -121),
        ("/secret", 3, 0),
        ("/secret", 4, 0),
        ("/secret", 5, -121),
        ("/missing", 4, -121),
        ("/missing", 5, 0),
        ("/missing", 3, 0),
        ("/missing/below", 5, -121),
        ("/a", 3, -121),
        ("/secret", 0, -5),
        ("/secret", 6, -5),
    ] {
        assert_eq!(check(path(p), kind), code, "{p} {kind}");
    }
    assert_eq!(remove(path("/secret"), 5), -121);
    assert_eq!(remove(path("/secret"), 4), 0);
    assert_eq!(remove(path("/secret"), 4), -121);
    assert_eq!(remove(path("/missing"), 3), 0);
    assert_eq!(remove(path("/missing"), 9), -5);
    // A null path can be watched, for what it is worth.
    assert_eq!(check(None, 3), -121);
    assert_eq!(add(None, 0).header.err, 0);
    assert_eq!(check(None, 4), 0);
    assert_eq!(remove(None, 3), 0);
}

#[test]
fn the_optimised_manager_knows_standard_watches_only() {
    let mut w = World::new();
    w.watches = WatchTable::new(watch::Options { standard_only: true, hash_seed: 0 });
    w.watches.open(ME);
    assert_eq!(w.code(op::ADD_WATCH, &AddWatchRequest { path: path("/a"), mode: 0 }), -5);
    for (kind, code) in [(1, -121), (2, -121), (3, -121), (4, -5), (5, -5)] {
        let request = CheckWatchesRequest { path: path("/a"), kind };
        assert_eq!(w.code(op::CHECK_WATCHES, &request), code);
    }
    let lists = lists2(0, [&[], &[], &[], &["/a"], &[]]);
    assert_eq!(w.code(op::SET_WATCHES2, &lists), -5);
    assert_eq!(w.code(op::SET_WATCHES2, &lists2(0, [&[], &[], &[], &[], &[]])), 0);
}

fn lists2<'a>(relative_zxid: i64, lists: [&[&'a str]; 5]) -> Lists2<'a> {
    let [data, exist, child, persistent, recursive] =
        lists.map(|list| Some(list.iter().map(|p| Some((*p).into())).collect()));
    Lists2 {
        relative_zxid,
        data_watches: data,
        exist_watches: exist,
        child_watches: child,
        persistent_watches: persistent,
        persistent_recursive_watches: recursive,
    }
}

/// Events before the reply, each as type and path.
fn set_watches(w: &World, kind: i32, lists: &impl Encode) -> (Vec<(i32, String)>, i32) {
    let mut frames = w.send_raw(kind, &lists.to_vec());
    let reply = frames.pop().unwrap();
    assert_eq!((reply.header.xid, reply.header.zxid), (XID, w.zxid));
    assert!(reply.body.is_empty());
    let events = frames
        .iter()
        .map(|frame| {
            assert_eq!(frame.header, ReplyHeader { xid: -1, zxid: -1, err: 0 });
            let event = WatcherEvent::from_slice(&frame.body).unwrap();
            assert_eq!(event.state, 3);
            (event.kind, event.path.unwrap().into_owned())
        })
        .collect();
    (events, reply.header.err)
}

#[test]
fn set_watches_catches_up() {
    let mut w = World::new();
    let seen = w.zxid;
    w.set_data("/a/b", Some(b"new"));
    w.delete("/a/c");
    let lists = lists2(
        seen,
        [
            &["/gone", "/a/b", "/eph"],
            &["/gone", "/eph2"],
            &["/gone", "/a", "/a/b"],
            &["/p", "/a"],
            &["/r"],
        ],
    );
    let (events, err) = set_watches(&w, op::SET_WATCHES2, &lists);
    let expected = [(2, "/gone"), (3, "/a/b"), (1, "/eph2"), (2, "/gone"), (4, "/a")]
        .map(|(kind, path)| (kind, path.to_owned()));
    assert_eq!((events.as_slice(), err), (&expected[..], 0));
    use WatcherType::*;
    for (path, kinds) in [
        ("/gone", vec![Data]),
        ("/a/b", vec![Children]),
        ("/eph", vec![Data]),
        ("/eph2", vec![]),
        ("/a", vec![Persistent]),
        ("/p", vec![Persistent]),
        ("/r", vec![PersistentRecursive]),
    ] {
        assert_eq!(armed(&w, path), kinds, "{path}");
    }
}

#[test]
fn set_watches_of_the_first_kind() {
    let w = World::new();
    let lists = Lists {
        relative_zxid: 0,
        data_watches: Some(vec![path("/a")]),
        exist_watches: Some(vec![]),
        child_watches: Some(vec![path("/zookeeper/quota")]),
    };
    let (events, err) = set_watches(&w, op::SET_WATCHES, &lists);
    assert_eq!((events, err), (vec![(3, "/a".to_owned())], 0));
    assert_eq!(armed(&w, "/zookeeper/quota"), [WatcherType::Children]);
}

#[test]
fn nulls_in_lists_fail_in_their_turn() {
    let w = World::new();
    let mut lists = lists2(0, [&["/a"], &[], &["/a"], &["/p"], &[]]);
    lists.exist_watches = None;
    let (events, err) = set_watches(&w, op::SET_WATCHES2, &lists);
    assert_eq!((events, err), (vec![(3, "/a".to_owned())], -5));
    assert_eq!(w.watches.watch_count(), 0);
    lists.exist_watches = Some(vec![path("/x"), None, path("/y")]);
    let (events, err) = set_watches(&w, op::SET_WATCHES2, &lists);
    assert_eq!((events.len(), err), (1, -5));
    assert_eq!(armed(&w, "/x"), [WatcherType::Data]);
    assert_eq!(armed(&w, "/y"), []);
}

#[test]
fn set_watches_tells_nothing_about_secrets() {
    let w = World::new();
    let lists = lists2(0, [&["/secret"], &["/secret"], &["/secret"], &[], &[]]);
    let (told, err) = set_watches(&w, op::SET_WATCHES2, &lists);
    assert_eq!((told, err), (vec![], 0));
    use WatcherType::*;
    assert_eq!(armed(&w, "/secret"), [Data, Children]);
    assert_eq!(events(&w, Trigger::DataChanged, "/secret"), [EventType::NodeDataChanged]);
}
