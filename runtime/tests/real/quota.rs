//! Quotas over two POPs and one Redis, while sessions run: never a byte too much, and every change
//! within a second.

#[path = "../world/redis_server.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with other tests")]
pub(crate) mod redis_server;

use crate::process::{Process, eventually};
use crate::server::{PATIENCE, Server};
use crate::site::Site;
use crate::socks::{self, USER};
use redis_server::{Fsync, RedisServer};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use titan_runtime::store::{Redis, Store as _, User, UserChange};
use tokio::runtime::Runtime;

const LIMIT: u64 = 100_000_000;

/// How soon a change must reach sessions that run.
const SOON: Duration = Duration::from_secs(1);

/// Two POPs with an edge each, a manager, and a Redis that forgets nothing.
struct Region {
    site: Site,
    redis: RedisServer,
    pops: Vec<Process>,
    proxies: [SocketAddr; 2],
    store: Redis,
    runtime: Runtime,
    _others: Vec<Process>,
}

impl Region {
    fn start() -> Self {
        let redis = RedisServer::start(Fsync::Always);
        let site = Site::new().with_store(redis.url(0));
        let manager = site.manager();
        let (first, edge) = (site.pop(), site.edge("one"));
        site.wait_online("one", PATIENCE);
        // The manager sends an edge to the POP with fewer nodes.
        let (second, proxy) = site.another_pop();
        let other = site.edge("two");
        site.wait_online("two", PATIENCE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let store = {
            let _context = runtime.enter();
            Redis::new(&redis.url(0)).unwrap()
        };
        let echo = Server::start(|mut stream| {
            let mut out = stream.try_clone()?;
            std::io::copy(&mut stream, &mut out).map(drop)
        });
        let proxies = [site.proxy, proxy];
        for proxy in proxies {
            eventually("the POP serves", PATIENCE, || {
                let stream = socks::connect(proxy, echo.address);
                stream.is_ok_and(|mut stream| crate::site::echoes(&mut stream).is_ok())
            });
        }
        Self {
            proxies,
            site,
            redis,
            pops: vec![first, second],
            store,
            runtime,
            _others: vec![manager, edge, other],
        }
    }

    fn change(&self, change: UserChange) {
        let changed = self
            .runtime
            .block_on(self.store.change_user(USER.0, change));
        assert!(changed.unwrap().is_some());
    }

    fn user(&self) -> User {
        let user = self.runtime.block_on(self.store.user(USER.0));
        user.unwrap().unwrap()
    }

    /// What the POPs have counted, as they told the store.
    fn counted(&self) -> u64 {
        let usage = self.runtime.block_on(self.store.usage(USER.0));
        let parts = usage.unwrap().unwrap();
        parts
            .iter()
            .map(|part| part.uploaded + part.downloaded)
            .sum()
    }

    /// Waits until charged is what was transferred, and returns it.
    fn settled(&self) -> u64 {
        eventually("all is given back and told", PATIENCE, || {
            self.user().charged == self.counted()
        });
        self.user().charged
    }

    /// Gives the user this much from now on, and returns what was charged before.
    fn limit(&self, bytes: u64) -> u64 {
        let before = self.settled();
        self.change(UserChange {
            traffic_limit: Some(Some(before + bytes)),
            ..UserChange::default()
        });
        // Until a POP knows of its first limit, a user has none.
        thread::sleep(SOON);
        before
    }
}

/// Bytes that clients and targets have received.
#[derive(Default)]
struct Received {
    bytes: AtomicU64,
}

impl Received {
    fn get(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Moves bytes both ways until the connection is cut.
    fn pump(self: &Arc<Self>, stream: &TcpStream) {
        let sender = {
            let mut out = stream.try_clone().unwrap();
            thread::spawn(move || while out.write_all(&[7; 32 << 10]).is_ok() {})
        };
        let (mut from, mut buffer) = (stream, vec![0; 64 << 10]);
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            self.bytes.fetch_add(len as u64, Ordering::SeqCst);
        }
        // The other direction ends with it.
        let _ = stream.shutdown(std::net::Shutdown::Both);
        sender.join().unwrap();
    }
}

/// Transfers that go on for ever, over each of some POPs.
struct Transfers {
    received: Arc<Received>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Transfers {
    fn start(proxies: &[SocketAddr]) -> Self {
        let received = Arc::new(Received::default());
        let at_target = Arc::clone(&received);
        let target = Server::start(move |stream| {
            at_target.pump(&stream);
            Ok(())
        });
        let client = |&proxy: &SocketAddr| {
            let stream = socks::connect(proxy, target.address).unwrap();
            let received = Arc::clone(&received);
            thread::spawn(move || received.pump(&stream))
        };
        let clients = proxies.iter().map(client).collect();
        Self { received, clients }
    }

    fn reach(&self, bytes: u64) {
        eventually("bytes arrive", PATIENCE, || self.received.get() >= bytes);
    }

    fn are_over(&self) -> bool {
        self.clients.iter().all(thread::JoinHandle::is_finished)
    }

    /// Waits until all are cut, and returns what was received in all.
    fn cut(self) -> u64 {
        eventually("the transfers are cut", PATIENCE, || self.are_over());
        // What is on its way to a target still counts.
        let mut last = self.received.get();
        loop {
            thread::sleep(Duration::from_millis(300));
            let now = self.received.get();
            if now == last {
                return now;
            }
            last = now;
        }
    }
}

#[test]
fn a_limit_is_exact_over_two_pops() {
    let region = Region::start();
    let before = region.limit(LIMIT);
    let received = Transfers::start(&region.proxies).cut();
    let charged = region.settled() - before;
    println!("received {received}, charged {charged} of {LIMIT}");
    assert!(
        received <= charged && charged <= LIMIT,
        "{received} {charged}"
    );
    assert!(charged >= LIMIT - (2 << 20), "cut too early: {charged}");
}

#[test]
fn a_limit_holds_when_a_pop_is_killed() {
    let mut region = Region::start();
    let before = region.limit(LIMIT);
    let transfers = Transfers::start(&region.proxies);
    transfers.reach(LIMIT / 5);
    region.pops[1].kill();
    let received = transfers.cut();
    // The other one returns what it does not need; what the dead one had stays charged.
    thread::sleep(Duration::from_secs(6));
    let charged = region.user().charged - before;
    println!("received {received}, charged {charged} of {LIMIT}");
    assert!(
        received <= charged && charged <= LIMIT,
        "{received} {charged}"
    );
}

#[test]
fn a_limit_is_exact_when_the_store_is_killed() {
    let mut region = Region::start();
    let before = region.limit(LIMIT);
    let transfers = Transfers::start(&region.proxies);
    transfers.reach(LIMIT / 5);
    region.redis.kill();
    thread::sleep(Duration::from_secs(3));
    region.redis.restart();
    let received = transfers.cut();
    eventually("the store answers", PATIENCE, || {
        let user = region.runtime.block_on(region.store.user(USER.0));
        user.is_ok()
    });
    let charged = region.settled() - before;
    println!("received {received}, charged {charged} of {LIMIT}");
    assert!(
        received <= charged && charged <= LIMIT,
        "{received} {charged}"
    );
}

#[test]
fn changes_reach_running_sessions_within_a_second() {
    let region = Region::start();
    let off = UserChange {
        enabled: Some(false),
        ..UserChange::default()
    };
    let on = UserChange {
        enabled: Some(true),
        expires_at: Some(None),
        ..UserChange::default()
    };
    let expires = UserChange::default();
    for (mut change, wait) in [(off, 0), (expires, 2)] {
        let transfers = Transfers::start(&region.proxies);
        transfers.reach(10 << 20);
        if wait > 0 {
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
            change.expires_at = Some(Some(now + wait));
        }
        region.change(change);
        let changed = Instant::now();
        let limit = SOON + Duration::from_secs(wait);
        eventually("both are cut", limit, || transfers.are_over());
        println!("cut after {:?}", changed.elapsed());
        region.change(on.clone());
        eventually("the user gets in again", PATIENCE, || {
            region
                .site
                .connect(SocketAddr::from(([127, 0, 0, 1], 9)))
                .is_ok()
        });
        thread::sleep(Duration::from_secs(3));
    }

    let transfers = Transfers::start(&region.proxies);
    transfers.reach(10 << 20);
    region.change(UserChange {
        upload_rate: Some(Some(100_000)),
        download_rate: Some(Some(100_000)),
        ..UserChange::default()
    });
    thread::sleep(SOON);
    let before = transfers.received.get();
    thread::sleep(Duration::from_secs(4));
    let moved = transfers.received.get() - before;
    println!("moved {moved} in 4 s at 4 x 100 kB/s");
    assert!((1_000_000..2_500_000).contains(&moved), "{moved}");

    let deleted = region.runtime.block_on(region.store.delete_user(USER.0));
    assert!(deleted.unwrap());
    eventually("both are cut", SOON, || transfers.are_over());
}
