//! What a POP's driver says and learns about groups.

use super::PopRole;
use crate::account::{Carried, Grant, Rates};
use crate::arena::SessionId;
use crate::endpoint::Endpoint;
use crate::time::Instant;
use titan_proto::Code;

impl Endpoint<PopRole> {
    /// Sets what a group may carry in all. Whoever waited for it is woken, in turns, and a group that
    /// was [shut](Self::exhaust) opens again. A group that was never granted anything is counted and
    /// not limited.
    pub fn grant(&mut self, now: Instant, group: u32, grant: Grant) {
        let now = self.enter(now);
        self.engine.desk.groups.account_or_add(group).grant(grant);
        self.engine.follow_account(now, group);
        self.leave(now);
    }

    /// Takes back what a group was [granted](Self::grant) beyond `grant.total`, as far as it is not
    /// spent: it moves no more than that until the next grant. The one way to lower what was granted.
    /// Does nothing to a group that was never granted anything.
    pub fn recall(&mut self, now: Instant, group: u32, grant: Grant) {
        let now = self.enter(now);
        if let Some(account) = self.engine.desk.groups.account_mut(group) {
            account.recall(grant);
        }
        self.engine.follow_recall(now, group);
        self.leave(now);
    }

    /// Ends every session of a group, with a CLOSE for `code`, and refuses new ones with it until
    /// the next grant. Nothing of the group moves from now on; of very many sessions the last end
    /// some milliseconds later.
    pub fn exhaust(&mut self, now: Instant, group: u32, code: Code) {
        let now = self.enter(now);
        self.engine.shut_group(now, group, code);
        self.leave(now);
    }

    /// Sets how fast all sessions of a group together may move bytes. At most 50 ms worth (or 1 KiB)
    /// gather while nothing moves.
    pub fn limit_rate(&mut self, now: Instant, group: u32, rates: Rates) {
        let now = self.enter(now);
        let account = self.engine.desk.groups.account_or_add(group);
        account.limit_rate(now, rates);
        self.engine.serve(now, group);
        self.leave(now);
    }

    /// Returns what a group has carried, in totals that only grow: bytes taken from its clients, and
    /// bytes written to them, each counted once, when it was taken or written. What was taken stays
    /// counted when its session ends before it is sent.
    #[must_use]
    pub fn carried(&self, group: u32) -> Carried {
        let group = self.engine.desk.groups.get(group);
        group.map_or_else(Carried::default, |group| group.account().quota.carried())
    }

    /// Returns how many bytes a group may still carry; `None` if nothing limits it.
    #[must_use]
    pub fn left(&self, group: u32) -> Option<u64> {
        let left = self.engine.desk.groups.get(group)?.account().quota.left();
        (left != u64::MAX).then_some(left)
    }

    /// Returns a group that has carried something since it was last returned here, with its totals.
    /// For reports of usage; no part of a turn.
    pub fn poll_carried(&mut self) -> Option<(u32, Carried)> {
        self.engine.desk.groups.poll_dirty()
    }

    /// Forgets a group and returns its final totals; does nothing while it has sessions.
    pub fn forget_group(&mut self, group: u32) -> Option<Carried> {
        let engine = &mut self.engine;
        let timers = &mut engine.agenda.timers;
        engine.desk.groups.forget(timers, group)
    }

    /// Returns what one session has carried.
    #[must_use]
    pub fn session_carried(&self, session: SessionId) -> Option<Carried> {
        Some(self.engine.sessions.get(session)?.flow().carried())
    }
}
