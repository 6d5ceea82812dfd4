//! The pure loop over fixed seeds and hand-made situations.

use titan_sim::pure::{Answer, Flow, Scenario, run, run_seed};

#[test]
fn one_flow_crosses_intact() {
    let scenario = Scenario {
        flows: vec![Flow {
            up: 500_000,
            down: 700_000,
            ..Flow::default()
        }],
        ..Scenario::default()
    };
    let outcome = run(&scenario).expect("nothing is wrong");
    assert_eq!((outcome.complete, outcome.failed), (1, 0));
}

#[test]
fn another_exit_is_tried_before_the_client_notices() {
    let scenario = Scenario {
        edges: 2,
        flows: vec![Flow {
            up: 30_000,
            down: 30_000,
            answers: vec![Answer::Refuses, Answer::Connects],
            ..Flow::default()
        }],
        ..Scenario::default()
    };
    let outcome = run(&scenario).expect("nothing is wrong");
    assert_eq!((outcome.complete, outcome.failed), (1, 0));
    assert_eq!(outcome.counters[0].failovers, 1);
}

#[test]
fn the_same_seed_leaves_the_same_trace() {
    for seed in 0..20 {
        assert_eq!(run_seed(seed), run_seed(seed), "seed {seed}");
    }
}

#[test]
fn a_drawn_scenario_survives_its_file() {
    for seed in 0..200 {
        let scenario = Scenario::draw(seed);
        let read: Scenario = toml::from_str(&scenario.to_text()).expect("what was written");
        assert_eq!(read, scenario, "seed {seed}");
    }
}
