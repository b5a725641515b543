//! Sends a four-letter word (`FourLetterWordMain`): what `zkServer.sh status` asks with.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::exit;

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
    if secure.eq_ignore_ascii_case("true") {
        eprintln!("TLS is not supported by this command yet");
        return exit::UNEXPECTED;
    }
    match ask(host, port, word) {
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

fn ask(host: &str, port: u16, word: &str) -> io::Result<Vec<u8>> {
    let mut stream = connect(host, port)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(word.as_bytes())?;
    // A server that refuses may have closed already.
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
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
