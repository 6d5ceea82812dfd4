//! Asking the store for more before what was granted is used up.

use super::{Shared, apply, give_back};
use crate::env::Env;
use crate::store::{Standing, Store, Totals};
use core::time::Duration;
use std::rc::Rc;
use titan_proto::Code;

/// How long to wait after the store has failed, at first and at most.
const RETRY: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long, and how often, more is asked for when nothing is left but what other POPs hold and may
/// give back: a little longer than it takes one to see that it does not need it.
const OTHERS_WAIT: Duration = Duration::from_secs(6);
const OTHERS_INTERVAL: Duration = Duration::from_millis(200);

/// Starts to ask for more for a group, unless that is under way.
pub(in crate::pop) fn ask<E: Env, S: Store>(shared: &Rc<Shared<E, S>>, group: u32) {
    let mut state = shared.accounts.state.borrow_mut();
    let Some(held) = state.held.get_mut(&group) else {
        return;
    };
    if !core::mem::replace(&mut held.asking, true) {
        drop(state);
        shared.tasks.spawn(lease(Rc::clone(shared), group));
    }
}

/// Asks until there is an answer. One task per group at most.
async fn lease<E: Env, S: Store>(shared: Rc<Shared<E, S>>, group: u32) {
    let mut pause = RETRY;
    while let Some((totals, want)) = question(&shared, group) {
        let at = shared.env.unix_time().as_secs();
        let holder = shared.accounts.holder.clone();
        match shared.store.lease(holder, totals, want, at).await {
            Ok(Some(standing)) => {
                if answered(&shared, group, &standing) {
                    return;
                }
                let again = shared.env.now() + OTHERS_INTERVAL;
                shared.env.sleep_until(again).await;
            }
            Ok(None) => {
                if let Some(held) = shared.accounts.state.borrow_mut().held.get_mut(&group) {
                    held.asking = false;
                }
                return apply(&shared, group, None);
            }
            Err(error) => {
                tracing::debug!(%error, "no lease yet");
                shared.env.sleep_until(shared.env.now() + pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }
}

/// Returns what to ask for, or none if nothing is needed any more.
fn question<E: Env, S: Store>(shared: &Shared<E, S>, group: u32) -> Option<(Totals, u64)> {
    let carried = shared.shard.look(|core| core.carried(group));
    let mut state = shared.accounts.state.borrow_mut();
    let held = state.held.get_mut(&group)?;
    if !held.in_core || held.off || !held.is_limited() {
        held.asking = false;
        return None;
    }
    held.count(carried);
    let want = held.want(shared.env.now());
    Some((held.totals(), want))
}

/// Takes in an answer; false if it is worth while to ask again.
fn answered<E: Env, S: Store>(shared: &Rc<Shared<E, S>>, group: u32, standing: &Standing) -> bool {
    let now = shared.env.now();
    let excess = {
        let mut state = shared.accounts.state.borrow_mut();
        let held = state.held.get_mut(&group);
        held.map_or(0, |held| held.stand(standing, now))
    };
    give_back(shared, group, excess);
    let carried = shared.shard.look(|core| core.carried(group));
    let mut state = shared.accounts.state.borrow_mut();
    let Some(held) = state.held.get_mut(&group) else {
        return true;
    };
    held.asking = false;
    if !held.in_core || held.off {
        return true;
    }
    held.count(carried);
    let rest = held.rest();
    // Without a limit any more there is nothing that could be used up.
    let dry = rest == 0 && held.is_limited();
    if dry && !held.dry && others_may_give(standing) {
        let since = *held.thirsty_since.get_or_insert(now);
        if now.since(since) < OTHERS_WAIT {
            held.asking = true;
            return false;
        }
    }
    held.thirsty_since = None;
    held.dry = dry;
    // Half of it is the time to get the next one. With nothing more to be had only the end counts.
    let low = if held.has_left() { rest / 2 } else { 0 };
    let grant = held.grant(low.max(1));
    drop(state);
    shared.shard.drive(|core, now| {
        if dry {
            core.exhaust(now, group, Code::QuotaExceeded);
        } else {
            core.grant(now, group, grant);
        }
    });
    true
}

/// Tells whether there would be something left if other POPs gave back what they hold.
fn others_may_give(standing: &Standing) -> bool {
    let spent = standing.charged.saturating_sub(standing.held_elsewhere);
    standing.held_elsewhere > 0 && standing.limit.is_none_or(|limit| spent < limit)
}
