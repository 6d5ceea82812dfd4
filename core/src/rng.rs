//! Seeded randomness.

use crate::planted::{self, Planted};
use core::time::Duration;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// The generator of an endpoint: ChaCha12, so that tunnel ids, nonces and resume keys cannot be
/// guessed from one another, and named, so that a seed means the same in every release.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// Creates the generator of `seed`.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// Returns 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.0.fill_bytes(&mut out);
        out
    }

    /// Returns a number below `bound`; zero if `bound` is zero. The bias is below 2⁻³² for bounds
    /// that fit 32 bits.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Returns a duration in `0..limit`: full jitter.
    pub fn jitter(&mut self, limit: Duration) -> Duration {
        let nanos = self.below(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
        planted::bend(Planted::SharedCounter, Duration::from_nanos(nanos), |_| {
            limit / (2 + planted::asked() % 7)
        })
    }
}
