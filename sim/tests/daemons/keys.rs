//! What becomes of edges, logins and running sessions when a living manager's key is revoked beside it, in the
//! store.

use core::time::Duration;
use titan_runtime::carrier::handshake::{ClientRequest, connect, path_and_query};
use titan_runtime::env::Env as _;
use titan_runtime::store::Embedded;
use titan_runtime::token::{KeyRing, Verifier};
use titan_sim::net::{Config, Network, run};
use titan_sim::overlay::{Demand, FAST, Outcome, Overlay, TRUTHFUL, Targets};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

/// How soon a manager has another key: it looks every ten seconds.
const ANOTHER: Duration = Duration::from_secs(11);

/// How soon a POP refuses a key that was revoked.
const REFUSED: Duration = Duration::from_secs(3);

const BANDWIDTH: u64 = 1_000_000;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn unix_time(world: &Network) -> u64 {
    world.env("client").unix_time().as_secs()
}

/// Returns the keys that are good.
async fn good(world: &Network, store: &Embedded) -> Vec<String> {
    let ring = KeyRing::read(store).await.expect("the store is there");
    let verifiers = ring.verifiers(unix_time(world));
    verifiers.iter().map(Verifier::public_key).collect()
}

/// Revokes the manager's only key, and returns it.
async fn revoke(world: &Network, store: &Embedded) -> String {
    let keys = good(world, store).await;
    let [key] = &keys[..] else {
        panic!("{keys:?}");
    };
    let revoked = KeyRing::revoke(store, key, unix_time(world)).await;
    assert!(revoked.expect("the store is there").is_some());
    key.clone()
}

/// Waits until there is a key again.
async fn another(world: &Network, store: &Embedded) -> Vec<String> {
    loop {
        let keys = good(world, store).await;
        if !keys.is_empty() {
            return keys;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the POP refuses a token of the key that the manager had at first.
async fn refused(world: &Network, overlay: &Overlay) {
    let token = overlay.token("stranger");
    let pop = overlay.tunnels();
    loop {
        let stream = world.env("client").connect(pop).await;
        let request = ClientRequest {
            authority: &pop.to_string(),
            path_and_query: &path_and_query("stranger", "none", "0"),
            token: &token,
        };
        if connect(stream.expect("the POP listens"), request)
            .await
            .is_err()
        {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn a_living_manager_has_another_key_in_time_and_edges_and_users_come_as_before() {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::up(&world, 1).await;
        let mut targets = Targets::new(&world);
        let target = targets.start(1).await;
        let old = revoke(&world, overlay.store()).await;
        let keys = timeout(ANOTHER, another(&world, overlay.store())).await;
        let keys = keys.expect("the manager looks");
        assert!(keys.len() == 1 && keys[0] != old, "{keys:?}, once {old}");

        // Who has a token of the old one gets another, and so does who comes anew.
        world.cut("pop", "edge-1");
        let resumed = timeout(seconds(5), overlay.resumed(1)).await;
        resumed.expect("the manager is asked as soon as the POP has refused the token");
        overlay.kill_edge("edge-1").await;
        overlay.start_edge("edge-1");
        let online = timeout(seconds(5), overlay.online("edge-1")).await;
        online.expect("its first token is good");
        let demand = Demand {
            up: 50_000,
            down: 50_000,
            ..Demand::default()
        };
        for user in [FAST, TRUTHFUL] {
            let client = overlay.client(user);
            let outcome = timeout(seconds(2), client.transfer(target, &demand)).await;
            assert_eq!(outcome, Ok(Outcome::Complete), "{user}");
        }
        let after = good(&world, overlay.store()).await;
        assert_eq!(after, keys, "it keeps that one");
    });
}

#[test]
fn bytes_flow_on_while_the_key_that_signed_their_tunnels_token_is_revoked() {
    run(Config::new(1), async |world| {
        let overlay = Overlay::up(&world, 1).await;
        let mut targets = Targets::new(&world);
        let target = targets.start(1).await;
        for (from, to) in [("pop", "edge-1"), ("edge-1", "pop")] {
            world.set_bandwidth(from, to, Some(BANDWIDTH));
        }
        let client = overlay.client(FAST);
        let demand = Demand {
            up: 30 * BANDWIDTH,
            down: 30 * BANDWIDTH,
            ..Demand::default()
        };
        let transfer = spawn_local(async move { client.transfer(target, &demand).await });
        sleep(seconds(2)).await;
        let received = || targets.visits()[0].received;
        assert!(received() > 0);

        revoke(&world, overlay.store()).await;
        let refuses = timeout(REFUSED, refused(&world, &overlay)).await;
        refuses.expect("it is out");
        assert!(good(&world, overlay.store()).await.is_empty());
        // Until the POP knows the manager's next key, and beyond.
        let mut before = received();
        for second in 1..=15 {
            sleep(seconds(1)).await;
            let now = received();
            assert!(
                now > before + BANDWIDTH / 2,
                "{} in second {second}",
                now - before
            );
            before = now;
        }
        assert_eq!(good(&world, overlay.store()).await.len(), 1);
        let outcome = timeout(seconds(30), transfer).await.expect("it ends");
        assert_eq!(outcome.expect("no panic"), Outcome::Complete);
        targets.ended().await;
        let visits = targets.visits();
        assert!(visits.len() == 1 && visits[0].complete, "{visits:?}");
        assert_eq!(overlay.pop_census().await.counters.resumes, 0);
    });
}
