//! PEM files: certificates in order, and one PKCS#8 key (`PemReader`). More kinds of encrypted keys
//! are read than by any one JDK.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;

use super::{Identity, Secret, is_certificate, pkcs8_key, pkcs12};

/// The key and every certificate of the file.
pub(super) fn identity(bytes: &[u8], password: &Secret) -> Result<Identity, String> {
    let blocks = blocks(bytes)?;
    let chain = certificates_in(&blocks)?;
    if chain.is_empty() {
        return Err("no certificate in it".to_owned());
    }
    let key = blocks
        .iter()
        .find(|block| block.label.ends_with("PRIVATE KEY"))
        .ok_or("did not find a private key in it")?;
    let key = match key.label.as_str() {
        "PRIVATE KEY" => key.content.clone(),
        "ENCRYPTED PRIVATE KEY" => decrypt(&key.content, password)
            .ok_or("the private key cannot be decrypted: the password is wrong or missing")?,
        label => {
            return Err(format!(
                "a key of the kind `{label}`; convert it with openssl pkcs8 -topk8"
            ));
        }
    };
    Ok(Identity { chain, key: pkcs8_key(key) })
}

/// Every certificate of the file.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    certificates_in(&blocks(bytes)?)
}

struct Block {
    label: String,
    content: Vec<u8>,
}

fn certificates_in(blocks: &[Block]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for block in blocks {
        if matches!(
            block.label.as_str(),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"
        ) {
            if !is_certificate(&block.content) {
                return Err(format!("certificate {} cannot be decoded", found.len() + 1));
            }
            found.push(block.content.clone().into());
        }
    }
    Ok(found)
}

/// What stands between BEGIN and END lines; text outside is ignored.
fn blocks(bytes: &[u8]) -> Result<Vec<Block>, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines().map(str::trim) {
        if let Some(label) = boundary(line, "BEGIN") {
            open = Some((label, String::new()));
        } else if let Some(label) = boundary(line, "END") {
            let Some((begun, content)) = open.take() else { continue };
            if begun != label {
                return Err(format!("`BEGIN {begun}` ends with `END {label}`"));
            }
            let content = STANDARD
                .decode(content)
                .map_err(|error| format!("`{label}` is not base64: {error}"))?;
            blocks.push(Block { label, content });
        } else if let Some((_, content)) = &mut open {
            content.push_str(line);
        }
    }
    Ok(blocks)
}

fn boundary(line: &str, word: &str) -> Option<String> {
    let inner = line.strip_prefix("-----")?.strip_suffix("-----")?;
    Some(inner.strip_prefix(word)?.trim().to_owned())
}

fn decrypt(encrypted: &[u8], password: &Secret) -> Option<Vec<u8>> {
    let info = pkcs8::EncryptedPrivateKeyInfoRef::try_from(encrypted).ok();
    let modern = info.and_then(|info| info.decrypt(password.expose()).ok());
    match modern {
        Some(document) => Some(document.as_bytes().to_vec()),
        None => pkcs12::decrypt_pkcs8(encrypted, password),
    }
}
