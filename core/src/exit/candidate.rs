//! In which order the addresses of a name are tried (RFC 8305, "Happy Eyeballs").

use crate::time::Duration;
use alloc::vec::Vec;
use core::net::IpAddr;

/// The most addresses of one name that are tried: at one attempt per [`ATTEMPT_DELAY`] the last one
/// starts after 4 s, and an answer of thousands does not make the edge scan a network.
pub const CANDIDATE_COUNT_MAX: usize = 16;

/// How long an attempt stays alone before the next one starts: the Connection Attempt Delay that
/// RFC 8305 section 5 recommends.
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Returns the family of `address` as it is written: IPv4-mapped addresses are IPv6 until made
    /// [canonical](crate::exit::guard::canonical).
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Orders addresses for dialling: families alternate, beginning with one address of `prefer` if there
/// is one (RFC 8305 section 4, First Address Family Count 1).
///
/// Each family keeps its order. Of duplicates the first one stays, and what exceeds
/// [`CANDIDATE_COUNT_MAX`] is dropped from the end.
#[must_use]
pub fn interleave(addresses: Vec<IpAddr>, prefer: Family) -> Vec<IpAddr> {
    let (preferred, others): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|&address| Family::of(address) == prefer);
    let mut queues = [preferred.into_iter(), others.into_iter()];
    let mut candidates = Vec::with_capacity(CANDIDATE_COUNT_MAX);
    let mut family = 0;
    let mut exhausted = 0;
    while candidates.len() < CANDIDATE_COUNT_MAX && exhausted < queues.len() {
        match queues[family].find(|address| !candidates.contains(address)) {
            Some(address) => {
                candidates.push(address);
                exhausted = 0;
            }
            None => exhausted += 1,
        }
        family = 1 - family;
    }
    candidates
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{CANDIDATE_COUNT_MAX, Family, interleave};
    use alloc::vec::Vec;
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use proptest::prelude::*;

    fn ordered(texts: &str, prefer: Family) -> alloc::string::String {
        let addresses = texts
            .split_whitespace()
            .map(|text| text.parse().unwrap())
            .collect();
        let texts: Vec<_> = interleave(addresses, prefer)
            .iter()
            .map(|address| alloc::format!("{address}"))
            .collect();
        texts.join(" ")
    }

    #[test]
    fn families_alternate_from_the_preferred_one() {
        let answer = "1.0.0.1 1.0.0.2 1.0.0.3 a::1 a::2";
        assert_eq!(
            ordered(answer, Family::V6),
            "a::1 1.0.0.1 a::2 1.0.0.2 1.0.0.3"
        );
        assert_eq!(
            ordered(answer, Family::V4),
            "1.0.0.1 a::1 1.0.0.2 a::2 1.0.0.3"
        );
        assert_eq!(ordered("1.0.0.1 1.0.0.2", Family::V6), "1.0.0.1 1.0.0.2");
        assert_eq!(ordered("a::1", Family::V4), "a::1");
        assert_eq!(ordered("", Family::V4), "");
    }

    #[test]
    fn duplicates_take_no_turn() {
        let answer = "a::1 a::1 a::1 a::2 1.0.0.1 1.0.0.1 1.0.0.2";
        assert_eq!(ordered(answer, Family::V6), "a::1 1.0.0.1 a::2 1.0.0.2");
    }

    #[test]
    fn the_bound_leaves_room_for_both_families() {
        for count in [
            CANDIDATE_COUNT_MAX - 1,
            CANDIDATE_COUNT_MAX,
            CANDIDATE_COUNT_MAX + 1,
        ] {
            let v4 = (0..count).map(|index| Ipv4Addr::from_bits(index as u32).into());
            assert_eq!(
                interleave(v4.collect(), Family::V6).len(),
                count.min(CANDIDATE_COUNT_MAX)
            );
        }
        let v4 = (0..100).map(|index| IpAddr::from(Ipv4Addr::from_bits(index)));
        let v6 = (0..100).map(|index| IpAddr::from(Ipv6Addr::from_bits(index)));
        let candidates = interleave(v4.chain(v6).collect(), Family::V6);
        assert_eq!(candidates.len(), CANDIDATE_COUNT_MAX);
        assert_eq!(
            candidates
                .iter()
                .filter(|address| address.is_ipv4())
                .count(),
            CANDIDATE_COUNT_MAX / 2
        );
    }

    proptest! {
        #[test]
        fn the_order_is_stable_alternating_and_without_duplicates(
            picks in prop::collection::vec((any::<bool>(), 0_u8..12), 0..40), v6_first: bool,
        ) {
            let addresses: Vec<IpAddr> = picks.iter().map(|&(v6, number)| match v6 {
                true => Ipv6Addr::from_bits(number.into()).into(),
                false => Ipv4Addr::from_bits(number.into()).into(),
            }).collect();
            let prefer = if v6_first { Family::V6 } else { Family::V4 };
            let candidates = interleave(addresses.clone(), prefer);

            let mut unique = Vec::new();
            for address in addresses {
                if !unique.contains(&address) {
                    unique.push(address);
                }
            }
            prop_assert_eq!(candidates.len(), unique.len().min(CANDIDATE_COUNT_MAX));
            for family in [Family::V4, Family::V6] {
                let of = |list: &[IpAddr]| {
                    list.iter().copied().filter(|&a| Family::of(a) == family).collect::<Vec<_>>()
                };
                prop_assert!(of(&unique).starts_with(&of(&candidates)), "each family keeps its order");
            }
            let families: Vec<_> = candidates.iter().map(|&address| Family::of(address)).collect();
            let changes = families.windows(2).take_while(|pair| pair[0] != pair[1]).count();
            prop_assert!(
                families.get(changes + 1..).unwrap_or_default().windows(2).all(|pair| pair[0] == pair[1]),
                "once a family runs dry only the other is left"
            );
            if unique.iter().any(|&address| Family::of(address) == prefer) {
                prop_assert_eq!(families[0], prefer);
            }
        }
    }
}
