//! How long the first byte of an answer takes, from sending the CONNECT request.
//!
//! The formulas count round trips: `a` client to POP, `b` POP to edge, `c` edge to target, and `d`, the
//! time to resolve the name. A target answers a request at once.

use core::time::Duration;
use titan_sim::net::{Config, run};
use titan_sim::overlay::{Demand, Destination, FAST, Overlay, TRUTHFUL, Targets, read_reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What asks a server for one byte.
fn ask() -> [u8; Demand::HEADER_LEN] {
    let demand = Demand {
        down: 1,
        ..Demand::default()
    };
    demand.header()
}

/// Round trips and the time of the resolver, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Delays {
    a: u64,
    b: u64,
    c: u64,
    d: u64,
}

impl Delays {
    /// A client that waits for the reply before it sends.
    fn fast(self) -> u64 {
        let Self { a, b, c, d } = self;
        (a + b + 2 * c + d).max(2 * a + b + c)
    }

    /// A client that sends without waiting.
    const fn eager(self) -> u64 {
        let Self { a, b, c, d } = self;
        a + b + 2 * c + d
    }

    /// A client who is told how the dial went.
    const fn truthful(self) -> u64 {
        let Self { a, b, c, d } = self;
        2 * (a + b + c) + d
    }
}

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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pace {
    Waits,
    Eager,
}

/// Returns the time to the first byte in milliseconds.
fn measure(delays: Delays, user: &'static str, pace: Pace, early_bytes: Option<u64>) -> f64 {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::new(&world).await;
        overlay.edge_config.early_bytes = early_bytes;
        overlay.start(1).await;
        let mut targets = Targets::new(&world);
        let target = targets.start(1).await;
        let half = |round_trip| Duration::from_millis(round_trip) / 2;
        world.set_delay("client", "pop", half(delays.a));
        world.set_delay("pop", "edge-1", half(delays.b));
        world.set_delay("edge-1", "target-1", half(delays.c));
        let lookup = Duration::from_millis(delays.d);
        world.name("target.test", vec![target.ip()], lookup);
        let client = overlay.client(user);
        drop(client.login().await.expect("the cache is warm then"));

        let mut stream = client.login().await.expect("the user is let in");
        let start = world.now();
        let mut request = Destination::from(("target.test", target.port())).request();
        if pace == Pace::Eager {
            request.extend(ask());
        }
        stream.write_all(&request).await.expect("there is room");
        assert_eq!(read_reply(&mut stream).await.ok(), Some(0));
        if pace == Pace::Waits {
            stream.write_all(&ask()).await.expect("there is room");
        }
        let first = stream.read_u8().await;
        let took = world.now().since(start);
        assert!(first.is_ok(), "{first:?}");
        took.as_secs_f64() * 1e3
    })
}

/// Asserts the formula over the sweep, and prints the worst ratio.
fn sweep(name: &str, user: &'static str, pace: Pace, formula: impl Fn(Delays) -> u64) {
    let mut worst = 0f64;
    for delays in SWEEP {
        let (took, due) = (measure(delays, user, pace, None), formula(delays) as f64);
        assert!(took >= due, "{delays:?}: {took} ms, faster than light");
        assert!(took <= due * 1.05, "{delays:?}: {took} ms instead of {due}");
        worst = worst.max(took / due);
    }
    println!("{name}: at worst {worst:.4} of the formula");
}

#[test]
fn a_client_that_waits_for_the_reply_loses_no_round_trip_to_the_dial() {
    sweep("fast", FAST, Pace::Waits, Delays::fast);
}

#[test]
fn a_client_that_does_not_wait_pays_for_each_way_once() {
    sweep("eager", FAST, Pace::Eager, Delays::eager);
}

#[test]
fn a_truthful_reply_costs_the_round_trips_it_must() {
    sweep("truthful", TRUTHFUL, Pace::Waits, Delays::truthful);
}

#[test]
fn without_early_data_the_formula_is_missed() {
    let mut missed = 0;
    for delays in SWEEP {
        let Delays { a, b, c, d } = delays;
        for (pace, due, classic) in [
            (
                Pace::Waits,
                delays.fast(),
                (a + 2 * b + 2 * c + d).max(2 * a + b + c),
            ),
            (Pace::Eager, delays.eager(), a + 2 * b + 2 * c + d),
        ] {
            let took = measure(delays, FAST, pace, Some(0));
            let (due, classic) = (due as f64, classic as f64);
            // A client far away hides the round trip that early data saves.
            if classic <= due * 1.05 {
                continue;
            }
            assert!(
                took > due * 1.05,
                "{delays:?} {pace:?}: {took} ms, {due} due"
            );
            assert!(
                took >= classic,
                "{delays:?} {pace:?}: {took} ms, {classic} expected"
            );
            missed += 1;
        }
    }
    assert!(missed >= SWEEP.len(), "only {missed} told anything");
}
