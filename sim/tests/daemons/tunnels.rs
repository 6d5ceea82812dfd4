//! What becomes of sessions when carriers, paths and processes fail.

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use titan_sim::net::{Config, Network, run};
use titan_sim::overlay::{Demand, FAST, Outcome, Overlay, TRUTHFUL, Targets};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

/// Each way of a transfer that takes four seconds at the bandwidth of the tunnel's link.
const BYTES: u64 = 4_000_000;
const BANDWIDTH: u64 = 1_000_000;

/// Bytes up and down of what is cut off. Bytes that nobody has read turn a clean end into a reset;
/// where nothing flows towards the end that dies, it has to see to that itself.
const DIRECTIONS: [(u64, u64); 3] = [(BYTES, BYTES), (BYTES, 0), (0, BYTES)];

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// An overlay with a narrow link between POP and edge, and a server.
struct Site {
    network: Network,
    overlay: Overlay,
    targets: Targets,
    target: SocketAddr,
}

fn site(scenario: impl AsyncFnOnce(Site)) {
    run(Config::new(1), async |network| {
        let overlay = Overlay::up(&network, 1).await;
        scenario(Site::new(overlay).await).await;
    });
}

impl Site {
    async fn new(overlay: Overlay) -> Self {
        let network = overlay.network().clone();
        let mut targets = Targets::new(&network);
        let target = targets.start(1).await;
        network.set_bandwidth("pop", "edge-1", Some(BANDWIDTH));
        network.set_bandwidth("edge-1", "pop", Some(BANDWIDTH));
        Self {
            network,
            overlay,
            targets,
            target,
        }
    }

    /// Starts a transfer both ways, and lets it get into its middle.
    async fn under_way(&self) -> JoinHandle<Outcome> {
        self.moving(BYTES, BYTES).await
    }

    /// Starts a transfer of this many bytes up and down, and lets it get into its middle.
    async fn moving(&self, up: u64, down: u64) -> JoinHandle<Outcome> {
        let (client, target) = (self.overlay.client(FAST), self.target);
        let demand = Demand {
            flow: 7,
            up,
            down,
            ..Demand::default()
        };
        let transfer = spawn_local(async move { client.transfer(target, &demand).await });
        sleep(seconds(2)).await;
        assert!(!transfer.is_finished());
        let came = self.targets.visits();
        assert!(came.last().is_some_and(|visit| visit.received > 0));
        transfer
    }

    /// Asserts that a small transfer works within a second.
    async fn works(&self) {
        let demand = Demand {
            flow: 8,
            up: 50_000,
            down: 50_000,
            ..Demand::default()
        };
        for user in [FAST, TRUTHFUL] {
            let client = self.overlay.client(user);
            let outcome = timeout(seconds(1), client.transfer(self.target, &demand)).await;
            assert_eq!(outcome, Ok(Outcome::Complete), "{user}");
        }
    }
}

/// Asserts that a transfer ends in a reset within this time.
async fn is_reset(transfer: JoinHandle<Outcome>, within: Duration) {
    let outcome = timeout(within, transfer).await;
    let outcome = outcome.expect("it ends in time").expect("no panic");
    assert!(matches!(outcome, Outcome::Reset(_)), "{outcome:?}");
}

#[test]
fn a_transfer_survives_its_carrier_being_cut_again_and_again() {
    site(async |site| {
        let transfer = site.under_way().await;
        for times in 1..=5 {
            site.network.cut("pop", "edge-1");
            site.overlay.resumed(times).await;
            sleep(Duration::from_millis(150)).await;
        }
        assert!(!transfer.is_finished());
        let outcome = timeout(seconds(10), transfer).await.expect("it ends");
        assert_eq!(outcome.expect("no panic"), Outcome::Complete);
        site.targets.ended().await;
        let visits = site.targets.visits();
        assert_eq!(visits.len(), 1, "one connection throughout");
        assert!(visits[0].complete);
    });
}

#[test]
fn a_transfer_survives_twenty_silent_seconds() {
    site(async |site| {
        let transfer = site.under_way().await;
        site.network.partition("pop", "edge-1");
        sleep(seconds(20)).await;
        let usage = site.overlay.pop_census().await.usage;
        assert_eq!(
            (usage.tunnels, usage.carriers),
            (1, 0),
            "dead and resumable"
        );
        site.network.heal("pop", "edge-1");
        // A connect under way repeats its SYN within seconds.
        timeout(seconds(5), site.overlay.resumed(1))
            .await
            .expect("it resumes");
        let outcome = timeout(seconds(10), transfer).await.expect("it ends");
        assert_eq!(outcome.expect("no panic"), Outcome::Complete);
        site.targets.ended().await;
        let visits = site.targets.visits();
        assert!(visits.len() == 1 && visits[0].complete, "{visits:?}");
        site.works().await;
    });
}

#[test]
fn after_the_grace_time_sessions_are_reset_and_service_returns_by_itself() {
    site(async |mut site| {
        let transfer = site.under_way().await;
        site.network.partition("pop", "edge-1");
        // Dead after 15 s without a byte, given up 30 s later.
        is_reset(transfer, seconds(46)).await;
        timeout(seconds(2), site.targets.ended())
            .await
            .expect("the target hears of it too");
        assert!(!site.targets.visits()[0].complete);
        let (code, _) = site
            .overlay
            .client(TRUTHFUL)
            .connect(site.target)
            .await
            .expect("a reply");
        assert_eq!(code, 1, "there is no exit");

        sleep(seconds(60)).await;
        site.network.heal("pop", "edge-1");
        site.overlay.online("edge-1").await;
        site.works().await;
    });
}

#[test]
fn an_edge_that_is_killed_and_started_again_serves_anew() {
    for (up, down) in DIRECTIONS {
        site(async |mut site| {
            let transfer = site.moving(up, down).await;
            site.overlay.kill_edge("edge-1").await;
            site.overlay.start_edge("edge-1");
            is_reset(transfer, seconds(2)).await;
            site.overlay.online("edge-1").await;
            site.targets.ended().await;
            assert!(site.targets.visits()[0].reset, "{up} up, {down} down");
            site.works().await;
        });
    }
}

#[test]
fn an_edge_that_is_killed_for_good_costs_its_sessions_after_the_grace_time() {
    site(async |mut site| {
        let transfer = site.under_way().await;
        site.overlay.kill_edge("edge-1").await;
        is_reset(transfer, seconds(31)).await;
        let usage = site.overlay.pop_census().await.usage;
        assert_eq!((usage.tunnels, usage.carriers, usage.sessions), (0, 0, 0));
    });
}

/// A clean end would make what came so far look complete.
#[test]
fn an_edge_that_is_stopped_resets_what_it_cuts_off() {
    for (up, down) in DIRECTIONS {
        site(async |mut site| {
            let transfer = site.moving(up, down).await;
            site.overlay.stop_edge("edge-1").await;
            site.targets.ended().await;
            assert!(site.targets.visits()[0].reset, "{up} up, {down} down");
            is_reset(transfer, seconds(31)).await;
        });
    }
}

#[test]
fn a_pop_that_is_stopped_resets_what_it_cuts_off() {
    for (up, down) in DIRECTIONS {
        site(async |mut site| {
            let transfer = site.moving(up, down).await;
            site.overlay.stop_pop().await;
            is_reset(transfer, seconds(1)).await;
        });
    }
}

#[test]
fn a_pop_that_is_killed_and_started_again_serves_anew() {
    for (up, down) in DIRECTIONS {
        site(async |mut site| {
            let transfer = site.moving(up, down).await;
            site.overlay.kill_pop().await;
            is_reset(transfer, seconds(1)).await;
            site.overlay.start_pop().await;
            site.overlay.online("edge-1").await;
            site.targets.ended().await;
            assert!(site.targets.visits()[0].reset, "{up} up, {down} down");
            site.works().await;
        });
    }
}

#[test]
fn an_edge_waits_for_a_manager_that_is_not_there_yet() {
    run(Config::new(1), async |network| {
        let mut overlay = Overlay::new(&network).await;
        overlay.start_pop().await;
        let edge = overlay.add_edge(1);
        overlay.start_edge(&edge);
        sleep(seconds(90)).await;
        assert_eq!(overlay.generation(&edge).await, None);
        overlay.start_manager().await;
        timeout(seconds(61), overlay.online(&edge))
            .await
            .expect("it comes by itself");
        Site::new(overlay).await.works().await;
    });
}

#[test]
fn tunnels_resume_and_serve_while_the_manager_is_away() {
    site(async |mut site| {
        site.overlay.kill_manager().await;
        let transfer = site.under_way().await;
        site.network.cut("pop", "edge-1");
        timeout(seconds(1), site.overlay.resumed(1))
            .await
            .expect("it resumes");
        let outcome = timeout(seconds(10), transfer).await.expect("it ends");
        assert_eq!(outcome.expect("no panic"), Outcome::Complete);
        site.works().await;
        site.overlay.start_manager().await;
        site.works().await;
    });
}

#[test]
fn a_store_that_was_emptied_hears_of_pop_and_nodes_at_once() {
    site(async |site| {
        // More often than once between two renewals of the POP's lease.
        for _ in 0..4 {
            site.overlay.empty_store();
            assert_eq!(site.overlay.generation("edge-1").await, None);
            let listed = async {
                while site.overlay.generation("edge-1").await.is_none() {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            timeout(seconds(2), listed).await.expect("it is told again");
            sleep(seconds(1)).await;
        }
    });
}

#[test]
fn of_two_edges_with_one_id_the_newcomer_stays() {
    site(async |mut site| {
        let transfer = site.under_way().await;
        let second = site.overlay.add_edge(2);
        site.overlay.start_edge_as(&second, "edge-1");
        site.overlay.online("edge-1").await;
        is_reset(transfer, seconds(1)).await;
        sleep(seconds(1)).await;
        let generation = site.overlay.generation("edge-1").await;
        // The replaced one asks now and then whether it may have its place back.
        let mut asked = 0;
        for _ in 0..590 {
            sleep(seconds(1)).await;
            assert_eq!(site.overlay.generation("edge-1").await, generation);
            asked += site.network.stream_count("edge-1");
        }
        assert!(asked <= 590 / 5, "{asked} of 590 seconds connected");
        assert_eq!(site.overlay.edge_census("edge-1").await.usage.tunnels, 0);
        let before = site.targets.visits().len();
        site.works().await;
        let newcomer = IpAddr::from([10, 0, 1, 2]);
        let visits = &site.targets.visits()[before..];
        assert!(visits.iter().all(|visit| visit.peer.ip() == newcomer));
    });
}
