//! What the reader refuses, and what it holds.

use super::super::{BLOCK_SIZE, CarrierError, FrameReader, Incoming, MESSAGE_LEN_MAX, SharedBlock};
use super::{Chunks, ReadOutcome, read_all, read_once};
use bytes::Bytes;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use proptest::prelude::*;
use std::io;
use titan_proto::Code;
use tokio::io::{AsyncRead, ReadBuf};

/// An unmasked binary frame.
fn binary(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82];
    match payload.len() {
        len @ ..126 => frame.push(len as u8),
        len @ ..65536 => {
            frame.push(126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

fn read(bytes: &[u8], mut reader: FrameReader) -> (Vec<Incoming>, Option<Code>) {
    let (out, error) = read_all(
        &mut reader,
        &mut Chunks::one(bytes),
        &mut SharedBlock::new(),
    );
    (out, error.as_ref().map(CarrierError::code))
}

#[test]
fn rules_have_codes() {
    let client = || FrameReader::client(1000, Vec::new());
    let server = || FrameReader::server(1000);
    for (code, bytes, reader) in [
        (Code::Protocol, &[0x02, 0x00][..], client()), // fragment
        (Code::Protocol, &[0x80, 0x00], client()),     // continuation
        (Code::Protocol, &[0x81, 0x00], client()),     // text
        (Code::Protocol, &[0x83, 0x00], client()),     // unknown data opcode
        (Code::Protocol, &[0x8b, 0x00], client()),     // unknown control opcode
        (Code::Protocol, &[0xc2, 0x00], client()),     // RSV1
        (Code::Protocol, &[0xa2, 0x00], client()),     // RSV2
        (Code::Protocol, &[0x92, 0x00], client()),     // RSV3
        (Code::Protocol, &[0x09, 0x00], client()),     // fragmented ping
        (Code::Protocol, &[0x82, 0x80, 1, 2, 3, 4], client()), // masked server frame
        (Code::Protocol, &[0x82, 0x00], server()),     // unmasked client frame
        (Code::TooLarge, &[0x89, 126, 0, 126], client()), // long ping
        (Code::TooLarge, &[0x82, 126, 0x03, 0xe9], client()), // limit + 1, header only
        (
            Code::TooLarge,
            &[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255],
            client(),
        ),
        (Code::Malformed, &[0x82, 126, 0, 125], client()), // length in more bytes than needed
        (
            Code::Malformed,
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 5],
            client(),
        ),
        (Code::Malformed, &[0x88, 1, 3], client()), // half a status code
        (Code::Malformed, &[0x88, 3, 3, 0xe8, 0xff], client()), // reason not UTF-8
    ] {
        assert_eq!(read(bytes, reader), (vec![], Some(code)), "{bytes:02x?}");
    }
}

#[test]
fn limits_are_inclusive() {
    for limit in [0, 1, 125, 126, 65535, 65536, MESSAGE_LEN_MAX] {
        let payload = vec![7; limit + 1];
        let reader = || FrameReader::client(limit, Vec::new());
        let want = vec![Incoming::Message(Bytes::copy_from_slice(&payload[..limit]))];
        assert_eq!(read(&binary(&payload[..limit]), reader()), (want, None));
        assert_eq!(
            read(&binary(&payload), reader()),
            (vec![], Some(Code::TooLarge))
        );
    }
}

#[test]
fn frames_before_a_broken_one_count() {
    let mut bytes = binary(b"good");
    bytes.extend_from_slice(&[0x81, 0x00]);
    let want = vec![Incoming::Message(Bytes::from_static(b"good"))];
    assert_eq!(
        read(&bytes, FrameReader::client(10, Vec::new())),
        (want, Some(Code::Protocol))
    );
}

#[test]
fn an_empty_close_has_the_code_for_none() {
    let close = Incoming::Close {
        code: 1005,
        reason: String::new(),
    };
    // What follows a close is not read, not even judged.
    let got = read(&[0x88, 0, 0x81, 0], FrameReader::client(10, Vec::new()));
    assert_eq!(got, (vec![close], None));
}

#[test]
fn a_frame_cut_anywhere_yields_nothing_and_costs_what_arrived() {
    for payload in [&b""[..], b"x", &[1; 125], &[2; 130]] {
        let frame = binary(payload);
        for end in 0..frame.len() {
            let mut reader = FrameReader::client(1000, Vec::new());
            let (out, error) = read_all(
                &mut reader,
                &mut Chunks::one(&frame[..end]),
                &mut SharedBlock::new(),
            );
            assert!(out.is_empty() && error.is_none());
            assert_eq!(reader.held_len(), end);
        }
    }
}

#[test]
fn a_trickling_frame_is_held_within_its_length() {
    let frame = binary(&vec![3; 65_536]);
    let mut reader = FrameReader::client(MESSAGE_LEN_MAX, Vec::new());
    let mut block = SharedBlock::new();
    let mut out = Vec::new();
    for (index, byte) in frame.iter().enumerate() {
        assert!(reader.held_len() <= (2 * index).clamp(16, frame.len()));
        let read = read_once(
            &mut reader,
            &mut Chunks::one(&[*byte]),
            &mut block,
            &mut out,
        );
        assert!(matches!(read, Ok(ReadOutcome::Received(1))));
    }
    assert_eq!(out.len(), 1);
    assert_eq!(reader.held_len(), 0, "an idle connection holds nothing");
}

#[test]
fn the_block_is_used_again_once_its_slices_are_gone() {
    let mut reader = FrameReader::client(1000, Vec::new());
    let mut block = SharedBlock::new();
    let mut out = Vec::new();
    let mut address = |out: &mut Vec<Incoming>| {
        let mut stream = Chunks::one(&binary(&[1; 1000]));
        assert!(read_once(&mut reader, &mut stream, &mut block, out).is_ok());
        let Some(Incoming::Message(payload)) = out.last() else {
            panic!("no message")
        };
        payload.as_ptr() as usize
    };
    let first = address(&mut out);
    out.clear();
    assert_eq!(address(&mut out), first, "the whole block is free again");
    // While messages are held, reads go on behind them.
    for count in 1..100 {
        assert_eq!(address(&mut out), first + count * 1004);
    }
    out.clear();
    assert_eq!(address(&mut out), first);
}

#[test]
fn a_block_that_is_held_is_replaced() {
    let mut reader = FrameReader::client(60_000, Vec::new());
    let mut block = SharedBlock::new();
    let mut out = Vec::new();
    for salt in 0..50u8 {
        let frame = binary(&vec![salt; 60_000]);
        // The reader's block is shared with a connection that leaves half a frame behind each time.
        let mut other = FrameReader::client(60_000, Vec::new());
        let mut stream = Chunks::one(&frame[..30_000]);
        assert!(read_once(&mut other, &mut stream, &mut block, &mut out).is_ok());
        for piece in [&frame[..20_000], &frame[20_000..]] {
            let mut stream = Chunks::one(piece);
            assert!(read_once(&mut reader, &mut stream, &mut block, &mut out).is_ok());
        }
        let mut stream = Chunks::one(&frame[30_000..]);
        assert!(read_once(&mut other, &mut stream, &mut block, &mut out).is_ok());
    }
    assert_eq!(out.len(), 100);
    for (index, incoming) in out.iter().enumerate() {
        let want = Bytes::from(vec![(index / 2) as u8; 60_000]);
        assert_eq!(*incoming, Incoming::Message(want));
    }
}

/// A stream without anything to read.
struct Silent;

impl AsyncRead for Silent {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(buf.remaining() >= BLOCK_SIZE / 4, "every read has room");
        Poll::Pending
    }
}

#[test]
fn a_read_that_waits_changes_nothing() {
    let frame = binary(&[9; 500]);
    let mut reader = FrameReader::client(1000, frame[..300].to_vec());
    let mut block = SharedBlock::new();
    let mut out = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(
        reader
            .poll_read(&mut cx, &mut Silent, &mut block, &mut out)
            .is_ready()
    );
    for _ in 0..10 {
        assert!(
            reader
                .poll_read(&mut cx, &mut Silent, &mut block, &mut out)
                .is_pending()
        );
    }
    assert_eq!(reader.held_len(), 300);
    let mut stream = Chunks::one(&frame[300..]);
    assert!(read_once(&mut reader, &mut stream, &mut block, &mut out).is_ok());
    assert_eq!(out, [Incoming::Message(Bytes::from(vec![9; 500]))]);
}

proptest! {
    #[test]
    fn garbage_never_panics_and_is_never_hoarded(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0x82), Just(0x00)], 0..3000),
        pieces in proptest::collection::vec(1usize..200, 1..10),
        from_client: bool,
    ) {
        let mut reader =
            if from_client { FrameReader::server(500) } else { FrameReader::client(500, Vec::new()) };
        let (_, _) = read_all(&mut reader, &mut Chunks::cut(&bytes, &pieces), &mut SharedBlock::new());
        prop_assert!(reader.held_len() <= 500 + 14);
    }
}
