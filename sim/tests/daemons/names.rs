//! User names that carry wishes, obeyed or refused by a real POP.

use core::time::Duration;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use titan_sim::net::{Config, Network, run};
use titan_sim::overlay::{Client, Demand, FAST, Outcome, Overlay, TRUTHFUL, Targets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::spawn_local;
use tokio::time::sleep;

const EDGES: u8 = 4;

/// An overlay with several edges and a server that sees which one somebody comes from.
struct Site {
    network: Network,
    overlay: Overlay,
    targets: Targets,
}

fn site(scenario: impl AsyncFnOnce(Site)) {
    run(Config::new(1), async |network| {
        let overlay = Overlay::up(&network, EDGES).await;
        let mut targets = Targets::new(&network);
        targets.start(1).await;
        let network = network.clone();
        scenario(Site {
            network,
            overlay,
            targets,
        })
        .await;
    });
}

impl Site {
    /// Returns a client whose name carries these wishes.
    fn client(&self, wishes: &str) -> Client {
        self.overlay.client(&format!("{FAST}-{wishes}"))
    }

    /// Connects so often at once, and returns the exits.
    async fn exits(&self, client: &Client, times: u64) -> BTreeSet<IpAddr> {
        let before = self.targets.visits().len();
        let connect = |flow| {
            let client = client.clone();
            let demand = Demand {
                flow,
                up: 1_000,
                down: 1_000,
                ..Demand::default()
            };
            spawn_local(async move { client.transfer(Targets::at(1), &demand).await })
        };
        let flows: Vec<_> = (0..times).map(connect).collect();
        for flow in flows {
            assert_eq!(flow.await.expect("no panic"), Outcome::Complete);
        }
        let visits = self.targets.visits();
        visits[before..]
            .iter()
            .map(|visit| visit.peer.ip())
            .collect()
    }

    /// Logs in under a name and returns the status of RFC 1929.
    async fn login_status(&self, name: &str, password: &str) -> u8 {
        let client = self.overlay.client_at("client", name, password);
        let mut stream = client.dial().await.expect("the POP listens");
        let hello = [&Client::greeting()[..], &client.credentials()].concat();
        stream.write_all(&hello).await.expect("the POP reads");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(answer[..3], [5, 2, 1]);
        answer[3]
    }
}

#[test]
fn connections_of_one_name_leave_by_one_exit() {
    site(async |site| {
        let without = site.exits(&site.overlay.client(FAST), 40).await;
        assert!(
            without.len() > 1,
            "without a name any exit will do: {without:?}"
        );
        let rotating = site.exits(&site.client("mode-rotate"), 40).await;
        assert!(rotating.len() > 1, "{rotating:?}");
        let named = site.client("session-abc");
        let exits = site.exits(&named, 20).await;
        assert_eq!(exits.len(), 1, "racing connections of one name: {exits:?}");
        let mut others = BTreeSet::new();
        for nth in 0..20 {
            others.extend(
                site.exits(&site.client(&format!("session-other{nth}")), 1)
                    .await,
            );
        }
        assert!(others.len() > 1, "other names have other exits: {others:?}");
        // A name outlives the user's last connection.
        sleep(Duration::from_secs(300)).await;
        assert_eq!(site.exits(&named, 20).await, exits);
    });
}

#[test]
fn a_strict_name_stays_without_its_exit_and_a_flexible_one_moves() {
    site(async |mut site| {
        let strict = site.client("session-s-mode-strict");
        let flexible = site.client("session-f-mode-flexible");
        let of_strict = site.exits(&strict, 1).await;
        let of_flexible = site.exits(&flexible, 1).await;
        let gone: BTreeSet<_> = of_strict.union(&of_flexible).copied().collect();
        for index in 1..=EDGES {
            if gone.contains(&IpAddr::from([10, 0, 1, index])) {
                site.overlay.stop_edge(&format!("edge-{index}")).await;
            }
        }
        sleep(Duration::from_secs(60)).await;
        let demand = Demand::default();
        let refused = strict.transfer(Targets::at(1), &demand).await;
        assert_eq!(
            refused,
            Outcome::Refused(1),
            "rather no exit than another one"
        );
        let moved = site.exits(&flexible, 5).await;
        assert_eq!(moved.len(), 1);
        assert!(moved.is_disjoint(&of_flexible));
    });
}

#[test]
fn the_name_chooses_when_to_be_answered() {
    site(async |site| {
        let closed = SocketAddr::from((Targets::at(1).ip(), 81));
        let demand = Demand::default();
        let reply = async |user: &str| site.overlay.client(user).transfer(closed, &demand).await;
        let (fast, truthful) = (Outcome::Reset(0), Outcome::Refused(5));
        assert_eq!(reply(FAST).await, fast);
        assert_eq!(reply(&format!("{FAST}-reply-truthful")).await, truthful);
        assert_eq!(reply(TRUTHFUL).await, truthful);
        assert_eq!(reply(&format!("{TRUTHFUL}-reply-fast")).await, fast);
    });
}

#[test]
fn the_name_chooses_the_family() {
    site(async |site| {
        let v4 = Targets::at(1);
        let demand = Demand::default();
        site.network
            .name("both.example", vec![v4.ip()], Duration::ZERO);
        let to = |client: &Client| {
            let client = client.clone();
            let demand = demand.clone();
            async move { client.transfer(("both.example", v4.port()), &demand).await }
        };
        let four = site.client("ip-4-reply-truthful");
        let six = site.client("ip-6-reply-truthful");
        assert_eq!(to(&four).await, Outcome::Complete);
        assert_eq!(
            to(&six).await,
            Outcome::Refused(4),
            "it has no such address"
        );
        assert_eq!(four.transfer(v4, &demand).await, Outcome::Complete);
        assert_eq!(six.transfer(v4, &demand).await, Outcome::Refused(8));
    });
}

#[test]
fn what_cannot_be_obeyed_is_refused_and_only_to_who_knows_the_password() {
    site(async |site| {
        let right = titan_sim::overlay::PASSWORD;
        for (wishes, status) in [
            ("session-a", 0),
            ("reply-fast", 0),
            ("country-de", 6),
            ("session-a-ttl-5m", 6),
            ("zone-static", 6),
            ("color-red", 4),
            ("session-a-session-b", 4),
            ("session-a-mode-rotate", 4),
            ("ip-5", 4),
        ] {
            let name = format!("{FAST}-{wishes}");
            assert_eq!(site.login_status(&name, right).await, status, "{wishes}");
            assert_eq!(site.login_status(&name, "wrong").await, 1, "{wishes}");
        }
        assert_eq!(site.login_status("nobody-country-de", right).await, 1);
    });
}
