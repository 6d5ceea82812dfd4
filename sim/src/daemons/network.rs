//! What hosts and streams of a run share beside turmoil's own world.

use super::account::Tally;
use super::stream::{Linger, Wakers};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// The state around the network. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Network(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    seed: u64,
    names: BTreeMap<String, IpAddr>,
    hosts: BTreeMap<IpAddr, HostState>,
    /// Directions in which everything is lost.
    lost: BTreeSet<(IpAddr, IpAddr)>,
    /// Hosts without power.
    dark: BTreeSet<IpAddr>,
    streams: BTreeMap<u64, Ends>,
    stream_count: u64,
    /// What moves at POPs between them and their clients, by the client's address.
    tallies: BTreeMap<SocketAddr, Arc<Tally>>,
}

#[derive(Debug, Default)]
struct HostState {
    seed_count: u64,
    /// How far the wall clock is off, in milliseconds.
    clock_offset: i64,
    /// Where sockets go that their process has let go of; none while the host has no power.
    linger: Option<UnboundedSender<Linger>>,
    lives: Vec<Life>,
}

/// A process of a host, from its start on.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Life {
    /// By which the store knows it, if it is a POP that got so far.
    pub(super) incarnation: Option<u64>,
    /// It died and had no last words.
    pub(super) crashed: bool,
}

#[derive(Debug)]
struct Ends {
    local: IpAddr,
    peer: IpAddr,
    wakers: Arc<Wakers>,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            seed,
            ..State::default()
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked inside has failed the run already.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets all hosts resolve a name.
    pub(super) fn name(&self, name: String, ip: IpAddr) {
        self.lock().names.insert(name, ip);
    }

    pub(super) fn resolve(&self, name: &str) -> Option<IpAddr> {
        self.lock().names.get(name).copied()
    }

    /// Returns a number of the host's own sequence, so that one host's draws do not shift another's,
    /// and the seed of the run.
    pub(super) fn draw(&self, host: IpAddr) -> (u64, u64) {
        let mut state = self.lock();
        let seed = state.seed;
        let count = &mut state.hosts.entry(host).or_default().seed_count;
        *count += 1;
        (seed, *count)
    }

    /// Returns the host's wall clock when `since` has passed since the start.
    pub(super) fn wall_clock(&self, host: IpAddr, since: Duration) -> Duration {
        let state = self.lock();
        let offset = state.hosts.get(&host).map_or(0, |host| host.clock_offset);
        let by = Duration::from_millis(offset.unsigned_abs());
        if offset < 0 {
            since.saturating_sub(by)
        } else {
            since + by
        }
    }

    /// Lets the host's wall clock jump.
    pub(super) fn jump(&self, host: IpAddr, millis: i64) {
        self.lock().hosts.entry(host).or_default().clock_offset += millis;
    }

    /// Notes that a process starts.
    pub(super) fn begin_life(&self, host: IpAddr) {
        let mut state = self.lock();
        state
            .hosts
            .entry(host)
            .or_default()
            .lives
            .push(Life::default());
    }

    /// Notes by which incarnation the store knows the present process of a host.
    pub(super) fn name_life(&self, host: IpAddr, incarnation: u64) {
        let mut state = self.lock();
        if let Some(life) = state.hosts.entry(host).or_default().lives.last_mut() {
            life.incarnation = Some(incarnation);
        }
    }

    /// Notes that the process of a host, if it runs, dies now.
    pub(super) fn crash_life(&self, host: IpAddr) {
        let mut state = self.lock();
        if let Some(life) = state.hosts.entry(host).or_default().lives.last_mut() {
            life.crashed = true;
        }
    }

    /// Returns the processes that a host has had.
    pub(super) fn lives(&self, host: IpAddr) -> Vec<Life> {
        let state = self.lock();
        let host = state.hosts.get(&host);
        host.map_or_else(Vec::new, |host| host.lives.clone())
    }

    /// Begins to count what moves between a client and the present process of a POP.
    pub(super) fn tally(&self, pop: IpAddr, client: SocketAddr) -> Arc<Tally> {
        let mut state = self.lock();
        let lives = &state.hosts.entry(pop).or_default().lives;
        let tally = Arc::new(Tally::new(lives.len().saturating_sub(1)));
        state.tallies.insert(client, Arc::clone(&tally));
        tally
    }

    /// Returns what is counted of a client's connection; nothing if no POP has accepted it.
    pub(super) fn tally_of(&self, client: SocketAddr) -> Arc<Tally> {
        let state = self.lock();
        state.tallies.get(&client).cloned().unwrap_or_default()
    }

    /// Notes that a host has power, and where its abandoned sockets go; or that it has none.
    pub(super) fn set_power(&self, host: IpAddr, kernel: Option<UnboundedSender<Linger>>) {
        let mut state = self.lock();
        match kernel {
            Some(_) => state.dark.remove(&host),
            None => state.dark.insert(host),
        };
        state.hosts.entry(host).or_default().linger = kernel;
    }

    /// Hands an abandoned socket over to the host's kernel; without one it is gone.
    pub(super) fn linger(&self, host: IpAddr, socket: Linger) {
        let state = self.lock();
        let kernel = state.hosts.get(&host).and_then(|host| host.linger.clone());
        // Unlocked first: dropping a socket draws the world in.
        drop(state);
        if let Some(kernel) = kernel {
            // A kernel that is gone has no sockets.
            let _ = kernel.send(socket);
        }
    }

    /// Notes in which direction everything is lost.
    pub(super) fn set_lost(&self, from: IpAddr, to: IpAddr, lost: bool) {
        let mut state = self.lock();
        if lost {
            state.lost.insert((from, to));
        } else {
            state.lost.remove(&(from, to));
        }
    }

    /// Returns whether no connection can be made between two hosts.
    pub(super) fn is_lost(&self, a: IpAddr, b: IpAddr) -> bool {
        let state = self.lock();
        let lost = &state.lost;
        lost.contains(&(a, b)) || lost.contains(&(b, a)) || state.dark.contains(&b)
    }

    /// Returns whether everything is lost in a direction.
    pub(super) fn is_lost_one_way(&self, from: IpAddr, to: IpAddr) -> bool {
        self.lock().lost.contains(&(from, to))
    }

    /// Remembers a stream, so that it can be cut; returns its number.
    pub(super) fn add_stream(&self, local: IpAddr, peer: IpAddr, wakers: Arc<Wakers>) -> u64 {
        let mut state = self.lock();
        state.stream_count += 1;
        let id = state.stream_count;
        state.streams.insert(
            id,
            Ends {
                local,
                peer,
                wakers,
            },
        );
        id
    }

    pub(super) fn remove_stream(&self, id: u64) {
        self.lock().streams.remove(&id);
    }

    /// Resets all connections between two hosts at both ends at once, as a middlebox that forgets
    /// them does. Returns how many there were.
    pub(super) fn cut(&self, a: IpAddr, b: IpAddr) -> usize {
        let hit: Vec<_> = {
            let state = self.lock();
            let between = |ends: &&Ends| {
                (ends.local, ends.peer) == (a, b) || (ends.local, ends.peer) == (b, a)
            };
            let hit = state.streams.values().filter(between);
            hit.map(|ends| Arc::clone(&ends.wakers)).collect()
        };
        hit.iter().for_each(|wakers| wakers.cut());
        hit.len().div_ceil(2)
    }
}
