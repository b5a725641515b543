//! Names of protocols and cipher suites: JSSE's on one side, what the TLS library has on the other.

use rustls::crypto::ring::{ALL_CIPHER_SUITES, cipher_suite as suite};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use tracing::warn;

/// Java's default order, without its CBC suites: nobody needs them who speaks TLS 1.2 today.
const DEFAULT: &[SupportedCipherSuite] = &[
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// The suites of `names` in their order; the default without names.
///
/// # Errors
/// A name that no TLS library knows, or a list of which nothing is left.
pub(super) fn suites(
    key: &str,
    names: Option<&[String]>,
) -> Result<Vec<SupportedCipherSuite>, String> {
    let Some(names) = names else { return Ok(DEFAULT.to_vec()) };
    let mut chosen = Vec::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        match ALL_CIPHER_SUITES.iter().find(|known| jsse_name(**known) == *name) {
            Some(known) if !chosen.contains(known) => chosen.push(*known),
            Some(_) => {}
            None if is_plausible(name) => {
                warn!("{key}: {name} is not offered by this server and left out");
            }
            None => return Err(format!("{key}: Unsupported CipherSuite: {name}")),
        }
    }
    if chosen.is_empty() {
        return Err(format!(
            "{key}: no cipher suite is left; this server has {}",
            ALL_CIPHER_SUITES.iter().map(|s| jsse_name(*s)).collect::<Vec<_>>().join(", ")
        ));
    }
    Ok(chosen)
}

/// Suites JSSE knows and we do not: CBC, CCM, static RSA, finite-field Diffie-Hellman.
fn is_plausible(name: &str) -> bool {
    let form = name
        .strip_prefix("TLS_")
        .or_else(|| name.strip_prefix("SSL_"))
        .and_then(|rest| rest.split_once("_WITH_"));
    let Some((exchange, cipher)) = form else {
        return name == "TLS_EMPTY_RENEGOTIATION_INFO_SCSV";
    };
    let exchanges = [
        "RSA",
        "DHE_RSA",
        "DHE_DSS",
        "DH_anon",
        "ECDHE_RSA",
        "ECDHE_ECDSA",
        "ECDH_RSA",
        "ECDH_ECDSA",
        "ECDH_anon",
    ];
    let ciphers = ["AES_128_", "AES_256_", "3DES_EDE_CBC_", "CHACHA20_POLY1305_", "RC4_128_"];
    let digests = ["SHA", "SHA256", "SHA384", "MD5"];
    exchanges.contains(&exchange)
        && ciphers.iter().any(|c| cipher.starts_with(c))
        && cipher.rsplit('_').next().is_some_and(|digest| digests.contains(&digest))
}

/// TLS 1.3 suites have no key exchange in their names; the library's Debug text has a prefix.
fn jsse_name(suite: SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

/// The versions of `enabled`, or those that `protocol` stands for: itself, and on quorum ports
/// what is below.
pub(super) fn versions(
    prefix: &str,
    protocol: Option<&str>,
    enabled: Option<&[String]>,
    single: bool,
) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let protocol = protocol.filter(|p| !p.is_empty()).unwrap_or("TLSv1.3");
    let of_protocol = match protocol {
        "TLSv1.3" if single => vec![&TLS13],
        "TLSv1.3" | "TLS" | "Default" if !single => vec![&TLS13, &TLS12],
        "TLSv1.2" => vec![&TLS12],
        other if enabled.is_none() => {
            return Err(format!(
                "{prefix}.protocol: {other} SSLContext not available; allowed are TLSv1.2 and \
                 TLSv1.3"
            ));
        }
        _ => Vec::new(),
    };
    let Some(enabled) = enabled else { return Ok(of_protocol) };
    let mut chosen = Vec::new();
    for name in enabled.iter().filter(|name| !name.is_empty()) {
        match name.as_str() {
            "TLSv1.3" => chosen.push(&TLS13),
            "TLSv1.2" => chosen.push(&TLS12),
            "TLSv1.1" | "TLSv1" | "SSLv3" | "SSLv2Hello" => {
                warn!("{prefix}.enabledProtocols: {name} is not safe any more and left out");
            }
            other => {
                return Err(format!("{prefix}.enabledProtocols: Unsupported protocol {other}"));
            }
        }
    }
    if chosen.is_empty() {
        return Err(format!(
            "{prefix}.enabledProtocols: no protocol is left; allowed are TLSv1.2 and TLSv1.3"
        ));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn suites_have_the_names_of_jsse() {
        let list = |n: &[&str]| suites("k", Some(&names(n))).map(|list| list.len());
        assert_eq!(suites("k", None).map(|list| list.len()), Ok(7));
        assert_eq!(list(&["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"]), Ok(1));
        assert_eq!(list(&["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"]), Ok(2));
        let cbc = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA";
        assert_eq!(list(&[cbc, "TLS_CHACHA20_POLY1305_SHA256"]), Ok(1));
        assert!(list(&[cbc]).unwrap_err().contains("no cipher suite is left"));
        assert!(list(&["TLS_BOGUS"]).unwrap_err().contains("Unsupported CipherSuite: TLS_BOGUS"));
        let order =
            suites("k", Some(&names(&["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"])));
        assert_eq!(jsse_name(order.unwrap()[0]), "TLS_AES_128_GCM_SHA256");
    }

    #[test]
    fn protocols_as_java_chooses_them() {
        let of = |protocol: Option<&str>, enabled: Option<&[&str]>, single| {
            let enabled = enabled.map(names);
            versions("ssl", protocol, enabled.as_deref(), single)
                .map(|list| list.iter().map(|v| format!("{:?}", v.version)).collect::<Vec<_>>())
        };
        let (v2, v3) = ("TLSv1_2".to_owned(), "TLSv1_3".to_owned());
        assert_eq!(of(None, None, true), Ok(vec![v3.clone()]));
        assert_eq!(of(None, None, false), Ok(vec![v3.clone(), v2.clone()]));
        assert_eq!(of(Some("TLSv1.2"), None, true), Ok(vec![v2.clone()]));
        assert_eq!(of(None, Some(&["TLSv1.2", "TLSv1.3"]), true), Ok(vec![v2.clone(), v3]));
        assert_eq!(of(None, Some(&["TLSv1.1", "TLSv1.2"]), true), Ok(vec![v2]));
        assert!(of(None, Some(&["TLSv1"]), true).unwrap_err().contains("no protocol is left"));
        assert!(of(None, Some(&["bogus"]), true).unwrap_err().contains("Unsupported protocol"));
        assert!(of(Some("bogus"), None, false).unwrap_err().contains("SSLContext not available"));
    }
}
