//! The pure loop over fixed seeds and hand-made situations.

use titan_sim::pure::{Answer, Options, Plan, World, run};

#[test]
fn one_flow_crosses_intact() {
    let options = Options {
        plans: vec![Plan {
            up: 500_000,
            down: 700_000,
            ..Plan::default()
        }],
        ..Options::default()
    };
    let outcome = World::new(1, options).run();
    assert_eq!((outcome.complete, outcome.failed), (1, 0));
}

#[test]
fn another_exit_is_tried_before_the_client_notices() {
    let plan = Plan {
        up: 30_000,
        down: 30_000,
        answers: [Answer::Refuses, Answer::Connects, Answer::Connects],
        ..Plan::default()
    };
    let options = Options {
        edges: 2,
        plans: vec![plan],
        ..Options::default()
    };
    let outcome = World::new(1, options).run();
    assert_eq!((outcome.complete, outcome.failed), (1, 0));
    assert_eq!(outcome.counters.failovers, 1);
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
fn seeds_run_without_a_violation() {
    let mut sums = (0, 0, 0, 0, 0);
    for seed in 0..600 {
        let outcome = run(seed);
        sums.0 += outcome.complete;
        sums.1 += outcome.failed;
        sums.2 += outcome.counters.failovers;
        sums.3 += outcome.counters.resumes;
        sums.4 += outcome.faults;
    }
    println!(
        "complete {} failed {} failovers {} resumes {} faults {}",
        sums.0, sums.1, sums.2, sums.3, sums.4
    );
    assert!(sums.0 > 0 && sums.1 > 0 && sums.2 > 0 && sums.3 > 0 && sums.4 > 0);
}
