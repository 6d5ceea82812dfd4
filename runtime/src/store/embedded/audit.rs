//! The record of administrative acts in SQLite.

use super::{Embedded, durable, integer, unsigned};
use crate::store::{AUDIT_MAX, AuditHead, AuditLog, AuditRecord, NewAudit, StoreError};
use rusqlite::{Connection, OptionalExtension as _, params};

impl AuditLog for Embedded {
    async fn audit_append(&self, act: NewAudit) -> Result<AuditRecord, StoreError> {
        if !act.fits() {
            return Err(StoreError::TooLarge);
        }
        self.call(move |connection| append(connection, act)).await
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.call(move |connection| list(connection, after, limit))
            .await
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.call(|connection| head(connection)).await
    }
}

fn append(connection: &mut Connection, act: NewAudit) -> Result<AuditRecord, StoreError> {
    durable(connection, |transaction| {
        // The transaction holds the write lock since it began: nobody else moves the head meanwhile.
        let record = head(transaction)?.next(act);
        let act = &record.act;
        transaction
            .prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![
                integer(record.seq),
                integer(act.at),
                act.actor,
                act.source,
                act.action,
                act.subject,
                act.detail,
                record.hash,
            ])?;
        Ok(record)
    })
}

fn list(connection: &Connection, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT seq, at, actor, source, action, subject, detail, hash FROM audit
             WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?
        .query_map(params![integer(after), limit.clamp(1, AUDIT_MAX)], |row| {
            Ok(AuditRecord {
                seq: unsigned(row.get(0)?),
                act: NewAudit {
                    at: unsigned(row.get(1)?),
                    actor: row.get(2)?,
                    source: row.get(3)?,
                    action: row.get(4)?,
                    subject: row.get(5)?,
                    detail: row.get(6)?,
                },
                hash: row.get(7)?,
            })
        })?
        .collect::<Result<_, _>>()?)
}

fn head(connection: &Connection) -> Result<AuditHead, StoreError> {
    Ok(connection
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| {
            Ok(AuditHead {
                seq: unsigned(row.get(0)?),
                hash: row.get(1)?,
            })
        })
        .optional()?
        .unwrap_or(AuditHead::EMPTY))
}
