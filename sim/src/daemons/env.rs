//! A host of turmoil's as the daemons see it.

use super::clock;
use super::network::Network;
use super::ports::SOCKS_PORT;
use super::stream::TurmoilStream;
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use titan_core::exit::guard::OwnNetwork;
use titan_core::rng::Rng;
use titan_core::time::Instant;
use titan_runtime::env::{Env, Listener};
use tokio::time;
use turmoil::net::{TcpListener, TcpStream};

/// How long a kernel tries to connect (Linux: six SYNs).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);

/// How long it waits for an answer to its first SYN; twice as long for each further one.
const SYN_RETRY: Duration = Duration::from_secs(1);

/// How long it takes to resolve a name, or to find out that there is none.
const LOOKUP: Duration = Duration::from_millis(5);

/// One host. CPU-heavy work runs inline; names come from the run's own list.
#[derive(Clone, Debug)]
pub(super) struct TurmoilEnv {
    network: Network,
    host: IpAddr,
}

impl TurmoilEnv {
    pub(super) fn new(network: Network, host: IpAddr) -> Self {
        Self { network, host }
    }
}

impl Env for TurmoilEnv {
    type Stream = TurmoilStream;
    type Listener = TurmoilListener;

    fn now(&self) -> Instant {
        Instant::EPOCH + clock::now()
    }

    fn unix_time(&self) -> Duration {
        let since = clock::UNIX_EPOCH + clock::now();
        self.network.wall_clock(self.host, since)
    }

    async fn sleep_until(&self, at: Instant) {
        time::sleep(at.since(self.now())).await;
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<TurmoilListener> {
        // A host of turmoil's has one address and listens at all of them.
        let listener = TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), at.port())).await?;
        let at = SocketAddr::new(self.host, listener.local_addr()?.port());
        let env = self.clone();
        Ok(TurmoilListener { env, listener, at })
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<TurmoilStream> {
        let attempt = async {
            let mut retry = SYN_RETRY;
            loop {
                match TcpStream::connect(to).await {
                    Ok(tcp) => {
                        let mut stream = TurmoilStream::new(self.network.clone(), self.host, tcp)?;
                        stream.opened().await?;
                        return Ok(stream);
                    }
                    // turmoil refuses at once where every SYN is lost.
                    Err(_) if self.network.is_lost(self.host, to.ip()) => {
                        time::sleep(retry).await;
                        retry *= 2;
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let outcome = time::timeout(CONNECT_TIMEOUT, attempt).await;
        outcome.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        time::sleep(LOOKUP).await;
        let found = self.network.resolve(name);
        let unknown = || io::Error::new(ErrorKind::NotFound, "no such name in this world");
        found.map(|ip| vec![ip]).ok_or_else(unknown)
    }

    async fn own_network(&self) -> io::Result<OwnNetwork> {
        Ok(OwnNetwork {
            interfaces: vec![self.host.into()],
            ..OwnNetwork::default()
        })
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        core::future::ready(job()).await
    }

    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        let IpAddr::V4(host) = self.host else {
            unreachable!("hosts have IPv4 addresses");
        };
        let (run, count) = self.network.draw(self.host);
        let parts = [run, u64::from(host.to_bits()), count];
        for (place, part) in seed.chunks_mut(8).zip(parts) {
            place.copy_from_slice(&part.to_le_bytes());
        }
        Rng::new(seed).bytes()
    }
}

/// A listener of a host.
pub(super) struct TurmoilListener {
    env: TurmoilEnv,
    listener: TcpListener,
    at: SocketAddr,
}

impl Listener for TurmoilListener {
    type Stream = TurmoilStream;

    async fn accept(&mut self) -> io::Result<(TurmoilStream, SocketAddr)> {
        let (tcp, peer) = self.listener.accept().await?;
        let TurmoilEnv { network, host } = self.env.clone();
        let tally = (self.at.port() == SOCKS_PORT).then(|| network.tally(host, peer));
        let mut stream = TurmoilStream::new(network, host, tcp)?;
        stream.accepted(tally)?;
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}
