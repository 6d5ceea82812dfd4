//! The edge's side.

use super::super::head::HeadStream;
use super::super::query;
use super::{CODE_HEADER, NONCE_HEADER, PATH, SUBPROTOCOL};
use core::fmt;
use core::time::Duration;
use http::header::{
    AUTHORIZATION, CONNECTION, HOST, RETRY_AFTER, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request};
use std::io;
use titan_proto::Code;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::client_async;
use tungstenite::handshake::client::generate_key;

/// What to ask for.
#[derive(Clone)]
pub struct ClientRequest<'a> {
    /// The POP's name or address, with the port.
    pub authority: &'a str,
    /// Path and query, as [`path_and_query`] makes them.
    pub path_and_query: &'a str,
    /// The token for this node and this POP.
    pub token: &'a str,
}

impl fmt::Debug for ClientRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRequest")
            .field("authority", &self.authority)
            .field("path_and_query", &self.path_and_query)
            .finish_non_exhaustive()
    }
}

/// Returns the path and query of a node's carrier.
#[must_use]
pub fn path_and_query(id: &str, os: &str, version: &str) -> String {
    let mut out = PATH.to_owned();
    for (key, value) in [("?id=", id), ("&os=", os), ("&version=", version)] {
        out.push_str(key);
        query::encode(value, &mut out);
    }
    out
}

/// What the POP answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connected {
    /// The POP's contribution to the proof of a resume.
    pub nonce: [u8; 16],
    /// Frames that came right behind the answer; for [`FrameReader::client`].
    ///
    /// [`FrameReader::client`]: super::super::FrameReader::client
    pub early: Vec<u8>,
}

/// Why no carrier came about.
#[derive(Debug)]
pub enum ConnectError {
    /// The stream failed or ended.
    Io(io::Error),
    /// The POP, or something in front of it, answered with another status.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code given; a guess from the status if there is none.
        code: Code,
        /// When to try again, if the answer says so.
        retry_after: Option<Duration>,
    },
    /// The answer, or what was asked, is not a carrier's.
    Protocol(String),
}

impl ConnectError {
    /// Returns the code of the failure.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Io(_) => Code::Reset,
            Self::Refused { code, .. } => *code,
            Self::Protocol(_) => Code::Protocol,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "handshake failed: {error}"),
            Self::Refused { status, code, .. } => {
                write!(f, "carrier refused: {status} {}", code.tag())
            }
            Self::Protocol(detail) => write!(f, "handshake broken: {detail}"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Opens a carrier on `stream`.
///
/// The answer's head may be 8 KiB long. There is no timeout: the caller drops the future.
///
/// # Errors
/// Fails if the stream does, if the POP refuses, and if its answer breaks RFC 6455 or lacks the
/// subprotocol or the nonce.
pub async fn connect<S>(
    mut stream: S,
    request: ClientRequest<'_>,
) -> Result<(S, Connected), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = build(&request).map_err(|error| ConnectError::Protocol(error.to_string()))?;
    let mut head = HeadStream::new(&mut stream);
    let response = match client_async(request, &mut head).await {
        Ok((_, response)) => response,
        Err(tungstenite::Error::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            return Err(ConnectError::Io(error));
        }
        Err(tungstenite::Error::Http(response)) => {
            return Err(refused(response.status().as_u16(), response.headers()));
        }
        Err(error) => return Err(ConnectError::Protocol(error.to_string())),
    };
    let early = head.into_rest();
    let nonce = nonce(response.headers())
        .ok_or_else(|| ConnectError::Protocol("answer without a nonce".to_owned()))?;
    Ok((stream, Connected { nonce, early }))
}

fn build(request: &ClientRequest<'_>) -> Result<Request<()>, http::Error> {
    let mut authorization = HeaderValue::try_from(format!("Bearer {}", request.token))?;
    authorization.set_sensitive(true);
    Request::get(format!(
        "ws://{}{}",
        request.authority, request.path_and_query
    ))
    .header(HOST, request.authority)
    .header(CONNECTION, "Upgrade")
    .header(UPGRADE, "websocket")
    .header(SEC_WEBSOCKET_VERSION, "13")
    .header(SEC_WEBSOCKET_KEY, generate_key())
    .header(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
    .header(AUTHORIZATION, authorization)
    .body(())
}

fn refused(status: u16, headers: &HeaderMap) -> ConnectError {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let named =
        text(CODE_HEADER).and_then(|tag| Code::ALL.iter().copied().find(|code| code.tag() == tag));
    let code = named.unwrap_or(match status {
        401 | 403 => Code::Unauthorized,
        429 | 502..=504 => Code::Overloaded,
        _ => Code::Protocol,
    });
    // RFC 9110 section 10.2.3 allows a date as well; that form is a guess about our clock.
    let retry_after = text(RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok());
    ConnectError::Refused {
        status,
        code,
        retry_after: retry_after.map(Duration::from_secs),
    }
}

fn nonce(headers: &HeaderMap) -> Option<[u8; 16]> {
    let text = headers.get(NONCE_HEADER)?.to_str().ok()?;
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes))?
}
