//! Dates as Java prints them, and records as jute's `toString` does.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use jute::data::Acl;
use jute::proto::op;
use jute::txn::{Txn, TxnHeader};

/// `DateFormat.getDateTimeInstance(SHORT, LONG)` in English: `11/21/26, 1:57:33 PM UTC`.
pub fn short_date(ms: i64, zone: &TimeZone) -> String {
    date(ms, zone, "%-m/%-d/%y, %-I:%M:%S %p %Z")
}

/// `Date.toString`: `Sat Nov 21 13:57:43 UTC 2026`.
pub fn long_date(ms: i64, zone: &TimeZone) -> String {
    date(ms, zone, "%a %b %d %H:%M:%S %Z %Y")
}

fn date(ms: i64, zone: &TimeZone, format: &str) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.to_zoned(zone.clone()).strftime(format).to_string(),
        // Beyond the year 9999: no clock says so, a damaged record may.
        Err(_) => format!("{ms} ms"),
    }
}

/// One line of a log dump, with its newline (`TxnLogToolkit.printTxn`).
pub fn transaction(header: &TxnHeader, txn: &Txn, zone: &TimeZone) -> String {
    let mut line = format!(
        "{} session 0x{:x} cxid 0x{:x} zxid 0x{:x} {} {}",
        short_date(header.time, zone),
        header.client_id,
        header.cxid,
        header.zxid,
        op_name(header.kind),
        record(txn)
    );
    if !line.ends_with('\n') {
        line.push('\n');
    }
    line
}

fn record(txn: &Txn) -> String {
    match txn {
        Txn::Create(t) => format!(
            "{},{},{},{},{}",
            plain(&t.path),
            bytes(&t.data),
            acl_list(&t.acl),
            t.ephemeral,
            t.parent_cversion
        ),
        Txn::CreateContainer(t) => format!(
            "{},{},{},{}",
            plain(&t.path),
            bytes(&t.data),
            acl_list(&t.acl),
            t.parent_cversion
        ),
        Txn::CreateTtl(t) => format!(
            "{},{},{},{},{}",
            plain(&t.path),
            bytes(&t.data),
            acl_list(&t.acl),
            t.parent_cversion,
            t.ttl
        ),
        Txn::SetData(t) => format!("{},{},{}", plain(&t.path), bytes(&t.data), t.version),
        Txn::Multi(t) => {
            let subs = t.txns.iter().flatten();
            let subs: Vec<_> =
                subs.map(|s| format!("{}:{}", op_name(s.kind), bytes(&s.data))).collect();
            subs.join(";")
        }
        Txn::Delete(t) => format!("{}\n", quoted(&t.path)),
        Txn::SetAcl(t) => {
            let acl: Vec<_> = t.acl.iter().flatten().map(|a| format!("s{{{}}}", acl(a))).collect();
            format!("{},v{{{}}},{}\n", quoted(&t.path), acl.join(","), t.version)
        }
        Txn::Check(t) => format!("{},{}\n", quoted(&t.path), t.version),
        Txn::CreateSession(t) => format!("{}\n", t.timeout),
        Txn::CloseSession(Some(t)) => {
            let paths: Vec<_> = t.paths_to_delete.iter().flatten().map(quoted).collect();
            format!("v{{{}}}\n", paths.join(","))
        }
        Txn::CloseSession(None) => String::new(),
        Txn::Error(t) => format!("{}\n", t.err),
    }
}

/// String concatenation in Java.
fn plain(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("null")
}

/// Data as text; null is empty.
fn bytes(data: &Option<bytes::Bytes>) -> String {
    data.as_deref().map(|d| String::from_utf8_lossy(d).into_owned()).unwrap_or_default()
}

/// `List<ACL>.toString`; an ACL's own text ends with a line break.
fn acl_list(list: &Option<Vec<Acl>>) -> String {
    match list {
        None => "null".to_owned(),
        Some(list) => {
            let items: Vec<_> = list.iter().map(|a| format!("{}\n", acl(a))).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

fn acl(acl: &Acl) -> String {
    format!("{},s{{{},{}}}", acl.perms, quoted(&acl.id.scheme), quoted(&acl.id.id))
}

/// A string in jute's `toString` (`ToStringOutputArchive.escapeString`).
fn quoted(text: &Option<String>) -> String {
    let Some(text) = text else { return String::new() };
    let mut out = String::with_capacity(text.len() + 1);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\0' => out.push_str("%00"),
            '\n' => out.push_str("%0A"),
            '\r' => out.push_str("%0D"),
            ',' => out.push_str("%2C"),
            '}' => out.push_str("%7D"),
            '%' => out.push_str("%25"),
            c => out.push(c),
        }
    }
    out
}

/// `Request.op2String` for what a log can hold.
fn op_name(kind: i32) -> String {
    let name = match kind {
        op::CREATE => "create",
        op::DELETE => "delete",
        op::SET_DATA => "setData",
        op::SET_ACL => "setACL",
        op::CHECK => "check",
        op::MULTI => "multi",
        op::CREATE2 => "create2",
        op::RECONFIG => "reconfig",
        op::CREATE_CONTAINER => "createContainer",
        op::DELETE_CONTAINER => "deleteContainer",
        op::CREATE_TTL => "createTTL",
        op::CREATE_SESSION => "createSession",
        op::CLOSE_SESSION => "closeSession",
        op::ERROR => "error",
        kind => return format!("unknown {kind}"),
    };
    name.to_owned()
}
