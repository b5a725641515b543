//! The subcommands of the binary: the server itself, its version, tools.
//!
//! Owns: command lines, the log format, signals, exit codes. Must not know: how a server works;
//! `server.rs` does. Environment variables are read here and nowhere below.
//!
//! Start at [`run`]; `serve.rs` is what `rookeeper server` does.

mod advice;
mod check;
mod environment;
mod generate;
mod help;
mod logging;
mod notify;
mod purge;
mod secure;
mod serve;
mod shell;
mod signals;
pub mod tools;
mod word;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};

use crate::base::version;

/// Ends of a process (`ExitCode`).
pub mod exit {
    /// Normal end.
    pub const FINISHED: i32 = 0;
    /// Whatever has no code of its own.
    pub const UNEXPECTED: i32 = 1;
    /// Bad arguments or configuration.
    pub const INVALID_INVOCATION: i32 = 2;
    /// Data directory cannot be used.
    pub const DATADIR: i32 = 3;
    /// AdminServer cannot start.
    pub const ADMIN_SERVER: i32 = 4;
}

#[derive(Parser)]
#[command(name = "rookeeper", about = "A ZooKeeper server", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a server: `server <zoo.cfg>`, or `server <port> <dataDir> [tickTime] [maxcnxns]`.
    /// JVM options are accepted; `-Dname=value` sets a property.
    #[command(disable_help_flag = true, after_help = help::SERVER)]
    Server {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The shell: `cli [-server host:port[,host:port...][/chroot]] [-timeout ms] [-r]
    /// [-waitforconnection] [command arguments...]`.
    #[command(disable_help_flag = true, after_help = help::CLI)]
    Cli {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Says what a Java server's configuration and data would be here: same, different, in the way
    #[command(after_help = help::CHECK)]
    Check(check::Arguments),
    /// Prints the version
    Version {
        /// `--full`, `--short` or `--revision`, as Java's `Version` class
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Deletes old snapshots and logs: `purge dataLogDir [snapDir] -n count`.
    #[command(disable_help_flag = true, after_help = help::PURGE)]
    Purge {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Dumps, recovers or chops a transaction log: `txnlog [-dhrvcy] log (-z zxid)`.
    #[command(disable_help_flag = true, after_help = help::TXNLOG)]
    Txnlog {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Copies the head of a transaction log: `chop zxid log new_log`.
    Chop {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Prints a snapshot: `snapshot [-d|-json] snapshot`.
    #[command(disable_help_flag = true, after_help = help::SNAPSHOT)]
    Snapshot {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Compares two snapshots: `compare -l left -r right -b bytes -n nodes [-d] [-i]`.
    #[command(disable_help_flag = true, after_help = help::COMPARE)]
    Compare {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Prints the sizes of subtrees of a snapshot: `summary snapshot start_node max_depth`.
    #[command(disable_help_flag = true, after_help = help::SUMMARY)]
    Summary {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Prints the digests of `user:password` pairs, for ACLs and the super user.
    Digest {
        /// `user:password`; `-Dzookeeper.DigestAuthenticationProvider.digestAlg=NAME` in front of
        /// them chooses the hash.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Writes man pages and shell completions below a directory, for packages.
    #[command(hide = true)]
    Generate {
        /// Where `man/`, `bash-completion/`, `zsh/` and `fish/` go.
        directory: PathBuf,
    },
    /// Sends a four-letter word and prints the answer: `word host port cmd [secure]`
    Word {
        /// Host, client port, word, and `true` for a TLS port
        arguments: Vec<String>,
    },
}

/// Runs the command line and returns the process exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> i32 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help goes to stdout with code 0, mistakes to stderr with 2.
            let _ = error.print();
            return error.exit_code();
        }
    };
    match arguments.command {
        Command::Server { arguments } => serve::run(&arguments),
        Command::Cli { arguments } => shell::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Version { arguments } => print_version(&arguments),
        Command::Purge { arguments } => purge::run(&arguments),
        Command::Txnlog { arguments } => tools::run(tools::txnlog::toolkit, &arguments),
        Command::Chop { arguments } => tools::run(tools::txnlog::chopper, &arguments),
        Command::Snapshot { arguments } => tools::run(tools::formatter::run, &arguments),
        Command::Compare { arguments } => tools::run(tools::comparer::run, &arguments),
        Command::Summary { arguments } => tools::run(tools::summary::run, &arguments),
        Command::Digest { arguments } => tools::run(tools::digest::run, &arguments),
        Command::Generate { directory } => generate::run(Arguments::command(), &directory),
        Command::Word { arguments } => word::run(&arguments),
    }
}

/// `VersionInfoMain`, what `zkServer.sh version` prints, and with an option Java's `Version` class.
fn print_version(arguments: &[String]) -> i32 {
    let (zookeeper, built, own) = (version::ZOOKEEPER, version::BUILT, version::ROOKEEPER);
    let options: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match options.as_slice() {
        [] => println!("Apache ZooKeeper, version {zookeeper} {built} (Rookeeper {own})"),
        ["--full"] => println!("{}", version::full()),
        ["--short"] => println!("{zookeeper}"),
        ["--revision"] => println!("{}", version::revision()),
        _ => {
            print!(
                "Usage:\trookeeper version [--full | --short | --revision],\n\tPrints --full \
                 version info if no arg specified."
            );
            return exit::UNEXPECTED;
        }
    }
    exit::FINISHED
}
