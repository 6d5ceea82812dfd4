//! Flows: clients ask, edges dial, both sockets are looked at when there is a reason.

use super::super::peer::{Looked, Peer};
use super::super::scenario::Answer;
use super::super::trace::Trace;
use super::host::Host;
use super::hosts::Sockets;
use super::judge::Record;
use super::targets::{RESOLVES, flow_of, host_of, resolve, tried};
use super::{Action, World};
use core::hash::Hash as _;
use titan_core::endpoint::{CloseMode, Dial, Dialled, Endpoint, Open, Role, SessionId};
use titan_core::target::{Host as Name, Target};
use titan_core::time::{Duration, Instant};
use titan_core::trace::TraceId;
use titan_proto::Code;

/// A session that somebody on the path made up; no flow has this number.
const NO_FLOW: usize = usize::MAX;

/// How long the dial of such a session takes.
const FORGED_DIAL: Duration = Duration::from_secs(2);

impl World {
    /// Returns the POP that a client asks: another one if its own is away or sends everybody away.
    pub(super) fn pop_for(&self, pop: usize) -> Option<usize> {
        let usable = |pop: usize| self.pops[pop].core.is_some() && !self.pops[pop].draining;
        if usable(pop) {
            Some(pop)
        } else {
            (0..self.pops.len()).find(|&pop| usable(pop))
        }
    }

    pub(super) fn start_flow(&mut self, index: usize) {
        let flow = self.scenario.flows[index].clone();
        let Some(pop) = self.pop_for(flow.pop) else {
            // Its application tries again until a POP is there.
            self.enter_in(250, Action::Start { flow: index });
            return;
        };
        let (group, place) = match self.admit(pop, flow.group) {
            Ok(admitted) => admitted,
            Err(code) => return self.flow_ended(index, code),
        };
        let open = Open {
            target: Target {
                // It names the flow.
                host: host_of(index, &flow),
                port: 80,
            },
            group,
            weight: flow.weight,
            family: flow.family.into(),
            country: None,
            strict: false,
            sticky: flow.sticky(),
            trace: trace_of(index),
        };
        let now = self.now;
        self.record.wants.asked.insert(index, now);
        let host = &mut self.pops[pop];
        let Some(core) = &mut host.core else { return };
        host.touched = true;
        let opened = core.open(now, open);
        self.note(|| format!("flow {index} asks pop {pop}: {opened:?}"));
        self.seat(pop, flow.group, place, opened.ok());
        match opened {
            Ok(id) => {
                let mut client = Peer::client(index, &flow, self.heals_at());
                client.freed = self.record.released;
                let fails_from = client.fails_from;
                id.hash(&mut self.trace);
                let host = &mut self.pops[pop];
                host.unreported.insert(id, index);
                if let Some(core) = &mut host.core {
                    client.begin(now, core, id, flow.early);
                }
                host.clients.insert(id, client);
                let life = host.life;
                self.follow_dials(pop);
                self.look_when(Host::Pop(pop), life, id, fails_from);
            }
            Err(code) => {
                self.judge_refused(pop, index, code);
                self.flow_ended(index, code);
            }
        }
    }

    /// Looks at a socket when it fails by itself.
    fn look_when(&mut self, host: Host, life: u64, session: SessionId, at: Option<Instant>) {
        if let Some(at) = at {
            self.enter(
                at,
                Action::Look {
                    host,
                    life,
                    session,
                },
            );
        }
    }

    pub(super) fn opened(&mut self, edge: usize, session: SessionId) {
        let now = self.now;
        let host = &mut self.edges[edge];
        let life = host.life;
        let Some(core) = &mut host.core else {
            return;
        };
        host.opened.push(session);
        let Some(request) = core.dial_request(session) else {
            core.close(now, session, Code::Cancelled, CloseMode::Abort);
            return;
        };
        let index = flow_of(&request.target.host);
        let found = index.and_then(|index| Some((index, self.scenario.flows.get(index)?)));
        let judged = match (&request.target.host, found) {
            (Name::Name(_), Some((index, flow))) => {
                let judged = core.judge(request.family, resolve(index, flow));
                self.judge_resolved(index, &judged);
                judged.map(|_| ())
            }
            (Name::Name(_) | Name::Ip(_), _) => Ok(()),
        };
        self.judge_dial(&request.target.host);
        self.judge_session_cap(edge, session);
        let (index, outcome, at) = match found {
            None => (NO_FLOW, Err(Code::TimedOut), now + FORGED_DIAL),
            Some((index, _)) if judged.is_err() => (index, judged, now),
            Some((index, flow)) => {
                let takes = Duration::from_millis(flow.dial);
                match flow.answer(self.record.dialled(index, self.edges[edge].node)) {
                    Answer::Hangs => (index, Err(Code::TimedOut), request.deadline),
                    Answer::Connects => (index, Ok(()), now + takes),
                    Answer::Refuses => (index, Err(Code::Refused), now + takes),
                }
            }
        };
        let dial = (index, outcome);
        self.edges[edge].dialling.insert(session, dial);
        self.enter(
            at,
            Action::Dialled {
                edge,
                life,
                session,
            },
        );
    }

    pub(super) fn dialled(&mut self, edge: usize, life: u64, session: SessionId) {
        let (now, heals_at) = (self.now, self.heals_at());
        let host = &mut self.edges[edge];
        if host.life != life {
            return;
        }
        let Some((index, outcome)) = host.dialling.remove(&session) else {
            return;
        };
        let Some(core) = &mut host.core else { return };
        host.touched = true;
        let outcome = outcome.map(|()| Dialled {
            addresses: tried(index, &self.scenario.flows[index]),
            resolve: RESOLVES,
            dial: Duration::from_millis(self.scenario.flows[index].dial),
        });
        let wanted = core.dial_request(session).is_some();
        let connected = outcome.is_ok() && wanted;
        if let Err(code) = outcome {
            self.record.wants.hears(index, code);
        }
        core.dialled(now, session, outcome);
        if connected {
            let mut target = Peer::target(index, &self.scenario.flows[index], heals_at);
            target.freed = self.record.released;
            let fails_from = target.fails_from;
            host.targets.insert(session, target);
            self.look_when(Host::Edge(edge), life, session, fails_from);
        } else {
            core.close(now, session, Code::Cancelled, CloseMode::Abort);
        }
    }

    /// An answer of an edge has reached a POP: notes whom it connected.
    pub(super) fn note_exit(&mut self, pop: usize, edge: usize) {
        let exit = (edge, self.edges[edge].life);
        let host = &mut self.pops[pop];
        let Some(core) = &host.core else { return };
        let mut told = Vec::new();
        for (&id, client) in &mut host.clients.peers {
            if client.exit.is_none()
                && let Some(reply) = core.reply(id)
            {
                client.exit = Some(exit);
                told.push((client.flow, reply.clone()));
            }
        }
        for (flow, reply) in told {
            self.record.wants.connected.insert(flow);
            self.judge_reply(flow, &reply);
        }
    }

    // --- Sockets ----------------------------------------------------------------------------------

    pub(super) fn pop_sockets(&mut self, pop: usize) -> bool {
        self.follow_dials(pop);
        let now = self.now;
        let host = &mut self.pops[pop];
        let Some(core) = &mut host.core else {
            return false;
        };
        let mut later = Vec::new();
        let mut ended = Vec::new();
        let moved = look_at_all(
            now,
            core,
            &mut host.clients,
            &self.record,
            true,
            &mut self.trace,
            &mut later,
            &mut ended,
        );
        let life = host.life;
        for (at, session) in later {
            self.enter(
                at,
                Action::Look {
                    host: Host::Pop(pop),
                    life,
                    session,
                },
            );
        }
        if !ended.is_empty() {
            self.unseat(pop);
        }
        for client in ended {
            self.book_client(pop, &client);
            self.client_ended(pop, &client);
        }
        moved
    }

    pub(super) fn edge_sockets(&mut self, edge: usize) -> bool {
        let now = self.now;
        let host = &mut self.edges[edge];
        let Some(core) = &mut host.core else {
            return false;
        };
        let mut later = Vec::new();
        let mut ended = Vec::new();
        let moved = look_at_all(
            now,
            core,
            &mut host.targets,
            &self.record,
            false,
            &mut self.trace,
            &mut later,
            &mut ended,
        );
        let life = host.life;
        for (at, session) in later {
            self.enter(
                at,
                Action::Look {
                    host: Host::Edge(edge),
                    life,
                    session,
                },
            );
        }
        for target in &ended {
            self.judge_target(edge, target);
        }
        moved
    }

    pub(super) fn look_later(&mut self, host: Host, life: u64, session: SessionId) {
        match host {
            Host::Pop(pop) if self.pops[pop].life == life => {
                self.pops[pop].clients.wake(session);
                self.pops[pop].touched = true;
            }
            Host::Edge(edge) if self.edges[edge].life == life => {
                self.edges[edge].targets.wake(session);
                self.edges[edge].touched = true;
            }
            Host::Pop(_) | Host::Edge(_) => {}
        }
    }

    /// Lets those who stalled read on.
    pub(super) fn release_stalled(&mut self) {
        let clients = self.pops.iter_mut().map(|host| {
            host.touched = true;
            &mut host.clients
        });
        let targets = self.edges.iter_mut().map(|host| {
            host.touched = true;
            &mut host.targets
        });
        for sockets in clients.chain(targets) {
            let ids: Vec<SessionId> = sockets.peers.keys().copied().collect();
            for id in ids {
                if let Some(peer) = sockets.peers.get_mut(&id) {
                    peer.freed = true;
                }
                sockets.wake(id);
            }
        }
        self.record.released = true;
        self.drain();
    }

    fn client_ended(&mut self, pop: usize, client: &Peer) {
        let Some(code) = client.ended else { return };
        self.judge_client(pop, client, code);
        self.flow_ended(client.flow, code);
    }

    pub(super) fn flow_ended(&mut self, flow: usize, code: Code) {
        self.note(|| format!("flow {flow} ended: {}", code.tag()));
        if self.ended.insert(flow, code).is_none() {
            if self.scenario.flows[flow].stalls() {
                self.stalled_left -= 1;
            } else {
                self.others_left -= 1;
            }
        }
    }
}

/// Names a flow in the logs of both sides.
pub(super) fn trace_of(flow: usize) -> TraceId {
    TraceId::new((1 + flow as u128).to_be_bytes())
}

#[expect(
    clippy::too_many_arguments,
    reason = "parts of one host that are borrowed apart"
)]
fn look_at_all<R: Role>(
    now: Instant,
    core: &mut Endpoint<R>,
    sockets: &mut Sockets,
    record: &Record,
    early: bool,
    trace: &mut Trace,
    later: &mut Vec<(Instant, SessionId)>,
    ended: &mut Vec<Peer>,
) -> bool {
    while let Some(id) = core.poll_woken() {
        sockets.wake(id);
    }
    let mut moved = false;
    let mut awake = core::mem::take(&mut sockets.awake);
    // In an order that does not depend on who woke whom first.
    awake.sort_unstable();
    for id in awake {
        let Some(peer) = sockets.peers.get_mut(&id) else {
            continue;
        };
        peer.awake = false;
        let connected = core
            .status(now, id)
            .is_some_and(|status| early || status.dial == Dial::Connected);
        peer.poisoned |= record.is_miscounted(peer.flow);
        let looked = peer.look(now, core, id, connected);
        (id, peer.sent, peer.received, peer.ended).hash(trace);
        match looked {
            Looked::Moved => {
                moved = true;
                sockets.wake(id);
            }
            Looked::Until(at) => {
                // One look is enough, however often it was woken meanwhile.
                if peer.look_at.replace(at) != Some(at) {
                    later.push((at, id));
                }
            }
            Looked::Idle => {}
        }
        if sockets
            .peers
            .get(&id)
            .is_some_and(|peer| peer.ended.is_some())
        {
            ended.extend(sockets.peers.remove(&id));
        }
    }
    moved
}
