//! Key stores and trust stores: PEM, PKCS12 and JKS (`FileKeyStoreLoader` and its kin).
//!
//! As in Java the label of a binary store is not believed: JKS and PKCS12 are told apart by their
//! first bytes. A trust store trusts its entries of trusted certificates only, never the chain of
//! a key. Every error says which file, which key of the configuration, and what to do.

mod jks;
mod pem;
mod pkcs12;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Largest store that is read, bytes.
const STORE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Largest password file, bytes.
const PASSWORD_BYTES_MAX: u64 = 64 * 1024;

/// A password. Never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Format of a store, as configured or by the ending of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFormat {
    /// Text with key and certificates.
    Pem,
    /// PKCS12 or JKS: the content decides.
    Binary,
}

/// Where a store is and how to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// The keys of the configuration begin with this, e.g. `ssl.keyStore`.
    pub name: String,
    /// `*.location`.
    pub location: PathBuf,
    /// `*.password`; empty by default.
    pub password: Secret,
    /// `*.passwordPath`: a file with the password; wins over `*.password`.
    pub password_path: Option<PathBuf>,
    /// `*.type`, or what the name says.
    pub format: StoreFormat,
}

/// Why a store is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}.location={}: {what}", .file.display())]
pub struct StoreError {
    /// The store, e.g. `ssl.keyStore`.
    pub name: String,
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it and what to do.
    pub what: String,
}

/// A key with its certificates, the end entity's first.
pub(super) struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl StoreOptions {
    /// The first usable key of a key store.
    pub(super) fn load_identity(&self) -> Result<Identity, StoreError> {
        let (bytes, password) = self.open()?;
        let found = match self.format {
            StoreFormat::Pem => pem::identity(&bytes, &password),
            StoreFormat::Binary if jks::is_one(&bytes) => jks::identity(&bytes, &password),
            StoreFormat::Binary => pkcs12::identity(&bytes, &password),
        };
        found.map_err(|what| self.error(what))
    }

    /// The trusted certificates of a trust store: at least one.
    pub(super) fn load_anchors(&self) -> Result<Vec<CertificateDer<'static>>, StoreError> {
        let (bytes, password) = self.open()?;
        let found = match self.format {
            StoreFormat::Pem => pem::certificates(&bytes),
            StoreFormat::Binary if jks::is_one(&bytes) => jks::anchors(&bytes, &password),
            StoreFormat::Binary => pkcs12::anchors(&bytes, &password),
        };
        let found = found.map_err(|what| self.error(what))?;
        if found.is_empty() {
            return Err(self.error(
                "no trusted certificate in it (the trustAnchors parameter must be non-empty); \
                 certificates that belong to a key do not count: import the CA with keytool \
                 -importcert, or use a PEM file"
                    .to_owned(),
            ));
        }
        Ok(found)
    }

    /// The files that a change of would change the store.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(self.location.as_path()), self.password_path.as_deref()].into_iter().flatten()
    }

    fn open(&self) -> Result<(Vec<u8>, Secret), StoreError> {
        let bytes = read(&self.location, STORE_BYTES_MAX)
            .map_err(|error| self.error(format!("cannot be read: {error}")))?;
        let password = match &self.password_path {
            None => self.password.clone(),
            Some(path) => read_secret(path).map_err(|error| {
                let file = path.display();
                self.error(format!("{}.passwordPath={file} cannot be read: {error}", self.name))
            })?,
        };
        Ok((bytes, password))
    }

    fn error(&self, what: String) -> StoreError {
        StoreError { name: self.name.clone(), file: self.location.clone(), what }
    }
}

/// A password file without its last line separator, and nothing else taken off
/// (`SecretUtils.readSecret`).
fn read_secret(path: &Path) -> io::Result<Secret> {
    let text = read_text(path, PASSWORD_BYTES_MAX)?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    Ok(Secret::new(text))
}

/// A file of text, if it is not larger than `max` bytes.
pub(super) fn read_text(path: &Path, max: u64) -> io::Result<String> {
    String::from_utf8(read(path, max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {max} bytes")));
    }
    Ok(bytes)
}

/// True if `bytes` are one X.509 certificate.
fn is_certificate(bytes: &[u8]) -> bool {
    X509Certificate::from_der(bytes).is_ok_and(|(rest, _)| rest.is_empty())
}

/// A PKCS#8 key from its bytes.
fn pkcs8_key(bytes: Vec<u8>) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(bytes.into())
}

/// The usual reason, in the words operators know from Java.
const WRONG_PASSWORD: &str = "keystore password was incorrect, or the file was tampered with";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_taken_off_a_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        for (content, expected) in [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("secret\n\n", "secret\n"),
            (" se cret ", " se cret "),
            ("", ""),
            ("\n", ""),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read_secret(&path).unwrap().expose(), expected, "{content:?}");
        }
        std::fs::write(&path, [0xff]).unwrap();
        assert!(read_secret(&path).is_err());
        assert!(read_secret(&dir.path().join("none")).is_err());
    }
}
