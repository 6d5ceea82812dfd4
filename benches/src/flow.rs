//! Moves patterned bytes over a socket, and the little protocol between load and target.
//!
//! A connection opens with a header: one byte for the task, seed and length as big-endian `u64`. What follows is
//! the task's. Load and target are the same programs whatever lies between them.

use std::cell::RefCell;
use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::pattern::Pattern;

/// Bytes of a request of the request/response tasks.
pub(crate) const REQUEST_LEN: usize = 100;
/// Bytes of a response of the request/response tasks.
pub(crate) const RESPONSE_LEN: usize = 200;
/// Bytes of an encoded [`Header`].
pub(crate) const HEADER_LEN: usize = 17;
/// Bytes moved by one system call at most; the yardstick's relays use as much.
const BLOCK_LEN: usize = 256 * 1024;

thread_local! {
    /// One block for all streams of a process: 64 blocks would not stay in the processor's cache and would measure
    /// the load generator instead of what lies between.
    static BLOCK: RefCell<Vec<u8>> = RefCell::new(vec![0xa5; BLOCK_LEN]);
}

/// What the target does on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Sends `length` bytes, then ends its direction.
    Source,
    /// Reads to the end, then answers with the count of bytes as big-endian `u64`.
    Sink,
    /// Answers each request with one response until the client ends.
    Exchange,
}

/// First bytes of every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What to do.
    pub(crate) task: Task,
    /// Seed of the client's pattern; the target's is its complement.
    pub(crate) seed: u64,
    /// Bytes a source sends.
    pub(crate) length: u64,
}

impl Header {
    /// Gives the header's bytes.
    pub(crate) fn encode(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = match self.task {
            Task::Source => b'S',
            Task::Sink => b'K',
            Task::Exchange => b'X',
        };
        bytes[1..9].copy_from_slice(&self.seed.to_be_bytes());
        bytes[9..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Reads the header of a new connection.
    pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let task = match stream.read_u8().await? {
            b'S' => Task::Source,
            b'K' => Task::Sink,
            b'X' => Task::Exchange,
            other => {
                let message = format!("corrupted header: unknown task {other:#04x}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        };
        Ok(Self {
            task,
            seed: stream.read_u64().await?,
            length: stream.read_u64().await?,
        })
    }
}

/// Sends `length` bytes of a pattern.
pub(crate) async fn send(stream: &TcpStream, mut pattern: Pattern, length: u64) -> io::Result<()> {
    while pattern.offset() < length {
        stream.writable().await?;
        let sent = BLOCK.with_borrow_mut(|block| {
            let rest = usize::try_from(length - pattern.offset()).unwrap_or(usize::MAX);
            let block = &mut block[..rest.min(BLOCK_LEN)];
            pattern.stamp(block);
            stream.try_write(block)
        });
        match sent {
            Ok(len) => pattern.advance(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        // A socket that is always ready must not keep the other streams of this thread waiting.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Receives and checks a pattern to the stream's end, telling `received` of each checked part.
pub(crate) async fn receive(
    stream: &TcpStream,
    mut pattern: Pattern,
    mut received: impl FnMut(u64),
) -> io::Result<u64> {
    loop {
        stream.readable().await?;
        let len: io::Result<usize> = BLOCK.with_borrow_mut(|block| {
            let len = stream.try_read(block)?;
            pattern.check(&block[..len])?;
            Ok(len)
        });
        match len {
            Ok(0) => return Ok(pattern.offset()),
            Ok(len) => received(len as u64),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        tokio::task::yield_now().await;
    }
}

/// A persistent connection of requests and responses, client's side.
#[derive(Debug)]
pub(crate) struct Exchange {
    stream: TcpStream,
    requests: Pattern,
    responses: Pattern,
    header: Option<[u8; HEADER_LEN]>,
}

impl Exchange {
    /// Begins on a fresh connection; the header leaves with the first request.
    pub(crate) fn new(stream: TcpStream, seed: u64) -> Self {
        let header = Header {
            task: Task::Exchange,
            seed,
            length: 0,
        };
        Self {
            stream,
            requests: Pattern::messages(seed),
            responses: Pattern::messages(!seed),
            header: Some(header.encode()),
        }
    }

    /// Sends one request and waits for its whole, checked response.
    pub(crate) async fn round(&mut self) -> io::Result<()> {
        let mut buffer = [0xa5; HEADER_LEN + REQUEST_LEN];
        let (header, request) = buffer.split_at_mut(HEADER_LEN);
        self.requests.stamp(request);
        self.requests.advance(REQUEST_LEN);
        if let Some(bytes) = self.header.take() {
            header.copy_from_slice(&bytes);
            self.stream.write_all(&buffer).await?;
        } else {
            self.stream.write_all(request).await?;
        }
        let mut response = [0; RESPONSE_LEN];
        self.stream.read_exact(&mut response).await?;
        self.responses.check(&response)
    }
}

/// Answers requests until the client ends, target's side.
pub(crate) async fn answer(stream: &mut TcpStream, seed: u64) -> io::Result<()> {
    let (mut requests, mut responses) = (Pattern::messages(seed), Pattern::messages(!seed));
    let mut request = [0; REQUEST_LEN];
    let mut response = [0xa5; RESPONSE_LEN];
    loop {
        match stream.read_exact(&mut request).await {
            Ok(_) => requests.check(&request)?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        responses.stamp(&mut response);
        responses.advance(RESPONSE_LEN);
        stream.write_all(&response).await?;
    }
}
