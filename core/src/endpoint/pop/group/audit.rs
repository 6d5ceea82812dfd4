//! Accounts, counted again from their sessions.

use super::super::desk::PopDesk;
use crate::account::{Carried, Way};
use crate::endpoint::engine::Engine;
use crate::time::Instant;
use alloc::collections::BTreeMap;

impl Engine<PopDesk> {
    /// Checks what holds about groups (I9), by counting again.
    pub(in crate::endpoint::pop) fn audit_groups(&self, now: Instant) {
        let groups = &self.desk.groups;
        let mut sums = BTreeMap::<u32, (Carried, usize)>::new();
        let mut tickets = 0;
        for (id, session) in self.sessions.iter() {
            let meter = &session.flow().meter;
            let group = groups.get(session.group()).expect("a session's group");
            assert!(
                group.sessions.contains(&id) || group.ending.contains(&id),
                "I9: {id:?} is of no group"
            );
            let (sum, count) = sums.entry(session.group()).or_default();
            sum.add(Way::Up, meter.carried().up);
            sum.add(Way::Down, meter.carried().down);
            *count += 1;
            for way in Way::BOTH {
                if let Some(ticket) = meter.ticket(way) {
                    tickets += 1;
                    assert!(
                        group.queue(way).waiting.get(&ticket) == Some(&id),
                        "I6: {id:?} waits for a call that never comes"
                    );
                }
            }
            let (taken, given) = session.counted();
            assert!(
                taken.is_none_or(|taken| taken == meter.carried().up),
                "I9: {id:?} counts what its client sent once"
            );
            assert!(
                given.is_none_or(|given| given == meter.carried().down),
                "I9: {id:?} counts what its client got once"
            );
            assert!(
                session.unpaid() == 0 || meter.ticket(Way::Up).is_some(),
                "I6: {id:?} owes and does not wait"
            );
        }
        let mut queued = 0;
        for (number, group) in &groups.by_number {
            let (mut sum, count) = sums.get(number).copied().unwrap_or_default();
            sum.add(Way::Up, group.past.up);
            sum.add(Way::Down, group.past.down);
            let quota = &group.account.quota;
            assert!(sum == quota.carried(), "I9: group {number} counts once");
            assert!(
                quota.is_covered(),
                "I9: group {number} carried beyond its grant: {quota:?}"
            );
            assert!(
                count == group.sessions.len() + group.ending.len(),
                "I6: sessions of group {number}"
            );
            queued += group.up.waiting.len() + group.down.waiting.len();
            let due = group.due(now);
            assert!(
                due.is_none() || group.timer.is_some(),
                "I6: group {number} waits for nothing that comes"
            );
        }
        assert!(tickets == queued, "I6: tickets of sessions that are gone");
    }
}
