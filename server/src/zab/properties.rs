//! The lines of `java.util.Properties`, as far as membership texts need them: comments, the three
//! separators, escapes, continued lines.

/// Key and value of each line, in order.
pub fn parse(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut lines = text.split(['\n', '\r']);
    while let Some(line) = lines.next() {
        let line = line.trim_start_matches([' ', '\t', '\x0c']);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while ends_in_odd_backslashes(&logical) {
            logical.pop();
            match lines.next() {
                Some(next) => logical.push_str(next.trim_start_matches([' ', '\t', '\x0c'])),
                None => break,
            }
        }
        out.push(split(&logical));
    }
    out
}

fn ends_in_odd_backslashes(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

fn split(line: &str) -> (String, String) {
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|(_, c)| {
            let hit = !escaped && matches!(c, '=' | ':' | ' ' | '\t' | '\x0c');
            escaped = *c == '\\' && !escaped;
            hit
        })
        .map_or(line.len(), |(at, _)| at);
    let blank = [' ', '\t', '\x0c'];
    let rest = line[end..].trim_start_matches(blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(blank);
    (unescape(&line[..end]), unescape(rest))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\x0c'),
            Some('u') => {
                let hex: String = chars.by_ref().take(4).collect();
                let unit = u32::from_str_radix(&hex, 16).unwrap_or(0xfffd);
                out.push(char::from_u32(unit).unwrap_or('\u{fffd}'));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_follow_java() {
        let cases = [
            ("a=b", vec![("a", "b")]),
            ("a = b\n\n# c\n! d\n", vec![("a", "b")]),
            ("a:b\rc d", vec![("a", "b"), ("c", "d")]),
            ("server.1=h\\:1\\:2", vec![("server.1", "h:1:2")]),
            ("a\\=b=c", vec![("a=b", "c")]),
            ("a=b\\\n   c", vec![("a", "bc")]),
            ("a", vec![("a", "")]),
            ("a=\\u0041", vec![("a", "A")]),
            ("a=b ", vec![("a", "b ")]),
        ];
        for (text, expected) in cases {
            let expected: Vec<_> =
                expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
