//! Asking the manager which POP to hold a tunnel to.

use crate::config::EdgeConfig;
use crate::env::Env;
use crate::url::Endpoint;
use bytes::Bytes;
use core::cell::RefCell;
use core::time::Duration;
use http::header::{AUTHORIZATION, HOST, RETRY_AFTER};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::sync::Arc;

/// The largest answer taken, in bytes.
const ANSWER_MAX: usize = 16 * 1024;

/// What the manager granted.
#[derive(Clone, PartialEq, Eq, Debug, serde::Deserialize)]
pub(super) struct Grant {
    /// Where the POP is, as in `wss://pop.example:41005/ws/node`.
    pub(super) server_url: String,
    /// What to show there.
    pub(super) access_token: String,
}

/// Why there is no grant.
#[derive(Debug, thiserror::Error)]
pub(super) enum JoinError {
    /// The manager is not reached.
    #[error("the manager is not reached: {0}")]
    Unreached(String),
    /// The manager refuses.
    #[error("the manager refuses: {status}")]
    Refused {
        /// Its HTTP status.
        status: StatusCode,
        /// The wait it asks for.
        retry_after: Option<Duration>,
    },
    /// The manager's answer makes no sense.
    #[error("the manager's answer makes no sense")]
    Answer,
}

/// The way to the manager, and what it last granted.
#[derive(Debug)]
pub(super) struct Joiner {
    config: EdgeConfig,
    grant: RefCell<Option<Grant>>,
}

impl Joiner {
    pub(super) fn new(config: EdgeConfig) -> Self {
        Self {
            config,
            grant: RefCell::default(),
        }
    }

    /// Returns the last grant.
    pub(super) fn last(&self) -> Option<Grant> {
        self.grant.borrow().clone()
    }

    /// Forgets the last grant: the POP no longer honours it.
    pub(super) fn forget(&self) {
        self.grant.borrow_mut().take();
    }

    /// Asks the manager; while it is away the last grant has to do.
    pub(super) async fn ask<E: Env>(
        &self,
        env: &E,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Grant, JoinError> {
        match self.request(env, tls).await {
            Ok(grant) => {
                *self.grant.borrow_mut() = Some(grant.clone());
                Ok(grant)
            }
            Err(error @ JoinError::Unreached(_)) => self.last().ok_or(error),
            Err(error) => Err(error),
        }
    }

    async fn request<E: Env>(
        &self,
        env: &E,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Grant, JoinError> {
        let unreached = |error: &dyn core::fmt::Display| JoinError::Unreached(error.to_string());
        let manager = Endpoint::parse(&self.config.manager).map_err(|error| unreached(&error))?;
        let stream = manager
            .connect(env, tls)
            .await
            .map_err(|error| unreached(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreached(&error))?;
        let path = format!(
            "/node/pop?nodeid={}&version={}&os={}",
            self.config.node_id,
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS
        );
        let join = self
            .config
            .join
            .as_ref()
            .map_or("", |secret| secret.expose());
        let request = Request::get(path)
            .header(HOST, manager.authority())
            .header(AUTHORIZATION, format!("Bearer {join}"))
            .body(Empty::<Bytes>::new())
            .map_err(|error| unreached(&error))?;
        let answer = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| unreached(&error))?;
            let status = response.status();
            if !status.is_success() {
                let retry_after = response
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.parse().ok())
                    .map(Duration::from_secs);
                return Err(JoinError::Refused {
                    status,
                    retry_after,
                });
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
}
