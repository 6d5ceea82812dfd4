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
    let peer = if between_two {
        // SAFETY: on such a link it is the other end's address.
        unsafe { self::address(other) }
    } else {
        None
    };
    Some(InterfaceAddress {
        address,
        prefix,
        peer: peer.filter(|peer| *peer != address && !peer.is_unspecified()),
    })
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
    use super::prefix;

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
