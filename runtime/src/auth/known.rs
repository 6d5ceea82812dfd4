//! The users who got in before.

use super::login::{Fingerprint, Login, RECORD_AGE_MAX, STORE_AWAY_MAX, STORE_WAIT_MAX};
use super::table::Table;
use crate::store::{ReplyMode, User};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;
use titan_core::time::Instant;
use titan_proto::Code;

/// What is remembered of users; the key is the `Arc` that logins hold.
pub(super) struct KnownUsers(Table<Arc<str>, Known>);

/// What memory says about a user and password.
pub(super) enum Sighting {
    /// Nothing.
    Unknown,
    /// The password was right, but the record is too old.
    Stale,
    /// The password is right and this is the answer.
    Sure(Result<Login, Code>),
}

struct Known {
    record: Arc<User>,
    /// Of the user and the password verified last; none once the password may have changed.
    fingerprint: Option<Fingerprint>,
    read_at: Instant,
    /// Set when the record is known to be out of date, whatever its age.
    outdated: bool,
    refreshing_since: Option<Instant>,
}

impl KnownUsers {
    pub(super) fn new(max: usize) -> Self {
        Self(Table::new(max))
    }

    pub(super) fn sight(
        &mut self,
        name: &str,
        fingerprint: &Fingerprint,
        now: Instant,
        unix_time: u64,
        store_away: bool,
    ) -> Sighting {
        let Some((index, name, known)) = self.0.get(name) else {
            return Sighting::Unknown;
        };
        if !known
            .fingerprint
            .is_some_and(|right| right.ct_eq(fingerprint).into())
        {
            return Sighting::Unknown;
        }
        let age = now.since(known.read_at);
        let fresh = !known.outdated && age <= RECORD_AGE_MAX;
        let being_refreshed = known
            .refreshing_since
            .is_some_and(|since| now.since(since) < STORE_WAIT_MAX);
        if fresh || age <= STORE_AWAY_MAX && (store_away || being_refreshed) {
            Sighting::Sure(known.judge(name, index, unix_time))
        } else {
            Sighting::Stale
        }
    }

    /// Remembers a user whose password was just verified against `record`, and answers.
    pub(super) fn remember(
        &mut self,
        record: User,
        fingerprint: Fingerprint,
        now: Instant,
        unix_time: u64,
    ) -> Result<Login, Code> {
        let known = Known {
            record: Arc::new(record),
            fingerprint: Some(fingerprint),
            read_at: now,
            outdated: false,
            refreshing_since: None,
        };
        if let Some((index, name, old)) = self.0.get(&*known.record.name) {
            *old = known;
            return old.judge(name, index, unix_time);
        }
        let name: Arc<str> = known.record.name.as_str().into();
        // Two owners are the table's own; more mean that a login is held, whose index must stay.
        let unused = |name: &Arc<str>, _: &Known| Arc::strong_count(name) <= 2;
        self.0
            .insert(Arc::clone(&name), known, unused)
            .ok_or(Code::Overloaded)?;
        let (index, name, known) = self.0.get(&*name).expect("it was just inserted");
        known.judge(name, index, unix_time)
    }

    pub(super) fn refreshing(&mut self, name: &str, now: Instant) {
        if let Some((_, _, known)) = self.0.get(name) {
            known.refreshing_since = Some(now);
        }
    }

    /// Notes that nobody reads the record of a user any more.
    pub(super) fn not_refreshing(&mut self, name: &str) {
        if let Some((_, _, known)) = self.0.get(name) {
            known.refreshing_since = None;
        }
    }

    /// Takes in what reading a record again has found.
    pub(super) fn refreshed(
        &mut self,
        name: &str,
        found: Result<Option<User>, Code>,
        now: Instant,
    ) {
        let Some((_, _, known)) = self.0.get(name) else {
            return;
        };
        known.refreshing_since = None;
        match found {
            Err(_) => {}
            Ok(Some(record)) => {
                if record.credential_version != known.record.credential_version {
                    known.fingerprint = None;
                }
                known.record = Arc::new(record);
                known.read_at = now;
                known.outdated = false;
            }
            Ok(None) => known.fingerprint = None,
        }
    }

    pub(super) fn invalidate(&mut self, name: &str) {
        if let Some((_, _, known)) = self.0.get(name) {
            known.outdated = true;
        }
    }
}

impl Known {
    fn judge(&self, name: &Arc<str>, index: u32, unix_time: u64) -> Result<Login, Code> {
        if !self.record.settings.is_on(unix_time) {
            return Err(Code::UserDisabled);
        }
        let truthful = self.record.settings.reply == ReplyMode::Truthful;
        Ok(Login {
            name: Arc::clone(name),
            index,
            record: Arc::clone(&self.record),
            truthful,
        })
    }
}
