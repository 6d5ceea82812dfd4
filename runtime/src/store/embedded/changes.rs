//! The stream of changes in SQLite.

use super::{Embedded, integer, quick, unsigned};
use crate::store::changes::{decode_change, encode_change, encode_order};
use crate::store::{
    CHANGES_KEPT, CHANGES_MAX, Change, ChangeLog, Changes, Cursor, Order, StoreError,
};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

impl ChangeLog for Embedded {
    async fn order(&self, pop: &str, at: u64, order: Order) -> Result<(), StoreError> {
        let body = encode_order(pop, at, order)?;
        self.call(move |connection| append_order(connection, &body))
            .await
    }

    async fn changes(&self, after: Option<Cursor>, limit: u32) -> Result<Changes, StoreError> {
        self.call(move |connection| read(connection, after, limit))
            .await
    }
}

pub(super) fn append(transaction: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    append_text(transaction, &encode_change(change))
}

fn append_order(connection: &mut Connection, body: &str) -> Result<(), StoreError> {
    quick(connection, |transaction| append_text(transaction, body))
}

fn append_text(transaction: &Transaction<'_>, body: &str) -> Result<(), StoreError> {
    transaction
        .prepare_cached("INSERT INTO changes (body) VALUES (?1)")?
        .execute([body])?;
    let oldest = transaction.last_insert_rowid() - integer(CHANGES_KEPT);
    transaction
        .prepare_cached("DELETE FROM changes WHERE id <= ?1")?
        .execute([oldest])?;
    Ok(())
}

fn read(connection: &Connection, after: Option<Cursor>, limit: u32) -> Result<Changes, StoreError> {
    let run: String = connection
        .prepare_cached("SELECT run FROM identity")?
        .query_row([], |row| row.get(0))?;
    let last = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'changes'")?
        .query_row([], |row| row.get(0))
        .optional()?
        .map_or(0, unsigned);
    let oldest_missing = last.saturating_sub(CHANGES_KEPT);
    let start = after
        .filter(|after| after.run == run && (oldest_missing..=last).contains(&after.id))
        .map(|after| after.id);
    let Some(start) = start else {
        return Ok(Changes {
            items: Vec::new(),
            cursor: Cursor { run, id: last },
            reload: true,
        });
    };
    let rows = connection
        .prepare_cached("SELECT id, body FROM changes WHERE id > ?1 ORDER BY id LIMIT ?2")?
        .query_map(
            params![integer(start), limit.clamp(1, CHANGES_MAX)],
            |row| Ok((unsigned(row.get(0)?), row.get::<_, String>(1)?)),
        )?
        .collect::<Result<Vec<_>, _>>()?;
    let id = rows.last().map_or(start, |(id, _)| *id);
    Ok(Changes {
        items: rows.iter().map(|(_, body)| decode_change(body)).collect(),
        cursor: Cursor { run, id },
        reload: false,
    })
}
