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

/// How often the managers' keys are read, and so how long one that was replaced or revoked is still good; and how often
/// at most if a token is signed with an unknown one.
const INTERVAL: Duration = Duration::from_secs(2);
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The keys of managers.
#[derive(Debug)]
pub(super) struct Keys {
    /// As configured, as the store last said, or, while no manager has published any there, as in the data
    /// directory: a file that was left behind must not keep a key good that its manager has replaced.
    known: RefCell<Vec<Verifier>>,
    /// Whether they follow the store: not if the configuration names the only key.
    follow: bool,
    missed: Notify,
}

impl Keys {
    /// Finds the keys; waits for the store, or a manager, if there is none without.
    pub(super) async fn find<E: Env, S: Store>(
        env: &E,
        config: &PopConfig,
        store: &S,
    ) -> Result<Self, PopError> {
        let keys = |known, follow| Self {
            known: RefCell::new(known),
            follow,
            missed: Notify::new(),
        };
        if let Some(key) = &config.node_token_key {
            let own = Verifier::new(key).map_err(|error| PopError::Key(error.to_string()))?;
            return Ok(keys(vec![own], false));
        }
        loop {
            let own = Verifier::load(&config.data).into_iter().collect();
            let read = KeyRing::read(store).await;
            let known = match &read {
                Ok(ring) => known(own, ring, env.unix_time().as_secs()),
                Err(_) => own,
            };
            if !known.is_empty() {
                return Ok(keys(known, true));
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
        for key in &*self.known.borrow() {
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
    if !keys.follow {
        return;
    }
    loop {
        let now = shared.env.now();
        tokio::select! {
            biased;
            () = keys.missed.notified() => {}
            () = shared.env.sleep_until(now + (INTERVAL - INTERVAL_MIN)) => {}
        }
        match KeyRing::read(&shared.store).await {
            Ok(ring) => {
                let before = keys.known.take();
                *keys.known.borrow_mut() = known(before, &ring, shared.env.unix_time().as_secs());
            }
            Err(error) => tracing::debug!(%error, "the keys of managers cannot be read"),
        }
        shared
            .env
            .sleep_until(shared.env.now() + INTERVAL_MIN)
            .await;
    }
}

/// Returns which keys count now that managers have published these.
fn known(mut before: Vec<Verifier>, ring: &KeyRing, now: u64) -> Vec<Verifier> {
    let published = ring.verifiers(now);
    if published.is_empty() {
        // A store that forgot is told again by those who live.
        before.retain(|key| !ring.has_revoked(key));
        return before;
    }
    published
}
