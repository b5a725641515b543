//! A command line: words, options, arguments (`MyCommandOptions`, commons-cli's `DefaultParser`).

/// Splits a line as Java's pattern does: words begin with anything but a quote, or are quoted as a
/// whole. A quote without its partner is skipped.
pub(super) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let trimmed = rest.trim_start_matches(is_blank);
        let Some(first) = trimmed.chars().next() else {
            // Blanks alone are a word of one blank; behind another word they belong to that.
            if words.is_empty() && !rest.is_empty() {
                words.push(rest[..1].to_owned());
            }
            return words;
        };
        let (word, after) = match first {
            '"' | '\'' => match trimmed[1..].find(first) {
                Some(end) => (&trimmed[1..=end], &trimmed[end + 2..]),
                None => {
                    rest = &trimmed[1..];
                    continue;
                }
            },
            _ => trimmed.split_at(trimmed.find(is_blank).unwrap_or(trimmed.len())),
        };
        words.push(word.to_owned());
        rest = after;
    }
}

/// `\s` of Java's patterns.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// One option: its name without the dash, whether it takes a value, what it means.
pub(super) type Flag = (&'static str, bool, &'static str);

/// The options of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flags {
    /// Any of them, any number of times.
    Any(&'static [Flag]),
    /// At most one of them; exactly one if the second value is true (`OptionGroup`).
    OneOf(&'static [Flag], bool),
}

impl Flags {
    /// All of them.
    pub(super) fn all(self) -> &'static [Flag] {
        match self {
            Flags::Any(flags) | Flags::OneOf(flags, _) => flags,
        }
    }

    fn find(self, name: &str) -> Option<&'static Flag> {
        self.all().iter().find(|(flag, ..)| *flag == name)
    }
}

/// What was given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Given {
    options: Vec<(&'static str, Option<String>)>,
    /// What is no option; the command's name is not among them.
    pub arguments: Vec<String>,
}

fn wrong(kind: &str, text: impl std::fmt::Display) -> String {
    format!("org.apache.commons.cli.{kind}Exception: {text}")
}

fn unrecognized(word: &str) -> String {
    wrong("UnrecognizedOption", format_args!("Unrecognized option: {word}"))
}

/// The parser's state: an option may still wait for its value.
struct Parser {
    flags: Flags,
    given: Given,
    waiting: Option<&'static str>,
}

impl Parser {
    fn option(&mut self, flag: &'static Flag) -> Result<(), String> {
        self.end_option()?;
        let name = flag.0;
        if let (Flags::OneOf(..), Some((other, _))) = (self.flags, self.given.options.first())
            && *other != name
        {
            return Err(wrong(
                "AlreadySelected",
                format_args!(
                    "The option '{name}' was specified but an option from this group has already \
                     been selected: '{other}'"
                ),
            ));
        }
        self.given.options.push((name, None));
        self.waiting = flag.1.then_some(name);
        Ok(())
    }

    fn value(&mut self, text: &str) {
        // `Util.stripLeadingAndTrailingQuotes`
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let text = inner.filter(|inner| !inner.contains('"')).unwrap_or(text);
        if let Some((_, value)) = self.given.options.last_mut() {
            *value = Some(text.to_owned());
        }
        self.waiting = None;
    }

    fn end_option(&mut self) -> Result<(), String> {
        match self.waiting {
            Some(name) => {
                Err(wrong("MissingArgument", format_args!("Missing argument for option: {name}")))
            }
            None => Ok(()),
        }
    }

    /// Whether a word may be the value of an option: no option itself, or a negative number.
    fn is_value(&self, word: &str) -> bool {
        let Some(rest) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            return true;
        };
        let name = rest.split('=').next().unwrap_or(rest);
        let first: String = name.chars().take(1).collect();
        let is_option = self.flags.find(name).is_some() || self.flags.find(&first).is_some();
        !is_option || word.parse::<f64>().is_ok()
    }

    /// A word behind a dash: an option, an option with its value, or several of one letter.
    fn dashed(&mut self, word: &str) -> Result<(), String> {
        let name = word.trim_start_matches('-');
        if word.starts_with("--") {
            return Err(unrecognized(word));
        }
        if let Some(flag) = self.flags.find(name) {
            return self.option(flag);
        }
        if let Some((name, value)) = name.split_once('=') {
            match self.flags.find(name).filter(|flag| flag.1 && name.chars().count() == 1) {
                Some(flag) => {
                    self.option(flag)?;
                    self.value(value);
                    return Ok(());
                }
                None => return Err(unrecognized(word)),
            }
        }
        for (at, letter) in name.char_indices() {
            let letter_text = &name[at..at + letter.len_utf8()];
            let Some(flag) = self.flags.find(letter_text) else { return Err(unrecognized(word)) };
            self.option(flag)?;
            let trail = &name[at + letter.len_utf8()..];
            if self.waiting.is_some() && !trail.is_empty() {
                self.value(trail);
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Given {
    /// Sorts words into options and arguments. Options may stand anywhere; `--` ends them.
    pub(super) fn parse(words: &[String], flags: Flags) -> Result<Self, String> {
        let mut parser = Parser { flags, given: Given::default(), waiting: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                parser.given.arguments.extend(words.by_ref().cloned());
            } else if parser.waiting.is_some() && parser.is_value(word) {
                parser.value(word);
            } else if word.starts_with('-') && word != "-" {
                parser.dashed(word)?;
            } else {
                parser.given.arguments.push(word.clone());
            }
        }
        parser.end_option()?;
        if let (Flags::OneOf(all, true), []) = (flags, parser.given.options.as_slice()) {
            let names: Vec<String> =
                all.iter().map(|(n, _, text)| format!("-{n} {text}")).collect();
            let text = format!("Missing required option: [{}]", names.join(", "));
            return Err(wrong("MissingOption", text));
        }
        Ok(parser.given)
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
            ("  ", vec![" "]),
            ("  ls   /  ", vec!["ls", "/"]),
            ("create /a \"b c\" 'd \"e'", vec!["create", "/a", "b c", "d \"e"]),
            ("set /a x\"y z", vec!["set", "/a", "x\"y", "z"]),
            ("set /a \"open", vec!["set", "/a", "open"]),
            ("set /a \"\"", vec!["set", "/a", ""]),
            ("'a'b", vec!["a", "b"]),
        ] {
            assert_eq!(split(line), words, "{line}");
        }
    }

    const SOME: Flags = Flags::Any(&[("s", false, ""), ("v", true, ""), ("file", true, "")]);

    #[test]
    fn options() {
        let parse = |line: &str| Given::parse(&split(line), SOME);
        let given = parse("/a -v 3 data -s").expect("well formed");
        assert_eq!(given.arguments, ["/a", "data"]);
        assert_eq!((given.value("v"), given.has("s"), given.has("x")), (Some("3"), true, false));
        assert_eq!(parse("-- -s").expect("well formed").arguments, ["-s"]);
        assert_eq!(parse("-").expect("well formed").arguments, ["-"]);
        for (line, value) in [("-v3", "3"), ("-v=4", "4"), ("-sv5", "5"), ("-v -6", "-6")] {
            assert_eq!(parse(line).expect(line).value("v"), Some(value), "{line}");
        }
        for (line, text) in [
            ("-z", "UnrecognizedOptionException: Unrecognized option: -z"),
            ("-sz", "UnrecognizedOptionException: Unrecognized option: -sz"),
            ("--s", "UnrecognizedOptionException: Unrecognized option: --s"),
            ("-file=x", "UnrecognizedOptionException: Unrecognized option: -file=x"),
            ("/a -5", "UnrecognizedOptionException: Unrecognized option: -5"),
            ("/a -v", "MissingArgumentException: Missing argument for option: v"),
            ("-v -s", "MissingArgumentException: Missing argument for option: v"),
        ] {
            assert_eq!(parse(line), Err(format!("org.apache.commons.cli.{text}")), "{line}");
        }
    }

    #[test]
    fn groups() {
        let flags = Flags::OneOf(&[("n", true, "number"), ("b", true, "bytes")], true);
        let parse = |line: &str| Given::parse(&split(line), flags);
        assert_eq!(parse("-n 1 -n 2 /a").expect("the same twice").value("n"), Some("1"));
        assert_eq!(
            parse("/a").expect_err("one is required"),
            "org.apache.commons.cli.MissingOptionException: Missing required option: [-n number, \
             -b bytes]"
        );
        assert_eq!(
            parse("-n 1 -b 2").expect_err("one at most"),
            "org.apache.commons.cli.AlreadySelectedException: The option 'b' was specified but an \
             option from this group has already been selected: 'n'"
        );
    }
}
