//! Frames as the two ends mean them.

use crate::envelope::{DecodeError, Envelope};
use crate::wire::{self, MessageType};
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
    /// Decodes what an envelope holds.
    ///
    /// # Errors
    /// Fails on unknown numbered types, legacy-only types and payloads that do not parse.
    pub fn decode(envelope: Envelope) -> Result<Self, DecodeError> {
        let Envelope {
            kind,
            session,
            payload,
            legacy_session,
        } = envelope;
        if !legacy_session.is_empty() {
            return Err(DecodeError::Malformed("text session id"));
        }
        let known = i32::try_from(kind)
            .ok()
            .and_then(|kind| MessageType::try_from(kind).ok());
        let Some(kind_known) = known else {
            return if kind < 64 {
                Err(DecodeError::Malformed("unknown numbered type"))
            } else {
                Ok(Self::Unknown(kind))
            };
        };
        let of_session = !matches!(
            kind_known,
            MessageType::Command
                | MessageType::Hello
                | MessageType::Ack
                | MessageType::Status
                | MessageType::Bye
        );
        if of_session != (session != 0) {
            return Err(DecodeError::Malformed("session number"));
        }
        Ok(match kind_known {
            MessageType::ProxySessionData => Self::Data {
                session,
                data: payload,
            },
            MessageType::Command => Self::Command(parse(payload)?),
            MessageType::ProxySessionCreate => Self::Create {
                session,
                create: parse(payload)?,
            },
            MessageType::ProxySessionReply => Self::Reply {
                session,
                reply: parse(payload)?,
            },
            MessageType::ProxySessionHalfClose => {
                let body: wire::HalfClose = parse(payload)?;
                Self::HalfClose {
                    session,
                    final_offset: body.final_offset,
                }
            }
            MessageType::ProxySessionStop => {
                let body: wire::Stop = parse(payload)?;
                Self::Stop {
                    session,
                    code: body.code,
                }
            }
            MessageType::ProxySessionClose => Self::Close {
                session,
                close: parse(payload)?,
            },
            MessageType::ProxySessionCredit => {
                let body: wire::Credit = parse(payload)?;
                Self::Credit {
                    session,
                    limit: body.limit,
                }
            }
            MessageType::ProxyUdpData => Self::Udp {
                session,
                udp: parse(payload)?,
            },
            MessageType::Hello => Self::Hello(parse(payload)?),
            MessageType::Ack => {
                let body: wire::Ack = parse(payload)?;
                Self::Ack {
                    received: body.received,
                }
            }
            MessageType::Status => Self::Status(parse(payload)?),
            MessageType::Bye => Self::Bye(parse(payload)?),
            MessageType::Unknown | MessageType::UploadTestReq | MessageType::UploadTestData => {
                return Err(DecodeError::Malformed("type of legacy edges"));
            }
        })
    }

    /// Returns the type, session and encoded payload; DATA gives its bytes back uncopied.
    #[must_use]
    pub fn encode(self) -> (u32, u64, Bytes) {
        let (kind, session, payload) = match self {
            Self::Data { session, data } => (MessageType::ProxySessionData, session, data),
            Self::Command(body) => (MessageType::Command, 0, pack(&body)),
            Self::Create { session, create } => {
                (MessageType::ProxySessionCreate, session, pack(&create))
            }
            Self::Reply { session, reply } => {
                (MessageType::ProxySessionReply, session, pack(&reply))
            }
            Self::HalfClose {
                session,
                final_offset,
            } => (
                MessageType::ProxySessionHalfClose,
                session,
                pack(&wire::HalfClose { final_offset }),
            ),
            Self::Stop { session, code } => (
                MessageType::ProxySessionStop,
                session,
                pack(&wire::Stop { code }),
            ),
            Self::Close { session, close } => {
                (MessageType::ProxySessionClose, session, pack(&close))
            }
            Self::Credit { session, limit } => (
                MessageType::ProxySessionCredit,
                session,
                pack(&wire::Credit { limit }),
            ),
            Self::Udp { session, udp } => (MessageType::ProxyUdpData, session, pack(&udp)),
            Self::Hello(body) => (MessageType::Hello, 0, pack(&body)),
            Self::Ack { received } => (MessageType::Ack, 0, pack(&wire::Ack { received })),
            Self::Status(body) => (MessageType::Status, 0, pack(&body)),
            Self::Bye(body) => (MessageType::Bye, 0, pack(&body)),
            Self::Unknown(kind) => return (kind, 0, Bytes::new()),
        };
        (kind as u32, session, payload)
    }
}

fn parse<M: prost::Message + Default>(payload: Bytes) -> Result<M, DecodeError> {
    M::decode(payload).map_err(|_| DecodeError::Malformed("payload"))
}

fn pack(body: &impl prost::Message) -> Bytes {
    body.encode_to_vec().into()
}
