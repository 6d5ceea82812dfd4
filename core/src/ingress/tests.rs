//! What holds for every protocol behind the seam.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{AuthMode, Event, Outcome, PROTOCOLS, Rules, Wishes, start};
use alloc::string::ToString as _;
use alloc::vec::Vec;
use bytes::BytesMut;
use proptest::prelude::*;
use titan_proto::Code;

/// What a client says, in each protocol, that logs in as `user` with `pass` and wants `example:443`.
const HANDSHAKES: &[&[u8]] =
    &[b"\x05\x01\x02\x01\x04user\x04pass\x05\x01\x00\x03\x07example\x01\xbb"];

const SOCKS5: &[u8] = HANDSHAKES[0];

/// Everything that a driver sees of a client.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    events: Vec<Event>,
    output: Vec<u8>,
    rest: Vec<u8>,
    wants_bytes: bool,
}

/// Drives a client over pieces of its bytes, reading no more than it has to.
fn drive<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, login: Code, answer: Code) -> Seen {
    let rules = Rules {
        auth: AuthMode::Password,
    };
    let mut pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
    let first = pieces.next().unwrap();
    let mut ingress = start(first[0], rules);
    let mut input = BytesMut::new();
    let (mut events, mut output) = (Vec::new(), Vec::new());
    for piece in [first].into_iter().chain(pieces) {
        input.extend_from_slice(piece);
        while let Some(event) = ingress.handle_bytes(&mut input) {
            match &event {
                Event::Login(_) if login == Code::Ok => ingress.judge(Ok(())),
                Event::Login(_) => ingress.judge(Err(login)),
                Event::Request(_) => ingress.answer(Outcome::from(answer)),
                Event::Failed(_) if events.last() == Some(&event) => break,
                Event::Failed(_) => {}
            }
            events.push(event);
        }
        while let Some(bytes) = ingress.poll_output() {
            output.extend_from_slice(&bytes);
        }
        let stuck = ingress.wants_bytes() && input.len() >= ingress.input_len_max();
        assert!(!stuck, "no more may be read, and more is wanted");
    }
    Seen {
        events,
        output,
        rest: input.to_vec(),
        wants_bytes: ingress.wants_bytes(),
    }
}

#[test]
fn no_byte_announces_two_protocols() {
    for first in 0..=u8::MAX {
        let announced = PROTOCOLS
            .iter()
            .filter(|protocol| (protocol.is_announced_by)(first));
        assert!(announced.count() <= 1, "{first:#04x}");
    }
}

#[test]
fn every_protocol_is_held_to_the_seam() {
    for protocol in PROTOCOLS {
        let spoken = |handshake: &&&[u8]| (protocol.is_announced_by)(handshake[0]);
        assert_eq!(HANDSHAKES.iter().filter(spoken).count(), 1, "{protocol:?}");
    }
}

#[test]
fn a_request_tells_who_and_where_and_leaves_early_data() {
    for handshake in HANDSHAKES {
        let bytes = [*handshake, b"early"].concat();
        let seen = drive([&bytes[..]], Code::Ok, Code::Ok);
        let [Event::Login(login), Event::Request(request)] = &seen.events[..] else {
            panic!("{seen:?}")
        };
        assert_eq!((login.user(), login.password()), ("user", &b"pass"[..]));
        assert_eq!(request.target.to_string(), "example:443");
        assert_eq!(request.wishes, Wishes::default());
        assert_eq!(seen.rest, b"early");
        assert!(!seen.wants_bytes);
    }
}

#[test]
fn refusals_are_told_in_the_words_of_the_protocol() {
    let refused = drive([SOCKS5], Code::UserDisabled, Code::Ok);
    assert_eq!(refused.output, [5, 2, 1, 3]);
    let refused = drive([SOCKS5], Code::Ok, Code::Refused);
    assert_eq!(refused.output, [5, 2, 1, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
    for seen in [
        drive([SOCKS5], Code::UserDisabled, Code::Ok),
        drive([SOCKS5], Code::Ok, Code::Refused),
    ] {
        assert!(!seen.wants_bytes, "SOCKS5 closes after a refusal");
        let Some(Event::Failed(failure)) = seen.events.last() else {
            panic!("{seen:?}")
        };
        assert_ne!(failure.code, Code::Ok);
    }
}

#[test]
fn what_nobody_speaks_is_named_and_not_answered() {
    for (first, word) in [(4, "SOCKS4"), (0x16, "TLS"), (b'G', "HTTP"), (0, "0x00")] {
        let seen = drive([&[first; 20][..]], Code::Ok, Code::Ok);
        let [Event::Failed(failure)] = &seen.events[..] else {
            panic!("{seen:?}")
        };
        assert_eq!(failure.code, Code::Protocol);
        assert!(failure.detail.contains(word), "{}", failure.detail);
        assert!(seen.output.is_empty() && !seen.wants_bytes);
    }
}

#[test]
fn decisions_that_nobody_waits_for_change_nothing() {
    let rules = Rules {
        auth: AuthMode::Password,
    };
    for handshake in HANDSHAKES {
        let mut ingress = start(handshake[0], rules);
        ingress.judge(Ok(()));
        ingress.judge(Err(Code::BadCredentials));
        ingress.answer(Outcome::from(Code::Ok));
        assert_eq!(ingress.poll_output(), None);
        assert!(ingress.wants_bytes());
    }
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        handshake in prop::sample::select(HANDSHAKES),
        noise in prop::collection::vec(any::<u8>(), 1..60),
        changed in any::<Option<(prop::sample::Index, u8)>>(),
        cut in 1_usize..40,
        noisy in prop::bool::weighted(0.2),
        refuse in prop::sample::select(alloc::vec![(Code::Ok, Code::Ok), (Code::BadCredentials, Code::Ok), (Code::Ok, Code::NoExit)]),
    ) {
        let mut bytes = if noisy { noise } else { [handshake, &noise[..]].concat() };
        if let Some((index, byte)) = changed {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let whole = drive([&bytes[..]], refuse.0, refuse.1);
        prop_assert_eq!(&drive(bytes.chunks(cut), refuse.0, refuse.1), &whole);
        prop_assert_eq!(&drive(bytes.chunks(1), refuse.0, refuse.1), &whole);
    }
}
