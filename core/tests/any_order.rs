//! Random calls and random frames: nothing panics, and every audit holds.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests look for one thing among many"
)]

mod common;
mod inputs;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn nothing_panics_and_nothing_leaks(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        inputs::run(&bytes);
    }
}
