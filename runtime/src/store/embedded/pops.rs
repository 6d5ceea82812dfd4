//! POPs in SQLite.

use super::{Embedded, integer, traffic, unsigned};
use crate::store::{
    META_MAX, NODE_FORGOTTEN_AFTER, POP_FORGOTTEN_AFTER, PopEntry, PopStatus, Pops, StoreError,
};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

impl Pops for Embedded {
    async fn pop_alive(&self, pop: PopEntry, lease: u64) -> Result<(), StoreError> {
        self.call_now(move |connection, now| alive(connection, &pop, now, lease))
            .await
    }

    async fn pop_gone(&self, id: &str, incarnation: u64) -> Result<(), StoreError> {
        let id = id.to_owned();
        self.call(move |connection| gone(connection, &id, incarnation))
            .await
    }

    async fn drain_pop(&self, id: &str, incarnation: u64) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.call(move |connection| drain(connection, &id, incarnation))
            .await
    }

    async fn is_pop_draining(&self, id: &str, incarnation: u64) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.call(move |connection| is_draining(connection, &id, incarnation))
            .await
    }

    async fn pops(&self) -> Result<Vec<PopStatus>, StoreError> {
        self.call_now(|connection, now| list(connection, now)).await
    }

    async fn incarnation(&self, id: &str) -> Result<Option<u64>, StoreError> {
        let id = id.to_owned();
        self.call(move |connection| incarnation(connection, &id))
            .await
    }
}

fn alive(
    connection: &mut Connection,
    pop: &PopEntry,
    now: u64,
    lease: u64,
) -> Result<(), StoreError> {
    if pop.info.len() > META_MAX {
        return Err(StoreError::TooLarge);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let lease_until = now.saturating_add(lease);
    let known = registered(&transaction, &pop.id)?;
    if known.as_ref().is_some_and(|known| known.retires(pop)) {
        transaction
            .prepare_cached("UPDATE pops SET retiring_until = ?2 WHERE id = ?1")?
            .execute(params![pop.id, integer(lease_until)])?;
        return Ok(transaction.commit()?);
    }
    if known.as_ref().is_some_and(|known| known.supersedes(pop)) {
        return Err(StoreError::Superseded);
    }
    let retiring = known.and_then(|known| known.retiring_beside(pop, now));
    let (retiring, retiring_until) = retiring.unzip();
    transaction
        .prepare_cached(
            "INSERT INTO pops (id, incarnation, nonce, url, info, lease_until, retiring, retiring_until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET draining = draining AND incarnation = excluded.incarnation,
                 node_count = node_count * (incarnation = excluded.incarnation),
                 incarnation = excluded.incarnation, nonce = excluded.nonce, url = excluded.url,
                 info = excluded.info, lease_until = excluded.lease_until,
                 retiring = excluded.retiring, retiring_until = excluded.retiring_until",
        )?
        .execute(params![
            pop.id,
            integer(pop.incarnation),
            nonce(pop),
            pop.url,
            pop.info,
            integer(lease_until),
            retiring.map(integer),
            integer(retiring_until.unwrap_or(0)),
        ])?;
    transaction
        .prepare_cached("DELETE FROM nodes WHERE pop = ?1 AND generation < ?2")?
        .execute(params![
            pop.id,
            integer(retiring.unwrap_or(pop.incarnation))
        ])?;
    transaction
        .prepare_cached("DELETE FROM pops WHERE lease_until < ?1")?
        .execute([integer(now.saturating_sub(POP_FORGOTTEN_AFTER))])?;
    transaction
        .prepare_cached(
            "DELETE FROM homes WHERE seen_at < ?1
             AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = homes.node)",
        )?
        .execute([integer(now.saturating_sub(NODE_FORGOTTEN_AFTER))])?;
    traffic::expire(&transaction, now)?;
    Ok(transaction.commit()?)
}

/// Which process is registered as a POP, and which one is retiring beside it.
struct Registered {
    incarnation: u64,
    nonce: String,
    draining: bool,
    lease_until: u64,
    /// Its incarnation, and until when its lease holds.
    retiring: Option<(u64, u64)>,
}

impl Registered {
    fn retires(&self, pop: &PopEntry) -> bool {
        self.incarnation > pop.incarnation
            && self
                .retiring
                .is_some_and(|(incarnation, _)| incarnation == pop.incarnation)
    }

    fn supersedes(&self, pop: &PopEntry) -> bool {
        self.incarnation > pop.incarnation
            || self.incarnation == pop.incarnation && self.nonce != nonce(pop)
    }

    /// Returns which process is retiring once `pop` is registered.
    fn retiring_beside(&self, pop: &PopEntry, now: u64) -> Option<(u64, u64)> {
        let retiring = if self.incarnation == pop.incarnation {
            self.retiring
        } else {
            self.draining
                .then_some((self.incarnation, self.lease_until))
        };
        retiring.filter(|(_, until)| *until > now)
    }
}

fn nonce(pop: &PopEntry) -> String {
    format!("{:016x}", pop.nonce)
}

fn registered(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<Option<Registered>> {
    transaction
        .prepare_cached(
            "SELECT incarnation, nonce, draining, lease_until, retiring, retiring_until
             FROM pops WHERE id = ?1",
        )?
        .query_row([id], |row| {
            let retiring: Option<i64> = row.get(4)?;
            let until = unsigned(row.get(5)?);
            Ok(Registered {
                incarnation: unsigned(row.get(0)?),
                nonce: row.get(1)?,
                draining: row.get(2)?,
                lease_until: unsigned(row.get(3)?),
                retiring: retiring.map(|incarnation| (unsigned(incarnation), until)),
            })
        })
        .optional()
}

fn gone(connection: &mut Connection, id: &str, incarnation: u64) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let retired = transaction
        .prepare_cached(
            "UPDATE pops SET retiring = NULL, retiring_until = 0 WHERE id = ?1 AND retiring = ?2",
        )?
        .execute(params![id, integer(incarnation)])?;
    if retired > 0 {
        transaction
            .prepare_cached(
                "DELETE FROM nodes WHERE pop = ?1
                 AND generation < (SELECT incarnation FROM pops WHERE id = ?1)",
            )?
            .execute([id])?;
    }
    let mine = transaction
        .prepare_cached("SELECT 1 FROM pops WHERE id = ?1 AND incarnation <= ?2")?
        .exists(params![id, integer(incarnation)])?;
    if mine {
        transaction
            .prepare_cached("DELETE FROM pops WHERE id = ?1")?
            .execute([id])?;
    }
    Ok(transaction.commit()?)
}

fn drain(connection: &Connection, id: &str, incarnation: u64) -> Result<bool, StoreError> {
    let marked = connection
        .prepare_cached("UPDATE pops SET draining = 1 WHERE id = ?1 AND incarnation = ?2")?
        .execute(params![id, integer(incarnation)])?;
    Ok(marked > 0 || is_draining(connection, id, incarnation)?)
}

fn is_draining(connection: &Connection, id: &str, incarnation: u64) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT 1 FROM pops WHERE id = ?1 AND (incarnation = ?2 AND draining OR retiring = ?2)",
        )?
        .exists(params![id, integer(incarnation)])?)
}

fn incarnation(connection: &Connection, id: &str) -> Result<Option<u64>, StoreError> {
    let found = connection
        .prepare_cached("SELECT incarnation FROM pops WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(found.map(unsigned))
}

pub(super) fn list(connection: &Connection, now: u64) -> Result<Vec<PopStatus>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT id, incarnation, url, info, node_count, lease_until, draining, nonce FROM pops
             WHERE lease_until > ?1 ORDER BY id",
        )?
        .query_map([integer(now)], |row| {
            Ok(PopStatus {
                pop: PopEntry {
                    id: row.get(0)?,
                    incarnation: unsigned(row.get(1)?),
                    nonce: u64::from_str_radix(&row.get::<_, String>(7)?, 16).unwrap_or(0),
                    url: row.get(2)?,
                    info: row.get(3)?,
                },
                node_count: unsigned(row.get(4)?),
                lease_until: unsigned(row.get(5)?),
                draining: row.get(6)?,
            })
        })?
        .collect::<Result<_, _>>()?)
}
