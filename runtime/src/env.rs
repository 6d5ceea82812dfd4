//! The seam between the daemons and the world.
//!
//! Everything a daemon takes from outside goes through one [`Env`]: connections, names, time,
//! randomness, threads and CPU-heavy work. Daemons are generic over it. [`tokio::TokioEnv`] is the
//! world of production; simulations bring their own and run the same daemons.

pub mod tokio;

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use titan_core::exit::guard::OwnNetwork;
use titan_core::time::Instant;

/// A world to run daemons in. Cloning is cheap: all clones are the same world.
pub trait Env: Clone + Send + Sync + 'static {
    /// A byte stream.
    type Stream: Stream;
    /// A source of accepted streams.
    type Listener: Listener<Stream = Self::Stream>;

    /// Returns the monotonic time.
    fn now(&self) -> Instant;

    /// Returns the time since the Unix epoch. It may jump; nothing that ends a wait depends on it.
    fn unix_time(&self) -> Duration;

    /// Waits until `at`.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send;

    /// Starts to accept streams at `at`; port 0 picks a free one.
    fn listen(&self, at: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Tells whether somebody listens where it keeps others from listening at an address; none where the
    /// world cannot tell.
    fn has_listener(&self, at: SocketAddr) -> Option<bool> {
        let _ = at;
        None
    }

    /// Opens a stream to `to`. Dropping the future gives the attempt up.
    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Resolves `name`, which is never an address literal. Dropping the future gives the look-up up; how
    /// long it may take and how many run at once is up to the caller.
    fn resolve(&self, name: &str) -> impl Future<Output = io::Result<Vec<IpAddr>>> + Send;

    /// Tells which networks this host is on now; none where the world cannot tell.
    fn own_network(&self) -> impl Future<Output = io::Result<OwnNetwork>> + Send {
        core::future::ready(Ok(OwnNetwork::default()))
    }

    /// Runs a job that costs the CPU more than about a millisecond away from the caller's thread. At
    /// most a fixed number run at once; the rest wait.
    fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;

    /// Returns 32 fresh random bytes.
    fn seed(&self) -> [u8; 32];
}

/// A byte stream, TCP in production.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Returns the address at the other end.
    ///
    /// # Errors
    /// Fails if the stream is no longer connected.
    fn peer_addr(&self) -> io::Result<SocketAddr>;

    /// Returns the address at this end.
    ///
    /// # Errors
    /// Fails if the stream is no longer connected.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Sets the options of a stream of this role; options that the world does not know are skipped.
    fn tune(&self, role: StreamRole);

    /// Reads into several buffers at once; zero is the end.
    ///
    /// # Errors
    /// Fails as a read does.
    fn poll_read_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(first) = bufs.first_mut() else {
            return Poll::Ready(Ok(0));
        };
        let mut buf = ReadBuf::new(first);
        Pin::new(self)
            .poll_read(cx, &mut buf)
            .map_ok(|()| buf.filled().len())
    }

    /// Returns how many written bytes the peer has not acknowledged, where the world can tell.
    fn unsent(&self) -> Option<usize> {
        None
    }

    /// Makes dropping the stream abort it: the peer sees a reset, never a clean end. It holds for the
    /// death of the process too, where the world can arrange that.
    fn set_abort_on_drop(&self);

    /// Undoes [`set_abort_on_drop`](Self::set_abort_on_drop): dropping the stream ends it cleanly.
    fn set_end_on_drop(&self);
}

/// What a stream is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamRole {
    /// A client of the POP or a target of the edge: no delay, TCP keepalive.
    Flow,
    /// A carrier: no delay, and a low bound on unsent bytes in the kernel, so that the scheduler
    /// decides as late as possible.
    Carrier,
}

/// A source of accepted streams.
pub trait Listener: Send + 'static {
    /// The streams it yields.
    type Stream: Stream;

    /// Waits for the next stream. Cancel-safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Returns the address it listens at.
    ///
    /// # Errors
    /// Fails if the listener is broken.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}
