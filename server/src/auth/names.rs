//! Does a certificate name the other side? (`ZKHostnameVerifier`, `ZKTrustManager`)
//!
//! If the certificate has a DNS or IP subject alternative name, only those count; only without any
//! does the last common name of the subject.

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::dn;

/// Names that a certificate has.
struct Names {
    dns: Vec<String>,
    ips: Vec<IpAddr>,
    common: Option<String>,
}

/// True if the certificate is one for this address.
pub(super) fn is_for_address(certificate: &[u8], address: IpAddr) -> bool {
    let Some(names) = names(certificate) else { return false };
    if names.dns.is_empty() && names.ips.is_empty() {
        let common = names.common.and_then(|name| name.parse::<IpAddr>().ok());
        return common == Some(address.to_canonical());
    }
    names.ips.contains(&address.to_canonical())
}

/// True if the certificate is one for this name, which may be the text of an address.
pub(super) fn is_for_host(certificate: &[u8], host: &str) -> bool {
    if let Ok(address) = host.parse() {
        return is_for_address(certificate, address);
    }
    let Some(names) = names(certificate) else { return false };
    if names.dns.is_empty() && names.ips.is_empty() {
        return names.common.is_some_and(|pattern| matches(&pattern, host));
    }
    names.dns.iter().any(|pattern| matches(pattern, host))
}

fn names(certificate: &[u8]) -> Option<Names> {
    const CN: &[u8] = &[0x55, 4, 3];
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut names = Names {
        dns: Vec::new(),
        ips: Vec::new(),
        common: dn::values(certificate.subject().as_raw(), CN).last(),
    };
    if let Some(san) = certificate.subject_alternative_name().ok()? {
        for name in &san.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                    let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
                    names.ips.extend(v4.or(v6).ok().map(|ip| ip.to_canonical()));
                }
                _ => {}
            }
        }
    }
    Some(names)
}

/// One `*` in a pattern stands for anything without a dot; case does not count.
fn matches(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.to_ascii_lowercase(), host.to_ascii_lowercase());
    let host = host.strip_suffix('.').unwrap_or(&host);
    match pattern.split_once('*') {
        None => pattern == host,
        Some((_, tail)) if tail.contains('*') => false,
        Some((head, tail)) => {
            host.len() >= head.len() + tail.len()
                && host.starts_with(head)
                && host.ends_with(tail)
                && !host[head.len()..host.len() - tail.len()].contains('.')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, host, expected) in [
            ("a.example", "A.Example", true),
            ("a.example", "a.example.", true),
            ("a.example", "b.example", false),
            ("*.example", "a.example", true),
            ("*.example", "a.b.example", false),
            ("*.example", "example", false),
            ("zk-*.example", "zk-1.example", true),
            ("*.*", "a.b", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
    }
}
