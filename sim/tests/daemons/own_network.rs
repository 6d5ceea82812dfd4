//! What an edge's host is on is nobody's target, from when it is on it.

use core::cell::Cell;
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use titan_core::exit::guard::{InterfaceAddress, OwnNetwork};
use titan_sim::net::{Config, Network, run};
use titan_sim::overlay::{
    Client, Demand, Destination, Outcome, Overlay, TRUTHFUL, Targets, exchange,
};
use tokio::time::sleep;
use tracing::{Dispatch, subscriber::with_default};

/// RFC 1928: not allowed by ruleset.
const FORBIDDEN: Outcome = Outcome::Refused(2);

/// Longer than an edge takes to see a change of its host.
const SEEN: Duration = Duration::from_secs(6);

fn demand(flow: u64) -> Demand {
    Demand {
        flow,
        up: 10_000,
        down: 10_000,
        ..Demand::default()
    }
}

fn interface(address: [u8; 4], prefix: u8) -> OwnNetwork {
    let interface = InterfaceAddress {
        address: address.into(),
        prefix,
        peer: None,
    };
    OwnNetwork {
        interfaces: vec![interface],
        ..OwnNetwork::default()
    }
}

/// Brings up everything with one edge; the targets are started by the test.
async fn with_an_edge(network: &Network) -> (Overlay, Client, Targets) {
    let overlay = Overlay::up(network, 1).await;
    let client = overlay.client(TRUTHFUL);
    (overlay, client, Targets::new(network))
}

async fn ask(client: &Client, to: impl Into<Destination>) -> Outcome {
    client.transfer(to, &demand(1)).await
}

fn name(network: &Network, name: &'static str, addresses: &[SocketAddr]) -> Destination {
    let addresses = addresses.iter().map(SocketAddr::ip).collect();
    network.name(name, addresses, Duration::from_millis(10));
    Destination::from((name, 80))
}

#[test]
fn the_network_of_an_interface_that_appears_is_forbidden_from_then_on() {
    run(Config::new(1), async |network| {
        let (_overlay, client, mut targets) = with_an_edge(&network).await;
        let near = targets.start(9).await;
        let far = SocketAddr::from(([46, 0, 0, 9], 80));
        targets.serve(&network.host("far", far.ip()), far).await;
        let near_name = name(&network, "near.test", &[near]);
        let both_name = name(&network, "both.test", &[near, far]);
        assert_eq!(ask(&client, near).await, Outcome::Complete);
        let (code, standing) = client.connect(near).await.expect("the proxy replies");
        assert_eq!(code, 0);

        network.set_own_network("edge-1", interface([45, 0, 0, 200], 24));
        sleep(SEEN).await;
        let before = targets.visits().len();
        assert_eq!(ask(&client, near).await, FORBIDDEN);
        assert_eq!(ask(&client, near_name.clone()).await, FORBIDDEN);
        assert_eq!(targets.visits().len(), before, "nobody was dialled");
        assert_eq!(ask(&client, far).await, Outcome::Complete);
        assert_eq!(ask(&client, both_name).await, Outcome::Complete);
        // What stood before goes on.
        let rest = exchange(standing, &demand(2), &Cell::new(0)).await;
        assert_eq!(rest, Outcome::Complete);

        network.set_own_network("edge-1", OwnNetwork::default());
        sleep(SEEN).await;
        assert_eq!(ask(&client, near).await, Outcome::Complete);
        assert_eq!(ask(&client, near_name).await, Outcome::Complete);
    });
}

#[test]
fn an_address_more_of_the_host_is_forbidden_and_can_be_allowed() {
    run(Config::new(2), async |network| {
        let mut overlay = Overlay::new(&network).await;
        overlay.edge_config.allow_targets = vec!["45.0.0.8".to_owned()];
        overlay.start(1).await;
        let client = overlay.client(TRUTHFUL);
        let mut targets = Targets::new(&network);
        let own = [7, 8].map(Targets::at);
        for at in own {
            network.address("edge-1", at.ip());
            targets.serve(&network.env("edge-1"), at).await;
        }
        sleep(SEEN).await;
        assert_eq!(ask(&client, own[0]).await, FORBIDDEN);
        assert_eq!(ask(&client, own[1]).await, Outcome::Complete);
    });
}

#[test]
fn an_edge_behind_a_router_does_not_lead_to_the_router() {
    run(Config::new(3), async |network| {
        let mut overlay = Overlay::up(&network, 0).await;
        // It has this address as others see it; the host knows another.
        let router = SocketAddr::from(([46, 0, 0, 7], 80));
        let mut targets = Targets::new(&network);
        targets
            .serve(&network.host("home", router.ip()), router)
            .await;
        network.set_own_network("home", interface([192, 168, 0, 2], 24));
        overlay.start_edge_as("home", "home");
        overlay.online("home").await;
        let client = overlay.client(TRUTHFUL);
        let neighbour = targets.start(1).await;
        let mapped = IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x2e00, 7]);
        assert_eq!(ask(&client, router).await, FORBIDDEN);
        assert_eq!(ask(&client, SocketAddr::new(mapped, 80)).await, FORBIDDEN);
        let by_name = name(&network, "home.test", &[router]);
        assert_eq!(ask(&client, by_name).await, FORBIDDEN);
        assert_eq!(targets.visits(), []);
        assert_eq!(ask(&client, neighbour).await, Outcome::Complete);
    });
}

#[test]
fn a_host_that_tells_nothing_is_where_it_was() {
    run(Config::new(4), async |network| {
        let (_overlay, client, mut targets) = with_an_edge(&network).await;
        let near = targets.start(9).await;
        network.set_own_network("edge-1", interface([45, 0, 0, 200], 24));
        sleep(SEEN).await;
        assert_eq!(ask(&client, near).await, FORBIDDEN);
        network.set_own_look("edge-1", Duration::ZERO, Some(ErrorKind::Other));
        sleep(SEEN).await;
        assert_eq!(ask(&client, near).await, FORBIDDEN);
        network.set_own_look("edge-1", Duration::from_secs(3_600), None);
        sleep(SEEN).await;
        assert_eq!(ask(&client, near).await, FORBIDDEN);
    });
}

#[test]
fn an_edge_looks_around_before_it_connects_but_not_for_ever() {
    run(Config::new(5), async |network| {
        let mut overlay = Overlay::up(&network, 0).await;
        for (host, last, takes) in [("quick", 1, 1), ("stuck", 2, 3_600)] {
            drop(network.host(host, IpAddr::from([46, 1, 0, last])));
            network.set_own_look(host, Duration::from_secs(takes), None);
            overlay.start_edge_as(host, host);
            let begun = network.now();
            overlay.online(host).await;
            let waited = network.now().since(begun);
            let range = Duration::from_secs(takes.min(2))..Duration::from_secs(4);
            assert!(range.contains(&waited), "{host}: {waited:?}");
        }
    });
}

#[test]
fn an_edge_looks_around_at_once_when_its_tunnel_stands_again() {
    run(Config::new(6), async |network| {
        let (overlay, client, mut targets) = with_an_edge(&network).await;
        let near = targets.start(9).await;
        // Just behind a look, and long before the next.
        sleep(Duration::from_millis(5_200)).await;
        network.set_own_network("edge-1", interface([45, 0, 0, 200], 24));
        network.cut("pop", "edge-1");
        overlay.resumed(1).await;
        sleep(Duration::from_millis(100)).await;
        assert_eq!(ask(&client, near).await, FORBIDDEN);
    });
}

/// What daemons log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self, with: &str) -> Vec<String> {
        let bytes = self.0.lock().expect("no writer panics").clone();
        let text = String::from_utf8(bytes).expect("lines are texts");
        let lines = text.lines().filter(|line| line.contains(with));
        lines.map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_edge_logs_its_hosts_networks_when_they_forbid_something_else() {
    const NETWORKS: &str = "the host's own networks are no targets";
    const BLIND: &str = "the system does not tell the host's networks";
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // While there is one alone, what another thread comes to first is off here too.
    let _another = Dispatch::new(tracing_subscriber::registry());
    let world = || {
        run(Config::new(7), async |network| {
            let (_overlay, ..) = with_an_edge(&network).await;
            assert_eq!(log.lines(NETWORKS).len(), 1);
            let mut own = interface([45, 0, 0, 200], 24);
            network.set_own_network("edge-1", own.clone());
            sleep(2 * SEEN).await;
            assert_eq!(log.lines(NETWORKS).len(), 2, "once for each change");
            assert!(log.lines(NETWORKS)[1].contains("45.0.0.0/24"));
            // Of a container, within what is forbidden anyway.
            own.interfaces
                .extend(interface([45, 0, 0, 129], 25).interfaces);
            network.set_own_network("edge-1", own);
            sleep(SEEN).await;
            assert_eq!(log.lines(NETWORKS).len(), 2);
            for times in 1..=2 {
                network.set_own_look("edge-1", Duration::ZERO, Some(ErrorKind::Other));
                sleep(2 * SEEN).await;
                assert_eq!(log.lines(BLIND).len(), times);
                network.set_own_look("edge-1", Duration::ZERO, None);
                sleep(SEEN).await;
            }
            assert_eq!(log.lines(NETWORKS).len(), 2, "it is where it was");
        });
    };
    with_default(subscriber, world);
}
