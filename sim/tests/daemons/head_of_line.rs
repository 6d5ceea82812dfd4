//! A session that stalls delays no other session of its tunnel.
//!
//! Fifty transfers share a tunnel whose link is narrow; beside them runs one session whose client or
//! target stops reading. What it was sent before it stalled fills windows and buffers; the others
//! must not notice that it does not move.

use core::cell::Cell;
use core::time::Duration;
use titan_sim::net::{Config, Network, run};
use titan_sim::overlay::{Demand, FAST, Outcome, Overlay, Targets, exchange};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::sleep;

/// Bytes per second of the link between POP and edge, each way.
const BANDWIDTH: u64 = 10_000_000;

/// Enough for one connection to fill that link over 20 ms.
const KERNEL_BUFFER: usize = 1 << 20;

const OTHERS: u64 = 50;

/// Bytes of each of the others.
const EACH: u64 = 2_400_000;

/// Bytes of the one that stalls: more than the largest window and all buffers on the way.
const STALLED: u64 = 20 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stall {
    Client,
    Target,
}

/// When the stalled session starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    /// It has stalled before the others start.
    Before,
    /// It starts with them and takes its share until it stalls.
    Together,
}

/// Returns how long the others took; asserts that everything is complete in the end.
fn measure(stall: Option<(Stall, Start)>) -> Duration {
    let config = Config {
        send_buffer: KERNEL_BUFFER,
        receive_buffer: KERNEL_BUFFER,
        ..Config::new(1)
    };
    run(config, async |network| {
        let overlay = Overlay::up(&network, 1).await;
        let mut targets = Targets::new(&network);
        let target = targets.start(1).await;
        network.set_bandwidth("pop", "edge-1", Some(BANDWIDTH));
        network.set_bandwidth("edge-1", "pop", Some(BANDWIDTH));
        let client = overlay.client(FAST);
        drop(client.login().await.expect("the cache is warm then"));

        let gate = watch::Sender::new(false);
        let stalled = stall.map(|(stall, _)| {
            let demand = stalled_demand(stall, &gate);
            let client = client.clone();
            spawn_local(async move {
                let (code, stream) = client.connect(target).await.expect("the proxy replies");
                assert_eq!(code, 0);
                exchange(stream, &demand, &Cell::new(0)).await
            })
        });
        if let Some((_, Start::Before)) = stall {
            settle(&network, &overlay).await;
        }

        let start = network.now();
        let mut others = JoinSet::new();
        for index in 0..OTHERS {
            let client = client.clone();
            others.spawn_local(async move {
                let (up, down) = if index % 2 == 0 { (EACH, 0) } else { (0, EACH) };
                let demand = Demand {
                    flow: index + 1,
                    up,
                    down,
                    ..Demand::default()
                };
                client.transfer(target, &demand).await
            });
        }
        while let Some(outcome) = others.join_next().await {
            assert_eq!(outcome.expect("it does not panic"), Outcome::Complete);
        }
        let took = network.now().since(start);

        if let Some(stalled) = stalled {
            assert!(!stalled.is_finished(), "it could not have moved");
            gate.send_replace(true);
            targets.open_gate();
            assert_eq!(stalled.await.expect("no panic"), Outcome::Complete);
        }
        targets.ended().await;
        let visits = targets.visits();
        assert!(visits.iter().all(|visit| visit.complete));
        took
    })
}

/// Returns a flow that stalls until the gates open.
fn stalled_demand(stall: Stall, gate: &watch::Sender<bool>) -> Demand {
    match stall {
        Stall::Client => Demand {
            down: STALLED,
            client_gate: Some(gate.subscribe()),
            ..Demand::default()
        },
        Stall::Target => Demand {
            up: STALLED,
            target_gated: true,
            ..Demand::default()
        },
    }
}

/// Waits until what POP and edge hold no longer changes.
async fn settle(network: &Network, overlay: &Overlay) {
    let mut before = None;
    loop {
        sleep(Duration::from_secs(1)).await;
        let pop = overlay.pop_census().await.usage.session_bytes;
        let now = (pop, overlay.edge_census("edge-1").await.usage.session_bytes);
        if before == Some(now) {
            return;
        }
        before = Some(now);
        assert!(network.now().as_nanos() < 60_000_000_000, "it never stalls");
    }
}

#[test]
fn a_client_or_a_target_that_stops_reading_delays_nobody() {
    let alone = measure(None);
    for stall in [Stall::Client, Stall::Target] {
        for start in [Start::Before, Start::Together] {
            let took = measure(Some((stall, start)));
            let ratio = took.as_secs_f64() / alone.as_secs_f64();
            println!("{stall:?} stalls, {start:?}: {ratio:.4} of {alone:?}");
            assert!(
                ratio <= 1.05,
                "{stall:?}, {start:?}: {took:?} beside {alone:?}"
            );
        }
    }
}
