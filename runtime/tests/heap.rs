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
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use tempfile::TempDir;
use titan_core::endpoint::Config;
use titan_runtime::auth::{Cost, hash_password};
use titan_runtime::config::{EdgeConfig, Limits, ManagerConfig, PopConfig};
use titan_runtime::daemon::{spawn, stopped};
use titan_runtime::env::tokio::TokioEnv;
use titan_runtime::manager::JOIN_SECRET_FILE;
use titan_runtime::store::{Embedded, Location, Mode, NewUser, ReplyMode, Store as _};
use titan_runtime::token::Secret;
use titan_runtime::{edge, manager, pop};
use tokio::sync::{mpsc as tokio_mpsc, oneshot, watch};
use tokio::task::spawn_local;

const MIB: u64 = 1 << 20;

/// What a stalled session would move, were it not stalled: more than windows and kernels hold.
const STALLED_LEN: u64 = 96 * MIB;

const BULK: Content = Content::new(1, 512 * MIB);

const MESSAGE: usize = 100;

/// Windows grow out of a quarter of it, at either end.
const MEMORY_BUDGET: u64 = 64 * MIB;

/// The largest window for what clients receive.
const POP_WINDOW_MAX: u64 = MIB;

/// Buffers of a shard that are there however many sessions it has: two blocks that carriers read into
/// and two that sockets do (the present one, and one whose last slice is still on its way), and four
/// batches that carriers write from.
const SHARD_BUFFERS: u64 = 2 * (256 << 10) + 2 * (64 << 10) + 4 * ((128 + 80) << 10);

/// A session's state and tasks at one end.
const SESSION_STATE: u64 = 8 << 10;

/// What two shards may hold for `count` sessions in one direction, `window_max` being the receiving
/// end's.
///
/// - The receiving end holds windows, those beyond the base only out of the growth pool. It copies
///   what waits into chunks of which a quarter may be slack, and one more.
/// - The sending end holds what waits for the carrier and what waits for an acknowledgement. It copies
///   what uses less than half of its block, so twice as much may be pinned.
/// - Both have their buffers and the sessions' state.
fn bound(count: u64, window_max: u64) -> u64 {
    let config = Config::default();
    let growth = (count * (window_max - config.window_base)).min(MEMORY_BUDGET / 4);
    let windows = count * config.window_base + growth;
    let received = windows * 5 / 4 + count * (16 << 10);
    let control_reserve = 64 << 10;
    let sent = count * config.send_queue_max as u64 + config.resend_max + control_reserve;
    received + 2 * sent + 2 * SHARD_BUFFERS + 2 * count * SESSION_STATE
}

fn bound_down(count: u64) -> u64 {
    bound(count, POP_WINDOW_MAX)
}

fn bound_up(count: u64) -> u64 {
    bound(count, Config::default().window_max)
}

#[test]
fn a_client_that_does_not_read_small_messages_pins_no_more_than_the_bound() {
    let world = World::start();
    let _stalled = world.stall_down(Pieces::Messages);
    world.assert_bulk("small messages down", bound_down(2), World::bulk_down);
}

#[test]
fn a_target_that_does_not_read_small_messages_pins_no_more_than_the_bound() {
    let world = World::start();
    let _stalled = world.stall_up(Pieces::Messages);
    world.assert_bulk("small messages up", bound_up(2), World::bulk_up);
}

#[test]
fn twenty_clients_that_do_not_read_pin_no_more_than_the_bound() {
    let world = World::start();
    let _stalled: Vec<_> = (0..20).map(|_| world.stall_down(Pieces::Bulk)).collect();
    world.assert_bulk("20 stalled down", bound_down(21), World::bulk_down);
}

#[test]
fn twenty_targets_that_do_not_read_pin_no_more_than_the_bound() {
    let world = World::start();
    let _stalled: Vec<_> = (0..20).map(|_| world.stall_up(Pieces::Bulk)).collect();
    world.assert_bulk("20 stalled up", bound_up(21), World::bulk_up);
}

/// How a stalled session's sender writes.
#[derive(Clone, Copy)]
enum Pieces {
    /// A hundred bytes at a time.
    Messages,
    /// As much as is taken.
    Bulk,
}

/// Writes until all is sent or the other end is gone, which is as good.
fn send(mut stream: TcpStream, pieces: Pieces) {
    let _ = match pieces {
        Pieces::Bulk => Content::new(2, STALLED_LEN).send(&mut stream),
        Pieces::Messages => (0..STALLED_LEN / MESSAGE as u64).try_for_each(|_| {
            // Each in a segment of its own, as far as that can be had.
            stream.write_all(&[7; MESSAGE])?;
            thread::yield_now();
            Ok(())
        }),
    };
}

/// A session that stalls as long as this lives.
struct Stalled {
    client: TcpStream,
    _target: Option<mpsc::Sender<()>>,
}

impl Drop for Stalled {
    fn drop(&mut self) {
        // The other end may be gone already.
        let _ = self.client.shutdown(Shutdown::Both);
    }
}

/// A manager, a POP and an edge on one counted thread.
struct World {
    proxy: SocketAddr,
    /// Held on the heap before any session.
    idle: u64,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<io::Result<()>>>,
    _data: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    fn start() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let data = tempfile::tempdir().unwrap();
        let (stop, stopping) = watch::channel(false);
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
                listen_socks: ([127, 0, 0, 1], 0).into(),
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
            let stop = stopped(stopping.clone());
            let pop = pop::run(env.clone(), config, store, None, ready, census, stop);
            let pop = spawn_local(pop);
            let proxy = pop_at.await.unwrap().socks;

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
            let stop = stopped(stopping.clone());
            let edge = spawn_local(edge::run(env, config, None, attached, census, stop));
            online.recv().await.unwrap();
            tell.send(proxy).unwrap();
            stopped(stopping).await;
            edge.await.unwrap().unwrap();
            pop.await.unwrap().unwrap();
            manager.await.unwrap().unwrap();
        });
        let proxy = ready.recv_timeout(PATIENCE).unwrap();
        let mut world = Self {
            proxy,
            idle: 0,
            stop,
            thread: Some(thread.unwrap()),
            _data: data,
            _alone: alone,
        };
        // The first login hashes the password, and the first session makes what is kept.
        world.bulk_down(Content::new(3, MIB));
        world.settle();
        world.idle = Heap::current();
        Heap::reset_peak();
        world
    }

    /// Opens a session whose client reads nothing.
    fn stall_down(&self, pieces: Pieces) -> Stalled {
        let server = Server::start(move |stream| {
            stream.set_nodelay(true)?;
            send(stream, pieces);
            Ok(())
        });
        let client = socks::connect(self.proxy, server.address).unwrap();
        let _target = None;
        Stalled { client, _target }
    }

    /// Opens a session whose target reads nothing.
    fn stall_up(&self, pieces: Pieces) -> Stalled {
        let (hold, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let server = Server::start(move |_stream| {
            // Nothing is ever sent; the test's end is the end of this.
            let _ = held.lock().unwrap().recv();
            Ok(())
        });
        let client = socks::connect(self.proxy, server.address).unwrap();
        let sender = client.try_clone().unwrap();
        thread::spawn(move || send(sender, pieces));
        let _target = Some(hold);
        Stalled { client, _target }
    }

    fn bulk_down(&self, content: Content) {
        let server = Server::start(move |mut stream| content.send(&mut stream));
        let mut client = socks::connect(self.proxy, server.address).unwrap();
        content.receive_to_end(&mut client).unwrap();
    }

    fn bulk_up(&self, content: Content) {
        let server = Server::start(move |mut stream| content.receive_to_end(&mut stream));
        let mut client = socks::connect(self.proxy, server.address).unwrap();
        content.send(&mut client).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        server.outcome().unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }

    /// Moves a lot beside whatever stalls, and judges what was held meanwhile.
    #[allow(
        clippy::print_stderr,
        reason = "tests have no other way to tell figures"
    )]
    fn assert_bulk(&self, what: &str, bound: u64, bulk: impl Fn(&Self, Content)) {
        bulk(self, BULK);
        let stalled = Heap::current().saturating_sub(self.idle);
        let peak = Heap::peak() - self.idle;
        eprintln!(
            "{what}: peak {} KiB, still held {} KiB, bound {} KiB",
            peak >> 10,
            stalled >> 10,
            bound >> 10
        );
        assert!(
            peak <= bound,
            "{what}: {peak} bytes at peak, {bound} are allowed"
        );
        // Otherwise nothing stalled.
        assert!(
            stalled > Config::default().window_base / 2,
            "{what}: {stalled} bytes held"
        );
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

impl Drop for World {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let ended = self.thread.take().unwrap().join();
        assert!(thread::panicking() || ended.is_ok_and(|ended| ended.is_ok()));
    }
}

fn user() -> NewUser {
    NewUser {
        name: socks::USER.0.into(),
        password_hash: hash_password(socks::USER.1, [1; 16], Cost::default()),
        enabled: true,
        created_at: 1,
        expires_at: None,
        reply: ReplyMode::Fast,
    }
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
