//! What users of this POP may do, while they do it: quotas, rates, sessions, and the switch.
//!
//! ```text
//!  login ──admit──▶ Held ──grant, limit_rate, exhaust──▶ core
//!                    ▲ ▲                                  │
//!  change stream ────┘ └──lease, report── store ◀─────────┘ AllowanceLow, poll_carried
//! ```
//!
//! Each user has a number, the core's *group*, from the first session until nothing of the last one
//! is left to be reported. The core moves nothing that was not granted; the store is asked for more
//! before that is used up, and never by whoever moves bytes.

mod follow;
mod held;
mod journal;
mod lease;
mod report;

pub(super) use follow::follow;
pub(super) use lease::ask;
pub(super) use report::{leave, report, wake_reports};

use super::Shared;
use crate::auth::Account;
use crate::env::Env;
use crate::store::{Holder, Store, User};
use core::cell::RefCell;
use core::time::Duration;
use held::{Held, Past};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use titan_proto::Code;
use tokio::sync::Notify;

/// How often windows of validity are looked at.
const WINDOWS_INTERVAL: Duration = Duration::from_millis(200);

/// The users that this POP has something of.
#[derive(Debug)]
pub(super) struct Accounts {
    holder: Holder,
    state: RefCell<State>,
    /// Somebody wants the store to hear of sessions soon.
    urgent: Notify,
}

#[derive(Debug, Default)]
struct State {
    held: BTreeMap<u32, Held>,
    by_user: BTreeMap<u64, u32>,
    by_name: BTreeMap<String, BTreeSet<u32>>,
    /// Users who are not held now, by id.
    past: BTreeMap<u64, Past>,
    /// When a window of validity opens or closes, in Unix seconds.
    windows: BTreeSet<(u64, u32)>,
    next: u32,
}

impl State {
    /// Finds the number of a user, or gives it one that nobody has.
    fn number(&mut self, record: &Arc<User>, now: titan_core::time::Instant) -> u32 {
        if let Some(&group) = self.by_user.get(&record.id) {
            return group;
        }
        while self.held.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let group = self.next;
        self.next = self.next.wrapping_add(1);
        let held = Held::new(Arc::clone(record), now);
        let held = match self.past.remove(&record.id) {
            Some(past) => held.resume(past),
            None => held,
        };
        self.held.insert(group, held);
        self.by_user.insert(record.id, group);
        let namesakes = self.by_name.entry(record.name.clone()).or_default();
        namesakes.insert(group);
        self.watch(group, record);
        group
    }

    /// Notes when the window of a user opens and closes.
    fn watch(&mut self, group: u32, record: &User) {
        let times = [record.starts_at, record.expires_at];
        let times = times.into_iter().flatten();
        self.windows.extend(times.map(|at| (at, group)));
    }

    /// Forgets the window of a record that counts no more.
    fn unwatch(&mut self, group: u32, record: &User) {
        let times = [record.starts_at, record.expires_at];
        for at in times.into_iter().flatten() {
            self.windows.remove(&(at, group));
        }
    }

    fn remove(&mut self, group: u32) {
        let Some(held) = self.held.remove(&group) else {
            return;
        };
        self.by_user.remove(&held.record.id);
        if !held.gone {
            self.past.insert(held.record.id, held.past());
        }
        if let Some(namesakes) = self.by_name.get_mut(&held.record.name) {
            namesakes.remove(&group);
            if namesakes.is_empty() {
                self.by_name.remove(&held.record.name);
            }
        }
        self.unwatch(group, &held.record);
    }
}

impl Accounts {
    pub(super) fn new(holder: Holder) -> Self {
        Self {
            holder,
            state: RefCell::default(),
            urgent: Notify::new(),
        }
    }

    fn names(&self) -> Vec<String> {
        self.state.borrow().by_name.keys().cloned().collect()
    }

    fn groups_of(&self, name: &str) -> Vec<u32> {
        let state = self.state.borrow();
        let groups = state.by_name.get(name);
        groups.map_or_else(Vec::new, |groups| groups.iter().copied().collect())
    }
}

/// A place among the sessions of a user; dropping it frees it.
pub(super) struct Place<E: Env, S: Store> {
    shared: Rc<Shared<E, S>>,
    /// The user's number.
    pub(super) group: u32,
}

impl<E: Env, S: Store> Drop for Place<E, S> {
    fn drop(&mut self) {
        let accounts = &self.shared.accounts;
        if let Some(held) = accounts.state.borrow_mut().held.get_mut(&self.group) {
            held.sessions -= 1;
            held.idle_since = self.shared.env.now();
            if held.record.sessions_max.is_some() {
                accounts.urgent.notify_one();
            }
        }
    }
}

/// Lets one more session of a user in.
///
/// # Errors
/// [`Code::UserDisabled`] if the user is off by now, [`Code::BadCredentials`] if the password was
/// changed, [`Code::Overloaded`] if there are as many sessions as there may be.
pub(super) fn admit<E: Env, S: Store>(
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
    let mut state = shared.accounts.state.borrow_mut();
    let held = state.held.get_mut(&group).ok_or(Code::Internal)?;
    if record.credential_version < held.record.credential_version {
        return Err(Code::BadCredentials);
    }
    if held.off || held.gone {
        return Err(Code::UserDisabled);
    }
    if let Some(max) = held.record.sessions_max {
        shared.accounts.urgent.notify_one();
        let sessions = u64::from(held.sessions).saturating_add(held.elsewhere);
        if sessions >= u64::from(max) {
            return Err(Code::Overloaded);
        }
    }
    held.sessions += 1;
    let fresh = !core::mem::replace(&mut held.in_core, true);
    let (rates, grant) = (held.rates(), held.grant(0));
    let needy = held.is_limited() && (fresh || held.dry);
    drop(state);
    if fresh {
        shared.shard.drive(|core, now| {
            core.limit_rate(now, group, rates);
            core.grant(now, group, grant);
        });
    }
    if needy {
        // Somebody else may have given something back, or an operator.
        ask(shared, group);
    }
    Ok(Place {
        shared: Rc::clone(shared),
        group,
    })
}

/// Takes in what reading a user's record has found, for the sessions that run.
fn apply<E: Env, S: Store>(shared: &Rc<Shared<E, S>>, group: u32, found: Option<User>) {
    let unix_time = shared.env.unix_time().as_secs();
    let mut state = shared.accounts.state.borrow_mut();
    let Some(held) = state.held.get_mut(&group) else {
        return;
    };
    held.read_at = shared.env.now();
    let Some(record) = found.filter(|record| record.id == held.record.id) else {
        held.gone = true;
        held.off = true;
        let in_core = held.in_core;
        drop(state);
        let shut = |core: &mut titan_core::endpoint::Pop, now| {
            core.exhaust(now, group, Code::UserDisabled);
        };
        if in_core {
            shared.shard.drive(shut);
        }
        return;
    };
    let record = Arc::new(record);
    let old = core::mem::replace(&mut held.record, Arc::clone(&record));
    let renewed = old.credential_version != record.credential_version;
    let was_off = core::mem::replace(&mut held.off, !record.is_on(unix_time));
    let (off, rates, in_core) = (held.off, held.rates(), held.in_core);
    let relimited = old.traffic_limit.is_some() != held.is_limited();
    let dry = held.dry && held.is_limited();
    if relimited {
        held.dry = false;
    }
    let reopen = !off && !dry && (was_off || renewed || relimited);
    let grant = held.grant(0);
    let needy = held.is_limited() && !off && (dry || reopen);
    state.unwatch(group, &old);
    state.watch(group, &record);
    drop(state);
    if !in_core {
        return;
    }
    shared.shard.drive(|core, now| {
        core.limit_rate(now, group, rates);
        if off && !was_off {
            core.exhaust(now, group, Code::UserDisabled);
        } else if renewed {
            core.exhaust(now, group, Code::BadCredentials);
        }
        if reopen {
            core.grant(now, group, grant);
        }
    });
    if needy {
        ask(shared, group);
    }
}

/// Lets and shuts users in and out as their windows of validity open and close.
pub(super) async fn watch_windows<E: Env, S: Store>(shared: Rc<Shared<E, S>>) {
    loop {
        shared
            .env
            .sleep_until(shared.env.now() + WINDOWS_INTERVAL)
            .await;
        let now = shared.env.unix_time().as_secs();
        loop {
            let due = {
                let mut state = shared.accounts.state.borrow_mut();
                let due = state.windows.first().filter(|(at, _)| *at <= now).copied();
                due.and_then(|due| {
                    state.windows.remove(&due);
                    let held = state.held.get(&due.1)?;
                    Some((due.1, User::clone(&held.record)))
                })
            };
            let Some((group, record)) = due else { break };
            judge(&shared, group, &record, now);
        }
    }
}

/// Shuts or opens a group as its record says at this time.
fn judge<E: Env, S: Store>(shared: &Rc<Shared<E, S>>, group: u32, record: &User, unix_time: u64) {
    let off = !record.is_on(unix_time);
    let mut state = shared.accounts.state.borrow_mut();
    let Some(held) = state.held.get_mut(&group).filter(|held| !held.gone) else {
        return;
    };
    if core::mem::replace(&mut held.off, off) == off || !held.in_core {
        return;
    }
    let grant = held.grant(0);
    let needy = held.is_limited() && !off;
    drop(state);
    shared.shard.drive(|core, now| {
        if off {
            core.exhaust(now, group, Code::UserDisabled);
        } else {
            core.grant(now, group, grant);
        }
    });
    if needy {
        ask(shared, group);
    }
}
