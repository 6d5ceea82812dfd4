//! How flows end, and whether the cause that an end names was there: told by what the world knows.

use super::super::oracle::violated;
use super::super::pace::BATCH;
use super::super::peer::Peer;
use super::super::scenario::Fault;
use super::World;
use super::host::Host;
use super::wants::{REFUSING, SHARE, Victim};
use titan_core::time::{Duration, Instant};
use titan_proto::Code;

/// How long an edge may take for a dial: who waited less was not held up by anything but its answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// By how much a POP waits longer than an edge's dial may take. What waits in a carrier that is slow
/// and takes much at once can need longer than that, for nobody's fault.
const DIAL_SLACK: Duration = Duration::from_secs(5);

/// How long it takes at most until somebody who was told nothing finds a carrier broken, or one that
/// acknowledges nothing.
const NOTICES: Duration = Duration::from_secs(15);

/// How long an edge takes at most to come back to a tunnel that it may resume.
const COMES_BACK: Duration = Duration::from_secs(5);

impl World {
    /// A flow fails only for a reason that there was.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every code that is not named has no excuse"
    )]
    pub(super) fn judge_client(&mut self, pop: usize, client: &Peer, code: Code) {
        self.judge_what_arrived(pop, client);
        let index = client.flow;
        let flow = &self.scenario.flows[index];
        let wants = &self.record.wants;
        let heard = wants.has_heard(index, code);
        let late = wants.never_came(pop, index, self.never_came_since());
        let lost = wants.lost_tunnel(pop, index) || late;
        let excused = match code {
            Code::Ok => !flow.private,
            Code::Refused | Code::ExitLimit => heard,
            Code::Forbidden => flow.private && heard,
            Code::TimedOut | Code::Overloaded => heard || self.was_held_up(pop, index),
            Code::ExitAway => flow.name.is_some() && (lost || self.was_held_up(pop, index)),
            Code::ShuttingDown => self.pops[pop].draining,
            Code::QuotaExceeded => self.is_spent(index),
            Code::Memory => heard || self.may_be_shed(pop, client),
            Code::Kicked => {
                let mut ordered = wants
                    .exits_of(index)
                    .filter(|node| wants.ordered.contains(node));
                ordered.any(|node| lost || wants.is_unconfirmed((pop, node)))
            }
            Code::TunnelLost => lost,
            Code::Reset => wants.failed.contains(&index) || self.is_forged(index),
            Code::WriteTimeout => self.was_too_long_leaving(pop, client),
            Code::IdleTimeout => {
                client.idles(self.now, self.idle_min()) || wants.idled.contains(&index)
            }
            _ => self.is_forged(index),
        };
        if !excused {
            let number = if code == Code::Ok { 11 } else { 6 };
            violated(
                number,
                format_args!("flow {index} ended as {code:?} for no reason"),
            );
        }
        if code == Code::Memory && !heard {
            self.pops[pop].shed += 1;
            if !self.holds_now(Host::Pop(pop), REFUSING) {
                self.record.wants.by_share.insert(index);
            }
        }
    }

    /// Returns when a tunnel must have begun, at the latest, that is over now because its edge has never confirmed it:
    /// its carrier was lost, or acknowledges nothing.
    fn never_came_since(&self) -> Instant {
        let patience = self.record.grace.min(NOTICES);
        Instant::EPOCH + self.now.since(Instant::EPOCH + patience)
    }

    /// What a target sent before it failed arrives; notes what a client sent before it did.
    fn judge_what_arrived(&mut self, pop: usize, client: &Peer) {
        if client.failed {
            self.record.wants.failed.insert(client.flow);
            // What is not booked yet may not leave, if the quota does not allow it.
            if client.unbooked_max() == 0 || !self.has_quota(client.flow) {
                self.record.client_failed.insert(client.flow, client.sent);
            }
        } else if let Some((edge, life)) = client.exit
            && !self.is_dry(pop, client.flow)
            && let Some(&sent) = self.record.target_failed.get(&(client.flow, edge, life))
        {
            self.judge_rest(client, sent);
        }
    }

    /// Only who takes next to nothing of what waits for it is reset for want of memory, and its POP counts
    /// it.
    fn may_be_shed(&self, pop: usize, client: &Peer) -> bool {
        let host = &self.pops[pop];
        let counted = host.core.as_ref().map_or(0, |core| core.counters().shed);
        self.holds_now(Host::Pop(pop), SHARE) && host.shed < counted && client.dawdles(self.now)
    }

    /// Tells whether the rest of a session had its time: what was complete when its tunnel went, or when a
    /// socket failed, is left unread, or its user has nothing to pay with, or the path is slower than that.
    fn was_too_long_leaving(&self, pop: usize, client: &Peer) -> bool {
        let (now, deadline) = (self.now, self.scenario.limits.config().write_deadline);
        let wants = &self.record.wants;
        let failed = wants.failed.contains(&client.flow);
        let unread = client
            .unread_since
            .is_some_and(|since| now >= since + deadline);
        let unpaid = self.is_dry_for(pop, client.flow, deadline);
        let trouble = wants.trouble_of(pop, client.flow);
        let troubled = trouble.is_some_and(|end| end + self.aftermath() + deadline >= now);
        let slow = self.scenario.rest_max() >= deadline || troubled;
        (failed && slow) || ((unread || unpaid) && (failed || wants.lost_tunnel(pop, client.flow)))
    }

    /// Tells whether a dial waited for longer than an edge may take, for something that the world knows of.
    fn was_held_up(&self, pop: usize, flow: usize) -> bool {
        let network = &self.scenario.network;
        let wants = &self.record.wants;
        let Some(&asked) = wants.asked.get(&flow) else {
            return false;
        };
        if self.now < asked + DIAL_TIMEOUT {
            return false;
        }
        let group = self.scenario.flows[flow].group;
        let wait = network.round_trip_max() + self.scenario.turns_max(group);
        let trouble = wants.trouble_of(pop, flow);
        wait > DIAL_SLACK
            || trouble.is_some_and(|end| end + self.aftermath() >= asked)
            || wants.was_full(pop, asked)
    }

    /// Returns how long after the end of a fault dials may still wait for it: an edge comes back, and what
    /// piled up leaves.
    pub(super) fn aftermath(&self) -> Duration {
        let network = &self.scenario.network;
        let piled_up = self.scenario.limits.resend_max + network.window as u64 + BATCH;
        let leaves = (2 * piled_up).checked_div(network.bandwidth).unwrap_or(0);
        NOTICES + COMES_BACK + network.round_trip_max() + Duration::from_millis(leaves)
    }

    /// Tells whether somebody made messages up on the path of one of a flow's exits.
    pub(super) fn is_forged(&self, flow: usize) -> bool {
        let wants = &self.record.wants;
        wants
            .exits_of(flow)
            .any(|node| wants.forged.contains(&node))
    }

    /// Returns how long nothing may move in a session, at least.
    pub(super) fn idle_min(&self) -> Duration {
        let config = self.scenario.limits.config();
        config.idle.min(config.idle_half_closed)
    }

    /// Notes whom a fault strikes, and until when.
    pub(super) fn note_trouble(&mut self, fault: &Fault) {
        let end: Instant = self.now + Duration::from_millis(fault.lasts());
        let wants = &mut self.record.wants;
        let (edge, pop) = fault.victim();
        if let Some(edge) = edge {
            wants.fault_until(Victim::Node(self.edges[edge].node), end);
        }
        if let Some(pop) = pop {
            wants.fault_until(Victim::Pop(pop), end);
        }
        if let Fault::Storm { .. } = fault {
            for edge in &self.edges {
                wants.fault_until(Victim::Node(edge.node), end);
            }
        }
    }
}
