//! An edge written by hand, to do what no edge does.

use super::Overlay;
use crate::net::{SimEnv, SimStream};
use bytes::Bytes;
use core::future::poll_fn;
use core::time::Duration;
use std::collections::VecDeque;
use titan_core::rng::Rng;
use titan_proto::{Code, Envelope, Frame, Header, limits, wire};
use titan_runtime::carrier::handshake::{ClientRequest, connect, path_and_query};
use titan_runtime::carrier::{
    BufferPool, FrameReader, FrameWriter, Incoming, ReadOutcome, SharedBlock,
};
use titan_runtime::env::Env as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

/// How long an answer of the POP is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A carrier whose edge's end is in the hands of a test.
#[derive(Debug)]
pub struct Rogue {
    stream: SimStream,
    reader: FrameReader,
    writer: FrameWriter,
    block: SharedBlock,
    queue: VecDeque<Incoming>,
    /// The POP has hung up: what is sent from now on is lost.
    broken: bool,
    /// The POP's nonce, for proofs.
    pub nonce: [u8; 16],
}

/// How a POP ends a carrier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Farewell {
    /// The code of its BYE; none if it sent none.
    pub bye: Option<Code>,
    /// The wait that BYE asked for.
    pub retry_after: Duration,
    /// The status of its close frame; none if it sent none.
    pub close: Option<u16>,
}

impl Farewell {
    /// Returns what an end with this code and no wish for a wait looks like.
    #[must_use]
    pub fn coded(code: Code) -> Self {
        Self {
            bye: Some(code),
            retry_after: Duration::ZERO,
            close: Some(4000 + u16::try_from(code.wire()).expect("codes are small")),
        }
    }
}

impl Rogue {
    /// Opens a carrier as a node; nothing is said on it yet.
    pub async fn connect(overlay: &Overlay, env: &SimEnv, node: &str) -> Self {
        let pop = overlay.tunnels();
        let stream = env.connect(pop).await.expect("the POP listens");
        let request = ClientRequest {
            authority: &pop.to_string(),
            path_and_query: &path_and_query(node, "none", "0"),
            token: &overlay.token(node),
        };
        let (stream, connected) = connect(stream, request).await.expect("the token is good");
        let pool = BufferPool::new(2 * limits::MESSAGE_MAX, 1);
        Self {
            stream,
            reader: FrameReader::client(limits::MESSAGE_MAX, connected.early),
            writer: FrameWriter::client(pool, Rng::new(env.seed())),
            block: SharedBlock::new(),
            queue: VecDeque::new(),
            broken: false,
            nonce: connected.nonce,
        }
    }

    /// Returns a HELLO for a new tunnel.
    #[must_use]
    pub fn hello(epoch: u64, attempt: u64) -> wire::Hello {
        titan_kit::pair::hello(epoch, attempt)
    }

    /// Opens a carrier and a tunnel over it, as an edge does; returns the POP's HELLO too.
    pub async fn attach(overlay: &Overlay, env: &SimEnv, node: &str) -> (Self, wire::Hello) {
        let mut rogue = Self::connect(overlay, env, node).await;
        let hello = rogue.greet().await;
        rogue.send(Frame::Ack { received: 0 }).await;
        (rogue, hello)
    }

    /// Says HELLO for a new tunnel, and answers the ping that comes with the POP's, so that the round
    /// trip is known. The POP is not told that its HELLO arrived.
    pub async fn greet(&mut self) -> wire::Hello {
        self.send(Frame::Hello(Self::hello(1, 1))).await;
        let Some(Frame::Hello(hello)) = self.receive().await else {
            panic!("the POP answers HELLO with HELLO");
        };
        let Some(Incoming::Ping(payload)) = self.incoming().await else {
            panic!("the POP measures the round trip");
        };
        assert!(self.writer.push_pong(&payload));
        self.flush().await;
        hello
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: Frame) {
        let (kind, session, payload) = frame.encode();
        let header = Header::new(kind, session, payload.len());
        self.push(header.as_slice(), &payload).await;
    }

    /// Sends any bytes as one message.
    pub async fn send_message(&mut self, message: &[u8]) {
        self.push(&[], message).await;
    }

    async fn push(&mut self, header: &[u8], payload: &[u8]) {
        if !self.broken {
            assert!(self.writer.push_message(header, payload), "it fits");
            self.flush().await;
        }
    }

    /// Sends bytes past WebSocket.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.broken |= self.stream.write_all(bytes).await.is_err();
    }

    async fn flush(&mut self) {
        let flushed = poll_fn(|cx| self.writer.poll_flush(cx, &mut self.stream)).await;
        self.broken |= flushed.is_err();
    }

    /// Waits for the next frame and answers pings meanwhile; none at the end of the carrier, whose
    /// close frame stays to be looked at.
    pub async fn receive(&mut self) -> Option<Frame> {
        loop {
            match self.incoming().await? {
                Incoming::Message(message) => return Some(decode(&message)),
                Incoming::Ping(payload) => {
                    assert!(self.writer.push_pong(&payload));
                    self.flush().await;
                }
                Incoming::Pong(_) => {}
                close @ Incoming::Close { .. } => {
                    self.queue.push_front(close);
                    return None;
                }
            }
        }
    }

    /// Waits until the POP ends the carrier, and tells how.
    pub async fn farewell(&mut self) -> Farewell {
        let mut farewell = Farewell {
            bye: None,
            retry_after: Duration::ZERO,
            close: None,
        };
        let last_words = async {
            while let Some(frame) = self.receive().await {
                if let Frame::Bye(bye) = frame {
                    farewell.bye = Some(Code::from_wire(bye.code));
                    farewell.retry_after = Duration::from_millis(bye.retry_after_ms);
                }
            }
        };
        let ended = timeout(PATIENCE, last_words).await;
        ended.expect("the POP does not end the carrier");
        if let Some(Incoming::Close { code, .. }) = self.queue.pop_front() {
            farewell.close = Some(code);
        }
        assert_eq!(self.incoming().await, None, "nothing follows the end");
        farewell
    }

    async fn incoming(&mut self) -> Option<Incoming> {
        loop {
            if let Some(incoming) = self.queue.pop_front() {
                return Some(incoming);
            }
            let mut out = Vec::new();
            let read = poll_fn(|cx| {
                let Self {
                    stream,
                    reader,
                    block,
                    ..
                } = self;
                reader.poll_read(cx, stream, block, &mut out)
            });
            let read = timeout(PATIENCE, read).await;
            let read = read.expect("the POP neither speaks nor hangs up");
            self.queue.extend(out);
            let ended = !matches!(read, Ok(ReadOutcome::Received(_)));
            if ended && self.queue.is_empty() {
                return None;
            }
        }
    }
}

fn decode(message: &Bytes) -> Frame {
    let envelope = Envelope::decode(message).expect("the POP sends what can be decoded");
    Frame::decode(envelope).expect("the POP sends frames")
}
