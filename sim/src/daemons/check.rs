//! What a scenario file can get wrong beyond its form.

use super::account;
use super::scenario::{Expect, Fault, Flows, Scenario, hosts};
use core::str::FromStr;

/// Most hosts: turmoil's work grows with the third power of their number.
const HOSTS_MAX: usize = 20;

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        check(&scenario)?;
        Ok(scenario)
    }
}

/// Checks that all that is named is there.
///
/// # Errors
/// Says what is not.
pub(super) fn check(scenario: &Scenario) -> Result<(), String> {
    let topology = &scenario.topology;
    let counts = [
        ("pops", topology.pops),
        ("edges", topology.edges),
        ("copies", topology.copies),
        ("targets", topology.targets),
    ];
    if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
        return Err(format!("topology.{name} must not be 0"));
    }
    let hosts = 2 + usize::from(topology.pops) + usize::from(topology.edges);
    let hosts = hosts + usize::from(topology.targets);
    if hosts > HOSTS_MAX {
        return Err(format!(
            "{hosts} hosts are more than {HOSTS_MAX}: pack edges by copies"
        ));
    }
    for (index, flows) in scenario.flows.iter().enumerate() {
        check_flows(scenario, flows)?;
        if scenario.flows[..index]
            .iter()
            .any(|other| other.name == flows.name)
        {
            return Err(format!("there are two flows {:?}", flows.name));
        }
    }
    for timed in &scenario.faults {
        if timed.times == 0 {
            return Err("a fault happens once at least: times".to_owned());
        }
        check_fault(scenario, &timed.fault)?;
    }
    account::check(scenario)?;
    scenario
        .expect
        .iter()
        .try_for_each(|expect| check_expect(scenario, expect))
}

fn check_flows(scenario: &Scenario, flows: &Flows) -> Result<(), String> {
    let name = &flows.name;
    if flows.pop == 0 || flows.pop > scenario.topology.pops.into() {
        return Err(format!("flows {name:?} use a POP that is not there"));
    }
    let rounds = u64::from(flows.rounds);
    if rounds > 0 && (flows.up.0 < rounds || flows.down.0 < rounds) {
        return Err(format!("flows {name:?} have less than a byte per round"));
    }
    Ok(())
}

fn check_fault(scenario: &Scenario, fault: &Fault) -> Result<(), String> {
    let host = |name: &String| known(scenario, name);
    match fault {
        Fault::Kill(on) | Fault::Hang(on) | Fault::PowerLoss(on) => host(&on.host),
        Fault::Impersonate { host, id, .. } => pop(scenario, host).and_then(|()| pop(scenario, id)),
        Fault::Stop(on) | Fault::Drain(on) => {
            if on.host == "client" || on.host.starts_with("target") {
                return Err(format!(
                    "{} is no daemon that could be told to end",
                    on.host
                ));
            }
            host(&on.host)
        }
        Fault::Clock { host: name, .. } => host(name),
        Fault::Cut { between, .. } | Fault::Latency { between, .. } => {
            between.iter().try_for_each(host)
        }
        Fault::Hold(between) if between.one_way => {
            Err("a hold is both ways; a partition may be one_way".to_owned())
        }
        Fault::Hold(between) | Fault::Partition(between) => {
            between.between.iter().try_for_each(host)
        }
        Fault::SlowReader { flows, .. } => named(scenario, flows),
        Fault::Failover { .. } => Ok(()),
        Fault::Store {
            errors_percent,
            lost_requests_percent,
            lost_answers_percent,
            ..
        } => {
            let shares = [errors_percent, lost_requests_percent, lost_answers_percent];
            if shares.into_iter().sum::<u64>() > 100 {
                return Err("errors and losses are at most 100 percent".to_owned());
            }
            Ok(())
        }
    }
}

fn check_expect(scenario: &Scenario, expect: &Expect) -> Result<(), String> {
    match expect {
        Expect::Complete(count) | Expect::Reset(count) | Expect::Refused(count) => count
            .flows
            .iter()
            .try_for_each(|name| named(scenario, name)),
        Expect::Within { flows, .. } | Expect::Answered { flows, .. } => {
            flows.iter().try_for_each(|name| named(scenario, name))
        }
        Expect::Alike { flows, than, .. } => {
            named(scenario, flows)?;
            named(scenario, than)
        }
        Expect::Moved(bytes) | Expect::Charged(bytes) | Expect::Lost(bytes) => {
            account::check_bytes(scenario, bytes)
        }
        Expect::Speed(rate) => account::check_rate(scenario, rate),
        Expect::Ended { host } => known(scenario, host),
        Expect::TakenOver { host, .. } => pop(scenario, host),
        Expect::Resumed(_) | Expect::Failover(_) | Expect::Attached(_) | Expect::Empty { .. } => {
            Ok(())
        }
    }
}

fn pop(scenario: &Scenario, host: &str) -> Result<(), String> {
    if hosts(scenario, host).len() != 1 || !host.starts_with("pop-") {
        return Err(format!("there is no POP {host:?}"));
    }
    Ok(())
}

fn known(scenario: &Scenario, host: &str) -> Result<(), String> {
    if hosts(scenario, host).is_empty() {
        return Err(format!("there is no host {host:?}"));
    }
    Ok(())
}

fn named(scenario: &Scenario, name: &str) -> Result<(), String> {
    if scenario.flows.iter().any(|flows| flows.name == name) {
        return Ok(());
    }
    Err(format!("there are no flows {name:?}"))
}
