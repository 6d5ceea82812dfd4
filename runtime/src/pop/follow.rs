//! Reading what changed, so that it reaches what runs: accounts, orders of operators, blacklists.

use super::{STORE_RETRY, Shared, account, blacklist, orders};
use crate::env::Env;
use crate::store::{CHANGES_MAX, Change, Changes, Cursor, Store, StoreError};
use blacklist::Lists;
use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

/// How often changes are asked for, with some of it at random.
const INTERVAL: Duration = Duration::from_millis(200);
const JITTER: Duration = Duration::from_millis(100);

/// How long to wait after the store has failed.
const RETRY: Duration = Duration::from_millis(500);

/// How many records of users are read between two looks at the stream, of those that changed and of
/// those that are old: orders must not wait for many users.
const RECORDS_PER_TURN: usize = 16;

/// What has been read, and what is to be read again.
#[derive(Debug)]
struct Reader {
    cursor: Cursor,
    /// Names of users.
    stale: BTreeSet<String>,
    lists_stale: bool,
    /// The run of the store that is to hear when everything was told to it again.
    retelling: Option<String>,
}

/// Reads who is turned away, and from where on changes count; waits for the store as long as it takes.
pub(super) async fn begin<E: Env, S: Store>(env: &E, store: &S) -> (Cursor, Lists) {
    let read = async || {
        // What changes while the lists are read is read again.
        let cursor = store.changes(None, 1).await?.cursor;
        Ok::<_, StoreError>((cursor, Lists::read(store).await?))
    };
    loop {
        match read().await {
            Ok(begun) => return begun,
            Err(error) => tracing::warn!(%error, "waiting for the store"),
        }
        env.sleep_until(env.now() + STORE_RETRY).await;
    }
}

/// Follows the changes for ever.
pub(super) async fn follow<E: Env, S: Store>(shared: Rc<Shared<E, S>>, cursor: Cursor) {
    let mut reader = Reader {
        cursor,
        stale: BTreeSet::new(),
        lists_stale: false,
        retelling: None,
    };
    loop {
        let pause = match turn(&shared, &mut reader).await {
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
    reader: &mut Reader,
) -> Result<bool, StoreError> {
    let after = Some(reader.cursor.clone());
    let changes = shared.store.changes(after, CHANGES_MAX).await?;
    let more = changes.items.len() >= CHANGES_MAX as usize;
    // Noted and passed in one step: no order is obeyed twice.
    note(shared, reader, &changes);
    reader.cursor = changes.cursor;
    if reader.lists_stale {
        let lists = Lists::read(&shared.store).await?;
        blacklist::replace(shared, lists);
        reader.lists_stale = false;
    }
    if let Some(run) = &reader.retelling
        && account::retold(shared, run).await?
    {
        reader.retelling = None;
    }
    for _ in 0..RECORDS_PER_TURN {
        let Some(name) = reader.stale.first().cloned() else {
            break;
        };
        account::refresh(shared, &name).await?;
        reader.stale.remove(&name);
    }
    let aged = account::aged(shared, RECORDS_PER_TURN);
    for name in &aged {
        account::refresh(shared, name).await?;
    }
    Ok(more || !reader.stale.is_empty() || aged.len() == RECORDS_PER_TURN)
}

fn note<E: Env, S: Store>(shared: &Rc<Shared<E, S>>, reader: &mut Reader, changes: &Changes) {
    if changes.reload {
        // Orders that were missed are not obeyed: nobody knows how old they are.
        let names = shared.accounts.names();
        names.iter().for_each(|name| shared.auth.invalidate(name));
        reader.stale.extend(names);
        reader.lists_stale = true;
        if reader.cursor.run != changes.cursor.run {
            account::reassert(shared);
            reader.retelling = Some(changes.cursor.run.clone());
            shared.registrar.tell_again();
        }
    }
    for change in &changes.items {
        match change {
            Change::User { name } => {
                shared.auth.invalidate(name);
                if shared.accounts.has(name) {
                    reader.stale.insert(name.clone());
                }
            }
            Change::Blacklist { subject, listed } => {
                blacklist::change(shared, subject, *listed);
            }
            Change::Order { pop, at, order } => {
                if *pop == shared.config.id {
                    orders::obey(shared, *at, order);
                }
            }
            Change::Token { .. } | Change::Unknown => {}
        }
    }
}
