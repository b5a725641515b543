//! Sends a four-letter word (`FourLetterWordMain`): what `zkServer.sh status` asks with.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::shell::ClientConfig;
use super::{exit, secure};
use crate::client::{Dial, Wire};

/// For connecting, and between two pieces of the answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer printed: a `dump` of many sessions is long, a wrong port may never end.
const ANSWER_MAX: u64 = 256 << 20;

pub(super) fn run(arguments: &[String]) -> i32 {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (host, port, word, secure) = match words.as_slice() {
        [host, port, word] => (*host, *port, *word, "false"),
        [host, port, word, secure] => (*host, *port, *word, *secure),
        // On stdout and with code 0, as Java's.
        _ => {
            println!("Usage: FourLetterWordMain <host> <port> <cmd> <secure(optional)>");
            return exit::FINISHED;
        }
    };
    let Ok(port) = port.parse() else {
        eprintln!("For input string: \"{port}\"");
        return exit::UNEXPECTED;
    };
    let dial = match secure.eq_ignore_ascii_case("true") {
        false => None,
        true => match ClientConfig::load(None).and_then(|config| secure::tls(&config)) {
            Ok(dial) => Some(dial),
            Err(error) => {
                eprintln!("{error}");
                return exit::UNEXPECTED;
            }
        },
    };
    match ask(host, port, word, dial.as_deref()) {
        Ok(answer) => {
            let mut out = io::stdout().lock();
            let printed = out.write_all(&answer).and_then(|()| out.write_all(b"\n"));
            if printed.is_ok() { exit::FINISHED } else { exit::UNEXPECTED }
        }
        Err(error) => {
            eprintln!("{host}:{port}: {error}");
            exit::UNEXPECTED
        }
    }
}

fn ask(host: &str, port: u16, word: &str, dial: Option<&dyn Dial>) -> io::Result<Vec<u8>> {
    let stream = connect(host, port)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let wire = match dial {
        Some(dial) => dial.dial(stream, host, TIMEOUT)?,
        None => Wire::plain(stream)?,
    };
    let Wire { input, mut output, socket } = wire;
    socket.set_read_timeout(Some(TIMEOUT))?;
    output.write_all(word.as_bytes())?;
    output.flush()?;
    if dial.is_none() {
        // A server that refuses may have closed already. TLS has no half of a connection.
        let _ = socket.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    match input.take(ANSWER_MAX).read_to_end(&mut answer) {
        // Java's server ends TLS without a farewell; what came until then is the answer.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
        result => _ = result?,
    }
    Ok(answer)
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address for this host");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
