//! What becomes of edges while the manager is of no use, and of nodes that come in odd ways.

use core::cell::Cell;
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use titan_proto::{Code, Frame};
use titan_runtime::env::{Env as _, Listener as _};
use titan_runtime::store::{UserChange, Users as _};
use titan_runtime::token::{KeyRing, Signer};
use titan_sim::net::{Config, Network, SimStream, run};
use titan_sim::overlay::{Demand, FAST, Outcome, Overlay, Rogue, Targets, exchange};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional, sink};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// What a manager has to say that is of no use.
#[derive(Clone, Copy, Debug)]
enum Excuse {
    Nothing,
    NotNow,
}

/// Stands where the manager was.
async fn stand_in(overlay: &mut Overlay, excuse: Excuse) -> JoinHandle<()> {
    overlay.kill_manager().await;
    let at = overlay.manager_config.listen;
    let listening = overlay.network().env("manager").listen(at).await;
    let mut listener = listening.expect("the manager has left its place");
    spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("it listens");
            spawn_local(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                if let Excuse::NotNow = excuse {
                    let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).await.expect("the edge waits");
                }
                // Until the edge gives up.
                let _ = stream.read_u8().await;
            });
        }
    })
}

#[test]
fn a_token_is_worth_more_than_a_manager_that_has_no_answer() {
    for excuse in [Excuse::Nothing, Excuse::NotNow] {
        run(Config::new(1), async move |world| {
            let mut overlay = Overlay::up(&world, 1).await;
            let manager = stand_in(&mut overlay, excuse).await;
            overlay.kill_pop().await;
            overlay.start_pop().await;
            let back = timeout(seconds(10), overlay.online("edge-1")).await;
            back.unwrap_or_else(|_| panic!("it waits for {excuse:?}"));
            manager.abort();
        });
    }
}

/// An overlay whose tokens live for a minute.
async fn with_short_tokens(world: &Network) -> Overlay {
    let mut overlay = Overlay::new(world).await;
    overlay.manager_config.node_token_lifetime = seconds(60);
    overlay.start(1).await;
    overlay
}

#[test]
fn a_tunnel_that_is_older_than_a_token_is_resumed_without_the_manager() {
    run(Config::new(1), async |world| {
        let mut overlay = with_short_tokens(&world).await;
        // Longer than two tokens live.
        sleep(seconds(130)).await;
        overlay.kill_manager().await;
        world.cut("pop", "edge-1");
        let resumed = timeout(seconds(1), overlay.resumed(1)).await;
        resumed.expect("the token is a fresh one");
    });
}

#[test]
fn renewal_is_tried_again_until_the_manager_is_back() {
    run(Config::new(1), async |world| {
        let mut overlay = with_short_tokens(&world).await;
        sleep(seconds(30)).await;
        overlay.kill_manager().await;
        // The first renewal is due at 40 s.
        sleep(seconds(15)).await;
        overlay.start_manager().await;
        sleep(seconds(10)).await;
        overlay.kill_manager().await;
        sleep(seconds(20)).await;
        world.cut("pop", "edge-1");
        let resumed = timeout(seconds(1), overlay.resumed(1)).await;
        resumed.expect("the token is a fresh one");
    });
}

#[test]
fn a_token_that_expired_while_the_manager_was_away_costs_one_attempt() {
    run(Config::new(1), async |world| {
        let mut overlay = with_short_tokens(&world).await;
        sleep(seconds(30)).await;
        overlay.kill_manager().await;
        sleep(seconds(40)).await;
        world.cut("pop", "edge-1");
        sleep(seconds(1)).await;
        overlay.start_manager().await;
        let resumed = timeout(seconds(4), overlay.resumed(1)).await;
        resumed.expect("the manager is asked as soon as the POP has refused the token");
    });
}

/// Stands before a POP and hands on whatever comes, but for as many connections as are said, from which it takes
/// all and says nothing.
async fn stand_before(overlay: &Overlay, at: SocketAddr, silent: Rc<Cell<u32>>) -> JoinHandle<()> {
    let host = overlay.network().host("front", at.ip());
    let mut listener = host.listen(at).await.expect("the address is free");
    let pop = overlay.tunnels();
    spawn_local(async move {
        loop {
            let (mut near, _) = listener.accept().await.expect("it listens");
            let is_silent = silent.get() > 0;
            silent.set(silent.get().saturating_sub(1));
            let host = host.clone();
            spawn_local(async move {
                // Either way it goes on until one end hangs up.
                if is_silent {
                    let _ = tokio::io::copy(&mut near, &mut sink()).await;
                } else {
                    let mut far: SimStream = host.connect(pop).await.expect("the POP listens");
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    })
}

#[test]
fn a_pop_that_accepts_and_says_nothing_costs_a_tunnel_one_attempt_and_its_sessions_nothing() {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::new(&world).await;
        let at = SocketAddr::from(([10, 0, 2, 1], 41005));
        let silent = Rc::new(Cell::new(0));
        let front = stand_before(&overlay, at, Rc::clone(&silent)).await;
        overlay.pop_config.public_url = format!("ws://{at}");
        overlay.start(1).await;
        let mut targets = Targets::new(&world);
        let target = targets.start(1).await;
        world.set_bandwidth("front", "edge-1", Some(1_000_000));
        let client = overlay.client(FAST);
        let demand = Demand {
            up: 4_000_000,
            down: 1,
            ..Demand::default()
        };
        let transfer = spawn_local(async move { client.transfer(target, &demand).await });
        sleep(seconds(2)).await;
        assert!(!transfer.is_finished());
        silent.set(1);
        world.cut("front", "edge-1");
        // The POP keeps a tunnel for so long.
        let resumed = timeout(seconds(30), overlay.resumed(1)).await;
        resumed.expect("another attempt is made in time");
        assert_eq!(silent.get(), 0, "one attempt met silence");
        let outcome = timeout(seconds(10), transfer).await.expect("it ends");
        assert_eq!(outcome.expect("no panic"), Outcome::Complete);
        targets.ended().await;
        let visits = targets.visits();
        assert!(visits.len() == 1 && visits[0].complete, "{visits:?}");
        front.abort();
    });
}

#[test]
fn a_node_of_which_another_carrier_ended_before_its_hello_is_listed_and_obeys() {
    let blacklist = r#"{"nodes":["node"],"reason":"a test"}"#;
    for (path, order, status, code) in [
        ("/v1/nodes/node/kick", "{}", 202, Code::Kicked),
        ("/v1/blacklist", blacklist, 200, Code::Blacklisted),
    ] {
        run(Config::new(1), async |world| {
            let overlay = Overlay::up(&world, 0).await;
            let host = world.host("rogue", IpAddr::from([10, 0, 2, 1]));
            let first = Rogue::connect(&overlay, &host, "node").await;
            let mut second = Rogue::connect(&overlay, &host, "node").await;
            drop(first);
            sleep(seconds(1)).await;
            second.greet().await;
            second.send(Frame::Ack { received: 0 }).await;
            sleep(seconds(1)).await;
            assert!(overlay.generation("node").await.is_some(), "it is listed");
            let answer = overlay.tell_manager("POST", path, order).await;
            assert_eq!(answer.0, status, "{}", answer.1);
            assert_eq!(second.farewell().await.bye, Some(code));
        });
    }
}

#[test]
fn a_pop_whose_id_another_process_takes_ends_and_its_edges_go_there() {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::up(&world, 1).await;
        let id = overlay.pop_config.id.clone();
        overlay.start_another_pop_as(2, &id).await;
        let ended = timeout(seconds(15), overlay.pop_ended()).await;
        ended.expect("it looks every ten seconds");
        let there = timeout(seconds(10), overlay.online("edge-1")).await;
        there.expect("the manager sends it to the other process");
    });
}

#[test]
fn a_pop_that_drains_keeps_what_it_has_although_another_has_its_id() {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::up(&world, 1).await;
        // A user of whose quota pieces have to be leased.
        let change = UserChange {
            traffic_limit: Some(Some(256 << 20)),
            ..UserChange::default()
        };
        let changed = overlay.store().change_user(FAST, change).await;
        changed.expect("the store is there").expect("there is one");
        let mut targets = Targets::new(&world);
        let target = targets.start(1).await;
        let client = overlay.client(FAST);
        let (_, stream) = client.connect(target).await.expect("the proxy replies");
        overlay.drain_pop();
        let id = overlay.pop_config.id.clone();
        overlay.start_another_pop_as(2, &id).await;
        // Longer than any lease that it had.
        sleep(seconds(45)).await;
        assert!(!overlay.pop_has_ended(), "a session lives");
        assert!(overlay.generation("edge-1").await.is_some(), "it is listed");
        let demand = Demand {
            down: 32 << 20,
            ..Demand::default()
        };
        let moved = timeout(seconds(60), exchange(stream, &demand, &Cell::new(0))).await;
        assert_eq!(
            moved.expect("it has a share of the quota"),
            Outcome::Complete
        );
        let ended = timeout(seconds(60), overlay.pop_ended()).await;
        ended.expect("nothing is left");
    });
}

/// Asks a POP for a carrier with a token, and returns what it answers.
async fn upgrade(world: &Network, overlay: &Overlay, token: &str) -> String {
    let connected = world.env("client").connect(overlay.tunnels()).await;
    let mut stream = connected.expect("the POP listens");
    let head = format!(
        "GET /ws/node?id=node&os=none&version=0 HTTP/1.1\r\nhost: pop\r\nauthorization: Bearer {token}\r\n\
         connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: titan.v2\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it listens");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("it answers");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_a_replaced_key_signed_is_refused_at_once() {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::up(&world, 0).await;
        let token = overlay.token("node");
        assert_eq!(upgrade(&world, &overlay, &token).await, "HTTP/1.1 101");
        overlay.kill_manager().await;
        let data = overlay.pop_config.data.clone();
        std::fs::remove_file(data.join("node-token.key")).expect("the manager has made it");
        overlay.start_manager().await;
        sleep(Duration::from_millis(2_100)).await;
        assert_eq!(upgrade(&world, &overlay, &token).await, "HTTP/1.1 401");
    });
}

#[test]
fn what_a_revoked_key_signed_is_refused_and_the_others_are_taken() {
    run(Config::new(1), async |world| {
        let overlay = Overlay::up(&world, 0).await;
        let (stolen, now) = (
            Signer::from_seed([9; 32]),
            world.env("client").unix_time().as_secs(),
        );
        let lifetime = seconds(3_600);
        let token = stolen.issue("node", &overlay.pop_config.id, now, lifetime);
        let key = stolen.public_key();
        let published = KeyRing::publish(overlay.store(), "m2", &key, now, lifetime).await;
        assert_eq!(published, Ok(true));
        sleep(Duration::from_millis(2_100)).await;
        assert_eq!(upgrade(&world, &overlay, &token).await, "HTTP/1.1 101");
        let revoked = KeyRing::revoke(overlay.store(), &key, now).await;
        assert!(revoked.expect("the store is there").is_some());
        sleep(Duration::from_millis(2_100)).await;
        assert_eq!(upgrade(&world, &overlay, &token).await, "HTTP/1.1 401");
        let token = overlay.token("node");
        assert_eq!(upgrade(&world, &overlay, &token).await, "HTTP/1.1 101");
    });
}

#[test]
fn the_key_of_the_only_manager_is_out_too_and_it_makes_another() {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::up(&world, 0).await;
        let (token, now) = (
            overlay.token("node"),
            world.env("client").unix_time().as_secs(),
        );
        overlay.kill_manager().await;
        let ring = KeyRing::read(overlay.store()).await.expect("it is there");
        let keys = ring.into_keys(now);
        let revoked = KeyRing::revoke(overlay.store(), &keys[0].key, now).await;
        assert!(revoked.expect("the store is there").is_some());
        sleep(Duration::from_millis(2_100)).await;
        assert_eq!(upgrade(&world, &overlay, &token).await, "HTTP/1.1 401");
        // The manager comes back with the key on its disk, and edges get in with the next one.
        overlay.start_manager().await;
        let edge = overlay.add_edge(1);
        overlay.start_edge(&edge);
        let online = timeout(seconds(30), overlay.online(&edge));
        online.await.expect("the manager has made another key");
        assert_eq!(upgrade(&world, &overlay, &token).await, "HTTP/1.1 401");
    });
}
