//! The key by which this manager signs node tokens, and its public half in the store.

use crate::env::Env;
use crate::store::{Store, StoreError};
use crate::token::{KeyRing, Secret, SecretError, Signer};
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The file that says which manager this is, whatever its key.
const ID_FILE: &str = "manager.id";

/// How many characters a manager's id has: no other has the same.
const ID_LEN: usize = 32;

/// How long the store is left alone at start after it failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// How often a manager looks whether the store has its key.
const RENEWAL: Duration = Duration::from_secs(10);

/// The key of a manager.
pub(super) struct Signing {
    data: PathBuf,
    /// Whose key it is in the store.
    manager: String,
    /// For how long tokens are good.
    lifetime: Duration,
    signer: Mutex<Arc<Signer>>,
    /// A key was revoked, maybe this one.
    revoked: Notify,
}

impl Signing {
    /// Loads the key and the id of a data directory, or makes them on the first run. Tokens are good for
    /// `lifetime`.
    pub(super) fn load<E: Env>(
        env: &E,
        data: &Path,
        lifetime: Duration,
    ) -> Result<Self, SecretError> {
        let id = Secret::load_or_create(&data.join(ID_FILE), env.seed())?;
        let signer = Signer::load_or_create(data, env.seed())?;
        Ok(Self {
            data: data.to_owned(),
            manager: id.expose().chars().take(ID_LEN).collect(),
            lifetime,
            signer: Mutex::new(Arc::new(signer)),
            revoked: Notify::new(),
        })
    }

    /// Returns what signs tokens now.
    pub(super) fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.lock())
    }

    /// Has the key looked after soon: one was revoked.
    pub(super) fn key_was_revoked(&self) {
        self.revoked.notify_one();
    }

    /// Puts the public key into the store, waiting for the store for as long as it takes.
    pub(super) async fn publish<E: Env, S: Store>(
        &self,
        env: &E,
        store: &S,
    ) -> Result<(), StoreError> {
        loop {
            match self.put(env, store).await {
                Err(error @ StoreError::Unavailable(_)) => {
                    tracing::warn!(%error, "waiting for the store");
                    env.sleep_until(env.now() + STORE_RETRY).await;
                }
                done => return done,
            }
        }
    }

    /// Keeps the public key in the store, for ever: its time there is limited, and a store may forget.
    pub(super) async fn keep_published<E: Env, S: Store>(&self, env: &E, store: &S) {
        loop {
            tokio::select! {
                biased;
                () = self.revoked.notified() => {}
                () = env.sleep_until(env.now() + RENEWAL) => {}
            }
            if let Err(error) = self.put(env, store).await {
                tracing::warn!(%error, "the store does not take the key for node tokens");
            }
        }
    }

    async fn put<E: Env, S: Store>(&self, env: &E, store: &S) -> Result<(), StoreError> {
        loop {
            let (now, key) = (env.unix_time().as_secs(), self.signer().public_key());
            if KeyRing::publish(store, &self.manager, &key, now, self.lifetime).await? {
                return Ok(());
            }
            tracing::warn!(key, "this manager's key was revoked: it makes another");
            self.replace(env.seed());
        }
    }

    /// Takes another key. If the data directory does not, it counts all the same: the next start finds the old
    /// one revoked, and makes another.
    fn replace(&self, random: [u8; 32]) {
        let signer = Signer::replace(&self.data, random).unwrap_or_else(|error| {
            tracing::warn!(%error, "the new key is not kept");
            Signer::from_seed(random)
        });
        *self.lock() = Arc::new(signer);
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Signer>> {
        // Nothing panics while it holds the lock.
        self.signer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
