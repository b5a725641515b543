//! What the AdminServer may ask a running server to do, and who may ask.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jute::data::PERM_ALL;

use crate::acl::{AuthOutcome, Remote, Schemes};
use crate::admin::{Allowed, Guard};
use crate::base::Zxid;
use crate::pipeline::Pipeline;
use crate::tree::cell::TreeReader;

pub(super) struct Guarded {
    pub tree: TreeReader,
    pub schemes: Arc<Schemes>,
    pub pipeline: Arc<Pipeline>,
}

impl Guard for Guarded {
    fn may_do_all(&self, scheme: &str, data: &[u8], ip: IpAddr) -> Allowed {
        let outcome = self.schemes.authenticate(Some(scheme), Some(data), &Remote::new(ip));
        let AuthOutcome::Granted(identities) = outcome else { return Allowed::NotAuthenticated };
        let acl = self.tree.read().root().acl().clone();
        match self.schemes.check(&acl, PERM_ALL, &identities) {
            Ok(()) => Allowed::Yes,
            Err(_) => Allowed::NotAuthorized,
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
}
