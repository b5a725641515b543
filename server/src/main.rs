//! The `rookeeper` binary: arguments and exit codes.
#![forbid(unsafe_code)]

fn main() {
    // `rookeeper sim --seed N [--count M]`: a tool of developers, not of operators.
    #[cfg(feature = "sim")]
    if std::env::args().nth(1).as_deref() == Some("sim") {
        let words: Vec<String> = std::env::args().skip(2).collect();
        std::process::exit(rookeeper::sim::cli::main(&words));
    }
    std::process::exit(rookeeper::cli::run(std::env::args_os()));
}
