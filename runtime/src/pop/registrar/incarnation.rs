//! Telling a POP's process from those before it, whatever the clock says.

use super::super::STORE_RETRY;
use crate::env::Env;
use crate::store::Store;

/// How many numbers an incarnation has for what its nodes do before those of the next one begin.
const GENERATIONS: u64 = 1 << 24;

/// Of how many incarnations one is drawn, so that two processes that start at once do not have the same:
/// about a second of the clock.
const SPREAD: u64 = 1 << 20;

/// Returns an incarnation that is above the one that the store knows of this POP; waits for the store.
pub(in super::super) async fn choose<E: Env, S: Store>(env: &E, store: &S, id: &str) -> u64 {
    loop {
        // At the beginning of time every lease holds, those that are over included.
        match store.pops(0).await {
            Ok(all) => {
                let before = all.into_iter().find(|status| status.pop.id == id);
                let before = before.map(|status| status.pop.incarnation);
                let clock = u64::try_from(env.unix_time().as_micros()).unwrap_or(u64::MAX);
                return next(before, clock, env.seed());
            }
            Err(error) => tracing::warn!(%error, "waiting for the store"),
        }
        env.sleep_until(env.now() + STORE_RETRY).await;
    }
}

/// The clock makes it grow where the store has forgotten; where it has not, the clock may be wrong.
fn next(before: Option<u64>, clock: u64, seed: [u8; 32]) -> u64 {
    let after = before.map_or(0, |before| before.saturating_add(GENERATIONS));
    let [a, b, c, d, ..] = seed;
    let drawn = u64::from(u32::from_le_bytes([a, b, c, d])) % SPREAD;
    clock.max(after).saturating_add(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: u64 = 1_700_000_000_000_000;

    #[test]
    fn it_grows_whatever_the_clock_says() {
        let first = next(None, CLOCK, [0; 32]);
        assert_eq!(first, CLOCK);
        for clock in [CLOCK + 3_600_000_000, CLOCK, CLOCK - 3_600_000_000, 0] {
            let second = next(Some(first), clock, [0; 32]);
            assert!(second >= first + GENERATIONS && second >= clock, "{clock}");
        }
    }

    #[test]
    fn two_that_start_at_once_differ() {
        let drawn = [[1; 32], [2; 32]].map(|seed| next(Some(CLOCK), CLOCK, seed));
        assert_ne!(drawn[0], drawn[1]);
        assert!(drawn.iter().all(|one| one - CLOCK - GENERATIONS < SPREAD));
    }
}
