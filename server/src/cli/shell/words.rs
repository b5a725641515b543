//! A command line: words, options, arguments (`MyCommandOptions`, commons-cli's default parser).

/// Splits a line. A word that begins with a quote goes on to the next one of its kind.
pub(super) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let quoted = match first {
            '"' | '\'' => rest[1..].find(first).map(|end| (&rest[1..=end], &rest[end + 2..])),
            _ => None,
        };
        let (word, after) = quoted
            .unwrap_or_else(|| rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())));
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// One option: its name without the dash, whether it takes a value, what it means.
pub(super) type Flag = (&'static str, bool, &'static str);

/// What was given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Given {
    options: Vec<(&'static str, Option<String>)>,
    /// What is no option; the command's name is not among them.
    pub arguments: Vec<String>,
}

impl Given {
    /// Sorts words into options and arguments. Options may stand anywhere; `--` ends them.
    pub(super) fn parse(words: &[String], flags: &[Flag]) -> Result<Self, String> {
        const PACKAGE: &str = "org.apache.commons.cli.";
        let mut given = Given::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                given.arguments.extend(words.by_ref().cloned());
                break;
            }
            let Some(name) = word.strip_prefix('-').filter(|name| !name.is_empty()) else {
                given.arguments.push(word.clone());
                continue;
            };
            let Some((name, takes_value, _)) = flags.iter().find(|(flag, ..)| *flag == name) else {
                let kind = format!("{PACKAGE}UnrecognizedOptionException");
                return Err(format!("{kind}: Unrecognized option: {word}"));
            };
            let value = match takes_value {
                false => None,
                true => Some(words.next().cloned().ok_or_else(|| {
                    let kind = format!("{PACKAGE}MissingArgumentException");
                    format!("{kind}: Missing argument for option: {name}")
                })?),
            };
            given.options.push((name, value));
        }
        Ok(given)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(given, _)| *given == name)
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(given, _)| *given == name)?.1.as_deref()
    }

    pub(super) fn argument(&self, index: usize) -> Option<&str> {
        self.arguments.get(index).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for (line, words) in [
            ("", vec![]),
            ("  ls   /  ", vec!["ls", "/"]),
            ("create /a \"b c\" 'd \"e'", vec!["create", "/a", "b c", "d \"e"]),
            ("set /a x\"y z", vec!["set", "/a", "x\"y", "z"]),
            ("set /a \"open", vec!["set", "/a", "\"open"]),
            ("set /a \"\"", vec!["set", "/a", ""]),
        ] {
            assert_eq!(split(line), words, "{line}");
        }
    }

    #[test]
    fn options() {
        let flags: &[Flag] = &[("s", false, ""), ("v", true, "")];
        let parse = |line: &str| Given::parse(&split(line), flags);
        let given = parse("/a -v 3 data -s").expect("well formed");
        assert_eq!(given.arguments, ["/a", "data"]);
        assert_eq!((given.value("v"), given.has("s"), given.has("x")), (Some("3"), true, false));
        assert_eq!(parse("-- -s").expect("well formed").arguments, ["-s"]);
        assert_eq!(
            parse("-z").unwrap_err(),
            "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: -z"
        );
        assert!(parse("/a -v").unwrap_err().ends_with("Missing argument for option: v"));
    }
}
