//! What one user may take of what all share.

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use titan_core::time::Instant;
use titan_sim::net::{Config, Network, SimStream, run};
use titan_sim::overlay::{FAST, Overlay, TRUTHFUL, Targets};
use tokio::time::timeout;

/// A name whose name server is silent.
const SILENT: &str = "silent.test";

/// How many such names a user asks for at once: more than an edge looks up at once.
const ASKED: usize = 300;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A user who asks for silent names until the end of what is returned.
async fn flood(overlay: &Overlay) -> Vec<SimStream> {
    let mut held = Vec::new();
    for _ in 0..ASKED {
        let client = overlay.client(FAST);
        let connected = client.connect((SILENT, 80)).await;
        held.push(connected.expect("it is answered before the dial").1);
    }
    held
}

/// Returns how long the other user waits for the answer of a target with a name.
async fn takes(world: &Network, overlay: &Overlay, target: SocketAddr) -> Duration {
    let begun: Instant = world.now();
    let client = overlay.client(TRUTHFUL);
    let connected = client.connect(("good.test", target.port())).await;
    assert_eq!(connected.expect("the proxy replies").0, 0);
    world.now().since(begun)
}

#[test]
fn names_that_nobody_answers_for_hold_up_no_other_user() {
    run(Config::new(1), async |world| {
        let overlay = Overlay::up(&world, 1).await;
        let mut targets = Targets::new(&world);
        let target = targets.start(1).await;
        world.name("good.test", vec![target.ip()], Duration::from_millis(20));
        world.name(SILENT, vec![target.ip()], seconds(3_600));
        let alone = takes(&world, &overlay, target).await;
        let held = flood(&overlay).await;
        let beside = takes(&world, &overlay, target).await;
        assert!(beside <= 2 * alone, "{beside:?}, and {alone:?} alone");
        drop(held);
    });
}

#[test]
fn names_that_nobody_answers_for_hold_up_no_tunnel() {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::new(&world).await;
        let quick = Duration::from_millis(20);
        world.name("pop.test", vec![IpAddr::from([10, 0, 0, 2])], quick);
        world.name("manager.test", vec![IpAddr::from([10, 0, 0, 3])], quick);
        world.name(SILENT, vec![IpAddr::from([45, 0, 0, 1])], seconds(3_600));
        overlay.pop_config.public_url = "ws://pop.test:41005".to_owned();
        overlay.edge_config.manager = "http://manager.test:41004".to_owned();
        overlay.start(1).await;
        let held = flood(&overlay).await;
        world.cut("pop", "edge-1");
        let resumed = timeout(seconds(1), overlay.resumed(1)).await;
        resumed.expect("the POP's name needs no place");
        drop(held);
    });
}

#[test]
fn a_pop_is_where_it_was_while_no_name_server_answers() {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::new(&world).await;
        let address = vec![IpAddr::from([10, 0, 0, 2])];
        world.name("pop.test", address.clone(), Duration::from_millis(20));
        overlay.pop_config.public_url = "ws://pop.test:41005".to_owned();
        overlay.start(1).await;
        world.name("pop.test", address, seconds(3_600));
        world.cut("pop", "edge-1");
        let resumed = timeout(seconds(4), overlay.resumed(1)).await;
        resumed.expect("the edge knows where the POP was");
    });
}
