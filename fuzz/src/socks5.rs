//! A SOCKS5 client.

use bytes::BytesMut;
use titan_core::ingress::socks5::{AuthMode, Event, HANDSHAKE_LEN_MAX, Socks5};
use titan_proto::Code;

/// The most that a client is answered: method 2, status 2, reply 22.
const OUTPUT_LEN_MAX: usize = 26;

/// Takes a handshake twice, in one piece and in many, and compares.
///
/// The first byte says what the POP decides, the second how the rest is cut.
///
/// # Panics
/// Panics if the two differ, more is answered than there are words for, or bytes get lost.
pub fn socks5(data: &[u8]) {
    let [decisions, cut, bytes @ ..] = data else {
        return;
    };
    let whole = drive(*decisions, bytes.chunks(bytes.len().max(1)));
    let split = drive(*decisions, bytes.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, split);
    let taken = bytes.len() - whole.left.len();
    assert_eq!(whole.left, bytes[taken..], "what is left is what came last");
    assert!(taken <= HANDSHAKE_LEN_MAX);
    assert!(whole.output.len() <= OUTPUT_LEN_MAX);
    let asked = whole
        .events
        .iter()
        .any(|event| matches!(event, Event::Request(_)));
    let waits = whole.wants_bytes;
    assert!(!(asked && waits), "a request is the last that is asked for");
    assert!(
        !waits || whole.left.len() < HANDSHAKE_LEN_MAX,
        "it is stuck"
    );
}

/// Everything that can be seen of a handshake from outside.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    output: Vec<u8>,
    events: Vec<Event>,
    left: Vec<u8>,
    wants_bytes: bool,
}

fn drive<'a>(decisions: u8, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let open = decisions & 1 == 0;
    let mut socks = Socks5::new(if open {
        AuthMode::Open
    } else {
        AuthMode::Password
    });
    let code = |shift: u8| match (decisions >> shift) & 7 {
        0..4 => Code::Ok,
        4 => Code::BadCredentials,
        5 => Code::Refused,
        6 => Code::Overloaded,
        _ => Code::Internal,
    };
    let (mut input, mut output, mut events) = (BytesMut::new(), Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Some(event) = socks.handle_bytes(&mut input) {
            match &event {
                Event::Credentials(_) if code(1) == Code::Ok => socks.accept(),
                Event::Credentials(_) => socks.reject(code(1)),
                Event::Request(_) => socks.reply(code(4), None),
                Event::Failed(_) if events.last() == Some(&event) => break,
                Event::Failed(_) => {}
            }
            events.push(event);
        }
        while let Some(bytes) = socks.poll_output() {
            output.extend_from_slice(&bytes);
        }
    }
    Outcome {
        output,
        events,
        left: input.to_vec(),
        wants_bytes: socks.wants_bytes(),
    }
}
