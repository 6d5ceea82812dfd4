//! Accounts: what holders tell of users, and what they are granted.

use super::reply::{array, number, optional_number, texts};
use super::{Redis, scripts};
use crate::store::{COUNT_MAX, Holder, INCARNATIONS_KEPT, Standing, StoreError, Totals};
use redis::Value;

/// Takes over totals of a holder and grants more.
pub(super) async fn settle(
    store: &Redis,
    holder: Holder,
    totals: Vec<Totals>,
    lease: Option<u64>,
    at: u64,
) -> Result<Vec<Option<Standing>>, StoreError> {
    let mut args = vec![
        holder.pop,
        holder.incarnation.to_string(),
        at.min(COUNT_MAX).to_string(),
        u8::from(lease.is_some()).to_string(),
        INCARNATIONS_KEPT.to_string(),
    ];
    let want = lease.unwrap_or(0).min(COUNT_MAX / 2).to_string();
    for totals in totals {
        let totals = totals.bounded();
        args.extend([
            totals.user.clone(),
            totals.user_id.to_string(),
            want.clone(),
            totals.granted.to_string(),
            totals.returned.to_string(),
            totals.uploaded.to_string(),
            totals.downloaded.to_string(),
            totals.sessions.to_string(),
        ]);
    }
    let standing = |value| {
        let all = array(value)?;
        if all.is_empty() {
            return Ok(None);
        }
        let [granted, charged, limit, sessions_elsewhere, held_elsewhere] =
            texts(Value::Array(all))?;
        Ok(Some(Standing {
            granted: number(&granted)?,
            charged: number(&charged)?,
            limit: optional_number(&limit)?,
            sessions_elsewhere: number(&sessions_elsewhere)?,
            held_elsewhere: number(&held_elsewhere)?,
        }))
    };
    let answers = array(store.run(&scripts::SETTLE, args).await?)?;
    answers.into_iter().map(standing).collect()
}
