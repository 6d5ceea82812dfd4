//! The two ends of a carrier's connection: its upgrade and its frames.

use crate::stream::{Peer, now};
use core::future::poll_fn;
use std::io;
use titan_runtime::carrier::handshake::{
    ClientRequest, HandshakeError, UpgradeAnswer, accept, connect,
};
use titan_runtime::carrier::{FrameReader, Incoming, ReadOutcome, SharedBlock};
use tungstenite::handshake::derive_accept_key;

/// The largest message that the readers take.
const MESSAGE_LEN_MAX: usize = 1000;

/// The longest head of an HTTP message that is read.
const HEAD_LEN_MAX: usize = 8 << 10;

/// The longest answer to a request.
const ANSWER_LEN_MAX: usize = 512;

/// Takes bytes twice, in one piece and in many, and compares.
///
/// The first byte says who reads what: a POP or an edge, a handshake or frames. The second says how
/// the rest is cut.
///
/// # Panics
/// Panics if the two differ, more is held than came or than is allowed, or bytes get lost.
pub fn websocket(data: &[u8]) {
    let [which, piece, bytes @ ..] = data else {
        return;
    };
    let piece = usize::from(*piece).max(1);
    match which % 4 {
        0 => frames(bytes, piece, || FrameReader::server(MESSAGE_LEN_MAX)),
        1 => frames(bytes, piece, || {
            FrameReader::client(MESSAGE_LEN_MAX, Vec::new())
        }),
        2 => request(bytes, piece),
        _ => answer(bytes, piece),
    }
}

fn frames(bytes: &[u8], piece: usize, reader: impl Fn() -> FrameReader) {
    let whole = read(bytes, usize::MAX, reader());
    let split = read(bytes, piece, reader());
    assert_eq!(whole, split);
    for incoming in &whole.0 {
        match incoming {
            Incoming::Message(payload) => assert!(payload.len() <= MESSAGE_LEN_MAX),
            Incoming::Ping(payload) | Incoming::Pong(payload) => assert!(payload.len() <= 125),
            Incoming::Close { reason, .. } => assert!(reason.len() <= 123),
        }
    }
    let closes = whole
        .0
        .iter()
        .rposition(|incoming| matches!(incoming, Incoming::Close { .. }));
    assert!(
        closes.is_none_or(|at| at + 1 == whole.0.len()),
        "nothing follows a close"
    );
}

/// Returns the frames, and why there are no more.
fn read(bytes: &[u8], piece: usize, mut reader: FrameReader) -> (Vec<Incoming>, Option<String>) {
    let mut peer = Peer::new(bytes, piece);
    let (mut block, mut out, mut error) = (SharedBlock::new(), Vec::new(), None);
    loop {
        let read = now(poll_fn(|cx| {
            reader.poll_read(cx, &mut peer, &mut block, &mut out)
        }));
        let held = reader.held_len();
        assert!(held <= MESSAGE_LEN_MAX + 14, "{held} bytes held");
        match read {
            Ok(ReadOutcome::Received(_)) => {}
            Ok(ReadOutcome::End) => return (out, error),
            Err(failure) => error = Some(failure.to_string()),
        }
    }
}

/// A POP takes bytes as a request.
fn request(bytes: &[u8], piece: usize) {
    let serve = |piece| {
        let mut peer = Peer::new(bytes, piece);
        let agree = |_: &_| Ok(UpgradeAnswer { nonce: [7; 16] });
        let verdict = match now(accept(&mut peer, agree)) {
            Ok((_, upgrade)) => {
                let request = &upgrade.request;
                assert!(!request.id.is_empty() && !request.token.is_empty());
                for text in [&request.id, &request.os, &request.version] {
                    assert!(text.len() <= 64 && !text.chars().any(char::is_control));
                }
                Ok((upgrade.request, upgrade.nonce))
            }
            Err(HandshakeError::Io(error)) => Err((error.kind(), None)),
            Err(HandshakeError::Refused(refusal)) => Err((io::ErrorKind::Other, Some(refusal))),
        };
        let taken = bytes.len() - peer.unread().len();
        assert!(taken <= HEAD_LEN_MAX + 1024, "{taken} bytes of a head");
        assert!(peer.heard().len() <= ANSWER_LEN_MAX);
        (verdict, peer.heard().to_vec())
    };
    let whole = serve(usize::MAX);
    // Who does not wait for the answer is caught only if the bytes come along with the head.
    if !matches!(whole.0, Err((io::ErrorKind::InvalidData, None))) {
        assert_eq!(whole, serve(piece));
    }
}

/// An edge takes bytes as an answer.
fn answer(bytes: &[u8], piece: usize) {
    let dial = |piece| {
        let mut peer = Peer::new(bytes, piece).answering(prove);
        let request = ClientRequest {
            authority: "pop:41005",
            path_and_query: "/ws/node?id=n1&os=linux&version=1",
            token: "secret",
        };
        let outcome = now(connect(&mut peer, request)).map(|(_, connected)| connected);
        match outcome {
            Ok(connected) => Ok((connected.nonce, [&connected.early, peer.unread()].concat())),
            Err(error) => Err(format!("{:?} {error}", error.code())),
        }
    };
    assert_eq!(dial(usize::MAX), dial(piece));
}

/// Puts the proof of the key that was heard where the answer says ACCEPT.
fn prove(answer: &[u8], heard: &[u8]) -> Vec<u8> {
    const PLACE: &[u8] = b"ACCEPT";
    let Some(at) = answer.windows(PLACE.len()).position(|bytes| bytes == PLACE) else {
        return answer.to_vec();
    };
    let heard = String::from_utf8_lossy(heard);
    let key = heard.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_key = name.eq_ignore_ascii_case("sec-websocket-key");
        is_key.then(|| value.trim())
    });
    let proof = derive_accept_key(key.expect("an edge shows a key").as_bytes());
    [&answer[..at], proof.as_bytes(), &answer[at + PLACE.len()..]].concat()
}
