//! The address of a client: the socket's, or what a trusted proxy says.

use crate::config::ProxyHeader;
use http::{HeaderMap, HeaderName, header};
use std::net::{IpAddr, SocketAddr};
use titan_core::exit::guard::Network;

/// The proxies that are believed, and the one header they write. Only one: a proxy passes on the
/// headers it does not know, and those the client has written.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    trusted: Vec<Network>,
    header: ProxyHeader,
}

impl Proxies {
    /// Takes networks that were checked with the configuration.
    pub(super) fn new(trusted: &[String], header: ProxyHeader) -> Self {
        Self {
            trusted: trusted.iter().filter_map(|one| one.parse().ok()).collect(),
            header,
        }
    }

    /// Returns the address of the client of a request that came from `peer`.
    ///
    /// Each proxy appends whom it was asked by, so the header is read from its end for as long as who
    /// has written is trusted. The first address that is not trusted is the client's. What cannot be
    /// read ends the search at the last address known.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let (name, read): (HeaderName, fn(&str) -> Option<IpAddr>) = match self.header {
            ProxyHeader::XForwardedFor => (HeaderName::from_static("x-forwarded-for"), address),
            ProxyHeader::Forwarded => (header::FORWARDED, forwarded_for),
        };
        let values: Vec<_> = headers.get_all(name).iter().collect();
        for value in values.into_iter().rev() {
            let Ok(value) = value.to_str() else {
                return client;
            };
            for element in value.rsplit(',') {
                let Some(address) = read(element.trim()) else {
                    return client;
                };
                client = address;
                if !self.trusts(client) {
                    return client;
                }
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

/// Reads an address with or without a port, IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let ip = inner
        .unwrap_or(text)
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    ip.ok().map(|ip| ip.to_canonical())
}

/// Reads `for` of an element of `Forwarded` (RFC 7239). A comma or semicolon inside quotes makes an
/// element unreadable, which is right: no address has one.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    address(quoted.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn client(proxies: &Proxies, peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        proxies.client(peer.parse().unwrap(), &map).to_string()
    }

    fn proxies(trusted: &[&str], header: ProxyHeader) -> Proxies {
        let trusted: Vec<_> = trusted.iter().map(|one| (*one).to_owned()).collect();
        Proxies::new(&trusted, header)
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        let forged = [
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
        ];
        let none = Proxies::default();
        assert_eq!(client(&none, "203.0.113.7", &forged), "203.0.113.7");
        let some = proxies(&["10.0.0.0/8"], ProxyHeader::XForwardedFor);
        assert_eq!(client(&some, "203.0.113.7", &forged), "203.0.113.7");
        assert_eq!(client(&none, "::ffff:203.0.113.7", &[]), "203.0.113.7");
    }

    #[test]
    fn the_header_is_read_from_its_end_as_far_as_it_is_trusted() {
        let it = proxies(&["10.0.0.0/8", "fd00::/8"], ProxyHeader::XForwardedFor);
        let read = |values: &[&'static str]| {
            let headers: Vec<_> = values.iter().map(|one| ("x-forwarded-for", *one)).collect();
            client(&it, "10.0.0.1", &headers)
        };
        assert_eq!(read(&[]), "10.0.0.1");
        assert_eq!(read(&["198.51.100.4"]), "198.51.100.4");
        // What the client wrote itself stands before what the proxy appended.
        assert_eq!(read(&["127.0.0.1, 198.51.100.4"]), "198.51.100.4");
        assert_eq!(
            read(&["127.0.0.1", "198.51.100.4, 10.1.1.1"]),
            "198.51.100.4"
        );
        assert_eq!(read(&["198.51.100.4:5000, [fd00::1]:80"]), "198.51.100.4");
        assert_eq!(read(&["10.2.2.2, 10.3.3.3"]), "10.2.2.2");
        for broken in ["x", "", "198.51.100.4,", "unknown", "198.51.100.4, _hidden"] {
            assert_eq!(
                client(&it, "10.0.0.1", &[("x-forwarded-for", broken)]),
                "10.0.0.1"
            );
        }
        // The other header is the client's, not the proxy's.
        assert_eq!(
            client(&it, "10.0.0.1", &[("forwarded", "for=1.2.3.4")]),
            "10.0.0.1"
        );
    }

    #[test]
    fn forwarded_is_read_alike() {
        let it = proxies(&["10.0.0.1"], ProxyHeader::Forwarded);
        for (value, expected) in [
            ("for=198.51.100.4", "198.51.100.4"),
            ("For=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1"),
            ("for=127.0.0.1, by=x;for=198.51.100.4", "198.51.100.4"),
            ("for=198.51.100.4, for=10.0.0.1", "198.51.100.4"),
            ("for=unknown", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
            ("for=\"1.2.3.4, for=5.6.7.8\"", "10.0.0.1"),
        ] {
            assert_eq!(
                client(&it, "10.0.0.1", &[("forwarded", value)]),
                expected,
                "{value}"
            );
        }
        let ignored = [("x-forwarded-for", "1.2.3.4")];
        assert_eq!(client(&it, "10.0.0.1", &ignored), "10.0.0.1");
    }
}
