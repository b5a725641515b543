//! From a transaction and its origin to lines of the audit log (`AuditHelper`). Only the server that
//! received the request tells it.

use jute::proto::op;
use jute::txn::Txn;
use jute::{Decode, Reader};

use crate::acl::{Identities, Schemes, host_address};
use crate::audit::{Asked, AuditLog, Event, Outcome};
use crate::base::{Proposal, SessionId};
use crate::outbox::Origin;

/// Who asked, as every line of theirs begins.
fn event(origin: &Origin, session: SessionId, user: &str, operation: &'static str) -> Event {
    Event {
        session: Some(session.to_string()),
        user: Some(user.to_owned()),
        ip: Some(host_address(origin.outbox.remote.ip())),
        operation,
        znode: None,
        znode_type: None,
        acl: None,
        outcome: Outcome::Success,
    }
}

/// `Request.getUsersForAudit`.
fn users(schemes: &Schemes, identities: &Identities) -> String {
    let names = identities.iter().filter_map(|identity| schemes.user_name(identity));
    names.map(|name| name.to_string()).collect::<Vec<_>>().join(",")
}

/// A request that became no transaction.
pub(super) fn refused(log: &AuditLog, schemes: &Schemes, origin: &Origin, session: SessionId) {
    let Some(asked) = origin.asked.as_deref() else { return };
    let Some(operation) = asked.operation else { return };
    let identities = origin.outbox.lock().identities.clone();
    let user = users(schemes, &identities);
    log.record(failure(event(origin, session, &user, operation), asked));
}

fn failure(event: Event, asked: &Asked) -> Event {
    Event {
        znode: asked.path.clone(),
        znode_type: asked.znode_type,
        acl: asked.acl.clone(),
        outcome: Outcome::Failure,
        ..event
    }
}

/// A transaction of one of our clients.
pub(super) fn applied(log: &AuditLog, schemes: &Schemes, origin: &Origin, proposal: &Proposal) {
    let Some(asked) = origin.asked.as_deref() else { return };
    let Some(operation) = asked.operation else { return };
    let session = SessionId(proposal.header.client_id);
    let identities = origin.outbox.lock().identities.clone();
    let user = users(schemes, &identities);
    let event = |operation| event(origin, session, &user, operation);
    if proposal.header.kind == op::ERROR {
        return log.record(failure(event(operation), asked));
    }
    let made = match &proposal.txn {
        Txn::Multi(multi) => {
            let mut failed = false;
            for sub in multi.txns.iter().flatten() {
                failed |= sub.kind == op::ERROR;
                let operation = match sub.kind {
                    op::CREATE | op::CREATE2 | op::CREATE_TTL | op::CREATE_CONTAINER => "create",
                    op::DELETE | op::DELETE_CONTAINER => "delete",
                    op::SET_DATA => "setData",
                    _ => continue,
                };
                // Each of them begins with its path. A failed multi did none of them.
                let path = sub.data.as_deref().and_then(|data| {
                    Option::<String>::decode(&mut Reader::new(data)).ok().flatten()
                });
                let path = path.unwrap_or_default();
                let kind = asked.creates.iter().find(|(asked, _)| *asked == path);
                log_sub(log, event(operation), path, kind.map(|(_, kind)| *kind), &multi.txns);
            }
            if failed {
                log.record(failure(event(operation), asked));
            }
            return;
        }
        Txn::Create(txn) => txn.path.clone(),
        Txn::CreateTtl(txn) => txn.path.clone(),
        Txn::CreateContainer(txn) => txn.path.clone(),
        _ => asked.path.clone(),
    };
    let done = Event {
        znode: made,
        znode_type: asked.znode_type,
        acl: asked.acl.clone(),
        ..event(operation)
    };
    log.record(done);
}

/// One operation of a multi, told only if all of them were done.
fn log_sub(
    log: &AuditLog,
    event: Event,
    path: String,
    znode_type: Option<&'static str>,
    all: &Option<Vec<jute::txn::SubTxn>>,
) {
    if all.iter().flatten().all(|sub| sub.kind != op::ERROR) {
        log.record(Event { znode: Some(path), znode_type, ..event });
    }
}

/// An ephemeral went with its session.
pub(super) fn ephemeral(log: &AuditLog, session: SessionId, path: &str) {
    log.record(Event {
        session: Some(session.to_string()),
        znode: Some(path.to_owned()),
        ..Event::of_server(
            "ephemeralZNodeDeletionOnSessionCloseOrExpire",
            log.server_user(),
            Outcome::Success,
        )
    });
}
