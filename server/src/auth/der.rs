//! Just enough DER: to walk what a certificate or key store holds, and to wrap bytes. Lengths are
//! checked against what is there; nothing is copied.

/// Tag of a SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// Tag of an OCTET STRING.
pub(super) const OCTET_STRING: u8 = 0x04;
/// Tag of an OBJECT IDENTIFIER.
pub(super) const OID: u8 = 0x06;

/// One element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    /// Its identifier octet; tags above 30 do not occur in what we read.
    pub tag: u8,
    /// What is inside.
    pub value: &'a [u8],
    /// All of it, header included.
    pub whole: &'a [u8],
}

/// The first element and what follows it.
pub(super) fn split(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |n, d| n << 8 | usize::from(*d)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((Element { tag, value, whole: &bytes[..bytes.len() - rest.len()] }, rest))
}

/// The first element, if it has this tag, and what follows it.
pub(super) fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (element, rest) = split(bytes)?;
    (element.tag == tag).then_some((element.value, rest))
}

/// The elements in a row. `None` where one is broken.
pub(super) fn elements(bytes: &[u8]) -> impl Iterator<Item = Option<Element<'_>>> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest.filter(|bytes| !bytes.is_empty())?;
        let found = split(bytes);
        rest = found.map(|(_, rest)| rest);
        Some(found.map(|(element, _)| element))
    })
}

/// An element with this tag around `value`.
pub(super) fn wrap(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = (value.len() as u32).to_be_bytes();
    match value.len() {
        0..=0x7f => out.push(length[3]),
        _ => {
            let digits = &length[length.iter().take_while(|d| **d == 0).count()..];
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(value);
    out
}

/// The dotted text of an object identifier's value.
pub(super) fn oid_text(value: &[u8]) -> Option<String> {
    let mut arcs = Vec::new();
    let mut arc: u128 = 0;
    for (at, byte) in value.iter().enumerate() {
        arc = arc.checked_mul(128)? + u128::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.push(first);
                arc -= first * 40;
            }
            arcs.push(arc);
            arc = 0;
        } else if at + 1 == value.len() {
            return None;
        }
    }
    let arcs: Vec<String> = arcs.iter().map(u128::to_string).collect();
    (!arcs.is_empty()).then(|| arcs.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_is_unwrapped() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let value = vec![7; length];
            let mut bytes = wrap(OCTET_STRING, &value);
            bytes.push(9);
            let (element, rest) = split(&bytes).unwrap();
            assert_eq!((element.tag, element.value, rest), (OCTET_STRING, &value[..], &[9][..]));
            assert_eq!(element.whole.len() + 1, bytes.len());
            bytes.truncate(bytes.len() - 2);
            assert!(split(&bytes).is_none(), "cut short at {length}");
        }
    }

    #[test]
    fn object_identifiers() {
        let email = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];
        assert_eq!(oid_text(&email).as_deref(), Some("1.2.840.113549.1.9.1"));
        assert_eq!(oid_text(&[0x55, 4, 3]).as_deref(), Some("2.5.4.3"));
        assert_eq!(oid_text(&[0x55, 0x84]), None);
        assert_eq!(oid_text(&[]), None);
    }
}
