//! Random operations against a twin that keeps nothing but a list and looks at all of it each time.

use super::{super::trouble::Trouble, *};
use crate::rng::Rng;
use alloc::vec;
use proptest::{collection, option, prelude::*, sample::select};

/// No more exits than one choice reviews, so that no band ever lags behind.
const KEY_COUNT: u32 = 8;

#[derive(Clone, Debug)]
enum Operation {
    Insert(u32, ExitState),
    Remove(u32),
    Rtt(u32, Option<Duration>),
    Status(u32, [bool; 4]),
    Cap(u32, u32),
    Country(u32, Option<Country>),
    Opened(u32),
    Closed(u32),
    Failed(u32),
    Lost(u32),
    Wait(Duration),
    Choose(Demand),
}

struct Twin {
    state: ExitState,
    trouble: Trouble,
}

impl Twin {
    fn passes(&self, key: u32, demand: &Demand) -> bool {
        let ExitState {
            attached,
            accepting,
            draining,
            blacklisted,
            ..
        } = self.state;
        let ours = demand.country.is_none() || self.state.country == demand.country;
        let free = self.state.sessions < self.state.session_cap;
        let tried = demand.exclude.iter().flatten().any(|tried| tried.0 == key);
        attached && accepting && !draining && !blacklisted && ours && free && !tried
    }

    /// Returns the rank of the band as the rules put it: the group, then what orders it.
    fn rank(&self, now: Instant) -> (u8, u64, u64) {
        let micros = self.state.rtt.map_or(400_000, |rtt| rtt.as_micros() as u64)
            + u64::from(self.trouble.penalty(now));
        let load = u64::from(self.state.sessions) * 4 / u64::from(self.state.session_cap);
        let limits = [
            0,
            25,
            50,
            75,
            100,
            150,
            200,
            300,
            400,
            600,
            800,
            1200,
            2000,
            u64::MAX / 1000,
        ];
        let upper = limits
            .iter()
            .position(|limit| micros <= limit * 1000)
            .expect("the last is high");
        let (low, high) = (limits[upper - 1], limits[upper]);
        match (self.trouble.is_unstable(now), high > 800, self.state.rtt) {
            (true, slow, _) => (3, slow.into(), load),
            (false, true, _) => (2, low, load),
            (false, false, None) => (1, 0, load),
            // The middle of the score: the middle of the RTT times the middle of 1 + load.
            (false, false, Some(_)) => (0, (low + high) * (9 + 2 * load), low),
        }
    }
}

fn durations() -> impl Strategy<Value = Option<Duration>> {
    let near_limits = select(vec![
        1_u64, 20, 25, 26, 40, 50, 75, 90, 100, 150, 200, 390, 600, 799, 800, 801, 1200, 5000,
    ]);
    option::weighted(0.85, near_limits.prop_map(Duration::from_millis))
}

fn countries() -> impl Strategy<Value = Option<Country>> {
    option::weighted(0.6, select(vec![*b"DE", *b"JP"]))
}

fn states() -> impl Strategy<Value = ExitState> {
    (durations(), 0..6_u32, countries()).prop_map(|(rtt, session_cap, country)| ExitState {
        rtt,
        sessions: 0,
        session_cap,
        country,
        ..good(0)
    })
}

fn demands() -> impl Strategy<Value = Demand> {
    let excluded = || option::weighted(0.3, (0..KEY_COUNT).prop_map(ExitKey));
    (countries(), excluded(), excluded(), excluded()).prop_map(|(country, one, two, three)| {
        Demand {
            country,
            exclude: [one, two, three],
        }
    })
}

fn operations() -> impl Strategy<Value = Operation> {
    let key = || 0..KEY_COUNT;
    let status = collection::vec(proptest::bool::weighted(0.85), 4)
        .prop_map(|good| [good[0], good[1], !good[2], !good[3]]);
    prop_oneof![
        4 => (key(), states()).prop_map(|(key, state)| Operation::Insert(key, state)),
        1 => key().prop_map(Operation::Remove),
        3 => (key(), durations()).prop_map(|(key, rtt)| Operation::Rtt(key, rtt)),
        1 => (key(), status).prop_map(|(key, status)| Operation::Status(key, status)),
        1 => (key(), 0..6_u32).prop_map(|(key, cap)| Operation::Cap(key, cap)),
        1 => (key(), countries()).prop_map(|(key, country)| Operation::Country(key, country)),
        1 => key().prop_map(Operation::Opened),
        3 => key().prop_map(Operation::Closed),
        2 => key().prop_map(Operation::Failed),
        2 => key().prop_map(Operation::Lost),
        3 => (0..400_000_u64).prop_map(|millis| Operation::Wait(Duration::from_millis(millis))),
        10 => demands().prop_map(Operation::Choose),
    ]
}

/// Returns all choices.
fn run(seed: u8, operations: Vec<Operation>) -> Vec<Option<ExitKey>> {
    let mut choices = Vec::new();
    let (mut index, mut twins, mut rng, mut now) =
        (Index::new(), Counts::<u32, Twin>::new(), rng(seed), at(0));
    for operation in operations {
        match operation {
            Operation::Insert(key, state) => {
                index.insert(now, ExitKey(key), state);
                twins.insert(
                    key,
                    Twin {
                        state,
                        trouble: Trouble::default(),
                    },
                );
            }
            Operation::Remove(key) => {
                assert_eq!(
                    index.remove(ExitKey(key)),
                    twins.remove(&key).map(|twin| twin.state)
                );
            }
            Operation::Rtt(key, rtt) => {
                update(&mut index, &mut twins, now, key, &|state| state.rtt = rtt)
            }
            Operation::Cap(key, cap) => update(&mut index, &mut twins, now, key, &|state| {
                state.session_cap = cap
            }),
            Operation::Country(key, country) => {
                update(&mut index, &mut twins, now, key, &|state| {
                    state.country = country
                });
            }
            Operation::Status(key, status) => update(&mut index, &mut twins, now, key, &|state| {
                [
                    state.attached,
                    state.accepting,
                    state.draining,
                    state.blacklisted,
                ] = status;
            }),
            Operation::Opened(key) => {
                index.session_opened(now, ExitKey(key));
                twins.entry(key).and_modify(|twin| twin.state.sessions += 1);
            }
            Operation::Closed(key) => {
                index.session_closed(now, ExitKey(key));
                twins
                    .entry(key)
                    .and_modify(|twin| twin.state.sessions = twin.state.sessions.saturating_sub(1));
            }
            Operation::Failed(key) => {
                index.failed(now, ExitKey(key));
                twins.entry(key).and_modify(|twin| twin.trouble.failed(now));
            }
            Operation::Lost(key) => {
                index.lost(now, ExitKey(key));
                twins.entry(key).and_modify(|twin| twin.trouble.lost(now));
            }
            Operation::Wait(time) => now = now + time,
            Operation::Choose(demand) => {
                choices.push(choose(&mut index, &mut twins, &mut rng, now, &demand));
            }
        }
        compare(&index, &twins, now);
    }
    choices
}

fn update(
    index: &mut Index,
    twins: &mut Counts<u32, Twin>,
    now: Instant,
    key: u32,
    change: &dyn Fn(&mut ExitState),
) {
    index.update(now, ExitKey(key), change);
    twins.entry(key).and_modify(|twin| change(&mut twin.state));
}

fn compare(index: &Index, twins: &Counts<u32, Twin>, now: Instant) {
    index.audit(now).expect("consistent");
    assert_eq!(index.len(), twins.len());
    for (&key, twin) in twins {
        assert_eq!(index.state(ExitKey(key)), Some(twin.state));
    }
}

fn choose(
    index: &mut Index,
    twins: &mut Counts<u32, Twin>,
    rng: &mut Rng,
    now: Instant,
    demand: &Demand,
) -> Option<ExitKey> {
    let ranks: Counts<u32, _> = twins
        .iter()
        .filter(|(key, twin)| twin.passes(**key, demand))
        .map(|(&key, twin)| (key, twin.rank(now)))
        .collect();
    for Verdict { key, standing } in index.explain(now, demand) {
        let group = match standing {
            Standing::Candidate { .. } => Some(false),
            Standing::LastResort { .. } => Some(true),
            Standing::Filtered { .. } => None,
        };
        assert_eq!(
            group,
            ranks.get(&key.0).map(|rank| rank.0 >= 2),
            "{key:?} {standing:?}"
        );
    }
    let choice = index.choose(now, demand, rng);
    let Some(best) = ranks.values().min() else {
        assert_eq!(choice, None);
        return None;
    };
    let Choice { key, steps } = choice.expect("an exit passes the filter");
    let rank = ranks.get(&key.0).expect("the choice passes the filter");
    // Among the unmeasured, too, only the best band is tried.
    let newcomer = ranks.values().filter(|rank| rank.0 == 1).min();
    assert!(
        rank == best || (best.0 == 0 && Some(rank) == newcomer),
        "{rank:?}, but there is {best:?}"
    );
    assert!(steps <= STEP_COUNT_MAX);
    twins
        .entry(key.0)
        .and_modify(|twin| twin.state.sessions += 1);
    Some(key)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn the_index_agrees_with_a_naive_twin(seed: u8, operations in collection::vec(operations(), 1..200)) {
        // Ties, too, are broken by the seed and what happened, and by nothing else.
        prop_assert_eq!(run(seed, operations.clone()), run(seed, operations));
    }
}
