//! What the AdminServer may ask a running server to do, and who may ask.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jute::data::PERM_ALL;
use parking_lot::Mutex;
use tracing::info;

use crate::acl::{AuthOutcome, Remote, Schemes};
use crate::admin::{Allowed, Guard};
use crate::base::{SessionId, Zxid};
use crate::ensemble::Ensemble;
use crate::net;
use crate::outbox::{Fate, Registry};
use crate::pipeline::Pipeline;
use crate::storage::restore::load_stream;
use crate::tree::TreeOptions;
use crate::tree::cell::TreeReader;
use crate::zab::Link;

pub(super) struct Guarded {
    pub tree: TreeReader,
    pub schemes: Arc<Schemes>,
    pub pipeline: Arc<Pipeline>,
    pub tree_options: TreeOptions,
    pub field_max: usize,
    pub registry: Arc<Registry>,
    pub net: Arc<Mutex<Option<net::Running>>>,
    pub ensemble: Option<Arc<Ensemble>>,
}

impl Guarded {
    fn drop_clients(&self) {
        if let Some(net) = &*self.net.lock() {
            net.drop_clients();
        }
    }
}

impl Guard for Guarded {
    fn may_do_all(&self, scheme: &str, data: &[u8], ip: IpAddr) -> Allowed {
        let outcome = self.schemes.authenticate(Some(scheme), Some(data), &Remote::new(ip));
        let AuthOutcome::Granted(identities) = outcome else { return Allowed::NotAuthenticated };
        let acl = self.tree.read().root().acl().clone();
        // One by one: an entry grants a mask as soon as it has one of its bits.
        let has = |bit: i32| self.schemes.check(&acl, 1 << bit, &identities).is_ok();
        match (0..i32::BITS as i32 - PERM_ALL.leading_zeros() as i32).all(has) {
            true => Allowed::Yes,
            false => Allowed::NotAuthorized,
        }
    }

    fn take_snapshot(&self) -> Result<(Zxid, PathBuf), String> {
        let written = self.pipeline.snapshot().recv();
        let path = written.map_err(|_| "the server is stopping".to_owned())??;
        // Named `snapshot.<zxid>`, with the compression behind it.
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let zxid = name.split('.').nth(1).and_then(|hex| i64::from_str_radix(hex, 16).ok());
        Ok((Zxid(zxid.ok_or("the snapshot has no zxid in its name")?), path))
    }

    fn restore(&self, input: &mut dyn Read) -> Result<Zxid, String> {
        if self.ensemble.is_some() {
            let text = "a member of an ensemble cannot be restored alone: stop every member, move \
                        its version-2 directories away, and start each with the same snapshot in \
                        place";
            return Err(text.to_owned());
        }
        let begun = Instant::now();
        let tree = load_stream(input, self.field_max, self.tree_options.clone())?;
        let swapped = self.pipeline.swap(Box::new(tree)).recv();
        let zxid = swapped.map_err(|_| "the server is stopping".to_owned())??;
        self.drop_clients();
        info!("Restore taken in {} ms", begun.elapsed().as_millis());
        Ok(zxid)
    }

    fn close_session(&self, session: SessionId) -> Result<(), String> {
        if self.tree.read().sessions().timeout_ms(session).is_none() {
            return Err(format!("there is no session {session}"));
        }
        info!("Closing session {session}: an operator asked for it");
        self.pipeline.close_session(session);
        Ok(())
    }

    fn close_connection(&self, remote: SocketAddr) -> bool {
        let connections = self.registry.connections();
        let found = connections.iter().find(|outbox| outbox.remote == remote);
        let Some(outbox) = found else { return false };
        info!("closing the connection of {remote}: an operator asked for it");
        outbox.lock().close(Fate::CloseNow);
        if let Some(net) = &*self.net.lock() {
            net.touch(outbox.place);
        }
        true
    }

    fn set_max_client_connections(&self, max: usize) -> bool {
        let net = self.net.lock();
        let Some(net) = &*net else { return false };
        net.set_connections_per_address(max);
        info!("maxClientCnxns is {max} from now on: an operator asked for it");
        true
    }

    fn close_learner(&self, sid: i64, link: u64) -> bool {
        let Some(ensemble) = &self.ensemble else { return false };
        info!(sid, "an operator closes the link of a learner");
        ensemble.close(Link(link), "closed by an operator");
        true
    }
}
