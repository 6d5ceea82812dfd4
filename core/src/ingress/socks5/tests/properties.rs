//! What holds for every client.

use super::{ALL_OK, Decisions, GREETING, drive};
use crate::ingress::socks5::{AuthMode, Event, OUTPUT_LEN_MAX, Socks5};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::net::SocketAddr;
use proptest::prelude::*;
use titan_proto::Code;

/// Cuts `bytes` at the given places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let starts = [0].into_iter().chain(ends.clone());
    starts
        .zip(ends.clone())
        .map(|(start, end)| &bytes[start..end])
        .collect()
}

fn auth_modes() -> impl Strategy<Value = AuthMode> {
    prop::sample::select(vec![AuthMode::Open, AuthMode::Password])
}

fn decisions() -> impl Strategy<Value = Decisions> {
    let code = || prop_oneof![4 => Just(Code::Ok), 1 => prop::sample::select(Code::ALL)];
    (code(), code(), any::<Option<SocketAddr>>()).prop_map(|(login, reply, bound)| Decisions {
        login,
        reply,
        bound,
    })
}

/// What clients send: good handshakes with early data, such with one byte changed, and garbage.
fn client_bytes() -> impl Strategy<Value = Vec<u8>> {
    let blob = |len| prop::collection::vec(any::<u8>(), len);
    let name = prop_oneof![
        Just(b"Example.COM".to_vec()),
        "[a-z0-9.\\[\\]:-]{0,20}".prop_map(String::into_bytes)
    ];
    let host = prop_oneof![
        blob(4..=4).prop_map(|bytes| [vec![1], bytes].concat()),
        blob(16..=16).prop_map(|bytes| [vec![4], bytes].concat()),
        name.prop_map(|name| [vec![3, name.len() as u8], name].concat()),
    ];
    let login = ("[a-z-]{1,9}", blob(1..=8)).prop_map(|(user, password)| {
        [
            &[1, user.len() as u8],
            user.as_bytes(),
            &[password.len() as u8],
            &password,
        ]
        .concat()
    });
    let good = (
        prop_oneof![
            Just(vec![5, 1, 0]),
            login.prop_map(|login| [GREETING, &login].concat())
        ],
        host,
        any::<u16>(),
        blob(0..=40),
    )
        .prop_map(|(start, host, port, early)| {
            [
                start,
                vec![5, 1, 0],
                host,
                port.to_be_bytes().to_vec(),
                early,
            ]
            .concat()
        });
    let changed = (good.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, index, byte)| {
            let index = index.index(bytes.len());
            bytes[index] = byte;
            bytes
        },
    );
    prop_oneof![3 => good, 2 => changed, 1 => blob(0..=40)]
}

proptest! {
    #[test]
    fn the_result_is_the_same_for_any_split(
        bytes in client_bytes(), cuts: [prop::sample::Index; 4], auth in auth_modes(), decisions in decisions(),
    ) {
        let whole = drive(auth, [&bytes[..]], decisions);
        prop_assert_eq!(&drive(auth, pieces(&bytes, &cuts), decisions), &whole);
        prop_assert_eq!(&drive(auth, bytes.chunks(1), decisions), &whole);
    }

    #[test]
    fn every_prefix_of_a_good_handshake_needs_more(
        bytes in client_bytes(), auth in auth_modes(),
    ) {
        let whole = drive(auth, [&bytes[..]], ALL_OK);
        let Some(Event::Request(_)) = whole.events.last() else { return Ok(()) };
        for len in 0..bytes.len() - whole.rest.len() {
            let outcome = drive(auth, [&bytes[..len]], ALL_OK);
            prop_assert!(outcome.wants_bytes, "after {len} bytes");
            prop_assert!(whole.events.starts_with(&outcome.events));
            prop_assert!(whole.events.len() > outcome.events.len());
            prop_assert!(whole.output.starts_with(&outcome.output));
        }
    }

    #[test]
    fn any_order_of_calls_is_harmless(
        bytes in client_bytes(), auth in auth_modes(), calls in prop::collection::vec((0_u8..6, prop::sample::select(Code::ALL)), 0..40),
    ) {
        let mut socks = Socks5::new(auth);
        let mut input = BytesMut::new();
        let mut source = bytes.iter();
        let (mut sent, mut taken, mut written) = (0, 0, 0);
        for (call, code) in calls {
            let before = input.len();
            match call {
                0 | 1 => {
                    let piece: Vec<_> = source.by_ref().take(7).copied().collect();
                    sent += piece.len();
                    input.extend_from_slice(&piece);
                }
                2 => {
                    let _ = socks.handle_bytes(&mut input);
                    taken += before - input.len();
                }
                3 => socks.accept(),
                4 => socks.reject(code),
                _ => socks.reply(code, None),
            }
            written += socks.poll_output().map_or(0, |bytes| bytes.len());
            prop_assert_eq!(sent - taken, input.len());
            prop_assert!(bytes[taken..].starts_with(&input), "what is left is the end of what came");
            prop_assert!(written <= OUTPUT_LEN_MAX);
        }
    }
}
