//! The stream of changes.

use super::Redis;
use super::link::Answer;
use super::reply::{array, count, malformed, text};
use crate::store::changes::{decode_change, encode_order};
use crate::store::{CHANGES_KEPT, CHANGES_MAX, ChangeLog, Changes, Cursor, Order, StoreError};

impl ChangeLog for Redis {
    async fn order(&self, pop: &str, at: u64, order: Order) -> Result<(), StoreError> {
        let body = encode_order(pop, at, order)?;
        self.run(script!("order"), body).await.map(drop)
    }

    async fn changes(&self, after: Option<Cursor>, limit: u32) -> Result<Changes, StoreError> {
        let limit = limit.clamp(1, CHANGES_MAX);
        let ask = async |id: String| {
            self.0
                .run(script!("changes"), (id, limit, CHANGES_KEPT))
                .await
        };
        let id = after
            .as_ref()
            .map_or_else(String::new, |after| after.id.to_string());
        let mut answer = ask(id).await?;
        if after.is_some_and(|after| after.run != *answer.run) {
            // Another run of the server: what it may have forgotten makes the numbers meaningless.
            answer = ask(String::new()).await?;
        }
        let Answer { value, run } = answer;
        let mut parts = array(value)?.into_iter();
        let id = count(parts.next().ok_or_else(malformed)?)?;
        let bodies = parts.next().map(array).transpose()?;
        let reload = bodies.is_none();
        let decode = |body| Ok(decode_change(&text(body)?));
        let items = bodies.unwrap_or_default().into_iter().map(decode);
        Ok(Changes {
            items: items.collect::<Result<_, StoreError>>()?,
            cursor: Cursor {
                run: run.as_ref().to_owned(),
                id,
            },
            reload,
        })
    }
}
