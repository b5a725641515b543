//! TLS and the login of the client, from its properties (`ClientX509Util`, `ZooKeeperSaslClient`).

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::shell::ClientConfig;
use crate::auth::{SaslUser, Secret, Stream, Tls};
use crate::client::{Dial, Login, Wire};
use crate::config;

/// Where the login is found without `zookeeper.sasl.clientconfig`.
const SECTION: &str = "Client";

/// TLS if `zookeeper.client.secure` asks for it.
pub(super) fn dial(config: &ClientConfig) -> Result<Option<Arc<dyn Dial>>, String> {
    if !config.is_secure() {
        return Ok(None);
    }
    tls(config).map(Some)
}

/// TLS with the stores of the properties.
pub(super) fn tls(config: &ClientConfig) -> Result<Arc<dyn Dial>, String> {
    let options = config::client_tls_options(config.all()).map_err(|error| error.to_string())?;
    let tls = Tls::open(options).map_err(|error| error.to_string())?;
    Ok(Arc::new(Secure(tls)))
}

/// A login if there is a JAAS file with a section for clients.
pub(super) fn login(config: &ClientConfig) -> Result<Option<Arc<dyn Login>>, String> {
    let enabled =
        config.get("zookeeper.sasl.client").is_none_or(|v| v.eq_ignore_ascii_case("true"));
    let file = config.get("java.security.auth.login.config").filter(|_| enabled);
    let Some(file) = file else { return Ok(None) };
    let section = config.get("zookeeper.sasl.clientconfig").unwrap_or(SECTION);
    let properties = config.all().iter().map(|(name, value)| (name.clone(), Secret::new(value)));
    let user = SaslUser::open(file.as_ref(), section, &properties.collect())
        .map_err(|error| error.to_string())?;
    Ok(user.map(|user| Arc::new(User(user)) as Arc<dyn Login>))
}

struct Secure(Tls);

impl Dial for Secure {
    fn dial(&self, socket: TcpStream, host: &str, limit: Duration) -> io::Result<Wire> {
        let own = socket.try_clone()?;
        let (input, output, _) = Stream::dial(socket, &self.0, host, limit)?.split();
        Ok(Wire { input: Box::new(input), output: Box::new(output), socket: own })
    }
}

struct User(SaslUser);

impl Login for User {
    fn respond(&self, challenge: &[u8]) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
        self.0.respond(challenge)
    }
}
