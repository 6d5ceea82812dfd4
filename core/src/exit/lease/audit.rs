//! The table of leases against those who hold them.

use super::{LeaseKey, Leases};
use alloc::collections::BTreeMap;

impl Leases {
    /// Checks the table against the holders that there are.
    pub(crate) fn audit(&self, holders: &BTreeMap<(LeaseKey, u64), u32>) {
        for (key, lease) in self.by_key.iter() {
            let counted = holders.get(&(key.clone(), lease.generation)).copied();
            // Not assert_eq: what is told has to begin with the invariant.
            assert!(
                lease.holders == counted.unwrap_or(0),
                "I8: {} holders of {key:?} in generation {}, not {counted:?}",
                lease.holders,
                lease.generation
            );
            assert!(
                (lease.holders == 0) == self.by_key.end_of(key).is_some(),
                "I8: {key:?} is held or idle"
            );
        }
        let ends = self.by_key.iter();
        self.owners
            .audit(ends.map(|(key, _)| (key, self.by_key.end_of(key))));
        self.by_key.audit();
    }
}
