//! `rookeeper generate <directory>`: man pages and shell completions, made from the command line's own
//! description, laid out as below `/usr/share`. For those who make packages, so it is hidden.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::exit;

/// Writes everything below `directory`; returns the exit code.
pub(super) fn run(command: Command, directory: &Path) -> i32 {
    match write(command, directory) {
        Ok(()) => exit::FINISHED,
        Err(error) => {
            eprintln!("cannot write below {}: {error}", directory.display());
            exit::UNEXPECTED
        }
    }
}

fn write(mut command: Command, directory: &Path) -> io::Result<()> {
    let completions = [
        (Shell::Bash, "bash-completion/completions/rookeeper"),
        (Shell::Zsh, "zsh/vendor-completions/_rookeeper"),
        (Shell::Fish, "fish/vendor_completions.d/rookeeper.fish"),
    ];
    for (shell, name) in completions {
        let mut text = Vec::new();
        generate(shell, &mut command, "rookeeper", &mut text);
        put(&directory.join(name), &text)?;
    }
    let pages = directory.join("man/man1");
    page(&command, "rookeeper", &pages)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("rookeeper-{}", sub.get_name());
        page(&sub.clone().name(name.clone()), &name, &pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str, pages: &Path) -> io::Result<()> {
    let mut text = Vec::new();
    Man::new(command.clone()).section("1").manual("Rookeeper").render(&mut text)?;
    put(&pages.join(format!("{name}.1")), &text)
}

fn put(file: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_has_a_page_and_is_completed() {
        let folder = tempfile::tempdir().expect("temporary directory");
        let command = super::super::Arguments::command();
        write(command.clone(), folder.path()).expect("write");
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("written");
        let bash = read("bash-completion/completions/rookeeper");
        let zsh = read("zsh/vendor-completions/_rookeeper");
        let fish = read("fish/vendor_completions.d/rookeeper.fish");
        for sub in command.get_subcommands().map(Command::get_name) {
            if sub == "generate" {
                continue;
            }
            let page = read(&format!("man/man1/rookeeper-{sub}.1"));
            assert!(page.contains(&format!("rookeeper\\-{sub}")), "{page}");
            for (shell, text) in [("bash", &bash), ("zsh", &zsh), ("fish", &fish)] {
                assert!(text.contains(sub), "{shell} does not know {sub}");
            }
        }
        assert!(read("man/man1/rookeeper.1").contains(".SH SUBCOMMANDS"));
        assert!(!folder.path().join("man/man1/rookeeper-generate.1").exists(), "it is hidden");
    }
}
