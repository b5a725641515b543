//! The options of those subcommands that read their words as Java's tools do; for `rookeeper help`,
//! the manual pages and completions. The tools print Java's own help.

pub(super) const CLI: &str = "\
Options (before the command):
  -server HOST:PORT[,HOST:PORT...][/CHROOT]  servers and the root of all paths [localhost:2181]
  -timeout MS                     session timeout [30000]
  -r                              a read-only server will do
  -waitforconnection              wait for the connection before the first command
  -client-configuration FILE      properties of the client, those of TLS for example
  --json                          one JSON object per command, for scripts

Without a command it is a shell: commands from the terminal, with history and completion, or from a
pipe. `rookeeper cli help` lists the commands.

Exit codes: 0, 1 if the command failed, 2 for a client configuration that cannot be read, 127 for a
command that there is not. JVMFLAGS and CLIENT_JVMFLAGS may set properties with -Dname=value.";

pub(super) const TXNLOG: &str = "\
Options:
  -d, --dump       print every transaction (default)
  -r, --recover    write LOG.fixed, in which every checksum is right; LOG is left alone
  -v, --verbose    with -r: print all transactions, not only the repaired ones
  -y, --yes        with -r: do not ask
  -c, --chop       with -z: write LOG.choppedZXID, which ends with that transaction
  -z, --zxid ZXID  where to chop, decimal, or hexadecimal behind 0x
  -h, --help       print Java's help

Exit codes: 0, 1 for a log that cannot be read, 2 for a file that is no log.";

pub(super) const SNAPSHOT: &str = "\
Options:
  -d       print the data of each znode, in base64
  -json    print sizes as JSON, to be looked at with ncdu -f

Exit codes: 0, 1 for a snapshot that cannot be read, 2 for wrong arguments.";

pub(super) const COMPARE: &str = "\
Options:
  -l, --left FILE    the older snapshot
  -r, --right FILE   the newer snapshot
  -b, --bytes N      print subtrees that differ by more than N bytes
  -n, --nodes N      print subtrees that differ by more than N znodes
  -d, --debug        print what is compared
  -i, --interactive  ask for the depth or the path to compare";

pub(super) const SUMMARY: &str = "\
Arguments:
  SNAPSHOT    a snapshot file
  START_NODE  the znode to begin at
  MAX_DEPTH   how deep to print; 0 for all";

pub(super) const PURGE: &str = "\
Arguments:
  DATA_LOG_DIR  dataLogDir, or dataDir if there is only one
  SNAP_DIR      dataDir
  -n COUNT      how many snapshots to keep, at least 3; the logs behind them are kept too";

pub(super) const CHECK: &str = "\
Exit codes: 0 if all is the same, 1 if something differs, 2 if something blocks. SERVER_JVMFLAGS and
JVMFLAGS are looked at as the server would.";

pub(super) const SERVER: &str = "\
Exit codes: 0, 1 unexpected error, 2 wrong arguments or configuration, 3 data directory that cannot
be used, 4 AdminServer that does not start, 10 log or snapshot that cannot be written, 12 and 13 a
leader that breaks the protocol, 14 quorum port that is in use, 128 and the number of a signal.";
