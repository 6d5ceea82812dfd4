//! One binary message of a carrier.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use titan_proto::{Envelope, Frame, FrameKind, encode_header, limits, wire};

/// Takes a message apart, holds it against prost, and puts it together again.
///
/// # Panics
/// Panics if prost reads it otherwise, a limit is not kept, or it does not survive the way back.
pub fn frame(data: &[u8]) {
    let message = Bytes::copy_from_slice(data);
    let Ok(envelope) = Envelope::decode(&message) else {
        return;
    };
    assert!(message.len() <= limits::MESSAGE_MAX);
    assert!(envelope.payload.len() <= payload_max(envelope.kind));
    if let Ok(oracle) = wire::Message::decode(message) {
        assert_eq!(oracle.session, envelope.session);
        assert_eq!(oracle.session_id, envelope.legacy_session);
        assert_eq!(oracle.payload, envelope.payload);
        // An enumeration of protobuf takes 64 bits and keeps 32.
        assert_eq!(oracle.r#type as u32, envelope.kind);
    }
    let (kind, session) = (envelope.kind, envelope.session);
    let Ok(frame) = Frame::decode(envelope) else {
        return;
    };
    assert_eq!(frame.kind(), FrameKind::from_number(kind));
    if frame.kind().is_none() {
        return;
    }
    let (again, of, payload) = frame.clone().encode();
    assert_eq!((again, of), (kind, session));
    let mut message = BytesMut::new();
    encode_header(kind, session, payload.len(), &mut message);
    assert!(message.len() <= limits::HEADER_MAX);
    message.put_slice(&payload);
    let decoded = Envelope::decode(&message.freeze()).map(Frame::decode);
    assert_eq!(decoded, Ok(Ok(frame)));
}

/// Returns the longest payload of a type, legacy ones included.
fn payload_max(kind: u32) -> usize {
    const LEGACY_TEST: u32 = wire::MessageType::UploadTestData as u32;
    match (FrameKind::from_number(kind), kind) {
        (Some(kind), _) => kind.payload_max(),
        (None, LEGACY_TEST) => limits::DATA_MAX,
        (None, _) => limits::CONTROL_MAX,
    }
}
