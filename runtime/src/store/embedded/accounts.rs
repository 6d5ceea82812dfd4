//! Quotas in SQLite: leases, usage, adjustments.

use super::{Embedded, durable, integer, quick, shares, traffic, unsigned, users};
use crate::store::{
    ADJUSTMENTS_KEPT, Accounts, Adjustment, AdjustmentKind, COUNT_MAX, Holder, HolderUsage,
    INCARNATIONS_KEPT, REPORT_MAX, Resolution, Standing, StoreError, Totals, TrafficBucket, User,
    check_batch,
};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use titan_core::endpoint::Rates;

impl Accounts for Embedded {
    async fn lease(
        &self,
        holder: Holder,
        totals: Totals,
        want: u64,
    ) -> Result<Option<Standing>, StoreError> {
        self.call_now(move |connection, now| lease(connection, &holder, totals, want, now))
            .await
    }

    async fn report(
        &self,
        holder: Holder,
        totals: Vec<Totals>,
        journal: Option<u64>,
    ) -> Result<Vec<Option<Standing>>, StoreError> {
        check_batch(&totals, REPORT_MAX)?;
        self.call_now(move |connection, now| {
            report(connection, &holder, totals, When { now, journal })
        })
        .await
    }

    async fn retold(&self, _: Holder, _: &str) -> Result<(), StoreError> {
        // Grants are on the disk when they are answered: there is nothing that it could have forgotten.
        core::future::ready(Ok(())).await
    }

    async fn usage(&self, user: &str) -> Result<Option<Vec<HolderUsage>>, StoreError> {
        let user = user.to_owned();
        self.call(move |connection| usage(connection, &user)).await
    }

    async fn traffic(
        &self,
        user: &str,
        resolution: Resolution,
        from: u64,
        until: u64,
    ) -> Result<Option<Vec<TrafficBucket>>, StoreError> {
        let user = user.to_owned();
        self.call(move |connection| traffic::read(connection, &user, resolution, from, until))
            .await
    }
}

/// One holder's part of a user's account.
#[derive(Clone, Copy, Default)]
struct Part {
    granted: u64,
    returned: u64,
    /// What no longer counts since a reset.
    forgiven: u64,
    uploaded: u64,
    downloaded: u64,
    sessions: u32,
    reported_at: u64,
}

/// What of a user decides about grants and shares.
#[derive(Clone, Copy)]
struct Purse {
    id: i64,
    limit: Option<u64>,
    charged: u64,
    rates: Rates,
}

/// When a holder tells something, and when it was so.
#[derive(Clone, Copy)]
struct When {
    now: u64,
    /// When the journal was written that it is read from.
    journal: Option<u64>,
}

impl When {
    fn at(self) -> u64 {
        self.journal.unwrap_or(self.now).min(self.now)
    }
}

impl Part {
    fn charge(&self) -> u64 {
        self.granted
            .saturating_sub(self.returned)
            .saturating_sub(self.forgiven)
    }

    /// Takes over totals, each as the larger of the two.
    fn merge(&mut self, totals: &Totals, when: When) {
        self.uploaded = self.uploaded.max(totals.uploaded);
        self.downloaded = self.downloaded.max(totals.downloaded);
        self.returned = self.returned.max(totals.returned);
        // What was spent is charged, whatever a holder says it was granted.
        self.granted = self
            .granted
            .max(totals.granted)
            .max(self.returned + self.uploaded + self.downloaded);
        self.reported_at = self.reported_at.max(when.at());
        if when.journal.is_none() {
            self.sessions = totals.sessions;
        }
    }
}

fn lease(
    connection: &mut Connection,
    holder: &Holder,
    totals: Totals,
    want: u64,
    now: u64,
) -> Result<Option<Standing>, StoreError> {
    // A grant that is forgotten would be granted again.
    durable(connection, |transaction| {
        let superseded = transaction
            .prepare_cached(
                "SELECT 1 FROM pops WHERE id = ?1 AND incarnation > ?2 AND retiring IS NOT ?2",
            )?
            .exists(params![holder.pop, integer(holder.incarnation)])?;
        if superseded {
            return Err(StoreError::Superseded);
        }
        let when = When { now, journal: None };
        settle(transaction, holder, totals.bounded(), want, when)
    })
}

fn report(
    connection: &mut Connection,
    holder: &Holder,
    totals: Vec<Totals>,
    when: When,
) -> Result<Vec<Option<Standing>>, StoreError> {
    quick(connection, |transaction| {
        totals
            .into_iter()
            .map(|totals| settle(transaction, holder, totals.bounded(), 0, when))
            .collect()
    })
}

/// Takes over totals and grants more, up to `want` and the limit.
fn settle(
    transaction: &Transaction<'_>,
    holder: &Holder,
    totals: Totals,
    want: u64,
    when: When,
) -> Result<Option<Standing>, StoreError> {
    let Some(mut purse) = purse(transaction, &totals)? else {
        return Ok(None);
    };
    let mut standing = elsewhere(transaction, &purse, holder, when.now)?;
    let key = params![purse.id, holder.pop, integer(holder.incarnation)];
    let folded = transaction
        .prepare_cached(
            "SELECT 1 FROM usage_folded WHERE user_id = ?1 AND pop = ?2 AND incarnation >= ?3",
        )?
        .exists(key)?;
    if folded {
        standing.granted = totals.granted;
        return Ok(Some(standing));
    }

    let known = transaction
        .prepare_cached(
            "SELECT granted, returned, forgiven, uploaded, downloaded, sessions, reported_at
             FROM usage WHERE user_id = ?1 AND pop = ?2 AND incarnation = ?3",
        )?
        .query_row(key, |row| read(row, 0))
        .optional()?;
    let before = known.unwrap_or_default();
    let mut part = before;
    part.merge(&totals, when);
    purse.charged += part.charge().saturating_sub(before.charge());
    purse.charged = purse
        .charged
        .saturating_sub(before.charge().saturating_sub(part.charge()));
    let room = purse
        .limit
        .unwrap_or(COUNT_MAX)
        .saturating_sub(purse.charged);
    let more = want
        .min(COUNT_MAX / 2)
        .saturating_sub(part.granted)
        .min(room);
    part.granted += more;
    purse.charged += more;

    keep(transaction, &purse, holder, &part)?;
    let uploaded = part.uploaded - before.uploaded;
    let downloaded = part.downloaded - before.downloaded;
    count(transaction, &purse, uploaded, downloaded)?;
    traffic::add(transaction, purse.id, when.at(), uploaded, downloaded)?;
    if known.is_none() {
        fold(transaction, purse.id, &holder.pop)?;
    }
    let is_here = when.journal.is_none() && part.sessions > 0;
    let wants = is_here.then_some(totals.wants);
    standing.share = shares::divide(transaction, purse.id, purse.rates, holder, wants, when.now)?;
    (standing.granted, standing.charged) = (part.granted, purse.charged);
    Ok(Some(standing))
}

/// Reads what decides about grants of the user that totals are of; none if it is gone.
fn purse(transaction: &Transaction<'_>, totals: &Totals) -> rusqlite::Result<Option<Purse>> {
    transaction
        .prepare_cached(
            "SELECT id, traffic_limit, charged, coalesce(upload_rate, 0), coalesce(download_rate, 0)
             FROM users WHERE name = ?1 AND id = ?2",
        )?
        .query_row(params![totals.user, integer(totals.user_id)], |row| {
            Ok(Purse {
                id: row.get(0)?,
                limit: row.get::<_, Option<i64>>(1)?.map(unsigned),
                charged: unsigned(row.get(2)?),
                rates: Rates {
                    up: unsigned(row.get(3)?),
                    down: unsigned(row.get(4)?),
                },
            })
        })
        .optional()
}

/// Returns how a user stands before a holder has told anything, with what other POPs that live have.
fn elsewhere(
    transaction: &Transaction<'_>,
    purse: &Purse,
    holder: &Holder,
    at: u64,
) -> rusqlite::Result<Standing> {
    let (sessions_elsewhere, held_elsewhere) = transaction
        .prepare_cached(
            "SELECT coalesce(sum(u.sessions), 0),
                 coalesce(sum(max(u.granted - u.returned - u.uploaded - u.downloaded, 0)), 0)
             FROM usage u JOIN pops p ON p.id = u.pop AND CASE u.incarnation
                 WHEN p.incarnation THEN p.lease_until WHEN p.retiring THEN p.retiring_until END > ?4
             WHERE u.user_id = ?1 AND NOT (u.pop = ?2 AND u.incarnation = ?3)",
        )?
        .query_row(
            params![
                purse.id,
                holder.pop,
                integer(holder.incarnation),
                integer(at)
            ],
            |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))),
        )?;
    Ok(Standing {
        granted: 0,
        charged: purse.charged,
        limit: purse.limit,
        sessions_elsewhere,
        held_elsewhere,
        share: purse.rates,
    })
}

/// Writes a holder's part of a user's account.
fn keep(
    transaction: &Transaction<'_>,
    purse: &Purse,
    holder: &Holder,
    part: &Part,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT DO UPDATE SET granted = excluded.granted, returned = excluded.returned,
                 forgiven = excluded.forgiven, uploaded = excluded.uploaded,
                 downloaded = excluded.downloaded, sessions = excluded.sessions,
                 reported_at = excluded.reported_at",
        )?
        .execute(params![
            purse.id,
            holder.pop,
            integer(holder.incarnation),
            integer(part.granted),
            integer(part.returned),
            integer(part.forgiven),
            integer(part.uploaded),
            integer(part.downloaded),
            part.sessions,
            integer(part.reported_at),
        ])?;
    Ok(())
}

/// Writes what is charged to a user, and counts what has moved since it was last told.
fn count(
    transaction: &Transaction<'_>,
    purse: &Purse,
    uploaded: u64,
    downloaded: u64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE users SET charged = ?2, uploaded = uploaded + ?3, downloaded = downloaded + ?4
             WHERE id = ?1",
        )?
        .execute(params![
            purse.id,
            integer(purse.charged),
            integer(uploaded),
            integer(downloaded)
        ])?;
    Ok(())
}

/// Forgets which part old processes of a POP have in an account and in its rate; the sums stay.
fn fold(transaction: &Transaction<'_>, user_id: i64, pop: &str) -> Result<(), StoreError> {
    let newest_folded: Option<i64> = transaction
        .prepare_cached(
            "SELECT incarnation FROM usage WHERE user_id = ?1 AND pop = ?2
             ORDER BY incarnation DESC LIMIT 1 OFFSET ?3",
        )?
        .query_row(params![user_id, pop, INCARNATIONS_KEPT], |row| row.get(0))
        .optional()?;
    let Some(incarnation) = newest_folded else {
        return Ok(());
    };
    transaction
        .prepare_cached("DELETE FROM usage WHERE user_id = ?1 AND pop = ?2 AND incarnation <= ?3")?
        .execute(params![user_id, pop, incarnation])?;
    transaction
        .prepare_cached("DELETE FROM shares WHERE user_id = ?1 AND pop = ?2 AND incarnation <= ?3")?
        .execute(params![user_id, pop, incarnation])?;
    transaction
        .prepare_cached(
            "INSERT INTO usage_folded VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE
             SET incarnation = max(incarnation, excluded.incarnation)",
        )?
        .execute(params![user_id, pop, incarnation])?;
    Ok(())
}

pub(super) fn adjust(
    connection: &mut Connection,
    name: &str,
    adjustment: &Adjustment,
) -> Result<Option<User>, StoreError> {
    durable(connection, |transaction| {
        let Some(user) = users::get(transaction, name)? else {
            return Ok(None);
        };
        let id = integer(user.id);
        let new = transaction
            .prepare_cached(
                "INSERT INTO adjustments (user_id, id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            )?
            .execute(params![id, adjustment.id])?;
        if new == 0 {
            return Ok(Some(user));
        }
        transaction
            .prepare_cached(
                "DELETE FROM adjustments WHERE user_id = ?1 AND serial <= (
                     SELECT serial FROM adjustments WHERE user_id = ?1
                     ORDER BY serial DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![id, ADJUSTMENTS_KEPT])?;
        match adjustment.kind {
            AdjustmentKind::Add(bytes) => {
                let limit = user
                    .settings
                    .traffic_limit
                    .map(|limit| limit.saturating_add_signed(bytes).min(COUNT_MAX));
                transaction
                    .prepare_cached("UPDATE users SET traffic_limit = ?2 WHERE id = ?1")?
                    .execute(params![id, limit.map(integer)])?;
            }
            AdjustmentKind::Reset => reset(transaction, id)?,
        }
        users::tell(transaction, name)?;
        users::get(transaction, name)
    })
}

fn reset(transaction: &Transaction<'_>, user_id: i64) -> Result<(), StoreError> {
    // A process that may live keeps its unspent rest, so that stays charged.
    transaction
        .prepare_cached(
            "UPDATE usage SET forgiven = max(forgiven, CASE WHEN EXISTS (
                 SELECT 1 FROM pops WHERE pops.id = usage.pop
                     AND usage.incarnation IN (pops.incarnation, pops.retiring))
                 THEN uploaded + downloaded ELSE granted - returned END) WHERE user_id = ?1",
        )?
        .execute([user_id])?;
    transaction
        .prepare_cached(
            "UPDATE users SET uploaded = 0, downloaded = 0, charged = (
                 SELECT coalesce(sum(max(granted - returned - forgiven, 0)), 0)
                 FROM usage WHERE user_id = ?1) WHERE id = ?1",
        )?
        .execute([user_id])?;
    Ok(())
}

fn usage(connection: &Connection, name: &str) -> Result<Option<Vec<HolderUsage>>, StoreError> {
    let Some(user) = users::get(connection, name)? else {
        return Ok(None);
    };
    let parts = connection
        .prepare_cached(
            "SELECT pop, incarnation, granted, returned, forgiven, uploaded, downloaded, sessions,
                 reported_at FROM usage WHERE user_id = ?1 ORDER BY pop, incarnation",
        )?
        .query_map([integer(user.id)], |row| {
            let part = read(row, 2)?;
            Ok(HolderUsage {
                holder: Holder {
                    pop: row.get(0)?,
                    incarnation: unsigned(row.get(1)?),
                },
                granted: part.granted,
                returned: part.returned,
                uploaded: part.uploaded,
                downloaded: part.downloaded,
                sessions: part.sessions,
                reported_at: part.reported_at,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(parts))
}

fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Part> {
    let number = |column| Ok::<_, rusqlite::Error>(unsigned(row.get(first + column)?));
    Ok(Part {
        granted: number(0)?,
        returned: number(1)?,
        forgiven: number(2)?,
        uploaded: number(3)?,
        downloaded: number(4)?,
        sessions: row.get(first + 5)?,
        reported_at: number(6)?,
    })
}
