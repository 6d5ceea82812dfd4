//! A network: its hosts, its names and its links.

use super::config::Config;
use super::ids::HostId;
use super::state::State;
use core::fmt;
use core::future::pending;
use core::task::Waker;
use core::time::Duration;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use titan_core::exit::guard::OwnNetwork;
use titan_core::time::Instant;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time;

/// A network in memory. Clones are the same network.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
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

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Streams are part of the state and print the network they are in.
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

impl Network {
    /// Creates an empty network whose time starts now.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime; [`run`](super::run) makes the right one.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let sooner = Arc::new(Notify::new());
        let network = Self(Arc::new(Shared {
            state: Mutex::new(State::new(config)),
            start: time::Instant::now(),
            sooner: Arc::clone(&sooner),
            driver: OnceLock::new(),
        }));
        let driver = tokio::spawn(drive(Arc::downgrade(&network.0), sooner));
        network.0.driver.get_or_init(|| driver.abort_handle());
        network
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

    /// Has a host tell from now on that it is on these networks, as one behind a router or with another
    /// interface does. Nothing is routed by it.
    pub fn set_own_network(&self, host: &str, own: OwnNetwork) {
        self.with(|state| {
            let host = state.host_id(host);
            state.hosts[host].own = Some(own);
        });
    }

    /// Has a host take this long to tell which networks it is on, and fail then if that is said.
    pub fn set_own_look(&self, host: &str, takes: Duration, fails: Option<ErrorKind>) {
        self.with(|state| {
            let host = state.host_id(host);
            state.hosts[host].own_look = (takes, fails);
        });
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

    /// Returns how many connections anyone in the network can still notice.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.with(|state| state.conns.len())
    }

    /// Returns the virtual time since the network began.
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

/// Lets events happen when they are due, as long as the network exists.
async fn drive(shared: Weak<Shared>, sooner: Arc<Notify>) {
    loop {
        let Some(network) = shared.upgrade().map(Network) else {
            return;
        };
        let next = network.with(|state| state.next_at());
        let next = next.map(|at| network.tokio_instant(at));
        // A network that only its driver holds is over.
        drop(network);
        let due = async {
            match next {
                Some(at) => time::sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = sooner.notified() => {}
            () = due => {}
        }
    }
}

impl State {
    /// Returns the host of this name.
    pub(super) fn host_id(&self, name: &str) -> HostId {
        let found = self.hosts.iter().position(|host| host.name == name);
        found.unwrap_or_else(|| panic!("there is no host {name:?}"))
    }
}
