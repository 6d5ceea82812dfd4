//! What the number of nodes costs the manager.
//!
//! ```text
//! cargo bench -p titan-benches --bench manager
//! ```
//!
//! A manager over loopback with 100 nodes online and one with 10 000, on the embedded store and on a redis-server
//! that the bench starts itself (append-only, synced every second). Both are asked by turns, so that a busy machine
//! is busy for both. The last column, the ratio of the medians, must stay about 1: what looked at every node would
//! be near 100.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use titan_kit::redis_server::{Fsync, RedisServer};
use titan_runtime::config::ManagerConfig;
use titan_runtime::env::tokio::TokioEnv;
use titan_runtime::manager::{self, ADMIN_TOKEN_FILE, JOIN_SECRET_FILE};
use titan_runtime::store::{Embedded, Location, Mode, NewUser, NodeEntry, PopEntry, Redis, Store};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How many nodes are online.
const SIZES: [u32; 2] = [100, 10_000];

/// How many POPs they are spread over.
const POPS: u32 = 4;

/// Requests of each kind to each manager, after as many that do not count.
const REQUESTS: usize = 300;

/// Requests that hash a password, which takes most of their time.
const HASHED: usize = 30;

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let handle = runtime.handle().clone();
    // The managers' thread, as each has in production.
    std::thread::spawn(move || runtime.block_on(core::future::pending::<()>()));
    println!("medians of {REQUESTS} requests by turns, {HASHED} where a password is hashed");
    println!(
        "{:<10} {:<28} {:>12} {:>14} {:>7}",
        "store", "request", "100 nodes", "10 000 nodes", "ratio"
    );
    let directories = SIZES.map(|_| tempfile::tempdir().expect("a directory"));
    let mut open = directories.iter().map(|directory| {
        let location = Location::Data(directory.path().to_owned());
        Embedded::open(&location, Mode::Thread).expect("a store")
    });
    compare(&handle, "embedded", || open.next().expect("one of two"));

    let server = RedisServer::start(Fsync::EverySecond);
    let mut databases = 0..;
    compare(&handle, "redis", || {
        let database = databases.next().expect("endless");
        Redis::new(&server.url(database)).expect("an address")
    });
}

/// A manager under test.
struct Manager<S> {
    address: SocketAddr,
    admin: String,
    join: String,
    store: S,
    connection: Option<BufReader<TcpStream>>,
    /// Ends the manager when dropped.
    _stop: oneshot::Sender<()>,
    _data: TempDir,
}

fn compare<S: Store>(runtime: &Handle, kind: &str, mut open: impl FnMut() -> S) {
    let mut both = SIZES.map(|size| runtime.block_on(Manager::start(open(), size)));
    let mut row = |what: &str, count, ask: &mut dyn FnMut(&mut Manager<S>, usize)| {
        let [few, many] = medians(&mut both, count, ask);
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!(
            "{kind:<10} {what:<28} {:>12} {:>14} {ratio:>7.2}",
            micros(few),
            micros(many)
        );
    };
    row("list a page of 100", REQUESTS, &mut |it, _| {
        it.get("/v1/nodes?limit=100&cursor=edge-00000", false);
    });
    row("list a page of a POP's 25", REQUESTS, &mut |it, _| {
        it.get("/v1/nodes?pop=pop-1&limit=25", false);
    });
    row("show a node", REQUESTS, &mut |it, index| {
        it.get(&format!("/v1/nodes/edge-{:05}", index % 100), false);
    });
    row("allocate a POP, new node", REQUESTS, &mut |it, index| {
        it.get(&format!("/v1/node/pop?nodeid=new-{index}"), true);
    });
    row("allocate a POP, known node", REQUESTS, &mut |it, index| {
        it.get(
            &format!("/v1/node/pop?nodeid=edge-{:05}", index % 100),
            true,
        );
    });
    row("create a user", HASHED, &mut |it, index| {
        it.post(
            "/v1/users",
            &format!(r#"{{"name":"user{index}","password":"x"}}"#),
        );
    });
    row("create a user, store alone", REQUESTS, &mut |it, index| {
        let user = NewUser::new(format!("alone{index}"), "$".to_owned(), now());
        runtime
            .block_on(it.store.create_user(user))
            .expect("it is new");
    });
}

/// Asks both by turns and returns the median time of each.
fn medians<S>(
    both: &mut [Manager<S>; 2],
    count: usize,
    ask: &mut dyn FnMut(&mut Manager<S>, usize),
) -> [Duration; 2] {
    let mut times = [const { Vec::new() }; 2];
    for index in 0..2 * count {
        for (manager, times) in both.iter_mut().zip(&mut times) {
            let before = Instant::now();
            ask(manager, index);
            if index >= count {
                times.push(before.elapsed());
            }
        }
    }
    times.map(|mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

fn micros(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("the clock is right").as_secs()
}

impl<S: Store> Manager<S> {
    /// Starts a manager on a store with so many nodes online.
    async fn start(store: S, size: u32) -> Self {
        fill(&store, size).await;
        let data = tempfile::tempdir().expect("a directory");
        let config = ManagerConfig {
            data: data.path().to_owned(),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            insecure: true,
            ..ManagerConfig::default()
        };
        let (ready, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let running = manager::run(TokioEnv::new(), config, store.clone(), ready, shutdown);
        tokio::spawn(running);
        let address = address.await.expect("it starts");
        let secret = |file: &str| {
            let text = std::fs::read_to_string(data.path().join(file)).expect("it was made");
            text.trim().to_owned()
        };
        Self {
            address,
            admin: secret(ADMIN_TOKEN_FILE),
            join: secret(JOIN_SECRET_FILE),
            store,
            connection: None,
            _stop: stop,
            _data: data,
        }
    }
}

impl<S> Manager<S> {
    fn get(&mut self, path: &str, joining: bool) {
        let token = if joining { &self.join } else { &self.admin };
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {token}\r\n\r\n");
        self.ask(&head);
    }

    fn post(&mut self, path: &str, body: &str) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.admin,
            body.len()
        );
        self.ask(&request);
    }

    /// Asks over the connection there is and reads the whole answer, which must be a success.
    fn ask(&mut self, request: &str) {
        // The manager closes a connection that was silent for a while.
        let connection = match &mut self.connection {
            Some(connection) if !is_closed(connection) => connection,
            closed => {
                let stream = TcpStream::connect(self.address).expect("it listens");
                stream.set_nodelay(true).expect("a socket");
                closed.insert(BufReader::new(stream))
            }
        };
        let stream = connection.get_mut();
        stream.write_all(request.as_bytes()).expect("it reads");
        let (mut line, mut length) = (String::new(), 0);
        connection.read_line(&mut line).expect("it answers");
        assert!(line.starts_with("HTTP/1.1 2"), "{request}: {line}");
        while line != "\r\n" {
            line.clear();
            connection.read_line(&mut line).expect("it answers");
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
        }
        connection.read_exact(&mut vec![0; length]).expect("a body");
    }
}

fn is_closed(connection: &BufReader<TcpStream>) -> bool {
    let stream = connection.get_ref();
    stream.set_nonblocking(true).expect("a socket");
    let found = stream.peek(&mut [0]);
    stream.set_nonblocking(false).expect("a socket");
    matches!(found, Ok(0))
}

async fn fill<S: Store>(store: &S, size: u32) {
    let now = now();
    for index in 0..POPS {
        let pop = PopEntry {
            id: format!("pop-{index}"),
            incarnation: 1,
            nonce: 0,
            url: format!("wss://pop-{index}.example:41005"),
            info: String::new(),
        };
        let alive = store.pop_alive(pop, 3_600).await;
        alive.expect("it is there");
    }
    for index in 0..size {
        let node = NodeEntry {
            id: format!("edge-{index:05}"),
            pop: format!("pop-{}", index % POPS),
            generation: 1,
            ip: Ipv4Addr::from_bits(0xC612_0000 + index).into(),
            os: "linux".to_owned(),
            version: "0.1".to_owned(),
            online_since: now,
            rtt_ms: Some(20),
            contested_at: None,
        };
        store.node_online(node).await.expect("its POP is there");
    }
}
