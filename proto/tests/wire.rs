//! The wire as bytes: vectors of the legacy frames, limits, types.
#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use prost::Message as _;
use titan_proto::wire::{self, MessageType};
use titan_proto::{Code, DecodeError, Envelope, Frame, Header, limits};

const UUID: &str = "f47ac10b-58cc-4372-a567-0e02b2c3d479";

fn legacy(kind: u8, payload: &[u8]) -> Bytes {
    let mut out = vec![0x08, kind, 0x12, 0x24];
    out.extend_from_slice(UUID.as_bytes());
    if !payload.is_empty() {
        out.extend_from_slice(&[0x1a, u8::try_from(payload.len()).unwrap()]);
        out.extend_from_slice(payload);
    }
    out.into()
}

#[test]
fn legacy_frames_have_their_bytes() {
    for (kind, payload) in [
        (2u8, &b"\x12\x0eexample.org:80"[..]),
        (3, b"hello"),
        (4, b""),
        (6, b""),
    ] {
        let bytes = legacy(kind, payload);
        let message = wire::Message {
            r#type: i32::from(kind),
            session_id: UUID.into(),
            payload: Bytes::copy_from_slice(payload),
            session: 0,
        };
        assert_eq!(message.encode_to_vec(), bytes);
        let envelope = Envelope::decode(&bytes).unwrap();
        assert_eq!(envelope.kind, u32::from(kind));
        assert_eq!(envelope.legacy_session, UUID);
        assert_eq!(envelope.payload, payload);
    }
}

#[test]
fn legacy_payloads_have_their_bytes() {
    let dest = wire::DestAddr {
        addr: "example.org:80".into(),
    };
    assert_eq!(dest.encode_to_vec(), b"\x12\x0eexample.org:80");
    let reply = wire::CreateSessionReply {
        success: true,
        err_msg: String::new(),
        cost_time: 7,
    };
    assert_eq!(reply.encode_to_vec(), [0x08, 1, 0x18, 7]);
    let udp = wire::UdpData {
        addr: "1.2.3.4:53".into(),
        data: Bytes::from_static(b"q"),
    };
    assert_eq!(udp.encode_to_vec(), b"\x0a\x0a1.2.3.4:53\x12\x01q");
    let test = wire::UploadTestRequest {
        action: 1,
        duration: 10,
        session_id: "s".into(),
    };
    assert_eq!(test.encode_to_vec(), [0x08, 1, 0x10, 10, 0x1a, 1, b's']);
}

#[test]
fn numbers_of_the_original_never_change() {
    for (kind, number) in [
        (MessageType::Command, 1),
        (MessageType::ProxySessionCreate, 2),
        (MessageType::ProxySessionData, 3),
        (MessageType::ProxySessionClose, 4),
        (MessageType::ProxyUdpData, 5),
        (MessageType::ProxySessionHalfClose, 6),
        (MessageType::UploadTestReq, 10),
        (MessageType::UploadTestData, 11),
    ] {
        assert_eq!(kind as i32, number);
    }
}

#[test]
fn data_frame_is_header_and_payload() {
    let header = Header::new(MessageType::ProxySessionData as u32, 300, 5);
    assert_eq!(header.as_slice(), [0x08, 3, 0x20, 0xac, 2, 0x1a, 5]);
    let largest = Header::new(u32::MAX, u64::MAX, limits::DATA_MAX);
    assert!(largest.as_slice().len() <= limits::HEADER_MAX);
}

fn message(kind: u32, session: u64, payload: &[u8]) -> Bytes {
    let mut out = Header::new(kind, session, payload.len())
        .as_slice()
        .to_vec();
    out.extend_from_slice(payload);
    out.into()
}

#[test]
fn limits_are_exact() {
    let data = MessageType::ProxySessionData as u32;
    let full = message(data, u64::MAX, &vec![7; limits::DATA_MAX]);
    assert!(full.len() <= limits::MESSAGE_MAX);
    assert_eq!(
        Envelope::decode(&full).unwrap().payload.len(),
        limits::DATA_MAX
    );

    let hello = MessageType::Hello as u32;
    assert!(Envelope::decode(&message(hello, 0, &vec![0; limits::CONTROL_MAX])).is_ok());
    let over = Envelope::decode(&message(hello, 0, &vec![0; limits::CONTROL_MAX + 1]));
    assert_eq!(over.unwrap_err().code(), Code::TooLarge);
    let over = Envelope::decode(&Bytes::from(vec![0; limits::MESSAGE_MAX + 1]));
    assert_eq!(over.unwrap_err(), DecodeError::TooLarge("message"));
}

#[test]
fn payload_is_not_copied() {
    let bytes = message(MessageType::ProxySessionData as u32, 9, b"payload");
    let envelope = Envelope::decode(&bytes).unwrap();
    let Frame::Data { data, .. } = Frame::decode(envelope).unwrap() else {
        panic!("data")
    };
    assert_eq!(data.as_ptr(), bytes[bytes.len() - 7..].as_ptr());
}

#[test]
fn unknown_numbered_types_are_errors_and_others_are_ignored() {
    for kind in [0, 7, 10, 11, 63] {
        assert!(Frame::decode(Envelope::decode(&message(kind, 1, b"")).unwrap()).is_err());
    }
    let later = Envelope::decode(&message(4711, 0, b"xyz")).unwrap();
    assert_eq!(Frame::decode(later).unwrap(), Frame::Unknown(4711));
}
