//! Scheme `ip`: addresses with an optional number of significant bits
//! (`IPAuthenticationProvider`).

use std::net::IpAddr;

use super::provider::{AuthOutcome, Provider, Remote};
use super::{Identity, ip};

/// The scheme `ip`.
#[derive(Debug, Clone, Copy, Default)]
pub struct IpProvider;

impl Provider for IpProvider {
    fn scheme(&self) -> &str {
        "ip"
    }

    fn is_authenticated(&self) -> bool {
        false
    }

    fn is_valid(&self, id: &str) -> bool {
        parse_expression(id).is_some()
    }

    fn matches(&self, id: &str, acl_id: &str) -> bool {
        ip::matches(id, acl_id)
    }

    /// Always succeeds, whatever the payload; the identity is usually there already.
    fn authenticate(&self, _data: Option<&[u8]>, remote: &Remote<'_>) -> AuthOutcome {
        AuthOutcome::Granted(vec![Identity::new("ip", &host_address(remote.ip))])
    }
}

/// The text Java shows for an address: IPv6 in lower case without compression and leading zeros,
/// an IPv4 address mapped into IPv6 as plain IPv4 (`InetAddress.getHostAddress`).
pub fn host_address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let groups: Vec<String> = v6.segments().iter().map(|s| format!("{s:x}")).collect();
            groups.join(":")
        }
    }
}

/// True if the address `id` lies in the network `acl_id`. Families never match each other.
fn matches(id: &str, acl_id: &str) -> bool {
    let Some((network, bits)) = parse_expression(acl_id) else { return false };
    // Java cannot parse a scope (`fe80::1%eth0`) and never matches such addresses; without it the
    // address says the same.
    let address = id.split('%').next().unwrap_or(id);
    let Some(address) = parse_address(address) else { return false };
    address.len == network.len && (address.value ^ network.value) >> (network.len - bits) == 0
}

/// An address as a number. Invariant: `value` < 2^`len`, `len` is 32 or 128. The value of an IPv4
/// address is kept in 32 bits; shifting by the whole length is done by [`Shr`](std::ops::Shr) on
/// two halves so that `/0` works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address {
    value: Wide,
    len: u32,
}

/// A `u128` whose shift by 128 is 0 instead of an overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wide(u128);

impl std::ops::BitXor for Wide {
    type Output = Wide;
    fn bitxor(self, other: Wide) -> Wide {
        Wide(self.0 ^ other.0)
    }
}
impl std::ops::Shr<u32> for Wide {
    type Output = u128;
    fn shr(self, bits: u32) -> u128 {
        self.0.checked_shr(bits).unwrap_or(0)
    }
}

/// `address` or `address/bits`.
fn parse_expression(text: &str) -> Option<(Address, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (parse_address(address)?, Some(bits)),
        None => (parse_address(text)?, None),
    };
    let bits = match bits {
        Some(bits) => u32::try_from(bits.parse::<i32>().ok()?).ok()?,
        None => address.len,
    };
    (bits <= address.len).then_some((address, bits))
}

fn parse_address(text: &str) -> Option<Address> {
    if text.contains(':') {
        Some(Address { value: Wide(parse_v6(text)?), len: 128 })
    } else if text.contains('.') {
        Some(Address { value: Wide(parse_v4(text)?.into()), len: 32 })
    } else {
        None
    }
}

/// Four decimal numbers, each as `Integer.parseInt` reads it (`+1` and `007` are fine).
fn parse_v4(text: &str) -> Option<u32> {
    let mut value = 0u32;
    let mut parts = 0;
    for part in text.split('.') {
        let octet = u8::try_from(part.parse::<i32>().ok()?).ok()?;
        value = value << 8 | u32::from(octet);
        parts += 1;
        if parts > 4 {
            return None;
        }
    }
    (parts == 4).then_some(value)
}

/// Eight groups, or fewer with one `::` that stands for at least one group. No dotted quads.
fn parse_v6(text: &str) -> Option<u128> {
    let mut sides = text.split("::");
    let (head, tail) = (sides.next()?, sides.next());
    if sides.next().is_some() {
        return None;
    }
    let Some(tail) = tail else {
        let (value, groups) = parse_groups(head)?;
        return (groups == 8).then_some(value);
    };
    let (high, high_groups) = parse_side(head)?;
    let (low, low_groups) = parse_side(tail)?;
    if high_groups + low_groups >= 8 {
        return None;
    }
    let high = if high_groups == 0 { 0 } else { high << (16 * (8 - high_groups)) };
    Some(high | low)
}

/// One side of `::`, which may be empty.
fn parse_side(text: &str) -> Option<(u128, u32)> {
    if text.is_empty() { Some((0, 0)) } else { parse_groups(text) }
}

fn parse_groups(text: &str) -> Option<(u128, u32)> {
    let mut value = 0u128;
    let mut groups = 0;
    for group in text.split(':') {
        // Java counts UTF-16 units; anything but ASCII fails to parse anyway.
        if group.is_empty() || group.len() > 4 || groups == 8 {
            return None;
        }
        let parsed = i32::from_str_radix(group, 16).ok()?;
        // A sign is accepted, as in Java: `-1` reads as ffff.
        value = value << 16 | u128::from(parsed as u16);
        groups += 1;
    }
    Some((value, groups))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn validity() {
        let provider = IpProvider;
        for good in [
            "1.2.3.4",
            "1.2.3.4/0",
            "1.2.3.4/32",
            "0.0.0.0/0",
            "+1.2.3.4",
            "01.002.3.4",
            "::",
            "::1",
            "1::",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "fe80::1/64",
            "FE80::abcd/128",
            "::/0",
            "1.2.3.4/+8",
            "-1::",
        ] {
            assert!(provider.is_valid(good), "{good}");
        }
        for bad in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.-1",
            "1.2.3.",
            "1.2.3.4/",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.4/8/8",
            "localhost",
            "1234",
            ":::",
            "1::2::3",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4::5:6:7:8",
            "12345::",
            "g::",
            "::1/129",
            "::ffff:1.2.3.4",
            "1.2.3.4 ",
            "a.b.c.d",
        ] {
            assert!(!provider.is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn matching() {
        let cases = [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "127.0.0.2/31", false),
            ("127.0.0.3", "127.0.0.2/31", true),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("1.2.3.4", "9.9.9.9/0", true),
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("0:0:0:0:0:0:0:1", "9.9.9.9/0", false),
            ("127.0.0.1", "::/0", false),
            ("fe80:0:0:0:1:2:3:4", "fe80::/64", true),
            ("fe80:0:0:0:1:2:3:4%eth0", "fe80::/64", true),
            ("fe81:0:0:0:1:2:3:4", "fe80::/64", false),
            ("127.0.0.1", "nonsense", false),
            ("nonsense", "127.0.0.1", false),
        ];
        for (id, acl, expected) in cases {
            assert_eq!(IpProvider.matches(id, acl), expected, "{id} {acl}");
        }
    }

    #[test]
    fn addresses_read_as_java_prints_them() {
        let show = |text: &str| host_address(text.parse().unwrap());
        assert_eq!(show("::1"), "0:0:0:0:0:0:0:1");
        assert_eq!(show("FE80::00ab"), "fe80:0:0:0:0:0:0:ab");
        assert_eq!(show("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(show("10.0.0.1"), "10.0.0.1");
    }

    /// Compares bit by bit.
    fn naive(address: &[u8], network: &[u8], bits: u32) -> bool {
        address.len() == network.len()
            && (0..bits).all(|i| {
                let bit = |bytes: &[u8]| bytes[(i / 8) as usize] >> (7 - i % 8) & 1;
                bit(address) == bit(network)
            })
    }

    proptest! {
        #[test]
        fn v4_agrees_with_a_bitwise_twin(a: u32, flip in 0u32..33, bits in 0u32..33) {
            // Networks that differ from the address in one bit, or not at all.
            let b = if flip == 32 { a } else { a ^ 1 << flip };
            let text = |n: u32| std::net::Ipv4Addr::from(n).to_string();
            let acl = format!("{}/{bits}", text(b));
            prop_assert!(IpProvider.is_valid(&acl));
            let expected = naive(&a.to_be_bytes(), &b.to_be_bytes(), bits);
            prop_assert_eq!(IpProvider.matches(&text(a), &acl), expected);
        }

        #[test]
        fn v6_agrees_with_a_bitwise_twin(a: u128, flip in 0u32..129, bits in 0u32..129) {
            let b = if flip == 128 { a } else { a ^ 1 << flip };
            let acl = format!("{}/{bits}", Ipv6Addr::from(b));
            // The library prints some addresses with a dotted quad, which Java refuses.
            prop_assume!(!acl.contains('.'));
            let id = host_address(IpAddr::V6(Ipv6Addr::from(a)));
            prop_assume!(!id.contains('.'));
            prop_assert!(IpProvider.is_valid(&acl));
            let expected = naive(&a.to_be_bytes(), &b.to_be_bytes(), bits);
            prop_assert_eq!(IpProvider.matches(&id, &acl), expected);
        }

        #[test]
        fn arbitrary_text_never_panics(id: String, acl: String) {
            IpProvider.is_valid(&acl);
            IpProvider.matches(&id, &acl);
        }
    }
}
