//! Stores of every kind, and handshakes between two ends made of them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

#[path = "../../tests/common/stores.rs"]
pub(super) mod stores;

use self::stores::{
    LIMIT, agree, client_options, meet, open, shown, store, store_options, tls_options as options,
};
use super::{ClientAuth, StoreFormat, StoreOptions, Stream, Tls, TlsOptions};

#[test]
fn stores_of_every_kind_serve() {
    let client = open(options("client.pem", "trust.pem"));
    for key in [
        "server.pem",
        "server-pbes1.pem",
        "server-pbes2.pem",
        "server.p12",
        "server-openssl.p12",
        "server-legacy.p12",
        "server.jks",
        "server-is-p12.jks",
    ] {
        assert!(agree(&open(options(key, "trust.pem")), &client), "{key}");
    }
    for trust in ["trust.pem", "trust-two.pem", "trust.p12", "trust.jks"] {
        assert!(agree(&open(options("server.pem", trust)), &client), "{trust}");
    }
    for key in ["client.p12", "admin.p12", "admin.pem"] {
        let server = open(options("server.pem", "trust.pem"));
        assert!(agree(&server, &open(options(key, "trust.jks"))), "{key}");
    }
}

#[test]
fn stores_that_cannot_be_used_are_told_at_once() {
    let fails = |key: StoreOptions| {
        Tls::open(TlsOptions { key_store: Some(key), ..options("", "trust.pem") })
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    for file in ["server.p12", "server.jks", "server-is-p12.jks", "server-legacy.p12"] {
        for password in ["wrong", ""] {
            let error = fails(store_options("keyStore", file, password));
            assert!(error.starts_with("ssl.keyStore.location="), "{error}");
            assert!(error.contains(file), "{error}");
            assert!(error.contains("password was incorrect"), "{file} {password}: {error}");
            assert!(!error.contains("wrong"), "{error}");
        }
    }
    for file in ["server-pbes1.pem", "server-pbes2.pem"] {
        let error = fails(store_options("keyStore", file, "wrong"));
        assert!(error.contains("cannot be decrypted"), "{error}");
    }
    for (file, why) in [
        ("server-otherkey.jks", "Cannot recover key"),
        ("server-pkcs1.pem", "openssl pkcs8 -topk8"),
        ("trust.pem", "did not find a private key"),
        ("trust.jks", "no private key entry"),
        ("trust.p12", "no private key"),
        ("nothing.p12", "cannot be read"),
        ("make.sh", "neither PKCS12 nor JKS"),
        ("", "it is a directory"),
    ] {
        let error = fails(store_options("keyStore", file, "secret"));
        assert!(error.contains(why), "{file}: {error}");
    }
    // What belongs to a key is not trusted, nor what nobody marked as trusted.
    for file in ["trust-openssl.p12", "server.p12", "server.jks"] {
        let error = Tls::open(options("server.pem", file)).unwrap_err().to_string();
        assert!(error.contains("trustAnchors parameter must be non-empty"), "{error}");
        assert!(error.starts_with("ssl.trustStore.location="), "{error}");
    }
}

#[test]
fn stores_cut_short_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["server.p12", "server.jks", "server.pem", "client.der"] {
        let bytes = std::fs::read(store(file)).unwrap();
        for cut in (0..bytes.len()).step_by(37) {
            let location = dir.path().join("cut");
            std::fs::write(&location, &bytes[..cut]).unwrap();
            for format in [StoreFormat::Pem, StoreFormat::Binary] {
                let key = StoreOptions {
                    location: location.clone(),
                    format,
                    ..store_options("keyStore", file, "secret")
                };
                let result = key.load_identity();
                assert!(result.is_err(), "{file} cut to {cut} is taken for a key");
                let _ = key.load_anchors();
            }
        }
    }
}

#[test]
fn a_password_file_wins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    let key = |content: &str| {
        std::fs::write(&path, content).unwrap();
        let key = store_options("keyStore", "server.p12", "wrong");
        let key_store = Some(StoreOptions { password_path: Some(path.clone()), ..key });
        Tls::open(TlsOptions { key_store, ..options("", "trust.pem") }).map(|_| ())
    };
    assert_eq!(key("secret"), Ok(()));
    assert_eq!(key("secret\n"), Ok(()));
    assert!(key("secret\n\n").is_err());
    assert!(key("wrong").is_err());
    std::fs::remove_file(&path).unwrap();
    let missing = StoreOptions {
        password_path: Some(path.clone()),
        ..store_options("keyStore", "server.p12", "secret")
    };
    let error = missing.load_identity().err().unwrap().to_string();
    assert!(error.contains("passwordPath="), "{error}");
}

#[test]
fn who_is_trusted() {
    let server = open(options("server.pem", "trust.pem"));
    assert!(agree(&server, &open(options("client.pem", "trust.pem"))));
    let (served, dialled) = meet(&server, &open(options("unknown.pem", "trust.pem")), "localhost");
    assert!(served.unwrap_err().contains("UnknownIssuer"));
    assert!(dialled.is_err());
    // A certificate for clients is none for a server, and the other way round.
    let (_, dialled) =
        meet(&open(options("client.pem", "trust.pem")), &open(options("", "trust.pem")), "x");
    assert!(dialled.is_err());
    // A self-signed certificate is trusted where it stands in the store itself.
    let own = open(options("self.pem", "trust-two.pem"));
    assert!(agree(&own, &own));
    assert!(!agree(&server, &open(options("self.pem", "trust-two.pem"))));
}

/// What the library would let pass, or might one day.
#[test]
fn certificates_are_for_their_use_and_time() {
    for (key, expected) in [
        ("signing.pem", true),
        ("no-signing.pem", false),
        ("below-issuer.pem", true),
        ("below-no-issuer.pem", false),
        ("expired.pem", false),
    ] {
        let (good, tried) =
            (open(options("server.pem", "trust.pem")), open(options(key, "trust.pem")));
        assert_eq!(agree(&good, &tried), expected, "{key} of a client");
        assert_eq!(agree(&tried, &good), expected, "{key} of a server");
        // In the trust store itself, only the time counts.
        let itself = if key.starts_with("below") { "trust.pem" } else { key };
        let trusting = open(options("server.pem", itself));
        let trusted = open(options(key, "trust.pem"));
        assert_eq!(
            agree(&trusting, &trusted),
            expected || key == "no-signing.pem",
            "{key} trusted"
        );
    }
}

#[test]
fn failures_are_explained_at_both_ends() {
    let tls = |key: &str, trust: &str, protocol: &str| {
        let enabled_protocols = Some(vec![protocol.to_owned()]);
        open(TlsOptions { enabled_protocols, ..options(key, trust) })
    };
    let good = || tls("server.pem", "trust.pem", "TLSv1.3");
    for (server, client, at_server, at_client) in [
        (good(), tls("unknown.pem", "trust.pem", "TLSv1.3"), "trustStore here", "trustStore there"),
        (good(), tls("client.pem", "self.pem", "TLSv1.3"), "trustStore there", "trustStore here"),
        (tls("client.pem", "trust.pem", "TLSv1.3"), good(), "keyStore here", "extendedKeyUsage"),
        (good(), tls("", "trust.pem", "TLSv1.3"), "see keyStore there", "see keyStore here"),
        (good(), tls("expired.pem", "trust.pem", "TLSv1.3"), "renewed", "keyStore here"),
        (good(), tls("client.pem", "trust.pem", "TLSv1.2"), "enabledProtocols", "enabledProtocols"),
    ] {
        let (a, b) = meet(&server, &client, "localhost");
        let (a, b) = (a.unwrap_err(), b.unwrap_err());
        assert!(a.contains(at_server), "{a}");
        assert!(b.contains(at_client), "{b}");
    }
    for (key, why) in [
        ("no-signing.pem", "keyUsage allows no digital signatures"),
        ("below-no-issuer.pem", "one of its issuers may not sign"),
    ] {
        let error = meet(&good(), &tls(key, "trust.pem", "TLSv1.3"), "x").0.unwrap_err();
        assert!(error.contains(why), "{key}: {error}");
    }
}

#[test]
fn a_name_asked_for_changes_nothing() {
    let server = open(options("server.pem", "trust.pem"));
    for host in ["localhost", "other.invalid", "127.0.0.1"] {
        assert_eq!(shown(&server, host), "CN=server,O=Test,C=XX", "{host}");
    }
}

/// A client whose certificate names it, but not its address.
#[test]
fn names_are_looked_up_where_it_is_allowed() {
    let client = open(options("self.pem", "trust.pem"));
    let named = dns_lookup::lookup_addr(&[127, 0, 0, 1].into()).is_ok_and(|h| h == "localhost");
    for (allow_reverse_dns, expected) in [(false, false), (true, named)] {
        let check = TlsOptions {
            check_client_name: true,
            allow_reverse_dns,
            ..options("server.pem", "trust-two.pem")
        };
        let (served, _) = meet(&open(check), &client, "localhost");
        assert_eq!(served.is_ok(), expected, "{allow_reverse_dns}: {served:?}");
    }
    // No name leads to this one.
    let check = TlsOptions {
        check_client_name: true,
        allow_reverse_dns: true,
        ..options("server.pem", "trust.pem")
    };
    let elsewhere = open(options("elsewhere.pem", "trust.pem"));
    assert!(meet(&open(check), &elsewhere, "localhost").0.is_err());
}

/// However small the pieces are in which a peer sends something, it must be there in time.
#[test]
fn deadlines_are_for_all_that_is_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut reader, _writer, cutter) = Stream::plain(listener.accept().unwrap().0).split();
    let mut more = peer.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // One less than is waited for.
            for _ in 0..299 {
                std::thread::sleep(Duration::from_millis(10));
                if peer.write_all(b"x").is_err() {
                    return;
                }
            }
        });
        reader.set_deadline(Some(Duration::from_millis(100))).unwrap();
        let error = reader.read_exact(&mut [0; 300]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        // Without one it may take its time.
        reader.set_deadline(None).unwrap();
        more.write_all(b"y").unwrap();
        reader.read_exact(&mut [0; 1]).unwrap();
        cutter.cut();
    });
}

#[test]
fn certificates_needed_wanted_or_ignored() {
    for (client_auth, key, expected) in [
        (ClientAuth::Need, "client.pem", true),
        (ClientAuth::Need, "", false),
        (ClientAuth::Need, "unknown.pem", false),
        (ClientAuth::Want, "client.pem", true),
        (ClientAuth::Want, "", true),
        (ClientAuth::Want, "unknown.pem", false),
        (ClientAuth::None, "client.pem", true),
        (ClientAuth::None, "", true),
        (ClientAuth::None, "unknown.pem", true),
    ] {
        let server = open(TlsOptions { client_auth, ..options("server.pem", "trust.pem") });
        let client = open(options(key, "trust.pem"));
        assert_eq!(agree(&server, &client), expected, "{client_auth:?} {key}");
    }
}

#[test]
fn names_are_checked_where_it_is_asked() {
    let client =
        |check_server_name| open(TlsOptions { check_server_name, ..client_options("client.pem") });
    let server = open(options("server.pem", "trust.pem"));
    let elsewhere = open(options("elsewhere.pem", "trust.pem"));
    let ok = |server: &Tls, client: &Tls, host: &str| meet(server, client, host).1.is_ok();
    assert!(ok(&server, &client(true), "localhost"));
    assert!(ok(&server, &client(true), "127.0.0.1"));
    // The address is one of the certificate's, whatever the name, where addresses count.
    assert!(ok(&server, &client(true), "other.invalid"));
    let by_name = open(TlsOptions { by_address: false, ..client_options("client.pem") });
    assert!(!ok(&server, &by_name, "other.invalid"));
    assert!(ok(&server, &by_name, "localhost") && ok(&server, &by_name, "127.0.0.1"));
    assert!(!ok(&elsewhere, &client(true), "localhost"));
    assert!(ok(&elsewhere, &client(true), "elsewhere.invalid"));
    assert!(ok(&elsewhere, &client(false), "localhost"));

    let server =
        |check| open(TlsOptions { check_client_name: check, ..options("server.pem", "trust.pem") });
    let (here, there) = (open(options("server.pem", "trust.pem")), elsewhere);
    assert!(ok(&server(true), &here, "localhost"));
    assert!(!ok(&server(true), &there, "localhost"));
    assert!(ok(&server(false), &there, "localhost"));
}

#[test]
fn versions_and_suites_are_negotiated() {
    let with = |protocols: Option<&str>, suites: Option<&str>, single_protocol| {
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        open(TlsOptions {
            enabled_protocols: protocols.map(list),
            cipher_suites: suites.map(list),
            single_protocol,
            ..options("server.pem", "trust.pem")
        })
    };
    let old = with(Some("TLSv1.2"), None, false);
    assert!(!agree(&with(None, None, true), &old), "1.3 only on the client port");
    assert!(agree(&with(None, None, false), &old), "both between servers");
    assert!(agree(&with(Some("TLSv1.2,TLSv1.3"), None, true), &old));
    let gcm256 = with(None, Some("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"), false);
    let gcm128 = with(None, Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), false);
    assert!(agree(&gcm256, &gcm256));
    assert!(!agree(&gcm256, &gcm128));
}

#[test]
fn changed_stores_are_taken_and_broken_ones_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("server.pem");
    let put = |file: &str| {
        // Renamed into place, as careful tools do.
        let fresh = dir.path().join("fresh");
        std::fs::copy(store(file), &fresh).unwrap();
        std::fs::rename(&fresh, &location).unwrap();
    };
    put("server.pem");
    let key_store = Some(StoreOptions {
        location: location.clone(),
        ..store_options("keyStore", "server.pem", "")
    });
    let server = |reload| {
        let key_store = key_store.clone();
        open(TlsOptions { key_store, reload, ..options("", "trust.pem") })
    };
    let (watching, fixed) = (server(true), server(false));
    assert_eq!(shown(&watching, "localhost"), "CN=server,O=Test,C=XX");
    put("renewed.pem");
    assert_eq!(shown(&watching, "localhost"), "CN=renewed,O=Test,C=XX");
    assert_eq!(shown(&fixed, "localhost"), "CN=server,O=Test,C=XX");
    std::fs::write(&location, "nothing").unwrap();
    assert_eq!(shown(&watching, "localhost"), "CN=renewed,O=Test,C=XX");
    put("server.pem");
    assert_eq!(shown(&watching, "localhost"), "CN=server,O=Test,C=XX");
}

#[test]
fn a_unified_port_tells_tls_from_anything_else() {
    let server = open(options("server.pem", "trust.pem"));
    let client = open(options("client.pem", "trust.pem"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accept = |detection: Duration| {
        let socket = listener.accept().unwrap().0;
        Stream::accept(socket, &server, Some(detection), LIMIT)
    };
    std::thread::scope(|scope| {
        let served = scope.spawn(|| accept(LIMIT).unwrap());
        let dialled =
            Stream::dial(TcpStream::connect(address).unwrap(), &client, "localhost", LIMIT);
        assert!(dialled.unwrap().is_secure() && served.join().unwrap().is_secure());

        let served = scope.spawn(|| accept(LIMIT).unwrap());
        let mut plain = TcpStream::connect(address).unwrap();
        plain.write_all(b"\xff\xff\xff\xff\xff\xff\0\0rest").unwrap();
        let stream = served.join().unwrap();
        assert!(!stream.is_secure());
        let mut bytes = [0; 12];
        stream.split().0.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"\xff\xff\xff\xff\xff\xff\0\0rest", "nothing is lost");

        // Silence is not waited for longer than asked.
        let silent = TcpStream::connect(address).unwrap();
        let error = accept(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        drop(silent);
    });
}

#[test]
fn both_directions_at_once() {
    let tls = open(options("server.pem", "trust.pem"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let data: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    std::thread::scope(|scope| {
        let accepted =
            scope.spawn(|| Stream::accept(listener.accept().unwrap().0, &tls, None, LIMIT));
        let dialled =
            Stream::dial(TcpStream::connect(address).unwrap(), &tls, "localhost", LIMIT).unwrap();
        let ends = [dialled, accepted.join().unwrap().unwrap()];
        for end in ends {
            let (mut reader, mut writer, _) = end.split();
            let data = &data;
            scope.spawn(move || writer.write_all(data).unwrap());
            scope.spawn(move || {
                let mut received = Vec::new();
                reader.read_to_end(&mut received).unwrap();
                assert!(received == *data);
            });
        }
    });
}

#[test]
fn first_bytes_tell_tls_from_the_rest() {
    for (first, expected) in [
        (&b""[..], None),
        (b"\x16", None),
        (b"\x16\x03\x01\x02", None),
        (b"\x16\x03\x01\x02\0", Some(true)),
        (b"\x16\x03\x03\x48\0more", Some(true)),
        (b"\x16\x03\x03\x48\x01", Some(false)),
        (b"\x16\x02\x03\0\x01", Some(false)),
        (b"\0", Some(false)),
        (b"ruok", Some(false)),
        (b"\x15\x03\x01\0\x02", Some(false)),
    ] {
        assert_eq!(super::begins_tls(first), expected, "{first:?}");
    }
}
