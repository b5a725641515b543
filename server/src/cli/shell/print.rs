//! How the shell shows lists, ACLs and data, and reads ACLs.

use std::fmt::Write as _;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use jute::data::Acl;

use super::error::CliError;
use super::out::complain;

/// `[a, b]`
pub(super) fn list<S: AsRef<str>>(items: &[S]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    format!("[{}]", items.join(", "))
}

/// An entry as `ACL` and its `Id` print it, over two lines: `'scheme,'id` and `: cdrwa`.
pub(super) fn acl(entry: &Acl) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
    let (scheme, id) = (text(&entry.id.scheme), text(&entry.id.id));
    format!("'{scheme},'{id}\n: {}", permissions(entry.perms))
}

const LETTERS: [(i32, char); 5] = [
    (jute::data::PERM_CREATE, 'c'),
    (jute::data::PERM_DELETE, 'd'),
    (jute::data::PERM_READ, 'r'),
    (jute::data::PERM_WRITE, 'w'),
    (jute::data::PERM_ADMIN, 'a'),
];

pub(super) fn permissions(bits: i32) -> String {
    LETTERS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, letter)| letter).collect()
}

/// `AclParser`: what cannot be read is complained about and left out.
pub(super) fn parse_acl(whole: &str) -> Vec<Acl> {
    let mut list = Vec::new();
    // Java's split: empty pieces at the end are none.
    let text = whole.trim_end_matches(',');
    let entries = text.split(',').filter(|_| !text.is_empty());
    let lone = Some("").filter(|_| whole.is_empty());
    for entry in lone.into_iter().chain(entries) {
        let (Some(first), Some(last)) = (entry.find(':'), entry.rfind(':')) else {
            complain(format_args!("{entry} does not have the form scheme:id:perm"));
            continue;
        };
        if first == last {
            complain(format_args!("{entry} does not have the form scheme:id:perm"));
            continue;
        }
        let perms = entry[last + 1..].chars().fold(0, |perms, letter| {
            match LETTERS.iter().find(|(_, known)| *known == letter) {
                Some((bit, _)) => perms | bit,
                None => {
                    complain(format_args!("Unknown perm type: {letter}"));
                    perms
                }
            }
        });
        let (scheme, id) = (entry[..first].to_owned(), entry[first + 1..last].to_owned());
        list.push(Acl { perms, id: jute::data::Id { scheme: Some(scheme), id: Some(id) } });
    }
    list
}

pub(super) fn base64(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Like Java's decoder: `=` at the end may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn from_base64(text: &str) -> Result<Vec<u8>, CliError> {
    LENIENT.decode(text).map_err(|error| CliError::new(format!("not base64: {error}")))
}

/// `ByteBufUtil.prettyHexDump`.
pub(super) fn hex_dump(data: &[u8]) -> String {
    if data.is_empty() {
        return String::new();
    }
    let line = format!("+--------+{}+{}+", "-".repeat(49), "-".repeat(16));
    let mut out = format!("         +{}+\n         |", "-".repeat(49));
    (0..16).for_each(|digit| _ = write!(out, "  {digit:x}"));
    _ = write!(out, " |\n{line}");
    for (row, bytes) in data.chunks(16).enumerate() {
        _ = write!(out, "\n|{:08x}|", row * 16);
        bytes.iter().for_each(|byte| _ = write!(out, " {byte:02x}"));
        let blank = 16 - bytes.len();
        _ = write!(out, "{:1$} |", "", blank * 3);
        for byte in bytes {
            out.push(if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' });
        }
        _ = write!(out, "{:1$}|", "", blank);
    }
    _ = write!(out, "\n{line}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_are_nettys() {
        assert_eq!(
            hex_dump(b"1\x00z"),
            "         +-------------------------------------------------+\n         |  0  1  2  3  \
             4  5  6  7  8  9  a  b  c  d  e  f |\n+--------+----------------------------------\
             ---------------+----------------+\n|00000000| 31 00 7a                             \
             \u{20}          |1.z             |\n+--------+---------------------------------------\
             ----------+----------------+"
        );
    }

    #[test]
    fn lists_and_permissions() {
        assert_eq!(list::<&str>(&[]), "[]");
        assert_eq!(list(&["a", "b"]), "[a, b]");
        let acl = parse_acl("world:anyone:cdrwa,ip:10.0.0.0/8:r,bad,digest:u:h=:rx");
        let shown: Vec<_> = acl.iter().map(|entry| permissions(entry.perms)).collect();
        assert_eq!(shown, ["cdrwa", "r", "r"]);
        assert_eq!(acl[2].id.id.as_deref(), Some("u:h="));
    }
}
