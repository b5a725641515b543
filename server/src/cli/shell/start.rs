//! The shell's own command line and the client configuration file (`ZKClientConfig`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::out::complain;
use crate::config::{JavaProperties, JvmFlags};

/// What was said on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// `-server`.
    pub server: String,
    /// `-timeout`, as it was written.
    pub timeout: String,
    /// `-r`.
    pub read_only: bool,
    /// `-waitforconnection`.
    pub wait: bool,
    /// `-client-configuration`.
    pub configuration: Option<String>,
    /// `--json`, which Java does not have.
    pub json: bool,
    /// One command, or none for a shell.
    pub command: Vec<String>,
}

impl Start {
    /// Reads options up to the first word without a dash. What is not known is passed over, and an
    /// option without its value ends the options, as in Java.
    pub(super) fn parse(arguments: &[String]) -> Self {
        let mut start = Start {
            server: "localhost:2181".to_owned(),
            timeout: "30000".to_owned(),
            read_only: false,
            wait: false,
            configuration: None,
            json: false,
            command: Vec::new(),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let slot = match word.as_str() {
                "-server" => &mut start.server,
                "-timeout" => &mut start.timeout,
                "-client-configuration" => start.configuration.get_or_insert_default(),
                "-r" => {
                    start.read_only = true;
                    continue;
                }
                "-waitforconnection" => {
                    start.wait = true;
                    continue;
                }
                "--json" => {
                    start.json = true;
                    continue;
                }
                option if option.starts_with('-') => continue,
                _ => {
                    start.command = std::iter::once(word).chain(words).cloned().collect();
                    break;
                }
            };
            match words.next() {
                Some(value) => value.clone_into(slot),
                None => {
                    complain(format_args!("Error: no argument found for option {word}"));
                    if word == "-client-configuration" {
                        start.configuration = None;
                    }
                    break;
                }
            }
        }
        start
    }
}

/// Properties of the client: those of `CLIENT_JVMFLAGS` and `JVMFLAGS`, then those of the file.
#[derive(Default)]
pub(in crate::cli) struct ClientConfig(BTreeMap<String, String>);

impl fmt::Debug for ClientConfig {
    /// Names only: some of the values are passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ClientConfig {
    /// Reads the environment and, if there is one, the file. The error is what Java says first.
    pub(in crate::cli) fn load(file: Option<&str>) -> Result<Self, String> {
        let mut flags = JvmFlags::default();
        for name in ["JVMFLAGS", "CLIENT_JVMFLAGS"] {
            flags.add_words(&std::env::var(name).unwrap_or_default());
        }
        let mut properties: BTreeMap<String, String> = flags.properties.into_iter().collect();
        if let Some(file) = file {
            let wrong = |why: String| {
                format!("QuorumPeerConfig$ConfigException: Error while processing {file}\n{why}")
            };
            if !Path::new(file).exists() {
                return Err(wrong(format!("{file} file is missing")));
            }
            let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
            let parsed = JavaProperties::parse(&bytes).map_err(|error| wrong(error.to_string()))?;
            let entries = parsed.entries().iter();
            properties
                .extend(entries.map(|e| (e.key.trim().to_owned(), e.value.trim().to_owned())));
        }
        Ok(Self(properties))
    }

    /// All of them.
    pub(in crate::cli) fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// A property; the names of the file may leave `zookeeper.` out.
    pub(in crate::cli) fn get(&self, name: &str) -> Option<&str> {
        let short = name.strip_prefix("zookeeper.").unwrap_or(name);
        self.0.get(name).or_else(|| self.0.get(short)).map(String::as_str)
    }

    /// Whether the connection is to be TLS (`zookeeper.client.secure`).
    pub(in crate::cli) fn is_secure(&self) -> bool {
        self.is_set("zookeeper.client.secure")
    }

    /// A flag (`Boolean.parseBoolean`).
    pub(in crate::cli) fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
    }

    /// `zookeeper.request.timeout`, ms; 0 and less are none.
    pub(in crate::cli) fn request_timeout(&self) -> Result<Option<Duration>, String> {
        let Some(text) = self.get("zookeeper.request.timeout") else { return Ok(None) };
        let ms = text.trim().parse::<i64>();
        let ms = ms.map_err(|_| format!("For input string: \"{}\"", text.trim()))?;
        Ok(u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis))
    }

    /// `zookeeper.clientCnxnSocket`: both classes of Java are our one client; any other cannot be
    /// loaded.
    pub(in crate::cli) fn check_socket(&self) -> Result<(), String> {
        let Some(class) = self.get("zookeeper.clientCnxnSocket") else { return Ok(()) };
        match class.strip_prefix("org.apache.zookeeper.").unwrap_or(class) {
            "ClientCnxnSocketNIO" | "ClientCnxnSocketNetty" => Ok(()),
            _ => Err(format!("Couldn't instantiate {class}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Start {
        Start::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_end_at_the_command() {
        let start = parse("-server a:1,b/x -timeout 5 -r -what -waitforconnection ls -s -r /");
        assert_eq!((start.server.as_str(), start.timeout.as_str()), ("a:1,b/x", "5"));
        assert!(start.read_only && start.wait && !start.json);
        assert_eq!(start.command, ["ls", "-s", "-r", "/"]);
        let start = parse("--json -client-configuration f get /a");
        assert_eq!((start.json, start.configuration.as_deref()), (true, Some("f")));
        let start = parse("-r -server");
        assert_eq!((start.server.as_str(), start.read_only), ("localhost:2181", true));
    }
}
