//! The queue of actions and what each does.

mod carriers;
mod charges;
mod desk;
mod ends;
mod faults;
mod flows;
mod host;
mod hosts;
mod judge;
mod leases;
mod refusals;
mod store;
mod targets;
mod wants;

use super::chooser::{Chooser, mix};
use super::oracle::stuck;
use super::pace::BATCH;
use super::scenario::Scenario;
use super::trace::Trace;
use bytes::Bytes;
use carriers::Link;
use core::cell::RefCell;
use core::cmp::Reverse;
use core::hash::{Hash as _, Hasher as _};
use host::Host;
use hosts::{EdgeHost, PopHost};
use judge::Record;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use store::{Store, StoreStep};
use titan_core::endpoint::{Batch, CarrierId, Counters, SessionId, UplinkId};
use titan_core::time::{Duration, Instant};
use titan_proto::Code;

/// How long after healing every flow that does not stall has to have ended: the grace time, a dial
/// budget, a write deadline, the longest pause of a fault and the transfer itself.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long what is left behind has, to be cleared away.
const CALM: Duration = Duration::from_secs(120);

/// Most actions of a run: beyond, something runs in a circle.
const ACTIONS_MAX: u64 = 500_000;

/// Lines about what happened; shared, so that a violation leaves them behind.
pub(super) type Log = Rc<RefCell<Vec<String>>>;

/// One thing that happens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Action {
    Start {
        flow: usize,
    },
    Deliver {
        link: usize,
        up: bool,
    },
    Unmute {
        link: usize,
        up: bool,
    },
    Connected {
        edge: usize,
        life: u64,
        uplink: UplinkId,
        pop: usize,
    },
    Dialled {
        edge: usize,
        life: u64,
        session: SessionId,
    },
    Fault {
        index: usize,
    },
    CloseSeen {
        link: usize,
        at_pop: bool,
    },
    StartEdge {
        edge: usize,
    },
    StopEdge {
        edge: usize,
        life: u64,
    },
    StartPop {
        pop: usize,
    },
    Store {
        account: usize,
        pop: usize,
        life: u64,
        step: StoreStep,
    },
    Accept {
        edge: usize,
        life: u64,
    },
    /// A POP lets its edges be as fast as they can.
    Hurry {
        pop: usize,
        life: u64,
    },
    Continue {
        host: Host,
    },
    Look {
        host: Host,
        life: u64,
        session: SessionId,
    },
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Hash over every input, every message on carriers and every event, with their times.
    pub trace: u64,
    /// Actions done.
    pub actions: u64,
    /// Faults that happened: those that found a victim.
    pub faults: u64,
    /// How the flows ended.
    pub ends: BTreeMap<Code, usize>,
    /// What the POPs counted, one after the other.
    pub counters: Vec<Counters>,
    /// Virtual time at the end.
    pub elapsed: Duration,
}

impl Outcome {
    /// Returns how many flows ended with both directions complete.
    #[must_use]
    pub fn complete(&self) -> usize {
        self.ends.get(&Code::Ok).copied().unwrap_or(0)
    }

    /// Returns how many flows ended otherwise.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.ends.values().sum::<usize>() - self.complete()
    }
}

/// POPs, edges, carriers, clients and targets.
#[derive(Debug)]
pub(super) struct World {
    scenario: Scenario,
    choose: Chooser,
    now: Instant,
    queue: BinaryHeap<Reverse<(Instant, u64, Action)>>,
    entered: u64,
    pops: Vec<PopHost>,
    edges: Vec<EdgeHost>,
    links: Vec<Link>,
    bearers: BTreeMap<(Host, CarrierId), usize>,
    /// What has arrived at hosts that read no carrier for want of memory.
    unread: BTreeMap<Host, Vec<(usize, bool)>>,
    batch: Batch,
    /// Blocks that were read in this turn.
    blocks: Vec<(Host, Bytes)>,
    ended: BTreeMap<usize, Code>,
    stalled_left: usize,
    others_left: usize,
    record: Record,
    store: Store,
    actions: u64,
    trace: Trace,
    /// Every carrier is asked for output that nobody announced. Costly: one run in eight.
    thorough: bool,
    log: Option<Log>,
}

impl World {
    pub(super) fn new(scenario: Scenario) -> Self {
        let seed = scenario.seed;
        let stalled_left = scenario.flows.iter().filter(|flow| flow.stalls()).count();
        let mut world = Self {
            choose: Chooser::new(mix(seed ^ 0x776f_726c_6421)),
            now: Instant::EPOCH,
            queue: BinaryHeap::new(),
            entered: 0,
            pops: Vec::new(),
            edges: Vec::new(),
            links: Vec::new(),
            bearers: BTreeMap::new(),
            unread: BTreeMap::new(),
            batch: Batch::new(BATCH as usize),
            blocks: Vec::new(),
            ended: BTreeMap::new(),
            stalled_left,
            others_left: scenario.flows.len() - stalled_left,
            record: Record::new(&scenario),
            store: Store::default(),
            actions: 0,
            trace: Trace::new(seed),
            thorough: seed.is_multiple_of(8),
            log: None,
            scenario,
        };
        for pop in 0..world.scenario.pops {
            world.pops.push(PopHost::default());
            world.start_pop(pop);
        }
        world.plan_accounts();
        for edge in 0..world.scenario.edges {
            world.edges.push(EdgeHost::new(edge));
            world.start_edge(edge);
        }
        for flow in 0..world.scenario.flows.len() {
            let at = world.after(world.scenario.flows[flow].start);
            world.enter(at, Action::Start { flow });
        }
        for index in 0..world.scenario.faults.len() {
            let at = world.after(world.scenario.faults[index].at);
            world.enter(at, Action::Fault { index });
        }
        world
    }

    /// Notes line by line what happens.
    pub(super) fn keep_log(&mut self, log: &Log) {
        self.log = Some(Rc::clone(log));
    }

    /// Runs until every flow has ended and nothing is left of it.
    pub(super) fn run(mut self) -> Outcome {
        self.drain();
        let limit = self.heals_at() + PATIENCE;
        while self.others_left > 0 {
            if !self.step(limit) && !self.idles(limit) {
                self.give_up("flows that nothing holds up");
            }
        }
        self.release_stalled();
        let limit = limit.max(self.now) + PATIENCE;
        while self.stalled_left > 0 {
            if !self.step(limit) && !self.idles(limit) {
                self.give_up("flows that stalled and went on");
            }
        }
        let calm = self.now.max(self.heals_at()) + CALM;
        while self.step(calm) {}
        let idle = calm + self.idle_max();
        while self.holds_miscounted() && self.step(idle) {}
        if self.actions == ACTIONS_MAX {
            self.give_up("nothing, but the hosts; flows that");
        }
        self.judge_the_end();
        let mut ends = BTreeMap::new();
        for &code in self.ended.values() {
            *ends.entry(code).or_default() += 1;
        }
        Outcome {
            trace: self.trace.finish(),
            actions: self.actions,
            faults: self.record.fired,
            ends,
            counters: self.record.counters.clone(),
            elapsed: self.now.since(Instant::EPOCH),
        }
    }

    /// Does the next thing beyond `limit` if every flow that is left misses frames in whose place others
    /// were made up: they end when nothing moved for too long.
    fn idles(&mut self, limit: Instant) -> bool {
        let mut left = (0..self.scenario.flows.len())
            .filter(|flow| !self.ended.contains_key(flow))
            .filter(|&flow| self.record.released || !self.scenario.flows[flow].stalls());
        left.all(|flow| self.record.is_miscounted(flow)) && self.step(limit + self.idle_max())
    }

    /// Tells whether an edge still has a session whose end may be missing likewise, or its last frames.
    fn holds_miscounted(&self) -> bool {
        let hosts = self.edges.iter();
        let hosts = hosts.filter(|host| self.record.is_node_miscounted(host.node));
        let mut usages = hosts.filter_map(|host| Some(host.core.as_ref()?.usage()));
        usages.any(|usage| usage.sessions > 0 || usage.resend_bytes > 0)
    }

    /// Returns how long nothing may move in a session.
    fn idle_max(&self) -> Duration {
        let config = self.scenario.limits.config();
        config.idle.max(config.idle_half_closed)
    }

    fn give_up(&self, what: &str) -> ! {
        let left: Vec<usize> = (0..self.scenario.flows.len())
            .filter(|flow| !self.ended.contains_key(flow))
            .collect();
        stuck(format_args!(
            "{what} have not ended at {:?}: {left:?}",
            self.now.since(Instant::EPOCH)
        ))
    }

    fn after(&self, millis: u64) -> Instant {
        Instant::EPOCH + Duration::from_millis(millis)
    }

    fn heals_at(&self) -> Instant {
        self.after(self.scenario.heal_at)
    }

    fn is_healed(&self) -> bool {
        self.now >= self.heals_at()
    }

    fn note(&self, line: impl FnOnce() -> String) {
        if let Some(log) = &self.log {
            let at = self.now.as_nanos() / 1_000;
            log.borrow_mut().push(format!(
                "{:>9}.{:03} ms  {}",
                at / 1_000,
                at % 1_000,
                line()
            ));
        }
    }

    fn enter(&mut self, at: Instant, action: Action) {
        self.entered += 1;
        self.queue
            .push(Reverse((at.max(self.now), self.entered, action)));
    }

    fn enter_in(&mut self, millis: u64, action: Action) {
        self.enter(self.now + Duration::from_millis(millis), action);
    }

    /// Does the next thing; false if nothing is left before `limit`.
    fn step(&mut self, limit: Instant) -> bool {
        let timeout = self.next_timeout();
        let action = self.queue.peek().map(|Reverse((at, ..))| *at);
        let next = match (timeout, action) {
            (Some(timeout), Some(action)) => timeout.min(action),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return false,
        };
        if next > limit || self.actions == ACTIONS_MAX {
            return false;
        }
        self.now = self.now.max(next);
        self.actions += 1;
        self.now.hash(&mut self.trace);
        if action.is_some_and(|at| at <= self.now) {
            let Reverse((_, _, action)) = self.queue.pop().expect("it was just there");
            action.hash(&mut self.trace);
            self.act(action);
            self.drain();
            // Input first: what is due at this very moment has its turn after it.
            self.judge_deadlines(self.now);
        } else {
            self.handle_timeouts();
            self.drain();
            self.judge_deadlines(self.now + Duration::from_nanos(1));
        }
        true
    }

    /// Returns how long what is to happen has to wait for the process it happens to.
    fn has_to_wait(&self, action: &Action) -> Option<Instant> {
        let host = match *action {
            Action::Start { flow } => self.pop_for(self.scenario.flows[flow].pop).map(Host::Pop)?,
            Action::Deliver { link, up } => {
                let link = &self.links[link];
                if up {
                    Host::Pop(link.pop)
                } else {
                    Host::Edge(link.edge)
                }
            }
            Action::Connected { edge, pop, .. } => {
                let at_pop = self.suspended(Host::Pop(pop));
                return self.suspended(Host::Edge(edge)).max(at_pop);
            }
            Action::Dialled { edge, .. } | Action::Accept { edge, .. } => Host::Edge(edge),
            Action::Hurry { pop, .. } => Host::Pop(pop),
            Action::CloseSeen { link, at_pop } => {
                let link = &self.links[link];
                if at_pop {
                    Host::Pop(link.pop)
                } else {
                    Host::Edge(link.edge)
                }
            }
            Action::Look { host, .. } => host,
            // The store itself is never suspended.
            Action::Store {
                step: StoreStep::Asked { .. } | StoreStep::Forgets,
                ..
            } => return None,
            Action::Store { pop, .. } => Host::Pop(pop),
            Action::Unmute { .. }
            | Action::Fault { .. }
            | Action::StartEdge { .. }
            | Action::StopEdge { .. }
            | Action::StartPop { .. }
            | Action::Continue { .. } => return None,
        };
        self.suspended(host)
    }

    fn act(&mut self, action: Action) {
        if let Some(until) = self.has_to_wait(&action) {
            // Its process is suspended: it waits where it came in.
            self.enter(until, action);
            return;
        }
        match action {
            Action::Start { flow } => self.start_flow(flow),
            Action::Deliver { link, up } => self.deliver(link, up),
            Action::Unmute { link, up } => self.unmute(link, up),
            Action::Connected {
                edge,
                life,
                uplink,
                pop,
            } => self.connected(edge, life, uplink, pop),
            Action::Dialled {
                edge,
                life,
                session,
            } => self.dialled(edge, life, session),
            Action::Fault { index } => {
                if !self.is_healed() {
                    self.fault(index);
                }
            }
            Action::CloseSeen { link, at_pop } => self.close_seen(link, at_pop),
            Action::StartEdge { edge } => self.start_edge(edge),
            Action::StopEdge { edge, life } => {
                if self.edges[edge].life == life {
                    self.stop_edge(edge);
                }
            }
            Action::StartPop { pop } => self.start_pop(pop),
            Action::Store {
                account,
                pop,
                life,
                step,
            } => self.store_step(account, pop, life, step),
            Action::Accept { edge, life } => self.accept(edge, life),
            Action::Hurry { pop, life } => self.hurry(pop, life),
            Action::Continue { host } => self.touch_host(host),
            Action::Look {
                host,
                life,
                session,
            } => self.look_later(host, life, session),
        }
    }
}
