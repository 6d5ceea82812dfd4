//! The POP's side.

use super::super::head::HeadStream;
use super::super::query;
use super::{CODE_HEADER, NONCE_HEADER, PATH, SUBPROTOCOL};
use core::fmt;
use core::time::Duration;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, StatusCode};
use std::io;
use titan_proto::Code;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::accept_hdr_async;
use tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response, write_response};

/// What an edge says about itself. Only the token is proof of anything.
#[derive(Clone, PartialEq, Eq)]
pub struct UpgradeRequest {
    /// The node's id, 1 to 64 bytes.
    pub id: String,
    /// Its operating system, at most 64 bytes.
    pub os: String,
    /// Its version, at most 64 bytes.
    pub version: String,
    /// Its bearer token, not verified.
    pub token: String,
}

impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest")
            .field("id", &self.id)
            .field("os", &self.os)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What the POP tells an edge that it accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UpgradeAnswer {
    /// The POP's contribution to the proof of a resume, fresh for each carrier.
    pub nonce: [u8; 16],
}

/// An accepted carrier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upgrade {
    /// What the edge said.
    pub request: UpgradeRequest,
    /// What it was told.
    pub nonce: [u8; 16],
}

/// Why a carrier is refused, as the edge sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The HTTP status, 400 to 599.
    pub status: StatusCode,
    /// The code in `titan-code`.
    pub code: Code,
    /// When to try again, in whole seconds, rounded up.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// 400: the request is not one for a carrier.
    #[must_use]
    pub const fn bad_request() -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: Code::Protocol,
            retry_after: None,
        }
    }

    /// 401: the token does not name this node and this POP.
    #[must_use]
    pub const fn unauthorized() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: Code::Unauthorized,
            retry_after: None,
        }
    }

    /// 404: nothing is at this path.
    #[must_use]
    pub const fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: Code::Protocol,
            retry_after: None,
        }
    }

    /// 503: not now, because of `code`.
    #[must_use]
    pub const fn unavailable(code: Code, retry_after: Duration) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code,
            retry_after: Some(retry_after),
        }
    }

    fn response(self) -> ErrorResponse {
        let mut response = ErrorResponse::new(None);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CODE_HEADER, HeaderValue::from_static(self.code.tag()));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 11.6.1 demands a challenge.
            headers.insert(
                http::header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer"),
            );
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Why no carrier came about.
#[derive(Debug)]
pub enum HandshakeError {
    /// The stream failed or ended.
    Io(io::Error),
    /// The request was refused; the edge was told.
    Refused(Refusal),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "handshake failed: {error}"),
            Self::Refused(refusal) => {
                write!(
                    f,
                    "handshake refused: {} {}",
                    refusal.status.as_u16(),
                    refusal.code.tag()
                )
            }
        }
    }
}

impl std::error::Error for HandshakeError {}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Accepts a carrier on `stream` if the request is well formed and `check` agrees.
///
/// The request's head may be 8 KiB long. There is no timeout: the caller drops the future. A refusal
/// is written before it is returned, and the stream is shut down.
///
/// # Errors
/// Fails if the stream does or the request is refused.
pub async fn accept<S, F>(mut stream: S, check: F) -> Result<(S, Upgrade), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce(&UpgradeRequest) -> Result<UpgradeAnswer, Refusal>,
{
    let mut head = HeadStream::new(&mut stream);
    let mut verdict = None;
    let judge = Judge {
        check: Box::new(check),
        verdict: &mut verdict,
    };
    let shaken = accept_hdr_async(&mut head, judge).await.map(drop);
    let rest = head.into_rest();
    let refusal = match (shaken, verdict) {
        // RFC 6455 section 4.1: the client must wait for the response.
        (Ok(()), Some(Ok(upgrade))) if rest.is_empty() => return Ok((stream, upgrade)),
        (Ok(()), _) => return Err(io::Error::from(io::ErrorKind::InvalidData).into()),
        // The response went out with the handshake.
        (Err(_), Some(Err(refusal))) => refusal,
        (Err(tungstenite::Error::Io(error)), _) if error.kind() != io::ErrorKind::InvalidData => {
            return Err(error.into());
        }
        (Err(_), _) => {
            let refusal = Refusal::bad_request();
            let mut response = Vec::new();
            write_response(&mut response, &refusal.response()).map_err(io::Error::other)?;
            stream.write_all(&response).await?;
            refusal
        }
    };
    stream.shutdown().await?;
    Err(HandshakeError::Refused(refusal))
}

/// Judges the request once tungstenite found it to be a WebSocket's. The box makes it `Unpin`.
struct Judge<'a, F> {
    check: Box<F>,
    verdict: &'a mut Option<Result<Upgrade, Refusal>>,
}

impl<F> Callback for Judge<'_, F>
where
    F: FnOnce(&UpgradeRequest) -> Result<UpgradeAnswer, Refusal>,
{
    fn on_request(
        self,
        request: &Request,
        mut response: Response,
    ) -> Result<Response, ErrorResponse> {
        let judged = parse(request).and_then(|request| {
            let UpgradeAnswer { nonce } = (self.check)(&request)?;
            Ok(Upgrade { request, nonce })
        });
        match self.verdict.insert(judged) {
            Ok(upgrade) => {
                let nonce = format!("{:032x}", u128::from_be_bytes(upgrade.nonce));
                let nonce = HeaderValue::try_from(nonce).expect("digits are a header value");
                let headers = response.headers_mut();
                headers.insert(NONCE_HEADER, nonce);
                headers.insert(
                    SEC_WEBSOCKET_PROTOCOL,
                    HeaderValue::from_static(SUBPROTOCOL),
                );
                Ok(response)
            }
            Err(refusal) => Err(refusal.response()),
        }
    }
}

/// Reads what the edge says out of the request.
fn parse(request: &Request) -> Result<UpgradeRequest, Refusal> {
    if request.uri().path() != PATH {
        return Err(Refusal::not_found());
    }
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offers = offers
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','));
    if !offers.any(|offer| offer.trim() == SUBPROTOCOL) {
        let code = Code::VersionUnsupported;
        return Err(Refusal {
            code,
            ..Refusal::bad_request()
        });
    }
    let query = request.uri().query().unwrap_or_default();
    let value = |key| query::value(query, key).ok_or(Refusal::bad_request());
    let (id, os, version) = (value("id")?, value("os")?, value("version")?);
    if id.is_empty() {
        return Err(Refusal::bad_request());
    }
    let token = bearer(request).ok_or(Refusal::unauthorized())?.to_owned();
    Ok(UpgradeRequest {
        id,
        os,
        version,
        token,
    })
}

/// Returns the bearer token (RFC 6750 section 2.1); the scheme's case does not matter.
fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
