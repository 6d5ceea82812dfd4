//! The server's side of a SOCKS5 handshake (RFC 1928, RFC 1929).

mod failure;
mod message;
mod seam;

pub use super::contract::{AuthMode, Credentials};
pub use failure::Failure;
pub(super) use seam::PROTOCOL;

use crate::target::Target;
use bytes::{Buf as _, Bytes, BytesMut};
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

#[cfg(test)]
mod tests;
