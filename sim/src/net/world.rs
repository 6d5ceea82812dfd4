//! A world: its hosts, its names and its links.

use super::driver::drive;
use super::env::SimEnv;
use super::state::{HostId, State};
use core::fmt;
use core::task::Waker;
use core::time::Duration;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use titan_core::time::Instant;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time;

/// What holds everywhere in a world unless set otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where all randomness comes from.
    pub seed: u64,
    /// The one-way delay between two hosts; the round trip is twice as long.
    pub delay: Duration,
    /// Bytes a sender's kernel holds until they are acknowledged.
    pub send_buffer: usize,
    /// Bytes a receiver's kernel holds until they are read.
    pub receive_buffer: usize,
    /// Connections that wait to be accepted; a SYN beyond it is ignored.
    pub backlog: usize,
    /// How long it takes to find out that a name does not exist.
    pub lookup_delay: Duration,
    /// How long CPU-heavy work takes.
    pub work_cost: Duration,
}

impl Config {
    /// Creates the usual configuration: 10 ms of delay, buffers of 64 KiB, a backlog of 1024.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            delay: Duration::from_millis(10),
            send_buffer: 64 * 1024,
            receive_buffer: 64 * 1024,
            backlog: 1024,
            lookup_delay: Duration::from_millis(20),
            work_cost: Duration::ZERO,
        }
    }
}

/// A network in memory. Clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Shared>);

pub(super) struct Shared {
    state: Mutex<State>,
    start: time::Instant,
    /// Tells the driver that an event is due earlier than it thinks.
    sooner: Arc<Notify>,
    driver: OnceLock<AbortHandle>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.get() {
            driver.abort();
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Streams are part of the state and print the world they are in.
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// Creates an empty world whose time starts now.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime; [`run`](super::run) makes the right one.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let sooner = Arc::new(Notify::new());
        let world = Self(Arc::new(Shared {
            state: Mutex::new(State::new(config)),
            start: time::Instant::now(),
            sooner: Arc::clone(&sooner),
            driver: OnceLock::new(),
        }));
        let driver = tokio::spawn(drive(Arc::downgrade(&world.0), sooner));
        world.0.driver.get_or_init(|| driver.abort_handle());
        world
    }

    pub(super) fn upgrade(shared: &Weak<Shared>) -> Option<Self> {
        shared.upgrade().map(Self)
    }

    /// Adds a host with one address.
    ///
    /// # Panics
    /// Panics if there is a host of this name or with this address.
    #[must_use]
    pub fn host(&self, name: &str, ip: IpAddr) -> SimEnv {
        self.with(|state| {
            let taken = state.hosts.iter().any(|host| host.name == name);
            assert!(!taken, "there is a host {name:?} already");
            state.add_host(name.to_owned());
        });
        self.address(name, ip);
        self.env(name)
    }

    /// Gives a host one more address.
    ///
    /// # Panics
    /// Panics if another host has it.
    pub fn address(&self, host: &str, ip: IpAddr) {
        self.with(|state| {
            let taken = state.hosts.iter().any(|host| host.addresses.contains(&ip));
            assert!(!taken, "there is a host at {ip} already");
            let host = state.host_id(host);
            state.hosts[host].addresses.push(ip);
        });
    }

    /// Returns the environment of a host, for daemons that start there now.
    #[must_use]
    pub fn env(&self, host: &str) -> SimEnv {
        let (id, incarnation) = self.with(|state| {
            let id = state.host_id(host);
            (id, state.hosts[id].incarnation)
        });
        SimEnv::new(self.clone(), id, incarnation)
    }

    /// Sets the one-way delay between two hosts, both ways; it holds for what is sent from now on.
    pub fn set_delay(&self, a: &str, b: &str, delay: Duration) {
        self.with(|state| {
            let (a, b) = (state.host_id(a), state.host_id(b));
            state.link(a, b).delay = delay;
            state.link(b, a).delay = delay;
        });
    }

    /// Limits one direction to this many bytes per second; `None` lifts the limit.
    pub fn set_bandwidth(&self, from: &str, to: &str, bytes_per_second: Option<u64>) {
        self.with(|state| {
            let (from, to) = (state.host_id(from), state.host_id(to));
            state.link(from, to).bandwidth = bytes_per_second;
        });
    }

    /// Lets all hosts resolve a name to these addresses after `delay`.
    pub fn name(&self, name: &str, addresses: Vec<IpAddr>, delay: Duration) {
        self.with(|state| state.names.insert(name.to_owned(), (addresses, delay)));
    }

    /// Returns how many streams the tasks of a host hold, connects under way included.
    #[must_use]
    pub fn stream_count(&self, host: &str) -> usize {
        self.with(|state| {
            let host = state.host_id(host);
            state.hosts[host].stream_count
        })
    }

    /// Returns how many connections anyone in the world can still notice.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.with(|state| state.conns.len())
    }

    /// Returns the virtual time since the world began.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::EPOCH + self.0.start.elapsed()
    }

    pub(super) fn tokio_instant(&self, at: Instant) -> time::Instant {
        self.0.start + at.since(Instant::EPOCH)
    }

    /// Works on the state at the present time, then wakes whom it concerns. What is due by then has
    /// happened, in whatever order tasks and the driver wake up at one instant.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let before = state.next_at();
        let out = f(&mut state);
        let wakes = core::mem::take(&mut state.wakes);
        let sooner = match (before, state.next_at()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(before), Some(after)) => after < before,
        };
        // Unlocked first: a waker may drop a task, and with it streams.
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        if sooner {
            self.0.sooner.notify_one();
        }
        out
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked inside has failed already; others must still be able to clean up.
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = self.now();
        state.run_due();
        state
    }
}

impl State {
    /// Returns the host of this name.
    pub(super) fn host_id(&self, name: &str) -> HostId {
        let found = self.hosts.iter().position(|host| host.name == name);
        found.unwrap_or_else(|| panic!("there is no host {name:?}"))
    }
}
