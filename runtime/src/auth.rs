//! Who a client is: names, passwords, and what is remembered about both.
//!
//! Passwords are hashed with Argon2id away from the data path. A user whose password was verified
//! gets in again by a keyed hash that takes about a microsecond; every [`RECORD_AGE_MAX`] the record is
//! read again, so that deleting, disabling or changing a user takes effect soon. While the store is
//! away, users verified before keep getting in for [`STORE_AWAY_MAX`]. Guessing is slowed down per user
//! and per address, never locked out.
//!
//! Who is not known has to wait for its turn, address by address: one that tries all it can does not keep
//! others waiting for longer than one try. A password that was drawn at random is verified at once.

mod known;
mod login;
mod password;
mod single;
mod table;
#[cfg(test)]
mod tests;
mod throttle;

pub use login::{Login, PASSWORD_MAX, RECORD_AGE_MAX, STORE_AWAY_MAX, is_user_name};
pub use password::{Cost, hash_drawn_password, hash_password};
#[cfg(feature = "manager")]
pub(crate) use table::Table;
pub(crate) use throttle::{Throttle, network};

use crate::env::Env;
use crate::shares::{Greed, Shares};
use crate::store::{User, Users};
use core::time::Duration;
use hmac::{Hmac, KeyInit as _, Mac as _};
use known::{KnownUsers, Sighting};
use login::{Fingerprint, STORE_WAIT_MAX};
use password::Glance;
use sha2::Sha256;
use single::Flights;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use titan_core::time::Instant;
use titan_proto::Code;

/// How long the store is left alone after it failed to answer.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// How many records of users not known yet are read at once.
const READS_MAX: usize = 64;

/// How an [`Authenticator`] bounds itself.
#[derive(Clone, Copy, Debug)]
pub struct AuthConfig {
    /// What hashing a password costs; only new hashes and the answer for unknown users follow it.
    pub cost: Cost,
    /// The most users remembered; each takes about 400 bytes. Beyond it the one not seen for longest is
    /// forgotten, unless a [`Login`] of it is held.
    pub users_max: usize,
    /// The most [`Authenticator::verify`] calls of users not known yet that are under way. An address is
    /// refused beyond half of those that are left.
    pub waiting_max: usize,
    /// How many chosen passwords are verified at once: the rate is this by what one costs.
    pub checks_max: usize,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            cost: Cost::default(),
            users_max: 65_536,
            waiting_max: 4_096,
            checks_max: checks_max(),
        }
    }
}

/// Half of the cores, at least one: the others carry traffic.
fn checks_max() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).max(1)
}

/// Verifies users against a store and remembers them. Clones share what is remembered.
pub struct Authenticator<E, S>(Arc<Inner<E, S>>);

struct Inner<E, S> {
    env: E,
    store: S,
    config: AuthConfig,
    unknown_user: String,
    fingerprints: Hmac<Sha256>,
    state: Mutex<State>,
    flights: Flights<(Fingerprint, IpAddr), Result<Login, Code>>,
    throttle: Throttle,
    /// Places by address: for whoever is under way, for reading a record, and for verifying a chosen password.
    waiting: Shares<IpAddr>,
    reading: Shares<IpAddr>,
    checking: Shares<IpAddr>,
}

struct State {
    users: KnownUsers,
    store_retry_at: Instant,
}

impl<E: Env, S: Users> Authenticator<E, S> {
    /// Creates an authenticator that remembers nobody yet.
    #[must_use]
    pub fn new(env: E, store: S, config: AuthConfig) -> Self {
        let fingerprints =
            Hmac::new_from_slice(&env.seed()).expect("HMAC takes keys of any length");
        let users = KnownUsers::new(config.users_max);
        Self(Arc::new(Inner {
            unknown_user: password::of_nobody(config.cost),
            env,
            store,
            config,
            fingerprints,
            state: Mutex::new(State {
                users,
                store_retry_at: Instant::EPOCH,
            }),
            flights: Flights::default(),
            throttle: Throttle::default(),
            waiting: Shares::new(config.waiting_max, Greed::Half),
            reading: Shares::new(READS_MAX, Greed::Half),
            checking: Shares::new(config.checks_max, Greed::All),
        }))
    }

    /// Answers from memory, in about a microsecond; none if [`Self::verify`] has to be asked.
    ///
    /// # Errors
    /// [`Code::UserDisabled`] if the password is right but the user is switched off or expired.
    pub fn check_cached(&self, user: &str, password: &[u8]) -> Option<Result<Login, Code>> {
        self.0.recall(user, &self.0.fingerprint(user, password))
    }

    /// Verifies a user and password for a client at `client`, from memory or else with a read of the
    /// store and, unless the password was drawn and is right, one run of Argon2id. Callers from one network that
    /// ask for the same share one run. After failures it takes longer. Dropping the future leaves every queue.
    ///
    /// # Errors
    /// [`Code::BadCredentials`] if there is no such user or the password is wrong, which take equally
    /// long; [`Code::UserDisabled`] if the user is switched off or expired; [`Code::Overloaded`] if too
    /// many callers from there wait already or the store does not answer.
    pub async fn verify(&self, user: &str, password: &[u8], client: IpAddr) -> Result<Login, Code> {
        let inner = &*self.0;
        let fingerprint = inner.fingerprint(user, password);
        if let Some(answer) = inner.recall(user, &fingerprint) {
            return answer;
        }
        let verify = || inner.verify(user, password, &fingerprint, client);
        inner
            .flights
            .join((fingerprint, network(client)), verify)
            .await
    }

    /// Makes the next login of a user read its record again, as when a change is announced.
    pub fn invalidate(&self, user: &str) {
        self.0.state().users.invalidate(user);
    }
}

impl<E, S> Clone for Authenticator<E, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E, S> core::fmt::Debug for Authenticator<E, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Authenticator")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

impl<E: Env, S: Users> Inner<E, S> {
    async fn verify(
        &self,
        name: &str,
        password: &[u8],
        fingerprint: &Fingerprint,
        client: IpAddr,
    ) -> Result<Login, Code> {
        if let Some(answer) = self.refresh(name, fingerprint).await {
            return answer;
        }
        let attempt = self.throttle.begin(client, Some(name), self.env.now());
        if !attempt.delay().is_zero() {
            self.env.sleep_until(self.env.now() + attempt.delay()).await;
        }
        let from = network(client);
        let waiting = self.waiting.try_place(from);
        let _waiting = waiting.ok_or(Code::Overloaded)?;
        let found = {
            let _reading = self.reading.place(from).await;
            self.read(name).await?
        };
        let right = self.is_right(found.as_ref(), password, from).await;
        let Some(user) = found.filter(|_| right) else {
            attempt.failed(self.env.now());
            tracing::debug!(user = name, %client, "wrong user or password");
            return Err(Code::BadCredentials);
        };
        attempt.succeeded();
        let unix_time = self.env.unix_time().as_secs();
        self.state()
            .users
            .remember(user, *fingerprint, self.env.now(), unix_time)
    }

    /// Returns whether a password is the user's. If not it takes what a wrong one of an unknown user takes.
    async fn is_right(&self, found: Option<&User>, password: &[u8], from: IpAddr) -> bool {
        let hash = match found.map(|user| (password::glance(password, &user.password_hash), user)) {
            Some((Glance::Right, _)) => return true,
            Some((Glance::Chosen, user)) => user.password_hash.clone(),
            Some((Glance::Wrong, _)) | None => self.unknown_user.clone(),
        };
        let password = password.to_owned();
        let checking = self.checking.place(from).await;
        self.env
            .work(move || {
                // It goes on if whoever asked gives up, and so does its place.
                let _checking = checking;
                password::is_right(&password, &hash)
            })
            .await
    }

    /// Answers from memory if the record is fresh enough.
    fn recall(&self, name: &str, fingerprint: &Fingerprint) -> Option<Result<Login, Code>> {
        match self.sight(name, fingerprint) {
            Sighting::Sure(answer) => Some(answer),
            Sighting::Stale | Sighting::Unknown => None,
        }
    }

    /// Reads the record of a user verified before with this password again; none if the password has
    /// to be verified.
    async fn refresh(&self, name: &str, fingerprint: &Fingerprint) -> Option<Result<Login, Code>> {
        match self.sight(name, fingerprint) {
            Sighting::Sure(answer) => return Some(answer),
            Sighting::Unknown => return None,
            Sighting::Stale => {}
        }
        // Meanwhile others get the answer of the old record: a busy user does not queue up here.
        self.state().users.refreshing(name, self.env.now());
        let _refreshing = Refreshing { inner: self, name };
        let found = self.read(name).await;
        self.state().users.refreshed(name, found, self.env.now());
        match self.sight(name, fingerprint) {
            Sighting::Sure(answer) => Some(answer),
            Sighting::Stale => Some(Err(Code::Overloaded)),
            Sighting::Unknown => None,
        }
    }

    fn sight(&self, name: &str, fingerprint: &Fingerprint) -> Sighting {
        let now = self.env.now();
        let mut state = self.state();
        let away = now < state.store_retry_at;
        state
            .users
            .sight(name, fingerprint, now, self.env.unix_time().as_secs(), away)
    }

    /// Reads a record, waiting no longer than [`STORE_WAIT_MAX`], and not at all for a while after a
    /// failure.
    async fn read(&self, name: &str) -> Result<Option<User>, Code> {
        if !is_user_name(name) {
            return Ok(None);
        }
        if self.env.now() < self.state().store_retry_at {
            return Err(Code::Overloaded);
        }
        let late = self.env.sleep_until(self.env.now() + STORE_WAIT_MAX);
        let error = tokio::select! {
            biased;
            found = self.store.user(name) => match found {
                Ok(found) => return Ok(found),
                Err(error) => error.to_string(),
            },
            () = late => "no answer in time".to_owned(),
        };
        tracing::warn!(
            error,
            "the store is away: only users verified before get in"
        );
        self.state().store_retry_at = self.env.now() + STORE_RETRY;
        Err(Code::Overloaded)
    }

    /// What stands for a user and password in memory. Keyed, so that a memory dump of one process
    /// does not let anyone test passwords against another's.
    fn fingerprint(&self, name: &str, password: &[u8]) -> Fingerprint {
        let mut mac = self.fingerprints.clone();
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(password);
        mac.finalize().into_bytes().into()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No invariant spans a panic: each update is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record that is being read; dropping it, as when the client hangs up, lets the next one read it.
struct Refreshing<'a, E: Env, S: Users> {
    inner: &'a Inner<E, S>,
    name: &'a str,
}

impl<E: Env, S: Users> Drop for Refreshing<'_, E, S> {
    fn drop(&mut self) {
        self.inner.state().users.not_refreshing(self.name);
    }
}
