//! The host's network and clock, as far as the manager needs them.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use titan_core::time::Instant;
use titan_runtime::env::{Env, Listener, Stream, StreamRole};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

pub(crate) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[derive(Clone)]
pub(crate) struct LoopbackEnv;

pub(crate) struct Tcp(TcpStream);

pub(crate) struct Accepting(TcpListener);

fn epoch() -> tokio::time::Instant {
    static EPOCH: OnceLock<tokio::time::Instant> = OnceLock::new();
    *EPOCH.get_or_init(tokio::time::Instant::now)
}

impl Env for LoopbackEnv {
    type Stream = Tcp;
    type Listener = Accepting;

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(epoch().elapsed().as_nanos()).unwrap())
    }

    fn unix_time(&self) -> Duration {
        SystemTime::UNIX_EPOCH.elapsed().unwrap()
    }

    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until(epoch() + Duration::from_nanos(at.as_nanos())).await;
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<Accepting> {
        TcpListener::bind(at).await.map(Accepting)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<Tcp> {
        TcpStream::connect(to).await.map(Tcp)
    }

    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        tokio::task::spawn_blocking(job).await.unwrap()
    }

    fn seed(&self) -> [u8; 32] {
        // Different each time, which is all that the tests need.
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        seed
    }
}

impl Listener for Accepting {
    type Stream = Tcp;

    async fn accept(&mut self) -> io::Result<(Tcp, SocketAddr)> {
        self.0
            .accept()
            .await
            .map(|(stream, peer)| (Tcp(stream), peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Stream for Tcp {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn tune(&self, _: StreamRole) {}

    fn set_abort_on_drop(&self) {}
    fn set_end_on_drop(&self) {}
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
