//! Accounts: what holders tell of users, and what they are granted.

use super::Redis;
use super::reply::{Fields, array, fields, malformed, number, optional_number, texts};
use crate::store::{
    Accounts, COUNT_MAX, Holder, HolderUsage, INCARNATIONS_KEPT, REPORT_MAX, Resolution, Standing,
    StoreError, Totals, TrafficBucket, check_batch,
};
use redis::Value;
use titan_core::endpoint::Rates;

impl Accounts for Redis {
    async fn lease(
        &self,
        holder: Holder,
        totals: Totals,
        want: u64,
    ) -> Result<Option<Standing>, StoreError> {
        let answer = settle(self, holder, vec![totals], Some(want), None).await?;
        answer.into_iter().next().ok_or_else(malformed)
    }

    async fn report(
        &self,
        holder: Holder,
        totals: Vec<Totals>,
        journal: Option<u64>,
    ) -> Result<Vec<Option<Standing>>, StoreError> {
        check_batch(&totals, REPORT_MAX)?;
        settle(self, holder, totals, None, journal).await
    }

    async fn retold(&self, holder: Holder, run: &str) -> Result<(), StoreError> {
        let args = (holder.pop, holder.incarnation, run);
        self.run(script!("retold"), args).await.map(drop)
    }

    async fn usage(&self, user: &str) -> Result<Option<Vec<HolderUsage>>, StoreError> {
        let found = self.run(script!("of_user"), (user, "titan:usage:")).await?;
        companion(found)?.map(usage).transpose()
    }

    async fn traffic(
        &self,
        user: &str,
        resolution: Resolution,
        from: u64,
        until: u64,
    ) -> Result<Option<Vec<TrafficBucket>>, StoreError> {
        let prefix = match resolution {
            Resolution::FiveMinutes => "titan:traffic5min:",
            Resolution::Hour => "titan:traffichour:",
            Resolution::Day => "titan:trafficday:",
        };
        let first = from / resolution.width() * resolution.width();
        let found = self.run(script!("of_user"), (user, prefix)).await?;
        companion(found)?
            .map(|all| traffic(all, first..=until))
            .transpose()
    }
}

/// Takes over totals of a holder and grants more.
async fn settle(
    store: &Redis,
    holder: Holder,
    totals: Vec<Totals>,
    lease: Option<u64>,
    journal: Option<u64>,
) -> Result<Vec<Option<Standing>>, StoreError> {
    let mut args = vec![
        holder.pop,
        holder.incarnation.to_string(),
        journal.map_or_else(String::new, |at| at.min(COUNT_MAX).to_string()),
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
            totals.wants.up.to_string(),
            totals.wants.down.to_string(),
        ]);
    }
    let standing = |value| {
        let all = array(value)?;
        if all.is_empty() {
            return Ok(None);
        }
        let [
            granted,
            charged,
            limit,
            sessions_elsewhere,
            held_elsewhere,
            share_up,
            share_down,
        ] = texts(Value::Array(all))?;
        Ok(Some(Standing {
            granted: number(&granted)?,
            charged: number(&charged)?,
            limit: optional_number(&limit)?,
            sessions_elsewhere: number(&sessions_elsewhere)?,
            held_elsewhere: number(&held_elsewhere)?,
            share: Rates {
                up: number(&share_up)?,
                down: number(&share_down)?,
            },
        }))
    };
    let answers = array(store.run(script!("parts" "shares" "settle"), args).await?)?;
    answers.into_iter().map(standing).collect()
}

/// The fields of what belongs to a user; none if there is no such user.
fn companion(value: Value) -> Result<Option<Fields>, StoreError> {
    if value == Value::Nil {
        return Ok(None);
    }
    fields(value).map(Some)
}

/// Reads the account of a user, by POP and incarnation.
fn usage(all: Fields) -> Result<Vec<HolderUsage>, StoreError> {
    let mut parts = Vec::new();
    for (field, value) in all {
        // Other fields say up to where processes were folded.
        if !field.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let (incarnation, pop) = field.split_once('@').ok_or_else(malformed)?;
        let numbers: Vec<u64> = value
            .split(' ')
            .map(number)
            .collect::<Result<_, StoreError>>()?;
        let [granted, returned, _, uploaded, downloaded, sessions, at] = numbers[..] else {
            return Err(malformed());
        };
        parts.push(HolderUsage {
            holder: Holder {
                pop: pop.to_owned(),
                incarnation: number(incarnation)?,
            },
            granted,
            returned,
            uploaded,
            downloaded,
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            reported_at: at,
        });
    }
    parts.sort_by(|one, two| {
        let key = |part: &HolderUsage| (part.holder.pop.clone(), part.holder.incarnation);
        key(one).cmp(&key(two))
    });
    Ok(parts)
}

/// Reads the buckets of a curve that start within `range`, oldest first.
fn traffic(
    all: Fields,
    range: core::ops::RangeInclusive<u64>,
) -> Result<Vec<TrafficBucket>, StoreError> {
    let mut buckets = Vec::new();
    for (start, value) in all {
        let start = number(&start)?;
        let (uploaded, downloaded) = value.split_once(' ').ok_or_else(malformed)?;
        if range.contains(&start) {
            buckets.push(TrafficBucket {
                start,
                uploaded: number(uploaded)?,
                downloaded: number(downloaded)?,
            });
        }
    }
    buckets.sort_by_key(|bucket| bucket.start);
    Ok(buckets)
}
