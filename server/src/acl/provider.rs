//! What a scheme must know, and the schemes that need no code of their own.

use std::fmt;
use std::net::IpAddr;

use super::Identity;

/// What is known about the other end of a connection when it authenticates.
#[derive(Debug, Clone)]
pub struct Remote<'a> {
    /// Its address.
    pub ip: IpAddr,
    /// Subject of its verified TLS certificate (RFC 2253 text), if it has one.
    pub x509_subject: Option<&'a str>,
}

impl Remote<'_> {
    /// A connection without TLS.
    pub fn new(ip: IpAddr) -> Self {
        Self { ip, x509_subject: None }
    }
}

/// Result of an auth packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthOutcome {
    /// Answer with error 0 and add these identities to the connection.
    Granted(Vec<Identity>),
    /// Answer with AUTHFAILED (-115), then close.
    Failed,
    /// Close without an answer, so that the client tries another server (scheme `ensemble`).
    Close,
}

/// An authentication scheme (`ServerAuthenticationProvider`).
pub trait Provider: Send + Sync + fmt::Debug {
    /// Its name.
    fn scheme(&self) -> &str;

    /// True if an ACL entry of scheme `auth` expands to identities of this scheme.
    fn is_authenticated(&self) -> bool;

    /// True if `id` may stand in an ACL.
    fn is_valid(&self, id: &str) -> bool;

    /// True if a caller with the identity `id` is meant by the ACL entry `acl_id`.
    fn matches(&self, id: &str, acl_id: &str) -> bool;

    /// What `whoAmI` and the audit log show for `id`.
    fn user_name<'a>(&self, id: &'a str) -> &'a str {
        id
    }

    /// Handles an auth packet (op 100).
    fn authenticate(&self, data: Option<&[u8]>, remote: &Remote<'_>) -> AuthOutcome;
}

/// Scheme `sasl` (`SASLAuthenticationProvider`). The exchange itself is op 102, not an auth packet.
#[derive(Debug, Clone, Default)]
pub struct SaslProvider {
    /// An ACL id that means every SASL user, property `letAnySaslUserDoX`.
    pub any_user: Option<String>,
}

impl Provider for SaslProvider {
    fn scheme(&self) -> &str {
        "sasl"
    }

    fn is_authenticated(&self) -> bool {
        true
    }

    /// A Kerberos name: `service`, or `service[/host]@realm`.
    fn is_valid(&self, id: &str) -> bool {
        match id.split_once('@') {
            None => true,
            Some((name, realm)) => !realm.contains(['/', '@']) && name.split('/').count() <= 2,
        }
    }

    fn matches(&self, id: &str, acl_id: &str) -> bool {
        id == "super" || id == acl_id || self.any_user.as_deref() == Some(acl_id)
    }

    fn authenticate(&self, _data: Option<&[u8]>, _remote: &Remote<'_>) -> AuthOutcome {
        AuthOutcome::Failed
    }
}

/// Scheme `x509` (`X509AuthenticationProvider`). Verifying the chain is the TLS layer's work.
#[derive(Debug, Clone, Default)]
pub struct X509Provider {
    /// Subject of the super user, property `X509AuthenticationProvider.superUser`.
    pub super_user: Option<String>,
}

impl Provider for X509Provider {
    fn scheme(&self) -> &str {
        "x509"
    }

    fn is_authenticated(&self) -> bool {
        true
    }

    fn is_valid(&self, id: &str) -> bool {
        is_distinguished_name(id)
    }

    fn matches(&self, id: &str, acl_id: &str) -> bool {
        id == acl_id || self.super_user.as_deref() == Some(id)
    }

    fn authenticate(&self, _data: Option<&[u8]>, remote: &Remote<'_>) -> AuthOutcome {
        let Some(subject) = remote.x509_subject else { return AuthOutcome::Failed };
        let mut granted = Vec::with_capacity(2);
        if self.super_user.as_deref() == Some(subject) {
            granted.push(Identity::new("super", subject));
        }
        granted.push(Identity::new("x509", subject));
        AuthOutcome::Granted(granted)
    }
}

/// Scheme `ensemble` (`EnsembleAuthenticationProvider`): lets a client make sure that it talks to
/// the ensemble it means. Grants nothing.
#[derive(Debug, Clone, Default)]
pub struct EnsembleProvider {
    /// Accepted names, property `ensembleAuthName` split at commas and trimmed. `None` accepts all.
    pub names: Option<Vec<String>>,
}

impl Provider for EnsembleProvider {
    fn scheme(&self) -> &str {
        "ensemble"
    }

    fn is_authenticated(&self) -> bool {
        false
    }

    fn is_valid(&self, _id: &str) -> bool {
        false
    }

    fn matches(&self, _id: &str, _acl_id: &str) -> bool {
        false
    }

    fn authenticate(&self, data: Option<&[u8]>, _remote: &Remote<'_>) -> AuthOutcome {
        let accepted = match (data, &self.names) {
            (None | Some([]), _) | (_, None) => true,
            (Some(name), Some(names)) => {
                let name = String::from_utf8_lossy(name);
                names.iter().any(|n| *n == name)
            }
        };
        if accepted { AuthOutcome::Granted(Vec::new()) } else { AuthOutcome::Close }
    }
}

/// True if `text` has the shape of an X.500 name: `type=value` pairs joined by `,`, `;` or `+`,
/// where a value may be quoted and characters may be escaped. The empty name is valid.
fn is_distinguished_name(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() {
        return true;
    }
    let mut rest = text;
    loop {
        let Some((kind, value)) = rest.split_once('=') else { return false };
        if !is_attribute_type(kind.trim()) {
            return false;
        }
        match skip_attribute_value(value) {
            Some("") => return true,
            // The separator is one byte; something must follow it.
            Some(tail) if tail.len() > 1 => rest = &tail[1..],
            _ => return false,
        }
    }
}

/// A keyword or a dotted number, the latter with an optional `OID.` in front.
fn is_attribute_type(kind: &str) -> bool {
    let number = kind.strip_prefix("OID.").or_else(|| kind.strip_prefix("oid.")).unwrap_or(kind);
    if number.starts_with(|c: char| c.is_ascii_digit()) {
        return number.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    }
    kind.starts_with(|c: char| c.is_ascii_alphabetic())
        && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// What follows an attribute value, separator included. `None` if the value is malformed.
fn skip_attribute_value(value: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in value.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' | ';' | '+' if !quoted => return Some(&value[at..]),
            _ => {}
        }
    }
    (!quoted && !escaped).then_some("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(subject: Option<&str>) -> Remote<'_> {
        Remote { ip: "127.0.0.1".parse().unwrap(), x509_subject: subject }
    }

    #[test]
    fn sasl_ids_are_kerberos_names() {
        let provider = SaslProvider::default();
        for good in ["bob", "a/b/c", "", "bob@R", "zk/host@R", "@R", "bob@"] {
            assert!(provider.is_valid(good), "{good}");
        }
        for bad in ["a@b@c", "a/b/c@R", "bob@R/x"] {
            assert!(!provider.is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn sasl_matches() {
        let provider = SaslProvider { any_user: Some("anyone".to_owned()) };
        assert!(provider.matches("bob", "bob"));
        assert!(!provider.matches("bob", "eve"));
        assert!(provider.matches("super", "eve"));
        assert!(provider.matches("bob", "anyone"));
        assert!(!SaslProvider::default().matches("bob", "anyone"));
        assert_eq!(provider.authenticate(Some(b""), &remote(None)), AuthOutcome::Failed);
    }

    #[test]
    fn x509_ids_are_distinguished_names() {
        let provider = X509Provider::default();
        for good in [
            "CN=a",
            "CN=Client One,OU=A+OU=B,O=Ex \\\"Q\\\"\\, Inc,ST=CA,C=US",
            "1.2.840.113549.1.9.1=#1605",
            "OID.1.2=x",
            "EMAILADDRESS=a@b.c",
            "CN=\"a,b\"",
            "",
            "CN=",
            "CN=a;O=b",
        ] {
            assert!(provider.is_valid(good), "{good}");
        }
        for bad in ["a", "=b", "CN=a,", "CN=a,b", "CN=\"a", "CN=a\\", "C N=a", "1..2=x"] {
            assert!(!provider.is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn x509_grants_the_subject_and_perhaps_super() {
        let provider = X509Provider { super_user: Some("CN=root".to_owned()) };
        assert_eq!(provider.authenticate(None, &remote(None)), AuthOutcome::Failed);
        assert_eq!(
            provider.authenticate(None, &remote(Some("CN=a"))),
            AuthOutcome::Granted(vec![Identity::new("x509", "CN=a")])
        );
        assert_eq!(
            provider.authenticate(None, &remote(Some("CN=root"))),
            AuthOutcome::Granted(vec![
                Identity::new("super", "CN=root"),
                Identity::new("x509", "CN=root")
            ])
        );
        assert!(provider.matches("CN=root", "CN=a"));
        assert!(!provider.matches("CN=b", "CN=a"));
    }

    #[test]
    fn ensemble_accepts_its_names_only() {
        let provider = EnsembleProvider { names: Some(vec!["prod".to_owned()]) };
        let granted = AuthOutcome::Granted(Vec::new());
        for (data, expected) in [
            (None, &granted),
            (Some(&b""[..]), &granted),
            (Some(&b"prod"[..]), &granted),
            (Some(&b"test"[..]), &AuthOutcome::Close),
        ] {
            assert_eq!(&provider.authenticate(data, &remote(None)), expected);
        }
        let open = EnsembleProvider::default();
        assert_eq!(open.authenticate(Some(b"test"), &remote(None)), granted);
    }
}
