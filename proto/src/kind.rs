//! The one table of frames.
//!
//! Every type of frame stands here once: its number on the wire, its name in docs/protocol.md and in
//! logs, the class that says what it is about, whether it is numbered, who may send it and how long
//! its payload may be. What treats frames alike asks the table instead of listing them.

use crate::limits::{CONTROL_MAX, DATA_MAX};

/// What a frame is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// One carrier, whether or not it bears a tunnel yet.
    Carrier,
    /// The tunnel that the carrier bears.
    Tunnel,
    /// One session of that tunnel; these frames have a session number.
    Session,
}

/// A side of a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Party {
    /// The side that applications connect to.
    Pop,
    /// The side that connects to targets.
    Edge,
}

/// Who sends frames of a kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sender {
    /// The POP alone.
    Pop,
    /// The edge alone.
    Edge,
    /// Either side.
    Both,
}

/// Whether frames of a kind count towards acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    Numbered,
    Unnumbered,
}

macro_rules! frames {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $class:ident, $count:ident, $sender:ident, $max:ident;)*) => {
        /// The type of a frame.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum FrameKind {
            $($(#[$doc])* $name = $number,)*
        }

        impl FrameKind {
            /// Every kind, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the kind of a message type; `None` if it is of legacy edges or of a version
            /// that this one does not know.
            #[must_use]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// Returns the name in docs and logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Returns what frames of this kind are about.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// Tells whether frames of this kind count towards acknowledgement.
            #[must_use]
            pub const fn is_numbered(self) -> bool {
                matches!(match self { $(Self::$name => Count::$count,)* }, Count::Numbered)
            }

            /// Returns who sends frames of this kind.
            #[must_use]
            pub const fn sender(self) -> Sender {
                match self { $(Self::$name => Sender::$sender,)* }
            }

            /// Returns the length of the longest payload, in bytes.
            #[must_use]
            pub const fn payload_max(self) -> usize {
                match self { $(Self::$name => $max,)* }
            }
        }
    };
}

frames! {
    /// An order.
    Command = 1, "COMMAND", Tunnel, Numbered, Pop, CONTROL_MAX;
    /// Opens a session.
    Create = 2, "CREATE", Session, Numbered, Pop, CONTROL_MAX;
    /// Bytes of a session.
    Data = 3, "DATA", Session, Numbered, Both, DATA_MAX;
    /// Ends a session.
    Close = 4, "CLOSE", Session, Numbered, Both, CONTROL_MAX;
    /// A datagram of a session.
    Udp = 5, "UDP", Session, Unnumbered, Both, DATA_MAX;
    /// Ends the sender's direction of a session.
    HalfClose = 6, "HALF_CLOSE", Session, Numbered, Both, CONTROL_MAX;
    /// Says how the dial of a session went.
    Reply = 16, "REPLY", Session, Numbered, Edge, CONTROL_MAX;
    /// Says that a session's bytes are read no more.
    Stop = 17, "STOP", Session, Numbered, Both, CONTROL_MAX;
    /// Lets a session send more.
    Credit = 18, "CREDIT", Session, Numbered, Both, CONTROL_MAX;
    /// Opens a carrier.
    Hello = 64, "HELLO", Carrier, Unnumbered, Both, CONTROL_MAX;
    /// Acknowledges numbered frames.
    Ack = 65, "ACK", Tunnel, Unnumbered, Both, CONTROL_MAX;
    /// Says how much an edge takes on.
    Status = 66, "STATUS", Tunnel, Unnumbered, Edge, CONTROL_MAX;
    /// Ends a carrier.
    Bye = 67, "BYE", Carrier, Unnumbered, Both, CONTROL_MAX;
}

/// The first message type that is not numbered and may be ignored if unknown.
const UNNUMBERED_MIN: u32 = 64;

impl FrameKind {
    /// Returns the message type.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Tells whether `party` may send frames of this kind.
    #[must_use]
    pub const fn is_sent_by(self, party: Party) -> bool {
        match self.sender() {
            Sender::Both => true,
            Sender::Pop => matches!(party, Party::Pop),
            Sender::Edge => matches!(party, Party::Edge),
        }
    }
}

/// Tells whether frames of a message type count towards acknowledgement, known or not.
#[must_use]
pub const fn is_numbered(number: u32) -> bool {
    match FrameKind::from_number(number) {
        Some(kind) => kind.is_numbered(),
        None => number < UNNUMBERED_MIN,
    }
}
