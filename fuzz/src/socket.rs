//! What a stranger sends to the client port of a running server.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jute::Decode;
use jute::Encode;
use jute::proto::{ConnectResponse, RequestHeader, op};
use rookeeper::server::{Handle, Options, Server};
use rookeeper::storage::disk::faulty::FaultyDisk;

/// Longer than any answer takes; a server that is silent for so long hangs.
const HANG: Duration = Duration::from_secs(60);

/// Sends `data`, closes the sending side, reads to the end; then an ordinary client must be served.
pub fn connection(data: &[u8]) {
    let addr = server();
    let mut stream = connect(addr);
    // The server may close before it has read everything: that is an answer, too.
    let _ = stream.write_all(data);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the server hangs"),
        _ => {}
    }
    still_serves(addr);
}

fn still_serves(addr: SocketAddr) {
    let mut stream = connect(addr);
    let ask = |stream: &mut TcpStream, request: &[u8]| -> Vec<u8> {
        stream.write_all(request).expect("send to a server that serves");
        let mut len = [0; 4];
        stream.read_exact(&mut len).expect("an answer");
        let mut frame = vec![0; i32::from_be_bytes(len) as usize];
        stream.read_exact(&mut frame).expect("a whole answer");
        frame
    };
    let frame = ask(&mut stream, &crate::captured('>')[0]);
    let response = ConnectResponse::from_slice(&frame).expect("a session");
    assert!(response.timeout > 0, "no session");
    let mut close = Vec::new();
    RequestHeader { xid: 1, kind: op::CLOSE_SESSION }.to_vec().as_slice().encode(&mut close);
    assert_eq!(ask(&mut stream, &close).len(), 16);
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_read_timeout(Some(HANG)).expect("a timeout above zero");
    stream.set_nodelay(true).expect("a connected socket");
    stream
}

/// One server in this process, on a disk in memory, for all inputs.
fn server() -> SocketAddr {
    static SERVER: OnceLock<Handle> = OnceLock::new();
    let handle = SERVER.get_or_init(|| {
        let anywhere = vec![([127, 0, 0, 1], 0).into()];
        let mut options = Options::new(PathBuf::from("/data"), anywhere);
        options.disk = Arc::new(FaultyDisk::new());
        Server::start(options).unwrap_or_else(|error| panic!("{error}"))
    });
    handle.addresses()[0]
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let frames = crate::captured('>');
    let mut seeds: Vec<Vec<u8>> =
        frames[1..].iter().map(|frame| [frames[0].as_slice(), frame].concat()).collect();
    seeds.push(frames.concat());
    seeds.push(frames[0].clone());
    let words =
        [&b"ruok"[..], b"srvr", b"mntr", b"stat", b"conf", b"isro", b"stmk\0\0\0\0\0\0\0\x01"];
    seeds.extend(words.map(<[u8]>::to_vec));
    seeds
}
