//! The server's side of a SOCKS5 handshake (RFC 1928, RFC 1929).

mod message;
mod seam;

pub use super::{AuthMode, Credentials};
pub(super) use seam::PROTOCOL;

use crate::target::{HostError, Target};
use bytes::{Buf as _, Bytes, BytesMut};
use core::fmt;
use core::net::SocketAddr;
use message::{Method, Stop};
use titan_proto::Code;

/// The longest handshake a client can send, in bytes: greeting 257, credentials 513, request 262.
///
/// A driver that stops reading while it holds this many unparsed bytes is bounded and never stuck,
/// because each single message is shorter.
pub const HANDSHAKE_LEN_MAX: usize = 257 + 513 + 262;

/// The most that a client is answered in one handshake, in bytes: method 2, status 2, reply 22.
const OUTPUT_LEN_MAX: usize = 2 + 2 + 22;

/// Something that the driver has to act on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The client says who it is: answer with [`Socks5::accept`] or [`Socks5::reject`].
    Credentials(Credentials),
    /// The client wants to be connected: answer with [`Socks5::reply`].
    Request(Target),
    /// The handshake is over: write the remaining output and close.
    Failed(Failure),
}

/// One client's handshake, without I/O.
///
/// The driver appends what it reads to its own buffer and lends it to [`Self::handle_bytes`], which
/// takes complete messages out and leaves everything else: nothing is held here, however the client
/// cuts its bytes. It writes what [`Self::poll_output`] returns, and closes after [`Event::Failed`] or
/// its own refusal.
///
/// Any order of calls is legal: a decision that nobody waits for changes nothing.
#[derive(Debug)]
pub struct Socks5 {
    auth: AuthMode,
    state: State,
    output: BytesMut,
}

/// Where the handshake stands.
///
/// ```text
/// Greeting ─▶ Login ─▶ Verdict ─accept─▶ Request ─▶ Reply ─reply(Ok)─▶ Open
///     └───────── no login asked ─────────▲
/// all but Open ── protocol broken, reject, reply(other) ──▶ Closed
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Waits for the methods that the client offers.
    Greeting,
    /// Waits for user name and password.
    Login,
    /// Waits for the driver's judgement of them.
    Verdict,
    /// Waits for the client's request.
    Request,
    /// Waits for the driver's answer to it.
    Reply,
    /// All bytes are payload.
    Open,
    /// Nothing more happens.
    Closed(Failure),
}

impl Socks5 {
    /// Creates the handshake of a client that has sent nothing yet.
    #[must_use]
    pub fn new(auth: AuthMode) -> Self {
        Self {
            auth,
            state: State::Greeting,
            output: BytesMut::with_capacity(OUTPUT_LEN_MAX),
        }
    }

    /// Takes complete messages from the front of `input`, up to the next event.
    ///
    /// `None` says that more bytes are needed, if [`Self::wants_bytes`], or else a decision of the driver;
    /// call again after either. From [`Event::Request`] on, `input` is payload and stays untouched, so
    /// that early data can leave before [`Self::reply`]. After a failure every call returns it again.
    pub fn handle_bytes(&mut self, input: &mut BytesMut) -> Option<Event> {
        match self.advance(input) {
            Ok(event) => Some(event),
            Err(Stop::Wait) => None,
            Err(Stop::Broken(failure)) => {
                self.close(failure);
                Some(Event::Failed(failure))
            }
        }
    }

    /// Accepts the credentials.
    pub fn accept(&mut self) {
        if self.state == State::Verdict {
            self.output
                .extend_from_slice(&message::login_status(Code::Ok));
            self.state = State::Request;
        }
    }

    /// Rejects the credentials: the client is told why, as far as RFC 1929 has room for it, and the
    /// handshake is closed.
    pub fn reject(&mut self, code: Code) {
        if self.state == State::Verdict {
            self.close(Failure::Rejected(code));
        }
    }

    /// Answers the request: [`Code::Ok`] opens the connection, any other code closes the handshake.
    ///
    /// `bound` is the address that the exit connected from, if it is known; clients hardly look at it.
    pub fn reply(&mut self, code: Code, bound: Option<SocketAddr>) {
        if self.state == State::Reply {
            if code == Code::Ok {
                message::reply(code, bound, &mut self.output);
                self.state = State::Open;
            } else {
                self.close(Failure::Refused(code));
            }
        }
    }

    /// Returns the bytes to write to the client next: at most 26 in a whole handshake.
    pub fn poll_output(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }

    /// Tells whether the handshake waits for bytes of the client, rather than for the driver or for
    /// nothing any more.
    #[must_use]
    pub const fn wants_bytes(&self) -> bool {
        matches!(self.state, State::Greeting | State::Login | State::Request)
    }

    fn advance(&mut self, input: &mut BytesMut) -> Result<Event, Stop> {
        match self.state {
            State::Greeting => {
                let method = take(input, |rest| message::greeting(rest, self.auth))?;
                self.output.extend_from_slice(&message::method(method));
                self.state = match method {
                    Method::None => State::Request,
                    Method::Password => State::Login,
                };
                self.advance(input)
            }
            State::Login => {
                let credentials = take(input, |rest| message::login(rest, self.auth))?;
                self.state = State::Verdict;
                Ok(Event::Credentials(credentials))
            }
            State::Request => {
                let target = take(input, message::request)?;
                self.state = State::Reply;
                Ok(Event::Request(target))
            }
            State::Verdict | State::Reply | State::Open => Err(Stop::Wait),
            State::Closed(failure) => Err(Stop::Broken(failure)),
        }
    }

    /// Tells the client about a failure, once, if the RFCs have words for it.
    fn close(&mut self, failure: Failure) {
        match failure {
            _ if matches!(self.state, State::Closed(_)) => {}
            Failure::Version(_) | Failure::LoginVersion(_) => {}
            Failure::Methods => self.output.extend_from_slice(&message::NO_METHOD),
            Failure::Credentials | Failure::Rejected(_) => {
                self.output
                    .extend_from_slice(&message::login_status(failure.code()));
            }
            Failure::Command(_)
            | Failure::AddressType(_)
            | Failure::Host(_)
            | Failure::Port
            | Failure::Refused(_) => message::reply(failure.code(), None, &mut self.output),
        }
        self.state = State::Closed(failure);
    }
}

/// Takes one message off the front of `input`, or nothing.
fn take<T>(
    input: &mut BytesMut,
    parse: impl FnOnce(&mut &[u8]) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let mut rest = &input[..];
    let message = parse(&mut rest)?;
    let len = input.len() - rest.len();
    input.advance(len);
    Ok(message)
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// A message starts with this byte instead of version 5; the client gets no answer, as it would not
    /// understand one.
    Version(u8),
    /// The credentials start with this byte instead of version 1; the client gets no answer.
    LoginVersion(u8),
    /// The client offers no method that is acceptable; it is answered `05 FF`.
    Methods,
    /// The user name is empty or not UTF-8, or the password is empty; the client is answered as if they
    /// were wrong.
    Credentials,
    /// The client wants this command instead of CONNECT; reply 07.
    Command(u8),
    /// The target has this address type, which does not exist; reply 08.
    AddressType(u8),
    /// The target's host is not valid. Reply 04, as for a name that does not resolve: it cannot.
    Host(HostError),
    /// The target's port is zero. Reply 01: the request is malformed, and no target refused anything.
    Port,
    /// The driver rejected the credentials.
    Rejected(Code),
    /// The driver refused the request.
    Refused(Code),
}

impl Failure {
    /// Returns the outcome that stands for the failure, never [`Code::Ok`].
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Version(_) | Self::LoginVersion(_) => Code::Protocol,
            Self::Methods | Self::Credentials => Code::BadCredentials,
            Self::Command(_) => Code::CommandUnsupported,
            Self::AddressType(_) => Code::AddressUnsupported,
            Self::Host(_) => Code::NotResolved,
            Self::Port => Code::Malformed,
            Self::Rejected(Code::Ok) | Self::Refused(Code::Ok) => Code::Internal,
            Self::Rejected(code) | Self::Refused(code) => code,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(0x04) => f.write_str("the client speaks SOCKS4"),
            Self::Version(0x16) => f.write_str("the client speaks TLS"),
            Self::Version(byte) if byte.is_ascii_uppercase() => {
                f.write_str("the client speaks HTTP")
            }
            Self::Version(byte) => write!(f, "the client speaks version {byte:#04x} of SOCKS"),
            Self::LoginVersion(byte) => write!(f, "the credentials have version {byte:#04x}"),
            Self::Methods => f.write_str("the client offers no acceptable method"),
            Self::Credentials => f.write_str("the credentials are empty or not UTF-8"),
            Self::Command(byte) => write!(f, "the command {byte:#04x} is not CONNECT"),
            Self::AddressType(byte) => write!(f, "the address type {byte:#04x} does not exist"),
            Self::Host(error) => error.fmt(f),
            Self::Port => f.write_str("the port is zero"),
            Self::Rejected(_) => write!(f, "the credentials were rejected: {}", self.code().tag()),
            Self::Refused(_) => write!(f, "the request was refused: {}", self.code().tag()),
        }
    }
}

impl core::error::Error for Failure {}

#[cfg(test)]
mod tests;
