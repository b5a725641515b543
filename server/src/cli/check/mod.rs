//! `rookeeper check`: looks at a configuration and its data before a migration and says, line by
//! line, what behaves as under the Java server, what differs, and what stands in the way.
//!
//! Owns: findings, their text and JSON, exit codes. Must not know: how settings are parsed
//! (`config`) or files are read (`storage`). Nothing is written, created or repaired.
//!
//! Start at [`run`]; `file.rs` reads the configuration, `data.rs` the directories and the machine.

mod data;
mod file;

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::exit;

/// What `rookeeper check` is told.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file of the Java server
    zoo_cfg: PathBuf,
    /// Look at this directory instead of dataDir, at a copy for example
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Look at this directory instead of dataLogDir
    #[arg(long, value_name = "DIR")]
    data_log_dir: Option<PathBuf>,
    /// Do not read snapshots and logs, only what is fast
    #[arg(long)]
    quick: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What a finding means for the migration. Also the exit code of the worst one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// Behaves as under Java.
    Same = 0,
    /// Works, but read this.
    Differs = 1,
    /// Does not start, or would lose what the setting asks for.
    Blocks = 2,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Differs => "differs",
            Verdict::Blocks => "blocks",
        }
    }
}

/// One line of the report.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    /// File and line, a directory, or what of the machine.
    place: String,
    text: String,
}

/// The report.
#[derive(Debug, Default)]
struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, verdict: Verdict, place: impl Display, text: impl Display) {
        self.0.push(Finding { verdict, place: place.to_string(), text: text.to_string() });
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|finding| finding.verdict == verdict).count()
    }

    fn worst(&self) -> Verdict {
        self.0.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Same)
    }

    fn json(&self) -> serde_json::Value {
        let findings: Vec<_> = self
            .0
            .iter()
            .map(|f| json!({ "verdict": f.verdict.name(), "place": f.place, "text": f.text }))
            .collect();
        json!({
            "findings": findings,
            "same": self.count(Verdict::Same),
            "differs": self.count(Verdict::Differs),
            "blocks": self.count(Verdict::Blocks),
            "exit": self.worst() as i32,
        })
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { verdict, place, text } in &self.0 {
            writeln!(f, "{:<8} {place}: {text}", verdict.name())?;
        }
        let advice = match self.worst() {
            Verdict::Same => "nothing stands in the way",
            Verdict::Differs => "can be migrated; read what differs",
            Verdict::Blocks => "do not migrate before what blocks is solved",
        };
        let [same, differs, blocks] =
            [Verdict::Same, Verdict::Differs, Verdict::Blocks].map(|verdict| self.count(verdict));
        writeln!(f, "\n{same} same, {differs} differ, {blocks} block: {advice}")
    }
}

/// Runs the check; the exit code is 0 (all the same), 1 (something differs) or 2 (something blocks).
pub(super) fn run(arguments: &Arguments) -> i32 {
    let mut report = Report::default();
    let config = file::check(&arguments.zoo_cfg, &mut report);
    data::check(arguments, config.as_ref(), &mut report);
    let mut out = io::stdout().lock();
    let printed = match arguments.json {
        true => writeln!(out, "{}", report.json()),
        false => write!(out, "{report}"),
    };
    match printed.and_then(|()| out.flush()) {
        Ok(()) => report.worst() as i32,
        // A report that nobody saw is no clean bill.
        Err(_) => exit::INVALID_INVOCATION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides() {
        let mut report = Report::default();
        assert_eq!(report.worst() as i32, 0);
        report.add(Verdict::Same, "zoo.cfg:1", "tickTime=2000");
        report.add(Verdict::Blocks, "zoo.cfg:2", "x");
        report.add(Verdict::Differs, "data", "y");
        assert_eq!(report.json()["exit"], 2);
        assert_eq!(report.json()["findings"][1]["verdict"], "blocks");
        let text = report.to_string();
        assert!(
            text.starts_with("same     zoo.cfg:1: tickTime=2000\nblocks   zoo.cfg:2: x\n"),
            "{text}"
        );
        assert!(
            text.ends_with(
                "1 same, 1 differ, 1 block: do not migrate before what blocks is solved\n"
            )
        );
    }
}
