//! Checks before the leader is asked.

use super::*;

#[test]
fn eager_checks() {
    let mut w = World::new();
    w.as_user("u:x").ok(node_with("/closed", only("u:x", PERM_ALL))).ok(node("/closed/x"));
    w.ok(node("/open"));
    w.as_user("v:y");
    let bad = || Some(vec![Acl::new(1, "nosuch", "x")]);
    let create_of = |kind, path: &str| WriteRequest::Create(create(kind, path, 0, -1));
    for (write, expected) in [
        (node("/closed/new"), -102),
        (create_of(op::CREATE2, "/closed/new"), -102),
        // Only the two plain creates.
        (create_of(op::CREATE_CONTAINER, "/closed/new"), 0),
        (node("/open/new"), 0),
        (node_with("/open/new", bad()), -114),
        (node_with("/open/new", None), -114),
        (node_with("/missing/new", bad()), -114),
        // The rest is the leader's.
        (node_with("odd", bad()), 0),
        (node("/missing/new"), 0),
        (delete("/closed/x", -1), -102),
        (delete("/closed", -1), 0),
        (delete("/zookeeper", -1), 0),
        (set_data("/closed", "", -1), -102),
        (set_data("/missing", "", -1), 0),
        (set_data("/zookeeper/config", "", -1), -102),
        (set_acl("/closed", open(), -1), -102),
        (set_acl("/closed", bad(), -1), -114),
        (set_acl("/open", open(), -1), 0),
        (WriteRequest::Multi(vec![node("/closed/new")]), 0),
        (WriteRequest::CloseSession, 0),
    ] {
        let outcome = check_eagerly(&w.tree, &w.prep.schemes, &w.identities, &write);
        assert_eq!(outcome.map_or_else(ErrorCode::code, |()| 0), expected, "{write:?}");
    }
}

#[test]
fn who_needs_a_global_session() {
    let of = |kind, flags| WriteRequest::Create(create(kind, "/a", flags, -1));
    for (write, expected) in [
        (of(op::CREATE, 0), false),
        (of(op::CREATE, 1), true),
        (of(op::CREATE2, 3), true),
        (of(op::CREATE, 2), false),
        (of(op::CREATE, 9), false),
        (of(op::CREATE_CONTAINER, 1), false),
        (of(op::CREATE_TTL, 1), false),
        (WriteRequest::Multi(vec![delete("/b", -1), of(op::CREATE, 1)]), true),
        (WriteRequest::Multi(vec![delete("/b", -1), of(op::CREATE, 0)]), false),
        (set_data("/a", "", -1), false),
    ] {
        assert_eq!(write.needs_global_session(), expected, "{write:?}");
    }
}
