//! A tunnel outlives its connection: sessions notice nothing of what happens to it.

use crate::content::Content;
use crate::relay::{Cut, Relay};
use crate::server::Server;
use crate::site::Site;
use std::io::Read as _;
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Bytes each way.
const LEN: u64 = 500_000_000;

const CUTS: u64 = 20;

/// Less than the 15 s after which a silent carrier is dead.
const STOPPED: Duration = Duration::from_secs(10);

/// Chooses where the connection is cut; printed when the test fails. Without it the clock chooses.
const SEED_VARIABLE: &str = "TITAN_SEED";

#[test]
fn half_a_gigabyte_each_way_survives_twenty_cuts_of_the_carrier() {
    let seed = std::env::var(SEED_VARIABLE).map_or_else(
        |_| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs(),
        |seed| seed.parse().unwrap(),
    );
    // More goes through the relay than the sessions move, so that every cut comes up.
    let cuts = Cut::draw(seed, CUTS, 2 * LEN);
    tell(&format!("{SEED_VARIABLE}={seed} {cuts:?}"));
    let mut site = Site::new();
    let relay = Relay::start(site.tunnels, cuts);
    site.public = relay.address;
    let _daemons = site.start_all("one");
    let exchange = Exchange::start();

    let start = Instant::now();
    exchange.run(&site, |_| {});
    tell(&format!("1 GB with {CUTS} cuts: {:?}", start.elapsed()));
    let (cuts, connections) = (relay.cuts() as u64, relay.accepted() as u64);
    assert_eq!(cuts, CUTS);
    assert!(connections > CUTS, "{connections} connections");
}

#[test]
fn a_transfer_survives_its_edge_being_stopped_for_ten_seconds() {
    let mut site = Site::new();
    let relay = Relay::start(site.tunnels, Vec::new());
    site.public = relay.address;
    let [_manager, _pop, edge] = site.start_all("one");
    let exchange = Exchange::start();

    let (mut stopped, mut halfway) = (None, Some(edge));
    exchange.run(&site, |received| {
        if received > LEN / 2
            && let Some(edge) = halfway.take()
        {
            // Here: whoever is asked to do it may come when all is over.
            edge.signal("STOP");
            stopped = Some(thread::spawn(move || {
                thread::sleep(STOPPED);
                edge.signal("CONT");
                // It lives on until the transfer is over.
                (Instant::now(), edge)
            }));
        }
    });
    let end = Instant::now();
    let (continued, _edge) = stopped.unwrap().join().unwrap();
    assert!(continued < end, "the transfer was over before");
    assert_eq!(relay.accepted(), 1, "the carrier is still the first");
}

/// One session that moves content both ways at once.
struct Exchange {
    target: Server,
}

const DOWN: Content = Content::new(1, LEN);
const UP: Content = Content::new(2, LEN);

impl Exchange {
    fn start() -> Self {
        let target = Server::start(|mut stream| {
            let mut out = stream.try_clone()?;
            let sender = thread::spawn(move || {
                DOWN.send(&mut out)?;
                out.shutdown(Shutdown::Write)
            });
            UP.receive_to_end(&mut stream)?;
            sender.join().unwrap()
        });
        Self { target }
    }

    fn address(&self) -> SocketAddr {
        self.target.address
    }

    /// Moves everything over one connection of the client and one to the target; `note` is told how
    /// much the client has received.
    fn run(&self, site: &Site, note: impl FnMut(u64)) {
        let mut client = site.connect(self.address()).unwrap();
        let mut out = client.try_clone().unwrap();
        let sender = thread::spawn(move || {
            UP.send(&mut out)?;
            out.shutdown(Shutdown::Write)
        });
        DOWN.receive_noting(&mut client, note).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        sender.join().unwrap().unwrap();
        self.target.outcome().unwrap();
        assert_eq!(self.target.accepted(), 1);
    }
}

/// Shown when a test fails, and with `--nocapture`.
#[allow(
    clippy::print_stderr,
    reason = "tests have no other way to tell figures"
)]
fn tell(what: &str) {
    eprintln!("{what}");
}
