//! A host as the daemons see it.

use super::conn::Side;
use super::ids::HostId;
use super::network::Network;
use super::stream::SimStream;
use core::future::{pending, poll_fn};
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use titan_core::exit::guard::OwnNetwork;
use titan_core::rng::Rng;
use titan_core::time::Instant;
use titan_runtime::env::{Env, Listener};
use tokio::time;

/// The Unix time at the start of every network: 2025-01-01, when certificates made by tests are valid.
const UNIX_EPOCH: Duration = Duration::from_secs(1_735_689_600);

/// One host of a network.
///
/// CPU-heavy work runs inline, after the cost in the network's configuration, without a limit.
#[derive(Clone, Debug)]
pub struct SimEnv {
    network: Network,
    host: HostId,
    incarnation: u64,
}

impl Network {
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

    /// Returns the environment of a host, for daemons that start there now.
    #[must_use]
    pub fn env(&self, host: &str) -> SimEnv {
        let (id, incarnation) = self.with(|state| {
            let id = state.host_id(host);
            (id, state.hosts[id].incarnation)
        });
        SimEnv {
            network: self.clone(),
            host: id,
            incarnation,
        }
    }
}

impl SimEnv {
    /// Returns whether the host has not crashed since this environment was made.
    fn is_alive(&self) -> bool {
        self.network.with(|state| {
            let host = &state.hosts[self.host];
            host.alive && host.incarnation == self.incarnation
        })
    }

    /// Waits for ever if the host has crashed.
    async fn live(&self) {
        if !self.is_alive() {
            pending().await
        }
    }
}

impl Env for SimEnv {
    type Stream = SimStream;
    type Listener = SimListener;

    fn now(&self) -> Instant {
        self.network.now()
    }

    fn unix_time(&self) -> Duration {
        UNIX_EPOCH + self.now().since(Instant::EPOCH)
    }

    async fn sleep_until(&self, at: Instant) {
        time::sleep(at.since(self.now())).await;
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<SimListener> {
        self.live().await;
        let at = self.network.with(|state| state.listen(self.host, at))?;
        Ok(SimListener {
            env: self.clone(),
            at,
        })
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<SimStream> {
        self.live().await;
        let conn = self.network.with(|state| state.open(self.host, to))?;
        // From here on dropping this future drops the stream, which gives the attempt up.
        let stream = SimStream::new(self.network.clone(), conn, Side::Client);
        poll_fn(|cx| stream.poll_open(cx)).await?;
        Ok(stream)
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let (found, delay) = self.network.with(|state| match state.names.get(name) {
            Some((addresses, delay)) => (Some(addresses.clone()), *delay),
            None => (None, state.config.lookup_delay),
        });
        time::sleep(delay).await;
        found.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "no such name in the network"))
    }

    async fn own_network(&self) -> io::Result<OwnNetwork> {
        let (takes, fails) = self.network.with(|state| state.hosts[self.host].own_look);
        if !takes.is_zero() {
            time::sleep(takes).await;
        }
        if let Some(kind) = fails {
            return Err(kind.into());
        }
        Ok(self.network.with(|state| {
            let host = &state.hosts[self.host];
            let alone = || OwnNetwork {
                interfaces: host.addresses.iter().map(|ip| (*ip).into()).collect(),
                ..OwnNetwork::default()
            };
            host.own.clone().unwrap_or_else(alone)
        }))
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let cost = self.network.with(|state| state.config.work_cost);
        if !cost.is_zero() {
            time::sleep(cost).await;
        }
        job()
    }

    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.network.with(|state| {
            // Counted per host, so that one host's draws do not shift another's.
            let host = &mut state.hosts[self.host];
            host.seed_count += 1;
            for (index, part) in [state.config.seed, self.host as u64, host.seed_count]
                .into_iter()
                .enumerate()
            {
                seed[index * 8..][..8].copy_from_slice(&part.to_le_bytes());
            }
        });
        Rng::new(seed).bytes()
    }
}

/// A listener of a host. Dropping it resets who waits in its backlog.
#[derive(Debug)]
pub struct SimListener {
    env: SimEnv,
    at: SocketAddr,
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        let SimEnv {
            network,
            host,
            incarnation,
        } = &self.env;
        let (conn, peer) =
            poll_fn(|cx| network.with(|state| state.poll_accept(*host, *incarnation, self.at, cx)))
                .await;
        Ok((SimStream::new(network.clone(), conn, Side::Server), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let SimEnv {
            network,
            host,
            incarnation,
        } = &self.env;
        network.with(|state| state.close_listener(*host, *incarnation, self.at));
    }
}
