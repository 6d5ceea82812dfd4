//! An `Env` with a clock that only the test moves, and a store that fails when told to.

use crate::env::{Env, Listener, Stream, StreamRole};
use crate::store::{Embedded, Gate, Gated, StoreError};
use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use titan_core::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

#[derive(Clone)]
pub(super) struct ClockworkEnv(Arc<Inner>);

struct Inner {
    clock: watch::Sender<Duration>,
    open: watch::Sender<bool>,
    started: watch::Sender<usize>,
    finished: watch::Sender<usize>,
    sleeping: watch::Sender<usize>,
}

impl Default for ClockworkEnv {
    fn default() -> Self {
        let watch = || watch::Sender::new(0);
        Self(Arc::new(Inner {
            clock: watch::Sender::new(Duration::from_secs(1_700_000_000)),
            open: watch::Sender::new(true),
            started: watch(),
            finished: watch(),
            sleeping: watch(),
        }))
    }
}

impl ClockworkEnv {
    pub(super) fn advance(&self, by: Duration) {
        self.0.clock.send_modify(|now| *now += by);
    }

    pub(super) fn close_gate(&self) {
        self.0.open.send_replace(false);
    }

    pub(super) fn open_gate(&self) {
        self.0.open.send_replace(true);
    }

    /// Returns how many jobs were done.
    pub(super) fn jobs(&self) -> usize {
        *self.0.finished.borrow()
    }

    pub(super) async fn started(&self, count: usize) {
        self.0
            .started
            .subscribe()
            .wait_for(|now| *now >= count)
            .await
            .unwrap();
    }

    /// Waits until so many sleep with their time not yet come.
    pub(super) async fn sleeping(&self, count: usize) {
        self.0
            .sleeping
            .subscribe()
            .wait_for(|now| *now >= count)
            .await
            .unwrap();
    }
}

impl Env for ClockworkEnv {
    type Stream = Never;
    type Listener = Never;

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.unix_time().as_nanos()).unwrap())
    }

    fn unix_time(&self) -> Duration {
        *self.0.clock.borrow()
    }

    async fn sleep_until(&self, at: Instant) {
        let mut clock = self.0.clock.subscribe();
        if self.now() < at {
            self.0.sleeping.send_modify(|count| *count += 1);
            let _asleep = Asleep(&self.0.sleeping);
            let at = Duration::from_nanos(at.as_nanos());
            clock.wait_for(|now| *now >= at).await.unwrap();
        }
    }

    async fn listen(&self, _: SocketAddr) -> io::Result<Never> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, _: SocketAddr) -> io::Result<Never> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.0.started.send_modify(|count| *count += 1);
        self.0
            .open
            .subscribe()
            .wait_for(|open| *open)
            .await
            .unwrap();
        let result = job();
        self.0.finished.send_modify(|count| *count += 1);
        result
    }

    fn seed(&self) -> [u8; 32] {
        [9; 32]
    }
}

struct Asleep<'a>(&'a watch::Sender<usize>);

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// A stream that cannot exist: this world has no network.
pub(super) struct Never(Infallible);

impl AsyncRead for Never {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl AsyncWrite for Never {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl Stream for Never {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self.0 {}
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.0 {}
    }

    fn tune(&self, _: StreamRole) {}

    fn set_abort_on_drop(&self) {}
    fn set_end_on_drop(&self) {}
}

impl Listener for Never {
    type Stream = Self;

    async fn accept(&mut self) -> io::Result<(Self, SocketAddr)> {
        match self.0 {}
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.0 {}
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Broken,
    Hanging,
}

/// A store whose reads of users fail or hang when told to.
pub(super) type FlakyStore = Gated<Embedded, Moody>;

/// What the store's reads of users depend on.
#[derive(Clone)]
pub(super) struct Moody {
    mood: Arc<watch::Sender<Mood>>,
    reads: Arc<watch::Sender<usize>>,
}

pub(super) fn flaky(store: Embedded) -> FlakyStore {
    let (mood, reads) = (watch::Sender::new(Mood::Well), watch::Sender::new(0));
    let gate = Moody {
        mood: Arc::new(mood),
        reads: Arc::new(reads),
    };
    Gated { store, gate }
}

impl Moody {
    pub(super) fn break_down(&self) {
        self.mood.send_replace(Mood::Broken);
    }

    pub(super) fn hang(&self) {
        self.mood.send_replace(Mood::Hanging);
    }

    pub(super) fn recover(&self) {
        self.mood.send_replace(Mood::Well);
    }

    pub(super) fn reads(&self) -> usize {
        *self.reads.borrow()
    }

    pub(super) async fn asked(&self, times: usize) {
        self.reads
            .subscribe()
            .wait_for(|reads| *reads >= times)
            .await
            .unwrap();
    }
}

impl Gate for Moody {
    async fn before(&self, operation: &'static str) -> Result<(), StoreError> {
        if operation != "user" {
            return Ok(());
        }
        self.reads.send_modify(|reads| *reads += 1);
        let mood = *self.mood.borrow();
        match mood {
            Mood::Well => Ok(()),
            Mood::Broken => Err(StoreError::Unavailable("broken".to_owned())),
            Mood::Hanging => core::future::pending().await,
        }
    }

    async fn after(&self, _: &'static str) -> Result<(), StoreError> {
        core::future::ready(Ok(())).await
    }
}
