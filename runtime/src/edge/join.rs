//! Asking the manager which POP to hold a tunnel to.

use crate::config::EdgeConfig;
use crate::env::Env;
use crate::url::{Clear, Endpoint};
use bytes::Bytes;
use core::cell::RefCell;
use core::time::Duration;
use http::header::{AUTHORIZATION, HOST, RETRY_AFTER};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::sync::Arc;
use titan_core::endpoint::UplinkId;

/// The largest answer taken, in bytes.
const ANSWER_MAX: usize = 16 * 1024;

/// What the manager granted.
#[derive(Clone, PartialEq, Eq, Debug, serde::Deserialize)]
pub(super) struct Grant {
    /// Where the POP is, as in `wss://pop.example:41005/ws/node`.
    pub(super) server_url: String,
    /// What to show there.
    pub(super) access_token: String,
    /// The POP's id.
    #[serde(default)]
    pub(super) pop_id: String,
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
    /// The manager names a POP that is not the one to resume at, or one that this edge leaves.
    #[error("the manager names the POP {0}, which is of no use")]
    Useless(String),
}

/// The way to the manager, and what it last granted for each uplink.
#[derive(Debug)]
pub(super) struct Joiner {
    config: EdgeConfig,
    grants: RefCell<BTreeMap<UplinkId, Granted>>,
    /// What it had granted for the uplink that went last: good enough for one that has nothing while
    /// the manager is away.
    spare: RefCell<Option<Grant>>,
}

#[derive(Debug)]
struct Granted {
    grant: Grant,
    /// The POP does not honour the token any more.
    void: bool,
}

/// Which POP an uplink needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish<'a> {
    /// Any but those that these uplinks lead to.
    But(&'a [UplinkId]),
    /// The one it has a tunnel to.
    Same,
}

/// What to ask the manager for.
enum Question {
    But(Vec<String>),
    Exactly(String),
}

impl Question {
    fn allows(&self, grant: &Grant) -> bool {
        match self {
            Self::But(ids) => !ids.contains(&grant.pop_id),
            Self::Exactly(id) => *id == grant.pop_id,
        }
    }

    fn parameter(&self) -> String {
        match self {
            Self::But(ids) if ids.is_empty() => String::new(),
            Self::But(ids) => format!("&exclude={}", ids.join(",")),
            Self::Exactly(id) => format!("&pop={id}"),
        }
    }
}

impl Joiner {
    pub(super) fn new(config: EdgeConfig) -> Self {
        Self {
            config,
            grants: RefCell::default(),
            spare: RefCell::default(),
        }
    }

    /// Returns the last grant for an uplink, if it may still be good.
    pub(super) fn last(&self, uplink: UplinkId) -> Option<Grant> {
        let grants = self.grants.borrow();
        let granted = grants.get(&uplink).filter(|granted| !granted.void)?;
        Some(granted.grant.clone())
    }

    /// Notes that the POP does not honour what was last granted for an uplink.
    pub(super) fn forget(&self, uplink: UplinkId) {
        match self.grants.borrow_mut().get_mut(&uplink) {
            Some(granted) => granted.void = true,
            None => *self.spare.borrow_mut() = None,
        }
    }

    /// Notes that an uplink is gone.
    pub(super) fn gone(&self, uplink: UplinkId) {
        if let Some(granted) = self.grants.borrow_mut().remove(&uplink)
            && !granted.void
        {
            *self.spare.borrow_mut() = Some(granted.grant);
        }
    }

    /// Asks the manager; while it is away the last grant has to do.
    pub(super) async fn ask<E: Env>(
        &self,
        env: &E,
        tls: Option<&Arc<ClientConfig>>,
        uplink: UplinkId,
        wish: Wish<'_>,
    ) -> Result<Grant, JoinError> {
        let question = self.question(uplink, wish);
        match self.request(env, tls, &question).await {
            Ok(grant) if question.allows(&grant) => {
                let granted = Granted {
                    grant: grant.clone(),
                    void: false,
                };
                self.grants.borrow_mut().insert(uplink, granted);
                Ok(grant)
            }
            Ok(grant) => Err(JoinError::Useless(grant.pop_id)),
            Err(error @ JoinError::Unreached(_)) => self
                .last(uplink)
                .or_else(|| self.spare.borrow().clone())
                .filter(|grant| question.allows(grant))
                .ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// Whether managers and POPs may be talked to in clear.
    pub(super) const fn clear(&self) -> Clear {
        Clear::asked(self.config.insecure)
    }

    fn question(&self, uplink: UplinkId, wish: Wish<'_>) -> Question {
        let grants = self.grants.borrow();
        let pop = |uplink: &UplinkId| Some(grants.get(uplink)?.grant.pop_id.clone());
        match wish {
            Wish::But(leaving) => Question::But(leaving.iter().filter_map(pop).collect()),
            Wish::Same => match pop(&uplink) {
                Some(id) => Question::Exactly(id),
                None => Question::But(Vec::new()),
            },
        }
    }

    async fn request<E: Env>(
        &self,
        env: &E,
        tls: Option<&Arc<ClientConfig>>,
        question: &Question,
    ) -> Result<Grant, JoinError> {
        let unreached = |error: &dyn core::fmt::Display| JoinError::Unreached(error.to_string());
        let manager = Endpoint::parse(&self.config.manager, self.clear())
            .map_err(|error| unreached(&error))?;
        let stream = manager
            .connect(env, tls)
            .await
            .map_err(|error| unreached(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreached(&error))?;
        let path = format!(
            "/node/pop?nodeid={}&version={}&os={}{}",
            self.config.node_id,
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            question.parameter()
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
