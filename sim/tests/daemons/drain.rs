//! POPs and edges that go away without cutting anything off.

use core::time::Duration;
use std::net::SocketAddr;
use titan_sim::net::{Config, Network, run};
use titan_sim::overlay::{Client, Demand, FAST, Outcome, Overlay, TRUTHFUL, Targets, read_reply};
use tokio::io::AsyncWriteExt as _;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

/// Each way of a transfer that takes four seconds at the bandwidth of the tunnel's link.
const BYTES: u64 = 4_000_000;
const BANDWIDTH: u64 = 1_000_000;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// An overlay with one edge, a narrow link between the first POP and the edge, and a server.
struct Site {
    network: Network,
    overlay: Overlay,
    targets: Targets,
    target: SocketAddr,
}

/// Runs a scenario in a network with this many POPs.
fn site(pops: u8, scenario: impl AsyncFnOnce(Site)) {
    run(Config::new(1), async |network| {
        let mut overlay = Overlay::up(&network, 1).await;
        for index in 2..=pops {
            overlay.start_another_pop(index).await;
        }
        let mut targets = Targets::new(&network);
        let target = targets.start(1).await;
        network.set_bandwidth("pop", "edge-1", Some(BANDWIDTH));
        network.set_bandwidth("edge-1", "pop", Some(BANDWIDTH));
        let site = Site {
            network,
            overlay,
            targets,
            target,
        };
        scenario(site).await;
    });
}

fn transfer(client: Client, target: SocketAddr, flow: u64, up: u64, down: u64) -> Transfer {
    let demand = Demand {
        flow,
        up,
        down,
        ..Demand::default()
    };
    spawn_local(async move { client.transfer(target, &demand).await })
}

type Transfer = JoinHandle<Outcome>;

impl Site {
    /// Starts transfers up, down and both ways, and lets them get into their middle.
    async fn under_way(&self) -> Vec<Transfer> {
        let client = || self.overlay.client(FAST);
        let transfers = [(BYTES, 0), (0, BYTES), (BYTES, BYTES)];
        let transfers = (1..)
            .zip(transfers)
            .map(|(flow, (up, down))| transfer(client(), self.target, flow, up, down));
        let transfers = transfers.collect::<Vec<_>>();
        sleep(seconds(2)).await;
        assert!(transfers.iter().all(|transfer| !transfer.is_finished()));
        transfers
    }

    /// Asserts that small transfers through another POP work at once.
    async fn works_at(&self, pop: u8) {
        for user in [FAST, TRUTHFUL] {
            let client = self.overlay.client_of_another(pop, user);
            let moved = transfer(client, self.target, 9, 50_000, 50_000);
            let outcome = timeout(seconds(1), moved).await.expect("in time");
            assert_eq!(outcome.expect("no panic"), Outcome::Complete);
        }
    }

    /// Returns at how many POPs the edge has a tunnel.
    async fn tunnels(&self) -> usize {
        self.overlay.edge_census("edge-1").await.usage.tunnels
    }
}

async fn complete(transfers: Vec<Transfer>) {
    for transfer in transfers {
        let outcome = timeout(seconds(30), transfer).await.expect("it ends");
        assert_eq!(outcome.expect("no panic"), Outcome::Complete);
    }
}

async fn reset(transfers: Vec<Transfer>) {
    for transfer in transfers {
        let outcome = timeout(seconds(1), transfer).await.expect("it ends");
        let outcome = outcome.expect("no panic");
        assert!(matches!(outcome, Outcome::Reset(_)), "{outcome:?}");
    }
}

#[test]
fn a_pop_that_drains_finishes_its_transfers_while_the_edge_serves_elsewhere() {
    site(2, async |mut site| {
        let transfers = site.under_way().await;
        site.overlay.drain_pop();
        timeout(seconds(2), site.overlay.online("edge-1"))
            .await
            .expect("the edge has a tunnel elsewhere");
        assert_eq!(site.tunnels().await, 2, "beside the old one");
        site.works_at(2).await;
        let refused = site.overlay.client(FAST).dial().await;
        assert!(refused.is_err(), "nobody listens any more");
        assert!(transfers.iter().all(|transfer| !transfer.is_finished()));
        assert!(!site.overlay.pop_has_ended());

        complete(transfers).await;
        site.targets.ended().await;
        assert!(site.targets.visits().iter().all(|visit| visit.complete));
        timeout(seconds(1), site.overlay.pop_ended())
            .await
            .expect("with the last session the POP ends");
        sleep(seconds(120)).await;
        assert_eq!(site.tunnels().await, 1, "the old way is forgotten");
        assert_eq!(site.network.stream_count("edge-1"), 1);
        site.works_at(2).await;
    });
}

#[test]
fn a_pop_without_sessions_ends_at_once_and_its_edge_goes_elsewhere() {
    site(2, async |mut site| {
        site.overlay.drain_pop();
        timeout(seconds(1), site.overlay.pop_ended())
            .await
            .expect("nothing keeps it");
        timeout(seconds(2), site.overlay.online("edge-1"))
            .await
            .expect("the edge goes elsewhere");
        site.works_at(2).await;
    });
}

#[test]
fn a_pop_drains_by_order_of_the_manager() {
    site(2, async |mut site| {
        let (status, body) = site.overlay.ask_manager("GET", "/v1/pops").await;
        assert_eq!(status, 200);
        assert_eq!(body.matches("\"draining\":false").count(), 2, "{body}");
        let nowhere = site
            .overlay
            .ask_manager("POST", "/v1/pops/pop-3/drain")
            .await;
        assert_eq!(nowhere.0, 404);

        let transfers = site.under_way().await;
        let order = site
            .overlay
            .ask_manager("POST", "/v1/pops/pop-1/drain")
            .await;
        assert_eq!(order.0, 202);
        let (_, body) = site.overlay.ask_manager("GET", "/v1/pops").await;
        assert_eq!(body.matches("\"draining\":true").count(), 1, "{body}");
        timeout(seconds(3), site.overlay.online("edge-1"))
            .await
            .expect("the edge has a tunnel elsewhere");
        assert!(site.overlay.client(FAST).dial().await.is_err());
        complete(transfers).await;
        timeout(seconds(1), site.overlay.pop_ended())
            .await
            .expect("with the last session the POP ends");
        let (_, body) = site.overlay.ask_manager("GET", "/v1/pops").await;
        assert!(!body.contains("pop-1") && body.contains("pop-2"), "{body}");
    });
}

#[test]
fn a_pop_that_drains_by_signal_is_listed_so_and_gets_no_newcomer() {
    site(2, async |mut site| {
        let transfers = site.under_way().await;
        site.overlay.drain_pop();
        sleep(Duration::from_millis(50)).await;
        let (_, body) = site.overlay.ask_manager("GET", "/v1/pops").await;
        assert_eq!(body.matches("\"draining\":true").count(), 1, "{body}");
        let second = site.overlay.add_edge(2);
        site.overlay.start_edge(&second);
        timeout(seconds(1), site.overlay.online(&second))
            .await
            .expect("it comes online");
        let listed = site.overlay.pop_census().await;
        assert_eq!(listed.usage.tunnels, 1, "not where it drains");
        complete(transfers).await;
    });
}

#[test]
fn sessions_that_outlast_the_deadline_are_reset() {
    run(Config::new(1), async |network| {
        let mut overlay = Overlay::new(&network).await;
        overlay.pop_config.drain_timeout = seconds(1);
        overlay.start(1).await;
        let mut targets = Targets::new(&network);
        let target = targets.start(1).await;
        network.set_bandwidth("pop", "edge-1", Some(BANDWIDTH));
        network.set_bandwidth("edge-1", "pop", Some(BANDWIDTH));
        let site = Site {
            network,
            overlay,
            targets,
            target,
        };
        let mut overlay_transfers = site.under_way().await;
        let mut site = site;
        site.overlay.drain_pop();
        sleep(Duration::from_millis(900)).await;
        assert!(!site.overlay.pop_has_ended());
        assert!(
            overlay_transfers
                .iter()
                .all(|transfer| !transfer.is_finished())
        );
        timeout(seconds(2), site.overlay.pop_ended())
            .await
            .expect("its time is over");
        reset(core::mem::take(&mut overlay_transfers)).await;
        timeout(seconds(1), site.targets.ended())
            .await
            .expect("the targets hear of it, too");
        assert!(site.targets.visits().iter().all(|visit| !visit.complete));
    });
}

#[test]
fn tunnels_resume_while_their_pop_drains() {
    site(2, async |mut site| {
        let transfers = site.under_way().await;
        site.overlay.drain_pop();
        timeout(seconds(2), site.overlay.online("edge-1"))
            .await
            .expect("the edge has a tunnel elsewhere");
        for _ in 0..4 {
            site.network.cut("pop", "edge-1");
            sleep(Duration::from_millis(500)).await;
            assert_eq!(site.tunnels().await, 2);
            let usage = site.overlay.pop_census().await.usage;
            assert_eq!((usage.tunnels, usage.carriers), (1, 1), "resumed");
        }
        complete(transfers).await;
        assert_eq!(site.targets.visits().len(), 3, "one connection each");
        timeout(seconds(1), site.overlay.pop_ended())
            .await
            .expect("with the last session the POP ends");
    });
}

#[test]
fn without_another_pop_the_edge_keeps_its_tunnel_and_tries_until_there_is_one() {
    site(1, async |mut site| {
        let transfers = site.under_way().await;
        site.overlay.drain_pop();
        sleep(seconds(2)).await;
        assert_eq!(site.tunnels().await, 1);
        complete(transfers).await;
        timeout(seconds(1), site.overlay.pop_ended())
            .await
            .expect("with the last session the POP ends");
        sleep(seconds(30)).await;
        assert_eq!(site.tunnels().await, 0);
        site.overlay.start_pop().await;
        timeout(seconds(61), site.overlay.online("edge-1"))
            .await
            .expect("it comes back");
        let client = site.overlay.client(TRUTHFUL);
        complete(vec![transfer(client, site.target, 9, 50_000, 50_000)]).await;
    });
}

#[test]
fn a_pop_can_restart_while_the_manager_is_away() {
    site(1, async |mut site| {
        site.overlay.kill_manager().await;
        let transfers = site.under_way().await;
        site.overlay.drain_pop();
        complete(transfers).await;
        timeout(seconds(1), site.overlay.pop_ended())
            .await
            .expect("with the last session the POP ends");
        site.overlay.start_pop().await;
        timeout(seconds(61), site.overlay.online("edge-1"))
            .await
            .expect("the token of before does");
    });
}

#[test]
fn a_client_in_its_handshake_is_told_and_one_that_is_silent_keeps_nobody() {
    site(2, async |site| {
        let transfers = site.under_way().await;
        let client = site.overlay.client(TRUTHFUL);
        let mut asking = client.login().await.expect("it is let in");
        let silent = client.login().await.expect("it is let in");
        site.overlay.drain_pop();
        sleep(Duration::from_millis(500)).await;
        let request = titan_sim::overlay::Destination::from(site.target).request();
        asking.write_all(&request).await.expect("it is heard");
        let code = read_reply(&mut asking).await.expect("a reply");
        assert_eq!(code, 1, "refused");
        drop((asking, silent));
        complete(transfers).await;
    });
    site(1, async |mut site| {
        let client = site.overlay.client(TRUTHFUL);
        let _silent = client.login().await.expect("it is let in");
        site.overlay.drain_pop();
        timeout(seconds(2), site.overlay.pop_ended())
            .await
            .expect("it does not wait for who says nothing");
    });
}

#[test]
fn a_second_signal_ends_a_pop_at_once() {
    site(1, async |mut site| {
        let transfers = site.under_way().await;
        site.overlay.drain_pop();
        sleep(Duration::from_millis(500)).await;
        timeout(Duration::from_millis(1_100), site.overlay.stop_pop())
            .await
            .expect("it ends");
        reset(transfers).await;
    });
}

#[test]
fn an_edge_that_drains_finishes_its_transfers_and_is_chosen_no_more() {
    site(1, async |mut site| {
        let transfers = site.under_way().await;
        let second = site.overlay.add_edge(2);
        site.overlay.start_edge(&second);
        site.overlay.online(&second).await;
        site.overlay.drain_edge("edge-1");
        sleep(Duration::from_millis(100)).await;
        let before = site.targets.visits().len();
        for flow in 20..40 {
            let client = site.overlay.client(TRUTHFUL);
            complete(vec![transfer(client, site.target, flow, 1_000, 1_000)]).await;
        }
        let visits = site.targets.visits();
        let second = visits[0].peer.ip();
        assert!(
            visits[before..]
                .iter()
                .all(|visit| visit.peer.ip() != second)
        );
        assert!(transfers.iter().all(|transfer| !transfer.is_finished()));
        site.network.cut("pop", "edge-1");
        complete(transfers).await;
        timeout(seconds(1), site.overlay.edge_ended("edge-1"))
            .await
            .expect("with the last session the edge ends");
        site.targets.ended().await;
        assert!(site.targets.visits().iter().all(|visit| visit.complete));
        // Its goodbye arrives long before the grace time would be over.
        sleep(seconds(1)).await;
        let usage = site.overlay.pop_census().await.usage;
        assert_eq!((usage.tunnels, usage.sessions), (1, 0));
    });
}

#[test]
fn an_edge_whose_time_is_over_or_that_is_told_twice_ends() {
    for twice in [false, true] {
        run(Config::new(1), async |network| {
            let mut overlay = Overlay::new(&network).await;
            overlay.edge_config.drain_timeout = seconds(if twice { 600 } else { 1 });
            overlay.start(1).await;
            let mut targets = Targets::new(&network);
            let target = targets.start(1).await;
            network.set_bandwidth("pop", "edge-1", Some(BANDWIDTH));
            network.set_bandwidth("edge-1", "pop", Some(BANDWIDTH));
            let mut site = Site {
                network,
                overlay,
                targets,
                target,
            };
            let transfers = site.under_way().await;
            site.overlay.drain_edge("edge-1");
            sleep(Duration::from_millis(900)).await;
            assert!(transfers.iter().all(|transfer| !transfer.is_finished()));
            let ended = async {
                if twice {
                    site.overlay.stop_edge("edge-1").await;
                } else {
                    site.overlay.edge_ended("edge-1").await;
                }
            };
            timeout(seconds(2), ended).await.expect("it ends");
            reset(transfers).await;
        });
    }
}

#[test]
fn two_pops_drain_one_after_the_other() {
    site(2, async |mut site| {
        let transfers = site.under_way().await;
        site.overlay.drain_pop();
        timeout(seconds(2), site.overlay.online("edge-1"))
            .await
            .expect("the edge has a tunnel elsewhere");
        site.overlay.start_another_pop(3).await;
        let client = site.overlay.client_of_another(2, FAST);
        site.network
            .set_bandwidth("pop-2", "edge-1", Some(BANDWIDTH));
        let second = transfer(client, site.target, 8, BYTES, 0);
        sleep(Duration::from_millis(500)).await;
        let order = site
            .overlay
            .ask_manager("POST", "/v1/pops/pop-2/drain")
            .await;
        assert_eq!(order.0, 202);
        timeout(seconds(3), site.overlay.online("edge-1"))
            .await
            .expect("and another one");
        assert_eq!(site.tunnels().await, 3);
        site.works_at(3).await;
        complete(transfers).await;
        complete(vec![second]).await;
        sleep(seconds(2)).await;
        assert_eq!(site.tunnels().await, 1);
        site.works_at(3).await;
    });
}
