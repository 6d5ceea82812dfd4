//! The keys that verify node tokens: configured, in the data directory, and those that managers keep in
//! the store.

use super::{PopError, STORE_RETRY, Shared};
use crate::config::PopConfig;
use crate::env::Env;
use crate::store::Store;
use crate::token::{KeyRing, NodeClaims, TokenError, Verifier};
use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;
use tokio::sync::Notify;

/// How often the managers' keys are read, and so how long one that was replaced is still good; and how often
/// at most if a token is signed with an unknown one.
const INTERVAL: Duration = Duration::from_secs(2);
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The keys of managers.
#[derive(Debug)]
pub(super) struct Keys {
    /// As configured or as in the data directory. What managers have published counts instead: a file that
    /// was left behind must not keep a key good that its manager has replaced.
    own: Vec<Verifier>,
    /// As the store last said; none if the configuration names the only key.
    published: Option<RefCell<Vec<Verifier>>>,
    missed: Notify,
}

impl Keys {
    /// Finds the keys; waits for the store, or a manager, if there is none without.
    pub(super) async fn find<E: Env, S: Store>(
        env: &E,
        config: &PopConfig,
        store: &S,
    ) -> Result<Self, PopError> {
        let keys = |own, published| Self {
            own,
            published,
            missed: Notify::new(),
        };
        if let Some(key) = &config.node_token_key {
            let own = Verifier::new(key).map_err(|error| PopError::Key(error.to_string()))?;
            return Ok(keys(vec![own], None));
        }
        loop {
            let own: Vec<Verifier> = Verifier::load(&config.data).into_iter().collect();
            let read = KeyRing::read(store).await;
            let published = match &read {
                Ok(ring) => ring.verifiers(env.unix_time().as_secs()),
                Err(_) => Vec::new(),
            };
            if !(own.is_empty() && published.is_empty()) {
                return Ok(keys(own, Some(RefCell::new(published))));
            }
            match read {
                Ok(_) => tracing::warn!("waiting for a manager to publish its token key"),
                Err(error) => tracing::warn!(%error, "waiting for the store"),
            }
            env.sleep_until(env.now() + STORE_RETRY).await;
        }
    }

    /// Returns what a token says if a manager signed it and it is good at `now` (Unix seconds).
    pub(super) fn verify(&self, token: &str, now: u64) -> Result<NodeClaims, TokenError> {
        let published = self.published.as_ref().map(RefCell::borrow);
        let published = published.as_ref().filter(|keys| !keys.is_empty());
        for key in published.map_or(&self.own, |keys| &**keys) {
            match key.verify(token, now) {
                Err(TokenError::Forged) => {}
                verdict => return verdict,
            }
        }
        // Maybe there is a manager that is not known yet.
        self.missed.notify_one();
        Err(TokenError::Forged)
    }
}

/// Reads the managers' keys for ever. While the store is away those that are known count.
pub(super) async fn keep<E: Env, S: Store>(shared: Rc<Shared<E, S>>) {
    let keys = &shared.keys;
    let Some(published) = &keys.published else {
        return;
    };
    loop {
        let now = shared.env.now();
        tokio::select! {
            biased;
            () = keys.missed.notified() => {}
            () = shared.env.sleep_until(now + (INTERVAL - INTERVAL_MIN)) => {}
        }
        match KeyRing::read(&shared.store).await {
            Ok(ring) => {
                let known = ring.verifiers(shared.env.unix_time().as_secs());
                // A store that forgot is told again by those who live.
                if !known.is_empty() {
                    *published.borrow_mut() = known;
                }
            }
            Err(error) => tracing::debug!(%error, "the keys of managers cannot be read"),
        }
        shared
            .env
            .sleep_until(shared.env.now() + INTERVAL_MIN)
            .await;
    }
}
