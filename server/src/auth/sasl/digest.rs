//! DIGEST-MD5 as the JDK speaks it: which texts are sent, which are taken, which hashes come out.
//! No randomness: nonces come from outside.

use md5::{Digest, Md5};

use crate::auth::same;

/// Longest response that is looked at, bytes.
const RESPONSE_BYTES_MAX: usize = 4096;

/// What both ends say about themselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    pub protocol: &'static str,
    /// Server name and realm.
    pub realm: &'static str,
}

/// Between clients and servers.
pub(super) const CLIENTS: Service = Service { protocol: "zookeeper", realm: "zk-sasl-md5" };
/// Between servers.
pub(super) const QUORUM: Service =
    Service { protocol: "zookeeper-quorum", realm: "zk-quorum-sasl-md5" };

/// Who showed that they know the password.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proven {
    /// The authentication id.
    pub user: String,
    /// The authorization id asked for.
    pub authzid: Option<String>,
    /// The last token: proves that we know the password, too.
    pub token: Vec<u8>,
}

/// What the server says first.
pub(super) fn challenge(service: Service, nonce: &str) -> Vec<u8> {
    let realm = service.realm;
    format!("realm=\"{realm}\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess").into_bytes()
}

/// Judges a client's response. `password` knows the users. The error is for the log: the client
/// is not told.
pub(super) fn verify(
    service: Service,
    nonce: &str,
    response: &[u8],
    password: impl Fn(&str) -> Option<String>,
) -> Result<Proven, &'static str> {
    if response.len() > RESPONSE_BYTES_MAX {
        return Err("the response is too long");
    }
    let given = Directives::parse(
        response,
        &[
            "charset",
            "username",
            "realm",
            "nonce",
            "cnonce",
            "nonce-count",
            "qop",
            "digest-uri",
            "response",
            "authzid",
            "maxbuf",
            "cipher",
        ],
    )?;
    let utf8 = match given.get("charset") {
        None => false,
        Some(b"utf-8") => true,
        Some(_) => return Err("charset"),
    };
    let username = given.get("username").ok_or("no username")?;
    let username = decode(username, utf8).ok_or("the username is not text")?;
    if given.get("realm") != Some(service.realm.as_bytes()) {
        return Err("realm");
    }
    if given.get("nonce") != Some(nonce.as_bytes()) {
        return Err("nonce");
    }
    let cnonce = given.get("cnonce").ok_or("no cnonce")?;
    if given.get("qop").is_some_and(|qop| qop != b"auth") {
        return Err("qop: only auth");
    }
    if given
        .get("maxbuf")
        .is_some_and(|n| std::str::from_utf8(n).ok().and_then(|n| n.parse::<i32>().ok()).is_none())
    {
        return Err("maxbuf");
    }
    let uri = given.get("digest-uri").ok_or("no digest-uri")?;
    let own_uri = format!("{}/{}", service.protocol, service.realm);
    if !uri.eq_ignore_ascii_case(own_uri.as_bytes()) {
        return Err("digest-uri");
    }
    let claimed = given.get("response").filter(|r| r.len() == 32).ok_or("no response")?;
    let authzid = given.get("authzid");
    // An unknown user costs what a known one costs.
    let known = password(&username);
    let secret = known.clone().unwrap_or_default();
    let session = Session {
        user: &username,
        password: &secret,
        nonce,
        cnonce,
        realm: service.realm,
        authzid,
        uri,
    };
    let expected = session.hash(b"AUTHENTICATE:");
    if !same(expected.as_bytes(), claimed) || known.is_none() {
        return Err("unknown user or wrong password");
    }
    let authzid = match authzid {
        None | Some([]) => None,
        Some(bytes) => Some(decode(bytes, utf8).ok_or("the authzid is not text")?),
    };
    let token = format!("rspauth={}", session.hash(b":")).into_bytes();
    Ok(Proven { user: username, authzid, token })
}

/// A client's response to a challenge, and the token the server must prove itself with.
pub(super) fn respond(
    service: Service,
    challenge: &[u8],
    user: &str,
    password: &str,
    cnonce: &str,
) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
    if challenge.len() > RESPONSE_BYTES_MAX {
        return Err("the challenge is too long");
    }
    let given = Directives::parse(
        challenge,
        &["realm", "qop", "algorithm", "nonce", "maxbuf", "charset", "cipher", "rspauth", "stale"],
    )?;
    if given.get("algorithm") != Some(b"md5-sess") {
        return Err("algorithm");
    }
    let text = |name| given.get(name).and_then(|bytes| decode(bytes, true));
    let nonce = text("nonce").ok_or("no nonce")?;
    let realm = text("realm").unwrap_or_else(|| service.realm.to_owned());
    let uri = format!("{}/{}", service.protocol, service.realm);
    let session = Session {
        user,
        password,
        nonce: &nonce,
        cnonce: cnonce.as_bytes(),
        realm: &realm,
        authzid: Some(user.as_bytes()),
        uri: uri.as_bytes(),
    };
    let response = format!(
        "charset=utf-8,username=\"{}\",realm=\"{}\",nonce=\"{}\",nc=00000001,cnonce=\"{cnonce}\",\
         digest-uri=\"{uri}\",maxbuf=65536,response={},qop=auth,authzid=\"{}\"",
        quote(user),
        quote(&realm),
        quote(&nonce),
        session.hash(b"AUTHENTICATE:"),
        quote(user)
    );
    Ok((response.into_bytes(), format!("rspauth={}", session.hash(b":")).into_bytes()))
}

/// What goes into the hashes.
struct Session<'a> {
    user: &'a str,
    password: &'a str,
    nonce: &'a str,
    cnonce: &'a [u8],
    realm: &'a str,
    authzid: Option<&'a [u8]>,
    uri: &'a [u8],
}

impl Session<'_> {
    /// The response with `method` before the URI.
    fn hash(&self, method: &[u8]) -> String {
        let secret = Md5::new()
            .chain_update(encode(self.user))
            .chain_update(b":")
            .chain_update(encode(self.realm))
            .chain_update(b":")
            .chain_update(encode(self.password))
            .finalize();
        let mut a1 = Md5::new()
            .chain_update(secret)
            .chain_update(b":")
            .chain_update(self.nonce)
            .chain_update(b":")
            .chain_update(self.cnonce);
        if let Some(authzid) = self.authzid {
            a1 = a1.chain_update(b":").chain_update(authzid);
        }
        let a2 = Md5::new().chain_update(method).chain_update(self.uri).finalize();
        let all = Md5::new()
            .chain_update(hex(&a1.finalize()))
            .chain_update(b":")
            .chain_update(self.nonce)
            .chain_update(b":00000001:")
            .chain_update(self.cnonce)
            .chain_update(b":auth:")
            .chain_update(hex(&a2))
            .finalize();
        hex(&all)
    }
}

/// Latin-1 where that is enough, as the JDK does, text by text.
fn encode(text: &str) -> Vec<u8> {
    let latin: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    latin.unwrap_or_else(|| text.as_bytes().to_vec())
}

fn decode(bytes: &[u8], utf8: bool) -> Option<String> {
    match utf8 {
        true => String::from_utf8(bytes.to_vec()).ok(),
        false => Some(bytes.iter().map(|b| char::from(*b)).collect()),
    }
}

fn quote(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `name=value, name="value"`.
struct Directives(Vec<(String, Vec<u8>)>);

impl Directives {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    fn parse(bytes: &[u8], known: &[&str]) -> Result<Self, &'static str> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        let mut rest = bytes;
        loop {
            while let Some((first, tail)) = rest.split_first()
                && (blank(first) || *first == b',')
            {
                rest = tail;
            }
            if rest.is_empty() {
                return Ok(Self(found));
            }
            let end = rest.iter().position(|b| *b == b'=').ok_or("a directive without value")?;
            let name = rest[..end].trim_ascii().to_ascii_lowercase();
            let name = String::from_utf8(name).map_err(|_| "the name of a directive")?;
            rest = rest[end + 1..].trim_ascii_start();
            let mut value = Vec::new();
            if let Some(quoted) = rest.strip_prefix(b"\"") {
                rest = quoted;
                loop {
                    match rest {
                        [b'"', tail @ ..] => {
                            rest = tail;
                            break;
                        }
                        [b'\\', escaped, tail @ ..] => {
                            value.push(*escaped);
                            rest = tail;
                        }
                        [plain, tail @ ..] => {
                            value.push(*plain);
                            rest = tail;
                        }
                        [] => return Err("a quote is not closed"),
                    }
                }
                if rest.first().is_some_and(|b| !blank(b) && *b != b',') {
                    return Err("text behind a quote");
                }
            } else {
                let end = rest.iter().position(|b| blank(b) || *b == b',').unwrap_or(rest.len());
                value.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
            if known.contains(&name.as_str()) {
                if found.iter().any(|(n, _)| *n == name) {
                    return Err("a directive is there twice");
                }
                found.push((name, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vector {
        service: Service,
        user: &'static str,
        password: &'static str,
        nonce: &'static str,
        cnonce: &'static str,
        authzid: Option<&'static str>,
        response: &'static str,
        rspauth: &'static str,
    }

    /// Exchanges of the JDK, recorded.
    const VECTORS: &[Vector] = &[
        Vector {
            service: CLIENTS,
            user: "bob",
            password: "bobsecret",
            nonce: "r7dKMNb20Ml1M2RA3rARcAknkkEmVtmfZAxHmh/m",
            cnonce: "WbEBeJnZPNCNRqBAsJbyXNCDNM3nbEE/Q2jUkVpo",
            authzid: None,
            response: "e2a792533b9f5fc895f3f226dead77e5",
            rspauth: "7a26428982e51954660c729e6112afbd",
        },
        Vector {
            service: CLIENTS,
            user: "bob",
            password: "bobsecret",
            nonce: "8KGOm0aEsgyrmmwPt0bemZoguMtkhLk5BZ530Lpj",
            cnonce: "HOkm9dzdTe5KvpNrKLN8acJTulKQ5IWp9b0IzOa9",
            authzid: Some("bob"),
            response: "696b2da30a558b6e017e3f3e511d37a0",
            rspauth: "aae368b1bb952255c7e4ad26c4f23984",
        },
        Vector {
            service: CLIENTS,
            user: "josé",
            password: "pässwörd",
            nonce: "2qfkZdKFWz804zG/wHsHlmQCkZ7EbOwTtFn4b3kO",
            cnonce: "9v9445R/HqA8EPQxb//Cgpn8JLLE47qKFXHX1RIv",
            authzid: Some("josé"),
            response: "fc78d1c5ab0f9e61641ea69b130c0186",
            rspauth: "bb81e6857833de454624bd05255358f6",
        },
        Vector {
            service: CLIENTS,
            user: "bob",
            password: "пароль",
            nonce: "rBb5xiHyt0+dtJ2ecYDAUz1ZXB0oE14aGHFF2JBm",
            cnonce: "+KlxbHvY/+o9j4FSTmsjimdMr1sfSuEFe+amdyap",
            authzid: Some("bob"),
            response: "1712c244bed6bf8305e4d9624c219cd0",
            rspauth: "1b65d54c50df822ee3c41568981b8344",
        },
        Vector {
            service: QUORUM,
            user: "test",
            password: "testpw",
            nonce: "OA6MG9tEQGm2hhOA6MG9tEQGm2hhOA6MG9tEQGm2",
            cnonce: "5ojL8pDQXLpUdYDCRKF51syRg3Ifm2GSq+glTsww",
            authzid: Some("test"),
            response: "fbf6d48ba65ef9984120942ebd60f673",
            rspauth: "24e954308aa6cfad0fa74ac292780fc5",
        },
    ];

    fn text(v: &Vector) -> String {
        let Service { protocol, realm } = v.service;
        let authzid = v.authzid.map_or(String::new(), |id| format!(",authzid=\"{id}\""));
        format!(
            "charset=utf-8,username=\"{}\",realm=\"{realm}\",nonce=\"{}\",nc=00000001,\
             cnonce=\"{}\",digest-uri=\"{protocol}/{realm}\",maxbuf=65536,response={},qop=auth{authzid}",
            v.user, v.nonce, v.cnonce, v.response
        )
    }

    fn judge(v: &Vector, response: &str) -> Result<Proven, &'static str> {
        let password = |user: &str| (user == v.user).then(|| v.password.to_owned());
        verify(v.service, v.nonce, response.as_bytes(), password)
    }

    #[test]
    fn recorded_exchanges() {
        for v in VECTORS {
            let proven = judge(v, &text(v)).unwrap();
            assert_eq!(proven.user, v.user);
            assert_eq!(proven.authzid.as_deref(), v.authzid);
            assert_eq!(proven.token, format!("rspauth={}", v.rspauth).into_bytes());
            if v.authzid.is_some() {
                let challenge = challenge(v.service, v.nonce);
                let (response, proof) =
                    respond(v.service, &challenge, v.user, v.password, v.cnonce).unwrap();
                assert_eq!(String::from_utf8(response).unwrap(), text(v));
                assert_eq!(proof, proven.token);
            }
        }
        let first = String::from_utf8(challenge(CLIENTS, "N")).unwrap();
        assert_eq!(first, "realm=\"zk-sasl-md5\",nonce=\"N\",charset=utf-8,algorithm=md5-sess");
    }

    #[test]
    fn what_is_not_taken() {
        let v = &VECTORS[1];
        let good = text(v);
        // Spelling that does not matter.
        for fine in [
            good.replace("nc=00000001", "nc=00000007"),
            good.replace(",qop=auth", ""),
            good.replace("username", "USERNAME"),
            good.replace(',', " ,\t"),
            format!("{good},unknown=1,unknown=2"),
            good.replace("username=\"bob\"", "username=bob"),
        ] {
            assert!(judge(v, &fine).is_ok(), "{fine}");
        }
        for bad in [
            String::new(),
            good.replace("charset=utf-8", "charset=latin"),
            good.replace("username=\"bob\",", ""),
            good.replace("username=\"bob\"", "username=\"eve\""),
            good.replace("realm=\"zk-sasl-md5\"", "realm=\"x\""),
            good.replace(v.nonce, "x"),
            good.replace("cnonce", "xnonce"),
            good.replace("qop=auth", "qop=auth-int"),
            good.replace("zookeeper/", "other/"),
            good.replace("maxbuf=65536", "maxbuf=x"),
            good.replace(v.response, &v.response.to_uppercase()),
            good.replace(v.response, "0"),
            good.replace("authzid=\"bob\"", "authzid=\"super\""),
            good.replace(",authzid=\"bob\"", ""),
            format!("{good},qop=auth"),
            format!("{good},x=\""),
            format!("{good},x"),
            format!("{good},x={}", "y".repeat(4096)),
        ] {
            assert!(judge(v, &bad).is_err(), "{bad}");
        }
    }
}
