//! What the ledger hears and says: of users, to and from the store, to the endpoint, to its driver.

use crate::account::{Carried, Grant, Rates};
use alloc::vec::Vec;
use titan_proto::Code;

/// Sizes of what is asked for, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// The smallest grant asked for, unless little is left.
    pub grant_min: u64,
    /// The largest grant asked for.
    pub grant_max: u64,
    /// The smallest piece of what is left that is asked for.
    pub piece_min: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grant_min: 1 << 20,
            grant_max: 64 << 20,
            piece_min: 64 << 10,
        }
    }
}

/// What a user may do, and how the account stood when the store said so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    /// How many bytes the user may transfer, both directions together; none is no limit.
    pub limit: Option<u64>,
    /// What is charged against the limit, in bytes.
    pub charged: u64,
    /// What is spent of it, in bytes.
    pub spent: u64,
    /// How fast all sessions together may be.
    pub rates: Rates,
    /// How many sessions there may be at once, over all POPs; none is no limit.
    pub sessions_max: Option<u32>,
    /// The user is switched on.
    pub enabled: bool,
    /// From when on the user may have sessions, in Unix seconds.
    pub starts_at: Option<u64>,
    /// From when on no longer, in Unix seconds.
    pub ends_at: Option<u64>,
    /// A number that grows with each new password.
    pub password: u64,
}

impl Terms {
    /// Tells whether the switch and the window of validity let the user in at this time.
    pub(super) fn is_on(&self, unix_time: u64) -> bool {
        let started = self.starts_at.is_none_or(|at| at <= unix_time);
        let ended = self.ends_at.is_some_and(|at| at <= unix_time);
        self.enabled && started && !ended
    }

    /// Returns when the window of validity opens and closes, in Unix seconds.
    pub(super) fn edges(&self) -> impl Iterator<Item = u64> + use<> {
        [self.starts_at, self.ends_at].into_iter().flatten()
    }
}

/// How a user stands, in an answer of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// What this process has been granted in all, in bytes.
    pub granted: u64,
    /// What is charged to the user over all POPs, in bytes.
    pub charged: u64,
    /// The user's limit, in bytes.
    pub limit: Option<u64>,
    /// How many sessions the user has at other POPs.
    pub sessions_elsewhere: u64,
    /// What other POPs that live hold and had not spent when they last told, in bytes.
    pub held_elsewhere: u64,
    /// How fast the user may be here while it has sessions at other POPs; zero is no limit.
    pub share: Rates,
}

/// What the store is told of a user: totals of this process, which only grow and count as maxima.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// What the store has granted, in bytes.
    pub granted: u64,
    /// What was given back of that, in bytes; nothing spends it any more.
    pub returned: u64,
    /// What was taken from clients, in bytes.
    pub uploaded: u64,
    /// What was written to clients, in bytes.
    pub downloaded: u64,
    /// Sessions now. It does not only grow: the last one told counts.
    pub sessions: u32,
    /// How fast the user would be here if other POPs left it its whole rate, as far as can be seen; the
    /// last ones told count.
    pub wants: Rates,
}

/// A message to the store; never used twice in one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AskId(pub(super) u64);

/// A place among the sessions of a user; never used twice in one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PlaceId(pub(super) u64);

/// A message to the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// What the answer is given with.
    pub id: AskId,
    /// What it says.
    pub question: Question,
}

/// What a message to the store says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// More is wanted, up to `want` bytes in all.
    Grant {
        /// The user's group.
        group: u32,
        /// The user's totals.
        totals: Totals,
        /// How much is to be granted in all, in bytes.
        want: u64,
    },
    /// Totals of up to [`BATCH_MAX`](super::BATCH_MAX) users by group, of each once. Answers stand in
    /// the same order.
    Report(Vec<(u32, Totals)>),
}

/// What the endpoint is to do for a group now. The driver does it before any byte moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instruction {
    /// [`limit_rate`](crate::endpoint::Endpoint::limit_rate).
    LimitRate {
        /// Whose.
        group: u32,
        /// How fast.
        rates: Rates,
    },
    /// [`grant`](crate::endpoint::Endpoint::grant).
    Grant {
        /// Whose.
        group: u32,
        /// How much.
        grant: Grant,
    },
    /// [`recall`](crate::endpoint::Endpoint::recall), to be answered by
    /// [`handle_recalled`](super::Ledger::handle_recalled).
    Recall {
        /// Whose.
        group: u32,
        /// What is left.
        grant: Grant,
    },
    /// [`exhaust`](crate::endpoint::Endpoint::exhaust).
    Exhaust {
        /// Whose.
        group: u32,
        /// Why.
        code: Code,
    },
    /// [`forget_group`](crate::endpoint::Endpoint::forget_group), to be answered by
    /// [`handle_forgotten`](super::Ledger::handle_forgotten).
    Forget {
        /// Whose.
        group: u32,
    },
}

/// What the driver is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A session that waited for the store is let in, or not. One that is not has no place any more.
    Admitted {
        /// The place it has.
        place: PlaceId,
        /// Why not.
        outcome: Result<(), Code>,
    },
    /// Nothing is left to be told of a user; the group's number may be another user's next.
    Released {
        /// The number.
        group: u32,
    },
    /// The store has taken everything that there was to tell.
    Told,
    /// The store does not take what there is to tell: the driver keeps it, until [`Told`](Self::Told).
    Untold,
}

/// A session that is let in, or about to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admission {
    /// What to [leave](super::Ledger::leave) in the end.
    pub place: PlaceId,
    /// The user's group.
    pub group: u32,
    /// Whether [`Event::Admitted`] is going to tell more.
    pub waits: bool,
}

/// What a ledger holds now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Users with sessions, or with something to be told.
    pub users: usize,
    /// Users of whom only the totals are kept.
    pub past: usize,
    /// Places taken or waited for.
    pub places: usize,
    /// Messages to the store without an answer yet.
    pub asks: usize,
}

/// Totals as getters return them.
pub(super) const fn totals(granted: u64, returned: u64, carried: Carried, sessions: u32) -> Totals {
    Totals {
        granted,
        returned,
        uploaded: carried.up,
        downloaded: carried.down,
        sessions,
        wants: Rates { up: 0, down: 0 },
    }
}
