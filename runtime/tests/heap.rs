//! What POP and edge hold on the heap stays within a bound that their configuration states, whoever
//! stalls and in whatever pieces the bytes come.
//!
//! Both run on one thread whose allocations are counted; clients and targets run on others and are
//! not.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "real/content.rs"]
mod content;
#[allow(
    dead_code,
    reason = "shared with the tests of real traffic, which use all of it"
)]
#[path = "real/process.rs"]
mod process;
#[allow(
    dead_code,
    reason = "shared with the tests of real traffic, which use all of it"
)]
#[path = "real/server.rs"]
mod server;
#[allow(
    dead_code,
    reason = "shared with the tests of real traffic, which use all of it"
)]
#[path = "real/socks.rs"]
mod socks;

use content::Content;
use counting::Heap;
use process::eventually;
use server::{PATIENCE, Server};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use tempfile::TempDir;
use titan_core::endpoint::Config;
use titan_runtime::auth::{Cost, hash_password};
use titan_runtime::config::{EdgeConfig, Limits, ManagerConfig, PopConfig};
use titan_runtime::daemon::{Stop, spawn, stopped};
use titan_runtime::env::tokio::TokioEnv;
use titan_runtime::manager::JOIN_SECRET_FILE;
use titan_runtime::store::{Embedded, Location, Mode, NewUser, Users as _};
use titan_runtime::token::Secret;
use titan_runtime::{edge, manager, pop};
use tokio::sync::{mpsc as tokio_mpsc, oneshot, watch};
use tokio::task::spawn_local;

const MIB: u64 = 1 << 20;

/// What a stalled session would move, were it not stalled: more than windows and kernels hold.
const STALLED_LEN: u64 = 96 * MIB;

const BULK: Content = Content::new(1, 512 * MIB);

/// How much bulk goes by for each small message of 100 bytes: 13 MB of them in all.
const MESSAGE_EVERY: u64 = 4 << 10;

/// The largest window for what targets receive.
fn edge_window_max() -> u64 {
    Config::default().window_max
}

/// What a session that stalls holds at least: half the smallest window.
const HELD_MIN: u64 = 128 << 10;

/// What the sender of a stalled session does.
type Send = fn(TcpStream, &Pace) -> io::Result<()>;

/// Windows grow out of a quarter of it, at either end.
const MEMORY_BUDGET: u64 = 64 * MIB;

/// The largest window for what clients receive.
const POP_WINDOW_MAX: u64 = MIB;

/// What carriers read into.
const BLOCK: u64 = 288 << 10;

/// Buffers of a shard that are there however many sessions it has: two blocks that carriers read into
/// (the present one, and one whose last slice is still on its way), the pool of blocks that sockets
/// read into, and four batches that carriers write from.
const SHARD_BUFFERS: u64 = 2 * BLOCK + 36 * (64 << 10) + 4 * ((256 + 80) << 10);

/// A session's state and tasks at one end.
const SESSION_STATE: u64 = 8 << 10;

/// What two shards may hold for `count` sessions in one direction, `window_max` being the receiving
/// end's.
///
/// - The receiving end holds windows, those beyond the base only out of the growth pool. It copies
///   what waits into chunks of which a quarter may be slack, and one more.
/// - The sending end holds what waits for the carrier. It copies what uses less than half of its
///   block, so twice as much may be pinned.
/// - Both have the sessions' state.
fn sessions_bound(count: u64, window_max: u64) -> u64 {
    let config = Config::default();
    let growth = (count * (window_max - config.window_base)).min(MEMORY_BUDGET / 4);
    let windows = count * config.window_base + growth;
    let received = windows * 5 / 4 + count * (16 << 10);
    let sent = 2 * count * config.send_queue_max as u64;
    received + sent + 2 * count * SESSION_STATE
}

/// What may be held at any time: sessions, what waits for an acknowledgement, which may pin twice as
/// much, and the buffers of both shards.
fn peak_bound(count: u64, window_max: u64) -> u64 {
    let control_reserve = 64 << 10;
    let resend = Config::default().resend_max + control_reserve;
    sessions_bound(count, window_max) + 2 * resend + 2 * SHARD_BUFFERS
}

/// What may be held once nothing moves: sessions, and the buffers that each shard keeps for the next.
fn rest_bound(count: u64, window_max: u64) -> u64 {
    sessions_bound(count, window_max) + 2 * SHARD_BUFFERS
}

#[test]
fn small_messages_to_a_client_that_does_not_read_pin_no_more_than_the_bound() {
    let rig = Rig::start();
    let _stalled = rig.stall_down(send_messages);
    rig.assert_bulk("small messages down", 1, POP_WINDOW_MAX, Rig::bulk_down);
}

#[test]
fn small_messages_to_a_target_that_does_not_read_pin_no_more_than_the_bound() {
    let rig = Rig::start();
    let _stalled = rig.stall_up(send_messages);
    rig.assert_bulk("small messages up", 1, edge_window_max(), Rig::bulk_up);
}

#[test]
fn twenty_clients_that_do_not_read_pin_no_more_than_the_bound() {
    let rig = Rig::start();
    let _stalled: Vec<_> = (0..20).map(|_| rig.stall_down(send_bulk)).collect();
    rig.wait_stalled(20);
    rig.assert_bulk("20 stalled down", 20, POP_WINDOW_MAX, Rig::bulk_down);
}

#[test]
fn twenty_targets_that_do_not_read_pin_no_more_than_the_bound() {
    let rig = Rig::start();
    let _stalled: Vec<_> = (0..20).map(|_| rig.stall_up(send_bulk)).collect();
    rig.wait_stalled(20);
    rig.assert_bulk("20 stalled up", 20, edge_window_max(), Rig::bulk_up);
}

/// Writes as much as is taken.
fn send_bulk(mut stream: TcpStream, _: &Pace) -> io::Result<()> {
    Content::new(2, STALLED_LEN).send(&mut stream)
}

/// Writes small messages at the pace of the bulk beside them, so that they arrive between bytes that
/// do not stay; after it as fast as they are taken, until kernels and windows are full.
fn send_messages(mut stream: TcpStream, pace: &Pace) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut sent = 0;
    while !pace.over.load(Ordering::SeqCst) {
        if sent * MESSAGE_EVERY < pace.moved.load(Ordering::SeqCst) {
            stream.write_all(&[7; 100])?;
            sent += 1;
        } else {
            thread::yield_now();
        }
    }
    Ok(())
}

/// What a stalled session's sender and the bulk beside it tell each other.
#[derive(Default)]
struct Pace {
    /// Held on the heap before any session.
    idle: u64,
    /// What the bulk has moved.
    moved: AtomicU64,
    over: AtomicBool,
}

/// A session that stalls as long as this lives.
struct Stalled {
    client: TcpStream,
    pace: Arc<Pace>,
    _target: Option<mpsc::Sender<()>>,
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.pace.over.store(true, Ordering::SeqCst);
        // The other end may be gone already.
        let _ = self.client.shutdown(Shutdown::Both);
    }
}

/// A manager, a POP and an edge on one counted thread.
struct Rig {
    proxy: SocketAddr,
    pace: Arc<Pace>,
    stop: watch::Sender<Stop>,
    thread: Option<JoinHandle<io::Result<()>>>,
    _data: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Rig {
    fn start() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let data = tempfile::tempdir().unwrap();
        let (stop, stopping) = watch::channel(Stop::No);
        let (tell, ready) = mpsc::channel();
        let path = data.path().to_owned();
        let thread = spawn("titan", move || async move {
            Heap::count_this_thread();
            let env = TokioEnv::new();
            let store = Embedded::open(&Location::Data(path.clone()), Mode::Thread).unwrap();
            store.create_user(user()).await.unwrap();
            let config = ManagerConfig {
                data: path.clone(),
                listen: ([127, 0, 0, 1], 0).into(),
                insecure: true,
                ..ManagerConfig::default()
            };
            let (ready, manager_at) = oneshot::channel();
            let stop = stopped(stopping.clone());
            let manager = manager::run(env.clone(), config, store.clone(), ready, stop);
            let manager = spawn_local(manager);
            let manager_at = manager_at.await.unwrap();

            // The URL that edges are told must name the port, so it is picked here.
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
            let tunnels = free.unwrap();
            let config = PopConfig {
                id: "pop".into(),
                data: path.clone(),
                listen_socks: Some(([127, 0, 0, 1], 0).into()),
                listen_tunnels: tunnels,
                public_url: format!("ws://{tunnels}"),
                insecure: true,
                limits: Limits {
                    memory_budget_bytes: MEMORY_BUDGET,
                    window_bytes_max: POP_WINDOW_MAX.try_into().unwrap(),
                    ..Limits::default()
                },
                ..PopConfig::default()
            };
            let (ready, pop_at) = oneshot::channel();
            let (_, census) = tokio_mpsc::channel(1);
            let stop = stopping.clone();
            let pop = pop::run(env.clone(), config, store, None, ready, census, stop);
            let pop = spawn_local(pop);
            let proxy = pop_at.await.unwrap().clients[0];

            let config = EdgeConfig {
                node_id: "edge".into(),
                manager: format!("http://{manager_at}"),
                join: Some(Secret::load(&path.join(JOIN_SECRET_FILE)).unwrap()),
                allow_targets: vec!["127.0.0.0/8".into()],
                insecure: true,
                memory_budget_bytes: MEMORY_BUDGET,
                ..EdgeConfig::default()
            };
            let (attached, mut online) = tokio_mpsc::channel(1);
            let (_, census) = tokio_mpsc::channel(1);
            let stop = stopping.clone();
            let edge = spawn_local(edge::run(env, config, None, attached, census, stop));
            online.recv().await.unwrap();
            tell.send(proxy).unwrap();
            stopped(stopping).await;
            edge.await.unwrap().unwrap();
            pop.await.unwrap().unwrap();
            manager.await.unwrap().unwrap();
        });
        let proxy = ready.recv_timeout(PATIENCE).unwrap();
        let mut rig = Self {
            proxy,
            pace: Arc::default(),
            stop,
            thread: Some(thread.unwrap()),
            _data: data,
            _alone: alone,
        };
        // The first login hashes the password, and the first traffic makes the buffers that stay.
        for _ in 0..2 {
            rig.bulk_down(Content::new(3, 32 * MIB));
            rig.bulk_up(Content::new(3, 32 * MIB));
        }
        rig.settle();
        rig.pace = Arc::new(Pace {
            idle: Heap::current(),
            ..Pace::default()
        });
        Heap::reset_peak();
        rig
    }

    /// Opens a session whose client reads nothing.
    fn stall_down(&self, send: Send) -> Stalled {
        let pace = Arc::clone(&self.pace);
        let server = Server::start(move |stream| send(stream, &pace));
        let client = socks::connect(self.proxy, server.address).unwrap();
        self.stalled(client, None)
    }

    /// Opens a session whose target reads nothing.
    fn stall_up(&self, send: Send) -> Stalled {
        let (hold, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let server = Server::start(move |_stream| {
            // Nothing is ever sent; the test's end is the end of this.
            let _ = held.lock().unwrap().recv();
            Ok(())
        });
        let client = socks::connect(self.proxy, server.address).unwrap();
        let (sender, pace) = (client.try_clone().unwrap(), Arc::clone(&self.pace));
        thread::spawn(move || send(sender, &pace));
        self.stalled(client, Some(hold))
    }

    fn stalled(&self, client: TcpStream, target: Option<mpsc::Sender<()>>) -> Stalled {
        Stalled {
            client,
            pace: Arc::clone(&self.pace),
            _target: target,
        }
    }

    fn bulk_down(&self, content: Content) {
        let server = Server::start(move |mut stream| content.send(&mut stream));
        let mut client = socks::connect(self.proxy, server.address).unwrap();
        content
            .receive_noting(&mut client, |len| {
                self.pace.moved.store(len, Ordering::SeqCst)
            })
            .unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    fn bulk_up(&self, content: Content) {
        let server = Server::start(move |mut stream| content.receive_to_end(&mut stream));
        let mut client = socks::connect(self.proxy, server.address).unwrap();
        content
            .send_noting(&mut client, |len| {
                self.pace.moved.store(len, Ordering::SeqCst)
            })
            .unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        server.outcome().unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    /// Waits until so many sessions have stalled.
    fn wait_stalled(&self, count: u64) {
        let holds = || Heap::current() >= self.pace.idle + count * HELD_MIN;
        eventually("the sessions stall", PATIENCE, holds);
    }

    /// Moves a lot beside `count` sessions that stall, and judges what was held meanwhile and what is
    /// still held after.
    #[allow(
        clippy::print_stderr,
        reason = "tests have no other way to tell figures"
    )]
    fn assert_bulk(&self, what: &str, count: u64, window_max: u64, bulk: impl Fn(&Self, Content)) {
        bulk(self, BULK);
        // Kernels may have taken all so far: whoever still sends goes on until it is stopped.
        self.pace.moved.store(u64::MAX, Ordering::SeqCst);
        self.wait_stalled(count);
        self.settle();
        let idle = self.pace.idle;
        // The bulk is a session too.
        let peak = (Heap::peak() - idle, peak_bound(count + 1, window_max));
        let rest = (Heap::current() - idle, rest_bound(count, window_max));
        for (when, (held, bound)) in [("at peak", peak), ("after", rest)] {
            eprintln!(
                "{what}: {} KiB {when}, bound {} KiB",
                held >> 10,
                bound >> 10
            );
            assert!(
                held <= bound,
                "{what}: {held} bytes {when}, {bound} are allowed"
            );
        }
    }

    /// Waits until nothing changes on the heap.
    fn settle(&self) {
        let mut before = 0;
        let mut same = 0;
        eventually("the heap settles", PATIENCE, || {
            let now = Heap::current();
            same = if now == before { same + 1 } else { 0 };
            before = now;
            same == 20
        });
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Now);
        let ended = self.thread.take().unwrap().join();
        assert!(thread::panicking() || ended.is_ok_and(|ended| ended.is_ok()));
    }
}

fn user() -> NewUser {
    let hash = hash_password(socks::USER.1, [1; 16], Cost::default());
    NewUser::new(socks::USER.0.into(), hash, 1)
}

#[allow(unsafe_code, reason = "an allocator that counts is one")]
mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[global_allocator]
    static HEAP: Heap = Heap;

    static CURRENT: AtomicI64 = AtomicI64::new(0);
    static PEAK: AtomicI64 = AtomicI64::new(0);

    thread_local! {
        static COUNTED: Cell<bool> = const { Cell::new(false) };
    }

    /// The system's allocator, with an account of what counted threads hold.
    pub(crate) struct Heap;

    impl Heap {
        pub(crate) fn count_this_thread() {
            COUNTED.set(true);
            CURRENT.store(0, Ordering::SeqCst);
        }

        pub(crate) fn current() -> u64 {
            CURRENT.load(Ordering::SeqCst).try_into().unwrap_or(0)
        }

        pub(crate) fn peak() -> u64 {
            PEAK.load(Ordering::SeqCst).try_into().unwrap_or(0)
        }

        pub(crate) fn reset_peak() {
            PEAK.store(CURRENT.load(Ordering::SeqCst), Ordering::SeqCst);
        }
    }

    fn note(change: i64) {
        // A thread that ends may have no flag any more.
        if COUNTED.try_with(Cell::get).unwrap_or(false) {
            let now = CURRENT.fetch_add(change, Ordering::Relaxed) + change;
            PEAK.fetch_max(now, Ordering::Relaxed);
        }
    }

    fn size(layout: Layout) -> i64 {
        i64::try_from(layout.size()).unwrap_or(i64::MAX)
    }

    // SAFETY: every call goes to the system's allocator as it is. Reallocation is left to the trait,
    // which allocates, copies and frees, so that both places count while both are held.
    unsafe impl GlobalAlloc for Heap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            note(size(layout));
            // SAFETY: the caller keeps the contract of this function, which is the same.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
            note(-size(layout));
            // SAFETY: the caller keeps the contract of this function, which is the same.
            unsafe { System.dealloc(place, layout) }
        }
    }
}
