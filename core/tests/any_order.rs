//! Random calls and random frames: nothing panics, and every audit holds.

use proptest::prelude::*;
use titan_kit::inputs;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn nothing_panics_and_nothing_leaks(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        inputs::run(&bytes);
    }
}
