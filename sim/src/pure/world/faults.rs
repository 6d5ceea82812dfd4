//! What each fault does. One that finds no victim does nothing and does not count.

use super::super::scenario::{Fault, Forged, Way};
use super::carriers::Parcel;
use super::host::Host;
use super::hosts::{EdgeHost, taking};
use super::{Action, World};
use titan_core::endpoint::{Pop, Rates};
use titan_core::time::{Duration, Instant};
use titan_proto::{Code, Frame, FrameKind, limits, wire};

impl World {
    pub(super) fn fault(&mut self, index: usize) {
        let fault = self.scenario.faults[index].fault.clone();
        let fired = self.strike(&fault);
        self.note(|| format!("fault {fault:?}{}", if fired { "" } else { " (no victim)" }));
        if fired {
            self.record.fired += 1;
            self.note_trouble(&fault);
        }
    }

    fn strike(&mut self, fault: &Fault) -> bool {
        match *fault {
            Fault::Cut {
                edge,
                way,
                pop_sees,
                edge_sees,
                last_up,
                last_down,
            } => self.on_link(edge, |world, link| {
                if way != Some(Way::Down) {
                    world.break_pipe(link, true, last_up);
                }
                if way != Some(Way::Up) {
                    world.break_pipe(link, false, last_down);
                }
                if way.is_none() {
                    world.break_seen(link, pop_sees, edge_sees);
                }
            }),
            Fault::Freeze {
                edge,
                lasts,
                edge_sees,
            } => self.freeze(edge, lasts, edge_sees),
            Fault::LateHello {
                edge,
                lasts,
                edge_sees,
            } => {
                // Counted when it strikes.
                self.edges[edge].late_hello = Some((lasts, edge_sees));
                self.on_link(edge, |world, link| world.break_link(link, Some(0), Some(0)))
            }
            Fault::Storm { sees } => self.storm(sees),
            Fault::MuteAcks { edge, way, lasts } => self.mute(edge, way, lasts),
            Fault::Lag { edge, by, lasts } => self.lag(edge, by, lasts),
            Fault::RestartEdge { edge, down } => self.restart_edge(edge, down),
            Fault::Twin { edge, lasts } => self.start_twin(edge, lasts),
            Fault::RestartPop { pop, down } => self.restart_pop(pop, down),
            Fault::Drain { pop } => self.drain_pop(pop),
            Fault::Kick { edge, retry } => {
                let retry = Duration::from_millis(retry);
                self.order(edge, |core, now, node| {
                    core.kick(now, node, Code::Kicked, retry)
                })
            }
            Fault::SendAway { edge, patience } => {
                let patience = Duration::from_millis(patience);
                self.note_leaving(edge);
                self.order(edge, |core, now, node| core.send_away(now, node, patience))
            }
            Fault::Slow { pop, rate, lasts } => self.slow_down(pop, rate, lasts),
            Fault::Busy { pop, lasts, retry } => self.be_busy(pop, lasts, retry),
            Fault::Decline { edge, lasts } => self.decline(edge, lasts),
            Fault::SuspendEdge { edge, lasts } => self.suspend_edge(edge, lasts),
            Fault::SuspendPop { pop, lasts } => self.suspend_pop(pop, lasts),
            Fault::Forge { edge, way, message } => self.forge(edge, way, message),
        }
    }

    // --- Links ------------------------------------------------------------------------------------

    /// Does something to an edge's link, if it has a whole one.
    fn on_link(&mut self, edge: usize, strike: impl FnOnce(&mut Self, usize)) -> bool {
        let link = self.whole_link(edge);
        if let Some(link) = link {
            strike(self, link);
        }
        link.is_some()
    }

    fn storm(&mut self, sees: u64) -> bool {
        let links: Vec<usize> = (0..self.links.len())
            .filter(|&link| self.links[link].is_whole())
            .collect();
        for &link in &links {
            let (pop, edge) = (self.choose.below(sees + 1), self.choose.below(sees + 1));
            self.break_link(link, Some(pop), Some(edge));
        }
        !links.is_empty()
    }

    fn mute(&mut self, edge: usize, way: Way, lasts: u64) -> bool {
        let until = self.now + Duration::from_millis(lasts);
        self.on_link(edge, |world, link| {
            world.links[link].pipe(way == Way::Up).mute_until = until;
        })
    }

    fn lag(&mut self, edge: usize, by: u64, lasts: u64) -> bool {
        let until = self.now + Duration::from_millis(lasts);
        self.on_link(edge, |world, link| {
            for up in [true, false] {
                let pipe = world.links[link].pipe(up);
                pipe.lag = Duration::from_millis(by);
                pipe.lag_until = until;
            }
        })
    }

    fn freeze(&mut self, edge: usize, lasts: u64, edge_sees: Option<u64>) -> bool {
        let until = self.now + Duration::from_millis(lasts);
        self.on_link(edge, |world, link| {
            for up in [true, false] {
                world.links[link].pipe(up).frozen_until = until;
            }
            if let Some(millis) = edge_sees {
                let at_pop = false;
                world.enter_in(millis, Action::CloseSeen { link, at_pop });
            }
        })
    }

    // --- Processes --------------------------------------------------------------------------------

    fn restart_edge(&mut self, edge: usize, down: u64) -> bool {
        if self.edges[edge].core.is_none() {
            return false;
        }
        self.record.node_unsafe(edge);
        self.stop_edge(edge);
        self.enter_in(down, Action::StartEdge { edge });
        true
    }

    fn start_twin(&mut self, edge: usize, lasts: u64) -> bool {
        if self.edges[edge].core.is_none() {
            return false;
        }
        self.record.node_unsafe(edge);
        let twin = self.edges.len();
        self.edges.push(EdgeHost::new(edge));
        self.start_edge(twin);
        let life = self.edges[twin].life;
        self.enter_in(lasts, Action::StopEdge { edge: twin, life });
        true
    }

    fn restart_pop(&mut self, pop: usize, down: u64) -> bool {
        if self.pops[pop].core.is_none() {
            return false;
        }
        self.stop_pop(pop);
        self.enter_in(down, Action::StartPop { pop });
        true
    }

    fn drain_pop(&mut self, pop: usize) -> bool {
        let others = (0..self.pops.len()).any(|other| {
            other != pop && !self.pops[other].draining && self.pops[other].core.is_some()
        });
        let host = &mut self.pops[pop];
        let runs = host.core.is_some() && host.suspended_until <= self.now;
        if !runs || host.draining || !others {
            return false;
        }
        host.draining = true;
        host.touched = true;
        if let Some(core) = &mut host.core {
            core.drain(self.now);
        }
        true
    }

    fn slow_down(&mut self, pop: usize, rate: u64, lasts: u64) -> bool {
        let host = &mut self.pops[pop];
        let Some(core) = host
            .core
            .as_mut()
            .filter(|_| host.suspended_until <= self.now)
        else {
            return false;
        };
        host.touched = true;
        let (up, down) = (rate, rate);
        core.limit_nodes(self.now, Rates { up, down });
        let life = host.life;
        self.enter_in(lasts, Action::Hurry { pop, life });
        true
    }

    fn be_busy(&mut self, pop: usize, lasts: u64, retry: u64) -> bool {
        let until = self.now + Duration::from_millis(lasts);
        let host = &mut self.pops[pop];
        host.busy = (until, Duration::from_millis(retry));
        host.core.is_some()
    }

    fn decline(&mut self, edge: usize, lasts: u64) -> bool {
        let host = &mut self.edges[edge];
        let Some(core) = &mut host.core else {
            return false;
        };
        if host.suspended_until > self.now {
            return false;
        }
        host.touched = true;
        core.set_status(self.now, &taking(false, self.scenario.limits.sessions_max));
        let life = host.life;
        self.enter_in(lasts, Action::Accept { edge, life });
        true
    }

    fn suspend_edge(&mut self, edge: usize, lasts: u64) -> bool {
        let until = self.now + Duration::from_millis(lasts);
        let host = &mut self.edges[edge];
        // What came in waits for the end of a longer one: that is not cut short.
        host.suspended_until = host.suspended_until.max(until);
        let (at, host, runs) = (host.suspended_until, Host::Edge(edge), host.core.is_some());
        self.enter(at, Action::Continue { host });
        runs
    }

    fn suspend_pop(&mut self, pop: usize, lasts: u64) -> bool {
        let until = self.now + Duration::from_millis(lasts);
        let host = &mut self.pops[pop];
        host.suspended_until = host.suspended_until.max(until);
        let (at, host, runs) = (host.suspended_until, Host::Pop(pop), host.core.is_some());
        self.enter(at, Action::Continue { host });
        runs
    }

    // --- Orders and forgeries ---------------------------------------------------------------------

    /// Gives an order about a node to every POP that has it.
    fn order(&mut self, edge: usize, order: impl Fn(&mut Pop, Instant, &str) -> bool) -> bool {
        let (now, node) = (self.now, self.edges[edge].node);
        let name = format!("node-{node}");
        let mut obeyed = false;
        for host in &mut self.pops {
            let Some(core) = &mut host.core else { continue };
            if host.suspended_until <= now && core.has_node(&name) {
                host.touched = true;
                obeyed |= order(core, now, &name);
            }
        }
        if obeyed {
            self.record.node_unsafe(node);
            self.record.wants.ordered.insert(node);
        }
        obeyed
    }

    /// Notes from which POPs a node is going to be sent away.
    fn note_leaving(&mut self, edge: usize) {
        let node = self.edges[edge].node;
        let name = format!("node-{node}");
        for (pop, host) in self.pops.iter().enumerate() {
            let core = host.core.as_ref();
            if host.suspended_until <= self.now && core.is_some_and(|core| core.has_node(&name)) {
                self.record.wants.leaving.insert((pop, node));
            }
        }
    }

    fn forge(&mut self, edge: usize, way: Way, message: Forged) -> bool {
        let Some(link) = self.whole_link(edge) else {
            return false;
        };
        let up = way == Way::Up;
        let seen = self.links[link].pipe(up).seen_session;
        let own = self.scenario.limits;
        let parcels = match message {
            Forged::Garbage => vec![Parcel::frame(FrameKind::Ack.number(), 0, &[0xff; 40])],
            Forged::Ack => vec![framed(Frame::Ack { received: 1 << 40 })],
            Forged::Hello => vec![framed(Frame::Hello(wire::Hello {
                version: limits::VERSION,
                epoch: 7,
                ..wire::Hello::default()
            }))],
            Forged::Stranger => vec![framed(Frame::Credit {
                session: 1 << 40,
                limit: 1,
            })],
            Forged::Overrun => {
                if seen == 0 {
                    return false;
                }
                let count = own.window_base.max(own.early_max) / (64 << 10) + 1;
                let payload = vec![0xee; limits::DATA_MAX];
                (0..count)
                    .map(|_| Parcel::frame(FrameKind::Data.number(), seen, &payload))
                    .collect()
            }
            Forged::Creates => {
                if up || own.sessions_max > 64 {
                    return false;
                }
                (0..u64::from(own.sessions_max) + 8)
                    .map(|nth| {
                        framed(Frame::Create {
                            session: (1 << 40) + nth,
                            create: wire::Create {
                                target: Some(wire::Target {
                                    ip: vec![10, 255, 0, 1].into(),
                                    port: 80,
                                    ..wire::Target::default()
                                }),
                                ..wire::Create::default()
                            },
                        })
                    })
                    .collect()
            }
        };
        self.record.node_unsafe(self.edges[edge].node);
        self.record.wants.forged.insert(self.edges[edge].node);
        if parcels.iter().any(Parcel::is_numbered) {
            self.record.miscounted(self.edges[edge].node);
        }
        for parcel in parcels {
            self.send(link, up, parcel);
        }
        true
    }
}

fn framed(frame: Frame) -> Parcel {
    let (kind, session, payload) = frame.encode();
    Parcel::frame(kind, session, &payload)
}
