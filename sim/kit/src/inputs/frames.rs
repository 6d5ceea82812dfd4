//! Frames as a malicious peer makes them: valid on the wire, and mostly about what exists.

use super::choices::Choices;
use crate::pair::{create, hello};
use titan_proto::{Frame, wire};

/// Draws a HELLO of an edge.
pub fn some_hello(choices: &mut Choices<'_>) -> wire::Hello {
    let base = hello(choices.below(4), choices.below(12));
    let limits = if choices.below(4) == 3 {
        Some(wire::Limits {
            data_max: choices.small(),
            resend_max: choices.number(),
            early_max: choices.number(),
            sessions_max: choices.small(),
        })
    } else {
        base.limits
    };
    let rarely = |number: u64| if number < 6 { 0 } else { number };
    wire::Hello {
        tunnel: rarely(choices.number()),
        received: rarely(choices.number()),
        next: choices.number(),
        limits,
        ..base
    }
}

fn session(choices: &mut Choices<'_>) -> u64 {
    let number = if choices.below(9) == 8 {
        choices.number()
    } else {
        1 + choices.below(5)
    };
    number.max(1)
}

fn some_create(choices: &mut Choices<'_>) -> wire::Create {
    wire::Create {
        group: choices.small(),
        weight: choices.small(),
        dial_timeout_ms: choices.small(),
        download_limit: choices.number(),
        kind: (choices.below(8) as i32 - 4).max(0),
        family: choices.below(4) as i32,
        target: Some(wire::Target {
            ip: choices
                .pick(&[&[10, 0, 0, 1][..], &[], &[127, 0, 0, 1], &[1; 16], &[1; 5]])
                .into(),
            name: choices
                .pick(&["", "example.org", "0x7f.1", "no name!"])
                .into(),
            port: choices.pick(&[80, 0, 65_536]),
        }),
        ..create()
    }
}

/// Draws a frame of any type.
pub fn frame(choices: &mut Choices<'_>) -> Frame {
    match choices.below(14) {
        0 => Frame::Create {
            session: session(choices),
            create: some_create(choices),
        },
        1 => Frame::Reply {
            session: session(choices),
            reply: wire::Reply {
                code: choices.code().wire(),
                upload_limit: choices.number(),
                ..wire::Reply::default()
            },
        },
        2 => Frame::Data {
            session: session(choices),
            data: vec![7; choices.len()].into(),
        },
        3 => Frame::HalfClose {
            session: session(choices),
            final_offset: choices.number(),
        },
        4 => Frame::Stop {
            session: session(choices),
            code: choices.small(),
        },
        5 => Frame::Close {
            session: session(choices),
            close: wire::Close {
                code: choices.code().wire(),
                mode: choices.below(3) as i32,
            },
        },
        6 => Frame::Credit {
            session: session(choices),
            limit: choices.number(),
        },
        7 => Frame::Udp {
            session: session(choices),
            udp: wire::Udp::default(),
        },
        8 => Frame::Ack {
            received: choices.number(),
        },
        9 => Frame::Status(wire::Status {
            accepting: choices.flag(),
            sessions_max: choices.small(),
            ..wire::Status::default()
        }),
        10 => Frame::Bye(wire::Bye {
            code: choices.code().wire(),
            retry_after_ms: choices.number(),
            detail: String::new(),
        }),
        11 => Frame::Command(wire::Command {
            action: choices.below(7) as i32 - 1,
            ..wire::Command::default()
        }),
        12 => Frame::Hello(some_hello(choices)),
        _ => Frame::Unknown(68 + choices.below(100) as u32),
    }
}
