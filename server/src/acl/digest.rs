//! Scheme `digest`: user name and password (`DigestAuthenticationProvider`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest;

use super::Identity;
use super::provider::{AuthOutcome, Provider, Remote};

/// The hash of `user:password`, property `DigestAuthenticationProvider.digestAlg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum DigestAlgorithm {
    Md5,
    #[default]
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
}

impl DigestAlgorithm {
    /// The algorithm with a JCA name (`SHA1`, `SHA-256`, `SHA3-256`, ...), in any case. `None` is a
    /// startup failure.
    pub fn from_java_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "MD5" => Self::Md5,
            "SHA" | "SHA1" | "SHA-1" => Self::Sha1,
            "SHA224" | "SHA-224" => Self::Sha224,
            "SHA256" | "SHA-256" => Self::Sha256,
            "SHA384" | "SHA-384" => Self::Sha384,
            "SHA512" | "SHA-512" => Self::Sha512,
            "SHA3-224" => Self::Sha3_224,
            "SHA3-256" => Self::Sha3_256,
            "SHA3-384" => Self::Sha3_384,
            "SHA3-512" => Self::Sha3_512,
            _ => return None,
        })
    }

    fn hash(self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => md5::Md5::digest(text).to_vec(),
            Self::Sha1 => sha1::Sha1::digest(text).to_vec(),
            Self::Sha224 => sha2::Sha224::digest(text).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(text).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(text).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(text).to_vec(),
            Self::Sha3_224 => sha3::Sha3_224::digest(text).to_vec(),
            Self::Sha3_256 => sha3::Sha3_256::digest(text).to_vec(),
            Self::Sha3_384 => sha3::Sha3_384::digest(text).to_vec(),
            Self::Sha3_512 => sha3::Sha3_512::digest(text).to_vec(),
        }
    }

    /// The id of `user:password`: the text before the first colon, a colon, and the hash of the
    /// whole text in base64. Without a colon the whole text is the user.
    pub fn id(self, user_and_password: &str) -> String {
        let user = user_and_password.split(':').next().unwrap_or_default();
        format!("{user}:{}", STANDARD.encode(self.hash(user_and_password.as_bytes())))
    }
}

/// The scheme `digest`.
#[derive(Debug, Clone, Default)]
pub struct DigestProvider {
    /// The hash.
    pub algorithm: DigestAlgorithm,
    /// Id of the super user, property `DigestAuthenticationProvider.superDigest`.
    pub super_digest: Option<String>,
}

impl Provider for DigestProvider {
    fn scheme(&self) -> &str {
        "digest"
    }

    fn is_authenticated(&self) -> bool {
        true
    }

    /// Two parts as Java's `split(":")` counts them: empty parts at the end do not count, an empty
    /// one at the start does.
    fn is_valid(&self, id: &str) -> bool {
        java_split_count(id) == 2
    }

    fn matches(&self, id: &str, acl_id: &str) -> bool {
        id == acl_id
    }

    fn user_name<'a>(&self, id: &'a str) -> &'a str {
        id.split(':').next().unwrap_or_default()
    }

    /// Never fails except on null: any text is a user and a password. Malformed UTF-8 is replaced
    /// before it is hashed, as in Java.
    fn authenticate(&self, data: Option<&[u8]>, _remote: &Remote<'_>) -> AuthOutcome {
        let Some(data) = data else { return AuthOutcome::Failed };
        let id = self.algorithm.id(&String::from_utf8_lossy(data));
        let mut granted = Vec::with_capacity(2);
        if self.super_digest.as_deref() == Some(id.as_str()) {
            granted.push(Identity::new("super", ""));
        }
        granted.push(Identity { scheme: "digest".to_owned(), id });
        AuthOutcome::Granted(granted)
    }
}

/// Number of parts of Java's `text.split(":")`, which drops empty parts at the end. The empty
/// text is one part.
fn java_split_count(text: &str) -> usize {
    if text.is_empty() {
        return 1;
    }
    let kept = text.trim_end_matches(':');
    if kept.is_empty() { 0 } else { kept.split(':').count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authenticate(provider: &DigestProvider, data: Option<&[u8]>) -> AuthOutcome {
        let remote = Remote::new("127.0.0.1".parse().unwrap());
        provider.authenticate(data, &remote)
    }

    #[test]
    fn ids_are_javas() {
        let cases = [
            (DigestAlgorithm::Sha1, "u:p", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="),
            (DigestAlgorithm::Sha1, "super:pw", "super:0bX78nEegDzJM3ju0iLBEJdWzjg="),
            (DigestAlgorithm::Sha1, "super:test", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="),
            (DigestAlgorithm::Sha1, "a:b:c", "a:cLzgnoJ6mP5qz3w+mwvPE2vDgu0="),
            (DigestAlgorithm::Sha1, "nocolon", "nocolon:Ra+cHr2ZoHvBjtNArFGNGlVie4g="),
            (
                DigestAlgorithm::Sha256,
                "super:test",
                "super:wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig=",
            ),
        ];
        for (algorithm, text, id) in cases {
            assert_eq!(algorithm.id(text), id);
        }
        assert_eq!(DigestAlgorithm::from_java_name("sha-256"), Some(DigestAlgorithm::Sha256));
        assert_eq!(DigestAlgorithm::from_java_name("CRC32"), None);
    }

    #[test]
    fn validity_follows_javas_split() {
        let provider = DigestProvider::default();
        for good in ["a:b", ":b", "a:b:", "a:b::"] {
            assert!(provider.is_valid(good), "{good}");
        }
        for bad in ["", "a", "a:", "a:b:c", ":", "::", "a::", "a::b"] {
            assert!(!provider.is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn the_super_digest_adds_the_super_identity_first() {
        let provider = DigestProvider {
            super_digest: Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=".to_owned()),
            ..DigestProvider::default()
        };
        assert_eq!(
            authenticate(&provider, Some(b"super:test")),
            AuthOutcome::Granted(vec![
                Identity::new("super", ""),
                Identity::new("digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="),
            ])
        );
        let AuthOutcome::Granted(ids) = authenticate(&provider, Some(b"super:tost")) else {
            panic!("digest refuses nothing")
        };
        assert_eq!(ids.len(), 1);
        assert_eq!(authenticate(&provider, None), AuthOutcome::Failed);
        assert_eq!(provider.user_name(":x"), "");
    }
}
