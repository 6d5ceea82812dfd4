//! Reading what changed, so that it reaches sessions that run.

use super::{Shared, apply, wake_reports};
use crate::env::Env;
use crate::store::{CHANGES_MAX, Change, Changes, Cursor, Store, StoreError};
use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

/// How often changes are asked for, with some of it at random.
const INTERVAL: Duration = Duration::from_millis(200);
const JITTER: Duration = Duration::from_millis(100);

/// How long to wait after the store has failed.
const RETRY: Duration = Duration::from_millis(500);

/// How old the record of a user with sessions may get without a change being announced.
const AGE_MAX: Duration = Duration::from_secs(30);

/// How many old records are read again per turn.
const AGED_PER_TURN: usize = 32;

/// Follows the changes for ever.
pub(in crate::pop) async fn follow<E: Env, S: Store>(shared: Rc<Shared<E, S>>) {
    let mut cursor: Option<Cursor> = None;
    // Names whose records are to be read again.
    let mut stale = BTreeSet::new();
    loop {
        let pause = match turn(&shared, &mut cursor, &mut stale).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => INTERVAL + shared.shard.drive(|core, _| core.jitter(JITTER)),
            Err(error) => {
                tracing::debug!(%error, "changes cannot be read");
                RETRY
            }
        };
        shared.env.sleep_until(shared.env.now() + pause).await;
    }
}

/// Reads changes and what they say has changed; true if there are more.
async fn turn<E: Env, S: Store>(
    shared: &Rc<Shared<E, S>>,
    cursor: &mut Option<Cursor>,
    stale: &mut BTreeSet<String>,
) -> Result<bool, StoreError> {
    let changes = shared.store.changes(cursor.clone(), CHANGES_MAX).await?;
    let more = changes.items.len() >= CHANGES_MAX as usize;
    note(shared, &changes, cursor.as_ref(), stale);
    *cursor = Some(changes.cursor);
    while let Some(name) = stale.first().cloned() {
        refresh(shared, &name).await?;
        stale.remove(&name);
    }
    for name in aged(shared) {
        refresh(shared, &name).await?;
    }
    Ok(more)
}

fn note<E: Env, S: Store>(
    shared: &Shared<E, S>,
    changes: &Changes,
    before: Option<&Cursor>,
    stale: &mut BTreeSet<String>,
) {
    if changes.reload {
        stale.extend(shared.accounts.names());
        stale.iter().for_each(|name| shared.auth.invalidate(name));
        if before.is_some_and(|before| before.run != changes.cursor.run) {
            wake_reports(&shared.accounts);
        }
    }
    for change in &changes.items {
        match change {
            Change::User { name } => {
                shared.auth.invalidate(name);
                if !shared.accounts.groups_of(name).is_empty() {
                    stale.insert(name.clone());
                }
            }
            Change::Blacklist { .. }
            | Change::Token { .. }
            | Change::Order { .. }
            | Change::Unknown => {}
        }
    }
}

async fn refresh<E: Env, S: Store>(
    shared: &Rc<Shared<E, S>>,
    name: &str,
) -> Result<(), StoreError> {
    let found = shared.store.user(name).await?;
    for group in shared.accounts.groups_of(name) {
        apply(shared, group, found.clone());
    }
    Ok(())
}

/// Returns some users whose records are too old.
fn aged<E: Env, S: Store>(shared: &Shared<E, S>) -> Vec<String> {
    let now = shared.env.now();
    let state = shared.accounts.state.borrow();
    let held = state.held.values();
    held.filter(|held| !held.gone && now.since(held.read_at) > AGE_MAX)
        .take(AGED_PER_TURN)
        .map(|held| held.record.name.clone())
        .collect()
}
