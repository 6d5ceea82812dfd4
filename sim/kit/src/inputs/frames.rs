//! Frames as a malicious peer makes them: valid on the wire, and mostly about what exists.

use super::choices::Choices;
use crate::pair::{create, hello, message};
use titan_proto::{Class, Envelope, Frame, FrameKind, wire};

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

/// The kinds in the order in which a first byte draws them. The bytes of the corpus count on it: a kind that
/// comes later is not added here, but drawn with what is unknown.
const DRAWN: [FrameKind; 13] = [
    FrameKind::Create,
    FrameKind::Reply,
    FrameKind::Data,
    FrameKind::HalfClose,
    FrameKind::Stop,
    FrameKind::Close,
    FrameKind::Credit,
    FrameKind::Udp,
    FrameKind::Ack,
    FrameKind::Status,
    FrameKind::Bye,
    FrameKind::Command,
    FrameKind::Hello,
];

/// The first number beyond those of [`DRAWN`], and how many from there on are drawn.
const BEYOND: u32 = 68;
const BEYOND_COUNT: u32 = 100;

/// Draws a frame of any type, also of one that nobody knows.
pub fn frame(choices: &mut Choices<'_>) -> Frame {
    let kind = choices.below(DRAWN.len() as u64 + 1) as usize;
    if let Some(kind) = DRAWN.get(kind) {
        return frame_of(*kind, choices);
    }
    let roll = choices.below(BEYOND_COUNT.into()) as u32;
    match later(roll) {
        Some(kind) => frame_of(kind, choices),
        None => Frame::Unknown(BEYOND + roll),
    }
}

/// Returns the kind that has come since and that this draw means: it follows from the kind's number alone, from
/// the first draw on for those beyond and from the last one back for those between.
fn later(roll: u32) -> Option<FrameKind> {
    let numbers = [BEYOND + roll, BEYOND_COUNT - 1 - roll];
    let mut kinds = numbers.into_iter().filter_map(FrameKind::from_number);
    kinds.find(|kind| !DRAWN.contains(kind))
}

/// Draws a frame of a kind, with an empty body if nothing here says how to draw one.
fn frame_of(kind: FrameKind, choices: &mut Choices<'_>) -> Frame {
    let session = match kind.class() {
        Class::Session => session(choices),
        Class::Carrier | Class::Tunnel => 0,
    };
    match kind {
        FrameKind::Create => Frame::Create {
            session,
            create: some_create(choices),
        },
        FrameKind::Reply => Frame::Reply {
            session,
            reply: wire::Reply {
                code: choices.code().wire(),
                upload_limit: choices.number(),
                ..wire::Reply::default()
            },
        },
        FrameKind::Data => Frame::Data {
            session,
            data: vec![7; choices.len()].into(),
        },
        FrameKind::HalfClose => Frame::HalfClose {
            session,
            final_offset: choices.number(),
        },
        FrameKind::Stop => Frame::Stop {
            session,
            code: choices.small(),
        },
        FrameKind::Close => Frame::Close {
            session,
            close: wire::Close {
                code: choices.code().wire(),
                mode: choices.below(3) as i32,
            },
        },
        FrameKind::Credit => Frame::Credit {
            session,
            limit: choices.number(),
        },
        FrameKind::Ack => Frame::Ack {
            received: choices.number(),
        },
        FrameKind::Status => Frame::Status(wire::Status {
            accepting: choices.flag(),
            sessions_max: choices.small(),
            ..wire::Status::default()
        }),
        FrameKind::Bye => Frame::Bye(wire::Bye {
            code: choices.code().wire(),
            retry_after_ms: choices.number(),
            detail: String::new(),
        }),
        FrameKind::Command => Frame::Command(wire::Command {
            action: choices.below(7) as i32 - 1,
            ..wire::Command::default()
        }),
        FrameKind::Hello => Frame::Hello(some_hello(choices)),
        _ => bare(kind, session),
    }
}

/// Makes a frame with an empty body.
fn bare(kind: FrameKind, session: u64) -> Frame {
    let message = message(kind.number(), session, &[]);
    let envelope = Envelope::decode(&message).expect("a header that was just made");
    Frame::decode(envelope).expect("an empty body is one of any kind")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_a_first_byte_draws_stays_what_it_is() {
        let drawn = |bytes: &[u8]| frame(&mut Choices::new(bytes)).encode().0;
        let first: Vec<u32> = (0..13).map(|byte| drawn(&[byte])).collect();
        assert_eq!(first, [2, 16, 3, 6, 17, 4, 18, 5, 65, 66, 67, 1, 64]);
        assert_eq!([drawn(&[13]), drawn(&[13, 9])], [68, 77]);
    }

    #[test]
    fn every_kind_is_drawn() {
        let bytes = (0..14).flat_map(|first| (0..100).map(move |second| [first, second]));
        let drawn: BTreeSet<u32> = bytes
            .map(|bytes| frame(&mut Choices::new(&bytes)).encode().0)
            .collect();
        for kind in FrameKind::ALL {
            assert!(drawn.contains(&kind.number()), "{}", kind.name());
        }
    }
}
