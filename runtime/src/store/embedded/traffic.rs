//! What users transferred over time, in SQLite.

use super::{integer, unsigned, users};
use crate::store::{Resolution, StoreError, TrafficBucket};
use rusqlite::{Connection, Transaction, params};

/// How many buckets of a width one step drops; renewals of POPs come every few seconds, and each does one.
const EXPIRED_MAX: u32 = 500;

/// Adds to the buckets that `at` lies in and drops those that are too old beside it.
pub(super) fn add(
    transaction: &Transaction<'_>,
    user_id: i64,
    at: u64,
    uploaded: u64,
    downloaded: u64,
) -> Result<(), StoreError> {
    if uploaded == 0 && downloaded == 0 {
        return Ok(());
    }
    for resolution in Resolution::ALL {
        let width = resolution.width();
        let start = at / width * width;
        transaction
            .prepare_cached(
                "INSERT INTO traffic VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
                     uploaded = uploaded + excluded.uploaded,
                     downloaded = downloaded + excluded.downloaded",
            )?
            .execute(params![
                user_id,
                integer(width),
                integer(start),
                integer(uploaded),
                integer(downloaded)
            ])?;
        transaction
            .prepare_cached(
                "DELETE FROM traffic WHERE user_id = ?1 AND width = ?2 AND start <=
                     (SELECT max(start) FROM traffic WHERE user_id = ?1 AND width = ?2) - ?3",
            )?
            .execute(params![
                user_id,
                integer(width),
                integer(resolution.kept() * width)
            ])?;
    }
    Ok(())
}

/// Drops some of what no user keeps any longer at `now`: also of users who transfer nothing any more.
pub(super) fn expire(transaction: &Transaction<'_>, now: u64) -> Result<(), StoreError> {
    for resolution in Resolution::ALL {
        let width = resolution.width();
        let gone = now / width * width;
        transaction
            .prepare_cached(
                "DELETE FROM traffic WHERE (user_id, width, start) IN (
                     SELECT user_id, width, start FROM traffic
                     WHERE width = ?1 AND start <= ?2 LIMIT ?3)",
            )?
            .execute(params![
                integer(width),
                integer(gone.saturating_sub(resolution.kept() * width)),
                EXPIRED_MAX
            ])?;
    }
    Ok(())
}

pub(super) fn read(
    connection: &Connection,
    name: &str,
    resolution: Resolution,
    from: u64,
    until: u64,
) -> Result<Option<Vec<TrafficBucket>>, StoreError> {
    let Some(user) = users::get(connection, name)? else {
        return Ok(None);
    };
    let width = resolution.width();
    let buckets = connection
        .prepare_cached(
            "SELECT start, uploaded, downloaded FROM traffic
             WHERE user_id = ?1 AND width = ?2 AND start BETWEEN ?3 AND ?4 ORDER BY start",
        )?
        .query_map(
            params![
                integer(user.id),
                integer(width),
                integer(from / width * width),
                integer(until)
            ],
            |row| {
                Ok(TrafficBucket {
                    start: unsigned(row.get(0)?),
                    uploaded: unsigned(row.get(1)?),
                    downloaded: unsigned(row.get(2)?),
                })
            },
        )?
        .collect::<Result<_, _>>()?;
    Ok(Some(buckets))
}
