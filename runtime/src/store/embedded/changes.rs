//! The stream of changes in SQLite.

use super::{integer, quick, unsigned};
use crate::store::{
    CHANGES_KEPT, CHANGES_MAX, Change, Changes, Cursor, StoreError, decode_change, encode_change,
};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

pub(super) fn append(transaction: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    append_text(transaction, &encode_change(change))
}

pub(super) fn order(connection: &mut Connection, body: &str) -> Result<(), StoreError> {
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

pub(super) fn read(
    connection: &Connection,
    after: Option<Cursor>,
    limit: u32,
) -> Result<Changes, StoreError> {
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
