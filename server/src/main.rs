//! The `rookeeper` binary: arguments and exit codes.
#![forbid(unsafe_code)]

fn main() {
    std::process::exit(rookeeper::cli::run(std::env::args_os()));
}
