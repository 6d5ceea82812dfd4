//! POPs as hashes.

use super::reply::{array, count, number, optional, texts};
use super::{NOTHING, Redis};
use crate::store::{
    COUNT_MAX, META_MAX, POP_FORGOTTEN_AFTER, PopEntry, PopStatus, Pops, StoreError,
};

/// How many steps of tidying one renewal does; the next one goes on.
const TIDY_STEPS: usize = 1_000;

impl Pops for Redis {
    async fn pop_alive(&self, pop: PopEntry, lease: u64) -> Result<(), StoreError> {
        if pop.info.len() > META_MAX {
            return Err(StoreError::TooLarge);
        }
        let args = (
            pop.id,
            pop.incarnation,
            pop.url,
            pop.info,
            lease.min(COUNT_MAX / 2),
            POP_FORGOTTEN_AFTER,
            format!("{:016x}", pop.nonce),
        );
        let left = self.run(script!("rebase" "pop_alive"), args).await?;
        self.tidy(count(left)?).await
    }

    async fn pop_gone(&self, id: &str, incarnation: u64) -> Result<(), StoreError> {
        let left = self.run(script!("pop_gone"), (id, incarnation)).await?;
        self.tidy(count(left)?).await
    }

    async fn drain_pop(&self, id: &str, incarnation: u64) -> Result<bool, StoreError> {
        let marked = self.run(script!("pop_drain"), (id, incarnation)).await?;
        Ok(count(marked)? > 0)
    }

    async fn is_pop_draining(&self, id: &str, incarnation: u64) -> Result<bool, StoreError> {
        let args = (id, incarnation);
        let marked = self.run(script!("pop_draining"), args).await?;
        Ok(count(marked)? > 0)
    }

    async fn pops(&self) -> Result<Vec<PopStatus>, StoreError> {
        let status = |value| {
            let [
                id,
                incarnation,
                url,
                info,
                node_count,
                lease_until,
                draining,
                nonce,
            ] = texts(value)?;
            let incarnation = number(&incarnation)?;
            Ok(PopStatus {
                pop: PopEntry {
                    id,
                    incarnation,
                    nonce: u64::from_str_radix(&nonce, 16).unwrap_or(0),
                    url,
                    info,
                },
                node_count: number(&node_count)?,
                lease_until: number(&lease_until)?,
                draining: !draining.is_empty(),
            })
        };
        let mut all = array(self.run(script!("pops"), NOTHING).await?)?
            .into_iter()
            .map(status)
            .collect::<Result<Vec<_>, StoreError>>()?;
        all.sort_by(|one, two| one.pop.id.cmp(&two.pop.id));
        Ok(all)
    }

    async fn incarnation(&self, id: &str) -> Result<Option<u64>, StoreError> {
        let known = optional(self.run(script!("incarnation"), id).await?)?;
        known.map(|known| number(&known)).transpose()
    }
}

impl Redis {
    async fn tidy(&self, mut left: u64) -> Result<(), StoreError> {
        for _ in 0..TIDY_STEPS {
            if left == 0 {
                break;
            }
            left = count(self.run(script!("tidy"), NOTHING).await?)?;
        }
        Ok(())
    }
}
