//! Which version we are, and which one we stand in for.

/// The ZooKeeper release whose behaviour this server follows.
pub const ZOOKEEPER: &str = "3.9.5";

/// Our own version.
pub const ROOKEEPER: &str = env!("CARGO_PKG_VERSION");

/// When this was built; release builds set `ROOKEEPER_BUILD_TIME` (`YYYY-MM-DD HH:MM UTC`).
pub const BUILT: &str = match option_env!("ROOKEEPER_BUILD_TIME") {
    Some(time) => time,
    None => "2026-11-21 00:00 UTC",
};

/// The text of `srvr`, `mntr` and `envi` (`Version.getFullVersion`). Existing monitoring finds the
/// release in front of the first hyphen.
pub fn full() -> String {
    format!("{}, built on {BUILT}", revision())
}

/// The release and, where Java has its commit, our own version (`Version.getVersionRevision`).
pub fn revision() -> String {
    format!("{ZOOKEEPER}-rookeeper{ROOKEEPER}")
}
