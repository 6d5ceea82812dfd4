//! Blacklists in SQLite.

use super::{Embedded, changes, durable, integer, unsigned};
use crate::store::{
    BATCH_MAX, BlacklistEntry, Blacklists, Change, Listing, Page, Prefix, StoreError, Subject,
    SubjectKind, check_batch,
};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use std::net::IpAddr;

impl Blacklists for Embedded {
    async fn blacklist_add(&self, entries: Vec<BlacklistEntry>) -> Result<(), StoreError> {
        check_batch(&entries, BATCH_MAX)?;
        self.call(move |connection| add(connection, &entries)).await
    }

    async fn blacklist_remove(&self, subjects: Vec<Subject>) -> Result<(), StoreError> {
        check_batch(&subjects, BATCH_MAX)?;
        self.call(move |connection| remove(connection, &subjects))
            .await
    }

    async fn blacklisted(
        &self,
        node: &str,
        ip: IpAddr,
    ) -> Result<Option<BlacklistEntry>, StoreError> {
        let node = node.to_owned();
        self.call(move |connection| find(connection, node, ip))
            .await
    }

    async fn blacklist(
        &self,
        kind: SubjectKind,
        page: Page,
    ) -> Result<Listing<BlacklistEntry>, StoreError> {
        self.call(move |connection| list(connection, kind, &page))
            .await
    }
}

fn add(connection: &mut Connection, entries: &[BlacklistEntry]) -> Result<(), StoreError> {
    durable(connection, |transaction| {
        for entry in entries {
            let added = transaction
                .prepare_cached(
                    "INSERT INTO blacklist VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    entry.subject.kind().name(),
                    entry.subject.key(),
                    entry.reason(),
                    integer(entry.since),
                ])?;
            tell(transaction, added, &entry.subject, true)?;
        }
        Ok(())
    })
}

fn remove(connection: &mut Connection, subjects: &[Subject]) -> Result<(), StoreError> {
    durable(connection, |transaction| {
        for subject in subjects {
            let removed = transaction
                .prepare_cached("DELETE FROM blacklist WHERE kind = ?1 AND subject = ?2")?
                .execute(params![subject.kind().name(), subject.key()])?;
            tell(transaction, removed, subject, false)?;
        }
        Ok(())
    })
}

fn find(
    connection: &Connection,
    node: String,
    ip: IpAddr,
) -> Result<Option<BlacklistEntry>, StoreError> {
    let addresses = Prefix::around(ip).map(Subject::Ip);
    for subject in core::iter::once(Subject::Node(node)).chain(addresses) {
        let found = connection
            .prepare_cached("SELECT reason, since FROM blacklist WHERE kind = ?1 AND subject = ?2")?
            .query_row(params![subject.kind().name(), subject.key()], |row| {
                Ok((row.get(0)?, unsigned(row.get(1)?)))
            })
            .optional()?;
        if let Some((reason, since)) = found {
            return Ok(Some(BlacklistEntry {
                subject,
                reason,
                since,
            }));
        }
    }
    Ok(None)
}

fn list(
    connection: &Connection,
    kind: SubjectKind,
    page: &Page,
) -> Result<Listing<BlacklistEntry>, StoreError> {
    let limit = page.len_max();
    let rows = connection
        .prepare_cached(
            "SELECT subject, reason, since FROM blacklist
             WHERE kind = ?1 AND subject > coalesce(?2, '') ORDER BY subject LIMIT ?3",
        )?
        .query_map(params![kind.name(), page.after, limit + 1], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, unsigned(row.get(2)?)))
        })?
        .collect::<Result<Vec<(String, String, u64)>, _>>()?;
    let Listing { items, next } = Listing::cut(rows, limit, |(key, ..)| key);
    let items = items.into_iter().filter_map(|(key, reason, since)| {
        Some(BlacklistEntry {
            subject: kind.subject(key)?,
            reason,
            since,
        })
    });
    Ok(Listing {
        items: items.collect(),
        next,
    })
}

fn tell(
    transaction: &Transaction<'_>,
    changed: usize,
    subject: &Subject,
    listed: bool,
) -> Result<(), StoreError> {
    if changed == 0 {
        return Ok(());
    }
    let subject = subject.clone();
    changes::append(transaction, &Change::Blacklist { subject, listed })
}
