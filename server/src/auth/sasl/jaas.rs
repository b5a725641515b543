//! The JAAS login configuration, read as the JDK reads it (`sun.security.provider.ConfigFile`).
//!
//! ```text
//! file  := entry*
//! entry := name "{" module* "}" ";"
//! module := class flag (key "=" value)* ";"
//! ```

use std::collections::BTreeMap;
use std::fmt;

use crate::auth::Secret;

/// The login module that holds users and passwords.
pub(super) const DIGEST_MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";
/// Kerberos.
pub(super) const KERBEROS_MODULE: &str = "com.sun.security.auth.module.Krb5LoginModule";

/// Sections by name.
pub(super) type Sections = BTreeMap<String, Vec<Module>>;

/// A login module of a section.
pub(super) struct Module {
    pub class: String,
    pub options: BTreeMap<String, Secret>,
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub line: usize,
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// Reads a file; `property` is what `${name}` stands for.
pub(super) fn parse(
    text: &str,
    property: &dyn Fn(&str) -> Option<String>,
) -> Result<Sections, Mistake> {
    let mut parser = Parser { rest: text, line: 1, property };
    let mut sections = Sections::new();
    loop {
        match parser.next()? {
            Token::End => return Ok(sections),
            Token::Word(name) | Token::Quoted(name) => {
                let modules = parser.section()?;
                if sections.insert(name.clone(), modules).is_some() {
                    return parser.mistake(format!("the section {name} is there twice"));
                }
            }
            other => return parser.unexpected("the name of a section", &other),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Number,
    Other(char),
    End,
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    property: &'a dyn Fn(&str) -> Option<String>,
}

impl Parser<'_> {
    fn section(&mut self) -> Result<Vec<Module>, Mistake> {
        self.expect('{')?;
        let mut modules = Vec::new();
        loop {
            match self.next()? {
                Token::Other('}') => {
                    self.expect(';')?;
                    return Ok(modules);
                }
                Token::Word(class) | Token::Quoted(class) => modules.push(self.module(class)?),
                other => return self.unexpected("a login module or `}`", &other),
            }
        }
    }

    fn module(&mut self, class: String) -> Result<Module, Mistake> {
        match self.next()? {
            Token::Word(flag) | Token::Quoted(flag)
                if ["required", "requisite", "sufficient", "optional"]
                    .contains(&flag.to_ascii_lowercase().as_str()) => {}
            other => {
                return self.unexpected("required, requisite, sufficient or optional", &other);
            }
        }
        let mut options = BTreeMap::new();
        loop {
            match self.next()? {
                Token::Other(';') => return Ok(Module { class, options }),
                Token::Word(key) | Token::Quoted(key) => {
                    self.expect('=')?;
                    let value = match self.next()? {
                        Token::Word(value) | Token::Quoted(value) => self.expand(&value)?,
                        Token::Number => {
                            return self.mistake(format!(
                                "the value of {key} begins like a number: put it in double quotes"
                            ));
                        }
                        other => return self.unexpected("a value", &other),
                    };
                    options.insert(key, Secret::new(value));
                }
                other => return self.unexpected("an option or `;`", &other),
            }
        }
    }

    fn expand(&self, value: &str) -> Result<String, Mistake> {
        let mut out = String::new();
        let mut rest = value;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, tail)) = after.split_once('}') else { break };
            out.push_str(before);
            match name {
                "/" => out.push('/'),
                name => match (self.property)(name) {
                    Some(value) => out.push_str(&value),
                    None => return self.mistake(format!("the property {name} is not set")),
                },
            }
            rest = tail;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn expect(&mut self, wanted: char) -> Result<(), Mistake> {
        match self.next()? {
            Token::Other(found) if found == wanted => Ok(()),
            other => self.unexpected(&format!("`{wanted}`"), &other),
        }
    }

    fn next(&mut self) -> Result<Token, Mistake> {
        self.skip_blanks()?;
        let mut chars = self.rest.chars();
        let Some(first) = chars.next() else { return Ok(Token::End) };
        if first == '"' {
            return self.quoted();
        }
        if is_word(first) {
            let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            let number = first.is_ascii_digit() || (first == '-' || first == '.');
            return Ok(if number { Token::Number } else { Token::Word(word.to_owned()) });
        }
        self.rest = chars.as_str();
        Ok(Token::Other(first))
    }

    fn skip_blanks(&mut self) -> Result<(), Mistake> {
        loop {
            let trimmed = self.rest.trim_start_matches(|c: char| c <= ' ');
            self.line += self.rest[..self.rest.len() - trimmed.len()].matches('\n').count();
            self.rest = trimmed;
            if let Some(comment) = trimmed.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    self.rest = "";
                    return Ok(());
                };
                self.line += comment[..end].matches('\n').count();
                self.rest = &comment[end + 2..];
            } else if trimmed.starts_with('/') {
                // A single `/` begins a comment too.
                let end = trimmed.find('\n').unwrap_or(trimmed.len());
                self.rest = &trimmed[end..];
            } else {
                return Ok(());
            }
        }
    }

    fn quoted(&mut self) -> Result<Token, Mistake> {
        let mut out = String::new();
        let mut chars = self.rest[1..].chars();
        loop {
            match chars.next() {
                Some('"') => break,
                None | Some('\n' | '\r') => {
                    return self.mistake("a quote is not closed".to_owned());
                }
                Some('\\') => match chars.next() {
                    None | Some('\n' | '\r') => {
                        return self.mistake("a quote is not closed".to_owned());
                    }
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('b') => out.push('\u{8}'),
                    Some('f') => out.push('\u{c}'),
                    Some('r') => out.push('\r'),
                    Some('a') => out.push('\u{7}'),
                    Some('v') => out.push('\u{b}'),
                    Some(first @ '0'..='7') => {
                        let mut code = first as u32 - '0' as u32;
                        let digits = if first <= '3' { 2 } else { 1 };
                        for _ in 0..digits {
                            match chars.as_str().chars().next() {
                                Some(digit @ '0'..='7') => {
                                    code = code * 8 + (digit as u32 - '0' as u32);
                                    chars.next();
                                }
                                _ => break,
                            }
                        }
                        out.extend(char::from_u32(code));
                    }
                    Some(other) => out.push(other),
                },
                Some(other) => out.push(other),
            }
        }
        self.rest = chars.as_str();
        Ok(Token::Quoted(out))
    }

    fn unexpected<T>(&self, wanted: &str, found: &Token) -> Result<T, Mistake> {
        // What stands there may be a password: only its kind is told.
        let found = match found {
            Token::Word(_) => "a word".to_owned(),
            Token::Quoted(_) => "a quoted text".to_owned(),
            Token::Number => "a number".to_owned(),
            Token::Other(c) => format!("`{c}`"),
            Token::End => "the end of the file".to_owned(),
        };
        self.mistake(format!("expected {wanted}, found {found}"))
    }

    fn mistake<T>(&self, text: String) -> Result<T, Mistake> {
        Err(Mistake { line: self.line, text })
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '$' | '*') || c >= '\u{a0}'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(text: &str) -> Result<Vec<(String, String)>, Mistake> {
        let property = |name: &str| (name == "p").then(|| "value".to_owned());
        let sections = parse(text, &property)?;
        Ok(sections["Server"]
            .iter()
            .flat_map(|m| &m.options)
            .map(|(k, v)| (k.clone(), v.expose().to_owned()))
            .collect())
    }

    #[test]
    fn files_that_the_jdk_takes() {
        let module = "org.apache.zookeeper.server.auth.DigestLoginModule";
        let text = format!(
            "// a comment\n/* another\n one */ Client {{ {module} required username=\"x\"; }};\n\
             Server {{\n  {module} REQUIRED\n  user_a=\"1 \\\"q\\\" \\101\\n\"\n user_b=plain\n \
             \"user_c@R\"=\"${{p}}-${{/}}\"\n user_b=last / rest of the line\n;\n {module} optional \
             user_ü=\"ü\\u00e9\" ;\n}};\n"
        );
        let expected = [
            ("user_a", "1 \"q\" A\n"),
            ("user_b", "last"),
            ("user_c@R", "value-/"),
            ("user_ü", "üu00e9"),
        ];
        assert_eq!(users(&text).unwrap(), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(parse("", &|_| None).unwrap().is_empty());
    }

    #[test]
    fn files_that_it_does_not_take() {
        for (text, line, why) in [
            ("Server { m required user_x=1234; };", 1, "double quotes"),
            ("Server { m required user_x=-a; };", 1, "double quotes"),
            ("Server { m required\nuser_x='a'; };", 2, "expected a value"),
            ("Server { m required user_x=\"a\n\"; };", 1, "not closed"),
            ("Server { m required user_x=\"${none}\"; };", 1, "property none"),
            ("Server { m required; }", 1, "expected `;`"),
            ("Server { m sometimes; };", 1, "required, requisite"),
            ("Server { m required };", 1, "expected an option"),
            ("Server { m required a b; };", 1, "expected `=`"),
            ("Server { };\nServer { };", 2, "twice"),
            ("Server", 1, "expected `{`"),
            ("{", 1, "name of a section"),
        ] {
            let mistake = parse(text, &|_| None).err().unwrap_or_else(|| panic!("{text}"));
            assert!(mistake.text.contains(why), "{text}: {mistake}");
            assert_eq!(mistake.line, line, "{text}");
        }
    }
}
