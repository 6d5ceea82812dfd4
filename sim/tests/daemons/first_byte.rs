//! How long the first byte of an answer takes, from sending the CONNECT request.

use titan_sim::experiment::zero_rtt::{
    Delays, Mode, Report, Row, TOLERANCE, measure, measure_with,
};

const SWEEP: [Delays; 8] = [
    delays(20, 60, 40, 30),
    delays(100, 20, 20, 0),
    delays(10, 200, 20, 10),
    delays(10, 20, 200, 100),
    delays(2, 2, 2, 2),
    delays(300, 300, 300, 300),
    delays(40, 80, 10, 250),
    delays(150, 30, 60, 20),
];

const fn delays(a: u64, b: u64, c: u64, d: u64) -> Delays {
    Delays { a, b, c, d }
}

/// Asserts the formula over the sweep, and prints the worst ratio.
fn sweep(mode: Mode) {
    let mut worst = 0f64;
    for delays in SWEEP {
        let (took, due) = (measure(delays, mode), mode.formula(delays) as f64);
        assert!(took >= due, "{delays:?}: {took} ms, faster than light");
        assert!(
            took <= due * (1.0 + TOLERANCE),
            "{delays:?}: {took} ms instead of {due}"
        );
        worst = worst.max(took / due);
    }
    println!("{}: at worst {worst:.4} of the formula", mode.name());
}

#[test]
fn a_client_that_waits_for_the_reply_loses_no_round_trip_to_the_dial() {
    sweep(Mode::Fast);
}

#[test]
fn a_client_that_does_not_wait_pays_for_each_way_once() {
    sweep(Mode::Eager);
}

#[test]
fn a_truthful_reply_costs_the_round_trips_it_must() {
    sweep(Mode::Truthful);
}

#[test]
fn without_early_data_a_session_begins_as_it_did_before() {
    sweep(Mode::Classic);
}

#[test]
fn without_early_data_the_formula_is_missed() {
    let mut missed = 0;
    for delays in SWEEP {
        let Delays { a, b, c, d } = delays;
        for (mode, classic) in [
            (Mode::Fast, Mode::Classic.formula(delays)),
            (Mode::Eager, a + 2 * b + 2 * c + d),
        ] {
            let took = measure_with(delays, mode, Some(0));
            let (due, classic) = (mode.formula(delays) as f64, classic as f64);
            // A client far away hides the round trip that early data saves.
            if classic <= due * (1.0 + TOLERANCE) {
                continue;
            }
            assert!(
                took > due * (1.0 + TOLERANCE),
                "{delays:?} {mode:?}: {took} ms, {due} due"
            );
            assert!(
                took >= classic,
                "{delays:?} {mode:?}: {took} ms, {classic} expected"
            );
            missed += 1;
        }
    }
    assert!(missed >= SWEEP.len(), "only {missed} told anything");
}

#[test]
fn the_chart_shows_every_mode() {
    let row = |b| Row::measure(Delays { b, ..SWEEP[0] });
    let report = Report {
        places: Vec::new(),
        sweep: vec![row(2), row(60)],
    };
    let svg = report.svg().expect("it can be drawn");
    for mode in Mode::ALL {
        assert!(svg.contains(mode.name()), "{}", mode.name());
    }
    assert_eq!(svg.matches("<circle").count(), 8);
}
