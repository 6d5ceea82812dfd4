//! The table of leases against those who hold them.

use super::{LeaseKey, Leases};
use alloc::collections::BTreeMap;

impl Leases {
    /// Checks the table against the holders that there are.
    pub(crate) fn audit(&self, holders: &BTreeMap<(LeaseKey, u64), u32>) {
        assert!(
            self.by_key.len() <= self.max,
            "I8: more leases than allowed"
        );
        let mut idle = 0;
        for (key, lease) in &self.by_key {
            let counted = holders.get(&(key.clone(), lease.generation)).copied();
            // Not assert_eq: what is told has to begin with the invariant.
            assert!(
                lease.holders == counted.unwrap_or(0),
                "I8: {} holders of {key:?} in generation {}, not {counted:?}",
                lease.holders,
                lease.generation
            );
            assert!(
                (lease.holders == 0) == lease.idle_until.is_some(),
                "I8: {key:?} is held or idle"
            );
            if let Some(until) = lease.idle_until {
                idle += 1;
                assert!(
                    self.idle.contains(&(until, key.clone())),
                    "I6: {key:?} is never forgotten"
                );
            }
        }
        assert!(idle == self.idle.len(), "I6: idle leases that are gone");
    }
}
