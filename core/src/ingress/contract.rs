//! What a driver and a client's protocol say to each other.

use super::wishes::Wishes;
use crate::target::Target;
use alloc::boxed::Box;
use alloc::string::String;
use bytes::{Bytes, BytesMut};
use core::fmt;
use core::net::SocketAddr;
use titan_proto::Code;

/// One client's protocol, without I/O.
///
/// The driver appends what it reads to its own buffer and lends it to [`Self::handle_bytes`], which
/// takes complete messages out and leaves everything else, so that nothing is held here and any split
/// of the bytes gives the same. It writes what [`Self::poll_output`] returns.
///
/// Any order of calls is legal: a decision that nobody waits for changes nothing.
pub trait Ingress: fmt::Debug {
    /// Takes complete messages from the front of `input`, up to the next event.
    ///
    /// `None` says that more bytes are needed, if [`Self::wants_bytes`], or else a decision of the
    /// driver, or that nothing more happens. From [`Event::Request`] on, `input` is what the client
    /// sent behind its request and stays untouched, so that early data can leave before
    /// [`Self::answer`].
    fn handle_bytes(&mut self, input: &mut BytesMut) -> Option<Event>;

    /// Judges who has logged in: a refused client is told why, as far as its protocol has words.
    fn judge(&mut self, verdict: Result<(), Code>);

    /// Answers the request: [`Code::Ok`] opens the connection, any other code refuses it.
    fn answer(&mut self, outcome: Outcome);

    /// Returns the bytes to write to the client next.
    fn poll_output(&mut self) -> Option<Bytes>;

    /// Tells whether this waits for bytes of the client, rather than for the driver or for nothing any
    /// more.
    fn wants_bytes(&self) -> bool;

    /// Returns how many unparsed bytes a client may have sent while [`Self::wants_bytes`]. Each message
    /// is shorter: a driver that stops reading at this many is bounded and never stuck.
    fn input_len_max(&self) -> usize;
}

/// Something that the driver has to act on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The client says who it is: answer with [`Ingress::judge`].
    Login(Credentials),
    /// The client wants something: answer with [`Ingress::answer`].
    Request(Request),
    /// Nothing can come of what the client sent: write the remaining output and close.
    Failed(Failure),
}

/// A user name and a password as the client sent them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(super) user: Box<str>,
    pub(super) password: Box<[u8]>,
}

impl Credentials {
    /// Returns the user name with whatever grammar it carries, 1 to 255 bytes.
    #[must_use]
    pub const fn user(&self) -> &str {
        &self.user
    }

    /// Returns the password, up to 255 bytes in no particular encoding.
    #[must_use]
    pub const fn password(&self) -> &[u8] {
        &self.password
    }
}

/// Shows no password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What a client wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Where to.
    pub target: Target,
    /// What for.
    pub kind: Kind,
    /// What the protocol itself says about the way and the answer: it has the first word, before what
    /// the user name wishes.
    pub wishes: Wishes,
}

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A TCP connection: once it is answered, all bytes of the client are payload.
    Tcp,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Why it is refused, or [`Code::Ok`].
    pub code: Code,
    /// The address that the exit connected from, if it is known.
    pub bound: Option<SocketAddr>,
}

impl From<Code> for Outcome {
    fn from(code: Code) -> Self {
        Self { code, bound: None }
    }
}

/// Why nothing comes of what a client sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The outcome that stands for it, never [`Code::Ok`].
    pub code: Code,
    /// What is wrong, for logs.
    pub detail: String,
}

/// What a client must show before it may ask for a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthMode {
    /// Nothing. A client that offers user name and password is still asked for them, because the name
    /// may say where to leave the network; the driver judges them. The password may be empty: Java
    /// offers this method always, and then has none.
    Open,
    /// User name and password, 1 to 255 bytes each (RFC 1929 section 2).
    Password,
}

/// What a listener demands of its clients, whatever they speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// What they must show.
    pub auth: AuthMode,
}

/// A protocol that clients speak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Protocol {
    /// Tells whether a connection that starts with this byte speaks it.
    pub(super) is_announced_by: fn(u8) -> bool,
    /// Starts a connection that has sent nothing yet.
    pub(super) start: fn(Rules) -> Box<dyn Ingress>,
}
