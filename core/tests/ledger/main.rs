//! The ledger through its public interface: several POPs, a store that loses, delays and repeats, and
//! calls in any order.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests look for one thing among many"
)]

mod asking;
mod endpoint;
mod places;
mod rates;
mod rig;
mod store;
mod strays;

use proptest::prelude::*;
use rig::Rig;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Never over, nothing lost, nothing kept: whatever comes of messages, clients, operators and
    /// processes, in whatever order.
    #[test]
    fn carried_is_granted_before_and_told_once(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut rig = Rig::new();
        rig.run(&bytes);
        rig.calm();
    }

    /// No call panics, and none leaves a deadline behind that is over.
    #[test]
    fn calls_that_make_no_sense_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        strays::run(&bytes);
    }
}
