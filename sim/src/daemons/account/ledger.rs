//! What users were allowed at any time, held against what they moved.

use super::spec::{Act, User};
use super::tally::{Connection, Moved};
use crate::daemons::clock;
use crate::daemons::units::{Size, Time};
use crate::overlay::PASSWORD;
use core::cell::Cell;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// How soon a change has to reach sessions that run.
const REACHES_WITHIN: Duration = Duration::from_secs(1);

/// How long a POP may take to notice that the store is well again: what it asks may be in trouble
/// still, and after a failure it pauses.
const NOTICES_WITHIN: Duration = Duration::from_millis(2_500);

/// A time from which on something holds, and whether POPs need the store to learn of it.
#[derive(Clone, Copy, Debug)]
struct Since {
    at: Duration,
    told_by_store: bool,
}

impl Since {
    /// Returns when its effect is due; none while the store is in trouble.
    fn due(self, calm_since: Option<Duration>) -> Option<Duration> {
        let learnt = if self.told_by_store {
            let notices = calm_since?;
            let notices = if notices.is_zero() {
                notices
            } else {
                notices + NOTICES_WITHIN
            };
            self.at.max(notices)
        } else {
            self.at
        };
        Some(learnt + REACHES_WITHIN)
    }
}

/// What a user is allowed.
#[derive(Debug)]
struct Allowed {
    quota: Option<u64>,
    /// The most that may have moved since the start.
    moved_max: u64,
    off: Option<Since>,
    starts: Option<Duration>,
    expires: Option<Since>,
    password: String,
    renewed: Since,
    was_reset: bool,
    /// Acts about the quota that have begun and are not done.
    under_way: u32,
    /// What had moved at each POP, look by look.
    samples: BTreeMap<u64, Vec<(Duration, Moved)>>,
}

impl Allowed {
    fn new(user: &User) -> Self {
        let quota = user.quota.map(|Size(quota)| quota);
        let from_start = |at| Since {
            at,
            told_by_store: false,
        };
        Self {
            quota,
            moved_max: quota.unwrap_or(u64::MAX),
            off: user.off.then_some(from_start(Duration::ZERO)),
            starts: user.starts.map(Time::duration),
            expires: user.expires.map(|at| from_start(at.duration())),
            password: PASSWORD.to_owned(),
            renewed: from_start(Duration::ZERO),
            was_reset: false,
            under_way: 0,
            samples: BTreeMap::new(),
        }
    }

    /// Returns when nothing of the user may be open any more, if that has come.
    fn shut_at(&self, now: Duration, calm_since: Option<Duration>) -> Option<Duration> {
        let early = self.starts.filter(|at| now < *at).map(|_| Duration::ZERO);
        let expired = self.expires.filter(|since| since.at <= now);
        let shut = self.off.and_then(|since| since.due(calm_since));
        let expired = expired.and_then(|since| since.due(calm_since));
        [early, shut, expired].into_iter().flatten().min()
    }
}

/// All users of a run.
#[derive(Debug)]
pub(in crate::daemons) struct Ledger {
    users: RefCell<BTreeMap<String, Allowed>>,
    connections: RefCell<Vec<Connection>>,
    acts_left: Cell<usize>,
}

impl Ledger {
    pub(in crate::daemons) fn new(users: &[User], acts: usize) -> Self {
        let users = users
            .iter()
            .map(|user| (user.name.clone(), Allowed::new(user)));
        Self {
            users: RefCell::new(users.collect()),
            connections: RefCell::default(),
            acts_left: Cell::new(acts),
        }
    }

    /// Notes that a POP has let a client in.
    pub(in crate::daemons) fn opened(&self, connection: Connection) {
        self.connections.borrow_mut().push(connection);
    }

    /// Returns whether all acts of the operator are done.
    pub(in crate::daemons) fn is_acted_out(&self) -> bool {
        self.acts_left.get() == 0
    }

    /// Returns what moved of a user.
    pub(super) fn moved(&self, user: &str) -> Moved {
        self.sum(user, |_| true)
    }

    /// Returns what moved of a user, by POP and process.
    pub(super) fn moved_by_life(&self, user: &str) -> BTreeMap<(u64, usize), Moved> {
        let mut moved = BTreeMap::<_, Moved>::new();
        for connection in self.connections.borrow().iter() {
            if connection.user == user {
                let sum = moved
                    .entry((connection.pop, connection.tally.life))
                    .or_default();
                *sum = sum.plus(connection.moved());
            }
        }
        moved
    }

    /// Returns what moved of a user at a POP within a span of time.
    pub(super) fn moved_within(
        &self,
        user: &str,
        pop: u64,
        (from, until): (Duration, Duration),
    ) -> Moved {
        let users = self.users.borrow();
        let samples = users
            .get(user)
            .and_then(|allowed| allowed.samples.get(&pop));
        let samples = samples.map_or(&[][..], Vec::as_slice);
        let at = |time| {
            let index = samples.partition_point(|(at, _)| *at < time);
            let sample = samples.get(index).or_else(|| samples.last());
            sample.map_or_else(Moved::default, |(_, moved)| *moved)
        };
        at(until).less(at(from))
    }

    /// Returns whether a user's count was set back.
    pub(super) fn was_reset(&self, user: &str) -> bool {
        let users = self.users.borrow();
        users.get(user).is_some_and(|allowed| allowed.was_reset)
    }

    fn sum(&self, user: &str, which: impl Fn(&Connection) -> bool) -> Moved {
        let connections = self.connections.borrow();
        let these = connections
            .iter()
            .filter(|connection| connection.user == user && which(connection));
        these.fold(Moved::default(), |sum, one| sum.plus(one.moved()))
    }

    /// Looks whether all is as it may be; returns the invariant, if it is one, and what is wrong.
    pub(super) fn look(
        &self,
        now: Duration,
        calm_since: Option<Duration>,
    ) -> Vec<(Option<u8>, String)> {
        let mut wrong = Vec::new();
        let connections = self.connections.borrow();
        for (name, allowed) in self.users.borrow_mut().iter_mut() {
            let mut by_pop = BTreeMap::<u64, Moved>::new();
            let own = || connections.iter().filter(|one| one.user == *name);
            for connection in own() {
                let sum = by_pop.entry(connection.pop).or_default();
                *sum = sum.plus(connection.moved());
            }
            let moved: u64 = by_pop.values().map(|moved| moved.total()).sum();
            for (pop, moved) in by_pop {
                allowed.samples.entry(pop).or_default().push((now, moved));
            }
            if moved > allowed.moved_max {
                let most = allowed.moved_max;
                let message = format!("user {name} has moved {moved} bytes of at most {most}");
                wrong.push((Some(9), message));
            }
            let shut = allowed.shut_at(now, calm_since);
            if shut.is_some_and(|at| at <= now) && own().any(Connection::is_open) {
                wrong.push((None, format!("user {name} is off and connected")));
            }
            let old = |one: &Connection| one.password != allowed.password && one.is_open();
            let renewed = allowed.renewed.due(calm_since);
            if renewed.is_some_and(|at| at <= now) && own().any(old) {
                wrong.push((None, format!("user {name} is in by another password")));
            }
        }
        wrong
    }

    /// Notes that an act is about to be asked for: from now on it may have happened.
    pub(super) fn begins(&self, act: &Act) {
        let mut users = self.users.borrow_mut();
        let Some(allowed) = users.get_mut(act.user()) else {
            return;
        };
        allowed.under_way += u32::from(act.is_about_quota());
        match act {
            Act::Set { quota, off, .. } => {
                if let Some(Size(quota)) = quota {
                    allowed.moved_max = allowed.moved_max.max(*quota);
                }
                if *off == Some(false) {
                    allowed.off = None;
                }
            }
            Act::Add { bytes, .. } => {
                allowed.moved_max = allowed.moved_max.saturating_add(bytes.0);
            }
            Act::Reset { .. } => {
                allowed.was_reset = true;
                allowed.moved_max = u64::MAX;
            }
            Act::Password { .. } | Act::Take { .. } | Act::Delete { .. } => {}
        }
    }

    /// Notes that an act is done; `charged` is what is charged to the user now.
    pub(super) fn done(&self, act: &Act, charged: u64) {
        self.acts_left.set(self.acts_left.get() - 1);
        let moved = self.moved(act.user()).total();
        let mut users = self.users.borrow_mut();
        let Some(allowed) = users.get_mut(act.user()) else {
            return;
        };
        let now = Since {
            at: clock::now(),
            told_by_store: true,
        };
        allowed.under_way -= u32::from(act.is_about_quota());
        // Another one that may have happened has to be waited for.
        let settled = allowed.under_way == 0;
        let mut quota = allowed.quota;
        match act {
            Act::Set {
                quota: new,
                expires,
                off,
                ..
            } => {
                quota = new.map(|Size(quota)| quota).or(quota);
                if let Some(expires) = expires {
                    allowed.expires = Some(Since {
                        at: expires.duration().max(now.at),
                        told_by_store: true,
                    });
                }
                if *off == Some(true) {
                    allowed.off = Some(now);
                }
            }
            Act::Password { to, .. } => {
                allowed.password.clone_from(to);
                allowed.renewed = now;
            }
            Act::Add { bytes, .. } => quota = quota.map(|quota| quota + bytes.0),
            Act::Take { bytes, .. } => quota = quota.map(|quota| quota.saturating_sub(bytes.0)),
            Act::Reset { .. } if settled => {
                allowed.moved_max = moved.saturating_add(allowed.quota.unwrap_or(u64::MAX));
            }
            Act::Reset { .. } => {}
            Act::Delete { .. } => allowed.off = Some(now),
        }
        allowed.quota = quota;
        // What was granted already is not taken back, and what was counted before a reset is not
        // counted now.
        if settled
            && act.is_about_quota()
            && !allowed.was_reset
            && let Some(quota) = quota
        {
            allowed.moved_max = quota.max(charged);
        }
    }
}

#[cfg(test)]
mod tests;
