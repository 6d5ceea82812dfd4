//! Telling a POP's process from those before it, whatever the clock says.

use super::super::STORE_RETRY;
use crate::env::Env;
use crate::store::{GENERATIONS, Store, StoreError};

/// The key of the store's small values under which it stands which incarnation of a POP was the last.
fn key(pop: &str) -> String {
    format!("pop.incarnation.{pop}")
}

/// What names a process of a POP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Incarnation {
    /// Above that of every process before.
    pub(in super::super) number: u64,
    /// Random: a store that forgot its last moments gives the same number twice.
    pub(in super::super) nonce: u64,
}

/// Claims the incarnation after the last one; waits for the store.
pub(in super::super) async fn claim<E: Env, S: Store>(
    env: &E,
    store: &S,
    pop: &str,
) -> Incarnation {
    let [a, b, c, d, e, f, g, h, ..] = env.seed();
    let nonce = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    loop {
        match try_claim(store, pop).await {
            Ok(Some(number)) => return Incarnation { number, nonce },
            // Another process was faster, so this goes on by itself.
            Ok(None) => continue,
            Err(error) => tracing::warn!(%error, "waiting for the store"),
        }
        env.sleep_until(env.now() + STORE_RETRY).await;
    }
}

async fn try_claim<S: Store>(store: &S, pop: &str) -> Result<Option<u64>, StoreError> {
    let key = key(pop);
    let claimed = store.meta(&key).await?;
    // A living process may have told a store its number that has forgotten the claim.
    let registered = store.incarnation(pop).await?.unwrap_or(0);
    let last = claimed.as_ref().and_then(|text| text.parse().ok());
    let number = after(registered.max(last.unwrap_or(0)));
    let is_claimed = store.swap_meta(&key, claimed, number.to_string()).await?;
    Ok(is_claimed.then_some(number))
}

fn after(last: u64) -> u64 {
    (last / GENERATIONS)
        .saturating_add(1)
        .saturating_mul(GENERATIONS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Embedded, Location, Mode, PopEntry, Pops as _};

    fn store() -> Embedded {
        Embedded::open(&Location::Memory, Mode::Inline).unwrap()
    }

    async fn claimed(store: &Embedded) -> u64 {
        try_claim(store, "p").await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn it_is_the_stored_one_and_one_more_also_when_a_process_has_left() {
        let store = store();
        assert_eq!(claimed(&store).await, GENERATIONS);
        assert_eq!(claimed(&store).await, 2 * GENERATIONS);
        assert_eq!(try_claim(&store, "q").await, Ok(Some(GENERATIONS)));
    }

    #[tokio::test]
    async fn it_is_above_what_is_registered() {
        let store = store();
        // As a process of an older version did, whose clock was ahead.
        let entry = PopEntry {
            id: "p".to_owned(),
            incarnation: 1_900_000_000_000_000,
            nonce: 0,
            url: "ws://p".to_owned(),
            info: "{}".to_owned(),
        };
        store.pop_alive(entry.clone(), 1).await.unwrap();
        let next = claimed(&store).await;
        assert!(next > entry.incarnation && next - entry.incarnation <= GENERATIONS);
        store.pop_gone("p", entry.incarnation).await.unwrap();
        assert_eq!(claimed(&store).await, next + GENERATIONS);
    }
}
