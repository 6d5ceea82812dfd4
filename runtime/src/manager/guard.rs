//! Who may ask what, and for how long.

use super::problem::{ApiCode, Problem};
use super::{Api, REQUEST_TIMEOUT};
use crate::auth::Throttle;
use crate::env::Env;
use crate::store::Store;
use crate::token::Secret;
use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use subtle::ConstantTimeEq as _;

/// The address a request comes from, as the socket says; no header changes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

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
        peer: Peer,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let Some(token) = bearer(headers) else {
            return Err(Problem::new(ApiCode::Unauthorized));
        };
        let attempt = self.throttle.begin(peer.0, None, env.now());
        if !attempt.delay().is_zero() {
            env.sleep_until(env.now() + attempt.delay()).await;
        }
        let hash: [u8; 32] = Sha256::digest(token).into();
        if bool::from(hash.ct_eq(&self.hash)) {
            attempt.succeeded();
            return Ok(());
        }
        attempt.failed(env.now());
        tracing::debug!(peer = %peer.0, "a wrong token");
        Err(Problem::new(ApiCode::Unauthorized))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Lets only requests with the admin token through.
pub(super) async fn require_admin<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    match api.admin.check(&api.env, peer, request.headers()).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Answers for requests that take longer than they may.
pub(super) async fn limit_time<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    request: Request,
    next: Next,
) -> Response {
    tokio::select! {
        biased;
        response = next.run(request) => response,
        () = api.env.sleep_until(api.env.now() + REQUEST_TIMEOUT) => {
            Problem::new(ApiCode::TimedOut).into_response()
        }
    }
}
