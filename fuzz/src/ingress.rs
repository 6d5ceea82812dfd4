//! A client, whatever it speaks.

use bytes::BytesMut;
use titan_core::ingress::socks5::HANDSHAKE_LEN_MAX;
use titan_core::ingress::{AuthMode, Event, Outcome, Rules, start};
use titan_proto::Code;

/// The first byte of a client of SOCKS5.
const SOCKS5: u8 = 5;

/// The most that a client of SOCKS5 is answered: method 2, status 2, reply 22.
const SOCKS5_OUTPUT_LEN_MAX: usize = 26;

/// The most that any client is answered to one thing that it said.
const ANSWER_LEN_MAX: usize = 1024;

/// Takes what a client sends twice, in one piece and in many, and compares.
///
/// The first byte says what the POP decides, the second how the rest is cut.
///
/// # Panics
/// Panics if the two differ, more is answered than there are words for, or bytes get lost.
pub fn ingress(data: &[u8]) {
    let [decisions, cut, bytes @ ..] = data else {
        return;
    };
    let Some(&first) = bytes.first() else {
        return;
    };
    let whole = drive(*decisions, first, bytes.chunks(bytes.len()));
    let split = drive(*decisions, first, bytes.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, split);
    let taken = bytes.len() - whole.left.len();
    assert_eq!(whole.left, bytes[taken..], "what is left is what came last");
    assert!(whole.output.len() <= ANSWER_LEN_MAX * (1 + whole.events.len()));
    if first == SOCKS5 {
        assert!(taken <= HANDSHAKE_LEN_MAX);
        assert!(whole.output.len() <= SOCKS5_OUTPUT_LEN_MAX);
    }
    let opened = whole.opened && matches!(whole.events.last(), Some(Event::Request(_)));
    let waits = whole.wants_bytes;
    assert!(
        !(opened && waits),
        "after a request that is granted all is payload"
    );
    assert!(
        !waits || whole.left.len() < whole.input_len_max,
        "it is stuck"
    );
}

/// Everything that can be seen of a client from outside.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    output: Vec<u8>,
    events: Vec<Event>,
    left: Vec<u8>,
    wants_bytes: bool,
    input_len_max: usize,
    /// Requests are granted.
    opened: bool,
}

fn drive<'a>(decisions: u8, first: u8, pieces: impl Iterator<Item = &'a [u8]>) -> Seen {
    let open = decisions & 1 == 0;
    let auth = if open {
        AuthMode::Open
    } else {
        AuthMode::Password
    };
    let mut ingress = start(first, Rules { auth });
    let code = |shift: u8| match (decisions >> shift) & 7 {
        0..4 => Code::Ok,
        4 => Code::BadCredentials,
        5 => Code::Refused,
        6 => Code::Overloaded,
        _ => Code::Internal,
    };
    let (login, answer) = (code(1), code(4));
    let (mut input, mut output, mut events) = (BytesMut::new(), Vec::new(), Vec::new());
    for piece in pieces {
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
    }
    Seen {
        output,
        events,
        left: input.to_vec(),
        wants_bytes: ingress.wants_bytes(),
        input_len_max: ingress.input_len_max(),
        opened: answer == Code::Ok,
    }
}
