//! The world of production: the operating system through tokio.

#[cfg(target_os = "linux")]
mod listeners;
pub(crate) mod names;
mod own;
mod spare;

use super::{Env, Listener, Stream, StreamRole};
use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net;
use ::tokio::sync::{Mutex, Semaphore};
use ::tokio::task::spawn_blocking;
use ::tokio::time;
use core::future::{pending, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use names::Names;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Instant as StdInstant, SystemTime};
use titan_core::exit::guard::OwnNetwork;
use titan_core::time::Instant;

/// How many connections the kernel keeps for a listener that is behind: enough for a fleet that
/// reconnects at once, within Linux' default `somaxconn` of 4096.
const BACKLOG: i32 = 1024;

/// How long a flow's socket may be silent before the kernel probes it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// The time between two probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// How many unanswered probes end a connection.
const KEEPALIVE_PROBES: u32 = 4;

/// How many bytes of a carrier may wait unsent in the kernel: two batches, so that the link never
/// idles and a frame of higher rank waits for little.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CARRIER_UNSENT_MAX: u32 = 256 * 1024;

/// How old a look at this host's networks may be that is taken for the present: a thousand edges of one
/// process do not look a thousand times.
const OWN_AGE_MAX: Duration = Duration::from_millis(100);

/// A wait beyond this is the same as for ever. tokio's timer wheel ends after two years.
const SLEEP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// The world of production. Clones share its clock and its limits.
///
/// Its methods must be called within a tokio runtime with I/O and time enabled; a stream stays with
/// the runtime that opened it.
#[derive(Clone, Debug)]
pub struct TokioEnv(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    start: StdInstant,
    names: Names,
    work: Arc<Semaphore>,
    own: OwnLook,
}

impl TokioEnv {
    /// Creates a world whose clock starts now.
    ///
    /// CPU-heavy work gets as many threads as there are cores.
    #[must_use]
    pub fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Shared {
            start: StdInstant::now(),
            names: Names::default(),
            work: Arc::new(Semaphore::new(cores)),
            own: OwnLook::default(),
        }))
    }
}

impl Default for TokioEnv {
    fn default() -> Self {
        Self::new()
    }
}

impl Env for TokioEnv {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn now(&self) -> Instant {
        Instant::EPOCH + self.0.start.elapsed()
    }

    fn unix_time(&self) -> Duration {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep_until(&self, at: Instant) {
        let wait = at.since(self.now());
        if wait > SLEEP_MAX {
            return pending().await;
        }
        time::sleep(wait).await;
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        // On Windows the option would let another process take the port over.
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener {
            sockets: net::TcpListener::from_std(socket.into())?,
            spare: spare::Descriptor::default(),
        })
    }

    #[cfg(target_os = "linux")]
    fn has_listener(&self, at: SocketAddr) -> Option<bool> {
        listeners::is_held(at)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let stream = net::TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(TcpStream(stream))
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.names.resolve(name).await
    }

    async fn own_network(&self) -> io::Result<OwnNetwork> {
        self.0.own.look(own::look_at_host).await
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        limited(&self.0.work, job).await
    }

    fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("an operating system without randomness cannot run us");
        seed
    }
}

/// The latest look at the networks of this host, for all edges of the process.
#[derive(Debug)]
struct OwnLook {
    last: Mutex<Option<(StdInstant, OwnNetwork)>>,
    /// One look at a time, however many gave up waiting for it.
    one: Arc<Semaphore>,
}

impl Default for OwnLook {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            one: Arc::new(Semaphore::new(1)),
        }
    }
}

impl OwnLook {
    async fn look(
        &self,
        job: impl FnOnce() -> io::Result<OwnNetwork> + Send + 'static,
    ) -> io::Result<OwnNetwork> {
        let mut last = self.last.lock().await;
        if let Some((at, own)) = &*last
            && at.elapsed() < OWN_AGE_MAX
        {
            return Ok(own.clone());
        }
        let at = StdInstant::now();
        let own = limited(&self.one, job).await?;
        *last = Some((at, own.clone()));
        Ok(own)
    }
}

/// Runs `job` on the blocking pool once `limit` has a permit.
///
/// The job owns the permit: a caller that gives up does not let one more job run.
async fn limited<T: Send + 'static>(
    limit: &Arc<Semaphore>,
    job: impl FnOnce() -> T + Send + 'static,
) -> T {
    let permit = Arc::clone(limit)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    let done = spawn_blocking(move || {
        let _permit = permit;
        job()
    });
    match done.await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels a job, and it drops us next.
            Err(_cancelled) => pending().await,
        },
    }
}

/// Returns `address` with an IPv4-mapped IPv6 address, as dual-stack listeners yield them, as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A source of accepted TCP streams. Out of descriptors, it refuses who comes instead of letting him
/// wait unheard.
#[derive(Debug)]
pub struct TcpListener {
    sockets: net::TcpListener,
    spare: spare::Descriptor,
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            self.spare.keep();
            match self.sockets.accept().await {
                Ok((stream, peer)) => return Ok((TcpStream(stream), canonical(peer))),
                Err(error) if spare::is_want(&error) && self.spare.give_up() => {
                    let next = poll_fn(|cx| Poll::Ready(self.sockets.poll_accept(cx)));
                    match next.await {
                        Poll::Ready(Ok((stream, _))) => {
                            // No byte can be told without a descriptor that stays.
                            let _ = stream.set_zero_linger();
                            tracing::warn!(%error, "a newcomer is refused");
                        }
                        Poll::Ready(Err(error)) => return Err(error),
                        // The system tells the want before it looks whether anybody is there.
                        Poll::Pending => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets.local_addr()
    }
}

/// A TCP stream of the operating system.
#[derive(Debug)]
pub struct TcpStream(net::TcpStream);

impl From<net::TcpStream> for TcpStream {
    fn from(stream: net::TcpStream) -> Self {
        Self(stream)
    }
}

impl Stream for TcpStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr().map(canonical)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr().map(canonical)
    }

    fn tune(&self, role: StreamRole) {
        // A platform that lacks an option, or a peer that is already gone, is no reason to fail:
        // the next read or write reports what matters.
        let _ = self.0.set_nodelay(true);
        match role {
            StreamRole::Flow => {
                let _ = SockRef::from(&self.0).set_tcp_keepalive(&keepalive());
            }
            StreamRole::Carrier => {
                #[cfg(any(target_os = "linux", target_os = "android"))]
                let _ = SockRef::from(&self.0).set_tcp_notsent_lowat(CARRIER_UNSENT_MAX);
            }
        }
    }

    fn poll_read_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_vectored(bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[allow(unsafe_code, reason = "no safe wrapper of this request exists")]
    fn unsent(&self) -> Option<usize> {
        use std::os::fd::AsRawFd as _;
        let mut len: libc::c_int = 0;
        // SAFETY: the descriptor is open as long as `self` lives, and TIOCOUTQ writes one int to where
        // the third argument points, which is valid for it.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCOUTQ, &raw mut len) };
        if result == 0 {
            usize::try_from(len).ok()
        } else {
            None
        }
    }

    fn set_abort_on_drop(&self) {
        let _ = self.0.set_zero_linger();
    }

    fn set_end_on_drop(&self) {
        let _ = SockRef::from(&self.0).set_linger(None);
    }
}

/// Returns the probes of a flow, without what the platform cannot set.
fn keepalive() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE);
    #[cfg(any(
        windows,
        target_vendor = "apple",
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd"
    ))]
    let keepalive = keepalive
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    keepalive
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{OWN_AGE_MAX, OwnLook, OwnNetwork, TcpStream, TokioEnv};
    use crate::env::{Env as _, Listener as _, Stream as _, StreamRole};
    use ::tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use core::time::Duration;
    use socket2::{Domain, SockRef, Socket, Type};
    use std::io::ErrorKind;
    use std::net::{SocketAddr, TcpStream as StdStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    async fn pair(env: &TokioEnv) -> (TcpStream, TcpStream) {
        let mut listener = env.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (near, far) = ::tokio::join!(env.connect(at), listener.accept());
        let (far, peer) = far.unwrap();
        let near = near.unwrap();
        assert_eq!(near.local_addr().unwrap(), peer);
        assert_eq!(near.peer_addr().unwrap(), at);
        (near, far)
    }

    #[::tokio::test]
    async fn streams_carry_bytes_and_ends() {
        let (mut near, mut far) = pair(&TokioEnv::new()).await;
        near.write_all(b"hello").await.unwrap();
        near.shutdown().await.unwrap();
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"hello");
    }

    #[::tokio::test]
    async fn an_aborted_stream_resets_its_peer() {
        let (near, mut far) = pair(&TokioEnv::new()).await;
        near.set_abort_on_drop();
        drop(near);
        assert_eq!(
            far.read_u8().await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    }

    #[::tokio::test]
    async fn a_stream_that_shall_end_after_all_loses_nothing() {
        let (mut near, mut far) = pair(&TokioEnv::new()).await;
        near.set_abort_on_drop();
        near.write_all(b"hello").await.unwrap();
        near.set_end_on_drop();
        drop(near);
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"hello");
    }

    #[cfg(target_os = "linux")]
    #[::tokio::test]
    async fn roles_set_their_options() {
        let (flow, carrier) = pair(&TokioEnv::new()).await;
        flow.tune(StreamRole::Flow);
        carrier.tune(StreamRole::Carrier);
        let (flow, carrier) = (SockRef::from(&flow.0), SockRef::from(&carrier.0));
        assert!(flow.tcp_nodelay().unwrap() && carrier.tcp_nodelay().unwrap());
        assert!(flow.keepalive().unwrap());
        assert_eq!(flow.tcp_keepalive_time().unwrap(), super::KEEPALIVE_IDLE);
        assert_eq!(
            flow.tcp_keepalive_interval().unwrap(),
            super::KEEPALIVE_INTERVAL
        );
        assert_eq!(
            flow.tcp_keepalive_retries().unwrap(),
            super::KEEPALIVE_PROBES
        );
        assert_eq!(
            carrier.tcp_notsent_lowat().unwrap(),
            super::CARRIER_UNSENT_MAX
        );
    }

    #[::tokio::test]
    async fn work_is_limited_and_its_panics_reach_the_caller() {
        let env = TokioEnv::new();
        let limit = env.0.work.available_permits();
        let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs: Vec<_> = (0..8)
            .map(|_| {
                let (env, running, peak) = (env.clone(), Arc::clone(&running), Arc::clone(&peak));
                ::tokio::spawn(async move {
                    env.work(move || {
                        peak.fetch_max(
                            running.fetch_add(1, Ordering::SeqCst) + 1,
                            Ordering::SeqCst,
                        );
                        std::thread::sleep(Duration::from_millis(2));
                        running.fetch_sub(1, Ordering::SeqCst);
                    })
                    .await;
                })
            })
            .collect();
        for job in jobs {
            job.await.unwrap();
        }
        assert!(peak.load(Ordering::SeqCst) <= limit);

        let failed = ::tokio::spawn({
            let env = env.clone();
            async move { env.work(|| panic!("on purpose")).await }
        });
        assert!(failed.await.unwrap_err().is_panic());
        assert_eq!(env.work(|| 7).await, 7, "a panic must give its permit back");
    }

    #[::tokio::test]
    async fn the_clock_moves_and_sleep_follows_it() {
        let env = TokioEnv::new();
        let at = env.now() + Duration::from_millis(5);
        env.sleep_until(at).await;
        assert!(env.now() >= at);
        assert_ne!(env.seed(), env.seed());
        assert!(env.unix_time() > Duration::from_secs(1_600_000_000));
    }

    #[::tokio::test]
    async fn edges_of_one_process_look_at_their_host_once_and_again_later() {
        let (looks, count) = (OwnLook::default(), Arc::new(AtomicUsize::new(0)));
        let job = || {
            let count = Arc::clone(&count);
            move || {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(OwnNetwork::default())
            }
        };
        let both = ::tokio::join!(looks.look(job()), looks.look(job()));
        assert!(both.0.is_ok() && both.1.is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 1);
        if let Some((at, _)) = &mut *looks.last.lock().await {
            *at = at.checked_sub(OWN_AGE_MAX).unwrap();
        }
        looks.look(job()).await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[cfg(unix)]
    const WITHOUT_DESCRIPTORS: &str = "TITAN_TEST_ACCEPT_WITHOUT_DESCRIPTORS";

    #[cfg(unix)]
    const PATIENCE: Duration = Duration::from_secs(20);

    #[cfg(unix)]
    #[test]
    fn who_comes_while_there_is_no_descriptor_is_refused_at_once() {
        if std::env::var_os(WITHOUT_DESCRIPTORS).is_some() {
            return listen_without_descriptors();
        }
        let name = "env::tokio::tests::who_comes_while_there_is_no_descriptor_is_refused_at_once";
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(WITHOUT_DESCRIPTORS, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    /// Connects by a socket that was made before, and returns how the connection ends. What is returned keeps the
    /// descriptor from others.
    #[cfg(unix)]
    fn come(socket: Socket, at: SocketAddr) -> (StdStream, ErrorKind) {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(&at.into()).unwrap();
        let mut stream = StdStream::from(socket);
        let end = std::io::Read::read_exact(&mut stream, &mut [0])
            .unwrap_err()
            .kind();
        (stream, end)
    }

    #[cfg(unix)]
    fn listen_without_descriptors() {
        let runtime = ::tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let any = "127.0.0.1:0".parse().unwrap();
            let mut listener = TokioEnv::new().listen(any).await.unwrap();
            let at = listener.local_addr().unwrap();
            let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let newcomers = [(); 3].map(|()| socket());
            let last = socket();
            let (taken, all_taken) = std::sync::mpsc::channel();
            let (told, ends) = ::tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                all_taken.recv_timeout(PATIENCE).unwrap();
                told.send(newcomers.map(|socket| come(socket, at)))
            });
            let mut files = Vec::new();
            let crowd = async {
                // The listener waits by now.
                while let Ok(file) = std::fs::File::open("/dev/null") {
                    files.push(file);
                }
                taken.send(()).unwrap();
                ends.await.unwrap()
            };
            let ends = ::tokio::select! {
                biased;
                accepted = listener.accept() => panic!("{accepted:?}"),
                ends = ::tokio::time::timeout(PATIENCE, crowd) => ends.unwrap(),
            };
            let kinds = ends.each_ref().map(|(_, end)| *end);
            assert_eq!(kinds, [ErrorKind::ConnectionReset; 3]);

            drop((files, ends));
            let come = std::thread::spawn(move || {
                last.connect(&at.into()).unwrap();
                std::io::Write::write_all(&mut StdStream::from(last), b"hello").unwrap();
            });
            let accepted = ::tokio::time::timeout(PATIENCE, listener.accept())
                .await
                .unwrap();
            let (mut stream, _) = accepted.unwrap();
            let mut got = Vec::new();
            let read = stream.read_to_end(&mut got);
            ::tokio::time::timeout(PATIENCE, read)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(got, b"hello");
            come.join().unwrap();
        });
    }
}
