//! The registry of schemes and the rules that span them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use jute::data::{Acl, Id};

use super::provider::{AuthOutcome, Provider, Remote};
use super::{DigestProvider, Identity, IpProvider};
use crate::base::ErrorCode;

/// Largest encoding of an expanded list, in bytes. Java has no limit: `auth` entries multiply with
/// the identities of the caller. Stricter than Java.
const EXPANDED_BYTES_MAX: usize = 2 * jute::codec::DEFAULT_MAX_BUFFER;

/// What decides about access. The same on all servers of an ensemble.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `skipACL`: every check passes.
    pub skip_acl: bool,
    /// Scheme `digest`; `None` if it is switched off.
    pub digest: Option<DigestProvider>,
    /// Further schemes (`authProvider.*`): `sasl`, `x509`, `ensemble`, ... A later one replaces an
    /// earlier one of the same name, and `ip` and `digest` as well.
    pub providers: Vec<Arc<dyn Provider>>,
    /// Schemes of which every connection must have an identity before it may do anything
    /// (`sessionRequireClientSASLAuth`, `enforce.auth.schemes`). Empty: no enforcement.
    pub enforced: Vec<String>,
}

/// All schemes of a server (`ProviderRegistry`), and the checks that use them. Immutable; share it
/// in an [`Arc`].
#[derive(Debug)]
pub struct Schemes {
    skip_acl: bool,
    enforced: Vec<String>,
    /// Few, so a list beats a map.
    providers: Vec<Arc<dyn Provider>>,
}

impl Schemes {
    /// Builds the registry. Fails with the name of the scheme if an enforced scheme has no
    /// provider, which stops the server.
    pub fn new(options: Options) -> Result<Self, String> {
        let mut providers: Vec<Arc<dyn Provider>> = vec![Arc::new(IpProvider)];
        if let Some(digest) = options.digest {
            providers.push(Arc::new(digest));
        }
        for provider in options.providers {
            providers.retain(|p| p.scheme() != provider.scheme());
            providers.push(provider);
        }
        let schemes = Self { skip_acl: options.skip_acl, enforced: options.enforced, providers };
        match schemes.enforced.iter().find(|name| schemes.provider(name).is_none()) {
            Some(missing) => Err(missing.clone()),
            None => Ok(schemes),
        }
    }

    /// `ip` and `digest` with their defaults.
    pub fn standard() -> Self {
        let options = Options { digest: Some(DigestProvider::default()), ..Options::default() };
        Self::new(options).expect("nothing is enforced")
    }

    /// True if every check passes.
    pub fn skip_acl(&self) -> bool {
        self.skip_acl
    }

    /// The provider of a scheme. `world`, `auth` and `super` have none.
    pub fn provider(&self, scheme: &str) -> Option<&dyn Provider> {
        self.providers.iter().find(|p| p.scheme() == scheme).map(|p| &**p)
    }

    /// Handles an auth packet.
    pub fn authenticate(
        &self,
        scheme: Option<&str>,
        data: Option<&[u8]>,
        remote: &Remote<'_>,
    ) -> AuthOutcome {
        match scheme.and_then(|scheme| self.provider(scheme)) {
            Some(provider) => provider.authenticate(data, remote),
            None => AuthOutcome::Failed,
        }
    }

    /// True if a connection with these identities may send requests other than `auth` and `sasl`
    /// (`AuthenticationHelper.enforceAuthentication`). If false: answer -124 with zxid 0, close.
    pub fn is_authenticated_enough(&self, identities: &[Identity]) -> bool {
        self.enforced.is_empty()
            || identities.iter().any(|identity| self.enforced.contains(&identity.scheme))
    }

    /// True if an identity of this scheme is one of those that connections need.
    pub fn enforces(&self, scheme: &str) -> bool {
        self.enforced.iter().any(|enforced| enforced == scheme)
    }

    /// Checks that `identities` have one of the permission bits in `wanted` on a znode with the
    /// list `acl` (`ZooKeeperServer.checkACL`). Fails with NOAUTH.
    pub fn check(
        &self,
        acl: &[Acl],
        wanted: i32,
        identities: &[Identity],
    ) -> Result<(), ErrorCode> {
        if self.skip_acl || acl.is_empty() || identities.iter().any(Identity::is_super) {
            return Ok(());
        }
        let granted = acl
            .iter()
            .any(|entry| entry.perms & wanted != 0 && self.includes(&entry.id, identities));
        if granted { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }

    /// True if `acl` grants any of `wanted`, see [`Schemes::check`].
    pub fn allows(&self, acl: &[Acl], wanted: i32, identities: &[Identity]) -> bool {
        self.check(acl, wanted, identities).is_ok()
    }

    fn includes(&self, entry: &Id, identities: &[Identity]) -> bool {
        // A null in a stored list comes only from a damaged log; it grants nothing.
        let (Some(scheme), Some(id)) = (&entry.scheme, &entry.id) else { return false };
        if is_world(scheme, id) {
            return true;
        }
        let Some(provider) = self.provider(scheme) else { return false };
        identities.iter().any(|i| i.scheme == *scheme && provider.matches(&i.id, id))
    }

    /// The list as it goes into a transaction: duplicates removed, `auth` replaced by the caller's
    /// identities (`PrepRequestProcessor.fixupACL`).
    ///
    /// Fails with INVALIDACL; or with MARSHALLINGERROR if an id that is looked at is null, where
    /// Java runs into a `NullPointerException`.
    pub fn fix_up(
        &self,
        acl: Option<Vec<Acl>>,
        identities: &[Identity],
    ) -> Result<Vec<Acl>, ErrorCode> {
        let mut acl = acl.unwrap_or_default();
        remove_duplicates(&mut acl);
        if acl.is_empty() {
            return Err(ErrorCode::InvalidAcl);
        }
        let mut fixed = Vec::with_capacity(acl.len());
        let mut bytes = 0;
        for entry in acl {
            let scheme = entry.id.scheme.as_deref().ok_or(ErrorCode::InvalidAcl)?;
            if scheme == "auth" {
                self.expand_auth(entry.perms, identities, &mut fixed, &mut bytes)?;
                continue;
            }
            let world = scheme == "world";
            let provider = self.provider(scheme);
            if provider.is_none() && !world {
                return Err(ErrorCode::InvalidAcl);
            }
            let id = entry.id.id.as_deref().ok_or(ErrorCode::MarshallingError)?;
            if !is_world(scheme, id) && !provider.is_some_and(|p| p.is_valid(id)) {
                return Err(ErrorCode::InvalidAcl);
            }
            fixed.push(entry);
        }
        Ok(fixed)
    }

    fn expand_auth(
        &self,
        perms: i32,
        identities: &[Identity],
        fixed: &mut Vec<Acl>,
        bytes: &mut usize,
    ) -> Result<(), ErrorCode> {
        let before = fixed.len();
        for identity in identities {
            if self.provider(&identity.scheme).is_some_and(Provider::is_authenticated) {
                *bytes += 12 + identity.scheme.len() + identity.id.len();
                if *bytes > EXPANDED_BYTES_MAX {
                    return Err(ErrorCode::InvalidAcl);
                }
                fixed.push(Acl { perms, id: identity.to_record() });
            }
        }
        if fixed.len() == before { Err(ErrorCode::InvalidAcl) } else { Ok(()) }
    }

    /// What `whoAmI` and the audit log show for an identity; `None` if its scheme has no provider,
    /// such as `super` (`AuthUtil.getUser`).
    pub fn user_name<'a>(&self, identity: &'a Identity) -> Option<&'a str> {
        self.provider(&identity.scheme).map(|provider| provider.user_name(&identity.id))
    }
}

fn is_world(scheme: &str, id: &str) -> bool {
    scheme == "world" && id == "anyone"
}

/// Keeps the first of equal entries.
fn remove_duplicates(acl: &mut Vec<Acl>) {
    if acl.len() < 2 {
        return;
    }
    let mut seen = BTreeSet::new();
    let keep: Vec<bool> = acl
        .iter()
        .map(|entry| seen.insert((entry.perms, &entry.id.scheme, &entry.id.id)))
        .collect();
    let mut keep = keep.into_iter();
    acl.retain(|_| keep.next().expect("one flag for each entry"));
}

/// An entry as `getACL` shows it to a caller without ADMIN: in `digest` ids everything from the
/// first colon on becomes `:x`; other schemes are shown in full.
pub fn mask(entry: &Acl) -> Cow<'_, Acl> {
    let (Some("digest"), Some(id)) = (entry.id.scheme.as_deref(), entry.id.id.as_deref()) else {
        return Cow::Borrowed(entry);
    };
    let Some((user, _)) = id.split_once(':') else { return Cow::Borrowed(entry) };
    Cow::Owned(Acl::new(entry.perms, "digest", &format!("{user}:x")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{EnsembleProvider, SaslProvider};

    /// A list in short: permissions and `scheme:id`.
    type Short<'a> = &'a [(i32, &'a str)];

    fn ids(list: &[&str]) -> Vec<Identity> {
        list.iter()
            .map(|text| {
                let (scheme, id) = text.split_once(':').unwrap();
                Identity::new(scheme, id)
            })
            .collect()
    }

    fn acl(list: &[(i32, &str)]) -> Vec<Acl> {
        list.iter()
            .map(|(perms, text)| {
                let (scheme, id) = text.split_once(':').unwrap();
                Acl::new(*perms, scheme, id)
            })
            .collect()
    }

    #[test]
    fn check() {
        let schemes = Schemes::standard();
        let cases: &[(Short<'_>, i32, &[&str], bool)] = &[
            (&[], 4, &[], true),
            (&[(31, "world:anyone")], 4, &[], true),
            (&[(1, "world:anyone")], 4, &[], false),
            (&[(1, "world:anyone")], 1 | 16, &[], true),
            (&[(31, "digest:u:h")], 1, &["digest:u:h"], true),
            (&[(31, "digest:u:h")], 1, &["digest:u:i", "ip:1.2.3.4"], false),
            (&[(31, "ip:10.0.0.0/8")], 1, &["ip:10.1.1.1"], true),
            (&[(31, "sasl:bob")], 1, &["sasl:bob"], false),
            (&[(0, "world:nobody")], 1, &["super:"], true),
            (&[(31, "world:nobody")], 1, &["ip:1.2.3.4"], false),
            (&[(-1, "world:anyone")], 16, &[], true),
        ];
        for (list, wanted, who, expected) in cases {
            let result = schemes.check(&acl(list), *wanted, &ids(who));
            assert_eq!(result.is_ok(), *expected, "{list:?} {wanted} {who:?}");
        }
        let null = Acl { perms: 31, id: Id { scheme: None, id: None } };
        assert_eq!(schemes.check(&[null], 1, &[]), Err(ErrorCode::NoAuth));
        let open = Schemes::new(Options { skip_acl: true, ..Options::default() }).unwrap();
        assert_eq!(open.check(&acl(&[(1, "world:anyone")]), 4, &[]), Ok(()));
    }

    #[test]
    fn fix_up() {
        let schemes = Schemes::new(Options {
            digest: Some(DigestProvider::default()),
            providers: vec![
                Arc::new(SaslProvider::default()),
                Arc::new(EnsembleProvider::default()),
            ],
            ..Options::default()
        })
        .unwrap();
        let who = ids(&["ip:1.1.1.1", "super:", "digest:u:h", "sasl:bob"]);
        let ok: &[(Short<'_>, Short<'_>)] = &[
            (&[(31, "world:anyone")], &[(31, "world:anyone")]),
            (
                &[(1, "world:anyone"), (1, "world:anyone"), (2, "world:anyone")],
                &[(1, "world:anyone"), (2, "world:anyone")],
            ),
            (&[(7, "auth:whatever")], &[(7, "digest:u:h"), (7, "sasl:bob")]),
            // Expansions are not compared again.
            (
                &[(7, "digest:u:h"), (7, "auth:"), (1, "auth:")],
                &[
                    (7, "digest:u:h"),
                    (7, "digest:u:h"),
                    (7, "sasl:bob"),
                    (1, "digest:u:h"),
                    (1, "sasl:bob"),
                ],
            ),
            (&[(-1, "ip:10.0.0.0/8")], &[(-1, "ip:10.0.0.0/8")]),
        ];
        for (input, expected) in ok {
            assert_eq!(schemes.fix_up(Some(acl(input)), &who), Ok(acl(expected)), "{input:?}");
        }
        for bad in [
            "world:any",
            "world:",
            "digest:u",
            "ip:1.2.3.4/",
            "super:",
            "super:x",
            "x509:CN=a",
            "ensemble:x",
            "nosuch:x",
            "sasl:a@b@c",
        ] {
            let list = [(31, "world:anyone"), (31, bad)];
            assert_eq!(schemes.fix_up(Some(acl(&list)), &who), Err(ErrorCode::InvalidAcl), "{bad}");
        }
        let invalid = Err(ErrorCode::InvalidAcl);
        assert_eq!(schemes.fix_up(None, &who), invalid);
        assert_eq!(schemes.fix_up(Some(vec![]), &who), invalid);
        assert_eq!(schemes.fix_up(Some(acl(&[(1, "auth:")])), &ids(&["ip:1.1.1.1"])), invalid);
        let nulls = |scheme: Option<&str>| {
            let id = Id { scheme: scheme.map(str::to_owned), id: None };
            Some(vec![Acl { perms: 1, id }])
        };
        assert_eq!(schemes.fix_up(nulls(None), &who), invalid);
        assert_eq!(schemes.fix_up(nulls(Some("nosuch")), &who), invalid);
        for scheme in ["world", "digest", "ip"] {
            let result = schemes.fix_up(nulls(Some(scheme)), &who);
            assert_eq!(result, Err(ErrorCode::MarshallingError), "{scheme}");
        }
        assert!(schemes.fix_up(nulls(Some("auth")), &who).is_ok());
    }

    #[test]
    fn expansion_is_bounded() {
        let schemes = Schemes::standard();
        let long = "x".repeat(1000);
        let who: Vec<Identity> =
            (0..100).map(|i| Identity::new("digest", &format!("{i}{long}"))).collect();
        let list = |n: i32| Some((0..n).map(|perms| Acl::new(perms, "auth", "")).collect());
        assert_eq!(schemes.fix_up(list(2), &who).map(|l| l.len()), Ok(200));
        assert_eq!(schemes.fix_up(list(1000), &who), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn masking_hides_digests_only() {
        let cases = [
            ("digest:u:h", "digest:u:x"),
            ("digest::h:i", "digest::x"),
            ("digest:nocolon", "digest:nocolon"),
            ("ip:1:2", "ip:1:2"),
        ];
        for (entry, shown) in cases {
            assert_eq!(mask(&acl(&[(5, entry)])[0]).into_owned(), acl(&[(5, shown)])[0]);
        }
    }

    #[test]
    fn authentication_and_enforcement() {
        let remote = Remote::new("10.0.0.1".parse().unwrap());
        let schemes = Schemes::standard();
        for unknown in [None, Some("world"), Some("auth"), Some("super"), Some("sasl")] {
            let outcome = schemes.authenticate(unknown, Some(b"x"), &remote);
            assert_eq!(outcome, AuthOutcome::Failed, "{unknown:?}");
        }
        assert_eq!(
            schemes.authenticate(Some("ip"), None, &remote),
            AuthOutcome::Granted(ids(&["ip:10.0.0.1"]))
        );
        assert!(schemes.is_authenticated_enough(&[]));
        let enforced = |list: &[&str]| {
            Schemes::new(Options {
                digest: Some(DigestProvider::default()),
                enforced: list.iter().map(|s| (*s).to_owned()).collect(),
                ..Options::default()
            })
        };
        assert_eq!(enforced(&["sasl"]).unwrap_err(), "sasl");
        let schemes = enforced(&["digest"]).unwrap();
        assert!(!schemes.is_authenticated_enough(&ids(&["ip:1.1.1.1"])));
        assert!(schemes.is_authenticated_enough(&ids(&["ip:1.1.1.1", "digest:u:h"])));
    }

    #[test]
    fn user_names() {
        let schemes = Schemes::standard();
        let show = |text: &str| schemes.user_name(&ids(&[text])[0]).map(str::to_owned);
        assert_eq!(show("digest:u:h").as_deref(), Some("u"));
        assert_eq!(show("ip:1.1.1.1").as_deref(), Some("1.1.1.1"));
        assert_eq!(show("super:"), None);
    }
}
