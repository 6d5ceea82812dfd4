//! One question to the manager: which POP, and with what token.

use super::join::{Grant, JoinError, Question};
use crate::config::EdgeConfig;
use crate::env::Env;
use crate::url::{Clear, Origin, Remembered};
use bytes::Bytes;
use core::time::Duration;
use http::header::{AUTHORIZATION, HOST, RETRY_AFTER};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::sync::Arc;

/// How long the manager may take, with connecting. It looks at three things in the store for at most 800 ms
/// each; what is asked for serves resuming a tunnel, which is kept for 30 s.
const TIMEOUT: Duration = Duration::from_secs(4);

/// The largest answer taken, in bytes.
const ANSWER_MAX: usize = 16 * 1024;

/// The way to the manager.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub(super) tls: Option<&'a Arc<ClientConfig>>,
    pub(super) remembered: &'a Remembered,
}

/// Asks the manager, and waits for it no longer than [`TIMEOUT`].
pub(super) async fn ask<E: Env>(
    env: &E,
    config: &EdgeConfig,
    way: Way<'_>,
    question: &Question,
) -> Result<Grant, JoinError> {
    let late = env.sleep_until(env.now() + TIMEOUT);
    tokio::select! {
        biased;
        answer = request(env, config, way, question) => answer,
        () = late => Err(JoinError::Unreached("no answer in time".to_owned())),
    }
}

async fn request<E: Env>(
    env: &E,
    config: &EdgeConfig,
    way: Way<'_>,
    question: &Question,
) -> Result<Grant, JoinError> {
    let unreached = |error: &dyn core::fmt::Display| JoinError::Unreached(error.to_string());
    let clear = Clear::asked(config.insecure);
    let manager = Origin::parse(&config.manager, clear).map_err(|error| unreached(&error))?;
    let stream = manager
        .connect(env, way.tls, way.remembered)
        .await
        .map_err(|error| unreached(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreached(&error))?;
    let join = config.join.as_ref().map_or("", |secret| secret.expose());
    let request = Request::get(path(&config.node_id, question))
        .header(HOST, manager.authority())
        .header(AUTHORIZATION, format!("Bearer {join}"))
        .body(Empty::<Bytes>::new())
        .map_err(|error| unreached(&error))?;
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| unreached(&error))?;
        if !response.status().is_success() {
            return Err(refusal(&response));
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await;
        let body = body.map_err(|_| JoinError::Answer)?.to_bytes();
        serde_json::from_slice(&body).map_err(|_| JoinError::Answer)
    };
    // The connection is driven beside the one request it is for, and dropped with it.
    tokio::select! {
        biased;
        answer = answer => answer,
        ended = connection => Err(match ended {
            Ok(()) => JoinError::Answer,
            Err(error) => unreached(&error),
        }),
    }
}

fn path(node: &str, question: &Question) -> String {
    format!(
        "/node/pop?nodeid={node}&version={}&os={}{}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        question.parameter()
    )
}

fn refusal<B>(response: &http::Response<B>) -> JoinError {
    let status: StatusCode = response.status();
    let retry_after = response.headers().get(RETRY_AFTER);
    JoinError::Refused {
        status,
        retry_after: retry_after
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs),
    }
}
