//! Keeping what the store does not take, and delivering what ended processes have left.

use super::{Shared, journal};
use crate::env::Env;
use crate::store::{Holder, Store, Totals};
use core::cell::Cell;
use core::time::Duration;
use std::path::PathBuf;
use std::rc::Rc;
use tokio::sync::Notify;

/// How often what ended processes have left is offered to the store.
const INTERVAL: Duration = Duration::from_secs(2);

/// Whether the store took what there was to tell; the last time counts.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    told: Cell<Option<bool>>,
    news: Notify,
}

impl Outcome {
    pub(super) fn set(&self, told: bool) {
        self.told.set(Some(told));
        self.news.notify_one();
    }

    async fn next(&self) -> bool {
        loop {
            if let Some(told) = self.told.take() {
                return told;
            }
            self.news.notified().await;
        }
    }
}

/// Keeps the journal for ever.
pub(in crate::pop) async fn keep_journal<E: Env, S: Store>(shared: Rc<Shared<E, S>>) {
    let mut journalled = false;
    let mut recovered = recover(&shared).await;
    let mut retry_at = shared.env.now() + INTERVAL;
    loop {
        let again = async {
            if recovered {
                core::future::pending::<()>().await;
            }
            shared.env.sleep_until(retry_at).await;
        };
        tokio::select! {
            biased;
            told = shared.accounts.outcome.next() => {
                if !told {
                    if !journalled {
                        tracing::warn!("the store does not take usage: it is kept on the disk");
                    }
                    journalled |= keep(&shared).await;
                } else if journalled {
                    journalled = !clear(&shared).await;
                }
            }
            () = again => {
                recovered = recover(&shared).await;
                retry_at = shared.env.now() + INTERVAL;
            }
        }
    }
}

/// Writes what the store does not know to the disk.
pub(super) async fn keep<E: Env, S: Store>(shared: &Shared<E, S>) -> bool {
    let accounts = unreported(shared);
    let at = shared.env.unix_time().as_secs();
    let (data, holder) = place(shared);
    let saved = shared
        .env
        .work(move || journal::save(&data, &holder, at, accounts));
    match saved.await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, "usage cannot be kept on the disk");
            false
        }
    }
}

fn unreported<E: Env, S: Store>(shared: &Shared<E, S>) -> Vec<Totals> {
    let ledger = shared.accounts.ledger.borrow();
    let names = shared.accounts.names.borrow();
    let unreported = ledger.unreported();
    unreported
        .filter_map(|(group, totals)| names.totals(group, totals))
        .collect()
}

pub(super) async fn clear<E: Env, S: Store>(shared: &Shared<E, S>) -> bool {
    let (data, holder) = place(shared);
    let removed = shared.env.work(move || journal::remove(&data, &holder));
    removed.await.is_ok()
}

/// Delivers what ended processes of this POP have left.
async fn recover<E: Env, S: Store>(shared: &Shared<E, S>) -> bool {
    let (data, own) = place(shared);
    let found = {
        let data = data.clone();
        shared.env.work(move || journal::left(&data, &own)).await
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(%error, "journals of usage cannot be read");
            return false;
        }
    };
    for left in found {
        if journal::deliver(&shared.store, &left).await.is_err() {
            return false;
        }
        let data = data.clone();
        let removed = shared
            .env
            .work(move || journal::remove(&data, &left.holder));
        if let Err(error) = removed.await {
            tracing::warn!(%error, "a journal of usage cannot be removed");
        }
    }
    true
}

fn place<E: Env, S: Store>(shared: &Shared<E, S>) -> (PathBuf, Holder) {
    (shared.config.data.clone(), shared.accounts.holder.clone())
}
