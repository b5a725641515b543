//! TLS settings, the same set for `ssl.` (client port) and `ssl.quorum.` (quorum ports and
//! AdminServer). Files are opened by `auth`, not here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{ConfigError, Kind};
use super::java_trim;
use super::table::{PropertyTable, Reader, Source, parse_i32};
use crate::auth;
pub use crate::auth::{ClientAuth, Secret};

/// Format of a key or trust store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreType {
    /// `.jks`
    Jks,
    /// `.pem`
    Pem,
    /// `.p12`
    Pkcs12,
    /// `.bcfks`; known by name, cannot be read here.
    Bcfks,
}

impl StoreType {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_uppercase().as_str() {
            "JKS" => StoreType::Jks,
            "PEM" => StoreType::Pem,
            "PKCS12" => StoreType::Pkcs12,
            "BCFKS" => StoreType::Bcfks,
            _ => return None,
        })
    }

    fn of_file(name: &str) -> Option<Self> {
        Some(match name.rsplit_once('.')?.1 {
            "jks" => StoreType::Jks,
            "pem" => StoreType::Pem,
            "p12" => StoreType::Pkcs12,
            "bcfks" => StoreType::Bcfks,
            _ => return None,
        })
    }
}

/// A key store or trust store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// `*.location`.
    pub location: PathBuf,
    /// `*.password`; empty by default.
    pub password: Secret,
    /// `*.passwordPath`: a file with the password, wins over `*.password`.
    pub password_path: Option<PathBuf>,
    /// `*.type`, or what the file name says.
    pub kind: StoreType,
}

/// One set of TLS settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// `protocol`.
    pub protocol: Option<String>,
    /// `enabledProtocols`.
    pub enabled_protocols: Option<Vec<String>>,
    /// `ciphersuites`, JSSE names.
    pub cipher_suites: Option<Vec<String>>,
    /// `keyStore.*`.
    pub key_store: Option<StoreSettings>,
    /// `trustStore.*`.
    pub trust_store: Option<StoreSettings>,
    /// `hostnameVerification`.
    pub hostname_verification: bool,
    /// `clientHostnameVerification`.
    pub client_hostname_verification: bool,
    /// `allowReverseDnsLookup`.
    pub allow_reverse_dns: bool,
    /// `crl`.
    pub crl: bool,
    /// `ocsp`.
    pub ocsp: bool,
    /// `clientAuth`.
    pub client_auth: ClientAuth,
    /// `handshakeDetectionTimeoutMillis`, at least 1.
    pub handshake_detection_ms: i32,
}

impl TlsSettings {
    /// Reads `zookeeper.<prefix>*`; `quorum` picks the defaults that differ.
    ///
    /// Mistakes are errors only if `used`: Java reads these settings when it builds a context.
    pub(super) fn read(
        p: &mut Reader<'_>,
        prefix: &str,
        quorum: bool,
        used: bool,
    ) -> Result<Self, ConfigError> {
        let key = |name: &str| format!("{prefix}{name}");
        let commas = |name: &str| {
            let text = p.text(&key(name)).filter(|text| !text.is_empty())?;
            Some(text.split(',').map(|s| java_trim(s).to_owned()).collect())
        };
        if p.text(&key("context.supplier.class")).is_some_and(|class| !class.is_empty()) {
            return Err(ConfigError::new(
                Kind::Unexpected,
                "a Java class cannot supply the TLS context here",
            )
            .at(p.table().place(&format!("zookeeper.{prefix}context.supplier.class")))
            .allowed("remove the key and set keyStore and trustStore"));
        }
        for name in ["crl", "ocsp"] {
            if used && p.flag(&key(name), false) {
                return Err(ConfigError::new(
                    Kind::Unexpected,
                    "revoked certificates cannot be told here, and without that none would be safe",
                )
                .at(p.table().place(&format!("zookeeper.{prefix}{name}")))
                .allowed("false"));
            }
        }
        let engine = p.table().place("zookeeper.ssl.sslProvider").filter(|_| used && !quorum);
        if let Some(engine) = engine
            && !["JDK", "OPENSSL", "OPENSSL_REFCNT"].contains(&engine.value.as_str())
        {
            let name = &engine.value;
            return Err(ConfigError::new(
                Kind::Arguments,
                format!("No enum constant io.netty.handler.ssl.SslProvider.{name}"),
            )
            .at(Some(engine))
            .allowed("JDK, OPENSSL, OPENSSL_REFCNT: all of them mean the same here"));
        }
        let (enabled_protocols, cipher_suites) =
            (commas("enabledProtocols"), commas("ciphersuites"));
        let client_auth = match p.text_or(&key("clientAuth"), "").to_uppercase().as_str() {
            "" | "NEED" => ClientAuth::Need,
            "WANT" => ClientAuth::Want,
            "NONE" => ClientAuth::None,
            other if used => {
                return Err(ConfigError::new(
                    Kind::Arguments,
                    format!(
                        "No enum constant org.apache.zookeeper.common.X509Util.ClientAuth.{other}"
                    ),
                )
                .at(p.table().place(&format!("zookeeper.{prefix}clientAuth")))
                .allowed("none, want, need"));
            }
            _ => ClientAuth::Need,
        };
        Ok(Self {
            protocol: p.text(&key("protocol")),
            enabled_protocols,
            cipher_suites,
            key_store: store(p, &key("keyStore."), used)?,
            trust_store: store(p, &key("trustStore."), used)?,
            hostname_verification: p.flag(&key("hostnameVerification"), true),
            client_hostname_verification: p.flag(&key("clientHostnameVerification"), quorum),
            allow_reverse_dns: p.flag(&key("allowReverseDnsLookup"), quorum),
            crl: p.flag(&key("crl"), false),
            ocsp: p.flag(&key("ocsp"), false),
            client_auth,
            handshake_detection_ms: handshake_detection(p, prefix),
        })
    }
}

impl TlsSettings {
    /// A client port that checks names while `fips-mode` forbids to look at them: Java's server
    /// starts, and refuses every client.
    pub(super) fn check_client_names(
        &self,
        p: &mut Reader<'_>,
        fips: bool,
    ) -> Result<(), ConfigError> {
        if self.allow_reverse_dns {
            let place = p.place_text("zookeeper.ssl.allowReverseDnsLookup");
            p.warn(format!(
                "{place}: accepted, no effect here: a client's certificate must name its address"
            ));
        }
        if !(fips && self.hostname_verification && self.client_hostname_verification) {
            return Ok(());
        }
        Err(ConfigError::new(
            Kind::Unexpected,
            "with fips-mode=true, which is the default, every client would be refused",
        )
        .at(p.table().place("zookeeper.ssl.clientHostnameVerification"))
        .allowed("false, or true together with fips-mode=false"))
    }

    /// For [`crate::auth`]. `fips` is `fips-mode`: names of peers are not looked at then.
    pub(super) fn options(&self, quorum: bool, fips: bool, reload: bool) -> auth::TlsOptions {
        let prefix = if quorum { "ssl.quorum" } else { "ssl" };
        let store = |settings: &Option<StoreSettings>, name: &str| {
            settings.as_ref().map(|store| auth::StoreOptions {
                name: format!("{prefix}.{name}"),
                location: store.location.clone(),
                password: store.password.clone(),
                password_path: store.password_path.clone(),
                format: match store.kind {
                    StoreType::Pem => auth::StoreFormat::Pem,
                    StoreType::Jks | StoreType::Pkcs12 | StoreType::Bcfks => {
                        auth::StoreFormat::Binary
                    }
                },
            })
        };
        let names = self.hostname_verification && !fips;
        auth::TlsOptions {
            prefix: prefix.to_owned(),
            protocol: self.protocol.clone(),
            single_protocol: !quorum,
            enabled_protocols: self.enabled_protocols.clone(),
            cipher_suites: self.cipher_suites.clone(),
            key_store: store(&self.key_store, "keyStore"),
            trust_store: store(&self.trust_store, "trustStore"),
            client_auth: self.client_auth,
            check_server_name: names,
            by_address: true,
            check_client_name: names && self.client_hostname_verification,
            // A look-up would hold up every connection of its I/O thread.
            allow_reverse_dns: quorum && self.allow_reverse_dns,
            reload,
        }
    }
}

/// TLS of a client (`ClientX509Util`), from its properties; names may leave `zookeeper.` out. A
/// client looks at the server's name whether or not `fips-mode` is on; with it, only at the name.
///
/// # Errors
/// If a setting is wrong.
pub fn client_tls_options(
    properties: &BTreeMap<String, String>,
) -> Result<auth::TlsOptions, ConfigError> {
    let mut table = PropertyTable::default();
    for (name, value) in properties {
        let name = name.strip_prefix("zookeeper.").unwrap_or(name);
        table.set(format!("zookeeper.{name}"), value.as_str(), Source::CommandLine);
    }
    let mut notices = Vec::new();
    let mut reader = Reader::new(&table, &mut notices);
    let settings = TlsSettings::read(&mut reader, "ssl.", false, true)?;
    let check_server_name = settings.hostname_verification;
    let by_address = !reader.flag("fips-mode", true);
    Ok(auth::TlsOptions { check_server_name, by_address, ..settings.options(false, false, false) })
}

fn handshake_detection(p: &mut Reader<'_>, prefix: &str) -> i32 {
    let name = format!("zookeeper.{prefix}handshakeDetectionTimeoutMillis");
    let Some(text) = p.table().get(&name) else { return 5000 };
    match parse_i32(text) {
        Some(ms) if ms >= 1 => ms,
        _ => {
            let place = p.place_text(&name);
            p.warn(format!("{place}: Invalid value, must be a number above 0; using 5000"));
            5000
        }
    }
}

fn store(
    p: &mut Reader<'_>,
    prefix: &str,
    used: bool,
) -> Result<Option<StoreSettings>, ConfigError> {
    let get = |name: &str| p.text(&format!("{prefix}{name}"));
    let (location, password) = (get("location"), get("password"));
    let (password_path, kind) = (get("passwordPath"), get("type"));
    let Some(location) = location.filter(|location| !location.is_empty()) else { return Ok(None) };
    let kind = match kind.filter(|kind| !kind.is_empty()) {
        Some(text) => StoreType::parse(&text).ok_or_else(|| {
            ConfigError::new(Kind::Unexpected, format!("Bad value for {text}"))
                .at(p.table().place(&format!("zookeeper.{prefix}type")))
                .allowed("JKS, PEM, PKCS12")
        }),
        None => StoreType::of_file(&location).ok_or_else(|| {
            let text = format!("Unable to auto-detect store file type from file name: {location}");
            ConfigError::new(Kind::Unexpected, text)
                .at(p.table().place(&format!("zookeeper.{prefix}location")))
                .allowed(format!("a name that ends in .jks, .pem or .p12, or {prefix}type"))
        }),
    };
    let kind = match kind {
        Ok(StoreType::Bcfks) if used => {
            return Err(ConfigError::new(Kind::Unexpected, "BCFKS stores cannot be read here")
                .at(p.table().place(&format!("zookeeper.{prefix}location")))
                .allowed("JKS, PEM, PKCS12"));
        }
        Ok(kind) => kind,
        Err(error) if used => return Err(error),
        Err(_) => return Ok(None),
    };
    Ok(Some(StoreSettings {
        location: location.into(),
        password: Secret::new(password.unwrap_or_default()),
        password_path: password_path.filter(|path| !path.is_empty()).map(PathBuf::from),
        kind,
    }))
}
