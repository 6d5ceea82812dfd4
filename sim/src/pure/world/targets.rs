//! What targets are called, what their names resolve to, and what an edge tells of those it connected: it
//! follows from the number of the flow, so that both ends can be held to it.

use super::super::oracle::violated;
use super::super::scenario::{Family, Flow};
use super::World;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use titan_core::endpoint::SessionReport;
use titan_core::target::Host as Name;
use titan_core::time::Duration;
use titan_proto::{Code, wire};

/// The addresses that nobody may reach.
const PRIVATE: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
const PRIVATE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

/// The first byte of the addresses of targets; the rest is the flow's number.
const TARGET: u32 = 10 << 24;

/// The first half of their addresses of version 6, likewise.
const TARGET_V6: u128 = 0x2606_4700 << 96;

/// The name of a target is its flow's number and this.
const DOMAIN: &str = ".target.example.com";

/// How long an edge says that it looked for a name.
pub(super) const RESOLVES: Duration = Duration::from_millis(7);

/// Addresses of an answer that a POP keeps.
const KEPT: usize = 8;

fn v4(flow: usize) -> IpAddr {
    Ipv4Addr::from(TARGET | flow as u32).into()
}

fn v6(flow: usize) -> IpAddr {
    Ipv6Addr::from(TARGET_V6 | flow as u128).into()
}

/// Returns what a client asks for.
pub(super) fn host_of(index: usize, flow: &Flow) -> Name {
    if flow.named {
        Name::parse(&format!("{index}{DOMAIN}")).expect("a name")
    } else if flow.private {
        Name::Ip(PRIVATE.into())
    } else {
        Name::Ip(v4(index))
    }
}

/// Returns the flow that an edge is asked to connect; one that somebody made up has no such number.
pub(super) fn flow_of(host: &Name) -> Option<usize> {
    match host {
        Name::Ip(IpAddr::V4(address)) => Some((u32::from(*address) ^ TARGET) as usize),
        Name::Ip(IpAddr::V6(_)) => None,
        Name::Name(name) => name.strip_suffix(DOMAIN)?.parse().ok(),
    }
}

/// Returns what a flow's name resolves to: always something that nobody may reach among it.
pub(super) fn resolve(index: usize, flow: &Flow) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = vec![PRIVATE.into(), PRIVATE_V6.into()];
    if !flow.private {
        addresses.extend([v4(index), v6(index)]);
    }
    addresses
}

/// Returns the addresses that an edge tells of, the connected one first.
pub(super) fn tried(index: usize, flow: &Flow) -> Vec<IpAddr> {
    let one = |nth: usize| {
        if nth % 2 == 1 {
            v6(index + nth)
        } else {
            v4(index + nth)
        }
    };
    (0..flow.addresses as usize).map(one).collect()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

impl World {
    /// Of what a name resolves to an edge dials what it may reach, of the family that was asked for, version 6
    /// first.
    pub(super) fn judge_resolved(&self, index: usize, judged: &Result<Vec<IpAddr>, Code>) {
        let flow = &self.scenario.flows[index];
        let wanted = if flow.private {
            Err(Code::Forbidden)
        } else {
            Ok(match flow.family {
                Family::Any => vec![v6(index), v4(index)],
                Family::Ipv4 => vec![v4(index)],
                Family::Ipv6 => vec![v6(index)],
            })
        };
        if *judged != wanted {
            violated(
                11,
                format_args!("flow {index} resolves to {judged:?} and not to {wanted:?}"),
            );
        }
    }

    /// A POP tells clients what the edge said of their target.
    pub(super) fn judge_reply(&self, index: usize, reply: &wire::Reply) {
        let flow = &self.scenario.flows[index];
        let mut wanted: Vec<Vec<u8>> = tried(index, flow).into_iter().map(octets).collect();
        wanted.truncate(KEPT);
        let times = (reply.resolve_ms, reply.dial_ms);
        let dial = u32::try_from(flow.dial).unwrap_or(u32::MAX);
        if self.is_forged(index) {
            return;
        }
        if reply.addresses != wanted || times != (RESOLVES.as_millis() as u32, dial) {
            violated(
                6,
                format_args!("flow {index} is told of {reply:?} and not of {wanted:?}"),
            );
        }
    }

    /// The report of a session names the address that was connected, if one was.
    pub(super) fn judge_address(&self, index: usize, report: &SessionReport) {
        let flow = &self.scenario.flows[index];
        let connected = self.record.wants.connected.contains(&index);
        let wanted = tried(index, flow).first().copied().filter(|_| connected);
        if report.address != wanted && !self.is_forged(index) {
            violated(
                6,
                format_args!("{report:?} of flow {index} should name {wanted:?}"),
            );
        }
    }
}
