//! However a head is cut on its way, it means the same.

use super::super::{ClientRequest, Connected, HandshakeError, accept, connect};
use super::{NONCE, agree, request};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::VecDeque;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tungstenite::handshake::derive_accept_key;

/// How a head is cut.
#[derive(Clone, Debug)]
enum Split {
    At(Vec<Index>),
    EveryByte,
}

const WHOLE: Split = Split::At(Vec::new());

impl Split {
    /// Returns the pieces; none is empty, which would be the end.
    fn cut(&self, bytes: &[u8]) -> VecDeque<Vec<u8>> {
        let mut ends: Vec<_> = match self {
            Self::At(cuts) => cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect(),
            Self::EveryByte => (1..=bytes.len()).collect(),
        };
        ends.extend([0, bytes.len()]);
        ends.sort_unstable();
        ends.dedup();
        let pairs = ends.windows(2);
        pairs.map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
    }
}

/// A peer whose words are known when it has heard ours, and come in pieces.
struct Peer<F> {
    answer: Option<F>,
    pieces: VecDeque<Vec<u8>>,
    heard: Vec<u8>,
    split: Split,
}

impl<F: FnOnce(&[u8]) -> Vec<u8>> Peer<F> {
    fn new(split: &Split, answer: F) -> Self {
        Self {
            answer: Some(answer),
            pieces: VecDeque::new(),
            heard: Vec::new(),
            split: split.clone(),
        }
    }
}

impl<F: FnOnce(&[u8]) -> Vec<u8> + Unpin> AsyncRead for Peer<F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(answer) = self.answer.take() {
            self.pieces = self.split.cut(&answer(&self.heard));
        }
        if let Some(mut piece) = self.pieces.pop_front() {
            let len = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..len]);
            if len < piece.len() {
                self.pieces.push_front(piece.split_off(len));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<F: Unpin> AsyncWrite for Peer<F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.heard.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs what never has to wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => out,
        Poll::Pending => panic!("the peer is always ready"),
    }
}

/// Everything that can be seen of a server's handshake: the verdict, the answer, and what was left
/// unread.
fn served(bytes: &[u8], split: &Split) -> (Result<String, String>, Vec<u8>, usize) {
    let mut peer = Peer::new(split, |_: &[u8]| bytes.to_vec());
    let verdict = match now(accept(&mut peer, agree)) {
        Ok((_, upgrade)) => Ok(format!("{:?} {:?}", upgrade, upgrade.request.token)),
        Err(HandshakeError::Io(error)) => Err(error.kind().to_string()),
        Err(error @ HandshakeError::Refused(_)) => Err(error.to_string()),
    };
    let left = peer.pieces.iter().map(Vec::len).sum();
    (verdict, peer.heard, left)
}

/// Everything that can be seen of a client's handshake, and all bytes behind the head.
fn connected(template: &[u8], split: &Split) -> (Result<Connected, String>, Vec<u8>) {
    let answer = |heard: &[u8]| {
        let heard = core::str::from_utf8(heard).unwrap();
        let line = heard
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: "));
        let key = line.or_else(|| {
            heard
                .lines()
                .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        });
        let accept = derive_accept_key(key.unwrap().as_bytes());
        replace(template, b"ACCEPT", accept.as_bytes())
    };
    let mut peer = Peer::new(split, answer);
    let request = ClientRequest {
        authority: "pop:41005",
        path_and_query: "/ws/node?id=n1&os=linux&version=1",
        token: "secret",
    };
    let outcome = now(connect(&mut peer, request)).map(|(_, connected)| connected);
    let mut behind = Vec::new();
    if let Ok(connected) = &outcome {
        behind.extend_from_slice(&connected.early);
        behind.extend(peer.pieces.iter().flatten());
    }
    let outcome = outcome
        .map(|connected| Connected {
            early: Vec::new(),
            ..connected
        })
        .map_err(|error| format!("{:?} {error}", error.code()));
    (outcome, behind)
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from);
    at.map_or_else(
        || bytes.to_vec(),
        |at| [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
    )
}

const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Protocol: titan.v2\r\n\
     titan-nonce: 000102030405060708090a0b0c0d0eff\r\n\r\n";

const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\ntitan-code: overloaded\r\n\
     Retry-After: 7\r\nContent-Length: 0\r\n\r\n";

/// A good head, one with a few bytes changed, one that is cut short, or garbage.
fn heads(good: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
    let good = || select(good.clone()).prop_map(String::into_bytes);
    let special = select(b"\r\n\0 :,\x7f\x80%&=".to_vec());
    let byte = prop_oneof![special, any::<u8>()];
    let changes = prop::collection::vec((any::<Index>(), byte), 1..4);
    let changed = (good(), changes).prop_map(|(mut bytes, changes)| {
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        bytes
    });
    let short = (good(), any::<Index>()).prop_map(|(mut bytes, end)| {
        bytes.truncate(end.index(bytes.len()));
        bytes
    });
    let garbage = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![2 => good(), 4 => changed, 1 => short, 1 => garbage]
}

fn requests() -> Vec<String> {
    let filler = format!("X-Filler: {}\r\nHost:", "x".repeat(5000));
    vec![
        request("", ""),
        request("Host:", &filler),
        request("Host:", &format!("{filler} {}", "y".repeat(4000))),
        request("\r\n", "\n"),
        format!("\r\n{}", request("", "")),
        request("titan.v2", "titan.v3"),
        request("Bearer", "Basic"),
        request("/ws/node", "/"),
    ]
}

fn answers() -> Vec<String> {
    vec![
        ANSWER.to_owned(),
        ANSWER.replace("\r\n", "\n"),
        ANSWER.replace("titan.v2", "titan.v3"),
        REFUSAL.to_owned(),
        format!("{ANSWER}\u{7}\r\n\r\nfirst frames"),
        format!("{REFUSAL}body"),
    ]
}

fn splits() -> impl Strategy<Value = Split> {
    prop_oneof![
        3 => prop::collection::vec(any::<Index>(), 1..6).prop_map(Split::At),
        1 => Just(Split::EveryByte),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn a_server_judges_a_request_the_same_for_any_split(bytes in heads(requests()), split in splits()) {
        let whole = served(&bytes, &WHOLE);
        let cut = served(&bytes, &split);
        // Who does not wait for the answer is caught only if the bytes come along with the head.
        if whole.0 != Err(io::ErrorKind::InvalidData.to_string()) {
            prop_assert_eq!((&cut.0, &cut.1), (&whole.0, &whole.1));
        }
        prop_assert!(cut.0.is_err() || whole.2 == 0);
    }

    #[test]
    fn a_client_understands_an_answer_the_same_for_any_split(bytes in heads(answers()), split in splits()) {
        prop_assert_eq!(connected(&bytes, &split), connected(&bytes, &WHOLE));
    }
}

#[test]
fn the_good_ones_are_good() {
    for (number, request) in requests().iter().enumerate() {
        let (verdict, ..) = served(request.as_bytes(), &WHOLE);
        assert_eq!(
            verdict.is_ok(),
            [0, 1, 3, 4].contains(&number),
            "{number}: {verdict:?}"
        );
    }
    let (outcome, behind) = connected(answers()[4].as_bytes(), &WHOLE);
    assert_eq!(outcome.unwrap().nonce, NONCE);
    assert_eq!(behind, b"\x07\r\n\r\nfirst frames");
    let (refused, _) = connected(REFUSAL.as_bytes(), &WHOLE);
    assert!(refused.unwrap_err().starts_with("Overloaded"));
}
