//! Where a session wants to go.

use alloc::boxed::Box;
use bytes::Bytes;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest name, in bytes, without a trailing dot: what a SOCKS5 length byte can say.
pub const NAME_LEN_MAX: usize = 255;

/// The longest label of a name, in bytes (RFC 1035 section 2.3.4).
pub const LABEL_LEN_MAX: usize = 63;

/// A host in its one canonical form, so that whoever decides about it and whoever connects to it
/// mean the same machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Host {
    /// An address, whatever its spelling was. IPv4-mapped IPv6 stays IPv6 here; the
    /// [guard](crate::exit::guard) decodes it.
    Ip(IpAddr),
    /// A name in lower case without trailing dot, as [`Host::parse`] makes it.
    Name(Box<str>),
}

impl Host {
    /// Parses what a client wrote as host, in time linear in its length.
    ///
    /// IPv6 literals may stand in brackets and have no zone. A name whose last label is a number is
    /// an IPv4 address in any spelling of `inet_aton` (decimal, octal, hexadecimal, one to four
    /// parts) or nothing at all, as in <https://url.spec.whatwg.org/#concept-host-parser>: a resolver
    /// might otherwise read an address where the guard saw a name. Names are ASCII; international
    /// ones arrive as Punycode.
    ///
    /// # Errors
    ///
    /// Returns the first rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(rest) = text.strip_prefix('[') {
            return parse_ipv6(rest.strip_suffix(']').ok_or(HostError::Ipv6)?);
        }
        if text.contains(':') {
            return parse_ipv6(text);
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.len() > NAME_LEN_MAX {
            return Err(HostError::TooLong);
        }
        let mut last = text;
        for label in text.split('.') {
            if !label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            {
                return Err(HostError::Character);
            }
            if label.is_empty() || label.len() > LABEL_LEN_MAX {
                return Err(HostError::Label);
            }
            last = label;
        }
        if is_number(last) {
            return parse_ipv4(text)
                .map(|address| Self::Ip(address.into()))
                .ok_or(HostError::Ipv4);
        }
        Ok(Self::Name(text.to_ascii_lowercase().into()))
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

/// Writes the canonical form, IPv6 without brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name) => f.pad(name),
        }
    }
}

/// A host and a port: what a client asks to be connected to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The TCP or UDP port.
    pub port: u16,
}

/// Writes `host:port`, IPv6 in brackets.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            host @ (Host::Ip(IpAddr::V4(_)) | Host::Name(_)) => write!(f, "{host}:{}", self.port),
        }
    }
}

/// Why a text is not a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostError {
    /// Nothing, or only a dot.
    Empty,
    /// More than [`NAME_LEN_MAX`] bytes.
    TooLong,
    /// A label is empty or has more than [`LABEL_LEN_MAX`] bytes.
    Label,
    /// A character that is not an ASCII letter, a digit, `-`, `_` or `.`.
    Character,
    /// The last label is a number, but the whole is no IPv4 address.
    Ipv4,
    /// Brackets or colons, but no IPv6 address, or one with a zone.
    Ipv6,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the host is empty",
            Self::TooLong => "the name is longer than 255 bytes",
            Self::Label => "a label of the name is empty or longer than 63 bytes",
            Self::Character => "the name has a character other than letters, digits, '-', '_', '.'",
            Self::Ipv4 => "the name ends in a number and is not an IPv4 address",
            Self::Ipv6 => "the IPv6 address is not valid",
        })
    }
}

impl core::error::Error for HostError {}

fn parse_ipv6(text: &str) -> Result<Host, HostError> {
    text.parse::<Ipv6Addr>()
        .map(|address| Host::Ip(address.into()))
        .map_err(|_| HostError::Ipv6)
}

/// Reads one to four numbers; the last one fills all bytes that the others left.
fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    let (head, last) = text
        .rsplit_once('.')
        .map_or((None, text), |(head, last)| (Some(head), last));
    let mut bits = 0;
    let mut bits_left = 32;
    for part in head.into_iter().flat_map(|head| head.split('.')) {
        let byte = u8::try_from(parse_number(part)?).ok()?;
        // A fourth byte before the last number leaves no room for that number.
        bits_left = if bits_left > 8 {
            bits_left - 8
        } else {
            return None;
        };
        bits |= u32::from(byte) << bits_left;
    }
    let last = parse_number(last)?;
    (u64::from(last) < 1 << bits_left).then(|| Ipv4Addr::from_bits(bits | last))
}

/// Tells whether a label is a number for the WHATWG rule: only digits, even if they are not valid as
/// octal ones, or hexadecimal after `0x`.
fn is_number(label: &str) -> bool {
    match hex_digits(label) {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn hex_digits(label: &str) -> Option<&str> {
    label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"))
}

/// Reads a decimal, octal (`0…`) or hexadecimal (`0x…`) number; `0x` alone is zero, as browsers have it.
fn parse_number(label: &str) -> Option<u32> {
    let (digits, radix) = match (hex_digits(label), label.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) => (digits, 8),
        (None, None) if label.is_empty() => return None,
        (None, None) => (label, 10),
    };
    digits.chars().try_fold(0_u32, |number, digit| {
        number
            .checked_mul(radix)?
            .checked_add(digit.to_digit(radix)?)
    })
}

/// Returns an address as it is on the wire.
pub(crate) fn to_octets(address: IpAddr) -> Bytes {
    match address {
        IpAddr::V4(address) => Bytes::copy_from_slice(&address.octets()),
        IpAddr::V6(address) => Bytes::copy_from_slice(&address.octets()),
    }
}

/// Reads an address from the wire; none if it is none.
pub(crate) fn from_octets(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{Host, HostError, NAME_LEN_MAX, Target};
    use alloc::format;
    use alloc::string::{String, ToString as _};
    use alloc::vec::Vec;
    use core::net::{IpAddr, Ipv4Addr};
    use proptest::prelude::*;

    fn ip(text: &str) -> Result<Host, HostError> {
        Ok(Host::Ip(text.parse().unwrap()))
    }

    fn name(text: &str) -> Result<Host, HostError> {
        Ok(Host::Name(text.into()))
    }

    #[test]
    fn every_spelling_of_an_address_is_that_address() {
        for text in [
            "127.0.0.1",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "2130706433",
            "0177.0.0.1",
            "0x7f.1",
            "0X7F.0x0.0.01",
            "017700000001",
            "0x7f000001",
            "00000177.1",
        ] {
            assert_eq!(Host::parse(text), ip("127.0.0.1"), "{text}");
        }
        assert_eq!(Host::parse("0"), ip("0.0.0.0"));
        assert_eq!(Host::parse("0x"), ip("0.0.0.0"));
        assert_eq!(Host::parse("4294967295"), ip("255.255.255.255"));
        assert_eq!(Host::parse("1.16777215"), ip("1.255.255.255"));
        assert_eq!(Host::parse("::1"), ip("::1"));
        assert_eq!(Host::parse("[::1]"), ip("::1"));
        assert_eq!(Host::parse("[2001:DB8::A]"), ip("2001:db8::a"));
        assert_eq!(
            Host::parse("::ffff:127.0.0.1"),
            ip("::ffff:127.0.0.1"),
            "stays as given"
        );
    }

    #[test]
    fn numbers_that_are_no_address_are_errors() {
        for text in [
            "256.0.0.1",
            "1.2.3.256",
            "4294967296",
            "1.16777216",
            "1.2.65536",
            "1.2.3.4.5",
            "09",
            "1.2.3.08",
            "0x1ffffffff",
            "example.1",
            "a.0x1",
            "1.a.3.4",
            "99999999999999999999",
            "0.0.0.0.0",
            "-1.2",
            "a.0xfffffffff",
        ] {
            assert_eq!(Host::parse(text), Err(HostError::Ipv4), "{text}");
        }
        assert_eq!(
            Host::parse("1.2.3.0x7g"),
            name("1.2.3.0x7g"),
            "no number, hence a name"
        );
        assert_eq!(Host::parse("1.2.3.4a"), name("1.2.3.4a"));
        assert_eq!(Host::parse("+1"), Err(HostError::Character));
    }

    #[test]
    fn names_are_lower_case_without_trailing_dot() {
        assert_eq!(Host::parse("Example.COM."), name("example.com"));
        assert_eq!(Host::parse("_dns.x-1.xn--p1ai"), name("_dns.x-1.xn--p1ai"));
        assert_eq!(Host::parse("localhost"), name("localhost"));
    }

    #[test]
    fn malformed_hosts_name_the_broken_rule() {
        for (text, error) in [
            ("", HostError::Empty),
            (".", HostError::Empty),
            ("..", HostError::Label),
            ("a..b", HostError::Label),
            (".a", HostError::Label),
            ("a..", HostError::Label),
            ("1..2", HostError::Label),
            ("a b", HostError::Character),
            ("a\0b", HostError::Character),
            ("bücher.example", HostError::Character),
            ("１２７.0.0.1", HostError::Character),
            ("a%2e", HostError::Character),
            ("example.com]", HostError::Character),
            ("[example.com]", HostError::Ipv6),
            ("[127.0.0.1]", HostError::Ipv6),
            ("[::1", HostError::Ipv6),
            ("::1]", HostError::Ipv6),
            ("[[::1]]", HostError::Ipv6),
            ("[::1].", HostError::Ipv6),
            ("[]", HostError::Ipv6),
            ("[fe80::1%1]", HostError::Ipv6),
            ("fe80::1%eth0", HostError::Ipv6),
            ("example.com:80", HostError::Ipv6),
            ("::ffff:0177.0.0.1", HostError::Ipv6),
        ] {
            assert_eq!(Host::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn lengths_hold_at_their_limits() {
        let label = "a".repeat(63);
        assert!(Host::parse(&label).is_ok());
        assert_eq!(Host::parse(&"a".repeat(64)), Err(HostError::Label));
        let longest = [label.as_str(); 4].join(".");
        assert_eq!(longest.len(), NAME_LEN_MAX);
        assert!(Host::parse(&longest).is_ok());
        assert!(Host::parse(&format!("{longest}.")).is_ok());
        assert_eq!(Host::parse(&format!("{longest}a")), Err(HostError::TooLong));
    }

    #[test]
    fn targets_read_as_authorities() {
        let show = |host: &str| {
            Target {
                host: Host::parse(host).unwrap(),
                port: 80,
            }
            .to_string()
        };
        assert_eq!(show("EXAMPLE.com"), "example.com:80");
        assert_eq!(show("127.1"), "127.0.0.1:80");
        assert_eq!(show("::1"), "[::1]:80");
    }

    /// Spells a number in one of the radices of `inet_aton`, with leading zeros where they are free.
    fn spell(number: u32, style: u8) -> String {
        match style % 5 {
            0 => format!("{number}"),
            1 => format!("0{number:o}"),
            2 => format!("0x{number:x}"),
            3 => format!("0X{number:08X}"),
            _ => format!("000{number:o}"),
        }
    }

    proptest! {
        #[test]
        fn all_spellings_of_a_random_address_agree(
            bits: u32, count in 1_usize..=4, styles: [u8; 4], dot: bool,
        ) {
            let octets = bits.to_be_bytes();
            let mut parts: Vec<_> = octets[..count - 1].iter().map(|&byte| u32::from(byte)).collect();
            parts.push(bits & (u32::MAX >> (8 * (count - 1))));
            let mut text = parts.iter().zip(styles).map(|(&part, style)| spell(part, style))
                .collect::<Vec<_>>().join(".");
            if dot {
                text.push('.');
            }
            prop_assert_eq!(Host::parse(&text), Ok(Host::Ip(Ipv4Addr::from_bits(bits).into())), "{}", text);
        }

        #[test]
        fn addresses_survive_display(address: IpAddr) {
            prop_assert_eq!(Host::parse(&Host::Ip(address).to_string()), Ok(Host::Ip(address)));
            prop_assert_eq!(
                Host::parse(&format!("[{address}]")).is_ok(), address.is_ipv6(), "brackets are for IPv6"
            );
        }

        #[test]
        fn parsing_is_idempotent(text in "\\PC{0,20}|[0-9a-fxA-FX.:%\\[\\]_-]{0,24}|([a-zA-Z0-9_-]{1,9}\\.){0,4}[a-z]{1,5}\\.?") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host.clone()));
                prop_assert_eq!(Host::parse(&text.to_ascii_uppercase()), Ok(host));
            }
        }
    }
}
