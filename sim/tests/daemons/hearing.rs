//! Carriers that are not read while memory is used up: once it is not, all of them are, though some only are
//! called.

use core::cell::Cell;
use core::time::Duration;
use std::net::IpAddr;
use titan_proto::Header;
use titan_sim::net::{Config, run};
use titan_sim::overlay::{Demand, Overlay, Rogue, TRUTHFUL, Targets, exchange};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What the POP may hold.
const BUDGET: u64 = 4 << 20;

/// Sessions whose windows hold more than that together, and what comes on each.
const SESSIONS: u64 = 40;
const EACH: u64 = 1 << 20;

/// Carriers that wait to be read: more than twice as many as are called at once.
const WAITING: u8 = 40;

/// A frame that only counts: unnumbered, and of a kind that a later version may have.
const UNKNOWN: u32 = 95;

/// Far less than the 5 s after which a carrier is pinged, and looked at.
const SOON: Duration = Duration::from_millis(500);

#[test]
fn each_carrier_that_is_read_again_has_the_next_one_read() {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::new(&world).await;
        overlay.pop_config.limits.memory_budget_bytes = BUDGET;
        overlay.start(1).await;
        // A socket moves what its buffers hold in each round trip.
        for near in ["edge-1", "client"] {
            world.set_delay(near, "pop", Duration::from_millis(1));
        }
        let mut targets = Targets::new(&world);
        let target = targets.start(1).await;
        let client = overlay.client(TRUTHFUL);
        let mut open = Vec::new();
        for _ in 0..SESSIONS {
            let (code, stream) = client.connect(target).await.expect("the proxy replies");
            assert_eq!(code, 0);
            open.push(stream);
        }
        let mut rogues = Vec::new();
        for index in 0..WAITING {
            let node = format!("rogue-{index}");
            let env = world.host(&node, IpAddr::from([10, 0, 2, index]));
            world.set_delay(&node, "pop", Duration::from_millis(1));
            rogues.push(Rogue::attach(&overlay, &env, &node).await.0);
        }

        // Nobody reads what comes.
        let gate = watch::Sender::new(false);
        let mut fill = JoinSet::new();
        for (stream, flow) in open.into_iter().zip(0..) {
            let demand = Demand {
                flow,
                down: EACH,
                client_gate: Some(gate.subscribe()),
                ..Demand::default()
            };
            fill.spawn_local(async move { exchange(stream, &demand, &Cell::new(0)).await });
        }
        let full = async {
            while overlay.pop_census().await.usage.session_bytes < BUDGET {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(SOON, full).await.expect("it is used up");
        let unknown = Header::new(UNKNOWN, 0, 0);
        for rogue in &mut rogues {
            rogue.send_message(unknown.as_slice()).await;
        }
        sleep(SOON).await;
        let read = async || overlay.pop_census().await.counters.frames_unknown;
        assert_eq!(read().await, 0, "none is read");

        // All that is held is free at once.
        fill.abort_all();
        sleep(SOON).await;
        assert_eq!(read().await, u64::from(WAITING));
    });
}
