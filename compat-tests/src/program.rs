//! Clients of other languages as child processes, whose transcripts are compared.
//!
//! A program gets the server's address, prints what it sees line by line and ends with `done`. The
//! line `@restart` asks for a crash and a new start of the server; it goes on when it reads a line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};

/// How long a program may print nothing.
const SILENCE_MAX: Duration = Duration::from_secs(200);

/// The line that asks for a restart.
pub const RESTART: &str = "@restart";

/// Runs `command` to its end and returns its lines. `restart` is called when it asks for that.
pub fn transcript(
    command: Command,
    input: &str,
    restart: impl FnMut() -> Result<()>,
) -> Result<Vec<String>> {
    transcript_within(command, input, SILENCE_MAX, restart)
}

/// Like [`transcript`] for programs that may print nothing for another time than `SILENCE_MAX`.
pub fn transcript_within(
    mut command: Command,
    input: &str,
    silence_max: Duration,
    mut restart: impl FnMut() -> Result<()>,
) -> Result<Vec<String>> {
    let name = format!("{:?}", command.get_program());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {name}: has compat-tests/setup.sh run?"))?;
    let lines = reader(child.stdout.take().context("stdout")?);
    let errors = reader(child.stderr.take().context("stderr")?);
    let mut stdin = child.stdin.take().context("stdin")?;
    stdin.write_all(input.as_bytes())?;
    // Programs without a restart read to the end of the input.
    let mut stdin = if input.is_empty() { Some(stdin) } else { None };
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(silence_max) {
            Ok(line) if line == RESTART => {
                restart().context("restarting the server")?;
                let stdin = stdin.as_mut().context("stdin")?;
                stdin.write_all(b"\n")?;
                stdin.flush()?;
                seen.push(line);
            }
            Ok(line) => seen.push(line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                let errors: Vec<String> = errors.iter().collect();
                bail!(
                    "{name} prints nothing for {silence_max:?} after\n{}\nstderr:\n{}",
                    seen.join("\n"),
                    errors.join("\n")
                );
            }
        }
    }
    let status = end(&mut child)?;
    let errors: Vec<String> = errors.iter().collect();
    ensure!(status, "{name} failed after\n{}\nstderr:\n{}", seen.join("\n"), errors.join("\n"));
    Ok(seen)
}

/// The lines in which two transcripts differ, with the line before; empty if they are equal.
pub fn differences(expected: &[String], actual: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for index in 0..expected.len().max(actual.len()) {
        let (e, a) = (expected.get(index), actual.get(index));
        if e != a {
            if index > 0 {
                lines
                    .push(format!("  after:    {}", expected[(index - 1).min(expected.len() - 1)]));
            }
            lines.push(format!("  expected: {}", e.map_or("(nothing)", |l| l)));
            lines.push(format!("  actual:   {}", a.map_or("(nothing)", |l| l)));
        }
    }
    lines
}

fn end(child: &mut Child) -> Result<bool> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() > deadline {
            child.kill()?;
            bail!("the program closed its output but does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn reader(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = unbounded();
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}
