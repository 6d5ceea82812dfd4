#![allow(clippy::unwrap_used, reason = "tests")]

use super::{AuthMode, Credentials, Event, Failure, HANDSHAKE_LEN_MAX, OUTPUT_LEN_MAX, Socks5};
use crate::target::HostError;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::net::SocketAddr;
use titan_proto::Code;

mod properties;

const GREETING: &[u8] = &[5, 2, 0, 2];
const LOGIN: &[u8] = b"\x01\x04user\x04pass";
const CONNECT: &[u8] = b"\x05\x01\x00\x03\x0bExample.COM\x01\xbb";
const REPLY_OK: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// What a driver makes of the requests it gets.
#[derive(Clone, Copy, Debug)]
struct Decisions {
    login: Code,
    reply: Code,
    bound: Option<SocketAddr>,
}

const ALL_OK: Decisions = Decisions {
    login: Code::Ok,
    reply: Code::Ok,
    bound: None,
};

/// Everything that can be seen of a handshake from outside.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    output: Vec<u8>,
    events: Vec<Event>,
    /// The bytes that the machine left behind: early data after a request.
    rest: Vec<u8>,
    wants_bytes: bool,
}

/// Drives one handshake over pieces of input, deciding as soon as it is asked.
fn drive<'a>(
    auth: AuthMode,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    decisions: Decisions,
) -> Outcome {
    let mut socks = Socks5::new(auth);
    let mut input = BytesMut::new();
    let (mut output, mut events) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Some(event) = socks.handle_bytes(&mut input) {
            match &event {
                Event::Credentials(_) if decisions.login == Code::Ok => socks.accept(),
                Event::Credentials(_) => socks.reject(decisions.login),
                Event::Request(_) => socks.reply(decisions.reply, decisions.bound),
                Event::Failed(_) if events.last() == Some(&event) => break,
                Event::Failed(_) => {}
            }
            events.push(event);
        }
        while let Some(bytes) = socks.poll_output() {
            output.extend_from_slice(&bytes);
        }
    }
    assert!(output.len() <= OUTPUT_LEN_MAX);
    Outcome {
        output,
        events,
        rest: input.to_vec(),
        wants_bytes: socks.wants_bytes(),
    }
}

fn credentials(user: &str, password: &[u8]) -> Event {
    Event::Credentials(Credentials {
        user: user.into(),
        password: password.into(),
    })
}

/// Sends a request alone and returns the answer and the failure.
fn request(bytes: &[u8]) -> (Vec<u8>, Option<Failure>) {
    let outcome = drive(AuthMode::Open, [&[5, 1, 0], bytes], ALL_OK);
    let failure = outcome.events.iter().find_map(|event| match event {
        Event::Failed(failure) => Some(*failure),
        Event::Credentials(_) | Event::Request(_) => None,
    });
    (outcome.output[2..].to_vec(), failure)
}

/// Returns the target of a request as text.
fn target(bytes: &[u8]) -> String {
    let outcome = drive(AuthMode::Open, [&[5, 1, 0], bytes], ALL_OK);
    match &outcome.events[..] {
        [Event::Request(target)] => target.to_string(),
        other => panic!("no target: {other:?}"),
    }
}

#[test]
fn a_pipelined_handshake_leaves_early_data_untouched() {
    let bytes = [GREETING, LOGIN, CONNECT, b"GET / HTTP/1.1"].concat();
    let outcome = drive(AuthMode::Password, [&bytes[..]], ALL_OK);
    assert_eq!(outcome.output, [&[5, 2, 1, 0], REPLY_OK].concat());
    let [login, Event::Request(target)] = &outcome.events[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(*login, credentials("user", b"pass"));
    assert_eq!(target.to_string(), "example.com:443");
    assert_eq!(outcome.rest, b"GET / HTTP/1.1");
    assert!(!outcome.wants_bytes);
}

#[test]
fn early_data_is_there_before_the_reply_and_in_place() {
    let mut socks = Socks5::new(AuthMode::Open);
    let mut input = BytesMut::from(&[&[5, 1, 0], CONNECT, b"early"].concat()[..]);
    let early = input[input.len() - 5..].as_ptr();
    assert!(matches!(
        socks.handle_bytes(&mut input),
        Some(Event::Request(_))
    ));
    assert_eq!(
        (&input[..], input.as_ptr()),
        (&b"early"[..], early),
        "not copied"
    );
    assert_eq!(socks.handle_bytes(&mut input), None);
    socks.reply(Code::Ok, None);
    assert_eq!(socks.handle_bytes(&mut input), None);
    assert_eq!(&input[..], b"early");
}

#[test]
fn nothing_is_taken_before_the_verdict() {
    let mut socks = Socks5::new(AuthMode::Password);
    let mut input = BytesMut::from(&[GREETING, LOGIN, CONNECT].concat()[..]);
    assert!(matches!(
        socks.handle_bytes(&mut input),
        Some(Event::Credentials(_))
    ));
    assert!(!socks.wants_bytes());
    assert_eq!(socks.handle_bytes(&mut input), None);
    assert_eq!(&input[..], CONNECT);
    assert_eq!(&socks.poll_output().unwrap()[..], [5, 2]);
    socks.accept();
    assert_eq!(&socks.poll_output().unwrap()[..], [1, 0]);
    assert!(matches!(
        socks.handle_bytes(&mut input),
        Some(Event::Request(_))
    ));
    assert_eq!(socks.poll_output(), None);
}

#[test]
fn the_method_is_chosen_whatever_the_order_of_the_offer() {
    use AuthMode::{Open, Password};
    for (auth, methods, answer) in [
        (Password, &[2][..], 2),
        (Password, &[0, 2], 2),
        (Password, &[2, 0], 2),
        (Password, &[0, 1, 0x80, 2], 2),
        (Password, &[0], 0xff),
        (Password, &[1, 0x80], 0xff),
        (Password, &[], 0xff),
        (Open, &[0], 0),
        (Open, &[1, 0], 0),
        (Open, &[2], 2),
        (Open, &[0, 2], 2),
        (Open, &[1], 0xff),
        (Open, &[], 0xff),
    ] {
        let bytes = [&[5, methods.len() as u8], methods].concat();
        let outcome = drive(auth, [&bytes[..]], ALL_OK);
        assert_eq!(outcome.output, [5, answer], "{auth:?} {methods:?}");
        let failed = outcome.events == [Event::Failed(Failure::Methods)];
        assert_eq!(failed, answer == 0xff, "{auth:?} {methods:?}");
    }
}

#[test]
fn rejected_credentials_are_told_why_and_end_it() {
    for (code, status) in [
        (Code::BadCredentials, 1),
        (Code::QuotaExceeded, 2),
        (Code::UserDisabled, 3),
        (Code::Overloaded, 5),
        (Code::Internal, 0xff),
    ] {
        let bytes = [GREETING, LOGIN, CONNECT].concat();
        let outcome = drive(
            AuthMode::Password,
            [&bytes[..]],
            Decisions {
                login: code,
                ..ALL_OK
            },
        );
        assert_eq!(outcome.output, [5, 2, 1, status]);
        assert_eq!(
            outcome.events[1..],
            [Event::Failed(Failure::Rejected(code))]
        );
        assert_eq!(outcome.rest, CONNECT);
    }
}

#[test]
fn credentials_have_one_to_255_bytes_and_a_readable_name() {
    let long = [b'x'; 255];
    let login = |user: &[u8], password: &[u8]| {
        let lens = [user.len() as u8, password.len() as u8];
        [&[1, lens[0]], user, &lens[1..], password].concat()
    };
    let events = |auth, user: &[u8], password: &[u8]| {
        let outcome = drive(auth, [GREETING, &login(user, password)], ALL_OK);
        (outcome.output, outcome.events)
    };
    let asked = |user: &str, password: &[u8]| (vec![5, 2, 1, 0], vec![credentials(user, password)]);
    let refused = (vec![5, 2, 1, 1], vec![Event::Failed(Failure::Credentials)]);

    let long_name = str::from_utf8(&long).unwrap();
    assert_eq!(
        events(AuthMode::Password, &long, &long),
        asked(long_name, &long)
    );
    assert_eq!(
        events(AuthMode::Password, b"u", b"\xff"),
        asked("u", b"\xff")
    );
    assert_eq!(
        events(AuthMode::Password, "ü-région".as_bytes(), b"p"),
        asked("ü-région", b"p")
    );
    assert_eq!(events(AuthMode::Password, b"\xffu", b"p"), refused);
    assert_eq!(events(AuthMode::Password, b"", b"p"), refused);
    assert_eq!(events(AuthMode::Password, b"u", b""), refused);
    assert_eq!(events(AuthMode::Open, b"", b""), refused);
    assert_eq!(
        events(AuthMode::Open, b"u", b""),
        asked("u", b""),
        "as Java sends it"
    );
}

#[test]
fn the_longest_handshake_is_what_the_constant_says() {
    let greeting = [&[5, 255][..], &[2; 255]].concat();
    let login = [&[1, 255][..], &[b'u'; 255], &[255], &[b'p'; 255]].concat();
    let name = [["a".repeat(63).as_str(); 4].join(".").as_bytes(), &[0, 80]].concat();
    let bytes = [greeting, login, vec![5, 1, 0, 3, 255], name].concat();
    assert_eq!(bytes.len(), HANDSHAKE_LEN_MAX);
    let outcome = drive(AuthMode::Password, [&bytes[..]], ALL_OK);
    assert!(
        matches!(
            outcome.events[..],
            [Event::Credentials(_), Event::Request(_)]
        ),
        "{outcome:?}"
    );
    assert!(outcome.rest.is_empty());
}

#[test]
fn all_address_types_are_targets() {
    assert_eq!(target(&[5, 1, 0, 1, 8, 8, 4, 4, 0, 80]), "8.8.4.4:80");
    assert_eq!(
        target(&[5, 1, 0xaa, 1, 8, 8, 4, 4, 0, 80]),
        "8.8.4.4:80",
        "the reserved byte is ignored"
    );
    let v6 = [&[5, 1, 0, 4, 0x26, 0x06][..], &[0; 13], &[1, 0xff, 0xff]].concat();
    assert_eq!(target(&v6), "[2606::1]:65535");
    assert_eq!(target(CONNECT), "example.com:443");
    assert_eq!(
        target(b"\x05\x01\x00\x03\x060x7f.1\x00\x50"),
        "127.0.0.1:80"
    );
    assert_eq!(target(b"\x05\x01\x00\x03\x05[::1]\x00\x50"), "[::1]:80");
}

#[test]
fn bad_requests_get_the_reply_that_fits() {
    let failed = |reply: u8| vec![5, reply, 0, 1, 0, 0, 0, 0, 0, 0];
    let refused = |reply, failure| (failed(reply), Some(failure));
    assert_eq!(request(&[5, 2]), refused(7, Failure::Command(2)), "BIND");
    assert_eq!(
        request(&[5, 3, 0, 1]),
        refused(7, Failure::Command(3)),
        "UDP ASSOCIATE"
    );
    assert_eq!(request(&[5, 0, 0, 9]), refused(7, Failure::Command(0)));
    for kind in [0, 2, 5, 255] {
        assert_eq!(
            request(&[5, 1, 0, kind]),
            refused(8, Failure::AddressType(kind))
        );
    }
    assert_eq!(
        request(&[5, 1, 0, 1, 8, 8, 8, 8, 0, 0]),
        refused(1, Failure::Port)
    );
    for (name, error) in [
        (&b""[..], HostError::Empty),
        (b"a b", HostError::Character),
        (b"\xff\xfe", HostError::Character),
        (b"[example.com]", HostError::Ipv6),
        (b"1.2.3.4.5", HostError::Ipv4),
    ] {
        let bytes = [&[5, 1, 0, 3, name.len() as u8], name, &[0, 80]].concat();
        assert_eq!(
            request(&bytes),
            refused(4, Failure::Host(error)),
            "{name:?}"
        );
    }
    assert_eq!(request(&[4, 1]), (vec![], Some(Failure::Version(4))));
}

#[test]
fn other_protocols_get_no_answer_but_a_clear_error() {
    for (bytes, text) in [
        (
            &b"\x04\x01\x00\x50\x08\x08\x08\x08\x00"[..],
            "the client speaks SOCKS4",
        ),
        (b"GET / HTTP/1.1\r\n", "the client speaks HTTP"),
        (b"\x16\x03\x01\x02\x00", "the client speaks TLS"),
        (b"\x00", "the client speaks version 0x00 of SOCKS"),
    ] {
        let outcome = drive(AuthMode::Open, [bytes], ALL_OK);
        let failure = Failure::Version(bytes[0]);
        assert_eq!(outcome.events, [Event::Failed(failure)]);
        assert_eq!((&outcome.output[..], &outcome.rest[..]), (&b""[..], bytes));
        assert_eq!(
            (failure.to_string().as_str(), failure.code()),
            (text, Code::Protocol)
        );
    }
    let outcome = drive(AuthMode::Password, [GREETING, &[5]], ALL_OK);
    assert_eq!(outcome.events, [Event::Failed(Failure::LoginVersion(5))]);
    assert_eq!(outcome.output, [5, 2]);
}

#[test]
fn replies_carry_code_and_address_in_matching_length() {
    let reply = |code, bound: Option<&str>| {
        let bound = bound.map(|text| text.parse().unwrap());
        let bytes = [&[5, 1, 0], CONNECT].concat();
        let outcome = drive(
            AuthMode::Open,
            [&bytes[..]],
            Decisions {
                reply: code,
                bound,
                ..ALL_OK
            },
        );
        assert_eq!(outcome.events.len(), if code == Code::Ok { 1 } else { 2 });
        outcome.output[2..].to_vec()
    };
    assert_eq!(reply(Code::Ok, None), REPLY_OK);
    assert_eq!(
        reply(Code::Ok, Some("9.8.7.6:258")),
        [5, 0, 0, 1, 9, 8, 7, 6, 1, 2]
    );
    assert_eq!(
        reply(Code::Ok, Some("[::ffff:9.8.7.6]:258")),
        [5, 0, 0, 1, 9, 8, 7, 6, 1, 2]
    );
    let v6 = [&[5, 0, 0, 4, 0x26, 0x06][..], &[0; 13], &[1, 1, 2]].concat();
    assert_eq!(reply(Code::Ok, Some("[2606::1]:258")), v6);
    for &code in Code::ALL.iter().filter(|&&code| code != Code::Ok) {
        assert_eq!(
            reply(code, Some("[2606::1]:258")),
            [5, code.socks(), 0, 1, 0, 0, 0, 0, 0, 0]
        );
    }
}

#[test]
fn a_password_is_not_shown() {
    let text = alloc::format!("{:?}", credentials("user", b"pass"));
    assert!(
        text.contains("user") && !text.contains("pass\"") && !text.contains("112"),
        "{text}"
    );
}
