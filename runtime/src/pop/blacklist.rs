//! Who is turned away: the blacklists as this POP knows them, and addresses that were told to stay away.
//!
//! The lists are read at start, kept current by the stream of changes, and read again when that was
//! missed. While the store is away what is known counts. They are held whole, as long as they are.

use super::Shared;
use crate::carrier::handshake::Refusal;
use crate::env::Env;
use crate::store::{
    Blacklists, Listing, PAGE_MAX, Page, Prefix, Store, StoreError, Subject, SubjectKind,
};
use core::cell::RefCell;
use core::time::Duration;
use http::StatusCode;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use titan_core::time::Instant;
use titan_proto::Code;

/// What a node that is turned away waits before it asks the manager, whose word is the last.
const RETRY: Duration = Duration::from_secs(10);

/// The most addresses that are kept away at once. Beyond, those that may come back soonest may at once.
const AWAY_MAX: usize = 10_000;

/// Both blacklists.
#[derive(Debug, Default)]
pub(super) struct Lists {
    nodes: HashSet<String>,
    prefixes: HashSet<Prefix>,
}

/// Who is turned away here.
#[derive(Debug, Default)]
pub(super) struct Blacklist {
    lists: RefCell<Lists>,
    away: RefCell<Away>,
}

#[derive(Debug, Default)]
struct Away {
    until: BTreeMap<IpAddr, Instant>,
    ends: BTreeSet<(Instant, IpAddr)>,
}

/// A node at the door.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor<'a> {
    pub(super) node: &'a str,
    pub(super) ip: IpAddr,
    /// The manager sent it here because it is on a blacklist.
    pub(super) confined: bool,
}

impl Lists {
    /// Reads both lists.
    pub(super) async fn read<S: Blacklists>(store: &S) -> Result<Self, StoreError> {
        let mut lists = Self::default();
        for kind in [SubjectKind::Node, SubjectKind::Ip] {
            let mut page = Page::first(PAGE_MAX);
            loop {
                let Listing { items, next } = store.blacklist(kind, page).await?;
                for entry in items {
                    lists.set(entry.subject, true);
                }
                let Some(next) = next else { break };
                page = Page {
                    after: Some(next),
                    limit: PAGE_MAX,
                };
            }
        }
        Ok(lists)
    }

    fn set(&mut self, subject: Subject, listed: bool) {
        match (subject, listed) {
            (Subject::Node(id), true) => self.nodes.insert(id),
            (Subject::Node(id), false) => self.nodes.remove(&id),
            (Subject::Ip(prefix), true) => self.prefixes.insert(prefix),
            (Subject::Ip(prefix), false) => self.prefixes.remove(&prefix),
        };
    }

    fn contains(&self, node: &str, ip: IpAddr) -> bool {
        let listed = |prefix: Prefix| self.prefixes.contains(&prefix);
        self.nodes.contains(node) || Prefix::around(ip).any(listed)
    }
}

impl Away {
    fn add(&mut self, now: Instant, ip: IpAddr, until: Instant) {
        if let Some(old) = self.until.remove(&ip) {
            self.ends.remove(&(old, ip));
        }
        while let Some(&(end, ip)) = self.ends.first()
            && (end <= now || self.ends.len() >= AWAY_MAX)
        {
            self.ends.pop_first();
            self.until.remove(&ip);
        }
        if until > now {
            self.until.insert(ip, until);
            self.ends.insert((until, ip));
        }
    }
}

impl Blacklist {
    pub(super) fn new(lists: Lists) -> Self {
        Self {
            lists: RefCell::new(lists),
            away: RefCell::default(),
        }
    }

    /// Turns away whoever comes from an address until then.
    pub(super) fn keep_away(&self, now: Instant, ip: IpAddr, until: Instant) {
        self.away.borrow_mut().add(now, ip.to_canonical(), until);
    }

    /// Returns why a node is turned away, if it is.
    pub(super) fn refusal(&self, now: Instant, visitor: Visitor<'_>) -> Option<Refusal> {
        if !visitor.confined && self.lists.borrow().contains(visitor.node, visitor.ip) {
            return Some(Refusal {
                status: StatusCode::FORBIDDEN,
                code: Code::Blacklisted,
                retry_after: Some(RETRY),
            });
        }
        let until = self.away.borrow().until.get(&visitor.ip).copied();
        let rest = until.filter(|&until| until > now)?.since(now);
        Some(Refusal::unavailable(Code::Kicked, rest))
    }
}

/// Notes a change of the lists, and has those go whom it concerns.
pub(super) fn change<E: Env, S: Store>(shared: &Shared<E, S>, subject: &Subject, listed: bool) {
    let concerned = match subject {
        Subject::Node(id) => vec![id.clone()],
        Subject::Ip(prefix) => shared.registrar.nodes_at(*prefix),
    };
    let mut lists = shared.blacklist.lists.borrow_mut();
    lists.set(subject.clone(), listed);
    drop(lists);
    review(shared, &concerned);
}

/// Takes lists that were read anew, and has those go whom they concern.
pub(super) fn replace<E: Env, S: Store>(shared: &Shared<E, S>, lists: Lists) {
    *shared.blacklist.lists.borrow_mut() = lists;
    review(shared, &shared.registrar.all_nodes());
}

/// Has nodes go that are on a list, and those that are here only because they were.
fn review<E: Env, S: Store>(shared: &Shared<E, S>, nodes: &[String]) {
    // As long as a carrier that was let in before may take to its HELLO.
    let away = shared.config.limits.tunnel_handshake_timeout;
    let patience = shared.config.drain_timeout;
    for node in nodes {
        let Some((ips, confined)) = shared.registrar.whence(node) else {
            continue;
        };
        let listed = {
            let lists = shared.blacklist.lists.borrow();
            ips.iter().any(|&ip| lists.contains(node, ip))
        };
        match (listed, confined) {
            (true, false) => {
                tracing::info!(node, "on a blacklist");
                let kick = |core: &mut titan_core::endpoint::Pop, now| {
                    core.kick(now, node, Code::Blacklisted, away)
                };
                shared.shard.drive(kick);
            }
            (false, true) => {
                tracing::info!(node, "on no blacklist any more");
                shared
                    .shard
                    .drive(|core, now| core.send_away(now, node, patience));
            }
            (true, true) | (false, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::EPOCH + Duration::from_secs(seconds)
    }

    fn visitor(ip: &str) -> Visitor<'_> {
        Visitor {
            node: "n",
            ip: ip.parse().unwrap(),
            confined: false,
        }
    }

    #[test]
    fn lists_turn_away_nodes_and_addresses_but_no_confined_ones() {
        let mut lists = Lists::default();
        lists.set(Subject::Node("bad".into()), true);
        for prefix in ["192.0.2.1", "198.51.100.0/24", "2001:db8::/64"] {
            lists.set(Subject::Ip(prefix.parse().unwrap()), true);
        }
        lists.set(Subject::Ip("203.0.113.0/24".parse().unwrap()), false);
        let blacklist = Blacklist::new(lists);
        let refused = |visitor| {
            blacklist
                .refusal(at(0), visitor)
                .map(|refusal| refusal.code)
        };
        for ip in [
            "192.0.2.2",
            "198.51.101.1",
            "2001:db8:0:1::1",
            "203.0.113.1",
        ] {
            assert_eq!(refused(visitor(ip)), None, "{ip}");
        }
        for ip in [
            "192.0.2.1",
            "::ffff:192.0.2.1",
            "198.51.100.7",
            "2001:db8::9:1",
        ] {
            assert_eq!(refused(visitor(ip)), Some(Code::Blacklisted), "{ip}");
        }
        let bad = Visitor {
            node: "bad",
            ..visitor("192.0.2.2")
        };
        assert_eq!(refused(bad), Some(Code::Blacklisted));
        let confined = Visitor {
            confined: true,
            ..bad
        };
        assert_eq!(refused(confined), None);
    }

    #[test]
    fn an_address_is_kept_away_for_its_time() {
        let blacklist = Blacklist::default();
        // However it is spelled.
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        blacklist.keep_away(at(0), mapped, at(10));
        let refusal = blacklist.refusal(at(4), visitor("192.0.2.1")).unwrap();
        assert_eq!(
            refusal,
            Refusal::unavailable(Code::Kicked, Duration::from_secs(6))
        );
        assert_eq!(blacklist.refusal(at(4), visitor("192.0.2.2")), None);
        assert_eq!(blacklist.refusal(at(10), visitor("192.0.2.1")), None);
        blacklist.keep_away(at(11), mapped, at(20));
        blacklist.keep_away(at(12), mapped, at(12));
        assert_eq!(blacklist.refusal(at(12), visitor("192.0.2.1")), None);
    }

    #[test]
    fn few_addresses_are_kept_away_at_once() {
        let mut away = Away::default();
        let ip = |index: usize| IpAddr::from(u32::try_from(index).unwrap().to_be_bytes());
        for index in 0..=AWAY_MAX {
            away.add(at(0), ip(index), at(60 + index as u64));
        }
        assert_eq!((away.until.len(), away.ends.len()), (AWAY_MAX, AWAY_MAX));
        assert!(!away.until.contains_key(&ip(0)));
        assert!(away.until.contains_key(&ip(AWAY_MAX)));
        away.add(at(1_000_000), ip(0), at(1_000_001));
        assert_eq!(away.until.len(), 1);
    }
}
