//! Which nodes this POP knows, and what of that the store does not know yet.

use super::super::blacklist::Visitor;
use crate::carrier::handshake::UpgradeRequest;
use crate::store::Prefix;
use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use titan_core::time::Instant;
use tokio::sync::Notify;

/// How often the store hears that a node's id is contested.
const CONTEST_INTERVAL: Duration = Duration::from_secs(60);

/// After how long without it a node's id is contested no more: whoever is turned away comes again within ten
/// minutes.
const CONTEST_OVER: Duration = Duration::from_secs(900);

/// Nodes seen here, and those of them that the store is to hear of. As long as the list of nodes, whatever
/// happens to the store.
#[derive(Debug)]
pub(super) struct Picture {
    generation: Cell<u64>,
    nodes: RefCell<BTreeMap<String, Known>>,
    dirty: RefCell<BTreeSet<String>>,
    /// The node that the store is being told of.
    telling: RefCell<Option<String>>,
    /// Nodes whose round trip time the store does not know yet.
    measured: RefCell<BTreeSet<String>>,
    changed: Notify,
}

/// What is known of a node. It is kept while it is online, has a carrier or is to be told to the store.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) ip: IpAddr,
    /// Where its carriers come from, each as often as it has some.
    carriers: Vec<IpAddr>,
    /// It is here because it is on a blacklist.
    confined: bool,
    pub(super) os: String,
    pub(super) version: String,
    /// In Unix seconds; none while the node is not online.
    pub(super) online_since: Option<u64>,
    pub(super) generation: u64,
    pub(super) rtt_ms: Option<u32>,
    /// When another process with its id was turned away, as the store is told.
    pub(super) contested: Option<Contest>,
}

/// A moment, by the clock that only goes forward and in Unix seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Contest {
    pub(super) at: Instant,
    pub(super) unix_time: u64,
}

impl Known {
    const fn at(ip: IpAddr) -> Self {
        Self {
            ip,
            carriers: Vec::new(),
            confined: false,
            os: String::new(),
            version: String::new(),
            online_since: None,
            generation: 0,
            rtt_ms: None,
            contested: None,
        }
    }
}

impl Picture {
    /// Creates an empty one whose generations begin after `generation`.
    pub(super) fn new(generation: u64) -> Self {
        Self {
            generation: Cell::new(generation),
            nodes: RefCell::default(),
            dirty: RefCell::default(),
            telling: RefCell::default(),
            measured: RefCell::default(),
            changed: Notify::new(),
        }
    }

    /// Notes what a node says about itself when it connects.
    pub(super) fn seen(&self, request: &UpgradeRequest, visitor: Visitor<'_>) {
        let Visitor { ip, confined, .. } = visitor;
        let mut nodes = self.nodes.borrow_mut();
        let known = nodes
            .entry(request.id.clone())
            .or_insert_with(|| Known::at(ip));
        known.confined = confined;
        known.carriers.push(ip);
        let same = known.ip == ip && known.os == request.os && known.version == request.version;
        known.ip = ip;
        known.os.clone_from(&request.os);
        known.version.clone_from(&request.version);
        if !same && known.online_since.is_some() {
            self.mark(&request.id);
        }
    }

    /// Notes that a carrier that was seen is over.
    pub(super) fn ended(&self, node: &str, ip: IpAddr) {
        if let Some(known) = self.nodes.borrow_mut().get_mut(node)
            && let Some(place) = known.carriers.iter().position(|&other| other == ip)
        {
            known.carriers.swap_remove(place);
        }
        self.forget_idle(node);
    }

    /// Notes that a node can be used from `unix_time` on. One that only resumed is where it was: it must not
    /// take its home back from the POP that it is to move to.
    pub(super) fn attached(&self, unix_time: u64, node: &str, resumed: bool) {
        let mut nodes = self.nodes.borrow_mut();
        // A node that carries must be found by orders, even if nothing was seen of its carrier.
        let known = nodes
            .entry(node.to_owned())
            .or_insert_with(|| Known::at(Ipv4Addr::UNSPECIFIED.into()));
        if resumed && known.online_since.is_some() {
            return;
        }
        let generation = self.generation.get() + 1;
        self.generation.set(generation);
        known.online_since.get_or_insert(unix_time);
        known.contested = None;
        known.generation = generation;
        self.mark(node);
    }

    /// Notes that another process with a node's id was turned away. The store hears of it once in
    /// [`CONTEST_INTERVAL`]: such a process comes every few seconds.
    pub(super) fn contested(&self, contest: Contest, node: &str) {
        let is_news = |last: Contest| contest.at.since(last.at) >= CONTEST_INTERVAL;
        if let Some(known) = self.nodes.borrow_mut().get_mut(node)
            && known.online_since.is_some()
            && known.contested.is_none_or(is_news)
        {
            known.contested = Some(contest);
            self.mark(node);
        }
    }

    /// Notes which nodes' ids are contested no more.
    pub(super) fn settle(&self, now: Instant) {
        let is_over = |last: Contest| now.since(last.at) >= CONTEST_OVER;
        for (node, known) in self.nodes.borrow_mut().iter_mut() {
            if known.contested.is_some_and(is_over) {
                known.contested = None;
                self.mark(node);
            }
        }
    }

    /// Notes that a node's tunnel is over.
    pub(super) fn gone(&self, node: &str) {
        if let Some(known) = self.nodes.borrow_mut().get_mut(node) {
            known.online_since = None;
            self.mark(node);
        }
    }

    /// Returns the nodes that are not as they should be: every one that carries online here, and no other.
    pub(super) fn differences(&self, carrying: &BTreeSet<String>) -> BTreeSet<String> {
        let nodes = self.nodes.borrow();
        let online = nodes
            .iter()
            .filter(|(_, known)| known.online_since.is_some())
            .map(|(node, _)| node.clone())
            .collect::<BTreeSet<_>>();
        carrying.symmetric_difference(&online).cloned().collect()
    }

    /// Makes good what events have failed to tell of a node.
    pub(super) fn correct(&self, unix_time: u64, node: &str, carrying: &BTreeSet<String>) {
        if carrying.contains(node) {
            self.attached(unix_time, node, false);
        } else {
            self.gone(node);
        }
    }

    /// Lets the store, which may have forgotten, hear of every node again.
    pub(super) fn tell_again(&self) {
        let nodes = self.nodes.borrow();
        let online = nodes
            .iter()
            .filter(|(_, known)| known.online_since.is_some());
        let mut dirty = self.dirty.borrow_mut();
        dirty.extend(online.map(|(node, _)| node.clone()));
        self.changed.notify_one();
    }

    /// Takes over round trip times that have changed by more than a tenth.
    pub(super) fn measure(&self, measured: &[(String, u32)]) {
        let mut nodes = self.nodes.borrow_mut();
        for (node, rtt_ms) in measured {
            let Some(known) = nodes.get_mut(node) else {
                continue;
            };
            let stale = known
                .rtt_ms
                .is_none_or(|old| old.abs_diff(*rtt_ms) > old / 10);
            if stale && known.online_since.is_some() {
                known.rtt_ms = Some(*rtt_ms);
                self.measured.borrow_mut().insert(node.clone());
            }
        }
    }

    /// Returns the nodes that connect from one of these addresses.
    pub(super) fn nodes_at(&self, prefix: Prefix) -> Vec<String> {
        let nodes = self.nodes.borrow();
        let is_there = |known: &Known| {
            prefix.contains(known.ip) || known.carriers.iter().any(|&ip| prefix.contains(ip))
        };
        let there = nodes.iter().filter(|(_, known)| is_there(known));
        there.map(|(node, _)| node.clone()).collect()
    }

    /// Returns every node that is connected here.
    pub(super) fn all_nodes(&self) -> Vec<String> {
        self.nodes.borrow().keys().cloned().collect()
    }

    /// Returns from where a node connects, and whether it is here because it is on a blacklist.
    pub(super) fn whence(&self, node: &str) -> Option<(Vec<IpAddr>, bool)> {
        let nodes = self.nodes.borrow();
        let known = nodes.get(node)?;
        let mut ips = known.carriers.clone();
        ips.push(known.ip);
        Some((ips, known.confined))
    }

    /// Takes a node that the store is to hear of; [`told`](Self::told) or [`not_told`](Self::not_told) comes
    /// before the next one.
    pub(super) fn take_dirty(&self) -> Option<(String, Known)> {
        loop {
            let node = self.dirty.borrow_mut().pop_first()?;
            if let Some(known) = self.nodes.borrow().get(&node) {
                // The entry says this, too.
                self.measured.borrow_mut().remove(&node);
                self.telling.replace(Some(node.clone()));
                return Some((node, known.clone()));
            }
        }
    }

    /// Notes that the store knows what was taken.
    pub(super) fn told(&self) {
        if let Some(node) = self.telling.take() {
            self.forget_idle(&node);
        }
    }

    /// Notes that the store does not know what was taken.
    pub(super) fn not_told(&self) {
        if let Some(node) = self.telling.take() {
            self.dirty.borrow_mut().insert(node);
        }
    }

    /// Returns at most so many nodes whose round trip time the store is to hear of, and those of them that
    /// are online, with it and their generation.
    pub(super) fn rtts(&self, max: usize) -> (Vec<String>, Vec<(String, u64, u32)>) {
        let (nodes, measured) = (self.nodes.borrow(), self.measured.borrow());
        let batch: Vec<String> = measured.iter().take(max).cloned().collect();
        let rtt = |id: &String| {
            let known = nodes.get(id).filter(|known| known.online_since.is_some())?;
            Some((id.clone(), known.generation, known.rtt_ms?))
        };
        let rtts = batch.iter().filter_map(rtt).collect();
        (batch, rtts)
    }

    /// Notes that the store knows the round trip times of these.
    pub(super) fn told_rtts(&self, batch: &[String]) {
        let mut measured = self.measured.borrow_mut();
        for node in batch {
            measured.remove(node);
        }
    }

    /// Lets whoever waits for changes look.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Waits until there may be something that the store is to hear.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn mark(&self, node: &str) {
        self.dirty.borrow_mut().insert(node.to_owned());
        self.changed.notify_one();
    }

    /// Forgets a node that is not online, has no carrier and of which there is nothing to tell.
    fn forget_idle(&self, node: &str) {
        let mut nodes = self.nodes.borrow_mut();
        let idle = nodes
            .get(node)
            .is_some_and(|known| known.online_since.is_none() && known.carriers.is_empty());
        let telling = self.telling.borrow().as_deref() == Some(node);
        if idle && !telling && !self.dirty.borrow().contains(node) {
            nodes.remove(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn seen(picture: &Picture, ip: &str) -> IpAddr {
        let ip = ip.parse().unwrap();
        let request = UpgradeRequest {
            id: "n".to_owned(),
            os: "linux".to_owned(),
            version: "1".to_owned(),
            token: String::new(),
        };
        let visitor = Visitor {
            node: "n",
            ip,
            confined: false,
        };
        picture.seen(&request, visitor);
        ip
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Lets the store hear of a node, and returns what it hears.
    fn tell(picture: &Picture) -> Option<(String, Known)> {
        let taken = picture.take_dirty();
        picture.told();
        taken
    }

    #[test]
    fn a_node_is_known_while_it_has_a_carrier() {
        let picture = Picture::new(1);
        let first = seen(&picture, "192.0.2.1");
        let second = seen(&picture, "192.0.2.2");
        // One ends before the other says HELLO.
        picture.ended("n", first);
        picture.attached(NOW, "n", false);
        assert_eq!(picture.nodes_at(second.into()), ["n"]);
        assert_eq!(picture.nodes_at("192.0.2.0/30".parse().unwrap()), ["n"]);
        assert!(picture.nodes_at("192.0.2.4/30".parse().unwrap()).is_empty());
        let (node, known) = tell(&picture).unwrap();
        assert_eq!((&*node, known.ip), ("n", second));
        // It is back while the store hears that it has gone.
        picture.gone("n");
        picture.take_dirty().unwrap();
        picture.ended("n", second);
        let third = seen(&picture, "192.0.2.3");
        picture.told();
        picture.attached(NOW, "n", false);
        assert_eq!(tell(&picture).unwrap().1.ip, third);
        picture.gone("n");
        tell(&picture).unwrap();
        picture.ended("n", third);
        assert_eq!(picture.all_nodes(), Vec::<String>::new());
    }

    #[test]
    fn what_the_store_did_not_hear_is_told_again() {
        let picture = Picture::new(1);
        let ip = seen(&picture, "192.0.2.1");
        picture.attached(NOW, "n", false);
        tell(&picture).unwrap();
        picture.gone("n");
        picture.take_dirty().unwrap();
        // Its last carrier ends meanwhile.
        picture.ended("n", ip);
        picture.not_told();
        assert_eq!(tell(&picture).unwrap().1.online_since, None);
        assert!(tell(&picture).is_none() && picture.all_nodes().is_empty());
    }

    #[test]
    fn a_contested_node_is_told_of_now_and_then() {
        // The clock on the wall stands still.
        let after = |seconds| Contest {
            at: Instant::from_nanos(1) + Duration::from_secs(seconds),
            unix_time: NOW,
        };
        let picture = Picture::new(1);
        picture.contested(after(0), "n");
        assert!(tell(&picture).is_none(), "it is not here");
        seen(&picture, "192.0.2.1");
        picture.attached(NOW, "n", false);
        assert_eq!(tell(&picture).unwrap().1.contested, None);
        for (later, told) in [(0, true), (5, false), (59, false), (60, true)] {
            picture.contested(after(later), "n");
            let at = tell(&picture).map(|(_, known)| known.contested);
            assert_eq!(at, told.then_some(Some(after(later))), "{later} s later");
        }
        // Whoever was turned away has not come again.
        picture.settle(after(60 + 899).at);
        assert!(tell(&picture).is_none());
        picture.settle(after(60 + 900).at);
        assert_eq!(tell(&picture).unwrap().1.contested, None);
        picture.contested(after(2_000), "n");
        assert!(tell(&picture).unwrap().1.contested.is_some());
        // Another process of it has come.
        picture.attached(NOW, "n", false);
        assert_eq!(tell(&picture).unwrap().1.contested, None);
    }

    #[test]
    fn what_carries_is_online_and_nothing_else() {
        let picture = Picture::new(1);
        seen(&picture, "192.0.2.1");
        assert_eq!(picture.differences(&names(&[])), names(&[]));
        let carrying = names(&["n", "never-seen"]);
        assert_eq!(picture.differences(&carrying), carrying);
        for node in &carrying {
            picture.correct(NOW, node, &carrying);
        }
        assert_eq!(picture.all_nodes(), ["n", "never-seen"]);
        let generations = [(); 2].map(|()| tell(&picture).unwrap().1.generation);
        assert_eq!(generations, [2, 3]);
        assert_eq!(picture.differences(&carrying), names(&[]));
        let carrying = names(&["never-seen"]);
        assert_eq!(picture.differences(&carrying), names(&["n"]));
        picture.correct(NOW, "n", &carrying);
        let (node, known) = tell(&picture).unwrap();
        assert_eq!((&*node, known.online_since), ("n", None));
    }
}
