//! The stream of changes.

use super::Redis;
use super::reply::{array, count, malformed, text};
use crate::store::changes::{decode_change, encode_order};
use crate::store::{CHANGES_KEPT, CHANGES_MAX, ChangeLog, Changes, Cursor, Order, StoreError};

impl ChangeLog for Redis {
    async fn order(&self, pop: &str, at: u64, order: Order) -> Result<(), StoreError> {
        let body = encode_order(pop, at, order)?;
        self.keep(script!("order"), body).await.map(drop)
    }

    async fn changes(&self, after: Option<Cursor>, limit: u32) -> Result<Changes, StoreError> {
        let limit = limit.clamp(1, CHANGES_MAX);
        let (id, run) =
            after.map_or_else(Default::default, |after| (after.id.to_string(), after.run));
        let args = (id, run, limit, CHANGES_KEPT);
        let answer = array(self.run(script!("changes"), args).await?)?;
        if answer.is_empty() {
            // The next connection begins a new run, to which everything is told again.
            self.link.renew();
            return Err(StoreError::unavailable(
                "the memory of the Redis server was emptied",
            ));
        }
        let mut parts = answer.into_iter();
        let run = text(parts.next().ok_or_else(malformed)?)?;
        let id = count(parts.next().ok_or_else(malformed)?)?;
        let bodies = parts.next().map(array).transpose()?;
        let reload = bodies.is_none();
        let decode = |body| Ok(decode_change(&text(body)?));
        let items = bodies.unwrap_or_default().into_iter().map(decode);
        Ok(Changes {
            items: items.collect::<Result<_, StoreError>>()?,
            cursor: Cursor { run, id },
            reload,
        })
    }
}
