//! `rookeeper cli`: the shell (`ZooKeeperMain`), interactive, piped, or for one command.
//!
//! Owns: the loop over lines, history, prompts, exit codes, and the commands. Must not know: how
//! the protocol travels; `client` does. Output is Java's, apart from `--json`.
//!
//! Start at [`run`]; the table of commands is in `commands.rs`, where lines come from in `editor.rs`.

mod commands;
mod config;
mod editor;
mod error;
mod out;
mod print;
mod quota;
mod start;
mod subtree;
mod words;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use self::commands::{COMMANDS, usage};
use self::editor::{Line, Lines, Session};
use self::error::CliError;
use self::out::{Out, complain, say};
pub(super) use self::start::ClientConfig;
use self::start::Start;
use self::words::{Given, split};
use super::{exit, secure};
use crate::base::ErrorCode;
use crate::client::{Client, Event, Options, Status};

/// Exit code of an unknown command.
const NOT_FOUND: i32 = 127;

/// Commands of the shell itself, with their usage.
const OWN: &[(&str, &str)] = &[
    ("connect", "host:port"),
    ("history", ""),
    ("printwatches", "on|off"),
    ("quit", ""),
    ("redo", "cmdno"),
];

/// The names of all commands, in order.
fn names() -> impl Iterator<Item = &'static str> {
    let mut all: Vec<&str> = OWN.iter().map(|(name, _)| *name).collect();
    all.extend(COMMANDS.iter().map(|command| command.name));
    all.sort_unstable();
    all.into_iter()
}

/// Runs the shell and returns the exit code of its last command.
pub(super) fn run(arguments: &[String]) -> i32 {
    let start = Start::parse(arguments);
    if !start.json {
        say(format_args!("Connecting to {}", start.server));
    }
    let configuration = match ClientConfig::load(start.configuration.as_deref()) {
        Ok(configuration) => configuration,
        Err(text) => {
            complain(text);
            return exit::INVALID_INVOCATION;
        }
    };
    let Ok(timeout_ms) = start.timeout.parse() else {
        complain(format_args!("For input string: \"{}\"", start.timeout));
        return exit::UNEXPECTED;
    };
    let mut shell = Shell {
        host: String::new(),
        timeout_ms,
        read_only: start.read_only,
        wait: start.wait,
        json: start.json,
        configuration,
        session: Rc::new(RefCell::new(None)),
        print_watches: Arc::new(AtomicBool::new(true)),
        history: Vec::new(),
        watch_mode: 1,
        code: exit::FINISHED,
        quit: false,
    };
    if let Err(error) = shell.connect(&start.server) {
        complain(error.text);
        return error.code;
    }
    if start.command.is_empty() {
        shell.interact();
    } else {
        shell.execute(&start.command);
    }
    // As Java's shell, which only `quit` and `close` end the session in: it lives on until it
    // expires, and so do the ephemerals that a script has just created.
    if let Some(client) = shell.client() {
        client.abandon();
    }
    shell.code
}

struct Shell {
    host: String,
    timeout_ms: i32,
    read_only: bool,
    wait: bool,
    json: bool,
    configuration: ClientConfig,
    session: Session,
    print_watches: Arc<AtomicBool>,
    /// Lines by number; a line may be replaced by the one it repeats.
    history: Vec<String>,
    watch_mode: i32,
    code: i32,
    quit: bool,
}

impl Shell {
    fn client(&self) -> Option<Arc<Client>> {
        self.session.borrow().clone()
    }

    fn connect(&mut self, host: &str) -> Result<(), CliError> {
        let old = self.session.borrow_mut().take();
        if let Some(client) = old {
            client.close();
        }
        self.host = host.to_owned();
        let mut options =
            Options::parse(host, self.timeout_ms, self.read_only).map_err(CliError::new)?;
        options.dial = secure::dial(&self.configuration).map_err(CliError::new)?;
        options.login = secure::login(&self.configuration).map_err(CliError::new)?;
        options.request_timeout = self.configuration.request_timeout().map_err(CliError::new)?;
        options.reset_watches = !self.configuration.is_set("zookeeper.disableAutoWatchReset");
        self.configuration.check_socket().map_err(CliError::new)?;
        let client = Client::start(options, self.watcher());
        let client = Arc::new(client.map_err(|error| CliError::new(error.to_string()))?);
        *self.session.borrow_mut() = Some(client.clone());
        let patience = Duration::from_millis(self.timeout_ms.max(0) as u64);
        if self.wait && !client.wait_connected(patience) {
            client.close();
            return Err(CliError::keeper(ErrorCode::ConnectionLoss, ""));
        }
        Ok(())
    }

    /// Prints events as `MyWatcher` does.
    fn watcher(&self) -> crate::client::Watcher {
        let (shown, json) = (self.print_watches.clone(), self.json);
        Box::new(move |event: Event| {
            if !shown.load(Relaxed) {
                return;
            }
            let Event { state, kind, path, zxid } = event;
            if json {
                // Scripts see in the results whether there is a session.
                if path.is_some() {
                    say(serde_json::json!({
                        "event": { "state": state, "type": kind, "path": path, "zxid": zxid }
                    }));
                }
                return;
            }
            let path = path.as_deref().unwrap_or("null");
            let text = format!(
                "\nWATCHER::\n\nWatchedEvent state:{state} type:{kind} path:{path} zxid: {zxid}"
            );
            // In between what is being typed, as Java's.
            say(text);
        })
    }

    fn interact(&mut self) {
        if !self.json {
            say("Welcome to ZooKeeper!");
            say("JLine support is enabled");
        }
        let mut lines = Lines::open(&self.session, self.json);
        // So that the first prompt says CONNECTED if a server is there at all.
        if let Some(client) = self.client() {
            client.wait_connected(Duration::from_millis(500));
        }
        while !self.quit {
            let status = self.client().map_or(Status::Closed, |client| client.status());
            let prompt =
                format!("[zk: {}({}) {}] ", self.host, status.java_name(), self.history.len());
            match lines.next(&prompt) {
                Line::Text(line) if line.is_empty() => {}
                Line::Text(line) => {
                    let words = split(&line);
                    self.history.push(line);
                    self.execute(&words);
                }
                Line::Interrupted => {}
                Line::End => {
                    if lines.tells_end() {
                        say("JLine support is disabled");
                    }
                    break;
                }
            }
        }
    }

    /// Runs one command and keeps its exit code.
    fn execute(&mut self, words: &[String]) {
        let mut out = Out::new(self.json);
        let result = self.run(words, &mut out);
        let code = match &result {
            // `quit` ends with the code of the command before it.
            Ok(()) if self.quit => self.code,
            Ok(()) => exit::FINISHED,
            Err(error) => error.code,
        };
        let lost = result.as_ref().is_err_and(|e| e.keeper == Some(ErrorCode::ConnectionLoss));
        let error = result.err().map(|error| error.text);
        if let (Some(text), false) = (&error, self.json) {
            complain(text);
        }
        // A certificate that is refused looks like a server that is not there.
        let trouble = self.client().and_then(|client| client.trouble());
        if let (true, true, Some(why)) = (lost, self.configuration.is_secure(), trouble) {
            complain(why);
        }
        out.finish(words, error.as_deref(), code);
        self.code = code;
    }

    fn run(&mut self, words: &[String], out: &mut Out) -> Result<(), CliError> {
        let Some((name, rest)) = words.split_first() else {
            self.overview();
            return Err(CliError::new("No command entered"));
        };
        let command = COMMANDS.iter().find(|command| command.name == name);
        match (name.as_str(), rest) {
            ("quit", _) => {
                if let Some(client) = self.client() {
                    client.close();
                }
                self.quit = true;
                return Ok(());
            }
            ("redo", [number, ..]) => self.redo(number)?,
            ("history", _) => {
                let last = self.history.len().saturating_sub(1);
                for at in last.saturating_sub(10)..=last {
                    let line = self.history.get(at).map_or("null", String::as_str);
                    out.item("history", line, format_args!("{at} - {line}"));
                }
            }
            ("printwatches", []) => {
                let on = self.print_watches.load(Relaxed);
                let text = format!("printwatches is {}", if on { "on" } else { "off" });
                out.put("printwatches", on, text);
            }
            ("printwatches", [wanted, ..]) => self.print_watches.store(wanted == "on", Relaxed),
            ("connect", rest) => {
                let host = rest.first().unwrap_or(&self.host).clone();
                self.connect(&host)?;
            }
            (name, _) if command.is_none() && !OWN.iter().any(|(own, _)| *own == name) => {
                self.overview();
                let text = format!("Command not found: Command not found {name}");
                return Err(CliError { code: NOT_FOUND, ..CliError::new(text) });
            }
            _ => {}
        }
        let Some(client) = self.client().filter(|client| client.status().is_alive()) else {
            out.put("connected", false, "Not connected");
            return Ok(());
        };
        let Some(command) = command else { return Ok(()) };
        let given = if commands::takes_anything(name) {
            Given::default()
        } else {
            Given::parse(rest, command.flags).map_err(CliError::new)?
        };
        // `ls` has a word to say before it looks at its arguments.
        if given.arguments.len() < command.arguments && name != "ls" {
            return Err(CliError::new(usage(command.name)));
        }
        let watch_mode = &mut self.watch_mode;
        (command.run)(&mut commands::Context { client: &client, out, watch_mode }, &given)
    }

    /// Repeats a line. What comes of it is reported there; `redo` itself succeeds.
    fn redo(&mut self, number: &str) -> Result<(), CliError> {
        let at = decode(number)
            .ok_or_else(|| CliError::new(format!("For input string: \"{number}\"")))?;
        // The line that says redo is the last one.
        let before = self.history.len().saturating_sub(1);
        let line = usize::try_from(at).ok().filter(|at| *at < before);
        let Some(line) = line.and_then(|at| self.history.get(at)).cloned() else {
            return Err(CliError::new("Command index out of range"));
        };
        let words = split(&line);
        if words.first().is_some_and(|word| word == "redo") {
            return Err(CliError::new("No redoing redos"));
        }
        if let Some(last) = self.history.last_mut() {
            *last = line;
        }
        self.execute(&words);
        Ok(())
    }

    /// What an unknown command is answered with: all of them.
    fn overview(&self) {
        if self.json {
            return;
        }
        complain("ZooKeeper -server host:port -client-configuration properties-file cmd args");
        for name in names() {
            let own = OWN.iter().find(|(own, _)| *own == name).map(|(_, usage)| *usage);
            let command = COMMANDS.iter().find(|command| command.name == name);
            let usage = own.or(command.map(|command| command.usage)).unwrap_or_default();
            complain(format_args!("\t{name} {usage}"));
        }
    }
}

/// `Integer.decode`: decimal, hexadecimal or octal.
fn decode(text: &str) -> Option<i32> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = ["0x", "0X", "#"].iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (digits, radix) = match (hex, digits.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i64::from_str_radix(digits, radix).ok()?;
    i32::try_from(if negative { -value } else { value }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_redo() {
        for (text, value) in [
            ("12", Some(12)),
            ("0x1f", Some(31)),
            ("#a", Some(10)),
            ("010", Some(8)),
            ("0", Some(0)),
            ("-3", Some(-3)),
            ("x", None),
            ("--1", None),
            ("99999999999", None),
        ] {
            assert_eq!(decode(text), value, "{text}");
        }
    }

    #[test]
    fn names_are_in_javas_order() {
        let all: Vec<_> = names().collect();
        assert_eq!((all.len(), all[0], all[27]), (28, "addWatch", "whoami"));
        assert!(all.is_sorted());
    }
}
