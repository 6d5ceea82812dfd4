//! The rates of users with sessions at several POPs, in SQLite.

use super::{integer, unsigned};
use crate::store::{Holder, SILENT_AFTER};
use rusqlite::{Transaction, params};
use titan_core::account::{Stake, divide as share};
use titan_core::endpoint::Rates;

/// What another POP wants and has.
struct Stakes {
    up: Stake,
    down: Stake,
}

/// Divides the rates of a user between a holder, which wants so much or has no sessions, and the others
/// that live and have some. Returns how fast the user may be at the holder.
pub(super) fn divide(
    transaction: &Transaction<'_>,
    user_id: i64,
    rates: Rates,
    holder: &Holder,
    wants: Option<Rates>,
    at: u64,
) -> rusqlite::Result<Rates> {
    if !rates.is_limited() {
        return Ok(rates);
    }
    let others = others(transaction, user_id, holder, at)?;
    if others.is_empty() {
        transaction
            .prepare_cached("DELETE FROM shares WHERE user_id = ?1")?
            .execute([user_id])?;
        return Ok(rates);
    }
    let incarnation = integer(holder.incarnation);
    let Some(wants) = wants else {
        transaction
            .prepare_cached(
                "DELETE FROM shares WHERE user_id = ?1 AND pop = ?2 AND incarnation = ?3",
            )?
            .execute(params![user_id, holder.pop, incarnation])?;
        return Ok(rates);
    };
    let up: Vec<Stake> = others.iter().map(|other| other.up).collect();
    let down: Vec<Stake> = others.iter().map(|other| other.down).collect();
    let has = Rates {
        up: share(rates.up, wants.up, &up),
        down: share(rates.down, wants.down, &down),
    };
    transaction
        .prepare_cached(
            "INSERT INTO shares VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET wants_up = excluded.wants_up,
                 wants_down = excluded.wants_down, has_up = excluded.has_up,
                 has_down = excluded.has_down",
        )?
        .execute(params![
            user_id,
            holder.pop,
            incarnation,
            integer(wants.up),
            integer(wants.down),
            integer(has.up),
            integer(has.down),
        ])?;
    Ok(has)
}

/// Reads what other POPs that live and have sessions of a user want and hold.
fn others(
    transaction: &Transaction<'_>,
    user_id: i64,
    holder: &Holder,
    at: u64,
) -> rusqlite::Result<Vec<Stakes>> {
    transaction
        .prepare_cached(
            "SELECT u.reported_at, s.wants_up, s.wants_down, s.has_up, s.has_down
             FROM usage u JOIN pops p ON p.id = u.pop AND CASE u.incarnation
                 WHEN p.incarnation THEN p.lease_until WHEN p.retiring THEN p.retiring_until END > ?4
             LEFT JOIN shares s ON s.user_id = u.user_id AND s.pop = u.pop
                 AND s.incarnation = u.incarnation
             WHERE u.user_id = ?1 AND u.sessions > 0 AND NOT (u.pop = ?2 AND u.incarnation = ?3)",
        )?
        .query_map(
            params![
                user_id,
                holder.pop,
                integer(holder.incarnation),
                integer(at)
            ],
            |row| {
                let told_at = unsigned(row.get(0)?);
                // One that is not known to share anything has everything, or is idle.
                let unknown = if at.abs_diff(told_at) <= SILENT_AFTER {
                    u64::MAX
                } else {
                    0
                };
                let number = |column| {
                    let known: Option<i64> = row.get(column)?;
                    Ok::<u64, rusqlite::Error>(known.map_or(unknown, unsigned))
                };
                Ok(Stakes {
                    up: Stake {
                        wants: number(1)?,
                        has: number(3)?,
                    },
                    down: Stake {
                        wants: number(2)?,
                        has: number(4)?,
                    },
                })
            },
        )?
        .collect()
}
