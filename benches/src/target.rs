//! The target of all traffic, a process of its own, the same for yardstick and Titan.
//!
//! It serves the tasks of [`crate::flow`] on one port. On a second port it tells what it received: uploads are
//! counted here, by the receiver and its clock, and that answer takes no way through what is measured.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::failure::{Failure, Result};
use crate::flow::{self, Header, Task};
use crate::pattern::Pattern;
use crate::relay::ACCEPT_PAUSE;

/// Both ports of a target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Serves the tasks.
    pub(crate) address: SocketAddr,
    /// Tells the counters.
    pub(crate) control: SocketAddr,
}

#[derive(Debug)]
struct Counters {
    started: Instant,
    received: AtomicU64,
    corrupted: AtomicU64,
}

/// Starts the target in the current runtime.
pub(crate) async fn start() -> Result<Target> {
    let counters = Arc::new(Counters {
        started: Instant::now(),
        received: AtomicU64::new(0),
        corrupted: AtomicU64::new(0),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let control = TcpListener::bind("127.0.0.1:0").await?;
    let target = Target {
        address: listener.local_addr()?,
        control: control.local_addr()?,
    };
    tokio::spawn(accept(control, counters.clone(), tell));
    tokio::spawn(accept(listener, counters, serve));
    Ok(target)
}

async fn accept<F: Future<Output = io::Result<()>> + Send + 'static>(
    listener: TcpListener,
    counters: Arc<Counters>,
    handler: fn(TcpStream, Arc<Counters>) -> F,
) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let counters = counters.clone();
        tokio::spawn(async move {
            let handled = handler(stream, counters.clone()).await;
            // A client may go at any time; only broken content is an error here.
            if let Err(error) = handled
                && error.kind() == io::ErrorKind::InvalidData
            {
                counters.corrupted.fetch_add(1, Ordering::Relaxed);
                eprintln!("{error}");
            }
        });
    }
}

async fn serve(mut stream: TcpStream, counters: Arc<Counters>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let header = Header::read(&mut stream).await?;
    match header.task {
        Task::Source => {
            flow::send(&stream, Pattern::bulk(!header.seed), header.length).await?;
        }
        Task::Sink => {
            let count = |len| {
                counters.received.fetch_add(len, Ordering::Relaxed);
            };
            let received = flow::receive(&stream, Pattern::bulk(header.seed), count).await?;
            stream.write_u64(received).await?;
        }
        Task::Exchange => flow::answer(&mut stream, header.seed).await?,
    }
    stream.shutdown().await
}

async fn tell(mut stream: TcpStream, counters: Arc<Counters>) -> io::Result<()> {
    while stream.read_u8().await.is_ok() {
        let nanos = counters.started.elapsed().as_nanos() as u64;
        let mut answer = [0; 24];
        answer[..8].copy_from_slice(&nanos.to_be_bytes());
        answer[8..16].copy_from_slice(&counters.received.load(Ordering::Relaxed).to_be_bytes());
        answer[16..].copy_from_slice(&counters.corrupted.load(Ordering::Relaxed).to_be_bytes());
        stream.write_all(&answer).await?;
    }
    Ok(())
}

/// What a target had received at a moment of its own clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// Nanoseconds since the target started.
    pub(crate) nanos: u64,
    /// Checked bytes of all sinks.
    pub(crate) bytes: u64,
}

/// The load's connection to the counters.
#[derive(Debug)]
pub(crate) struct Control(TcpStream);

impl Control {
    /// Connects to a target's second port.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Reads the counters.
    ///
    /// # Errors
    ///
    /// When the target ever received corrupted data: nothing measured against it would count.
    pub(crate) async fn received(&mut self) -> Result<Received> {
        self.0.write_u8(b'?').await?;
        let received = Received {
            nanos: self.0.read_u64().await?,
            bytes: self.0.read_u64().await?,
        };
        match self.0.read_u64().await? {
            0 => Ok(received),
            count => Err(Failure::new(format!(
                "the target saw corrupted data on {count} streams"
            ))),
        }
    }
}
