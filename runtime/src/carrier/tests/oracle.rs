//! tungstenite writes what we read and reads what we write.

use super::super::{BufferPool, FrameReader, FrameWriter, Incoming, MESSAGE_LEN_MAX, SharedBlock};
use super::{Chunks, Slow, read_all};
use bytes::Bytes;
use core::task::{Context, Poll, Waker};
use proptest::prelude::*;
use std::io::{self, Cursor, Read, Write};
use titan_core::rng::Rng;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// An in-memory stream for tungstenite: reads from one vector, writes to another.
struct Memory {
    input: Cursor<Vec<u8>>,
    output: Vec<u8>,
}

impl Read for Memory {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl Write for Memory {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn oracle(role: Role, input: Vec<u8>) -> WebSocket<Memory> {
    let memory = Memory {
        input: Cursor::new(input),
        output: Vec::new(),
    };
    WebSocket::from_raw_socket(memory, role, Some(WebSocketConfig::default()))
}

fn message(incoming: &Incoming) -> Message {
    match incoming {
        Incoming::Message(payload) => Message::Binary(payload.clone()),
        Incoming::Ping(payload) => Message::Ping(payload.clone()),
        Incoming::Pong(payload) => Message::Pong(payload.clone()),
        Incoming::Close { .. } => Message::Close(None),
    }
}

/// Bytes that differ by position, so that nothing can move unseen.
fn payload(len: usize, salt: u8) -> Bytes {
    (0..len)
        .map(|index| {
            (index as u8)
                .wrapping_mul(31)
                .wrapping_add((index >> 8) as u8)
                ^ salt
        })
        .collect()
}

fn frame() -> impl Strategy<Value = Incoming> {
    let len = prop_oneof![
        Just(0usize),
        Just(1),
        Just(125),
        Just(126),
        Just(127),
        Just(65535),
        Just(65536),
        Just(MESSAGE_LEN_MAX),
        0usize..3000,
    ];
    prop_oneof![
        4 => (len, any::<u8>()).prop_map(|(len, salt)| Incoming::Message(payload(len, salt))),
        1 => (0usize..=125, any::<u8>()).prop_map(|(len, salt)| Incoming::Ping(payload(len, salt))),
        1 => (0usize..=125, any::<u8>()).prop_map(|(len, salt)| Incoming::Pong(payload(len, salt))),
    ]
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        proptest::collection::vec(1usize..20_000, 1..20),
        proptest::collection::vec(
            prop_oneof![Just(1usize), Just(2), Just(13), 1usize..400_000],
            1..20
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_tungstenite_writes_we_read(
        frames in proptest::collection::vec(frame(), 1..12),
        pieces in pieces(),
        from_client: bool,
    ) {
        let role = if from_client { Role::Client } else { Role::Server };
        let mut writer = oracle(role, Vec::new());
        for frame in &frames {
            writer.write(message(frame)).unwrap();
        }
        writer.flush().unwrap();
        let bytes = core::mem::take(&mut writer.get_mut().output);

        let mut reader = if from_client {
            FrameReader::server(MESSAGE_LEN_MAX)
        } else {
            // The client's reader gets the beginning from the handshake.
            FrameReader::client(MESSAGE_LEN_MAX, bytes[..pieces[0].min(bytes.len())].to_vec())
        };
        let start = if from_client { 0 } else { pieces[0].min(bytes.len()) };
        let mut block = SharedBlock::new();
        let (got, error) = read_all(&mut reader, &mut Chunks::cut(&bytes[start..], &pieces), &mut block);
        prop_assert!(error.is_none(), "{:?}", error);
        prop_assert_eq!(got, frames);
        prop_assert_eq!(reader.held_len(), 0);
    }

    #[test]
    fn what_we_write_tungstenite_reads(
        frames in proptest::collection::vec(frame(), 1..12),
        split in 0usize..200,
        len_max in prop_oneof![1usize..20, 1000usize..300_000],
        from_client: bool,
        seed: [u8; 32],
    ) {
        let pool = BufferPool::new(MESSAGE_LEN_MAX + 4096, 2);
        let (mut writer, role) = if from_client {
            (FrameWriter::client(pool.clone(), Rng::new(seed)), Role::Server)
        } else {
            (FrameWriter::server(pool.clone()), Role::Client)
        };
        let mut stream = Slow::new(len_max);
        let mut cx = Context::from_waker(Waker::noop());
        for frame in &frames {
            loop {
                let pushed = match frame {
                    Incoming::Message(payload) => {
                        let (header, payload) = payload.split_at(split.min(payload.len()));
                        writer.push_message(header, payload)
                    }
                    Incoming::Ping(payload) => writer.push_ping(payload),
                    Incoming::Pong(payload) => writer.push_pong(payload),
                    Incoming::Close { .. } => writer.push_close(1000, ""),
                };
                prop_assert!(writer.len() <= pool.batch_len_max());
                // Frames meet batches that are empty, full and partly written.
                let _ = writer.poll_flush(&mut cx, &mut stream)?;
                if pushed {
                    break;
                }
            }
        }
        while writer.poll_flush(&mut cx, &mut stream)?.is_pending() {}
        prop_assert!(writer.is_empty());
        prop_assert_eq!(pool.idle_count(), 1);

        let mut reader = oracle(role, stream.taken);
        for frame in &frames {
            prop_assert_eq!(reader.read().unwrap(), message(frame));
        }
        prop_assert!(reader.read().is_err(), "nothing may follow");
    }
}

#[test]
fn close_frames_agree() {
    let mut writer = FrameWriter::server(BufferPool::new(4096, 1));
    let long = "ä".repeat(100);
    assert!(writer.push_close(4001, &long));
    let mut stream = Slow::new(4096);
    let mut cx = Context::from_waker(Waker::noop());
    while writer.poll_flush(&mut cx, &mut stream).is_pending() {}

    let Message::Close(Some(close)) = oracle(Role::Client, stream.taken.clone()).read().unwrap()
    else {
        panic!("not a close frame");
    };
    assert_eq!(u16::from(close.code), 4001);
    assert_eq!(close.reason.as_str(), &long[..122]);

    let mut reader = FrameReader::client(100, Vec::new());
    let (got, error) = read_all(
        &mut reader,
        &mut Chunks::one(&stream.taken),
        &mut SharedBlock::new(),
    );
    assert!(error.is_none());
    assert_eq!(
        got,
        [Incoming::Close {
            code: 4001,
            reason: long[..122].to_owned()
        }]
    );
    let again = reader.poll_read(
        &mut cx,
        &mut Chunks::one(b"x"),
        &mut SharedBlock::new(),
        &mut Vec::new(),
    );
    assert!(matches!(again, Poll::Ready(Ok(super::ReadOutcome::End))));
}
