//! PKCS12 stores as Java reads them: a key with the certificate of the same local id and its
//! issuers; trusted is what carries Oracle's mark, nothing else.

use p12_keystore::error::Error;
use p12_keystore::{CertificateBag, Pkcs12Archive};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Identity, Secret, WRONG_PASSWORD, pkcs8_key};
use crate::auth::der;

/// Certificates in a chain.
const CHAIN_MAX: usize = 16;

/// The first key that has a certificate.
pub(super) fn identity(bytes: &[u8], password: &Secret) -> Result<Identity, String> {
    let archive = open(bytes, password)?;
    for bag in &archive.keys {
        let Some(id) = &bag.local_key_id else { continue };
        let leaf = archive.certs.iter().find(|c| c.local_key_id.as_deref() == Some(id.as_ref()));
        if let Some(leaf) = leaf {
            let chain = chain(leaf, &archive.certs);
            return Ok(Identity { chain, key: pkcs8_key(bag.key.as_der().to_vec()) });
        }
    }
    Err("no private key with a certificate in it".to_owned())
}

/// The certificates marked as trusted.
pub(super) fn anchors(
    bytes: &[u8],
    password: &Secret,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let archive = open(bytes, password)?;
    let trusted = archive.certs.iter().filter(|bag| bag.trusted && bag.local_key_id.is_none());
    Ok(trusted.map(der_of).collect())
}

/// Decrypts a PKCS#8 key that is encrypted by one of the schemes of PKCS12 only (`PBES1`): wrapped
/// into a store without integrity.
pub(super) fn decrypt_pkcs8(encrypted: &[u8], password: &Secret) -> Option<Vec<u8>> {
    const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
    const SHROUDED_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 10, 1, 2];
    const EXPLICIT: u8 = 0xa0;
    let tagged = |oid: &[u8], content: Vec<u8>| {
        let inner = [der::wrap(der::OID, oid), der::wrap(EXPLICIT, &content)].concat();
        der::wrap(der::SEQUENCE, &inner)
    };
    let data = |list: Vec<u8>| {
        tagged(DATA, der::wrap(der::OCTET_STRING, &der::wrap(der::SEQUENCE, &list)))
    };
    let bag = tagged(SHROUDED_KEY, encrypted.to_vec());
    let version = [2, 1, 3];
    let store = der::wrap(der::SEQUENCE, &[&version[..], &data(data(bag))].concat());
    let archive = Pkcs12Archive::from_pkcs12(&store, password.expose()).ok()?;
    archive.keys.first().map(|bag| bag.key.as_der().to_vec())
}

fn open(bytes: &[u8], password: &Secret) -> Result<Pkcs12Archive, String> {
    if bytes.first() != Some(&der::SEQUENCE) {
        return Err("Invalid keystore format: neither PKCS12 nor JKS (a text file needs the type \
                    PEM)"
            .to_owned());
    }
    Pkcs12Archive::from_pkcs12(bytes, password.expose()).map_err(|error| match error {
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => WRONG_PASSWORD.to_owned(),
        error => format!("Invalid keystore format: {error}"),
    })
}

fn chain(leaf: &CertificateBag, all: &[CertificateBag]) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![der_of(leaf)];
    while chain.len() < CHAIN_MAX {
        let Some(last) = chain.last() else { break };
        let Ok((_, certificate)) = X509Certificate::from_der(last) else { break };
        let issuer = certificate.issuer().as_raw();
        if certificate.subject().as_raw() == issuer {
            break;
        }
        let next = all.iter().find(|bag| {
            X509Certificate::from_der(bag.cert.as_der())
                .is_ok_and(|(_, c)| c.subject().as_raw() == issuer)
        });
        match next.map(der_of) {
            Some(next) if !chain.contains(&next) => chain.push(next),
            _ => break,
        }
    }
    chain
}

fn der_of(bag: &CertificateBag) -> CertificateDer<'static> {
    bag.cert.as_der().to_vec().into()
}
