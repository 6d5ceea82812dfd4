//! POPs and nodes in SQLite.

use super::{durable, integer, malformed, quick, traffic, unsigned};
use crate::store::{
    KnownNode, Listing, META_MAX, NODE_FORGOTTEN_AFTER, NodeEntry, NodeRtt, POP_FORGOTTEN_AFTER,
    Page, PopEntry, PopStatus, StoreError,
};
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use std::net::IpAddr;

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
    transaction
        .prepare_cached(
            "DELETE FROM homes WHERE seen_at < ?1
             AND NOT EXISTS (SELECT 1 FROM nodes WHERE nodes.id = homes.node)",
        )?
        .execute([integer(now.saturating_sub(NODE_FORGOTTEN_AFTER))])?;
    traffic::expire(&transaction, now)?;
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
    let known: Option<i64> = transaction
        .prepare_cached("SELECT generation FROM nodes WHERE id = ?1 AND pop = ?2")?
        .query_row([&node.id, &node.pop], |row| row.get(0))
        .optional()?;
    if known.is_none_or(|known| node.generation > unsigned(known)) {
        // It attached just now; what is only told again leaves its home alone.
        transaction
            .prepare_cached(
                "INSERT INTO homes VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
                     pop = excluded.pop, ip = excluded.ip, seen_at = excluded.seen_at",
            )?
            .execute(params![
                node.id,
                node.pop,
                node.ip.to_string(),
                integer(node.online_since)
            ])?;
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

pub(super) fn measured(
    connection: &mut Connection,
    pop: &str,
    rtts: &[NodeRtt],
) -> Result<(), StoreError> {
    quick(connection, |transaction| {
        let mut update = transaction.prepare_cached(
            "UPDATE nodes SET rtt_ms = ?4 WHERE id = ?1 AND pop = ?2 AND generation = ?3",
        )?;
        for rtt in rtts {
            update.execute(params![rtt.id, pop, integer(rtt.generation), rtt.rtt_ms])?;
        }
        Ok(())
    })
}

/// Of several live POPs that have a node, the one it came to last is listed.
const LISTED: &str =
    "SELECT n.id, n.pop, n.generation, n.ip, n.os, n.version, n.online_since, n.rtt_ms
     FROM nodes n JOIN pops p ON p.id = n.pop AND p.lease_until > ?1
     WHERE NOT EXISTS (
         SELECT 1 FROM nodes m JOIN pops q ON q.id = m.pop AND q.lease_until > ?1
         WHERE m.id = n.id AND (m.online_since, m.pop) > (n.online_since, n.pop))";

pub(super) fn list(
    connection: &Connection,
    page: &Page,
    now: u64,
) -> Result<Listing<NodeEntry>, StoreError> {
    let limit = page.len_max();
    let nodes = connection
        .prepare_cached(&format!(
            "{LISTED} AND n.id > coalesce(?2, '') ORDER BY n.id LIMIT ?3"
        ))?
        .query_map(params![integer(now), page.after, limit + 1], read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Listing::cut(nodes, limit, |node| &node.id))
}

pub(super) fn list_of_pop(
    connection: &Connection,
    pop: &str,
    page: &Page,
    now: u64,
) -> Result<Listing<NodeEntry>, StoreError> {
    let limit = page.len_max();
    let nodes = connection
        .prepare_cached(
            "SELECT n.id, n.pop, n.generation, n.ip, n.os, n.version, n.online_since, n.rtt_ms
             FROM nodes n JOIN pops p ON p.id = n.pop AND p.lease_until > ?1
             WHERE n.pop = ?2 AND n.id > coalesce(?3, '') ORDER BY n.id LIMIT ?4",
        )?
        .query_map(params![integer(now), pop, page.after, limit + 1], read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Listing::cut(nodes, limit, |node| &node.id))
}

pub(super) fn known(
    connection: &Connection,
    id: &str,
    now: u64,
) -> Result<Option<KnownNode>, StoreError> {
    let online = connection
        .prepare_cached(&format!("{LISTED} AND n.id = ?2"))?
        .query_row(params![integer(now), id], read)
        .optional()?;
    let home = connection
        .prepare_cached("SELECT pop, ip, seen_at FROM homes WHERE node = ?1")?
        .query_row([id], |row| {
            Ok((
                row.get(0)?,
                row.get::<_, Option<String>>(1)?,
                unsigned(row.get(2)?),
            ))
        })
        .optional()?;
    let Some((home, ip, seen_at)) = home else {
        return Ok(None);
    };
    let forgotten = seen_at < now.saturating_sub(NODE_FORGOTTEN_AFTER);
    if forgotten && online.is_none() {
        return Ok(None);
    }
    Ok(Some(KnownNode {
        id: id.to_owned(),
        home,
        ip: ip.map(|ip| address(1, &ip)).transpose()?,
        seen_at,
        online,
    }))
}

pub(super) fn assign(
    connection: &mut Connection,
    ids: &[String],
    pop: &str,
    now: u64,
) -> Result<(), StoreError> {
    durable(connection, |transaction| {
        let mut assign = transaction.prepare_cached(
            "INSERT INTO homes VALUES (?1, ?2, NULL, ?3)
             ON CONFLICT DO UPDATE SET pop = excluded.pop, seen_at = excluded.seen_at",
        )?;
        for id in ids {
            assign.execute(params![id, pop, integer(now)])?;
        }
        Ok(())
    })
}

fn address(column: usize, text: &str) -> rusqlite::Result<IpAddr> {
    text.parse().map_err(|error| malformed(column, error))
}

fn read(row: &Row<'_>) -> rusqlite::Result<NodeEntry> {
    Ok(NodeEntry {
        id: row.get(0)?,
        pop: row.get(1)?,
        generation: unsigned(row.get(2)?),
        ip: address(3, &row.get::<_, String>(3)?)?,
        os: row.get(4)?,
        version: row.get(5)?,
        online_since: unsigned(row.get(6)?),
        rtt_ms: row.get(7)?,
    })
}
