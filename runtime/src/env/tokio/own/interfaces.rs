//! The addresses of the interfaces: getifaddrs(3).

#![allow(
    unsafe_code,
    reason = "the list is the C library's, and no safe wrapper is at hand"
)]

use core::mem::{offset_of, size_of};
use core::ptr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use titan_core::exit::guard::InterfaceAddress;

/// Reads the addresses of all interfaces, of those that are down too.
pub(super) fn read_interfaces() -> io::Result<Vec<InterfaceAddress>> {
    let mut first = ptr::null_mut();
    // SAFETY: the argument points to a pointer, where the head of a list is put if zero is returned.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let list = List(first);
    let mut found = Vec::new();
    let mut next = list.0;
    // SAFETY: each entry, up to the null pointer at the end, lives until the list is freed.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: the entry is one of the list's.
        found.extend(unsafe { interface(entry) });
        next = entry.ifa_next;
    }
    Ok(found)
}

/// A list to be freed.
struct List(*mut libc::ifaddrs);

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: it came from getifaddrs and is freed here alone.
        unsafe { libc::freeifaddrs(self.0) }
    }
}

/// Returns what an entry says, if it is about an address of IP.
///
/// # Safety
/// What the entry points to must be as getifaddrs leaves it.
unsafe fn interface(entry: &libc::ifaddrs) -> Option<InterfaceAddress> {
    // SAFETY: as the caller says.
    let address = unsafe { address(entry.ifa_addr) }?;
    let prefix = if entry.ifa_netmask.is_null() {
        u8::MAX
    } else {
        // SAFETY: a netmask has the form of its address, whatever family it names.
        let mask = unsafe { octets(entry.ifa_netmask, address.is_ipv4()) };
        prefix(mask)
    };
    let between_two = entry.ifa_flags & libc::IFF_POINTOPOINT.cast_unsigned() != 0;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let other = entry.ifa_ifu;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let other = entry.ifa_dstaddr;
    // SAFETY: it is null or the address of the other end, or one for all on the link.
    let other = unsafe { self::address(other) };
    let peer = other.filter(|&other| between_two || is_elsewhere(address, prefix, other));
    Some(InterfaceAddress {
        address,
        prefix,
        peer: peer.filter(|peer| *peer != address && !peer.is_unspecified()),
    })
}

/// Tells whether an address shares no prefix with that of an interface. One for all on the link does; whoever
/// does not is the other end, whatever the interface says of itself.
fn is_elsewhere(address: IpAddr, prefix: u8, other: IpAddr) -> bool {
    let shared = match (address, other) {
        (IpAddr::V4(address), IpAddr::V4(other)) if !other.is_broadcast() => {
            (address.to_bits() ^ other.to_bits()).leading_zeros()
        }
        (IpAddr::V6(address), IpAddr::V6(other)) => {
            (address.to_bits() ^ other.to_bits()).leading_zeros()
        }
        _ => return false,
    };
    shared < u32::from(prefix)
}

/// Returns the address at this place, if it is one of IP.
///
/// # Safety
/// The pointer must be null or that of a socket address as long as its family says.
unsafe fn address(at: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: as the caller says.
    let family = i32::from(unsafe { at.as_ref() }?.sa_family);
    let is_v4 = match family {
        libc::AF_INET => true,
        libc::AF_INET6 => false,
        _ => return None,
    };
    // SAFETY: the family is that of this form.
    Some(unsafe { octets(at, is_v4) })
}

/// Returns what stands where an address of this form has its octets; zeros for what is left out at the end.
///
/// # Safety
/// The pointer must be that of a socket address of this form, or of one cut short that says how long it is.
unsafe fn octets(at: *const libc::sockaddr, is_v4: bool) -> IpAddr {
    let (offset, whole) = if is_v4 {
        (
            offset_of!(libc::sockaddr_in, sin_addr),
            size_of::<libc::sockaddr_in>(),
        )
    } else {
        (
            offset_of!(libc::sockaddr_in6, sin6_addr),
            size_of::<libc::sockaddr_in6>(),
        )
    };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let len = whole;
    // BSD leaves zeros at the end of a netmask out.
    // SAFETY: the length comes first and is always there.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let len = whole.min(usize::from(unsafe { (*at).sa_len }));
    let mut octets = [0; 16];
    let width = if is_v4 { 4 } else { 16 };
    let present = len.saturating_sub(offset).min(width);
    // SAFETY: `offset + present` is within the address's length, and `present` within the array's.
    unsafe {
        let from = at.cast::<u8>().add(offset);
        ptr::copy_nonoverlapping(from, octets.as_mut_ptr(), present);
    }
    if is_v4 {
        let [a, b, c, d, ..] = octets;
        Ipv4Addr::new(a, b, c, d).into()
    } else {
        Ipv6Addr::from(octets).into()
    }
}

/// Returns how many leading bits of a netmask are set.
fn prefix(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    u8::try_from(ones).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::{is_elsewhere, prefix};
    use std::net::IpAddr;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_shares_the_prefix_is_here() {
        let elsewhere = |prefix, other| is_elsewhere(ip("2606:4700::5"), prefix, ip(other));
        assert!(!elsewhere(64, "2606:4700::9") && elsewhere(64, "2606:4700:0:1::9"));
        assert!(elsewhere(128, "2606:4700::9") && !elsewhere(0, "::1"));
        assert!(!elsewhere(64, "198.41.7.1"));
    }

    #[test]
    fn netmasks_are_prefixes() {
        for (mask, bits) in [
            ("0.0.0.0", 0),
            ("255.255.255.0", 24),
            ("255.255.255.255", 32),
            // With a hole, which the world does not have any more.
            ("255.0.255.0", 8),
            ("ffff:ffff:ffff:ffff::", 64),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128),
        ] {
            assert_eq!(prefix(mask.parse().unwrap()), bits, "{mask}");
        }
    }
}

/// The entry is made by hand, in the form that it has on these systems.
#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod entries {
    use super::interface;
    use core::mem::zeroed;
    use core::ptr;
    use std::net::{IpAddr, Ipv4Addr};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn socket_address(text: &str) -> libc::sockaddr_in {
        let octets = text.parse::<Ipv4Addr>().unwrap().octets();
        // SAFETY: zeros are a value of this type.
        let mut address: libc::sockaddr_in = unsafe { zeroed() };
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_addr.s_addr = u32::from_ne_bytes(octets);
        address
    }

    /// Reads an entry of an address, a netmask and another address, such as they are.
    fn read(
        address: &str,
        mask: Option<&str>,
        other: Option<&str>,
        between_two: bool,
    ) -> (IpAddr, u8, Option<IpAddr>) {
        let mut address = socket_address(address);
        let [mut mask, mut other] = [mask, other].map(|text| text.map(socket_address));
        let at = |address: &mut Option<libc::sockaddr_in>| {
            let at = address.as_mut().map(ptr::from_mut);
            at.map_or(ptr::null_mut(), <*mut libc::sockaddr_in>::cast)
        };
        // SAFETY: zeros are a value of this type: null pointers and no flags.
        let mut entry: libc::ifaddrs = unsafe { zeroed() };
        entry.ifa_addr = ptr::from_mut(&mut address).cast();
        entry.ifa_netmask = at(&mut mask);
        entry.ifa_ifu = at(&mut other);
        if between_two {
            entry.ifa_flags = libc::IFF_POINTOPOINT.cast_unsigned();
        }
        // SAFETY: all that the entry points to lives until here.
        let found = unsafe { interface(&entry) }.unwrap();
        (found.address, found.prefix, found.peer)
    }

    #[test]
    fn an_entry_is_an_address_with_its_neighbours_or_its_other_end() {
        let wide = Some("255.255.255.0");
        let read = |mask, other, between_two| {
            let (address, prefix, peer) = read("198.41.7.20", mask, other, between_two);
            assert_eq!(address, ip("198.41.7.20"));
            (prefix, peer)
        };
        assert_eq!(read(wide, Some("198.41.7.255"), false), (24, None));
        assert_eq!(read(wide, Some("255.255.255.255"), false), (24, None));
        assert_eq!(read(None, None, false), (u8::MAX, None));
        let peer = Some(ip("198.42.0.1"));
        assert_eq!(read(wide, Some("198.42.0.1"), true), (24, peer));
        // As hosters write it where the link says nothing of two.
        assert_eq!(read(wide, Some("198.42.0.1"), false), (24, peer));
        let near = Some(ip("198.41.7.1"));
        assert_eq!(read(wide, Some("198.41.7.1"), true), (24, near));
        assert_eq!(read(wide, Some("198.41.7.20"), true), (24, None));
        assert_eq!(read(wide, Some("0.0.0.0"), true), (24, None));
    }
}
