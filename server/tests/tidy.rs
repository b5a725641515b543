//! Rules no lint knows: the module graph, purity, leftovers, module pages, invariants.
//!
//! The graph is the table of `docs/ARCHITECTURE.md`. A new edge between modules is a commit of its
//! own that edits both. Exceptions stand in the tables here, each with its reason, and an exception
//! that is no longer needed fails the test as well.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// (module, layer, modules of its own layer it may import)
const LAYERS: &[(&str, u8, &[&str])] = &[
    ("base", 0, &[]),
    ("metrics", 0, &["base"]),
    ("tree", 1, &[]),
    ("acl", 1, &[]),
    ("watch", 1, &[]),
    ("session", 1, &[]),
    ("read", 2, &[]),
    ("prep", 2, &[]),
    ("zab", 2, &[]),
    ("replica", 3, &[]),
    ("storage", 4, &[]),
    ("outbox", 4, &["audit"]),
    ("auth", 4, &[]),
    ("audit", 4, &[]),
    ("apply", 5, &[]),
    ("net", 5, &[]),
    ("ensemble", 5, &[]),
    ("pipeline", 6, &[]),
    ("admin", 6, &["pipeline"]),
    ("client", 6, &[]),
    // `config::options` turns a configuration into `server::Options`.
    ("config", 7, &["server"]),
    ("server", 7, &["config"]),
    ("cli", 7, &["config", "server", "sim"]),
    ("sim", 7, &["config", "server"]),
    ("main", 7, &["config", "server", "cli", "sim"]),
];

/// Modules that may import less than their layer allows.
const NARROW: &[(&str, &[&str])] = &[("zab", &["base"])];

/// Modules without I/O, clock, randomness and threads.
const PURE: &[&str] =
    &["base", "metrics", "tree", "acl", "watch", "session", "read", "prep", "zab", "replica"];

/// What a pure module does not say, and what it would be.
const IMPURE: &[(&str, &str)] = &[
    ("Instant::now", "clock"),
    ("SystemTime", "clock"),
    ("std::thread", "thread"),
    ("thread::spawn", "thread"),
    ("crossbeam", "thread"),
    ("std::sync::mpsc", "thread"),
    ("tokio", "I/O"),
    ("std::fs", "file"),
    ("File::", "file"),
    ("tempfile", "file"),
    ("TcpStream", "socket"),
    ("TcpListener", "socket"),
    ("UdpSocket", "socket"),
    ("socket2", "socket"),
    ("nix::", "system call"),
    ("std::process", "process"),
    ("std::env", "environment"),
    ("RandomState", "randomness"),
    ("getrandom", "randomness"),
    ("rand::", "randomness"),
];

/// (file, what it says, why that is fine)
const IMPURE_ALLOWED: &[(&str, &str, &str)] = &[
    ("server/src/tree/tests/cuts.rs", "std::thread", "a test of readers beside the writer"),
    ("server/src/watch/twin.rs", "std::thread", "a test of parallel registration"),
];

/// Top-level modules that are empty until their part is built.
const NOT_BUILT: &[&str] = &[];

/// Invariants whose code is not written yet, and which part will hold them.
const INVARIANTS_TO_COME: &[(&str, &str)] = &[];

/// Lines in a file; above, it is two concepts.
const FILE_LINES_MAX: usize = 900;
/// (file, its limit, why)
const LONG_FILES: &[(&str, usize, &str)] =
    &[("server/src/sim/world.rs", 1_100, "the one event loop of the simulator")];
/// `replica` is a router.
const REPLICA_LINES_MAX: usize = 600;
/// The formatter breaks at 100; this leaves room for what it cannot break.
const LINE_WIDTH_MAX: usize = 120;

#[test]
fn modules_import_only_from_the_layers_above_them() {
    let layers: BTreeMap<_, _> = LAYERS.iter().map(|(m, l, same)| (*m, (*l, *same))).collect();
    let mut wrong = Vec::new();
    for file in sources() {
        let module = file.module.as_str();
        let Some((layer, same)) = layers.get(module) else {
            wrong.push(format!("{}: module `{module}` is not in the table", file.name));
            continue;
        };
        for (line, target) in imports(&file.code, file.depth) {
            let Some((target_layer, _)) = layers.get(target.as_str()) else { continue };
            let narrow = NARROW.iter().find(|(m, _)| *m == module);
            let allowed = target == module
                || same.contains(&target.as_str())
                || (target_layer < layer
                    && narrow.is_none_or(|(_, only)| only.contains(&target.as_str())));
            if !allowed {
                wrong.push(format!("{}:{line}: {module} must not know {target}", file.name));
            }
        }
    }
    report(wrong);
}

#[test]
fn pure_modules_have_no_io_clock_randomness_or_threads() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for file in sources().iter().filter(|file| PURE.contains(&file.module.as_str())) {
        for (at, line) in file.code.lines().enumerate() {
            for (says, what) in IMPURE.iter().filter(|(says, _)| line.contains(says)) {
                match IMPURE_ALLOWED.iter().position(|(f, s, _)| *f == file.name && s == says) {
                    Some(exception) => _ = used.insert(exception),
                    None => wrong.push(format!("{}:{}: {what}: {says}", file.name, at + 1)),
                }
            }
        }
    }
    for (at, (file, says, _)) in IMPURE_ALLOWED.iter().enumerate() {
        if !used.contains(&at) {
            wrong.push(format!("{file}: the exception for {says} is not needed any more"));
        }
    }
    report(wrong);
}

#[test]
fn nothing_is_left_over() {
    // Written in two halves, so that this file does not find itself.
    let leftovers = [
        concat!("db", "g!("),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ign", "ore"),
    ];
    let mut wrong = Vec::new();
    for path in tracked(&["rs", "sh", "toml"]) {
        for (at, line) in read(&path).lines().enumerate() {
            for word in leftovers.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!("{}:{}: {word}", name(&path), at + 1));
            }
        }
    }
    report(wrong);
}

#[test]
fn every_module_opens_with_its_page() {
    let mut wrong = Vec::new();
    for path in tracked(&["rs"]) {
        let text = read(&path);
        let page = text.lines().take_while(|line| line.starts_with("//!")).count();
        let path_name = name(&path);
        let top = path_name.strip_prefix("server/src/").and_then(|p| p.strip_suffix("/mod.rs"));
        let not_built = top.is_some_and(|module| NOT_BUILT.contains(&module));
        if page == 0 {
            wrong.push(format!("{path_name}: no page (`//!`)"));
        } else if not_built && text.lines().count() > 3 {
            wrong.push(format!("{path_name}: is built now, take it off the list"));
        } else if !not_built && top.is_some_and(|module| !module.contains('/')) && page < 4 {
            wrong.push(format!("{path_name}: the page of a module says what it owns, ..."));
        }
    }
    report(wrong);
}

#[test]
fn lines_and_files_are_short() {
    let mut wrong = Vec::new();
    for path in tracked(&["rs"]) {
        let text = read(&path);
        for (at, line) in text.lines().enumerate() {
            if line.chars().count() > LINE_WIDTH_MAX {
                wrong.push(format!("{}:{}: over {LINE_WIDTH_MAX} columns", name(&path), at + 1));
            }
        }
        let lines = text.lines().count();
        let limit = LONG_FILES.iter().find(|(file, ..)| *file == name(&path));
        if lines > limit.map_or(FILE_LINES_MAX, |(_, limit, _)| *limit) {
            wrong.push(format!("{}: {lines} lines", name(&path)));
        }
    }
    let replica = sources().into_iter().filter(|file| file.module == "replica");
    for file in replica {
        let lines = file.code.split("mod tests {").next().map_or(0, |code| code.lines().count());
        if lines > REPLICA_LINES_MAX {
            wrong.push(format!("{}: {lines} lines; replica routes, it does not decide", file.name));
        }
    }
    report(wrong);
}

#[test]
fn every_invariant_is_cited_in_code() {
    let page = read(&root().join("docs/ARCHITECTURE.md"));
    let names: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(name, _)| name)
        .filter(|name| {
            name.contains('-') && name.chars().all(|c| c == '-' || c.is_ascii_uppercase())
        })
        .collect();
    assert!(names.len() >= 20, "the table of invariants is gone from docs/ARCHITECTURE.md");
    let code: Vec<String> = tracked(&["rs"])
        .iter()
        .filter(|p| name(p).starts_with("server/src"))
        .map(|p| read(p))
        .collect();
    let mut wrong = Vec::new();
    for invariant in names {
        let cited = code.iter().any(|text| text.contains(invariant));
        let to_come = INVARIANTS_TO_COME.iter().any(|(name, _)| *name == invariant);
        match (cited, to_come) {
            (false, false) => wrong.push(format!("{invariant}: no code cites it")),
            (true, true) => wrong.push(format!("{invariant}: is cited, take it off the list")),
            _ => {}
        }
    }
    report(wrong);
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let paths = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/")];
    let temporary = concat!("/t", "mp/");
    let mut wrong = Vec::new();
    for path in tracked(&["rs", "sh", "toml", "md", "tsv", "cfg", "yml", "java", "py", "go", "c"]) {
        for (at, line) in read(&path).lines().enumerate() {
            // Java's sample configuration puts its data there, and so must ours.
            let line = line.replace(concat!("/t", "mp/zookeeper"), "");
            if paths.iter().any(|p| line.contains(p)) || line.contains(temporary) {
                wrong.push(format!("{}:{}: {}", name(&path), at + 1, line.trim()));
            }
        }
    }
    report(wrong);
}

#[test]
fn versions_stand_in_one_place() {
    let mut wrong = Vec::new();
    for member in ["jute", "server", "compat-tests"] {
        let path = root().join(member).join("Cargo.toml");
        let mut in_dependencies = false;
        for line in read(&path).lines() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            } else if in_dependencies && line.contains('=') && !line.contains("workspace = true") {
                wrong.push(format!("{}: {line}", name(&path)));
            }
        }
    }
    report(wrong);
}

#[test]
fn the_import_scanner_finds_all_forms() {
    let code = "use crate::base::Zxid;\nuse crate::{tree::{cut, cell}, acl};\n\
                fn f() { crate::watch::g(); super::super::net::h(); }\n";
    let found: Vec<_> = imports(code, 2).into_iter().map(|(_, module)| module).collect();
    assert_eq!(found, ["base", "tree", "acl", "watch", "net"]);
    assert_eq!(strip("a // crate::x\n\"crate::y\" b"), "a \n\"\" b");
}

/// A source file of the server, without comments and strings.
struct Source {
    name: String,
    /// Top-level module it belongs to.
    module: String,
    /// How many `super::` lead to the crate root.
    depth: usize,
    code: String,
}

fn sources() -> Vec<Source> {
    let src = root().join("server/src");
    let mut files = Vec::new();
    for path in walk(&src, &["rs"]) {
        let inside: Vec<String> = path
            .strip_prefix(&src)
            .expect("walk stays inside")
            .with_extension("")
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .filter(|part| part != "mod")
            .collect();
        if inside[0] == "lib" {
            continue;
        }
        files.push(Source {
            name: name(&path),
            module: inside[0].clone(),
            depth: inside.len(),
            code: strip(&read(&path)),
        });
    }
    assert!(files.len() > 20, "the sources moved");
    files
}

/// (line, top-level module) for every path that starts at the crate root.
fn imports(code: &str, depth: usize) -> Vec<(usize, String)> {
    let to_root = "super::".repeat(depth);
    let mut found = Vec::new();
    for start in ["crate::", to_root.as_str()] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let line = code[..at].lines().count();
            let rest = &code[at + start.len()..];
            let heads = match rest.strip_prefix('{') {
                Some(group) => group_heads(group),
                None => vec![identifier(rest)],
            };
            found.extend(heads.into_iter().map(|head| (line, head)));
        }
    }
    found
}

/// First identifiers of `a::b, c::{d, e}, f}`.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut level = 0;
    let mut at_start = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level == 0 => break,
            '}' => level -= 1,
            ',' if level == 0 => at_start = true,
            c if at_start && c.is_alphanumeric() => {
                heads.push(identifier(&group[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Rust without line comments and string contents; lines keep their numbers.
fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut in_string = false;
    while let Some(c) = chars.next() {
        match c {
            '\n' => out.push('\n'),
            '\\' if in_string => {
                if chars.next() == Some('\n') {
                    out.push('\n');
                }
            }
            '"' => {
                in_string = !in_string;
                out.push('"');
            }
            _ if in_string => {}
            // A quoted character, so that '"' opens no string.
            '\'' if chars.peek() == Some(&'"') => {
                chars.next();
            }
            '/' if chars.peek() == Some(&'/') => {
                while chars.peek().is_some_and(|c| *c != '\n') {
                    chars.next();
                }
            }
            c => out.push(c),
        }
    }
    out
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the server is a member").to_owned()
}

/// All files of the repository with one of the extensions.
fn tracked(extensions: &[&str]) -> Vec<PathBuf> {
    walk(&root(), extensions)
}

fn walk(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("list a folder").map(|e| e.expect("list").path()).collect();
    entries.sort();
    for path in entries {
        let file_name = path.file_name().expect("an entry has a name").to_string_lossy();
        if path.is_dir() {
            let skip = ["target", ".git", "node_modules", "golden", "corpus", "artifacts"];
            if !skip.contains(&file_name.as_ref()) {
                files.extend(walk(&path, extensions));
            }
        } else if path.extension().is_some_and(|e| extensions.contains(&&*e.to_string_lossy())) {
            files.push(path);
        }
    }
    files
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("read a source file")).into_owned()
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

fn report(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
