//! What holds for every frame and for garbage: round trips, truncations, agreement with prost.
#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;
use std::collections::BTreeSet;
use titan_proto::wire;
use titan_proto::{Class, DecodeError, Envelope, Frame, FrameKind, Header, is_numbered, limits};

fn message(kind: u32, session: u64, payload: &[u8]) -> Bytes {
    let mut out = Header::new(kind, session, payload.len())
        .as_slice()
        .to_vec();
    out.extend_from_slice(payload);
    out.into()
}

fn decode(message: &Bytes) -> Result<Frame, DecodeError> {
    Frame::decode(Envelope::decode(message)?)
}

/// Numbers of every length on the wire.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..64).prop_map(|(number, shift)| number >> shift)
}

fn small() -> impl Strategy<Value = u32> {
    (any::<u32>(), 0u32..32).prop_map(|(number, shift)| number >> shift)
}

/// A value of an enumeration, known or not.
fn choice() -> impl Strategy<Value = i32> {
    prop_oneof![3 => 0i32..4, 1 => any::<i32>()]
}

fn blob() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        Just(Bytes::new()),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
    ]
}

fn target() -> impl Strategy<Value = Option<wire::Target>> {
    let target = (blob(), "\\PC{0,40}", small());
    prop::option::of(target.prop_map(|(ip, name, port)| wire::Target { ip, name, port }))
}

fn command() -> impl Strategy<Value = wire::Command> {
    (choice(), small(), number(), number(), number()).prop_map(
        |(action, code, retry_after_ms, upload_rate, download_rate)| wire::Command {
            action,
            code,
            retry_after_ms,
            upload_rate,
            download_rate,
        },
    )
}

fn create() -> impl Strategy<Value = wire::Create> {
    let first = (choice(), target(), choice(), small());
    (first, small(), small(), number(), blob()).prop_map(
        |((kind, target, family, dial_timeout_ms), group, weight, download_limit, trace_id)| {
            wire::Create {
                kind,
                target,
                family,
                dial_timeout_ms,
                group,
                weight,
                download_limit,
                trace_id,
            }
        },
    )
}

fn reply() -> impl Strategy<Value = wire::Reply> {
    let addresses = prop::collection::vec(blob(), 0..4);
    (small(), addresses, small(), small(), number()).prop_map(
        |(code, addresses, resolve_ms, dial_ms, upload_limit)| wire::Reply {
            code,
            addresses,
            resolve_ms,
            dial_ms,
            upload_limit,
        },
    )
}

fn hello() -> impl Strategy<Value = wire::Hello> {
    let limits = (small(), number(), number(), small()).prop_map(
        |(data_max, resend_max, early_max, sessions_max)| wire::Limits {
            data_max,
            resend_max,
            early_max,
            sessions_max,
        },
    );
    let numbers = (number(), number(), number(), number(), number());
    let texts = (blob(), blob(), "\\PC{0,60}", blob());
    (numbers, prop::option::of(limits), texts, small(), small()).prop_map(
        |(
            (epoch, attempt, tunnel, received, next),
            limits,
            (proof, resume_key, resume_address, observed_address),
            version,
            lane,
        )| wire::Hello {
            version,
            epoch,
            attempt,
            tunnel,
            received,
            limits,
            proof,
            next,
            resume_key,
            resume_address,
            lane,
            observed_address,
        },
    )
}

/// Every type of frame, with every field of it.
fn frames() -> impl Strategy<Value = Frame> {
    let session = || number().prop_map(|number| number.max(1));
    prop_oneof![
        command().prop_map(Frame::Command),
        (session(), create()).prop_map(|(session, create)| Frame::Create { session, create }),
        (session(), reply()).prop_map(|(session, reply)| Frame::Reply { session, reply }),
        (session(), blob()).prop_map(|(session, data)| Frame::Data { session, data }),
        (session(), number()).prop_map(|(session, final_offset)| Frame::HalfClose {
            session,
            final_offset
        }),
        (session(), small()).prop_map(|(session, code)| Frame::Stop { session, code }),
        (session(), small(), choice()).prop_map(|(session, code, mode)| Frame::Close {
            session,
            close: wire::Close { code, mode }
        }),
        (session(), number()).prop_map(|(session, limit)| Frame::Credit { session, limit }),
        (session(), target(), blob()).prop_map(|(session, address, data)| Frame::Udp {
            session,
            udp: wire::Udp { address, data }
        }),
        hello().prop_map(Frame::Hello),
        number().prop_map(|received| Frame::Ack { received }),
        (any::<bool>(), small(), small(), number()).prop_map(
            |(accepting, sessions_max, reason, until_ms)| Frame::Status(wire::Status {
                accepting,
                sessions_max,
                reason,
                until_ms
            })
        ),
        (small(), number(), "\\PC{0,60}").prop_map(|(code, retry_after_ms, detail)| {
            Frame::Bye(wire::Bye {
                code,
                retry_after_ms,
                detail,
            })
        }),
        (select(FrameKind::ALL), session()).prop_map(|(kind, session)| bare(kind, session)),
        later().prop_map(Frame::Unknown),
    ]
}

/// Makes a frame with an empty payload.
fn bare(kind: FrameKind, session: u64) -> Frame {
    let of_session = kind.class() == Class::Session;
    let session = if of_session { session } else { 0 };
    decode(&message(kind.number(), session, &[])).unwrap()
}

/// Types of a later version.
fn later() -> impl Strategy<Value = u32> {
    let first = FrameKind::ALL.iter().map(|kind| kind.number()).max();
    let first = first.unwrap() + 1;
    prop_oneof![first..200, Just(u32::MAX), first..=u32::MAX]
}

/// Returns where the fields of an encoded message end, its start included.
fn field_ends(message: &[u8]) -> BTreeSet<usize> {
    let mut ends = BTreeSet::from([0]);
    let mut at = 0;
    let varint = |at: &mut usize| {
        let mut value = 0u64;
        for shift in (0..).step_by(7) {
            let byte = message[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    };
    while at < message.len() {
        let tag = varint(&mut at);
        let number = varint(&mut at);
        if tag & 7 == 2 {
            at += usize::try_from(number).unwrap();
        }
        ends.insert(at);
    }
    ends
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn frames_round_trip(frame in frames()) {
        let (kind, session, payload) = frame.clone().encode();
        let known = FrameKind::from_number(kind);
        prop_assert_eq!(known, frame.kind());
        let payload_max = known.map_or(limits::CONTROL_MAX, FrameKind::payload_max);
        prop_assert!(payload.len() <= payload_max);
        let bytes = message(kind, session, &payload);
        prop_assert_eq!(decode(&bytes), Ok(frame));
        let oracle = wire::Message::decode(bytes).unwrap();
        prop_assert_eq!(oracle.r#type as u32, kind);
        prop_assert_eq!((oracle.session, oracle.payload), (session, payload));
    }

    #[test]
    fn every_truncation_of_a_message_is_an_error_or_lacks_whole_fields(frame in frames()) {
        let (kind, session, payload) = frame.clone().encode();
        let bytes = message(kind, session, &payload);
        let ends = field_ends(&bytes);
        for end in 0..bytes.len() {
            let cut = Envelope::decode(&bytes.slice(..end));
            prop_assert_eq!(cut.is_ok(), ends.contains(&end), "{} of {}: {:?}", end, bytes.len(), cut);
            prop_assert_ne!(cut.and_then(Frame::decode), Ok(frame.clone()));
        }
    }

    #[test]
    fn every_truncation_of_a_payload_is_an_error_or_lacks_whole_fields(frame in frames()) {
        let (kind, session, payload) = frame.clone().encode();
        let is_data = matches!(frame, Frame::Data { .. });
        let ends = if is_data { (0..payload.len()).collect() } else { field_ends(&payload) };
        for end in 0..payload.len() {
            let cut = decode(&message(kind, session, &payload[..end]));
            prop_assert_eq!(cut.is_ok(), ends.contains(&end), "{} of {}: {:?}", end, payload.len(), cut);
            prop_assert_ne!(cut, Ok(frame.clone()));
        }
    }

    #[test]
    fn types_are_known_numbered_errors_or_ignored(
        kind in prop_oneof![2 => 0u32..128, 1 => later()], session in number(), payload in blob(),
    ) {
        let decoded = decode(&message(kind, session, &payload));
        match kind {
            _ if FrameKind::from_number(kind).is_some() => {
                let known = FrameKind::from_number(kind).unwrap();
                if (known.class() == Class::Session) != (session != 0) {
                    prop_assert_eq!(decoded, Err(DecodeError::Malformed("session number")));
                } else if let Ok(frame) = decoded {
                    prop_assert_eq!(frame.kind(), Some(known));
                }
                prop_assert_eq!(is_numbered(kind), known.is_numbered());
            }
            ..64 => {
                prop_assert!(is_numbered(kind));
                prop_assert!(matches!(decoded, Err(DecodeError::Malformed(_))), "{:?}", decoded);
            }
            _ => {
                prop_assert!(!is_numbered(kind));
                prop_assert_eq!(decoded, Ok(Frame::Unknown(kind)));
            }
        }
    }

    #[test]
    fn unknown_fields_are_skipped(frame in frames(), number in 5u64..2000, value in blob(), form in select(vec![0u64, 1, 2, 5])) {
        let (kind, session, payload) = frame.clone().encode();
        let mut field = Vec::new();
        prost::encoding::encode_varint(number << 3 | form, &mut field);
        match form {
            0 => prost::encoding::encode_varint(value.len() as u64, &mut field),
            1 => field.extend([7; 8]),
            5 => field.extend([7; 4]),
            _ => {
                prost::encoding::encode_varint(value.len() as u64, &mut field);
                field.extend(&value);
            }
        }
        let bytes = message(kind, session, &payload);
        for extended in [[&field[..], &bytes].concat(), [&bytes[..], &field].concat()] {
            prop_assert_eq!(decode(&extended.into()), Ok(frame.clone()));
        }
    }

    #[test]
    fn garbage_is_judged_like_prost(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let bytes = Bytes::from(bytes);
        if let Ok(envelope) = Envelope::decode(&bytes) {
            let _ = Frame::decode(envelope.clone());
            if let Ok(oracle) = wire::Message::decode(bytes) {
                prop_assert_eq!(oracle.session, envelope.session);
                prop_assert_eq!(oracle.payload, envelope.payload);
            }
        }
    }
}
