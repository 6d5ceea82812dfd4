//! Who may ask what, and for how long.

use super::guests::Seat;
use super::problem::{ApiCode, Problem};
use super::{Api, REQUEST_TIMEOUT};
use crate::auth::{Throttle, network};
use crate::env::Env;
use crate::store::{Role, Store};
use crate::token::Secret;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// Whom the audit log calls the bearer of the token in the data directory.
pub(super) const BOOTSTRAP: &str = "admin.token";

/// The address at the other end of the socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Caller {
    /// The token's id.
    pub(super) id: String,
    /// What its bearer may do.
    pub(super) role: Role,
}

/// A token that requests must bear. Failed attempts of an address slow its next ones down.
pub(super) struct Bearer {
    /// Comparing hashes takes the same time whatever is sent, its length included.
    hash: [u8; 32],
    throttle: Throttle,
}

impl Bearer {
    pub(super) fn new(token: &Secret, throttle: Throttle) -> Self {
        Self {
            hash: Sha256::digest(token.expose()).into(),
            throttle,
        }
    }

    /// Passes only requests that bear the token.
    pub(super) async fn check<E: Env>(
        &self,
        env: &E,
        source: IpAddr,
        parts: &Parts,
    ) -> Result<(), Problem> {
        let right = |hash: [u8; 32]| async move { Ok(self.is(&hash).then_some(())) };
        self.attempt(env, source, parts, right).await
    }

    fn is(&self, hash: &[u8; 32]) -> bool {
        hash.ct_eq(&self.hash).into()
    }

    /// Looks the hash of the token that a request bears up. A wrong one is answered after the wait that its
    /// address has earned, unless a newer connection needs its place; a right one at once, whoever guesses
    /// beside it. Tokens are keys: it is not their secrecy that the wait protects, but the store.
    async fn attempt<E: Env, T, F: Future<Output = Result<Option<T>, Problem>>>(
        &self,
        env: &E,
        source: IpAddr,
        parts: &Parts,
        find: impl FnOnce([u8; 32]) -> F,
    ) -> Result<T, Problem> {
        let Some(token) = bearer(&parts.headers) else {
            return Err(Problem::new(ApiCode::Unauthorized));
        };
        let attempt = self.throttle.begin(source, None, env.now());
        if let Some(found) = find(Sha256::digest(token).into()).await? {
            attempt.succeeded();
            return Ok(found);
        }
        let delay = attempt.delay();
        attempt.failed(env.now());
        tracing::debug!(%source, "a wrong token");
        if !delay.is_zero() {
            let seat = parts.extensions.get::<Arc<Seat>>();
            let _rest = seat.map(|seat| seat.rest());
            env.sleep_until(env.now() + delay).await;
        }
        Err(Problem::new(ApiCode::Unauthorized))
    }
}

impl<E: Env, S: Store> Api<E, S> {
    /// Returns who bears the token of a request. The token of the data directory is good even while
    /// the store is away; every other is read from there each time, so that revoking takes effect at
    /// once.
    pub(super) async fn authenticate(
        &self,
        source: IpAddr,
        parts: &Parts,
    ) -> Result<Caller, Problem> {
        let find = |hash: [u8; 32]| async move {
            if self.admin.is(&hash) {
                return Ok(Some(Caller {
                    id: BOOTSTRAP.to_owned(),
                    role: Role::Admin,
                }));
            }
            // Whoever asks with wrong tokens has no more of the store than with right ones.
            let _place = self.operators.place(network(source)).await;
            let now = self.env.unix_time().as_secs();
            let token = self.store.token(hash).await?;
            Ok(token
                .filter(|token| token.is_good(now))
                .map(|token| Caller {
                    id: token.id,
                    role: token.role,
                }))
        };
        self.admin.attempt(&self.env, source, parts, find).await
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Answers for requests that take longer than they may.
pub(super) async fn limit_time<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = tokio::select! {
        biased;
        response = next.run(request) => response,
        () = api.env.sleep_until(api.env.now() + REQUEST_TIMEOUT) => {
            Problem::new(ApiCode::TimedOut).into_response()
        }
    };
    // Answers hold names and secrets, and may be read in a browser.
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let sniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, sniff);
    response
}
