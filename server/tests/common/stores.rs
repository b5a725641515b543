//! The stores of `server/tests/tls`, TLS made of them, and handshakes between two ends. Tests inside
//! of the crate share this file: `rookeeper` is the crate itself there.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rookeeper::auth::{ClientAuth, Secret, StoreFormat, StoreOptions, Stream, Tls, TlsOptions};

/// No handshake takes that long; a test that would hang ends.
pub const LIMIT: Duration = Duration::from_secs(60);

/// One of the stores.
pub fn store(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(file)
}

/// It as `ssl.keyStore` or `ssl.trustStore`.
pub fn store_options(kind: &str, file: &str, password: &str) -> StoreOptions {
    StoreOptions {
        name: format!("ssl.{kind}"),
        location: store(file),
        password: Secret::new(password),
        password_path: None,
        format: if file.ends_with(".pem") { StoreFormat::Pem } else { StoreFormat::Binary },
    }
}

/// TLS with these stores, an empty name for none; a server asks for certificates, nobody looks at
/// names.
pub fn tls_options(key: &str, trust: &str) -> TlsOptions {
    let password = |file: &str| match file {
        "server-pbes1.pem" | "server-pbes2.pem" => "secret",
        file if file.ends_with(".pem") => "",
        _ => "secret",
    };
    let named = |kind: &str, file: &str| {
        (!file.is_empty()).then(|| store_options(kind, file, password(file)))
    };
    TlsOptions {
        prefix: "ssl".to_owned(),
        protocol: None,
        single_protocol: false,
        enabled_protocols: None,
        cipher_suites: None,
        key_store: named("keyStore", key),
        trust_store: named("trustStore", trust),
        client_auth: ClientAuth::Need,
        check_server_name: false,
        by_address: true,
        check_client_name: false,
        allow_reverse_dns: false,
        reload: false,
    }
}

/// A client with this key that looks at the server's name.
pub fn client_options(key: &str) -> TlsOptions {
    TlsOptions { check_server_name: true, ..tls_options(key, "trust.pem") }
}

/// Loads the stores.
pub fn open(options: TlsOptions) -> Tls {
    Tls::open(options).unwrap_or_else(|error| panic!("{error}"))
}

/// Both ends over a socket; each says one word to the other. Errors of server and client.
pub fn meet(server: &Tls, client: &Tls, host: &str) -> (Result<(), String>, Result<(), String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        let served = scope.spawn(|| {
            let socket = listener.accept().unwrap().0;
            let stream = Stream::accept(socket, server, None, LIMIT)?;
            let (mut reader, mut writer, _) = stream.split();
            let mut word = [0; 5];
            reader.read_exact(&mut word)?;
            writer.write_all(&word)?;
            Ok::<_, io::Error>(())
        });
        let dialled = (|| {
            let socket = TcpStream::connect(address)?;
            let (mut reader, mut writer, _) = Stream::dial(socket, client, host, LIMIT)?.split();
            writer.write_all(b"hello")?;
            let mut word = [0; 5];
            reader.read_exact(&mut word)?;
            assert_eq!(&word, b"hello");
            Ok::<_, io::Error>(())
        })();
        let served = served.join().unwrap();
        (served.map_err(|e| e.to_string()), dialled.map_err(|e| e.to_string()))
    })
}

/// Whether both ends take each other.
pub fn agree(server: &Tls, client: &Tls) -> bool {
    let (a, b) = meet(server, client, "localhost");
    assert_eq!(a.is_ok(), b.is_ok(), "{a:?} {b:?}");
    a.is_ok()
}

/// The subject that a server shows to a client that asks for `host`.
pub fn shown(server: &Tls, host: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = open(tls_options("client.pem", "trust.pem"));
    std::thread::scope(|scope| {
        scope.spawn(|| Stream::accept(listener.accept().unwrap().0, server, None, LIMIT));
        let socket = TcpStream::connect(address).unwrap();
        let stream = Stream::dial(socket, &client, host, LIMIT).unwrap();
        stream.peer_subject().unwrap()
    })
}
