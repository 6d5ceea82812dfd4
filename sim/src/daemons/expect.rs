//! Holds a run against what its scenario expects.

use super::account;
use super::clock;
use super::flows::{End, Flow};
use super::host::{Look, Role};
use super::scenario::{Count, Expect, Scenario, Times, hosts};
use super::world::Shared;
use core::time::Duration;

/// Returns how long after the last flow nothing may be left; none if nobody cares.
pub(super) fn empty_within(scenario: &Scenario) -> Option<Duration> {
    let within = scenario.expect.iter().filter_map(|expect| match expect {
        Expect::Empty { within } => Some(within.duration()),
        Expect::Complete(_)
        | Expect::Reset(_)
        | Expect::Refused(_)
        | Expect::Within { .. }
        | Expect::Answered { .. }
        | Expect::Alike { .. }
        | Expect::Resumed(_)
        | Expect::Failover(_)
        | Expect::Attached(_)
        | Expect::Moved(_)
        | Expect::Charged(_)
        | Expect::Lost(_)
        | Expect::Speed(_)
        | Expect::Ended { .. }
        | Expect::TakenOver { .. } => None,
    });
    within.min()
}

/// Checks everything but [`Expect::Empty`], which is a matter of time.
pub(super) fn check(shared: &Shared) {
    for expect in &shared.scenario.expect {
        if let Err(message) = check_one(shared, expect) {
            shared.findings.unexpected(message);
        }
    }
}

fn check_one(shared: &Shared, expect: &Expect) -> Result<(), String> {
    let of = |name: &Option<String>| shared.flows.of(&shared.scenario, name.as_deref());
    let looks = |role, what: fn(&Look) -> u64| -> u64 {
        let hosts = shared.hosts.values().filter(|host| host.role == role);
        hosts
            .map(|host| host.looks.borrow().values().map(what).sum::<u64>())
            .sum()
    };
    match expect {
        Expect::Complete(count) => {
            let all = of(&count.flows).len() as u64;
            let all = if count.at_most.is_some() { 0 } else { all };
            flows(shared, count, "complete", all, u64::MAX, |end| {
                end == End::Complete
            })
        }
        Expect::Reset(count) => flows(shared, count, "reset", 0, 0, |end| {
            matches!(end, End::Reset(_) | End::GaveUp(_))
        }),
        Expect::Refused(count) => flows(shared, count, "refused", 0, 0, |end| {
            matches!(end, End::Refused(_))
        }),
        Expect::Within { flows, time } => check_within(&of(flows), time.duration()),
        Expect::Answered { flows, within } => {
            let slowest = of(flows)
                .iter()
                .map(|flow| flow.slowest)
                .max()
                .unwrap_or_default();
            at_most("an answer took", slowest, within.duration())
        }
        Expect::Alike {
            flows,
            than,
            factor,
        } => alike(shared, flows, than, *factor),
        Expect::Resumed(times) => within(
            "tunnels were resumed",
            looks(Role::Edge, Look::resumes),
            times,
        ),
        Expect::Failover(times) => {
            within("sessions moved", looks(Role::Pop, Look::failovers), times)
        }
        Expect::Attached(times) => within(
            "tunnels stood",
            looks(Role::Edge, |look| look.attached),
            times,
        ),
        Expect::Moved(bytes) => account::check_moved(shared, bytes),
        Expect::Charged(bytes) => account::check_charged(shared, bytes),
        Expect::Lost(bytes) => account::check_lost(shared, bytes),
        Expect::Speed(rate) => account::check_speed(shared, rate),
        Expect::Ended { host } => {
            let still = hosts(&shared.scenario, host);
            let still = still.iter().find(|name| !shared.host(name).ended.get());
            still.map_or(Ok(()), |name| Err(format!("{name} has not ended")))
        }
        Expect::TakenOver { host, until } => gave_way(shared, host, until.duration()),
        Expect::Empty { .. } => Ok(()),
    }
}

/// Checks how long the slowest complete flow took.
fn check_within(flows: &[Flow], time: Duration) -> Result<(), String> {
    let complete = flows.iter();
    let complete = complete.filter(|flow| matches!(flow.end, Some((End::Complete, _))));
    let slowest = complete.filter_map(|flow| flow.took()).max();
    at_most("a complete flow took", slowest.unwrap_or_default(), time)
}

fn alike(shared: &Shared, flows: &str, than: &str, factor: f64) -> Result<(), String> {
    let these = median(&shared.flows.of(&shared.scenario, Some(flows)));
    let those = median(&shared.flows.of(&shared.scenario, Some(than)));
    if these.as_secs_f64() > those.as_secs_f64() * factor {
        return Err(format!("{flows} take {these:?} each, {than} {those:?}"));
    }
    Ok(())
}

fn gave_way(shared: &Shared, host: &str, until: Duration) -> Result<(), String> {
    match shared.host(host).taken_over.get() {
        Some(at) if at <= until => Ok(()),
        Some(at) => Err(format!("{host} gave way at {at:?}: expected by {until:?}")),
        None => Err(format!("{host} has not given way")),
    }
}

fn flows(
    shared: &Shared,
    count: &Count,
    what: &str,
    least: u64,
    most: u64,
    is: impl Fn(End) -> bool,
) -> Result<(), String> {
    let flows = shared.flows.of(&shared.scenario, count.flows.as_deref());
    let found = flows
        .iter()
        .filter(|flow| flow.end.is_some_and(|(end, _)| is(end)))
        .count() as u64;
    let most = if count.at_least.is_some() {
        u64::MAX
    } else {
        most
    };
    let (least, most) = (
        count.at_least.unwrap_or(least),
        count.at_most.unwrap_or(most),
    );
    if found < least || found > most {
        let whose = count.flows.as_deref().unwrap_or("flows");
        let all = flows.len();
        return Err(format!(
            "{found} of {all} {whose} are {what}: {}",
            bounds(least, most)
        ));
    }
    Ok(())
}

fn within(what: &str, found: u64, times: &Times) -> Result<(), String> {
    let (least, most) = (
        times.at_least.unwrap_or(0),
        times.at_most.unwrap_or(u64::MAX),
    );
    if found < least || found > most {
        return Err(format!("{what} {found} times: {}", bounds(least, most)));
    }
    Ok(())
}

fn bounds(least: u64, most: u64) -> String {
    match (least, most) {
        (least, u64::MAX) => format!("expected at least {least}"),
        (0, most) => format!("expected at most {most}"),
        (least, most) => format!("expected {least} to {most}"),
    }
}

fn at_most(what: &str, found: Duration, most: Duration) -> Result<(), String> {
    if found > most {
        return Err(format!("{what} {found:?}: expected at most {most:?}"));
    }
    Ok(())
}

fn median(flows: &[Flow]) -> Duration {
    let mut took: Vec<_> = flows.iter().filter_map(Flow::took).collect();
    took.sort_unstable();
    took.get(took.len() / 2).copied().unwrap_or_default()
}

/// Returns what is left of the flows though it should not be, by what was seen since `since`.
///
/// # Errors
/// Says what.
pub(super) fn emptied(shared: &Shared, since: Duration) -> Result<(), String> {
    let topology = &shared.scenario.topology;
    let mut carriers = 0;
    let mut edges = 0;
    for host in shared.hosts.values().filter(|host| host.is_wanted()) {
        let expected = match host.role {
            Role::Pop => 1,
            Role::Edge => usize::from(topology.copies),
            Role::Client | Role::Manager | Role::Target => continue,
        };
        let looks = host.looks.borrow();
        let fresh = looks.iter().filter(|(_, look)| look.now.is_some());
        if fresh.count() < expected {
            return Err(format!("{} does not answer", host.name));
        }
        for (name, look) in looks.iter() {
            let Some((sample, at)) = look.now else {
                continue;
            };
            if at <= since {
                return Err(format!("{name} has not answered since"));
            }
            let usage = sample.usage;
            let held = usage.session_bytes + usage.resend_bytes + usage.growth_bytes;
            if usage.sessions > 0 || held > 0 || sample.clients > 0 {
                return Err(format!(
                    "{name} holds {usage:?} and {} clients",
                    sample.clients
                ));
            }
            if host.role == Role::Pop {
                if usage.carriers != usage.tunnels || sample.carriers != usage.carriers {
                    let count = sample.carriers;
                    return Err(format!("{name} has {count} connections for {usage:?}"));
                }
                carriers += usage.carriers;
            } else {
                if usage.carriers == 0 || usage.carriers != usage.tunnels {
                    return Err(format!("{name} is not attached: {usage:?}"));
                }
                edges += usage.carriers;
            }
        }
    }
    if carriers != edges {
        return Err(format!("POPs have {carriers} carriers, edges {edges}"));
    }
    Ok(())
}

/// Checks at any time that no daemon holds more than its budget and one turn.
pub(super) fn check_memory(shared: &Shared) {
    for host in shared.hosts.values() {
        let budget: u64 = match host.role {
            Role::Pop => 1 << 30,
            Role::Edge => 256 << 20,
            Role::Client | Role::Manager | Role::Target => continue,
        };
        for (name, look) in host.looks.borrow().iter() {
            let held = look.now.map_or(0, |(sample, _)| {
                sample.usage.session_bytes + sample.usage.resend_bytes
            });
            if held > budget + (1 << 20) {
                let now = clock::now();
                shared
                    .findings
                    .wrong(4, format!("{name} holds {held} bytes at {now:?}"));
            }
        }
    }
}
