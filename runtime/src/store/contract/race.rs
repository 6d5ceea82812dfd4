//! POPs racing for a quota, with lost answers, late repetitions and crashes at random.

use super::accounts::{holder, limited};
use super::{LEASE, pop};
use crate::store::{Holder, Store, StoreError, Totals};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

const LIMIT: u64 = 1_000;
const CASES: usize = 12;
const POPS: usize = 3;

/// What one POP does next.
#[derive(Clone, Debug)]
enum Step {
    /// Asks for more. The answer may get lost.
    Lease { more: u64, answered: bool },
    /// Carries traffic, as much as it may.
    Spend { bytes: u64 },
    /// Reports. The answer may get lost.
    Report { answered: bool },
    /// Gives back what is left. The report may get lost on the way.
    Return { sent: bool },
    /// Something sent earlier arrives once more.
    Repeat { index: prop::sample::Index },
    /// Dies and is started again.
    Crash,
}

/// A process as it sees itself.
struct Process {
    holder: Holder,
    totals: Totals,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..400u64, any::<bool>()).prop_map(|(more, answered)| Step::Lease { more, answered }),
        4 => (1..300u64).prop_map(|bytes| Step::Spend { bytes }),
        2 => any::<bool>().prop_map(|answered| Step::Report { answered }),
        1 => any::<bool>().prop_map(|sent| Step::Return { sent }),
        2 => any::<prop::sample::Index>().prop_map(|index| Step::Repeat { index }),
        1 => Just(Step::Crash),
    ]
}

pub(super) async fn all<S: Store>(open: &mut impl FnMut() -> (S, S)) {
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec((0..POPS, step()), 1..120);
    for _ in 0..CASES {
        let steps = strategy.new_tree(&mut runner).unwrap().current();
        never_over_and_never_short(open(), &steps).await;
    }
}

async fn never_over_and_never_short<S: Store>((a, b): (S, S), steps: &[(usize, Step)]) {
    let user = limited(&a, Some(LIMIT)).await;
    let stores = [a, b];
    let fresh = |index: usize, incarnation| Process {
        holder: holder(["p", "q", "r"][index], incarnation),
        totals: Totals::new(user.name.clone(), user.id),
    };
    let mut living: Vec<_> = (0..POPS).map(|index| fresh(index, 1)).collect();
    let mut dead: Vec<Process> = Vec::new();
    let mut sent: Vec<(Holder, Totals, u64)> = Vec::new();
    for process in &living {
        stores[0]
            .pop_alive(pop(&process.holder.pop, 1), LEASE)
            .await
            .unwrap();
    }
    for (count, (index, step)) in steps.iter().enumerate() {
        let store = &stores[count % 2];
        let process = &mut living[*index];
        match step {
            Step::Lease { more, answered } => {
                let want = process.totals.granted + more;
                sent.push((process.holder.clone(), process.totals.clone(), want));
                let (holder, totals) = (process.holder.clone(), process.totals.clone());
                let standing = store.lease(holder, totals, want).await.unwrap().unwrap();
                if *answered {
                    process.totals.granted = standing.granted;
                }
            }
            Step::Spend { bytes } => {
                process.totals.downloaded += process.totals.rest().min(*bytes);
            }
            Step::Report { answered } => {
                let granted = tell(store, process).await;
                sent.push((process.holder.clone(), process.totals.clone(), 0));
                if *answered {
                    process.totals.granted = granted;
                }
            }
            Step::Return { sent } => {
                process.totals.returned += process.totals.rest();
                if *sent {
                    tell(store, process).await;
                }
            }
            Step::Repeat { index } => {
                if let Some((holder, totals, want)) =
                    (!sent.is_empty()).then(|| index.get(&sent).clone())
                {
                    let answer = store.lease(holder, totals, want).await;
                    assert!(matches!(answer, Ok(Some(_)) | Err(StoreError::Superseded)));
                }
            }
            Step::Crash => {
                let next = fresh(*index, process.holder.incarnation + 1);
                dead.push(core::mem::replace(process, next));
                let holder = &process.holder;
                let entry = pop(&holder.pop, holder.incarnation);
                store.pop_alive(entry, LEASE).await.unwrap();
            }
        }
        let charged = stores[0].user("ann").await.unwrap().unwrap().charged;
        let truth: u64 = living
            .iter()
            .chain(&dead)
            .map(|process| process.totals.spent())
            .sum();
        assert!(
            truth <= charged && charged <= LIMIT,
            "{truth} carried, {charged} charged after step {count} of {steps:?}"
        );
    }

    // Everybody learns what it was granted and gives back the rest.
    for process in &mut living {
        process.totals.granted = tell(&stores[0], process).await;
        process.totals.returned += process.totals.rest();
        tell(&stores[1], process).await;
    }
    let parts = stores[0].usage("ann").await.unwrap().unwrap();
    let lost: u64 = dead
        .iter()
        .filter_map(|process| {
            let part = parts.iter().find(|part| part.holder == process.holder)?;
            Some(part.granted - part.returned - process.totals.spent())
        })
        .sum();
    let truth: u64 = living
        .iter()
        .chain(&dead)
        .map(|process| process.totals.spent())
        .sum();
    let charged = stores[1].user("ann").await.unwrap().unwrap().charged;
    // Charged is what was carried, and what the dead had not given back.
    assert_eq!(charged, truth + lost, "{steps:?}");
}

async fn tell<S: Store>(store: &S, process: &Process) -> u64 {
    let (holder, totals) = (process.holder.clone(), vec![process.totals.clone()]);
    store.report(holder, totals, None).await.unwrap()[0]
        .unwrap()
        .granted
}
