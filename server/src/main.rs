//! The `rookeeper` binary: arguments and exit codes.
#![forbid(unsafe_code)]

/// Prep, log, apply and the connections pass buffers to each other, so most are freed on another
/// thread than the one that allocated them; the system's allocator takes a lock for that, this one
/// does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    std::process::exit(rookeeper::cli::run(std::env::args_os()));
}
