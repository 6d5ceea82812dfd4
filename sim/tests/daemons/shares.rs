//! What one user may take of what all share.

use core::cell::Cell;
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use titan_core::time::Instant;
use titan_runtime::auth::{Cost, RECORD_AGE_MAX, hash_password};
use titan_runtime::config::EdgeConfig;
use titan_runtime::edge::run_copies;
use titan_runtime::env::Env as _;
use titan_runtime::manager::ADMIN_TOKEN_FILE;
use titan_runtime::store::{NewUser, Users as _};
use titan_runtime::token::Secret;
use titan_sim::net::{Config, Network, SimEnv, SimStream, run};
use titan_sim::overlay::{
    Client, Demand, FAST, Outcome, Overlay, PASSWORD, Process, TRUTHFUL, Targets, exchange,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

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

/// Cuts the carrier, and returns how long the tunnel is without one.
async fn resumes(world: &Network, overlay: &Overlay, times: u64) -> Duration {
    let begun = world.now();
    world.cut("pop", "edge-1");
    overlay.resumed(times).await;
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
        let alone = resumes(&world, &overlay, 1).await;
        let held = flood(&overlay).await;
        let beside = resumes(&world, &overlay, 2).await;
        // Attempts are spread over 200 ms.
        let limit = 2 * alone + Duration::from_millis(200);
        assert!(beside <= limit, "{beside:?}, and {alone:?} alone");
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

/// Returns how long an operator waits for an answer of the manager.
async fn asks(world: &Network, overlay: &Overlay) -> Duration {
    let begun = world.now();
    let (status, body) = overlay.ask_manager("GET", "/v1/users").await;
    assert_eq!(status, 200, "{body}");
    world.now().since(begun)
}

/// Starts an edge, and returns how long it takes to come online.
async fn comes(world: &Network, overlay: &mut Overlay, host: &str) -> Duration {
    let begun = world.now();
    overlay.start_edge(host);
    overlay.online(host).await;
    world.now().since(begun)
}

/// Has `greedy` take all it can of the manager while an operator and an edge come, each from a host of its own and
/// from the greedy one's.
fn nobody_waits_beside<F: Future<Output = ()> + 'static>(greedy: impl Fn(SimEnv, SocketAddr) -> F) {
    run(Config::new(1), async move |world| {
        let mut overlay = Overlay::new(&world).await;
        overlay.manager_config.connections_max = 64;
        overlay.start(1).await;
        let edges = [2, 3, 4].map(|index| overlay.add_edge(index));
        let asked = asks(&world, &overlay).await;
        let came = comes(&world, &mut overlay, &edges[0]).await;
        for (host, edge) in [("client", &edges[1]), (edges[2].as_str(), &edges[2])] {
            let mut tasks = JoinSet::new();
            // As many as there are places in all.
            for _ in 0..64 {
                let at = overlay.manager_config.listen;
                tasks.spawn_local(greedy(world.env(host), at));
            }
            sleep(seconds(1)).await;
            let beside = asks(&world, &overlay).await;
            assert!(
                beside <= 2 * asked,
                "an operator: {beside:?}, and {asked:?} alone"
            );
            let beside = comes(&world, &mut overlay, edge).await;
            assert!(
                beside <= 2 * came,
                "an edge: {beside:?}, and {came:?} alone"
            );
        }
    });
}

/// How long one of many sources has to wait for a port.
const PORT_WAIT: Duration = Duration::from_millis(100);

/// Connects for ever and says nothing.
async fn stand_around(host: SimEnv, at: SocketAddr) {
    loop {
        let mut stream = host.connect(at).await.expect("it listens");
        // Until another one takes the place.
        let _ = stream.read_u8().await;
        sleep(PORT_WAIT).await;
    }
}

#[test]
fn connections_that_say_nothing_keep_nobody_from_the_manager() {
    nobody_waits_beside(stand_around);
}

/// Shows wrong tokens for ever.
async fn guess(host: SimEnv, at: SocketAddr) {
    loop {
        let mut stream = host.connect(at).await.expect("it listens");
        for path in ["/v1/users", "/node/pop?nodeid=n"] {
            let head =
                format!("GET {path} HTTP/1.1\r\nhost: m\r\nauthorization: Bearer guess\r\n\r\n");
            // Another one may take the place meanwhile.
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.read(&mut [0; 1_024]).await;
        }
        sleep(PORT_WAIT).await;
    }
}

#[test]
fn wrong_tokens_slow_no_right_one() {
    nobody_waits_beside(guess);
}

#[test]
fn requests_that_never_end_keep_nobody_else_from_the_manager() {
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::up(&world, 1).await;
        let asked = asks(&world, &overlay).await;
        let edges = [2, 3].map(|index| overlay.add_edge(index));
        let came = comes(&world, &mut overlay, &edges[0]).await;
        // On the host of an edge, with an operator's token.
        let file = overlay.pop_config.data.join(ADMIN_TOKEN_FILE);
        let token = Secret::load(&file).expect("the manager has made it");
        let at = overlay.manager_config.listen;
        let mut held = Vec::new();
        for _ in 0..300 {
            let mut stream = world.env(&edges[1]).connect(at).await.expect("it listens");
            let head = format!(
                "POST /v1/users HTTP/1.1\r\nhost: m\r\nauthorization: Bearer {}\r\n\
                 content-type: application/json\r\ncontent-length: 9\r\n\r\n",
                token.expose()
            );
            stream.write_all(head.as_bytes()).await.expect("it listens");
            held.push(stream);
        }
        let beside = asks(&world, &overlay).await;
        assert!(
            beside <= 2 * asked,
            "an operator: {beside:?}, and {asked:?} alone"
        );
        let beside = comes(&world, &mut overlay, &edges[1]).await;
        assert!(
            beside <= 2 * came,
            "an edge: {beside:?}, and {came:?} alone"
        );
        drop(held);
    });
}

#[test]
fn who_hangs_up_while_a_login_waits_has_no_place_any_more() {
    run(Config::new(1), async |world| {
        let overlay = Overlay::up(&world, 1).await;
        let guesser = overlay.client_at("client", FAST, "guess");
        // Another guess after these waits for 4 s.
        for _ in 0..9 {
            assert!(guesser.login().await.is_err());
        }
        let mut stream = guesser.dial().await.expect("the POP listens");
        let mut hello = Client::greeting().to_vec();
        hello.extend(guesser.credentials());
        stream.write_all(&hello).await.expect("it listens");
        sleep(seconds(1)).await;
        assert_eq!(overlay.pop_census().await.clients, 1);
        drop(stream);
        sleep(seconds(1)).await;
        assert_eq!(overlay.pop_census().await.clients, 0);
    });
}

/// What verifying a chosen password takes.
const CHECK: Duration = Duration::from_millis(500);

/// How many connections of one host guess at once: more than can be verified before a handshake is late.
const GUESSERS: usize = 100;

/// Adds a user with a chosen password.
async fn add_user(overlay: &Overlay, name: &str) {
    let cheap = Cost {
        memory_kib: 8,
        passes: 1,
    };
    let hash = hash_password(PASSWORD, [4; 16], cheap);
    let user = NewUser::new(name.to_owned(), hash, 0);
    let created = overlay.store().create_user(user).await;
    created.expect("the name is free");
}

/// Returns how long a user waits for the first byte of an answer, from connecting to the POP on.
async fn first_byte(
    world: &Network,
    overlay: &Overlay,
    user: &str,
    target: SocketAddr,
) -> Duration {
    let begun = world.now();
    let connected = overlay.client(user).connect(target).await;
    let (code, mut stream) = connected.expect("the proxy replies");
    assert_eq!(code, 0, "{user}");
    let demand = Demand {
        down: 1,
        ..Demand::default()
    };
    let asked = stream.write_all(&demand.header()).await;
    asked.expect("the session is open");
    stream.read_u8().await.expect("the target answers");
    world.now().since(begun)
}

/// Guesses at users' passwords for ever, on every connection at another one's.
async fn guess_at_users(overlay: &Overlay, host: &str) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for index in 0..GUESSERS {
        let name = format!("x{index}");
        add_user(overlay, &name).await;
        let guesser = overlay.client_at(host, &name, "guess");
        tasks.spawn_local(async move {
            loop {
                assert!(guesser.login().await.is_err());
            }
        });
    }
    tasks
}

#[test]
fn guesses_of_one_host_hold_up_the_logins_of_others_for_one_of_them() {
    let slow = Config {
        work_cost: CHECK,
        ..Config::new(1)
    };
    run(slow, async |world| {
        let mut overlay = Overlay::new(&world).await;
        overlay.pop_config.limits.password_checks_max = 1;
        overlay.start(1).await;
        let mut targets = Targets::new(&world);
        let target = targets.start(1).await;
        drop(world.host("guesser", IpAddr::from([10, 0, 2, 1])));
        add_user(&overlay, "newcomer").await;
        let record_is_old = RECORD_AGE_MAX + seconds(1);

        let stranger_alone = first_byte(&world, &overlay, TRUTHFUL, target).await;
        assert!(stranger_alone > CHECK, "its password is verified");
        first_byte(&world, &overlay, FAST, target).await;
        sleep(record_is_old).await;
        let known_alone = first_byte(&world, &overlay, FAST, target).await;
        assert!(known_alone < CHECK, "its password is remembered");

        let guesses = guess_at_users(&overlay, "guesser").await;
        sleep(record_is_old).await;
        let known = first_byte(&world, &overlay, FAST, target).await;
        assert!(
            known <= 2 * known_alone,
            "{known:?}, and {known_alone:?} alone"
        );
        let stranger = first_byte(&world, &overlay, "newcomer", target).await;
        assert!(
            stranger <= stranger_alone + CHECK,
            "{stranger:?}, and {stranger_alone:?} alone"
        );
        // They have not been let go meanwhile.
        assert!(overlay.pop_census().await.clients >= GUESSERS / 2);
        drop(guesses);
    });
}

/// Returns how long each session of these names takes, all at once.
async fn exchange_all(world: &Network, overlay: &Overlay, target: SocketAddr) -> Vec<Duration> {
    let mut sessions = JoinSet::new();
    for name in 0..8 {
        let client = overlay.client(&format!("{TRUTHFUL}-session-{name}"));
        let (world, begun) = (world.clone(), world.now());
        sessions.spawn_local(async move {
            let demand = Demand {
                flow: name,
                up: 1_000,
                down: 1_000,
                ..Demand::default()
            };
            let outcome = client.transfer(target, &demand).await;
            assert_eq!(outcome, Outcome::Complete, "session {name}");
            world.now().since(begun)
        });
    }
    sessions.join_all().await
}

#[test]
fn a_copy_of_an_edge_whose_budget_is_used_up_leaves_the_others_theirs() {
    /// Windows of these hold more than a copy may, and less than both.
    const SESSIONS: u64 = 24;
    run(Config::new(1), async |world| {
        let mut overlay = Overlay::up(&world, 0).await;
        let config = EdgeConfig {
            node_id: "edge".to_owned(),
            memory_budget_bytes: 8 << 20,
            copies: 2,
            ..overlay.edge_config.clone()
        };
        let env = world.host("edges", IpAddr::from([10, 0, 1, 1]));
        // A socket moves what its buffers hold in each round trip.
        world.set_delay("pop", "edges", Duration::from_millis(1));
        let _edges = Process::start(|stop| async move {
            let (attached, _) = mpsc::channel(1);
            let outcome = run_copies(env, config, None, attached, stop).await;
            outcome.expect("edges run until they are stopped");
        });
        for node in ["edge-0", "edge-1"] {
            overlay.online(node).await;
        }
        let mut targets = Targets::new(&world);
        let target = targets.start(1).await;
        let alone = exchange_all(&world, &overlay, target).await;
        let limit = 2 * alone.into_iter().max().expect("there are some");

        // One name is one copy's.
        let flooder = overlay.client(&format!("{FAST}-session-flood"));
        let mut open = Vec::new();
        for _ in 0..SESSIONS {
            let (code, stream) = flooder.connect(target).await.expect("the proxy replies");
            assert_eq!(code, 0);
            open.push(stream);
        }
        sleep(seconds(1)).await;
        let mut floods = JoinSet::new();
        for (stream, flow) in open.into_iter().zip(100..) {
            floods.spawn_local(async move {
                let demand = Demand {
                    flow,
                    up: 2 << 20,
                    target_gated: true,
                    ..Demand::default()
                };
                exchange(stream, &demand, &Cell::new(0)).await
            });
        }
        sleep(seconds(2)).await;
        let beside = exchange_all(&world, &overlay, target).await;
        let quick = beside.iter().filter(|took| **took <= limit).count();
        assert!((1..8).contains(&quick), "{limit:?}: {beside:?}");
        assert!(beside.iter().all(|took| *took < seconds(10)), "{beside:?}");
        let reset = |outcome: &Outcome| matches!(outcome, Outcome::Reset(_));
        targets.open_gate();
        let outcomes = floods.join_all().await;
        assert!(outcomes.iter().any(reset), "{outcomes:?}");
    });
}
