//! Makes the faults of a scenario happen.

use super::draw::lasts;
use super::host::{Host, Order};
use super::kernel::lost_power;
use super::scenario::{Fault, Scenario, hosts};
use super::store::{Trouble, take_over};
use super::units::{Jump, Time};
use super::world::Shared;
use core::time::Duration;
use std::net::IpAddr;
use std::rc::Rc;
use titan_runtime::daemon::Stop;
use turmoil::Sim;

/// The faults of a run, in order of time.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is still to come, the latest first.
    left: Vec<Step>,
}

/// A fault that begins or is mended.
#[derive(Debug)]
struct Step {
    at: Duration,
    fault: Fault,
    mended: bool,
}

impl Plan {
    /// Lists the faults of a scenario whose times are drawn.
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut left = Vec::new();
        for timed in &scenario.faults {
            let at = timed.at.min.duration();
            let fault = timed.fault.clone();
            if let Some(lasts) = lasts(&fault) {
                left.push(Step {
                    at: at + lasts.duration(),
                    fault: fault.clone(),
                    mended: true,
                });
            }
            left.push(Step {
                at,
                fault,
                mended: false,
            });
        }
        // What is mended at a time at which something begins is mended first.
        left.sort_by_key(|step| (step.at, !step.mended));
        left.reverse();
        Self { left }
    }

    /// Returns whether all have happened.
    pub(super) const fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// Lets happen what is due.
    pub(super) fn run_due(&mut self, shared: &Rc<Shared>, sim: &mut Sim<'_>) {
        while let Some(step) = self.left.pop_if(|step| step.at <= sim.elapsed()) {
            let verb = if step.mended { "mended" } else { "happens" };
            shared.log.note(format_args!("{:?} {verb}", step.fault));
            step.run(shared, sim);
        }
    }
}

impl Step {
    fn run(&self, shared: &Rc<Shared>, sim: &mut Sim<'_>) {
        let each = |name: &str| hosts(&shared.scenario, name);
        let pairs = |[a, b]: &[String; 2]| -> Vec<(IpAddr, IpAddr)> {
            let (a, b) = (each(a), each(b));
            let pair = |a: &String| {
                let a = shared.ip(a);
                b.iter().map(move |b| (a, shared.ip(b))).collect::<Vec<_>>()
            };
            a.iter().flat_map(pair).filter(|(a, b)| a != b).collect()
        };
        match &self.fault {
            Fault::Kill(on) => self.order(shared, &each(&on.host), Order::Kill),
            Fault::Stop(on) => self.order(shared, &each(&on.host), Order::Stop(Stop::Now)),
            Fault::Drain(on) => self.order(shared, &each(&on.host), Order::Stop(Stop::Drain)),
            Fault::Hang(on) => self.hang(shared, &each(&on.host)),
            Fault::Impersonate { host, id, .. } => self.impersonate(shared.host(host), id),
            Fault::PowerLoss(on) => {
                for host in each(&on.host) {
                    self.power(shared, sim, &host);
                }
            }
            Fault::Cut { between, lasts } => {
                for (a, b) in pairs(between) {
                    self.cut(shared, sim, (a, b), lasts.is_some());
                }
            }
            Fault::Hold(between) => {
                for (a, b) in pairs(&between.between) {
                    if self.mended {
                        sim.release(a, b);
                    } else {
                        sim.hold(a, b);
                    }
                }
            }
            Fault::Partition(between) => {
                for (a, b) in pairs(&between.between) {
                    self.partition(shared, sim, a, b);
                    if !between.one_way {
                        self.partition(shared, sim, b, a);
                    }
                }
            }
            Fault::Latency { between, takes, .. } => {
                for (a, b) in pairs(between) {
                    self.slow_down(shared, sim, (a, b), *takes);
                }
            }
            Fault::SlowReader { flows, reads, .. } => {
                shared.set_reads(flows, (!self.mended).then_some(*reads));
            }
            Fault::Store { .. } => {
                let trouble = trouble(&self.fault).filter(|_| !self.mended);
                shared.store.gate.set_trouble(trouble.unwrap_or_default());
            }
            Fault::Failover { .. } if self.mended => take_over(&shared.store),
            Fault::Failover { .. } => shared.store.gate.fall_behind(&shared.store.store),
            Fault::Clock { host, jump, .. } => {
                self.set_clocks(shared, &each(host), *jump);
            }
        }
    }

    fn set_clocks(&self, shared: &Shared, hosts: &[String], Jump { back, by }: Jump) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let by = if back == self.mended { by } else { -by };
        for host in hosts {
            shared.network.jump(shared.ip(host), by);
        }
    }

    fn order(&self, shared: &Shared, hosts: &[String], order: Order) {
        let order = if self.mended { Order::Start } else { order };
        for host in hosts {
            shared.host(host).order(order);
        }
    }

    fn hang(&self, shared: &Shared, hosts: &[String]) {
        let order = if self.mended {
            Order::GoOn
        } else {
            Order::Hang
        };
        for host in hosts {
            shared.host(host).order(order);
        }
    }

    fn impersonate(&self, host: &Host, id: &str) {
        host.set_id(if self.mended { &host.name } else { id });
        host.order(Order::Kill);
        host.order(Order::Start);
    }

    fn cut(&self, shared: &Shared, sim: &Sim<'_>, (a, b): (IpAddr, IpAddr), lasts: bool) {
        if !self.mended {
            let count = shared.network.cut(a, b);
            shared.log.note(format_args!("{count} connections are cut"));
        }
        if lasts {
            self.partition(shared, sim, a, b);
            self.partition(shared, sim, b, a);
        }
    }

    fn slow_down(&self, shared: &Shared, sim: &Sim<'_>, (a, b): (IpAddr, IpAddr), takes: Time) {
        let usual = shared.scenario.topology.latency;
        let takes = if self.mended { usual.min } else { takes };
        sim.set_link_latency(a, b, takes.duration());
        if self.mended {
            sim.set_link_max_message_latency(a, b, usual.max.duration());
        }
    }

    fn partition(&self, shared: &Shared, sim: &Sim<'_>, from: IpAddr, to: IpAddr) {
        shared.network.set_lost(from, to, !self.mended);
        if self.mended {
            sim.repair_oneway(from, to);
        } else {
            sim.partition_oneway(from, to);
        }
    }

    fn power(&self, shared: &Rc<Shared>, sim: &mut Sim<'_>, name: &str) {
        let host = Rc::clone(shared.host(name));
        let others = shared.hosts.values().map(|other| other.ip);
        let others: Vec<_> = others.filter(|ip| *ip != host.ip).collect();
        if self.mended {
            sim.bounce(host.ip);
        } else {
            // Nothing of what the end of its tasks would say gets out.
            for other in &others {
                sim.partition(host.ip, *other);
            }
            lost_power(shared, &host);
            sim.crash(host.ip);
            return;
        }
        for other in others {
            for (from, to) in [(host.ip, other), (other, host.ip)] {
                if !shared.network.is_lost_one_way(from, to) {
                    sim.repair_oneway(from, to);
                }
            }
        }
    }
}

/// Returns what a fault does to the store, if it is one of the store.
const fn trouble(fault: &Fault) -> Option<Trouble> {
    let Fault::Store {
        errors_percent,
        lost_requests_percent,
        lost_answers_percent,
        delay,
        away,
        lasts: _,
    } = fault
    else {
        return None;
    };
    Some(Trouble {
        errors_percent: *errors_percent,
        lost_requests_percent: *lost_requests_percent,
        lost_answers_percent: *lost_answers_percent,
        delay: *delay,
        away: *away,
    })
}
