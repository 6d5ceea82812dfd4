//! Letting sessions of users in, no more than there may be.

use super::{Shared, apply, ask};
use crate::auth::Account;
use crate::env::Env;
use crate::store::{Store, Totals, User};
use core::time::Duration;
use std::rc::Rc;
use titan_proto::Code;

/// How long a session waits for the store to say how many there are at other POPs.
const STORE_WAIT: Duration = Duration::from_millis(500);

/// How long the store is not asked for that after it did not say.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// For how long it is believed that there is room.
const ROOM_AGE_MAX: Duration = Duration::from_secs(1);

/// For how long it is believed that there is none.
const FULL_AGE_MAX: Duration = Duration::from_millis(200);

/// For how long it is believed that nothing is left of a limit.
const DRY_AGE_MAX: Duration = Duration::from_millis(200);

/// Sessions do not ask while there are so many fewer than half of what may be.
const FEWER: u64 = 32;

/// A place among the sessions of a user; dropping it frees it.
pub(in crate::pop) struct Place<E: Env, S: Store> {
    shared: Rc<Shared<E, S>>,
    /// The user's number.
    pub(in crate::pop) group: u32,
}

impl<E: Env, S: Store> Drop for Place<E, S> {
    fn drop(&mut self) {
        let accounts = &self.shared.accounts;
        if let Some(held) = accounts.state.borrow_mut().held.get_mut(&self.group) {
            held.sessions -= 1;
            held.idle_since = self.shared.env.now();
            if held.record.settings.sessions_max.is_some() {
                accounts.urgent.notify_one();
            }
        }
    }
}

/// Lets one more session of a user in. For users whose sessions are limited it may ask the store, and
/// waits for it half a second at most; without an answer what it said last counts.
///
/// # Errors
/// [`Code::UserDisabled`] if the user is off by now, [`Code::BadCredentials`] if the password was
/// changed, [`Code::SessionLimit`] if there are as many sessions as there may be.
pub(in crate::pop) async fn admit<E: Env, S: Store>(
    shared: &Rc<Shared<E, S>>,
    account: &Account,
) -> Result<Place<E, S>, Code> {
    let now = shared.env.now();
    let record = &account.record;
    let (group, known) = {
        let mut state = shared.accounts.state.borrow_mut();
        let group = state.number(record, now);
        let held = state.held.get(&group).map(|held| held.record.clone());
        (group, held.map_or(0, |record| record.credential_version))
    };
    if record.credential_version > known {
        // Sessions of the old password end before the first one of the new password begins.
        apply(shared, group, Some(User::clone(record)));
    }
    let (place, number) = {
        let mut state = shared.accounts.state.borrow_mut();
        let held = state.held.get_mut(&group).ok_or(Code::Internal)?;
        let max = held.record.settings.sessions_max;
        if max.is_some_and(|max| held.sessions >= max) {
            return Err(Code::SessionLimit);
        }
        held.sessions += 1;
        let shared = Rc::clone(shared);
        (Place { shared, group }, held.sessions)
    };
    may(shared, group, record)?;
    count(shared, group, number).await?;
    // Much may have changed meanwhile.
    may(shared, group, record)?;
    enter(shared, group);
    Ok(place)
}

/// Tells whether a user may have sessions at all.
fn may<E: Env, S: Store>(shared: &Shared<E, S>, group: u32, record: &User) -> Result<(), Code> {
    let state = shared.accounts.state.borrow();
    let held = state.held.get(&group).ok_or(Code::Internal)?;
    if record.credential_version < held.record.credential_version {
        Err(Code::BadCredentials)
    } else if held.off || held.gone {
        Err(Code::UserDisabled)
    } else {
        Ok(())
    }
}

/// What is known of the number of sessions.
enum Room {
    Enough,
    None,
    /// The store has to be asked; without it the guess counts.
    Ask {
        totals: Totals,
        guess: bool,
    },
}

/// Sees to it that session `number` of a user at this POP is not one too many over all.
///
/// It is told to the store before the store says how many there are elsewhere. So of two POPs that ask
/// for the last place one at least knows of the other.
async fn count<E: Env, S: Store>(
    shared: &Rc<Shared<E, S>>,
    group: u32,
    number: u32,
) -> Result<(), Code> {
    let accounts = &shared.accounts;
    let enough = |is_enough| {
        if is_enough {
            Ok(())
        } else {
            Err(Code::SessionLimit)
        }
    };
    let (totals, guess) = match look(shared, group, number) {
        Room::Enough => return Ok(()),
        Room::None => return enough(false),
        Room::Ask { totals, guess } => (totals, guess),
    };
    let at = shared.env.unix_time().as_secs();
    let ask = shared
        .store
        .report(accounts.holder.clone(), vec![totals], at);
    let late = shared.env.sleep_until(shared.env.now() + STORE_WAIT);
    let answer = tokio::select! {
        biased;
        answer = ask => answer.ok().and_then(|standings| standings.into_iter().next()),
        () = late => None,
    };
    let Some(Some(standing)) = answer else {
        if answer.is_none() {
            accounts.count_retry.set(shared.env.now() + STORE_RETRY);
        }
        return enough(guess);
    };
    let mut state = accounts.state.borrow_mut();
    let held = state.held.get_mut(&group).ok_or(Code::Internal)?;
    held.stand(&standing, shared.env.now());
    enough(held.has_room(number))
}

fn look<E: Env, S: Store>(shared: &Shared<E, S>, group: u32, number: u32) -> Room {
    let now = shared.env.now();
    let mut state = shared.accounts.state.borrow_mut();
    let Some(held) = state.held.get_mut(&group) else {
        return Room::None;
    };
    let Some(max) = held.record.settings.sessions_max.map(u64::from) else {
        return Room::Enough;
    };
    shared.accounts.urgent.notify_one();
    let age = held.stood_at.map_or(Duration::MAX, |at| now.since(at));
    let guess = held.has_room(number);
    let known = u64::from(number).saturating_add(held.elsewhere);
    let is_sure = if guess {
        age <= ROOM_AGE_MAX && known.saturating_add(FEWER) <= max / 2
    } else {
        age <= FULL_AGE_MAX
    };
    match (is_sure || now < shared.accounts.count_retry.get(), guess) {
        (true, true) => Room::Enough,
        (true, false) => Room::None,
        (false, guess) => Room::Ask {
            totals: held.totals(),
            guess,
        },
    }
}

/// Lets the core know of a user who has a session, and asks for a lease if one is needed.
fn enter<E: Env, S: Store>(shared: &Rc<Shared<E, S>>, group: u32) {
    let mut state = shared.accounts.state.borrow_mut();
    let Some(held) = state.held.get_mut(&group) else {
        return;
    };
    let fresh = !core::mem::replace(&mut held.in_core, true);
    let (rates, grant) = (held.rates(), held.grant(0));
    let dry = held.dry && held.is_limited();
    let now = shared.env.now();
    let told = dry && held.stood_at.is_some_and(|at| now.since(at) < DRY_AGE_MAX);
    let needy = held.is_limited() && (fresh || dry) && !told;
    drop(state);
    if fresh {
        shared.shard.drive(|core, now| {
            core.limit_rate(now, group, rates);
            core.grant(now, group, grant);
            if dry {
                core.exhaust(now, group, Code::QuotaExceeded);
            }
        });
    }
    if needy {
        // Somebody else may have given something back, or an operator.
        ask(shared, group);
    }
}
