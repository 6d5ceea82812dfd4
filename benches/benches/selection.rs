//! What it costs to find an exit among many.
//!
//! ```text
//! cargo bench -p titan-benches --bench selection
//! ```
//!
//! *choose* is one choice and one end of a session, not the one just chosen but an earlier one, so that exits fill
//! and empty and change their bands as on a busy POP. The time must not grow with the number of exits beyond what
//! the processor's caches make of it. *explain*, O(n), is for people.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use titan_core::exit::index::{Country, Demand, ExitKey, ExitState, Index};
use titan_core::rng::Rng;
use titan_core::time::Instant;

/// Each is home to a tenth of the exits.
const COUNTRIES: [Country; 10] = [
    *b"AT", *b"BR", *b"CA", *b"DE", *b"ES", *b"FR", *b"GB", *b"JP", *b"NL", *b"US",
];

/// Sessions open at a time. Even the one exit of a country has room for all.
const OPEN: usize = 1000;

const NOW: Instant = Instant::EPOCH;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let demands = [("any", None), ("country", Some(COUNTRIES[0]))];
    for (name, country) in demands {
        let demand = Demand {
            country,
            ..Demand::default()
        };
        choose(&mut criterion, name, &demand);
    }
    explain(&mut criterion, 1000);
    criterion.final_summary();
}

fn choose(criterion: &mut Criterion, name: &str, demand: &Demand) {
    let mut group = criterion.benchmark_group(format!("choose/{name}"));
    for exits in [10, 1000, 100_000] {
        group.bench_function(BenchmarkId::from_parameter(exits), |bencher| {
            let mut rng = Rng::new([1; 32]);
            let mut index = index(exits, &mut rng);
            let mut choose = |index: &mut Index| {
                let choice = index.choose(NOW, demand, &mut rng);
                choice.expect("no exit is ever full").key
            };
            let mut open: VecDeque<ExitKey> = (0..OPEN).map(|_| choose(&mut index)).collect();
            bencher.iter(|| {
                open.push_back(choose(&mut index));
                if let Some(oldest) = open.pop_front() {
                    index.session_closed(NOW, oldest);
                }
            });
        });
    }
    group.finish();
}

fn explain(criterion: &mut Criterion, exits: u32) {
    let mut group = criterion.benchmark_group("explain");
    group.throughput(Throughput::Elements(exits.into()));
    group.bench_function(BenchmarkId::from_parameter(exits), |bencher| {
        let index = index(exits, &mut Rng::new([1; 32]));
        let demand = Demand::default();
        bencher.iter(|| index.explain(NOW, black_box(&demand)));
    });
    group.finish();
}

/// Returns exits with RTTs from 10 to 400 ms.
fn index(exits: u32, rng: &mut Rng) -> Index {
    let mut index = Index::new();
    for (key, country) in (0..exits).zip(COUNTRIES.into_iter().cycle()) {
        let state = ExitState {
            rtt: Some(Duration::from_millis(10) + rng.jitter(Duration::from_millis(390))),
            sessions: 0,
            session_cap: 2 * OPEN as u32,
            country: Some(country),
            attached: true,
            accepting: true,
            draining: false,
            blacklisted: false,
        };
        index.insert(NOW, ExitKey(key), state);
    }
    index
}
