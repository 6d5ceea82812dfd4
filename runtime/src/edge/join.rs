//! Asking the manager which POP to hold a tunnel to.

use super::ask::Way;
use crate::config::EdgeConfig;
use crate::env::Env;
use crate::url::Clear;
use core::cell::RefCell;
use core::time::Duration;
use http::StatusCode;
use std::collections::BTreeMap;
use titan_core::endpoint::UplinkId;
use titan_core::time::Instant;
use tokio::sync::Notify;

/// The shortest time from a token to the one after it, whatever the manager says about its life.
const RENEWAL_MIN: Duration = Duration::from_secs(1);

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
    /// For how many seconds the token is good; none if the manager does not say.
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Grant {
    /// Returns for how long the token is good from when it was granted.
    fn lifetime(&self) -> Option<Duration> {
        self.expires_in.map(Duration::from_secs)
    }
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

impl JoinError {
    /// Whether the manager may say something else soon: it did not say no, it could not answer.
    fn is_passing(&self) -> bool {
        match self {
            Self::Unreached(_) | Self::Answer => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Useless(_) => false,
        }
    }
}

/// The way to the manager, and what it last granted for each uplink.
#[derive(Debug)]
pub(super) struct Joiner {
    config: EdgeConfig,
    grants: RefCell<BTreeMap<UplinkId, Granted>>,
    /// What it had granted for the uplink that went last: good enough for one that has nothing while
    /// the manager is away.
    spare: RefCell<Option<Grant>>,
    /// The next renewal may be due earlier than it was.
    granted: Notify,
}

#[derive(Debug)]
struct Granted {
    grant: Grant,
    /// When to ask for another token for the same POP, before this one expires.
    renew_at: Option<Instant>,
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
pub(super) enum Question {
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

    /// Returns it as a parameter of the request, with the ampersand before it.
    pub(super) fn parameter(&self) -> String {
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
            granted: Notify::new(),
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

    /// Asks the manager. While it cannot answer, a token at hand is worth more than its excuse.
    pub(super) async fn ask<E: Env>(
        &self,
        env: &E,
        way: Way<'_>,
        uplink: UplinkId,
        wish: Wish<'_>,
    ) -> Result<Grant, JoinError> {
        let question = self.question(uplink, wish);
        let asked = env.now();
        match super::ask::ask(env, &self.config, way, &question).await {
            Ok(grant) if question.allows(&grant) => {
                self.keep(asked, uplink, grant.clone());
                Ok(grant)
            }
            Ok(grant) => Err(JoinError::Useless(grant.pop_id)),
            Err(error) if error.is_passing() => self
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

    fn keep(&self, asked: Instant, uplink: UplinkId, grant: Grant) {
        let life = grant.lifetime();
        let granted = Granted {
            renew_at: life.map(|life| asked + (life * 2 / 3).max(RENEWAL_MIN)),
            grant,
            void: false,
        };
        self.grants.borrow_mut().insert(uplink, granted);
        self.granted.notify_one();
    }

    /// Waits until a token has lived for two thirds of its life, and tells whose it is.
    pub(super) async fn renewal_due<E: Env>(&self, env: &E) -> UplinkId {
        loop {
            let next = {
                let grants = self.grants.borrow();
                let live = grants.iter().filter(|(_, granted)| !granted.void);
                live.filter_map(|(uplink, granted)| Some((granted.renew_at?, *uplink)))
                    .min()
            };
            let Some((at, uplink)) = next else {
                self.granted.notified().await;
                continue;
            };
            tokio::select! {
                biased;
                () = self.granted.notified() => {}
                () = env.sleep_until(at) => return uplink,
            }
        }
    }

    /// Asks for another token for the POP of an uplink. If there is none it is asked for again after
    /// about a twelfth of its life: four times before the one at hand expires.
    pub(super) async fn renew<E: Env>(
        &self,
        env: &E,
        way: Way<'_>,
        uplink: UplinkId,
    ) -> Result<(), JoinError> {
        let question = self.question(uplink, Wish::Same);
        let asked = env.now();
        let outcome = match super::ask::ask(env, &self.config, way, &question).await {
            Ok(grant) if question.allows(&grant) => Ok(grant),
            Ok(grant) => Err(JoinError::Useless(grant.pop_id)),
            Err(error) => Err(error),
        };
        // The uplink may have gone meanwhile.
        let life = self
            .grants
            .borrow()
            .get(&uplink)
            .map(|granted| granted.grant.lifetime());
        let Some(life) = life else { return Ok(()) };
        match outcome {
            Ok(grant) => {
                self.keep(asked, uplink, grant);
                Ok(())
            }
            Err(error) => {
                if let Some(granted) = self.grants.borrow_mut().get_mut(&uplink) {
                    let pause = life.map(|life| (life / 12).max(RENEWAL_MIN));
                    granted.renew_at = pause.map(|pause| env.now() + pause);
                }
                Err(error)
            }
        }
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
}
