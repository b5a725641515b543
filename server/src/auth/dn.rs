//! The text of a certificate's subject as Java prints it (`X500Principal.getName()`, RFC 2253): it
//! is an identity in ACLs, so every byte counts.

use std::fmt::Write;

use super::der::{self, Element};

/// The keywords of RFC 2253; any other type is printed as number and hexadecimal value.
const KEYWORDS: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
];

/// Prints a DER `Name`. `None` if it is malformed.
pub(super) fn rfc2253(name: &[u8]) -> Option<String> {
    let (rdns, _) = der::expect(name, der::SEQUENCE)?;
    let mut printed = Vec::new();
    for rdn in der::elements(rdns) {
        let pairs: Option<Vec<_>> = der::elements(rdn?.value).map(|pair| print(pair?)).collect();
        printed.push(pairs?.join("+"));
    }
    printed.reverse();
    Some(printed.join(","))
}

/// The values of one attribute type in order, as text where they are text.
pub(super) fn values<'a>(name: &'a [u8], oid: &'a [u8]) -> impl Iterator<Item = String> + 'a {
    let rdns = der::expect(name, der::SEQUENCE).map_or(&[][..], |(rdns, _)| rdns);
    der::elements(rdns).flatten().flat_map(|rdn| der::elements(rdn.value).flatten()).filter_map(
        move |pair| {
            let (kind, rest) = der::expect(pair.value, der::OID)?;
            let (value, _) = der::split(rest)?;
            (kind == oid && is_text(value.tag))
                .then(|| String::from_utf8_lossy(value.value).into_owned())
        },
    )
}

fn print(pair: Element<'_>) -> Option<String> {
    let (kind, rest) = der::expect(pair.value, der::OID)?;
    let (value, _) = der::split(rest)?;
    let keyword = KEYWORDS.iter().find(|(oid, _)| *oid == kind).map(|(_, keyword)| *keyword);
    match keyword {
        Some(keyword) if is_text(value.tag) => {
            Some(format!("{keyword}={}", escape(&String::from_utf8_lossy(value.value))))
        }
        _ => {
            let kind = match keyword {
                Some(keyword) => keyword.to_owned(),
                None => der::oid_text(kind)?,
            };
            let mut out = format!("{kind}=#");
            for byte in value.whole {
                write!(out, "{byte:02x}").ok()?;
            }
            Some(out)
        }
    }
}

/// T61, Printable, IA5, General, BMP and UTF8 strings. Java reads all of them as UTF-8 here.
fn is_text(tag: u8) -> bool {
    matches!(tag, 0x0c | 0x13 | 0x14 | 0x16 | 0x1b | 0x1e)
}

fn escape(text: &str) -> String {
    let count = text.chars().count();
    let leading = text.chars().take_while(|c| is_blank(*c)).count();
    let trailing = text.chars().rev().take_while(|c| is_blank(*c)).count();
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        match c {
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\0' => out.push_str("\\00"),
            _ if is_blank(c) && (at < leading || at >= count - trailing) => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\r'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type, tag and value of an attribute.
    type Attribute<'a> = (&'a [u8], u8, &'a [u8]);

    fn name(rdns: &[&[Attribute<'_>]]) -> Vec<u8> {
        let mut all = Vec::new();
        for rdn in rdns {
            let mut set = Vec::new();
            for (oid, tag, value) in *rdn {
                let pair = [der::wrap(der::OID, oid), der::wrap(*tag, value)].concat();
                set.extend(der::wrap(der::SEQUENCE, &pair));
            }
            all.extend(der::wrap(0x31, &set));
        }
        der::wrap(der::SEQUENCE, &all)
    }

    #[test]
    fn as_java_prints_it() {
        const CN: &[u8] = &[0x55, 4, 3];
        const O: &[u8] = &[0x55, 4, 10];
        const OU: &[u8] = &[0x55, 4, 11];
        const EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];
        let cases: &[(Vec<u8>, &str)] = &[
            (
                name(&[
                    &[(&[0x55, 4, 6], 0x13, b"US")],
                    &[(&[0x55, 4, 8], 0x0c, b"CA")],
                    &[(O, 0x0c, b"Ex \"Q\", Inc")],
                    &[(OU, 0x0c, b"A"), (OU, 0x0c, b"B")],
                    &[(CN, 0x0c, b"Client One")],
                    &[(EMAIL, 0x16, b"a@b.c")],
                ]),
                "1.2.840.113549.1.9.1=#16056140622e63,CN=Client One,OU=A+OU=B,\
                 O=Ex \\\"Q\\\"\\, Inc,ST=CA,C=US",
            ),
            (name(&[&[(CN, 0x0c, b" #a=b+c<d>;\\ ")]]), "CN=\\ \\#a\\=b\\+c\\<d\\>\\;\\\\\\ "),
            (name(&[&[(CN, 0x0c, "Жанна".as_bytes())]]), "CN=Жанна"),
            (name(&[&[(CN, 0x0c, b"a\0b")]]), "CN=a\\00b"),
            (name(&[&[(CN, 0x0c, b"  ")]]), "CN=\\ \\ "),
            (name(&[&[(&[0x55, 4, 5], 0x13, b"17")]]), "2.5.4.5=#13023137"),
            (name(&[&[(CN, 0x03, b"\0a")]]), "CN=#03020061"),
            (name(&[]), ""),
        ];
        for (name, expected) in cases {
            assert_eq!(rfc2253(name).as_deref(), Some(*expected));
        }
        assert_eq!(rfc2253(&[0x30, 5, 0x31]), None);
        let found: Vec<_> = values(&cases[0].0, OU).collect();
        assert_eq!(found, ["A", "B"]);
    }
}
