//! The networks that this host is on, as the system tells them.

#[cfg(any(
    target_vendor = "apple",
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
))]
mod interfaces;
#[cfg(not(any(
    target_vendor = "apple",
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd"
)))]
mod interfaces {
    use std::io;
    use titan_core::exit::guard::InterfaceAddress;

    /// This system is not asked.
    pub(super) fn read_interfaces() -> io::Result<Vec<InterfaceAddress>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
#[cfg(any(target_os = "linux", target_os = "android"))]
mod routes;

use std::io;
use titan_core::exit::guard::OwnNetwork;

/// Looks at interfaces and routes. It may wait for who is changing them.
pub(super) fn look_at_host() -> io::Result<OwnNetwork> {
    let own = OwnNetwork {
        interfaces: interfaces::read_interfaces()?,
        ..OwnNetwork::default()
    };
    // Elsewhere routers are mostly among the neighbours of an interface anyway.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let own = {
        let mut own = own;
        routes::read(&mut own)?;
        own
    };
    Ok(own)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::look_at_host;
    use std::net::{IpAddr, Ipv4Addr, UdpSocket};
    use titan_core::exit::guard::Guard;

    #[test]
    fn this_host_is_found() {
        let own = look_at_host().unwrap();
        let loopback = own
            .interfaces
            .iter()
            .find(|interface| interface.address == IpAddr::V4(Ipv4Addr::LOCALHOST));
        let loopback = loopback.unwrap();
        assert_eq!((loopback.prefix, loopback.peer), (8, None));
        let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        let mut rows = table.lines().map(|row| row.split_ascii_whitespace());
        let leads = rows.any(|row| row.skip(1).step_by(2).take(2).eq(["00000000", "0003"]));
        assert!(!leads || !own.gateways.is_empty(), "{table}");
        // Wherever this host would go out from; nothing is sent. A host may have nowhere to go.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("192.0.2.1:9").is_ok() {
            let from = socket.local_addr().unwrap().ip();
            let mut guard = Guard::new(vec!["0.0.0.0/0".parse().unwrap()]);
            guard.set_own(&own);
            let networks = guard.own_networks();
            let found = networks.iter().any(|network| network.contains(from));
            assert!(found, "{from} is in none of {networks:?}");
        }
    }
}
