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

mod admit;
mod held;
mod journal;
mod lease;
mod record;
mod report;

pub(super) use admit::admit;
pub(super) use lease::ask;
pub(super) use record::{aged, refresh};
pub(super) use report::{leave, report, wake_reports};

use super::Shared;
use crate::env::Env;
use crate::store::{Holder, Store, User};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use held::{Held, Past};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use titan_core::time::Instant;
use titan_proto::Code;
use tokio::sync::Notify;

/// How often windows of validity are looked at.
const WINDOWS_INTERVAL: Duration = Duration::from_millis(200);

/// The users that this POP has something of.
#[derive(Debug)]
pub(super) struct Accounts {
    holder: Holder,
    state: RefCell<State>,
    /// Somebody wants the store to hear of sessions, or of what is given back, soon.
    urgent: Notify,
    /// Until when the store is not asked for the number of sessions.
    count_retry: Cell<Instant>,
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
    fn number(&mut self, record: &Arc<User>, now: Instant) -> u32 {
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
        let times = [record.settings.starts_at, record.settings.expires_at];
        let times = times.into_iter().flatten();
        self.windows.extend(times.map(|at| (at, group)));
    }

    /// Forgets the window of a record that counts no more.
    fn unwatch(&mut self, group: u32, record: &User) {
        let times = [record.settings.starts_at, record.settings.expires_at];
        for at in times.into_iter().flatten() {
            self.windows.remove(&(at, group));
        }
    }

    fn remove(&mut self, group: u32) {
        let Some(held) = self.held.remove(&group) else {
            return;
        };
        self.by_user.remove(&held.record.id);
        // Also of one that the store says is no more: it may have said so for a moment only.
        self.past.insert(held.record.id, held.past());
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
            count_retry: Cell::new(Instant::EPOCH),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.state.borrow().by_name.keys().cloned().collect()
    }

    /// Tells whether there is something of a user of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.state.borrow().by_name.contains_key(name)
    }

    fn groups_of(&self, name: &str) -> Vec<u32> {
        let state = self.state.borrow();
        let groups = state.by_name.get(name);
        groups.map_or_else(Vec::new, |groups| groups.iter().copied().collect())
    }
}

/// Takes in what reading a user's record has found, for the sessions that run.
fn apply<E: Env, S: Store>(shared: &Rc<Shared<E, S>>, group: u32, found: Option<User>) {
    let unix_time = shared.env.unix_time().as_secs();
    let mut state = shared.accounts.state.borrow_mut();
    let Some(held) = state.held.get_mut(&group) else {
        return;
    };
    held.read_at = Some(shared.env.now());
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
    held.gone = false;
    let record = Arc::new(record);
    let old = core::mem::replace(&mut held.record, Arc::clone(&record));
    let renewed = old.credential_version != record.credential_version;
    let was_off = core::mem::replace(&mut held.off, !record.settings.is_on(unix_time));
    let (off, rates, in_core) = (held.off, held.rates(), held.in_core);
    let relimited = old.settings.traffic_limit.is_some() != held.is_limited();
    let dry = held.dry && held.is_limited();
    if relimited {
        held.dry = false;
    }
    let reopen = !off && !dry && (was_off || renewed || relimited);
    let grant = held.grant(0);
    let needy = held.is_limited() && !off && (dry || reopen);
    let excess = held.read();
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
    give_back(shared, group, excess);
    if needy {
        ask(shared, group);
    }
}

/// Gives back up to so many bytes of what a user holds here and has not spent. The core spends them
/// no more when this returns, and the store hears of it soon.
fn give_back<E: Env, S: Store>(shared: &Shared<E, S>, group: u32, bytes: u64) {
    if bytes == 0 {
        return;
    }
    let given = shared.shard.drive(|core, now| {
        let mut state = shared.accounts.state.borrow_mut();
        let held = state.held.get_mut(&group).filter(|held| held.in_core)?;
        held.count(core.carried(group));
        let less = held.lessen(bytes)?;
        core.recall(now, group, less);
        Some(())
    });
    if given.is_some() {
        shared.accounts.urgent.notify_one();
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
    let off = !record.settings.is_on(unix_time);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Embedded, Location, Mode, NewUser, Standing, Users as _};
    use titan_core::endpoint::Carried;

    #[tokio::test]
    async fn who_was_missed_for_a_moment_spends_nothing_twice() {
        let store = Embedded::open(&Location::Memory, Mode::Inline).unwrap();
        let mut user = NewUser::new("ann".to_owned(), String::new(), 0);
        user.settings.traffic_limit = Some(100);
        let record = Arc::new(store.create_user(user).await.unwrap());
        let now = Instant::EPOCH;
        let standing = Standing {
            granted: 60,
            charged: 60,
            limit: Some(100),
            sessions_elsewhere: 0,
            held_elsewhere: 0,
        };
        let mut state = State::default();
        for round in 0..2 {
            let group = state.number(&record, now);
            let held = state.held.get_mut(&group).unwrap();
            held.in_core = true;
            held.stand(&standing, now);
            assert_eq!(held.rest(), if round == 0 { 60 } else { 0 });
            held.forgotten(Carried { up: 60, down: 0 });
            // The store answered once that there is no such user.
            held.gone = true;
            state.remove(group);
        }
    }
}
