//! What a client hears of a dial that fails, and what another exit makes of it.

use core::time::Duration;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use titan_sim::net::{Config, Network, SimStream, run};
use titan_sim::overlay::{Demand, Destination, FAST, Outcome, Overlay, TRUTHFUL, Targets};
use tokio::io::AsyncReadExt as _;

/// A dial is given up after this long, and what the network takes to tell.
const DIAL: Duration = Duration::from_secs(11);

/// A destination that cannot be had, and the SOCKS5 reply that says why.
struct Case {
    to: Destination,
    reply: u8,
    within: Duration,
}

/// Fills the network with everything that may be wrong with a target.
async fn cases(network: &Network, targets: &mut Targets) -> Vec<Case> {
    let at_once = Duration::from_secs(1);
    let case = |to: Destination, reply, within| Case { to, reply, within };
    // There is a server at a private address, which must not be reached.
    let private = SocketAddr::from(([10, 9, 9, 9], 80));
    let inside = network.host("inside", private.ip());
    targets.serve(&inside, private).await;
    network.name("private.test", vec![private.ip()], at_once / 10);
    let own = network.env("edge-1");
    targets.serve(&own, ([127, 0, 0, 1], 80).into()).await;
    network.name("own.test", vec![IpAddr::from([127, 0, 0, 1])], at_once / 10);

    let refuses = targets.closed(2);
    network.name("refuses.test", vec![refuses.ip()], at_once / 10);
    let hangs = Targets::at(3);
    network.blackhole(hangs.ip());
    let address = |text: &str| -> Destination {
        let address: SocketAddr = text.parse().expect("an address");
        address.into()
    };
    let name = |name: &str| Destination::from((name, 80));
    vec![
        case(refuses.into(), 5, at_once),
        case(name("refuses.test"), 5, at_once),
        case(hangs.into(), 6, DIAL),
        case(name("nowhere.test"), 4, at_once),
        case(private.into(), 2, at_once),
        case(name("private.test"), 2, at_once),
        case(name("own.test"), 2, at_once),
        case(address("127.0.0.1:80"), 2, at_once),
        case(address("[::1]:80"), 2, at_once),
        case(address("[::ffff:127.0.0.1]:80"), 2, at_once),
        case(address("169.254.169.254:80"), 2, at_once),
        case(name("127.0.0.1"), 2, at_once),
        case(name("2130706433"), 2, at_once),
        case(name("0177.0.0.1"), 2, at_once),
        case(name("0x7f.1"), 2, at_once),
    ]
}

/// Reads to the end and returns how it came.
async fn end(stream: &mut SimStream) -> Result<usize, ErrorKind> {
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest).await;
    read.map_err(|error| error.kind())
}

#[test]
fn a_truthful_reply_says_what_is_wrong() {
    run(Config::new(1), async |network| {
        let overlay = Overlay::up(&network, 1).await;
        let mut targets = Targets::new(&network);
        let client = overlay.client(TRUTHFUL);
        for Case { to, reply, within } in cases(&network, &mut targets).await {
            let start = network.now();
            let connected = client.connect(to.clone()).await;
            let (code, mut stream) = connected.expect("the proxy replies");
            assert_eq!(code, reply, "{to:?}");
            let took = network.now().since(start);
            assert!(took <= within, "{to:?}: {took:?}");
            assert_eq!(end(&mut stream).await, Ok(0), "{to:?}: a clean end");
        }
        assert_eq!(targets.visits(), [], "nothing private was reached");
    });
}

#[test]
fn after_a_fast_reply_a_failed_dial_is_a_reset_and_never_a_clean_end() {
    run(Config::new(1), async |network| {
        let overlay = Overlay::up(&network, 1).await;
        let mut targets = Targets::new(&network);
        let client = overlay.client(FAST);
        let cases = cases(&network, &mut targets).await;
        // One waits for the server to speak first, one sends and ends its direction.
        for up in [None, Some(0), Some(100_000)] {
            for Case { to, within, .. } in &cases {
                let start = network.now();
                let (code, mut stream) = client.connect(to.clone()).await.expect("a reply");
                assert_eq!(code, 0, "{to:?}");
                match up {
                    None => assert_eq!(end(&mut stream).await, Err(ErrorKind::ConnectionReset)),
                    Some(up) => {
                        let demand = Demand {
                            up,
                            ..Demand::default()
                        };
                        let outcome = exchange(stream, &demand).await;
                        assert_eq!(outcome, Outcome::Reset(0), "{to:?}");
                    }
                }
                let took = network.now().since(start);
                assert!(took <= *within, "{to:?}: {took:?}");
            }
        }
        assert_eq!(targets.visits(), [], "nothing private was reached");
    });
}

async fn exchange(stream: SimStream, demand: &Demand) -> Outcome {
    titan_sim::overlay::exchange(stream, demand, &core::cell::Cell::new(0)).await
}

/// Two edges, the first much nearer, so that it is chosen first.
async fn near_and_far(network: &Network) -> Overlay {
    let mut overlay = Overlay::new(network).await;
    for (index, delay) in [(1, 5), (2, 100)] {
        let edge = overlay.add_edge(index);
        network.set_delay("pop", &edge, Duration::from_millis(delay));
    }
    overlay.start_manager().await;
    overlay.start_pop().await;
    for edge in ["edge-1", "edge-2"] {
        overlay.start_edge(edge);
        overlay.online(edge).await;
    }
    overlay
}

/// Transfers through both users and asserts that only the second edge came to the target.
async fn works_by_the_second(overlay: &Overlay, targets: &Targets, target: SocketAddr) {
    let demand = Demand {
        up: 300_000,
        down: 300_000,
        ..Demand::default()
    };
    for user in [FAST, TRUTHFUL] {
        let before = targets.visits().len();
        let outcome = overlay.client(user).transfer(target, &demand).await;
        assert_eq!(outcome, Outcome::Complete, "{user}");
        let visits = &targets.visits()[before..];
        let (last, others) = visits.split_last().expect("somebody came");
        assert!(last.complete, "{user}");
        let first = IpAddr::from([10, 0, 1, 1]);
        assert_ne!(last.peer.ip(), first, "{user}");
        // A connection that the edge has given up may have been accepted, but bore nothing.
        assert!(others.iter().all(|visit| visit.received == 0), "{others:?}");
    }
}

#[test]
fn an_edge_without_a_route_hands_over_to_one_that_has_it() {
    run(Config::new(1), async |network| {
        let overlay = near_and_far(&network).await;
        let ip: IpAddr = "2600::1".parse().expect("an address");
        let target = SocketAddr::new(ip, 80);
        network.address("edge-2", "2600::2".parse().expect("an address"));
        let mut targets = Targets::new(&network);
        let host = network.host("target-6", ip);
        targets.serve(&host, target).await;
        works_by_the_second(&overlay, &targets, target).await;
    });
}

#[test]
fn an_edge_that_hears_nothing_of_the_target_hands_over() {
    run(Config::new(1), async |network| {
        let overlay = near_and_far(&network).await;
        let mut targets = Targets::new(&network);
        let target = targets.start(1).await;
        network.partition("edge-1", "target-1");
        works_by_the_second(&overlay, &targets, target).await;
        assert!(targets.visits().iter().all(|visit| visit.complete));
    });
}

#[test]
fn an_edge_that_is_heard_but_hears_nothing_writes_nothing() {
    run(Config::new(1), async |network| {
        let overlay = near_and_far(&network).await;
        let mut targets = Targets::new(&network);
        let target = targets.start(1).await;
        network.partition_one_way("target-1", "edge-1");
        works_by_the_second(&overlay, &targets, target).await;
        let came = targets.visits();
        assert!(
            came.iter()
                .any(|visit| visit.peer.ip() == IpAddr::from([10, 0, 1, 1]))
        );
    });
}

#[test]
fn a_refusal_is_tried_on_one_other_exit() {
    run(Config::new(1), async |network| {
        let overlay = Overlay::up(&network, 3).await;
        let refuses = Targets::new(&network).closed(1);
        let start = network.now();
        let connected = overlay.client(TRUTHFUL).connect(refuses).await;
        assert_eq!(connected.expect("the proxy replies").0, 5);
        // Three to the proxy, then one to an exit and one from there, on each of two exits.
        let round_trip = Duration::from_millis(20);
        assert_eq!(network.now().since(start), (1 + 3 + 2 * 2) * round_trip);
    });
}
