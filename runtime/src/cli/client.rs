//! One request after the other to the manager.

use crate::env::Env;
use crate::tls::TlsError;
use crate::token::{Secret, SecretError};
use crate::url::{Clear, Origin, Remembered, UrlError};
use bytes::Bytes;
use core::time::Duration;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde_json::Value;
use std::sync::Arc;

/// The largest answer taken, in bytes: an export of a hundred thousand nodes.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// How long one request may take: longer than the manager allows itself.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// No token is given.
    #[error(
        "no token: name its file by --token-file or TITAN__TOKEN_FILE, as in \
         /var/lib/titan/admin.token"
    )]
    NoToken,
    /// The token's file cannot be used.
    #[error(transparent)]
    Token(#[from] SecretError),
    /// The CA's file cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The manager's URL is in clear.
    #[error(
        "{0} is in clear: whoever is on the way could read the token; --insecure (or \
         TITAN__INSECURE=true) accepts that"
    )]
    Clear(String),
    /// The manager is not reached.
    #[error("the manager is not reached: {0}")]
    Unreached(String),
    /// The manager refuses.
    #[error("{code}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code of the problem.
        code: String,
        /// What is wrong.
        detail: String,
    },
    /// The manager's answer makes no sense.
    #[error("the manager's answer makes no sense: {0}")]
    Answer(String),
    /// A file named on the command line cannot be read.
    #[error("{0}")]
    Input(String),
    /// The record of acts was tampered with.
    #[error("the audit log does not verify: {0}")]
    Tampered(String),
    /// The output cannot be written.
    #[error("cannot write: {0}")]
    Output(std::io::Error),
}

impl CliError {
    /// Returns the exit code of the command, so that scripts need not read what is said to people: 3 if
    /// the manager or its store is not reached, 4 if it does not accept the token for this, 5 if there is
    /// no such thing, 6 if it refuses for another reason, 7 if the audit log does not verify, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Unreached(_) | Self::Refused { status: 503, .. } => 3,
            Self::NoToken
            | Self::Token(_)
            | Self::Refused {
                status: 401 | 403, ..
            } => 4,
            Self::Refused { status: 404, .. } => 5,
            Self::Refused { .. } => 6,
            Self::Tampered(_) => 7,
            Self::Clear(_) | Self::Tls(_) | Self::Answer(_) | Self::Input(_) | Self::Output(_) => 1,
        }
    }
}

/// The way to the manager.
pub(super) struct Client<'a, E> {
    pub(super) env: &'a E,
    origin: Origin,
    tls: Option<Arc<ClientConfig>>,
    token: Secret,
}

impl<'a, E: Env> Client<'a, E> {
    pub(super) fn new(
        env: &'a E,
        manager: &str,
        tls: Option<Arc<ClientConfig>>,
        token: Secret,
        clear: Clear,
    ) -> Result<Self, CliError> {
        let origin = Origin::parse(manager, clear).map_err(|error| match error {
            UrlError::Clear(url) => CliError::Clear(url),
            error @ (UrlError::Malformed(_)
            | UrlError::Unreached(..)
            | UrlError::NoTls(_)
            | UrlError::Tls(..)) => unreached(&error),
        })?;
        Ok(Self {
            env,
            origin,
            tls,
            token,
        })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.ask(Method::GET, path, None).await
    }

    /// Asks, and reads the answer as JSON; null if there is none.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, CliError> {
        let answer = self.text(method, path, body).await?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).map_err(|error| CliError::Answer(error.to_string()))
    }

    /// Asks, and returns the answer as it is.
    pub(super) async fn text(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Bytes, CliError> {
        tokio::select! {
            biased;
            answer = self.request(method, path, body) => answer,
            () = self.env.sleep_until(self.env.now() + TIMEOUT) => {
                Err(CliError::Unreached("no answer in time".to_owned()))
            }
        }
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Bytes, CliError> {
        let stream = self
            .origin
            .connect(self.env, self.tls.as_ref(), &Remembered::default())
            .await;
        let stream = stream.map_err(|error| match error {
            UrlError::NoTls(_) => CliError::Tls(TlsError::NoAuthority),
            UrlError::Malformed(_)
            | UrlError::Clear(_)
            | UrlError::Unreached(..)
            | UrlError::Tls(..) => unreached(&error),
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreached(&error))?;
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.origin.authority())
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| unreached(&error))?;
        let answer = async {
            let response = sender.send_request(request).await;
            let (head, body) = response.map_err(|error| unreached(&error))?.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await;
            let body = body.map_err(|error| CliError::Answer(error.to_string()))?;
            Ok::<_, CliError>((head.status, body.to_bytes()))
        };
        // The connection is driven beside the one request it is for, and dropped with it.
        let (status, body) = tokio::select! {
            biased;
            answer = answer => answer?,
            ended = connection => return Err(match ended {
                Ok(()) => CliError::Answer("the connection ended".to_owned()),
                Err(error) => unreached(&error),
            }),
        };
        if status.is_success() {
            return Ok(body);
        }
        Err(refusal(status, &body))
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> CliError {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| problem[name].as_str().map(str::to_owned);
    CliError::Refused {
        status: status.as_u16(),
        code: text("code").unwrap_or_else(|| status.to_string()),
        detail: text("detail")
            .or_else(|| text("title"))
            .unwrap_or_else(|| "the manager says no more".to_owned()),
    }
}

fn unreached(error: &dyn core::fmt::Display) -> CliError {
    CliError::Unreached(error.to_string())
}
