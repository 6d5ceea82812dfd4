//! What operators want of nodes (requirement W11): to go at once, to go when their sessions are over, to
//! be slower.

use super::PopRole;
use super::desk::PopDesk;
use crate::account::Rates;
use crate::arena::TunnelId;
use crate::endpoint::Endpoint;
use crate::endpoint::engine::Engine;
use crate::mark::{self, Mark};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use titan_proto::Code;

impl Endpoint<PopRole> {
    /// Has a node go at once, and keeps it away for `retry`: its tunnel ends with `code`, its sessions
    /// with [`Code::Kicked`], those of which nothing was framed go on over other exits, and its edge is
    /// told by COMMAND and BYE, if it can be told. True if it had a tunnel.
    ///
    /// A HELLO of the node that comes before its time is refused with the same code.
    pub fn kick(&mut self, now: Instant, node: &str, code: Code, retry: Duration) -> bool {
        let now = self.enter(now);
        self.role.bars.add(now, node, code, now + retry);
        self.role.bars.arm(&mut self.engine.agenda.timers, now);
        let tunnels = self.role.tunnels_of(node);
        for &id in &tunnels {
            mark::hit(Mark::Kicked);
            self.engine.kick(now, id, code, retry);
        }
        self.leave(now);
        !tunnels.is_empty()
    }

    /// Tells why a node has to stay away, and for how long still.
    #[must_use]
    pub fn bar_of(&self, now: Instant, node: &str) -> Option<(Code, Duration)> {
        self.role.bars.find(now.max(self.now), node)
    }

    /// Has a node look for another POP: it gets no session any more, and its tunnel ends with
    /// [`Code::Migrated`] when its last one is over, or after `patience`. True if it had a tunnel that
    /// was not to go already.
    pub fn send_away(&mut self, now: Instant, node: &str, patience: Duration) -> bool {
        let now = self.enter(now);
        let mut told = false;
        let draining = self.engine.is_leaving();
        for id in self.role.tunnels_of(node) {
            let sent = self.engine.change_tunnel(id, |tunnel| {
                if tunnel.peer().is_leaving() {
                    return false;
                }
                let node = tunnel.tell_peer();
                node.leave_by(now + patience);
                // One that drains has told so already.
                if !draining {
                    node.order_drain(Code::Migrated);
                }
                true
            });
            if sent == Some(true) {
                told = true;
                self.role.refresh(&self.engine, now, id);
            }
        }
        self.leave(now);
        told
    }
}

impl Endpoint<PopRole> {
    /// Limits what each node carries: its edge is told by COMMAND, and this side sends no faster. Holds
    /// for nodes that are here and those to come, until it is called again.
    pub fn limit_nodes(&mut self, now: Instant, rates: Rates) {
        let now = self.enter(now);
        if self.role.node_rates != rates {
            self.role.node_rates = rates;
            for id in self.engine.tunnels.keys() {
                self.engine.limit_node(now, id, rates);
            }
        }
        self.leave(now);
    }
}

impl Endpoint<PopRole> {
    /// Takes on no session and no node any more, and tells every edge to look for another POP.
    /// [`Event::Drained`](crate::endpoint::Event::Drained) follows when the last session is over and its
    /// edge knows.
    ///
    /// The order is told once per tunnel: like every numbered frame it arrives, over whatever carrier.
    pub fn drain(&mut self, now: Instant) {
        let now = self.enter(now);
        if self.engine.begin_drain() {
            for id in self.engine.tunnels.keys() {
                self.engine.change_tunnel(id, |tunnel| {
                    tunnel.tell_peer().order_drain(Code::ShuttingDown);
                });
            }
        }
        self.leave(now);
    }
}

impl Engine<PopDesk> {
    /// Holds a node to its rates, and tells it.
    pub(super) fn limit_node(&mut self, now: Instant, id: TunnelId, rates: Rates) {
        self.change_tunnel(id, |tunnel| {
            tunnel.limit_rate(now, rates.up);
            tunnel.tell_peer().order_rates(rates);
        });
    }
}

impl PopRole {
    fn tunnels_of(&self, node: &str) -> Vec<TunnelId> {
        let entry = self.nodes.get(node).into_iter();
        entry.flat_map(|entry| entry.tunnels()).collect()
    }

    /// Ends the tunnel of a node that was sent away, once that cuts nothing off.
    pub(super) fn let_leave(engine: &mut Engine<PopDesk>, now: Instant, id: TunnelId) {
        let leaves = engine
            .tunnels
            .get(id)
            .is_some_and(|tunnel| tunnel.peer().is_leaving() && tunnel.is_idle());
        if leaves {
            mark::hit(Mark::SentAway);
            engine.end_tunnel(now, id, Code::Migrated, Duration::ZERO);
        }
    }
}
