//! Logins between servers (`SaslQuorumAuthServer`, `SaslQuorumAuthLearner`): the dialler shows that
//! it knows a password, and the accepting side shows the same.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use tracing::warn;

use super::digest::{self, QUORUM};
use super::{SaslError, check_modules, nonce, path, section, users};
use crate::auth::{ReadHalf, Secret, WriteHalf, same};

/// First bytes of every packet.
const MAGIC: [u8; 8] = [0x5f, 0x24, 0x35, 0x01, 0x35, 0x01, 0xed, 0xcc];
const IN_PROGRESS: i32 = 0;
const SUCCESS: i32 = 1;
const ERROR: i32 = -1;
/// Longest token, bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// `quorum.auth.*`.
#[derive(Debug, Clone)]
pub struct QuorumSaslOptions {
    /// `java.security.auth.login.config`.
    pub file: PathBuf,
    /// `quorum.auth.server.saslLoginContext`.
    pub server_section: String,
    /// `quorum.auth.learner.saslLoginContext`.
    pub learner_section: String,
    /// `quorum.auth.serverRequireSasl`: who does not log in is refused.
    pub server_requires: bool,
    /// `quorum.auth.learnerRequireSasl`: log in where we dial.
    pub learner_requires: bool,
    /// What `${name}` in the file stands for.
    pub properties: BTreeMap<String, Secret>,
}

/// Logins between servers.
#[derive(Debug)]
pub struct QuorumSasl {
    users: BTreeMap<String, Secret>,
    /// User and password, if we log in where we dial.
    own: Option<(String, Secret)>,
    required: bool,
}

impl QuorumSasl {
    /// Reads both sections.
    ///
    /// # Errors
    /// If the file or a section is missing, or asks for what is not there.
    pub fn open(options: &QuorumSaslOptions) -> Result<Self, SaslError> {
        let file = path(&options.file);
        let load = |name: &str| {
            section(&file, name, &options.properties)?.ok_or_else(|| SaslError {
                file: file.clone(),
                what: format!(
                    "SASL-authentication failed because the specified JAAS configuration section \
                     '{name}' could not be found."
                ),
            })
        };
        let modules = load(&options.server_section)?;
        let users = users(&file, &options.server_section, &modules)?;
        let modules = load(&options.learner_section)?;
        check_modules(&file, &options.learner_section, &modules)?;
        let option = |name: &str| modules.iter().find_map(|m| m.options.get(name)).cloned();
        let own = match (option("username"), option("password")) {
            _ if !options.learner_requires => None,
            (Some(user), Some(password)) => Some((user.expose().to_owned(), password)),
            _ => {
                let name = &options.learner_section;
                let what = format!("section {name}: username and password are missing");
                return Err(SaslError { file, what });
            }
        };
        Ok(Self { users, own, required: options.server_requires })
    }

    /// Logs in at the server that was dialled, if that is configured.
    ///
    /// # Errors
    /// If the server refuses, or does not know the password itself.
    pub fn log_in(&self, input: &mut ReadHalf, output: &mut WriteHalf) -> io::Result<()> {
        let Some((user, password)) = &self.own else { return Ok(()) };
        let cnonce = nonce().ok_or_else(|| refused("no randomness"))?;
        send(output, IN_PROGRESS, Some(b""))?;
        let (status, challenge) = receive(input)?;
        if status != IN_PROGRESS {
            return Err(refused("Authentication failed: the server sent no challenge"));
        }
        let challenge = challenge.ok_or_else(|| refused("the server's token is null"))?;
        let (response, proof) =
            digest::respond(QUORUM, &challenge, user, password.expose(), &cnonce)
                .map_err(refused)?;
        send(output, IN_PROGRESS, Some(&response))?;
        let (status, token) = receive(input)?;
        match (status, token) {
            (SUCCESS, Some(token)) if same(&token, &proof) => Ok(()),
            (SUCCESS, _) => Err(refused("the server does not know the password itself")),
            _ => Err(refused("Authentication failed against the server")),
        }
    }

    /// Has whoever dialled log in. Without `serverRequireSasl` a peer that does not, or fails, is
    /// let through.
    ///
    /// # Errors
    /// If a login is required and there was none.
    pub fn have_log_in(&self, input: &mut ReadHalf, output: &mut WriteHalf) -> io::Result<()> {
        let mut first = [0; MAGIC.len()];
        let mut count = 0;
        let outcome = loop {
            match input.read(&mut first[count..]) {
                Ok(0) if count < first.len() => break Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(0) => break Ok(()),
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        input.unread(&first[..count]);
        if let Err(error) = outcome {
            use io::ErrorKind::{TimedOut, UnexpectedEof, WouldBlock};
            // A peer that says nothing, perhaps because it waits to be dialled, does not log in.
            let silent = matches!(error.kind(), TimedOut | UnexpectedEof | WouldBlock);
            return if silent && !self.required { Ok(()) } else { Err(error) };
        }
        if first != MAGIC {
            if self.required {
                return Err(refused(
                    "Learner not trying to authenticate and authentication is required",
                ));
            }
            return Ok(());
        }
        let Err(error) = self.exchange(input, output) else { return Ok(()) };
        // Sent even if reading failed: whoever waits shall know.
        let told = send(output, ERROR, Some(b""));
        if self.required || error.kind() != io::ErrorKind::PermissionDenied {
            return Err(error);
        }
        warn!(%error, "a peer that failed to log in is let through: serverRequireSasl is false");
        told
    }

    fn exchange(&self, input: &mut ReadHalf, output: &mut WriteHalf) -> io::Result<()> {
        receive(input)?;
        let nonce = nonce().ok_or_else(|| refused("no randomness"))?;
        send(output, IN_PROGRESS, Some(&digest::challenge(QUORUM, &nonce)))?;
        let (_, response) = receive(input)?;
        let response = response.ok_or_else(|| refused("the learner's token is null"))?;
        let password = |user: &str| Some(self.users.get(user)?.expose().to_owned());
        let proven = digest::verify(QUORUM, &nonce, &response, password).map_err(refused)?;
        if proven.authzid.as_ref().is_some_and(|id| *id != proven.user) {
            return Err(refused("the authorization id is not the authentication id"));
        }
        send(output, SUCCESS, Some(&proven.token))
    }
}

fn send(output: &mut WriteHalf, status: i32, token: Option<&[u8]>) -> io::Result<()> {
    let mut packet = MAGIC.to_vec();
    packet.extend_from_slice(&status.to_be_bytes());
    packet.extend_from_slice(&token.map_or(-1, |t| t.len() as i32).to_be_bytes());
    packet.extend_from_slice(token.unwrap_or_default());
    output.write_all(&packet)
}

fn receive(input: &mut ReadHalf) -> io::Result<(i32, Option<Vec<u8>>)> {
    let mut header = [0; 16];
    input.read_exact(&mut header)?;
    let int = |at: usize| {
        i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    if header[..8] != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a packet of a SASL login"));
    }
    let token = match usize::try_from(int(12)) {
        Err(_) => None,
        Ok(length) if length > TOKEN_BYTES_MAX => {
            let text = format!("a token of {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(length) => {
            let mut token = vec![0; length];
            input.read_exact(&mut token)?;
            Some(token)
        }
    };
    Ok((int(8), token))
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::auth::Stream;

    fn sasl(users: &[(&str, &str)], own: Option<(&str, &str)>, required: bool) -> QuorumSasl {
        let own = own.map(|(user, password)| (user.to_owned(), Secret::new(password)));
        let users = users.iter().map(|(u, p)| ((*u).to_owned(), Secret::new(*p))).collect();
        QuorumSasl { users, own, required }
    }

    /// Both ends; the dialler says `hello` afterwards, which must arrive.
    fn meet(server: &QuorumSasl, learner: &QuorumSasl) -> (io::Result<()>, io::Result<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            let served = scope.spawn(|| {
                let (mut input, mut output, _cutter) =
                    Stream::plain(listener.accept().unwrap().0).split();
                server.have_log_in(&mut input, &mut output)?;
                let mut hello = [0; 8];
                input.read_exact(&mut hello)?;
                assert_eq!(&hello, b"hello...");
                Ok(())
            });
            let (mut input, mut output, cutter) =
                Stream::plain(TcpStream::connect(address).unwrap()).split();
            let logged_in = learner.log_in(&mut input, &mut output);
            if logged_in.is_ok() {
                output.write_all(b"hello...").unwrap();
            } else {
                cutter.cut();
            }
            (served.join().unwrap(), logged_in)
        })
    }

    #[test]
    fn servers_log_in_at_each_other() {
        let users = [("zk", "secret")];
        let right = sasl(&users, Some(("zk", "secret")), true);
        let (served, logged_in) = meet(&right, &right);
        served.unwrap();
        logged_in.unwrap();
        for own in [Some(("zk", "wrong")), Some(("eve", "secret")), None] {
            let (served, logged_in) = meet(&right, &sasl(&users, own, false));
            assert_eq!(served.unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{own:?}");
            assert_eq!(logged_in.is_err(), own.is_some(), "{own:?}");
        }
        // Nobody is obliged: silence is let through.
        let lenient = sasl(&users, None, false);
        let (served, logged_in) = meet(&lenient, &lenient);
        served.unwrap();
        logged_in.unwrap();
    }

    #[test]
    fn packets_have_javas_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_, mut output, _cutter) = Stream::plain(stream).split();
        send(&mut output, ERROR, Some(b"")).unwrap();
        send(&mut output, SUCCESS, None).unwrap();
        let mut bytes = [0; 32];
        listener.accept().unwrap().0.read_exact(&mut bytes).unwrap();
        let expected = b"\x5f\x24\x35\x01\x35\x01\xed\xcc\xff\xff\xff\xff\0\0\0\0\
                         \x5f\x24\x35\x01\x35\x01\xed\xcc\0\0\0\x01\xff\xff\xff\xff";
        assert_eq!(&bytes, expected);
    }
}
