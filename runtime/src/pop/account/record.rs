//! Reading records of users again.

use super::{Shared, turn};
use crate::env::Env;
use crate::store::{Store, StoreError, User, UserSettings};
use core::time::Duration;
use std::rc::Rc;
use titan_core::account::ledger::Terms;
use titan_core::endpoint::Rates;

/// How old the record of a user with sessions may get without a change being announced.
const AGE_MAX: Duration = Duration::from_secs(30);

/// Reads the record of a user again, for the sessions that run.
pub(in crate::pop) async fn refresh<E: Env, S: Store>(
    shared: &Rc<Shared<E, S>>,
    name: &str,
) -> Result<(), StoreError> {
    let found = shared.store.user(name).await?;
    let namesakes = shared.accounts.names.borrow().namesakes(name);
    for (group, id) in namesakes {
        let terms = found.as_ref().filter(|record| record.id == id).map(terms);
        turn(shared, |ledger, now, unix_time| {
            ledger.handle_terms(now, unix_time, group, terms);
        });
    }
    Ok(())
}

/// Returns at most so many users whose records are too old.
pub(in crate::pop) fn aged<E: Env, S: Store>(shared: &Shared<E, S>, most: usize) -> Vec<String> {
    let ledger = shared.accounts.ledger.borrow();
    let names = shared.accounts.names.borrow();
    let groups = ledger.aged(shared.env.now(), AGE_MAX).take(most);
    groups
        .filter_map(|group| names.name(group).map(str::to_owned))
        .collect()
}

/// Returns what a record lets its user do.
pub(super) fn terms(record: &User) -> Terms {
    let UserSettings {
        enabled,
        starts_at,
        expires_at,
        traffic_limit,
        upload_rate,
        download_rate,
        sessions_max,
        // Asked for when a session is opened.
        reply: _,
        records: _,
        // Not obeyed yet.
        route: _,
    } = &record.settings;
    Terms {
        limit: *traffic_limit,
        charged: record.charged,
        spent: record.uploaded.saturating_add(record.downloaded),
        rates: Rates {
            up: upload_rate.unwrap_or(0),
            down: download_rate.unwrap_or(0),
        },
        sessions_max: *sessions_max,
        enabled: *enabled,
        starts_at: *starts_at,
        ends_at: *expires_at,
        password: record.credential_version,
    }
}
