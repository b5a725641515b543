//! `rkload`: load generator, floor and comparison. Each command prints JSON on standard output.
#![forbid(unsafe_code)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use compat_tests::load::cluster;
use compat_tests::load::compare::{self, Options, Part, Table};
use compat_tests::load::floor;
use compat_tests::load::report::{Report, listener};
use compat_tests::load::scenario::{self, Mixed, Server};
use compat_tests::load::work::{Kind, Until};
use compat_tests::server;

/// Load for a ZooKeeper server over the raw protocol.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the tree that `run` and `watch` use.
    Setup {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        tree: TreeArgs,
    },
    /// Run a mix of operations.
    Run {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        tree: TreeArgs,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Create many znodes with paths of 35 bytes.
    Fill {
        #[command(flatten)]
        server: ServerArgs,
        /// Znodes.
        #[arg(long, default_value_t = 1_000_000)]
        count: usize,
        /// Bytes per value.
        #[arg(long, default_value_t = 100)]
        value_size: usize,
        /// Znodes per request: more than one make a multi.
        #[arg(long, default_value_t = 1)]
        per_request: usize,
    },
    /// Watch events: every connection watches every znode, each znode is set once per round.
    Watch {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        tree: TreeArgs,
        /// Connections that watch.
        #[arg(long, default_value_t = 200)]
        watchers: usize,
        /// Znodes watched.
        #[arg(long, default_value_t = 100)]
        watched: usize,
        /// Rounds of arming and firing.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Open sessions; the opening is measured.
    Sessions {
        #[command(flatten)]
        server: ServerArgs,
        /// Sessions.
        #[arg(long, default_value_t = 2000)]
        count: usize,
        /// Handshakes in flight.
        #[arg(long, default_value_t = 16)]
        at_once: usize,
    },
    /// Run everything against ours, Java and the floor; prints a Markdown table.
    Compare(CompareArgs),
    /// Run ensembles of three of ours and of Java; prints a Markdown table.
    Ensembles(CompareArgs),
    /// Serve canned replies: the least a server can do.
    Floor {
        /// Port on the loopback interface.
        #[arg(long)]
        port: u16,
        /// Bytes per value.
        #[arg(long, default_value_t = 1024)]
        value_size: usize,
    },
}

#[derive(Args)]
struct ServerArgs {
    /// The server's client address.
    #[arg(long, default_value = "127.0.0.1:2181")]
    addr: SocketAddr,
    /// The server's process; found by its port if not given.
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(Args)]
struct TreeArgs {
    /// Znodes in the tree.
    #[arg(long, default_value_t = 1000)]
    nodes: usize,
    /// Bytes per value.
    #[arg(long, default_value_t = 1024)]
    value_size: usize,
    /// The tree is there already.
    #[arg(long)]
    no_setup: bool,
}

#[derive(Args)]
struct CompareArgs {
    /// Our binary; by default the newest build of this workspace.
    #[arg(long)]
    rookeeper: Option<PathBuf>,
    /// Class path of the Java server; by default the jars that `compat-tests/setup.sh` brought.
    #[arg(long)]
    java_class_path: Option<String>,
    /// Leave Java out.
    #[arg(long)]
    no_java: bool,
    /// JVM flags.
    #[arg(long, default_value = "-Xmx4g", allow_hyphen_values = true)]
    java_flags: String,
    /// Rounds per row; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Length of one run, seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Znodes of the big tree.
    #[arg(long, default_value_t = 1_000_000)]
    fill: usize,
    /// Only these groups of rows.
    #[arg(long, value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Write all numbers to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct RunArgs {
    /// Share of reads, 0 to 1: short for `--mix get=R,set=W`.
    #[arg(long, default_value_t = 1.0, conflicts_with = "mix")]
    read_share: f64,
    /// Operations and weights, such as `get=80,set=15,create=5`: get, exists, children, set,
    /// create (and delete), multi (two sets).
    #[arg(long, value_delimiter = ',')]
    mix: Vec<String>,
    /// Requests outstanding per connection; 1 is unpipelined.
    #[arg(long, default_value_t = 64)]
    depth: usize,
    /// Connections.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Length of the run, seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// End after so many operations instead.
    #[arg(long)]
    ops: Option<u64>,
    /// Load before measuring, seconds.
    #[arg(long, default_value_t = 1.0)]
    warmup: f64,
    /// Seed for the choice of operations and znodes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Setup { server, tree } => {
            scenario::setup(server.server(), tree.nodes, tree.value_size)
        }
        Command::Run { server, tree, run } => {
            let server = server.server();
            tree.setup(server)?;
            print(&scenario::mixed(server, &run.mixed(&tree)?)?)
        }
        Command::Fill { server, count, value_size, per_request } => {
            print(&scenario::fill(server.server(), count, value_size, per_request)?)
        }
        Command::Watch { server, tree, watchers, watched, rounds } => {
            let server = server.server();
            ensure!(watched <= tree.nodes, "cannot watch more znodes than there are");
            tree.setup(server)?;
            print(&scenario::watches(server, watchers, watched, rounds)?)
        }
        Command::Sessions { server, count, at_once } => {
            print(&scenario::sessions(server.server(), count, at_once)?)
        }
        Command::Compare(args) => args.run(compare::run),
        Command::Ensembles(args) => args.run(cluster::run),
        Command::Floor { port, value_size } => {
            floor::serve((Ipv4Addr::LOCALHOST, port).into(), value_size)
        }
    }
}

impl CompareArgs {
    fn run(self, run: impl Fn(&Options) -> Result<Table>) -> Result<()> {
        let home = server::scratch("bench")?;
        let class_path = match self.java_class_path {
            _ if self.no_java => None,
            Some(given) => Some(given),
            None => {
                let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/rootfs/conf");
                let jars = server::jars(server::TARGET)?;
                Some(format!("{}:{}/*", conf.display(), jars.display()))
            }
        };
        let binary = self.rookeeper.map_or_else(server::rookeeper_binary, Ok)?;
        let table = run(&Options {
            rookeeper: fs::canonicalize(binary).context("find the rookeeper binary")?,
            java_class_path: class_path,
            java_flags: self.java_flags.split_whitespace().map(str::to_owned).collect(),
            home: home.path().to_owned(),
            rounds: self.rounds,
            time: Duration::from_secs_f64(self.seconds),
            fill: self.fill,
            parts: self.parts,
        })?;
        if let Some(path) = self.json {
            fs::write(&path, serde_json::to_string_pretty(&table)?)
                .with_context(|| format!("write {}", path.display()))?;
        }
        print!("{}", table.markdown());
        Ok(())
    }
}

impl ServerArgs {
    fn server(&self) -> Server {
        Server { addr: self.addr, pid: self.pid.or_else(|| listener(self.addr)) }
    }
}

impl TreeArgs {
    fn setup(&self, server: Server) -> Result<()> {
        if self.no_setup {
            return Ok(());
        }
        scenario::setup(server, self.nodes, self.value_size)
    }
}

impl RunArgs {
    fn mixed(&self, tree: &TreeArgs) -> Result<Mixed> {
        let mut kinds = Vec::new();
        for part in &self.mix {
            let (name, weight) = part.split_once('=').context("--mix wants name=weight")?;
            let kind = Kind::parse(name).with_context(|| format!("--mix: no operation {name}"))?;
            kinds.push((kind, weight.parse()?));
        }
        if kinds.is_empty() {
            ensure!((0.0..=1.0).contains(&self.read_share), "--read-share wants 0 to 1");
            let reads = (self.read_share * 1000.0).round() as usize;
            kinds = vec![(Kind::Get, reads), (Kind::Set, 1000 - reads)];
        }
        let elapsed = Until::Elapsed(Duration::from_secs_f64(self.seconds));
        Ok(Mixed {
            name: self.mix.join(","),
            kinds,
            connections: self.connections,
            depth: self.depth,
            nodes: tree.nodes,
            value_size: tree.value_size,
            warmup: Duration::from_secs_f64(self.warmup),
            until: self.ops.map_or(elapsed, Until::Operations),
            seed: self.seed,
        })
    }
}

fn print(report: &Report) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(report)?);
    Ok(())
}
