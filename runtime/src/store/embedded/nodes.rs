//! POPs and nodes in SQLite.

use super::{Embedded, durable, integer, malformed, quick, unsigned};
use crate::store::{
    BATCH_MAX, KnownNode, Listing, NODE_FORGOTTEN_AFTER, NodeEntry, NodeRtt, Nodes, Page,
    StoreError, check_batch,
};
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};
use std::net::IpAddr;

impl Nodes for Embedded {
    async fn node_online(&self, node: NodeEntry) -> Result<(), StoreError> {
        self.call(move |connection| online(connection, &node)).await
    }

    async fn node_offline(&self, id: &str, pop: &str, generation: u64) -> Result<(), StoreError> {
        let (id, pop) = (id.to_owned(), pop.to_owned());
        self.call(move |connection| offline(connection, &id, &pop, generation))
            .await
    }

    async fn nodes_measured(&self, pop: &str, rtts: Vec<NodeRtt>) -> Result<(), StoreError> {
        check_batch(&rtts, BATCH_MAX)?;
        let pop = pop.to_owned();
        self.call(move |connection| measured(connection, &pop, &rtts))
            .await
    }

    async fn nodes(&self, page: Page) -> Result<Listing<NodeEntry>, StoreError> {
        self.call_now(move |connection, now| list(connection, &page, now))
            .await
    }

    async fn pop_nodes(&self, pop: &str, page: Page) -> Result<Listing<NodeEntry>, StoreError> {
        let pop = pop.to_owned();
        self.call_now(move |connection, now| list_of_pop(connection, &pop, &page, now))
            .await
    }

    async fn node(&self, id: &str) -> Result<Option<KnownNode>, StoreError> {
        let id = id.to_owned();
        self.call_now(move |connection, now| known(connection, &id, now))
            .await
    }

    async fn assign_nodes(&self, ids: Vec<String>, pop: &str) -> Result<(), StoreError> {
        check_batch(&ids, BATCH_MAX)?;
        let pop = pop.to_owned();
        self.call_now(move |connection, now| assign(connection, &ids, &pop, now))
            .await
    }
}

fn online(connection: &mut Connection, node: &NodeEntry) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let oldest: Option<i64> = transaction
        .prepare_cached("SELECT coalesce(retiring, incarnation) FROM pops WHERE id = ?1")?
        .query_row([&node.pop], |row| row.get(0))
        .optional()?;
    if oldest.is_none_or(|oldest| node.generation < unsigned(oldest)) {
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
            "INSERT INTO nodes (id, pop, generation, ip, os, version, online_since, rtt_ms, contested_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET generation = excluded.generation, ip = excluded.ip,
                 os = excluded.os, version = excluded.version,
                 online_since = excluded.online_since, rtt_ms = excluded.rtt_ms,
                 contested_at = excluded.contested_at
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
            node.contested_at.map(integer),
        ])?;
    Ok(transaction.commit()?)
}

fn offline(
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

fn measured(connection: &mut Connection, pop: &str, rtts: &[NodeRtt]) -> Result<(), StoreError> {
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
    "SELECT n.id, n.pop, n.generation, n.ip, n.os, n.version, n.online_since, n.rtt_ms, n.contested_at
     FROM nodes n JOIN pops p ON p.id = n.pop AND p.lease_until > ?1
     WHERE NOT EXISTS (
         SELECT 1 FROM nodes m JOIN pops q ON q.id = m.pop AND q.lease_until > ?1
         WHERE m.id = n.id AND (m.online_since, m.pop) > (n.online_since, n.pop))";

fn list(connection: &Connection, page: &Page, now: u64) -> Result<Listing<NodeEntry>, StoreError> {
    let limit = page.len_max();
    let nodes = connection
        .prepare_cached(&format!(
            "{LISTED} AND n.id > coalesce(?2, '') ORDER BY n.id LIMIT ?3"
        ))?
        .query_map(params![integer(now), page.after, limit + 1], read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Listing::cut(nodes, limit, |node| &node.id))
}

fn list_of_pop(
    connection: &Connection,
    pop: &str,
    page: &Page,
    now: u64,
) -> Result<Listing<NodeEntry>, StoreError> {
    let limit = page.len_max();
    let nodes = connection
        .prepare_cached(
            "SELECT n.id, n.pop, n.generation, n.ip, n.os, n.version, n.online_since, n.rtt_ms,
                 n.contested_at
             FROM nodes n JOIN pops p ON p.id = n.pop AND p.lease_until > ?1
             WHERE n.pop = ?2 AND n.id > coalesce(?3, '') ORDER BY n.id LIMIT ?4",
        )?
        .query_map(params![integer(now), pop, page.after, limit + 1], read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Listing::cut(nodes, limit, |node| &node.id))
}

fn known(connection: &Connection, id: &str, now: u64) -> Result<Option<KnownNode>, StoreError> {
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

fn assign(
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
        contested_at: row.get::<_, Option<i64>>(8)?.map(unsigned),
    })
}
