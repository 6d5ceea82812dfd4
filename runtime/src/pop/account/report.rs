//! Telling the store what users have transferred, in batches, and giving back what they do not need.

use super::{Accounts, Shared, apply, give_back, journal};
use crate::env::Env;
use crate::store::{Holder, REPORT_MAX, Store, StoreError, Totals};
use core::time::Duration;
use std::rc::Rc;
use titan_core::time::Instant;

/// How often usage is reported.
const INTERVAL: Duration = Duration::from_secs(2);

/// How soon after a report the next one may follow.
const INTERVAL_MIN: Duration = Duration::from_millis(200);

/// How long a user without sessions keeps the rest of a lease for the next one.
const LINGER: Duration = Duration::from_secs(3);

/// How long the last report of the process may take.
const LAST_WORD: Duration = Duration::from_secs(3);

/// Has everything be reported again, to a store that may have forgotten it.
pub(in crate::pop) fn wake_reports(accounts: &Accounts) {
    let mut state = accounts.state.borrow_mut();
    state.held.values_mut().for_each(super::Held::reassert);
    accounts.urgent.notify_one();
}

/// Reports for ever.
pub(in crate::pop) async fn report<E: Env, S: Store>(shared: Rc<Shared<E, S>>) {
    let mut journalled = false;
    let mut recovered = false;
    loop {
        collect(&shared);
        settle(&shared);
        match flush(&shared).await {
            Ok(()) => {
                if journalled && clear(&shared).await {
                    journalled = false;
                }
                if !recovered {
                    recovered = recover(&shared).await;
                }
            }
            Err(error) => {
                if !journalled {
                    tracing::warn!(%error, "the store does not take usage: it is kept on the disk");
                }
                journalled |= keep(&shared).await;
            }
        }
        let last = shared.env.now();
        shared.env.sleep_until(last + INTERVAL_MIN).await;
        tokio::select! {
            biased;
            () = shared.accounts.urgent.notified() => {}
            () = shared.env.sleep_until(last + INTERVAL) => {}
        }
    }
}

/// Takes over what the core has counted.
fn collect<E: Env, S: Store>(shared: &Shared<E, S>) {
    shared.shard.drive(|core, _| {
        let mut state = shared.accounts.state.borrow_mut();
        while let Some((group, carried)) = core.poll_carried() {
            if let Some(held) = state.held.get_mut(&group) {
                held.count(carried);
            }
        }
    });
}

/// Gives back what users do not need of their leases, and everything of those whose last session is
/// over; forgets those of whom everything is known.
fn settle<E: Env, S: Store>(shared: &Shared<E, S>) {
    let now = shared.env.now();
    let rests: Vec<_> = {
        let mut state = shared.accounts.state.borrow_mut();
        let held = state.held.iter_mut();
        held.filter(|(_, held)| held.in_core && !held.asking)
            .map(|(&group, held)| (group, held.idle(now)))
            .filter(|&(_, idle)| idle > 0)
            .collect()
    };
    for (group, idle) in rests {
        give_back(shared, group, idle);
    }
    let idle: Vec<u32> = {
        let state = shared.accounts.state.borrow();
        let idle = |held: &super::Held| {
            let lingers = !held.gone && now.since(held.idle_since) < LINGER;
            held.sessions == 0 && !held.asking && !lingers
        };
        let idle = state.held.iter().filter(|(_, held)| idle(held));
        idle.map(|(&group, _)| group).collect()
    };
    for group in idle {
        let last = shared.shard.drive(|core, _| core.forget_group(group));
        let mut state = shared.accounts.state.borrow_mut();
        let Some(held) = state.held.get_mut(&group) else {
            continue;
        };
        if let Some(last) = last {
            // What could be spent is gone with the group; only now is it given back.
            held.forgotten(last);
        }
        if !held.in_core && (held.gone || held.is_settled(now)) {
            state.remove(group);
        }
    }
}

fn unreported(accounts: &Accounts) -> Vec<u32> {
    let state = accounts.state.borrow();
    let held = state.held.iter();
    held.filter(|(_, held)| !held.gone && held.is_unreported())
        .map(|(&group, _)| group)
        .collect()
}

fn totals(accounts: &Accounts, groups: &[u32]) -> Vec<(u32, Totals)> {
    let state = accounts.state.borrow();
    let totals = |&group| Some((group, state.held.get(&group)?.totals()));
    groups.iter().filter_map(totals).collect()
}

/// Reports all that the store does not know.
async fn flush<E: Env, S: Store>(shared: &Rc<Shared<E, S>>) -> Result<(), StoreError> {
    let accounts = &shared.accounts;
    for groups in unreported(accounts).chunks(REPORT_MAX) {
        // As they are now: the number of sessions told last is the one that counts.
        let batch = totals(accounts, groups);
        let at = shared.env.unix_time().as_secs();
        let totals: Vec<Totals> = batch.iter().map(|(_, totals)| totals.clone()).collect();
        let answer = shared.store.report(accounts.holder.clone(), totals, at);
        for ((group, totals), standing) in batch.iter().zip(answer.await?) {
            let Some(standing) = standing else {
                apply(shared, *group, None);
                continue;
            };
            let mut excess = 0;
            if let Some(held) = accounts.state.borrow_mut().held.get_mut(group) {
                held.reported(totals.clone(), shared.env.now());
                // A grant whose answer was lost is found here; the next question adopts it.
                excess = held.stand(&standing, shared.env.now());
            }
            give_back(shared, *group, excess);
        }
    }
    Ok(())
}

/// Writes what the store does not know to the disk.
async fn keep<E: Env, S: Store>(shared: &Shared<E, S>) -> bool {
    let groups = unreported(&shared.accounts);
    let accounts = totals(&shared.accounts, &groups);
    let accounts = accounts.into_iter().map(|(_, totals)| totals).collect();
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

async fn clear<E: Env, S: Store>(shared: &Shared<E, S>) -> bool {
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

fn place<E: Env, S: Store>(shared: &Shared<E, S>) -> (std::path::PathBuf, Holder) {
    (shared.config.data.clone(), shared.accounts.holder.clone())
}

/// Reports everything once more and gives every lease back: the tasks of sessions have ended. What
/// the store does not take is kept on the disk.
pub(in crate::pop) async fn leave<E: Env, S: Store>(shared: &Rc<Shared<E, S>>) {
    {
        let mut state = shared.accounts.state.borrow_mut();
        for (&group, held) in &mut state.held {
            held.sessions = 0;
            held.count(shared.shard.look(|core| core.carried(group)));
            held.in_core = false;
            held.give_back();
        }
    }
    let deadline: Instant = shared.env.now() + LAST_WORD;
    // The second time is for a grant that the first one has found.
    let flush_all = async { flush(shared).await.is_ok() && flush(shared).await.is_ok() };
    let told = tokio::select! {
        biased;
        told = flush_all => told,
        () = shared.env.sleep_until(deadline) => false,
    };
    if told {
        clear(shared).await;
    } else {
        tracing::warn!("the store does not take the last usage: it is kept on the disk");
        keep(shared).await;
    }
}
