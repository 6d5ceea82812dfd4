//! POPs and nodes in SQLite.

use super::users::{integer, malformed, unsigned};
use super::{Listing, NodeEntry, PAGE_MAX, POP_FORGOTTEN_AFTER, Page, PopEntry, PopStatus};
use super::{META_MAX, StoreError};
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

pub(super) fn pop_alive(
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
    Ok(transaction.commit()?)
}

pub(super) fn pop_gone(
    connection: &mut Connection,
    id: &str,
    incarnation: u64,
) -> Result<(), StoreError> {
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

pub(super) fn drain_pop(
    connection: &Connection,
    id: &str,
    incarnation: u64,
) -> Result<bool, StoreError> {
    let marked = connection
        .prepare_cached("UPDATE pops SET draining = 1 WHERE id = ?1 AND incarnation = ?2")?
        .execute(params![id, integer(incarnation)])?;
    Ok(marked > 0)
}

pub(super) fn is_pop_draining(
    connection: &Connection,
    id: &str,
    incarnation: u64,
) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM pops WHERE id = ?1 AND incarnation = ?2 AND draining")?
        .exists(params![id, integer(incarnation)])?)
}

pub(super) fn pops(connection: &Connection, now: u64) -> Result<Vec<PopStatus>, StoreError> {
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

pub(super) fn online(connection: &mut Connection, node: &NodeEntry) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let incarnation: Option<i64> = transaction
        .prepare_cached("SELECT incarnation FROM pops WHERE id = ?1")?
        .query_row([&node.pop], |row| row.get(0))
        .optional()?;
    if incarnation.is_none_or(|incarnation| node.generation < unsigned(incarnation)) {
        return Err(StoreError::Superseded);
    }
    transaction
        .prepare_cached(
            "INSERT INTO nodes (id, pop, generation, ip, os, version, online_since, rtt_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET generation = excluded.generation, ip = excluded.ip,
                 os = excluded.os, version = excluded.version,
                 online_since = excluded.online_since, rtt_ms = excluded.rtt_ms
             WHERE excluded.generation >= generation",
        )?
        .execute(params![
            node.id,
            node.pop,
            integer(node.generation),
            node.ip.to_string(),
            node.os,
            node.version,
            integer(node.online_since),
            node.rtt_ms,
        ])?;
    Ok(transaction.commit()?)
}

pub(super) fn offline(
    connection: &Connection,
    id: &str,
    pop: &str,
    generation: u64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM nodes WHERE id = ?1 AND pop = ?2 AND generation <= ?3")?
        .execute(params![id, pop, integer(generation)])?;
    Ok(())
}

pub(super) fn list(
    connection: &Connection,
    page: &Page,
    now: u64,
) -> Result<Listing<NodeEntry>, StoreError> {
    let limit = page.limit.clamp(1, PAGE_MAX);
    // Of several live POPs that have the node, the one it came to last is listed.
    let nodes = connection
        .prepare_cached(
            "SELECT n.id, n.pop, n.generation, n.ip, n.os, n.version, n.online_since, n.rtt_ms
             FROM nodes n JOIN pops p ON p.id = n.pop AND p.lease_until > ?3
             WHERE (?1 IS NULL OR n.id > ?1) AND NOT EXISTS (
                 SELECT 1 FROM nodes m JOIN pops q ON q.id = m.pop AND q.lease_until > ?3
                 WHERE m.id = n.id AND (m.online_since, m.pop) > (n.online_since, n.pop))
             ORDER BY n.id LIMIT ?2",
        )?
        .query_map(params![page.after, limit + 1, integer(now)], read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Listing::cut(nodes, limit, |node| &node.id))
}

fn read(row: &Row<'_>) -> rusqlite::Result<NodeEntry> {
    Ok(NodeEntry {
        id: row.get(0)?,
        pop: row.get(1)?,
        generation: unsigned(row.get(2)?),
        ip: row
            .get::<_, String>(3)?
            .parse()
            .map_err(|error| malformed(3, error))?,
        os: row.get(4)?,
        version: row.get(5)?,
        online_since: unsigned(row.get(6)?),
        rtt_ms: row.get(7)?,
    })
}
