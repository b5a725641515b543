//! `rookeeper cli`: the shell (`ZooKeeperMain`), interactive or for one command.
//!
//! Start at [`run`]; the commands are in `commands.rs` and `quota.rs`.

mod commands;
mod error;
mod print;
mod quota;
mod words;

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use self::commands::{COMMANDS, usage};
use self::error::CliError;
use self::words::{Given, split};
use super::exit;
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

/// What was said on the command line.
#[derive(Debug)]
struct Start {
    server: String,
    timeout_ms: i32,
    read_only: bool,
    wait: bool,
    command: Vec<String>,
}

/// Runs the shell and returns the exit code of its last command.
pub(super) fn run(arguments: &[String]) -> i32 {
    let start = match parse(arguments) {
        Ok(start) => start,
        Err(text) => {
            eprintln!("{text}");
            return exit::UNEXPECTED;
        }
    };
    let interactive = start.command.is_empty();
    let print_watches = Arc::new(AtomicBool::new(true));
    let mut shell = Shell {
        host: start.server.clone(),
        timeout_ms: start.timeout_ms,
        read_only: start.read_only,
        client: None,
        print_watches,
        history: Vec::new(),
        code: exit::FINISHED,
        quit: false,
    };
    if let Err(error) = shell.connect(&start.server) {
        eprintln!("{}", error.text);
        return error.code;
    }
    if start.wait && !shell.wait(Duration::from_millis(start.timeout_ms.max(0) as u64)) {
        eprintln!("{}", CliError::keeper(ErrorCode::ConnectionLoss, "").text);
        return exit::UNEXPECTED;
    }
    if interactive {
        shell.interact();
    } else {
        shell.execute(&start.command);
    }
    // That we leave is no news.
    shell.print_watches.store(false, Relaxed);
    if let Some(client) = &shell.client {
        client.close();
    }
    shell.code
}

fn parse(arguments: &[String]) -> Result<Start, String> {
    let mut start = Start {
        server: "localhost:2181".to_owned(),
        timeout_ms: 30_000,
        read_only: false,
        wait: false,
        command: Vec::new(),
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || {
            let value = words.next().cloned();
            if value.is_none() {
                eprintln!("Error: no argument found for option {word}");
            }
            value
        };
        match word.as_str() {
            "-server" => start.server = value().unwrap_or(start.server),
            "-timeout" => {
                if let Some(text) = value() {
                    start.timeout_ms =
                        text.parse().map_err(|_| format!("For input string: \"{text}\""))?;
                }
            }
            "-r" => start.read_only = true,
            "-waitforconnection" => start.wait = true,
            "-client-configuration" => drop(value()),
            option if option.starts_with('-') => {}
            _ => {
                start.command = std::iter::once(word).chain(words).cloned().collect();
                break;
            }
        }
    }
    Ok(start)
}

struct Shell {
    host: String,
    timeout_ms: i32,
    read_only: bool,
    client: Option<Client>,
    print_watches: Arc<AtomicBool>,
    history: Vec<String>,
    code: i32,
    quit: bool,
}

impl Shell {
    fn connect(&mut self, host: &str) -> Result<(), CliError> {
        if let Some(client) = self.client.take() {
            client.close();
        }
        println!("Connecting to {host}");
        let options =
            Options::parse(host, self.timeout_ms, self.read_only).map_err(CliError::new)?;
        self.host = host.to_owned();
        let shown = self.print_watches.clone();
        let watcher = Box::new(move |event: Event| {
            if shown.load(Relaxed) {
                let Event { state, kind, path, zxid } = event;
                let path = path.as_deref().unwrap_or("null");
                println!(
                    "\nWATCHER::\n\nWatchedEvent state:{state} type:{kind} path:{path} zxid: {zxid}"
                );
            }
        });
        let client = Client::start(options, watcher);
        self.client = Some(client.map_err(|error| CliError::new(error.to_string()))?);
        Ok(())
    }

    fn wait(&self, patience: Duration) -> bool {
        self.client.as_ref().is_some_and(|client| client.wait_connected(patience))
    }

    fn interact(&mut self) {
        println!("Welcome to ZooKeeper!");
        println!("JLine support is enabled");
        // So that the first prompt says CONNECTED if a server is there at all.
        self.wait(Duration::from_millis(500));
        let mut lines = std::io::stdin().lock().lines();
        while !self.quit {
            let status = self.client.as_ref().map_or(Status::Closed, Client::status);
            print!("[zk: {}({}) {}] ", self.host, status.java_name(), self.history.len());
            // A terminal that is gone ends the loop by its input.
            let _ = std::io::stdout().flush();
            match lines.next() {
                Some(Ok(line)) if line.trim().is_empty() => {}
                Some(Ok(line)) => {
                    let words = split(&line);
                    self.history.push(line);
                    self.execute(&words);
                }
                Some(Err(_)) | None => return,
            }
        }
    }

    /// Runs one command and keeps its exit code.
    fn execute(&mut self, words: &[String]) {
        match self.run(words) {
            Ok(()) => self.code = if self.quit { self.code } else { exit::FINISHED },
            Err(error) => {
                eprintln!("{}", error.text.trim_end_matches(' '));
                self.code = error.code;
            }
        }
    }

    fn run(&mut self, words: &[String]) -> Result<(), CliError> {
        let Some((name, rest)) = words.split_first() else {
            return Err(CliError::new("No command entered"));
        };
        let command = COMMANDS.iter().find(|command| command.name == name);
        match (name.as_str(), rest) {
            ("quit", _) => self.quit = true,
            ("redo", [number, ..]) => return self.redo(number),
            ("history", _) => {
                let last = self.history.len().saturating_sub(1);
                for at in last.saturating_sub(10)..=last {
                    if let Some(line) = self.history.get(at) {
                        println!("{at} - {line}");
                    }
                }
            }
            ("printwatches", []) => {
                let on = self.print_watches.load(Relaxed);
                println!("printwatches is {}", if on { "on" } else { "off" });
            }
            ("printwatches", [wanted, ..]) => self.print_watches.store(wanted == "on", Relaxed),
            ("connect", rest) => {
                let host = rest.first().unwrap_or(&self.host).clone();
                return self.connect(&host);
            }
            (name, _) if command.is_none() && !OWN.iter().any(|(own, _)| *own == name) => {
                overview();
                let text = format!("Command not found: Command not found {name}");
                return Err(CliError { text, code: NOT_FOUND });
            }
            _ => {}
        }
        let (Some(command), Some(client)) = (command, &self.client) else { return Ok(()) };
        if !client.status().is_alive() {
            println!("Not connected");
            return Ok(());
        }
        let given = Given::parse(rest, command.flags).map_err(CliError::new)?;
        if given.arguments.len() < command.arguments || given.has("?") {
            return Err(CliError::new(usage(command.name)));
        }
        (command.run)(client, &given)
    }

    fn redo(&mut self, number: &str) -> Result<(), CliError> {
        // The line that says redo is the last one.
        let before = self.history.len().saturating_sub(1);
        let at = number.parse().ok().filter(|at| *at < before);
        let Some(line) = at.and_then(|at: usize| self.history.get(at)).cloned() else {
            return Err(CliError::new("Command index out of range"));
        };
        let words = split(&line);
        if words.first().is_some_and(|word| word == "redo") {
            return Err(CliError::new("No redoing redos"));
        }
        if let Some(last) = self.history.last_mut() {
            *last = line;
        }
        self.run(&words)
    }
}

/// What an unknown command is answered with: all of them.
fn overview() {
    eprintln!("ZooKeeper -server host:port -client-configuration properties-file cmd args");
    let mut all: Vec<(&str, &str)> = OWN.to_vec();
    all.extend(COMMANDS.iter().map(|command| (command.name, command.usage)));
    all.sort_unstable();
    for (name, usage) in all {
        eprintln!("\t{name} {usage}");
    }
}
