//! SASL with DIGEST-MD5: logins of clients (op 102) and of servers among each other.
//!
//! The users come from a section of the JAAS file. Kerberos is refused at the start: a server that
//! cannot check tickets must not look as if it did.

mod client;
mod digest;
mod jaas;
mod quorum;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring;

use self::jaas::{DIGEST_MODULE, KERBEROS_MODULE, Module};
use super::Secret;
use super::store::read_text;

pub use client::SaslUser;
pub use quorum::{QuorumSasl, QuorumSaslOptions};

/// Largest JAAS file that is read, bytes.
const JAAS_BYTES_MAX: u64 = 1024 * 1024;
/// Random bytes of a nonce.
const NONCE_BYTES: usize = 30;

/// Where the logins are.
#[derive(Debug, Clone, Default)]
pub struct SaslOptions {
    /// `java.security.auth.login.config`: a path, perhaps with `=` or `file:` in front.
    pub file: PathBuf,
    /// The section of the server, `sasl.serverconfig`.
    pub section: String,
    /// Password of the user `super`, instead of the file's.
    pub super_password: Option<Secret>,
    /// What `${name}` in the file stands for.
    pub properties: BTreeMap<String, Secret>,
}

/// Why there is no SASL. Names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", .file.display())]
pub struct SaslError {
    /// The JAAS file.
    pub file: PathBuf,
    /// What is wrong and what to do.
    pub what: String,
}

/// The users that clients may log in as.
#[derive(Debug)]
pub struct SaslLogin {
    users: BTreeMap<String, Secret>,
    super_password: Option<Secret>,
}

impl SaslLogin {
    /// Reads the section of the server. `None` if the file has none: no SASL, as in Java.
    ///
    /// # Errors
    /// If the file cannot be read, or asks for what is not there.
    pub fn open(options: &SaslOptions) -> Result<Option<Self>, SaslError> {
        let file = path(&options.file);
        let Some(modules) = section(&file, &options.section, &options.properties)? else {
            return Ok(None);
        };
        let users = users(&file, &options.section, &modules)?;
        Ok(Some(Self { users, super_password: options.super_password.clone() }))
    }

    fn password(&self, user: &str) -> Option<String> {
        let own = self.users.get(user)?;
        let replaced = self.super_password.as_ref().filter(|_| user == "super");
        Some(replaced.unwrap_or(own).expose().to_owned())
    }
}

/// One client's exchange.
#[derive(Debug, Default)]
pub struct Exchange {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    New,
    /// The nonce was sent.
    Challenged(String),
    /// Over, well or not: there is no second one.
    Over,
}

/// What a token leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this; more is to come.
    Continue(Vec<u8>),
    /// Send this; the client is `user`.
    Done {
        /// The identity in scheme `sasl`.
        user: String,
        /// The last token.
        token: Vec<u8>,
    },
    /// The login failed; the reason is for the log.
    Failed(&'static str),
}

impl Exchange {
    /// Handles a client's token.
    pub fn step(&mut self, login: &SaslLogin, token: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::New => {
                // An initial response means nothing in this mechanism.
                let Some(nonce) = nonce() else { return Step::Failed("no randomness") };
                let challenge = digest::challenge(digest::CLIENTS, &nonce);
                self.state = State::Challenged(nonce);
                Step::Continue(challenge)
            }
            State::Challenged(nonce) => {
                let password = |user: &str| login.password(user);
                match digest::verify(digest::CLIENTS, &nonce, token, password) {
                    // The id that was authenticated, never another one that was asked for.
                    Ok(proven) if is_principal(&proven.user) => {
                        Step::Done { user: proven.user, token: proven.token }
                    }
                    Ok(_) => Step::Failed("the name is not a principal"),
                    Err(reason) => Step::Failed(reason),
                }
            }
            State::Over => Step::Failed("a login after the login"),
        }
    }
}

/// `service[/host][@realm]`; without `@` everything is the service.
fn is_principal(name: &str) -> bool {
    match name.split_once('@') {
        None => true,
        Some((name, realm)) => {
            !realm.contains(['/', '@']) && name.split('/').count() <= 2 && !name.is_empty()
        }
    }
}

fn nonce() -> Option<String> {
    let mut bytes = [0; NONCE_BYTES];
    ring::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

fn path(given: &Path) -> PathBuf {
    let text = given.to_string_lossy();
    let text = text.trim_start_matches('=');
    let text = text.strip_prefix("file://").or_else(|| text.strip_prefix("file:")).unwrap_or(text);
    PathBuf::from(text)
}

fn section(
    file: &Path,
    name: &str,
    properties: &BTreeMap<String, Secret>,
) -> Result<Option<Vec<Module>>, SaslError> {
    let error = |what| SaslError { file: file.to_owned(), what };
    if file.as_os_str().is_empty() {
        return Err(SaslError {
            file: PathBuf::from("java.security.auth.login.config"),
            what: format!(
                "No JAAS configuration section named '{name}' was found: there is no file; name it \
                 with -Djava.security.auth.login.config=FILE in SERVER_JVMFLAGS"
            ),
        });
    }
    let text = read_text(file, JAAS_BYTES_MAX).map_err(|why| {
        error(format!(
            "No JAAS configuration section named '{name}' was found: the file cannot be read: {why}"
        ))
    })?;
    let property = |name: &str| properties.get(name).map(|value| value.expose().to_owned());
    let mut sections =
        jaas::parse(&text, &property).map_err(|mistake| error(mistake.to_string()))?;
    Ok(sections.remove(name))
}

/// The `user_` options of a section's modules.
fn users(
    file: &Path,
    name: &str,
    modules: &[Module],
) -> Result<BTreeMap<String, Secret>, SaslError> {
    check_modules(file, name, modules)?;
    let options = modules.iter().flat_map(|module| &module.options);
    Ok(options
        .filter_map(|(key, value)| Some((key.strip_prefix("user_")?.to_owned(), value.clone())))
        .collect())
}

fn check_modules(file: &Path, name: &str, modules: &[Module]) -> Result<(), SaslError> {
    let Some(other) = modules.iter().find(|module| module.class != DIGEST_MODULE) else {
        return Ok(());
    };
    let what = match other.class.as_str() {
        KERBEROS_MODULE => format!(
            "section {name}: Kerberos (Krb5LoginModule, GSSAPI) is not supported here; use \
             {DIGEST_MODULE}, or TLS with client certificates"
        ),
        class => format!("section {name}: No LoginModule found for {class}; use {DIGEST_MODULE}"),
    };
    Err(SaslError { file: file.to_owned(), what })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn login() -> SaslLogin {
        let users = [("bob", "bobsecret"), ("super", "weak"), ("a@b@c", "x")];
        SaslLogin {
            users: users.map(|(u, p)| (u.to_owned(), Secret::new(p))).into(),
            super_password: Some(Secret::new("strong")),
        }
    }

    fn attempt(user: &str, password: &str) -> Step {
        let login = login();
        let mut exchange = Exchange::default();
        let Step::Continue(challenge) = exchange.step(&login, b"") else { panic!("a challenge") };
        let response = digest::respond(digest::CLIENTS, &challenge, user, password, "cnonce");
        let step = exchange.step(&login, &response.unwrap().0);
        assert_eq!(exchange.step(&login, b""), Step::Failed("a login after the login"));
        step
    }

    #[test]
    fn users_log_in_once() {
        assert!(matches!(attempt("bob", "bobsecret"), Step::Done { user, .. } if user == "bob"));
        for (user, password) in
            [("bob", "wrong"), ("eve", "bobsecret"), ("eve", ""), ("super", "weak"), ("a@b@c", "x")]
        {
            assert!(matches!(attempt(user, password), Step::Failed(_)), "{user}");
        }
        assert!(matches!(attempt("super", "strong"), Step::Done { user, .. } if user == "super"));
    }

    #[test]
    fn kerberos_is_refused_everywhere() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jaas.conf");
        let open = |server: &str, learner: &str| {
            let text = format!(
                "S {{ {server} required user_a=\"b\"; }}; \
                 L {{ {learner} required username=\"a\" password=\"b\"; }};"
            );
            fs::write(&file, text).unwrap();
            QuorumSasl::open(&QuorumSaslOptions {
                file: file.clone(),
                server_section: "S".to_owned(),
                learner_section: "L".to_owned(),
                server_requires: true,
                learner_requires: true,
                properties: BTreeMap::new(),
            })
        };
        open(DIGEST_MODULE, DIGEST_MODULE).unwrap();
        for (server, learner, section) in
            [(KERBEROS_MODULE, DIGEST_MODULE, "S"), (DIGEST_MODULE, KERBEROS_MODULE, "L")]
        {
            let error = open(server, learner).unwrap_err().what;
            assert!(error.starts_with(&format!("section {section}: Kerberos")), "{error}");
            assert!(error.contains(DIGEST_MODULE), "what to use instead: {error}");
        }
        // The shell's login, too.
        let error = SaslUser::open(&file, "L", &BTreeMap::new()).unwrap_err().what;
        assert!(error.starts_with("section L: Kerberos"), "{error}");
    }

    #[test]
    fn a_section_without_a_file_is_a_mistake() {
        let options = SaslOptions { section: "Server".to_owned(), ..SaslOptions::default() };
        let error = SaslLogin::open(&options).unwrap_err().to_string();
        assert!(error.contains("-Djava.security.auth.login.config=FILE"), "{error}");
        // Nor is what never ends a file.
        let endless = SaslOptions { file: "/dev/zero".into(), ..options };
        let error = SaslLogin::open(&endless).unwrap_err().to_string();
        assert!(error.starts_with("/dev/zero: ") && error.contains("more than"), "{error}");
    }

    #[test]
    fn options_hide_secrets() {
        let secret = ("zookeeper.ssl.keyStore.password".to_owned(), Secret::new("hush"));
        let options = SaslOptions { properties: [secret].into(), ..SaslOptions::default() };
        assert!(!format!("{options:?} {:?}", login()).contains("hush"));
        assert!(!format!("{:?}", login()).contains("weak"));
    }

    #[test]
    fn files_and_sections() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jaas.conf");
        let open = |text: &str, section: &str| {
            fs::write(&file, text).unwrap();
            let file = PathBuf::from(format!("=file:{}", file.display()));
            let section = section.to_owned();
            SaslLogin::open(&SaslOptions { file, section, ..SaslOptions::default() })
        };
        let text = format!("Server {{ {DIGEST_MODULE} required user_bob=\"x\"; }};");
        assert!(open(&text, "Server").unwrap().is_some());
        assert!(open(&text, "Srv").unwrap().is_none());
        let kerberos = format!("Server {{ {KERBEROS_MODULE} required useKeyTab=true; }};");
        assert!(open(&kerberos, "Server").unwrap_err().to_string().contains("Kerberos"));
        let other = "Server { com.example.Login required; };";
        assert!(open(other, "Server").unwrap_err().what.contains("com.example.Login"));
        let error = open("Server {", "Server").unwrap_err().to_string();
        assert!(error.contains("jaas.conf: line 1"), "{error}");
        fs::remove_file(&file).unwrap();
        let missing = SaslOptions { file, section: "Server".to_owned(), ..SaslOptions::default() };
        assert!(
            SaslLogin::open(&missing).unwrap_err().what.contains("No JAAS configuration section")
        );
    }
}
