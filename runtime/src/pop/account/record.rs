//! Reading records of users again.

use super::{Shared, apply};
use crate::env::Env;
use crate::store::{Store, StoreError};
use core::time::Duration;
use std::rc::Rc;

/// How old the record of a user with sessions may get without a change being announced.
const AGE_MAX: Duration = Duration::from_secs(30);

/// Reads the record of a user again, for the sessions that run.
pub(in crate::pop) async fn refresh<E: Env, S: Store>(
    shared: &Rc<Shared<E, S>>,
    name: &str,
) -> Result<(), StoreError> {
    let found = shared.store.user(name).await?;
    for group in shared.accounts.groups_of(name) {
        apply(shared, group, found.clone());
    }
    Ok(())
}

/// Returns at most so many users whose records are too old.
pub(in crate::pop) fn aged<E: Env, S: Store>(shared: &Shared<E, S>, most: usize) -> Vec<String> {
    let now = shared.env.now();
    let state = shared.accounts.state.borrow();
    let held = state.held.values();
    let old = |at| now.since(at) > AGE_MAX;
    held.filter(|held| !held.gone && held.read_at.is_none_or(old))
        .take(most)
        .map(|held| held.record.name.clone())
        .collect()
}
