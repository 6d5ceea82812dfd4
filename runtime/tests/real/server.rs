//! Targets: listeners whose connections are served by threads.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// No read or write of a test waits longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

/// A listener on loopback that lives as long as the test's process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    outcomes: Receiver<io::Result<()>>,
}

impl Server {
    /// Serves each connection by `serve` on a thread of its own.
    pub(crate) fn start(
        serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (tell, outcomes) = mpsc::channel();
        let (count, serve) = (Arc::clone(&accepted), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (serve, tell) = (Arc::clone(&serve), tell.clone());
                thread::spawn(move || {
                    let outcome = patient(stream).and_then(|stream| serve(stream));
                    // The test may be over.
                    let _ = tell.send(outcome);
                });
            }
        });
        Self {
            address,
            accepted,
            outcomes,
        }
    }

    /// Sends back whatever comes.
    pub(crate) fn echo() -> Self {
        Self::start(|mut stream| {
            let mut out = stream.try_clone()?;
            io::copy(&mut stream, &mut out).map(drop)
        })
    }

    /// Returns how many connections came.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits until a connection was served, and returns how that went.
    pub(crate) fn outcome(&self) -> io::Result<()> {
        self.outcomes
            .recv_timeout(PATIENCE)
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// Bounds the waits of a stream.
pub(crate) fn patient(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
