//! `DigestAuthenticationProvider.main`: the ids that ACLs and `superDigest` need.

use std::io;

use super::Console;
use crate::acl::DigestAlgorithm;
use crate::cli::exit;

const ALGORITHM: &str = "-Dzookeeper.DigestAuthenticationProvider.digestAlg=";

/// Prints `user:password->user:hash` for each argument.
pub fn run(arguments: &[String], console: &mut Console<'_>) -> io::Result<i32> {
    let mut algorithm = DigestAlgorithm::default();
    for argument in arguments {
        if let Some(name) = argument.strip_prefix(ALGORITHM) {
            let Some(known) = DigestAlgorithm::from_java_name(name) else {
                writeln!(console.err, "There is no digest algorithm {name}.")?;
                return Ok(exit::UNEXPECTED);
            };
            algorithm = known;
        } else {
            writeln!(console.out, "{argument}->{}", algorithm.id(argument))?;
        }
    }
    Ok(exit::FINISHED)
}
