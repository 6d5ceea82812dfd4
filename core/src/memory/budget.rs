//! What is held of the budget, what that leaves to whom, and what is charged.

use super::level::{Marks, MemoryLevel};
use super::sizes::Round;
use super::users::{User, UserId, Users};
use crate::arena::SessionId;
use crate::config::{CRUMB, FRAME_OVERHEAD, LEAST};
use crate::planted::{self, Planted};

/// Part of the budget that a user is never denied: the rest is divided among those who hold more.
pub(super) const USER_LEAST: u64 = 64;

/// Part of the budget that waits for sockets at least while carriers are not read: less than that cannot be
/// what fills it, and what does may need the acknowledgements that carriers bring.
const INPUT_LEAST: u64 = 64;

/// What a tunnel may keep for resending however short that is.
pub(super) const RESEND_FLOOR: u64 = 4 << 10;

#[derive(Debug)]
pub(crate) struct Memory {
    pub(super) marks: Marks,
    pub(super) users: Users,
    pub(super) round: Round<UserId>,
    /// Held by receive queues, send queues and early data.
    pub(super) sessions: u64,
    /// The part of it that waits for sockets.
    pub(super) waiting: u64,
    /// Held for resending.
    pub(super) resend: u64,
    /// Window growth handed out.
    pub(super) growth: u64,
    /// Bytes that were kept for resending and are not any more.
    freed: u64,
}

/// What a session holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Held {
    /// Everything.
    pub(crate) total: u64,
    /// The part of it that waits for the socket.
    pub(crate) waiting: u64,
}

impl Memory {
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            marks: Marks::of(budget),
            users: Users::default(),
            round: Round::new(false),
            sessions: 0,
            waiting: 0,
            resend: 0,
            growth: 0,
            freed: 0,
        }
    }

    // --- Looking ------------------------------------------------------------------------------------

    pub(crate) const fn used(&self) -> u64 {
        self.sessions + self.resend
    }

    pub(crate) const fn sessions(&self) -> u64 {
        self.sessions
    }

    /// Returns what waits for sockets.
    pub(crate) const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Returns what a user's sessions hold.
    pub(crate) fn held(&self, user: UserId) -> u64 {
        self.users.held(user)
    }

    pub(crate) const fn resend(&self) -> u64 {
        self.resend
    }

    pub(crate) const fn growth(&self) -> u64 {
        self.growth
    }

    pub(crate) const fn level(&self) -> MemoryLevel {
        self.marks.level(self.used())
    }

    /// Returns how short memory is for a user: for one beyond its share as it is at 80 %.
    pub(crate) fn level_for(&self, user: UserId) -> MemoryLevel {
        let level = self.level();
        if level < MemoryLevel::Refusing && self.is_beyond_share(user) {
            MemoryLevel::Refusing
        } else {
            level
        }
    }

    /// Tells whether a user holds as much as is free below 80 % of the budget, or more: it may hold no
    /// other byte. One alone is left with half, two with a third each.
    pub(crate) fn is_beyond_share(&self, user: UserId) -> bool {
        self.is_beyond(self.held(user))
    }

    /// Tells whether a user may open no session because of what it holds.
    pub(crate) fn bars(&self, user: User) -> bool {
        self.users
            .find(user)
            .is_some_and(|id| self.is_beyond_share(id))
    }

    const fn is_beyond(&self, held: u64) -> bool {
        let free = self.marks.refusing.saturating_sub(self.used());
        let least = self.marks.full / USER_LEAST;
        held > least && held >= free
    }

    /// Tells whether what carriers bring may be taken in: they are not read while the budget is used up by
    /// what waits for sockets.
    pub(crate) fn takes_input(&self) -> bool {
        planted::on(Planted::ReadWhileFull)
            || self.used() < self.marks.full
            || self.waiting < self.marks.full / INPUT_LEAST
    }

    /// Returns what a session may leave waiting for its socket for as long as it likes.
    pub(super) const fn least(&self) -> u64 {
        let part = self.marks.full / 1024;
        if part < LEAST { part } else { LEAST }
    }

    // --- Rooms --------------------------------------------------------------------------------------

    /// Returns how long the send queue of a user's session may be, of which `queued` bytes are there, and
    /// which takes `queue_max` when memory is not short.
    pub(crate) fn queue_room(&self, user: UserId, queued: usize, queue_max: usize) -> usize {
        let used = self.used();
        let beyond = self.is_beyond_share(user);
        let least = usize::try_from(LEAST).unwrap_or(usize::MAX).min(queue_max);
        let room = if used < self.marks.no_growth && !beyond {
            queue_max
        } else if used >= self.marks.shedding || beyond {
            if queued == 0 { least } else { 0 }
        } else {
            self.marks.slope(used, least, queue_max)
        };
        let free = if self.has_room() {
            self.marks.full.saturating_sub(used)
        } else {
            0
        };
        let free = usize::try_from(free).unwrap_or(usize::MAX);
        room.min(queued.saturating_add(free))
    }

    /// Tells whether there is room for anything: none rather than crumbs.
    pub(crate) const fn has_room(&self) -> bool {
        self.used() + CRUMB <= self.marks.full
    }

    /// Returns the largest window that is granted to a user's session now.
    pub(crate) fn window_max(&self, user: UserId) -> u64 {
        self.marks.window(self.level_for(user))
    }

    /// Returns the window of a user's new session, which is `base` when memory is not short.
    pub(crate) fn initial_window(&self, user: UserId, base: u64) -> u64 {
        self.window_max(user).min(base)
    }

    /// Returns how large a frame a tunnel may make for a user, if it keeps `kept` bytes and may keep `max`:
    /// half of what is left until the user keeps as much as is free of the pool. None rather than crumbs.
    pub(crate) fn resend_room(&self, user: UserId, kept: u64, max: u64) -> Option<usize> {
        let free = self.resend_pool().saturating_sub(self.resend);
        let shared = free.saturating_sub(self.users.kept(user)) / 2;
        let room = shared.max(RESEND_FLOOR.saturating_sub(kept));
        let room = room.min(max.saturating_sub(kept));
        (room >= CRUMB).then(|| usize::try_from(room - FRAME_OVERHEAD).unwrap_or(usize::MAX))
    }

    /// Tells whether a tunnel that keeps `kept` bytes may make another control frame.
    pub(crate) const fn takes_control(&self, kept: u64) -> bool {
        self.resend < self.resend_pool() || kept < 2 * RESEND_FLOOR
    }

    /// Tells whether so much is kept for resending that it may not be kept for nothing.
    pub(crate) const fn is_resend_short(&self) -> bool {
        self.resend >= self.resend_pool() / 2
    }

    pub(super) const fn resend_pool(&self) -> u64 {
        self.marks.full / 4
    }

    pub(super) const fn growth_pool(&self) -> u64 {
        self.marks.full / 4
    }

    /// Takes `bytes` from the growth pool if the user may have them: it gets no more than it leaves.
    pub(crate) fn grow(&mut self, user: UserId, bytes: u64) -> bool {
        let free = self.growth_pool().saturating_sub(self.growth);
        if self.level_for(user) > MemoryLevel::Normal
            || (bytes > 0 && self.users.grown(user) + bytes > free)
        {
            return false;
        }
        self.growth += bytes;
        self.users.grow(user, bytes);
        true
    }

    /// Puts growth back into the pool.
    pub(crate) fn shrink(&mut self, user: UserId, bytes: u64) {
        self.growth -= bytes;
        self.users.shrink(user, bytes);
    }

    /// Counts entries of other lists that were looked at.
    pub(crate) const fn visited(&mut self, entries: u64) {
        self.users.visits += entries;
    }

    // --- Charges ------------------------------------------------------------------------------------

    /// Notes that a user has another session.
    pub(crate) fn join(&mut self, user: User) -> UserId {
        self.users.join(user)
    }

    /// Notes that a session is gone, which holds nothing any more.
    pub(crate) fn leave(&mut self, user: UserId, session: SessionId, noted: u8) {
        self.users.forget(user, session, noted);
        self.users.leave(user);
    }

    /// Replaces a session's charge. Returns whether it has begun to leave its socket something, or more than
    /// it may.
    pub(crate) fn recharge(
        &mut self,
        (user, session): (UserId, SessionId),
        noted: &mut u8,
        old: Held,
        new: Held,
    ) -> bool {
        self.sessions = self.sessions - old.total + new.total;
        self.waiting = self.waiting - old.waiting + new.waiting;
        self.users.recharge(user, old.total, new.total);
        self.users.note(user, session, noted, new.waiting);
        let least = self.least();
        let more = old.waiting <= least && new.waiting > least;
        more || (old.waiting == 0 && new.waiting > 0)
    }

    /// Notes that a frame of a user's is kept for resending.
    pub(crate) fn keep(&mut self, user: UserId, bytes: u64) {
        self.users.keep(user, bytes);
    }

    /// Notes that it is not any more.
    pub(crate) fn unkeep(&mut self, user: UserId, bytes: u64) {
        self.users.unkeep(user, bytes);
    }

    /// Returns how many bytes have been kept for resending and are not any more.
    pub(crate) const fn freed(&self) -> u64 {
        self.freed
    }

    /// Replaces a tunnel's charge.
    pub(crate) const fn recharge_resend(&mut self, old: u64, new: u64) {
        self.resend = self.resend - old + new;
        self.freed += old.saturating_sub(new);
    }
}
