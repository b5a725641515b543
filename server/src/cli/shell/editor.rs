//! Where lines come from: a terminal with line editing, history and completion, or a pipe.

use std::cell::RefCell;
use std::io::{BufRead, IsTerminal, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jute::proto::{GetChildren2Request, GetChildren2Response, op};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter, Validator};

use super::commands::text;
use super::names;
use crate::client::{Client, Status};

/// The session of the shell, which `connect` replaces.
pub(super) type Session = Rc<RefCell<Option<Arc<Client>>>>;

/// How long completion waits for the server: as long as any command would, about.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(30);

/// A source of lines.
pub(super) enum Lines {
    /// Someone types.
    Terminal(Box<Editor<Complete, MemHistory>>),
    /// The prompt is printed, nothing is echoed, as by Java's dumb terminal.
    Pipe { prompts: bool },
}

/// One line, or what came in its place.
pub(super) enum Line {
    Text(String),
    /// The line was given up with Ctrl-C.
    Interrupted,
    End,
}

impl Lines {
    /// A terminal if stdin and stdout are one.
    pub(super) fn open(session: &Session, json: bool) -> Self {
        let pipe = Lines::Pipe { prompts: !json };
        if json || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return pipe;
        }
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .auto_add_history(true)
            // Several pasted lines are several commands.
            .bracketed_paste(false)
            .max_history_size(1000);
        let Ok(config) = config.map(|config| config.build()) else { return pipe };
        let Ok(mut editor) = Editor::with_history(config, MemHistory::new()) else { return pipe };
        editor.set_helper(Some(Complete(session.clone())));
        Lines::Terminal(Box::new(editor))
    }

    /// Reads the next line.
    pub(super) fn next(&mut self, prompt: &str) -> Line {
        match self {
            Lines::Terminal(editor) => match editor.readline(prompt) {
                Ok(line) => Line::Text(line),
                Err(ReadlineError::Interrupted) => Line::Interrupted,
                Err(_) => Line::End,
            },
            Lines::Pipe { prompts } => {
                let mut out = std::io::stdout().lock();
                if *prompts && write!(out, "{prompt}").and_then(|()| out.flush()).is_err() {
                    return Line::End;
                }
                drop(out);
                let mut line = Vec::new();
                match std::io::stdin().lock().read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => Line::End,
                    Ok(_) => {
                        let line = String::from_utf8_lossy(&line);
                        let line = line.strip_suffix('\n').unwrap_or(&line);
                        Line::Text(line.strip_suffix('\r').unwrap_or(line).to_owned())
                    }
                }
            }
        }
    }

    /// Whether the end of the input is told, as Java tells it to a pipe.
    pub(super) fn tells_end(&self) -> bool {
        matches!(self, Lines::Pipe { prompts: true })
    }
}

/// Completes commands, and paths from what the server has (`JLineZNodeCompleter`).
#[derive(Helper, Hinter, Highlighter, Validator)]
pub(super) struct Complete(Session);

impl Completer for Complete {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..at];
        let start = before.rfind([' ', '\t']).map_or(0, |blank| blank + 1);
        let word = &before[start..];
        let pair = |shown: String, ends: bool| Pair {
            replacement: if ends { format!("{shown} ") } else { shown.clone() },
            display: shown,
        };
        if !word.starts_with('/') {
            let fits = names().filter(|name| name.starts_with(word));
            return Ok((start, fits.map(|name| pair(name.to_owned(), true)).collect()));
        }
        let (parent, prefix) = word.rsplit_once('/').unwrap_or(("", word));
        let names = self.children(if parent.is_empty() { "/" } else { parent });
        let fits = names.iter().filter(|name| name.starts_with(prefix));
        Ok((start, fits.map(|name| pair(format!("{parent}/{name}"), false)).collect()))
    }
}

impl Complete {
    /// Names of children in order; none if the server does not say.
    fn children(&self, path: &str) -> Vec<String> {
        let session = self.0.borrow();
        let Some(client) = session.as_ref() else { return Vec::new() };
        if !matches!(client.status(), Status::Connected | Status::ConnectedReadOnly) {
            return Vec::new();
        }
        let path = client.server_path(path);
        let request = GetChildren2Request { path: text(&path), watch: false };
        let answer = client.send(op::GET_CHILDREN2, &request).recv_timeout(COMPLETION_TIMEOUT);
        let Ok(Ok(reply)) = answer else { return Vec::new() };
        let Ok(answer) = reply.read::<GetChildren2Response<'_>>() else { return Vec::new() };
        let names = answer.children.unwrap_or_default().into_iter().flatten();
        let mut names: Vec<String> = names.map(|name| name.into_owned()).collect();
        names.sort();
        names
    }
}
