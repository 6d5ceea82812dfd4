//! POPs in SQLite.

use super::{Embedded, integer, traffic, unsigned};
use crate::store::{
    META_MAX, NODE_FORGOTTEN_AFTER, POP_FORGOTTEN_AFTER, PopEntry, PopStatus, Pops, StoreError,
};
use rusqlite::{Connection, TransactionBehavior, params};

impl Pops for Embedded {
    async fn pop_alive(&self, pop: PopEntry, now: u64, lease_until: u64) -> Result<(), StoreError> {
        self.call(move |connection| alive(connection, &pop, now, lease_until))
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

    async fn pops(&self, now: u64) -> Result<Vec<PopStatus>, StoreError> {
        self.call(move |connection| list(connection, now)).await
    }
}

fn alive(
    connection: &mut Connection,
    pop: &PopEntry,
    now: u64,
    lease_until: u64,
) -> Result<(), StoreError> {
    if pop.info.len() > META_MAX {
        return Err(StoreError::TooLarge);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let written = transaction
        .prepare_cached(
            "INSERT INTO pops (id, incarnation, url, info, lease_until) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET draining = draining AND incarnation = excluded.incarnation,
                 incarnation = excluded.incarnation, url = excluded.url,
                 info = excluded.info, lease_until = excluded.lease_until
             WHERE excluded.incarnation >= incarnation",
        )?
        .execute(params![
            pop.id,
            integer(pop.incarnation),
            pop.url,
            pop.info,
            integer(lease_until)
        ])?;
    if written == 0 {
        return Err(StoreError::Superseded);
    }
    transaction
        .prepare_cached("DELETE FROM nodes WHERE pop = ?1 AND generation < ?2")?
        .execute(params![pop.id, integer(pop.incarnation)])?;
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

fn gone(connection: &mut Connection, id: &str, incarnation: u64) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
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
    Ok(marked > 0)
}

fn is_draining(connection: &Connection, id: &str, incarnation: u64) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM pops WHERE id = ?1 AND incarnation = ?2 AND draining")?
        .exists(params![id, integer(incarnation)])?)
}

pub(super) fn list(connection: &Connection, now: u64) -> Result<Vec<PopStatus>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT id, incarnation, url, info, node_count, lease_until, draining FROM pops
             WHERE lease_until > ?1 ORDER BY id",
        )?
        .query_map([integer(now)], |row| {
            Ok(PopStatus {
                pop: PopEntry {
                    id: row.get(0)?,
                    incarnation: unsigned(row.get(1)?),
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
