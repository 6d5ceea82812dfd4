//! Who listens on this host, as Linux tells it.

use std::fs::File;
use std::io::{self, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The tables of this network namespace's sockets: see proc_net_tcp in the kernel's documentation.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// The state of a socket that listens.
const LISTENS: &str = "0A";

/// Tells whether a socket listens where it keeps others from listening at an address; none if the system
/// does not say.
pub(super) fn is_held(at: SocketAddr) -> Option<bool> {
    let mut found = Vec::new();
    let mut told = false;
    for table in TABLES {
        // There may be no IPv6.
        if let Ok(file) = File::open(table) {
            told = true;
            found.extend(listeners(BufReader::new(file)).ok()?);
        }
    }
    let any_or = |ip: IpAddr, other: IpAddr| ip.is_unspecified() || ip == other;
    let hinders = |other: &SocketAddr| {
        let (ip, other_ip) = (at.ip().to_canonical(), other.ip().to_canonical());
        other.port() == at.port() && (any_or(ip, other_ip) || any_or(other_ip, ip))
    };
    told.then(|| found.iter().any(hinders))
}

/// Reads where sockets of a table listen.
fn listeners(table: impl io::BufRead) -> io::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for line in table.lines() {
        let line = line?;
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, state) = (fields.next(), fields.nth(1));
        if state == Some(LISTENS) {
            found.extend(local.and_then(address));
        }
    }
    Ok(found)
}

/// Reads an address: words of four bytes as this machine holds them, a colon, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words: Vec<[u8; 4]> = (0..ip.len() / 8)
        .map(|index| {
            let word = u32::from_str_radix(ip.get(8 * index..8 * index + 8)?, 16).ok()?;
            Some(word.to_ne_bytes())
        })
        .collect::<Option<_>>()?;
    let ip = match *words.as_slice() {
        [ip] => Ipv4Addr::from(ip).into(),
        [a, b, c, d] => {
            let mut bytes = [0; 16];
            for (place, word) in bytes.chunks_exact_mut(4).zip([a, b, c, d]) {
                place.copy_from_slice(&word);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn listeners_are_found_where_they_hinder_others() {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for (ip, held) in [("127.0.0.2", true), ("0.0.0.0", true), ("127.0.0.3", false)] {
            let at = SocketAddr::new(ip.parse().unwrap(), port);
            assert_eq!(is_held(at), Some(held), "{ip}");
        }
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let outgoing = peer.local_addr().unwrap();
        assert_eq!(
            is_held(outgoing),
            Some(false),
            "a connection does not listen"
        );
        let wild = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0"));
        let port = wild.as_ref().unwrap().local_addr().unwrap().port();
        let at = SocketAddr::from(([127, 0, 0, 3], port));
        assert_eq!(is_held(at), Some(true));
    }

    #[test]
    fn what_is_no_address_is_passed_over() {
        for text in [
            "",
            "0100007F",
            "0100007F:",
            "xx00007F:1F90",
            "0100007F:12345",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
