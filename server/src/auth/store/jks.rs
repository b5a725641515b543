//! The Java key store format: a list of entries, each key under its own password, and a keyed
//! digest over everything (`JavaKeyStore`).

use rustls::pki_types::CertificateDer;
use sha1::{Digest, Sha1};

use super::{Identity, Secret, WRONG_PASSWORD, is_certificate, pkcs8_key};
use crate::auth::{der, same};

const MAGIC: &[u8] = &[0xfe, 0xed, 0xfe, 0xed];
const MAGIC_JCEKS: &[u8] = &[0xce, 0xce, 0xce, 0xce];
const DIGEST: usize = 20;
/// 1.3.6.1.4.1.42.2.17.1.1
const KEY_PROTECTOR: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];

/// True if the first bytes are those of a JKS or JCEKS file.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) || bytes.starts_with(MAGIC_JCEKS)
}

/// The first key entry.
pub(super) fn identity(bytes: &[u8], password: &Secret) -> Result<Identity, String> {
    let entries = entries(bytes, password)?;
    let (key, chain) = entries
        .into_iter()
        .find_map(|entry| match entry {
            Entry::Key(key, chain) if !chain.is_empty() => Some((key, chain)),
            _ => None,
        })
        .ok_or("no private key entry in it")?;
    let key = unprotect(key, password).ok_or(
        "Cannot recover key: the password of the key must be that of the store \
         (keytool -keypasswd)",
    )?;
    Ok(Identity { chain, key: pkcs8_key(key) })
}

/// The entries of trusted certificates.
pub(super) fn anchors(
    bytes: &[u8],
    password: &Secret,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let trusted = entries(bytes, password)?.into_iter().filter_map(|entry| match entry {
        Entry::Trusted(certificate) => Some(certificate),
        Entry::Key(..) => None,
    });
    Ok(trusted.collect())
}

enum Entry<'a> {
    Key(&'a [u8], Vec<CertificateDer<'static>>),
    Trusted(CertificateDer<'static>),
}

fn entries<'a>(bytes: &'a [u8], password: &Secret) -> Result<Vec<Entry<'a>>, String> {
    if bytes.starts_with(MAGIC_JCEKS) {
        return Err("JCEKS stores are not supported; convert it with keytool -importkeystore \
                    -deststoretype pkcs12"
            .to_owned());
    }
    let broken = || "Invalid keystore format: the file is cut short".to_owned();
    let (content, digest) =
        bytes.split_at_checked(bytes.len().saturating_sub(DIGEST)).ok_or_else(broken)?;
    let mut hash = Sha1::new();
    hash.update(utf16(password));
    hash.update(b"Mighty Aphrodite");
    hash.update(content);
    if !same(hash.finalize().as_slice(), digest) {
        return Err(WRONG_PASSWORD.to_owned());
    }
    parse(content).ok_or_else(broken)
}

fn parse(content: &[u8]) -> Option<Vec<Entry<'_>>> {
    let mut input = Input(content.get(MAGIC.len()..)?);
    let version = input.int()?;
    if !(1..=2).contains(&version) {
        return None;
    }
    let mut entries = Vec::new();
    for _ in 0..input.int()? {
        let tag = input.int()?;
        input.short_block()?; // alias
        input.take(8)?; // date
        match tag {
            1 => {
                let key = input.block()?;
                let mut chain = Vec::new();
                for _ in 0..input.int()? {
                    chain.push(input.certificate(version)?);
                }
                entries.push(Entry::Key(key, chain));
            }
            2 => entries.push(Entry::Trusted(input.certificate(version)?)),
            _ => return None,
        }
    }
    input.0.is_empty().then_some(entries)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn int(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let length = self.int()?;
        self.take(length as usize)
    }

    fn short_block(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        self.take(length.into())
    }

    fn certificate(&mut self, version: u32) -> Option<CertificateDer<'static>> {
        if version == 2 && self.short_block()? != b"X.509" {
            return None;
        }
        let bytes = self.block()?;
        is_certificate(bytes).then(|| bytes.to_vec().into())
    }
}

/// Undoes `KeyProtector`: the key is hidden under a chain of digests of the password.
fn unprotect(info: &[u8], password: &Secret) -> Option<Vec<u8>> {
    let (info, _) = der::expect(info, der::SEQUENCE)?;
    let (algorithm, rest) = der::expect(info, der::SEQUENCE)?;
    let (protector, _) = der::expect(algorithm, der::OID)?;
    if protector != KEY_PROTECTOR {
        return None;
    }
    let (data, _) = der::expect(rest, der::OCTET_STRING)?;
    let (salt, data) = data.split_at_checked(DIGEST)?;
    let (hidden, check) = data.split_at_checked(data.len().checked_sub(DIGEST)?)?;
    let password = utf16(password);
    let mut stream = salt.to_vec();
    let mut key = Vec::with_capacity(hidden.len());
    for block in hidden.chunks(DIGEST) {
        stream = Sha1::new().chain_update(&password).chain_update(&stream).finalize().to_vec();
        key.extend(block.iter().zip(&stream).map(|(a, b)| a ^ b));
    }
    let expected = Sha1::new().chain_update(&password).chain_update(&key).finalize();
    same(expected.as_slice(), check).then_some(key)
}

fn utf16(password: &Secret) -> Vec<u8> {
    password.expose().encode_utf16().flat_map(u16::to_be_bytes).collect()
}
