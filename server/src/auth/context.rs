//! TLS contexts made of the `ssl.*` or `ssl.quorum.*` settings (`X509Util`), and their reload.
//!
//! A context is made once, at the start, so that mistakes are told then. It is made anew when one
//! of its files changed; if that fails, the old one stays.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use tracing::{error, info, warn};

use super::store::{Identity, StoreError, StoreOptions};
use super::verify::Verifier;
use super::{dn, names, suites};

/// Between attempts to load stores that could not be loaded again.
const RETRY: Duration = Duration::from_secs(5);

/// What is asked of a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing.
    None,
    /// Taken if offered.
    Want,
    /// Required.
    Need,
}

/// One set of TLS settings.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// `ssl` or `ssl.quorum`: how its keys begin.
    pub prefix: String,
    /// `protocol`.
    pub protocol: Option<String>,
    /// `protocol` alone is enabled, not what is below it (the client port).
    pub single_protocol: bool,
    /// `enabledProtocols`.
    pub enabled_protocols: Option<Vec<String>>,
    /// `ciphersuites`, JSSE's names.
    pub cipher_suites: Option<Vec<String>>,
    /// `keyStore.*`.
    pub key_store: Option<StoreOptions>,
    /// `trustStore.*`.
    pub trust_store: Option<StoreOptions>,
    /// `clientAuth`.
    pub client_auth: ClientAuth,
    /// The name of the server dialled is checked.
    pub check_server_name: bool,
    /// Its address counts as well as its name.
    pub by_address: bool,
    /// The name of the client that dialled is checked.
    pub check_client_name: bool,
    /// A name found by a reverse look-up counts (`allowReverseDnsLookup`).
    pub allow_reverse_dns: bool,
    /// Look whether files changed before each handshake.
    pub reload: bool,
}

/// Why there is no TLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A key store or trust store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A setting; names its key.
    #[error("{0}")]
    Setting(String),
}

/// TLS for one kind of connection.
#[derive(Debug)]
pub struct Tls {
    options: TlsOptions,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    stamp: Vec<Option<Stamp>>,
    configs: Configs,
    /// The last reload failed: when, and why.
    trouble: Option<(Instant, TlsError)>,
}

#[derive(Debug, Clone)]
struct Configs {
    server: Option<Arc<ServerConfig>>,
    client: Arc<ClientConfig>,
}

/// What changes when a file does.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
    /// Of its owner and permissions, too: seconds and nanoseconds.
    changed: (i64, i64),
}

impl Tls {
    /// Loads the stores.
    ///
    /// # Errors
    /// If a store cannot be used or a setting is wrong.
    pub fn open(options: TlsOptions) -> Result<Self, TlsError> {
        let stamp = stamp(&options);
        let configs = build(&options)?;
        Ok(Self { options, current: Mutex::new(Current { stamp, configs, trouble: None }) })
    }

    /// The server side of a connection.
    ///
    /// # Errors
    /// If there is no key store.
    pub fn server(&self) -> Result<ServerConnection, TlsError> {
        ServerConnection::new(self.server_config()?)
            .map_err(|error| TlsError::Setting(format!("{}: {error}", self.options.prefix)))
    }

    /// The same for an asynchronous acceptor.
    ///
    /// # Errors
    /// If there is no key store.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        self.configs().server.ok_or_else(|| {
            let prefix = &self.options.prefix;
            TlsError::Setting(format!(
                "Keystore is required for SSL server: {prefix}.keyStore.location"
            ))
        })
    }

    /// The client side of a connection to `host`. [`Tls::accepts_server`] must be asked once the
    /// handshake is over.
    ///
    /// # Errors
    /// If the library refuses.
    pub fn client(&self, host: &str, address: IpAddr) -> Result<ClientConnection, TlsError> {
        let name = ServerName::try_from(host.to_owned())
            .unwrap_or_else(|_| ServerName::IpAddress(address.into()));
        ClientConnection::new(self.configs().client, name)
            .map_err(|error| TlsError::Setting(format!("{}: {error}", self.options.prefix)))
    }

    /// True if the server's certificate is one for `host`, or for `address` if that counts, or need
    /// not be.
    pub fn accepts_server(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        host: &str,
        address: IpAddr,
    ) -> bool {
        if !self.options.check_server_name {
            return true;
        }
        let Some([leaf, ..]) = chain else { return false };
        names::is_for_host(leaf, host)
            || (self.options.by_address && names::is_for_address(leaf, address))
    }

    /// True if the client's certificate is one for `address`, or need not be. May ask the name
    /// service if `allowReverseDnsLookup` says so.
    pub fn accepts_client(&self, chain: Option<&[CertificateDer<'_>]>, address: IpAddr) -> bool {
        if !self.options.check_client_name {
            return true;
        }
        // Without a certificate there is no name to check: `clientAuth` decides about that.
        let Some([leaf, ..]) = chain else { return true };
        if names::is_for_address(leaf, address) {
            return true;
        }
        let prefix = &self.options.prefix;
        if !self.options.allow_reverse_dns {
            warn!(
                %address,
                "the certificate of a client is not for its address, and \
                 {prefix}.allowReverseDnsLookup is false"
            );
            return false;
        }
        dns_lookup::lookup_addr(&address).is_ok_and(|host| names::is_for_host(leaf, &host))
    }

    /// Whether a client must, may or need not have a certificate.
    pub fn client_auth(&self) -> ClientAuth {
        self.options.client_auth
    }

    fn configs(&self) -> Configs {
        let mut current = self.current.lock();
        if self.options.reload {
            let stamp = stamp(&self.options);
            // What is in the way may go away without a trace on the files.
            let again = current.trouble.as_ref().is_some_and(|(at, _)| at.elapsed() >= RETRY);
            if again || stamp != current.stamp {
                current.stamp = stamp;
                let prefix = &self.options.prefix;
                let before = current.trouble.take().map(|(_, trouble)| trouble);
                match build(&self.options) {
                    Ok(configs) => {
                        info!("{prefix}: key store and trust store loaded again");
                        current.configs = configs;
                    }
                    Err(error) => {
                        if before.as_ref() != Some(&error) {
                            error!("{prefix}: changed stores are not taken: {error}");
                        }
                        current.trouble = Some((Instant::now(), error));
                    }
                }
            }
        }
        current.configs.clone()
    }
}

/// The subject of a chain's first certificate as Java prints it, the identity in scheme `x509`.
pub fn subject(chain: &[CertificateDer<'_>]) -> Option<String> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, leaf) = X509Certificate::from_der(chain.first()?).ok()?;
    dn::rfc2253(leaf.subject().as_raw())
}

fn stamp(options: &TlsOptions) -> Vec<Option<Stamp>> {
    use std::os::unix::fs::MetadataExt;
    let stores = [&options.key_store, &options.trust_store];
    let files = stores.into_iter().flatten().flat_map(StoreOptions::files);
    // Follows links, so that a link put elsewhere is a change.
    files
        .map(|file| {
            let data = fs::metadata(file).ok()?;
            let modified = data.modified().ok();
            let changed = (data.ctime(), data.ctime_nsec());
            Some(Stamp { modified, length: data.len(), inode: data.ino(), changed })
        })
        .collect()
}

fn build(options: &TlsOptions) -> Result<Configs, TlsError> {
    let prefix = &options.prefix;
    let suites =
        suites::suites(&format!("{prefix}.ciphersuites"), options.cipher_suites.as_deref())
            .map_err(TlsError::Setting)?;
    let versions = suites::versions(
        prefix,
        options.protocol.as_deref(),
        options.enabled_protocols.as_deref(),
        options.single_protocol,
    )
    .map_err(TlsError::Setting)?;
    let provider = Arc::new(CryptoProvider { cipher_suites: suites, ..ring::default_provider() });
    let wrong = |error: rustls::Error| {
        TlsError::Setting(format!("{prefix}.ciphersuites, {prefix}.enabledProtocols: {error}"))
    };
    let identity = match &options.key_store {
        Some(store) => Some((store, store.load_identity()?)),
        None => None,
    };
    let trusted = match &options.trust_store {
        Some(store) => store.load_anchors()?,
        None => Vec::new(),
    };
    let unusable = |store: &StoreOptions, error: rustls::Error| {
        TlsError::Store(StoreError {
            name: store.name.clone(),
            file: store.location.clone(),
            what: format!("the key cannot be used: {error}"),
        })
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(wrong)?;
    let builder = match options.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        kind => builder.with_client_cert_verifier(Arc::new(Verifier::new(
            provider.clone(),
            trusted.clone(),
            kind == ClientAuth::Need,
        ))),
    };
    let server = match &identity {
        None => None,
        Some((store, identity)) => {
            let (chain, key) = parts(identity);
            let mut config =
                builder.with_single_cert(chain, key).map_err(|error| unusable(store, error))?;
            config.ignore_client_order = true;
            Some(Arc::new(config))
        }
    };
    let trusted = match &options.trust_store {
        Some(_) => trusted,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(wrong)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(provider, trusted, true)));
    let client = match &identity {
        None => builder.with_no_client_auth(),
        Some((store, identity)) => {
            let (chain, key) = parts(identity);
            builder.with_client_auth_cert(chain, key).map_err(|error| unusable(store, error))?
        }
    };
    Ok(Configs { server, client: Arc::new(client) })
}

fn parts(
    identity: &Identity,
) -> (Vec<CertificateDer<'static>>, rustls::pki_types::PrivateKeyDer<'static>) {
    (identity.chain.clone(), identity.key.clone_key())
}

#[cfg(test)]
mod tests {
    use super::super::tests::stores::{open, tls_options};
    use super::*;

    /// Too many open files, for example: the file itself does not change when that is over.
    #[test]
    fn a_reload_that_failed_is_tried_again() {
        let options = tls_options("server.pem", "trust.pem");
        let tls = open(TlsOptions { reload: true, ..options });
        let before = tls.server_config().unwrap();
        let same = |other: &Arc<ServerConfig>| Arc::ptr_eq(&before, other);
        assert!(same(&tls.server_config().unwrap()), "nothing changed");
        let failed = |at| {
            let trouble = TlsError::Setting("too many open files".to_owned());
            tls.current.lock().trouble = Some((at, trouble));
        };
        failed(Instant::now() + RETRY);
        assert!(same(&tls.server_config().unwrap()), "not at once");
        failed(Instant::now().checked_sub(RETRY).unwrap());
        assert!(!same(&tls.server_config().unwrap()));
        assert!(tls.current.lock().trouble.is_none());
    }

    #[test]
    fn permissions_are_a_change() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mut options = tls_options("server.pem", "trust.pem");
        let key = options.key_store.as_mut().unwrap();
        let location = dir.path().join("server.pem");
        fs::copy(&key.location, &location).unwrap();
        key.location = location.clone();
        let before = stamp(&options);
        assert_eq!(before, stamp(&options));
        // The clock of the file system goes in steps.
        for mode in [0o600, 0o640].into_iter().cycle() {
            fs::set_permissions(&location, fs::Permissions::from_mode(mode)).unwrap();
            if stamp(&options) != before {
                return;
            }
        }
    }
}
