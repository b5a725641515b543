//! What a path must look like, early and late.

use crate::base::ErrorCode;

/// Znodes that cannot be deleted (`DataTree.isSpecialPath`).
const SPECIAL: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// `PathUtils.validatePath`; fails with BADARGUMENTS. Malformed UTF-8 was replaced by U+FFFD while
/// decoding, which is not allowed either.
pub(super) fn validate(path: &str) -> Result<(), ErrorCode> {
    if is_plain(path.as_bytes()) || is_valid(path) { Ok(()) } else { Err(ErrorCode::BadArguments) }
}

/// All rules, one by one.
fn is_valid(path: &str) -> bool {
    let Some(below_root) = path.strip_prefix('/') else { return false };
    if below_root.is_empty() {
        return true;
    }
    // A trailing slash is an empty last component.
    let named = below_root.split('/').all(|name| !matches!(name, "" | "." | ".."));
    named && path.chars().all(is_allowed)
}

/// True for almost every path that is used: printable ASCII, and no component is empty or begins
/// with a dot. All other rules then hold. Bytes in a row are compared many at a time.
fn is_plain(path: &[u8]) -> bool {
    let [b'/', below_root @ ..] = path else { return false };
    // No early exit: so the compiler compares sixteen at a time.
    let odd = path.iter().zip(below_root).fold(false, |odd, (before, byte)| {
        let printable = (b' '..=b'~').contains(byte);
        let starts = (*before == b'/') & ((*byte == b'/') | (*byte == b'.'));
        odd | !printable | starts
    });
    !odd && below_root.last().is_some_and(|last| *last != b'/')
}

/// Java looks at UTF-16 units: everything beyond the BMP is a pair of surrogates, and forbidden.
fn is_allowed(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{10ffff}')
}

/// The only check of a path before a create looks at the tree (`validatePathForCreate`): the
/// parent, as text.
pub(super) fn parent_for_create(path: &str) -> Result<&str, ErrorCode> {
    match path.rfind('/') {
        Some(slash) if !path.contains('\0') => Ok(&path[..slash]),
        _ => Err(ErrorCode::BadArguments),
    }
}

/// The only check of a path that is to be deleted (`getParentPathAndValidate`): the parent, as
/// text.
pub(super) fn parent_for_delete(path: &str) -> Result<&str, ErrorCode> {
    if SPECIAL.contains(&path) {
        return Err(ErrorCode::BadArguments);
    }
    parent_for_create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_validation() {
        for good in [
            "/",
            "/a",
            "/a/b",
            "/...",
            "/..x",
            "/x..",
            "/a..b",
            "/.a/b.",
            "/a b",
            "/é",
            "/\u{a0}",
            "/\u{d7ff}",
            "/\u{f900}",
            "/\u{ffef}",
            "/a\"\\",
        ] {
            assert_eq!(validate(good), Ok(()), "{good:?}");
        }
        for bad in [
            "",
            "a",
            "a/b",
            "/a/",
            "//",
            "//a",
            "/a//b",
            "/.",
            "/..",
            "/./a",
            "/a/../b",
            "/a/.",
            "/a\0",
            "/\u{1}",
            "/a\u{1f}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{f8ff}",
            "/\u{fff0}",
            "/\u{fffd}",
            "/\u{ffff}",
            "/😀",
            "/a\nb",
        ] {
            assert_eq!(validate(bad), Err(ErrorCode::BadArguments), "{bad:?}");
        }
    }

    #[test]
    fn plain_paths_are_valid() {
        const ALPHABET: [char; 5] = ['/', '.', 'a', '\n', '~'];
        let mut plain = 0;
        for n in 0..5usize.pow(6) {
            let digits = (0..6).map(|at| n / 5usize.pow(at) % 5);
            let path: String = digits.map(|digit| ALPHABET[digit]).collect();
            for length in 0..=path.len() {
                if is_plain(&path.as_bytes()[..length]) {
                    plain += 1;
                    assert!(is_valid(&path[..length]), "{:?}", &path[..length]);
                }
            }
        }
        assert!(plain > 1000, "{plain} plain paths");
    }

    #[test]
    fn early_checks() {
        let bad = Err(ErrorCode::BadArguments);
        for (path, create, delete) in [
            ("/a", Ok(""), Ok("")),
            ("/a/b", Ok("/a"), Ok("/a")),
            ("/a/", Ok("/a"), Ok("/a")),
            ("foo/bar", Ok("foo"), Ok("foo")),
            ("foo", bad, bad),
            ("", bad, bad),
            ("/a\0", bad, bad),
            ("/", Ok(""), bad),
            ("/zookeeper", Ok(""), bad),
            ("/zookeeper/quota", Ok("/zookeeper"), bad),
            ("/zookeeper/config", Ok("/zookeeper"), bad),
            ("/zookeeper/other", Ok("/zookeeper"), Ok("/zookeeper")),
        ] {
            assert_eq!(parent_for_create(path), create, "{path:?}");
            assert_eq!(parent_for_delete(path), delete, "{path:?}");
        }
    }
}
