//! What tests ask for and send, and the limits that they have.

use bytes::{BufMut as _, Bytes, BytesMut};
use std::net::{IpAddr, Ipv4Addr};
use titan_core::endpoint::{Config, Open};
use titan_core::target::{Host, Target};
use titan_core::time::Duration;
use titan_core::trace::TraceId;
use titan_proto::{Frame, encode_header, limits, wire};

/// Limits that allow resuming over the rig's plain carriers.
pub fn config() -> Config {
    Config {
        resume_over_plaintext: true,
        ..Config::default()
    }
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a client of user 1 asks for.
pub fn demand() -> Open {
    Open {
        target: Target {
            host: Host::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))),
            port: 80,
        },
        group: 1,
        weight: 1,
        family: wire::create::Family::Any,
        country: None,
        strict: false,
        sticky: None,
        trace: TraceId::new([7; 16]),
    }
}

/// A HELLO of an edge without a tunnel.
pub fn hello(epoch: u64, attempt: u64) -> wire::Hello {
    wire::Hello {
        version: limits::VERSION,
        epoch,
        attempt,
        limits: Some(wire::Limits {
            data_max: 64 << 10,
            resend_max: 4 << 20,
            early_max: 64 << 10,
            sessions_max: 1000,
        }),
        ..wire::Hello::default()
    }
}

/// The HELLO of a POP that accepts a new tunnel.
pub fn welcome() -> wire::Hello {
    wire::Hello {
        tunnel: 99,
        next: 1,
        resume_key: Bytes::from_static(&[3; 32]),
        ..hello(0, 0)
    }
}

/// A CREATE as the POP makes it.
pub fn create() -> wire::Create {
    wire::Create {
        target: Some(wire::Target {
            ip: Bytes::from_static(&[10, 0, 0, 1]),
            name: String::new(),
            port: 80,
        }),
        dial_timeout_ms: 10_000,
        group: 1,
        weight: 1,
        download_limit: 256 << 10,
        trace_id: Bytes::from_static(&[7; 16]),
        ..wire::Create::default()
    }
}

pub fn encode(frame: Frame) -> Bytes {
    let (kind, session, payload) = frame.encode();
    message(kind, session, &payload)
}

pub fn message(kind: u32, session: u64, payload: &[u8]) -> Bytes {
    let mut message = BytesMut::new();
    encode_header(kind, session, payload.len(), &mut message);
    message.put_slice(payload);
    message.freeze()
}
