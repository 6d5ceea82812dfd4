//! What the world knows of its processes and of each flow: who was short of what, who was told what, and what was
//! done to whom. No end is excused by anything else.

use super::host::Host;
use std::collections::{BTreeMap, BTreeSet};
use titan_core::endpoint::Usage;
use titan_core::time::Instant;
use titan_proto::Code;

/// From this part of the budget on, in per cent, sessions are refused and reset whosever they are.
pub(super) const REFUSING: u64 = 80;

/// From here on a user may be beyond its share: below, everybody holds less than is free.
pub(super) const SHARE: u64 = 40;

/// Whom a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Victim {
    Node(usize),
    Pop(usize),
}

#[derive(Debug, Default)]
pub(super) struct Wants {
    /// What each process held when it was looked at last.
    held: BTreeMap<Host, u64>,
    /// When a process held all that it may, last.
    full_at: BTreeMap<Host, Instant>,
    /// What each POP was told last by an edge, in which of its lives, and whether it takes sessions. What an earlier
    /// life has told holds until its POP has a tunnel of the present one.
    told: BTreeMap<(usize, usize), (u64, bool)>,
    /// Nodes that POPs send away.
    pub(super) leaving: BTreeSet<(usize, usize)>,
    /// Nodes that an operator had leave.
    pub(super) ordered: BTreeSet<usize>,
    /// Nodes on whose path somebody made messages up.
    pub(super) forged: BTreeSet<usize>,
    /// When the last of the faults that struck somebody so far was over.
    troubled: BTreeMap<Victim, Instant>,
    /// When POPs lost the tunnel of a node last.
    gone: BTreeMap<(usize, usize), Instant>,
    /// When POPs answered the HELLO of a node that has not confirmed it. Nobody is told of the end of a tunnel that
    /// was never confirmed.
    unconfirmed: BTreeMap<(usize, usize), Instant>,
    /// When each flow was asked for.
    pub(super) asked: BTreeMap<usize, Instant>,
    /// The nodes that each flow came to.
    exits: BTreeMap<usize, BTreeSet<usize>>,
    /// What edges said of the dials of each flow.
    heard: BTreeMap<usize, BTreeSet<Code>>,
    /// Flows whose client was told that they are connected.
    pub(super) connected: BTreeSet<usize>,
    /// Flows reset for want of memory by a POP that held too little for that, but for their user's share.
    pub(super) by_share: BTreeSet<usize>,
    /// Flows with a socket that failed.
    pub(super) failed: BTreeSet<usize>,
    /// Flows whose target neither took nor sent anything for as long as that is allowed.
    pub(super) idled: BTreeSet<usize>,
    /// Places taken at the node of a POP when it was there last.
    pub(super) places: BTreeMap<(usize, usize), usize>,
    /// The node that a name of a group was bound to at a POP, and when that was seen last.
    pub(super) bound: BTreeMap<(usize, u32, u64), (usize, Instant)>,
}

impl Wants {
    /// A process begins, without a past, or is gone.
    pub(super) fn starts(&mut self, host: Host) {
        self.held.remove(&host);
        self.full_at.remove(&host);
        if let Host::Pop(pop) = host {
            self.told.retain(|&(of, _), _| of != pop);
            self.leaving.retain(|&(of, _)| of != pop);
            self.places.retain(|&(of, _), _| of != pop);
            self.unconfirmed.retain(|&(of, _), _| of != pop);
            self.bound.retain(|&(of, ..), _| of != pop);
        }
    }

    pub(super) fn holds(&mut self, host: Host, now: Instant, budget: u64, usage: Usage) {
        let held = held(usage);
        self.held.insert(host, held);
        if held >= budget {
            self.full_at.insert(host, now);
        }
    }

    /// Returns the most that a process held around the last thing that happened to it.
    pub(super) fn held_lately(&self, host: Host, usage: Usage) -> u64 {
        let before = self.held.get(&host).copied().unwrap_or(0);
        before.max(held(usage))
    }

    /// Tells whether a process, or one of any edges, held all that it may since then.
    pub(super) fn was_full(&self, pop: usize, since: Instant) -> bool {
        self.full_at.iter().any(|(&host, &at)| match host {
            Host::Pop(of) => of == pop && at >= since,
            Host::Edge(_) => at >= since,
        })
    }

    pub(super) fn fault_until(&mut self, victim: Victim, end: Instant) {
        let last = self.troubled.entry(victim).or_insert(end);
        *last = end.max(*last);
    }

    /// Returns when the last of the faults was over that struck a POP or one of a flow's exits.
    pub(super) fn trouble_of(&self, pop: usize, flow: usize) -> Option<Instant> {
        let victims = self.exits_of(flow).map(Victim::Node);
        let victims = victims.chain([Victim::Pop(pop)]);
        let ends = victims.filter_map(|victim| self.troubled.get(&victim));
        ends.max().copied()
    }

    /// A POP hears of an edge whether it takes sessions.
    pub(super) fn tells(&mut self, key: (usize, usize), life: u64, accepting: bool) {
        self.told.insert(key, (life, accepting));
    }

    /// A node begins another tunnel to a POP: one that it has not confirmed is over.
    pub(super) fn begins_anew(&mut self, key: (usize, usize), now: Instant) {
        if self.unconfirmed.remove(&key).is_some() {
            self.gone.insert(key, now);
        }
    }

    /// A POP answers the HELLO of a node.
    pub(super) fn answers(&mut self, key: (usize, usize), now: Instant) {
        self.unconfirmed.insert(key, now);
    }

    /// The node has confirmed it.
    pub(super) fn confirms(&mut self, key: (usize, usize)) {
        self.unconfirmed.remove(&key);
    }

    pub(super) fn is_unconfirmed(&self, key: (usize, usize)) -> bool {
        self.unconfirmed.contains_key(&key)
    }

    /// Tells whether one of a flow's exits has not confirmed its tunnel to a POP that was begun before then.
    pub(super) fn never_came(&self, pop: usize, flow: usize, before: Instant) -> bool {
        self.exits_of(flow).any(|node| {
            let since = self.unconfirmed.get(&(pop, node));
            since.is_some_and(|&since| since <= before)
        })
    }

    /// A POP has a tunnel of an edge in that life.
    pub(super) fn lives_anew(&mut self, key: (usize, usize), life: u64) {
        self.told
            .retain(|&of, &mut (told_in, _)| of != key || told_in >= life);
    }

    /// Tells whether a POP was told last by an edge that it takes no sessions.
    pub(super) fn declines(&self, key: (usize, usize)) -> bool {
        self.told
            .get(&key)
            .is_some_and(|&(_, accepting)| !accepting)
    }

    pub(super) fn tunnel_gone(&mut self, key: (usize, usize), now: Instant) {
        self.gone.insert(key, now);
        self.places.remove(&key);
    }

    /// Tells whether a POP lost the tunnel of one of a flow's exits since the flow was asked for.
    pub(super) fn lost_tunnel(&self, pop: usize, flow: usize) -> bool {
        let asked = self.asked.get(&flow);
        self.exits_of(flow).any(|node| {
            let gone = self.gone.get(&(pop, node));
            gone.is_some() && gone >= asked
        })
    }

    pub(super) fn comes_to(&mut self, flow: usize, node: usize) {
        self.exits.entry(flow).or_default().insert(node);
    }

    pub(super) fn exits_of(&self, flow: usize) -> impl Iterator<Item = usize> {
        self.exits.get(&flow).into_iter().flatten().copied()
    }

    pub(super) fn hears(&mut self, flow: usize, code: Code) {
        self.heard.entry(flow).or_default().insert(code);
    }

    /// Tells whether an edge has said that of a flow.
    pub(super) fn has_heard(&self, flow: usize, code: Code) -> bool {
        let heard = self.heard.get(&flow);
        heard.is_some_and(|heard| heard.contains(&code))
    }
}

const fn held(usage: Usage) -> u64 {
    usage.session_bytes + usage.resend_bytes
}

/// Tells whether so much is that part of the budget.
pub(super) const fn stands_at(percent: u64, budget: u64, held: u64) -> bool {
    held * 100 >= budget * percent
}

/// Returns the number of a node.
pub(super) fn node_number(name: &str) -> Option<usize> {
    name.strip_prefix("node-")?.parse().ok()
}
