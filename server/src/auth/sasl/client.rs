//! The client's side of a login, for the shell (`ZooKeeperSaslClient`).

use std::collections::BTreeMap;
use std::path::Path;

use super::digest::{self, CLIENTS};
use super::{SaslError, check_modules, nonce, path, section};
use crate::auth::Secret;

/// Who logs in.
#[derive(Debug)]
pub struct SaslUser {
    name: String,
    password: Secret,
}

impl SaslUser {
    /// Reads the client's section. `None` if the file has none: no login, as in Java.
    ///
    /// # Errors
    /// If the file cannot be read, or asks for what is not there.
    pub fn open(
        file: &Path,
        name: &str,
        properties: &BTreeMap<String, Secret>,
    ) -> Result<Option<Self>, SaslError> {
        let file = path(file);
        let Some(modules) = section(&file, name, properties)? else { return Ok(None) };
        check_modules(&file, name, &modules)?;
        let option = |key: &str| modules.iter().find_map(|module| module.options.get(key)).cloned();
        let (Some(user), Some(password)) = (option("username"), option("password")) else {
            let what = format!("section {name}: username and password are missing");
            return Err(SaslError { file, what });
        };
        Ok(Some(Self { name: user.expose().to_owned(), password }))
    }

    /// The response to the server's challenge, and what it must prove itself with.
    ///
    /// # Errors
    /// What is wrong with the challenge.
    pub fn respond(&self, challenge: &[u8]) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
        let cnonce = nonce().ok_or("no randomness")?;
        digest::respond(CLIENTS, challenge, &self.name, self.password.expose(), &cnonce)
    }
}
