//! Frames as the two ends mean them.

use crate::envelope::{DecodeError, Envelope};
use crate::kind::{Class, FrameKind, is_numbered};
use crate::wire;
use bytes::Bytes;

/// A decoded frame.
#[derive(Clone, PartialEq, Debug)]
pub enum Frame {
    /// An order of the POP to the edge.
    Command(wire::Command),
    /// POP to edge: open a session.
    Create {
        /// Number of the session, above every earlier one of the tunnel.
        session: u64,
        /// What to open.
        create: wire::Create,
    },
    /// Edge to POP: how the dial went; exactly one per CREATE.
    Reply {
        /// Number of the session.
        session: u64,
        /// The outcome.
        reply: wire::Reply,
    },
    /// Bytes of a session.
    Data {
        /// Number of the session.
        session: u64,
        /// The bytes; never copied.
        data: Bytes,
    },
    /// The sender's direction is complete.
    HalfClose {
        /// Number of the session.
        session: u64,
        /// Bytes of the direction in total.
        final_offset: u64,
    },
    /// The sender reads no more; its own direction goes on.
    Stop {
        /// Number of the session.
        session: u64,
        /// Why, as a wire number of [`Code`](crate::Code).
        code: u32,
    },
    /// The session is over.
    Close {
        /// Number of the session.
        session: u64,
        /// Why and how.
        close: wire::Close,
    },
    /// The receiver may send up to this offset.
    Credit {
        /// Number of the session.
        session: u64,
        /// Absolute offset in bytes.
        limit: u64,
    },
    /// A datagram.
    Udp {
        /// Number of the session.
        session: u64,
        /// Address and bytes.
        udp: wire::Udp,
    },
    /// First frame of each side on a carrier.
    Hello(wire::Hello),
    /// Numbered frames received so far.
    Ack {
        /// Cumulative count.
        received: u64,
    },
    /// Edge to POP: how much it takes on.
    Status(wire::Status),
    /// Last frame on a carrier ended on purpose.
    Bye(wire::Bye),
    /// An unnumbered type this version does not know.
    Unknown(u32),
}

impl Frame {
    /// Returns the row of the table of frames; `None` for a type this version does not know.
    #[must_use]
    pub const fn kind(&self) -> Option<FrameKind> {
        Some(match self {
            Self::Command(_) => FrameKind::Command,
            Self::Create { .. } => FrameKind::Create,
            Self::Reply { .. } => FrameKind::Reply,
            Self::Data { .. } => FrameKind::Data,
            Self::HalfClose { .. } => FrameKind::HalfClose,
            Self::Stop { .. } => FrameKind::Stop,
            Self::Close { .. } => FrameKind::Close,
            Self::Credit { .. } => FrameKind::Credit,
            Self::Udp { .. } => FrameKind::Udp,
            Self::Hello(_) => FrameKind::Hello,
            Self::Ack { .. } => FrameKind::Ack,
            Self::Status(_) => FrameKind::Status,
            Self::Bye(_) => FrameKind::Bye,
            Self::Unknown(_) => return None,
        })
    }

    /// Decodes what an envelope holds.
    ///
    /// # Errors
    /// Fails on unknown numbered types, legacy-only types and payloads that do not parse.
    pub fn decode(envelope: Envelope) -> Result<Self, DecodeError> {
        let Some(kind) = known_kind(&envelope)? else {
            return Ok(Self::Unknown(envelope.kind));
        };
        let Envelope {
            session, payload, ..
        } = envelope;
        Ok(match kind {
            FrameKind::Data => Self::Data {
                session,
                data: payload,
            },
            FrameKind::Command => Self::Command(parse(payload)?),
            FrameKind::Create => Self::Create {
                session,
                create: parse(payload)?,
            },
            FrameKind::Reply => Self::Reply {
                session,
                reply: parse(payload)?,
            },
            FrameKind::HalfClose => {
                let body: wire::HalfClose = parse(payload)?;
                Self::HalfClose {
                    session,
                    final_offset: body.final_offset,
                }
            }
            FrameKind::Stop => {
                let body: wire::Stop = parse(payload)?;
                Self::Stop {
                    session,
                    code: body.code,
                }
            }
            FrameKind::Close => Self::Close {
                session,
                close: parse(payload)?,
            },
            FrameKind::Credit => {
                let body: wire::Credit = parse(payload)?;
                Self::Credit {
                    session,
                    limit: body.limit,
                }
            }
            FrameKind::Udp => Self::Udp {
                session,
                udp: parse(payload)?,
            },
            FrameKind::Hello => Self::Hello(parse(payload)?),
            FrameKind::Ack => {
                let body: wire::Ack = parse(payload)?;
                Self::Ack {
                    received: body.received,
                }
            }
            FrameKind::Status => Self::Status(parse(payload)?),
            FrameKind::Bye => Self::Bye(parse(payload)?),
        })
    }

    /// Returns the type, session and encoded payload; DATA gives its bytes back uncopied.
    #[must_use]
    pub fn encode(self) -> (u32, u64, Bytes) {
        let (kind, session, payload) = match self {
            Self::Data { session, data } => (FrameKind::Data, session, data),
            Self::Command(body) => (FrameKind::Command, 0, pack(&body)),
            Self::Create { session, create } => (FrameKind::Create, session, pack(&create)),
            Self::Reply { session, reply } => (FrameKind::Reply, session, pack(&reply)),
            Self::HalfClose {
                session,
                final_offset,
            } => (
                FrameKind::HalfClose,
                session,
                pack(&wire::HalfClose { final_offset }),
            ),
            Self::Stop { session, code } => (FrameKind::Stop, session, pack(&wire::Stop { code })),
            Self::Close { session, close } => (FrameKind::Close, session, pack(&close)),
            Self::Credit { session, limit } => {
                (FrameKind::Credit, session, pack(&wire::Credit { limit }))
            }
            Self::Udp { session, udp } => (FrameKind::Udp, session, pack(&udp)),
            Self::Hello(body) => (FrameKind::Hello, 0, pack(&body)),
            Self::Ack { received } => (FrameKind::Ack, 0, pack(&wire::Ack { received })),
            Self::Status(body) => (FrameKind::Status, 0, pack(&body)),
            Self::Bye(body) => (FrameKind::Bye, 0, pack(&body)),
            Self::Unknown(kind) => return (kind, 0, Bytes::new()),
        };
        (kind.number(), session, payload)
    }
}

/// Returns the type of a message, whose envelope is as it has to be; none if a later version added it.
fn known_kind(envelope: &Envelope) -> Result<Option<FrameKind>, DecodeError> {
    if !envelope.legacy_session.is_empty() {
        return Err(DecodeError::Malformed("text session id"));
    }
    let Some(kind) = FrameKind::from_number(envelope.kind) else {
        return if is_numbered(envelope.kind) {
            Err(DecodeError::Malformed("unknown numbered type"))
        } else {
            Ok(None)
        };
    };
    if (kind.class() == Class::Session) != (envelope.session != 0) {
        return Err(DecodeError::Malformed("session number"));
    }
    Ok(Some(kind))
}

fn parse<M: prost::Message + Default>(payload: Bytes) -> Result<M, DecodeError> {
    M::decode(payload).map_err(|_| DecodeError::Malformed("payload"))
}

fn pack(body: &impl prost::Message) -> Bytes {
    body.encode_to_vec().into()
}
