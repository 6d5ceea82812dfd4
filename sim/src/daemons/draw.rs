//! What a seed makes of a scenario: every range becomes one time.

use super::scenario::{Between, Fault, On, Scenario, Timed};
use super::units::{Span, Time};
use titan_core::rng::Rng;

/// Returns the scenario of a seed, in which every time is drawn and every fault happens once. Each
/// draw depends on the seed and its own place alone, so that leaving one fault out moves no other.
pub(super) fn drawn(scenario: &Scenario, seed: u64) -> Scenario {
    let mut out = scenario.clone();
    out.seed = seed;
    for (index, flows) in out.flows.iter_mut().enumerate() {
        flows.start = fixed(flows.start, &mut rng(seed, 1, index));
    }
    for (index, timed) in out.acts.iter_mut().enumerate() {
        timed.at = fixed(timed.at, &mut rng(seed, 3, index));
    }
    out.faults.clear();
    for (index, timed) in scenario.faults.iter().enumerate() {
        let mut rng = rng(seed, 2, index);
        let mut at = timed.at.draw(&mut rng);
        for _ in 0..timed.times {
            let mut fault = timed.fault.clone();
            if let Some(lasts) = lasts_mut(&mut fault) {
                *lasts = fixed(*lasts, &mut rng);
            }
            out.faults.push(Timed {
                at: Span::at(at),
                times: 1,
                every: Span::default(),
                fault,
            });
            let pause = timed.every.draw(&mut rng);
            at = Time::from_millis(at.as_millis() + pause.as_millis());
        }
    }
    out
}

fn rng(seed: u64, kind: u64, index: usize) -> Rng {
    let mut bytes = [0; 32];
    for (place, part) in bytes.chunks_mut(8).zip([seed, kind, index as u64]) {
        place.copy_from_slice(&part.to_le_bytes());
    }
    Rng::new(bytes)
}

fn fixed(span: Span, rng: &mut Rng) -> Span {
    Span::at(span.draw(rng))
}

fn lasts_mut(fault: &mut Fault) -> Option<&mut Span> {
    match fault {
        Fault::Kill(On { lasts, .. })
        | Fault::Stop(On { lasts, .. })
        | Fault::Drain(On { lasts, .. })
        | Fault::Hang(On { lasts, .. })
        | Fault::Impersonate { lasts, .. }
        | Fault::PowerLoss(On { lasts, .. })
        | Fault::Hold(Between { lasts, .. })
        | Fault::Partition(Between { lasts, .. })
        | Fault::Cut { lasts, .. }
        | Fault::Latency { lasts, .. }
        | Fault::SlowReader { lasts, .. }
        | Fault::Store { lasts, .. }
        | Fault::Clock { lasts, .. } => lasts.as_mut(),
        Fault::Failover { lasts } => Some(lasts),
    }
}

/// Returns for how long a fault lasts; none is for good.
pub(super) fn lasts(fault: &Fault) -> Option<Time> {
    lasts_mut(&mut fault.clone()).map(|lasts| lasts.min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario() -> Scenario {
        "about = \"\"\nlasts = \"99s\"\nexpect = []\n\
         [[flows]]\nname = \"a\"\nstart = \"1s..9s\"\n\
         [[faults]]\nat = \"1s..9s\"\nkill = { host = \"edge-1\", lasts = \"1s..9s\" }\n\
         [[faults]]\nat = \"1s..9s\"\ntimes = 3\nevery = \"1s..9s\"\n\
         cut = { between = [\"edge-1\", \"pop-1\"] }\n"
            .parse()
            .unwrap()
    }

    #[test]
    fn a_seed_fixes_every_time_within_its_range() {
        let fixed = drawn(&scenario(), 7);
        assert_eq!(fixed, drawn(&scenario(), 7));
        assert_ne!(fixed, drawn(&scenario(), 8));
        assert_eq!(fixed.faults.len(), 4);
        let (low, high) = (Time::from_millis(1_000), Time::from_millis(9_000));
        for at in [fixed.flows[0].start, fixed.faults[0].at] {
            assert!(at.min == at.max && at.min >= low && at.max <= high, "{at}");
        }
        assert!(lasts(&fixed.faults[0].fault).is_some_and(|lasts| lasts >= low && lasts <= high));
        // What is drawn is not drawn again.
        assert_eq!(drawn(&fixed, 7), fixed);
    }

    #[test]
    fn a_fault_that_is_left_out_at_the_end_moves_no_other() {
        let mut fewer = scenario();
        fewer.faults.pop();
        let (all, fewer) = (drawn(&scenario(), 7), drawn(&fewer, 7));
        assert_eq!(all.faults[0], fewer.faults[0]);
        assert_eq!(all.flows, fewer.flows);
    }
}
