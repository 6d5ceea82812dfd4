//! Users and shared values in SQLite.

use super::{Listing, NewUser, PAGE_MAX, Page, ReplyMode, StoreError, User, UserChange};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, Transaction, params};
use rusqlite::{TransactionBehavior, types::Type};

const COLUMNS: &str =
    "name, password_hash, credential_version, enabled, created_at, expires_at, truthful";

pub(super) fn create(connection: &mut Connection, user: &NewUser) -> Result<User, StoreError> {
    durable(connection, |transaction| {
        let version = next_credential_version(transaction)?;
        let created = transaction
            .prepare_cached(&format!(
                "INSERT INTO users ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING {COLUMNS}"
            ))?
            .query_row(
                params![
                    user.name,
                    user.password_hash,
                    version,
                    user.enabled,
                    integer(user.created_at),
                    user.expires_at.map(integer),
                    user.reply == ReplyMode::Truthful,
                ],
                read,
            );
        match created {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(StoreError::Exists)
            }
            other => Ok(other?),
        }
    })
}

pub(super) fn get(connection: &Connection, name: &str) -> Result<Option<User>, StoreError> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM users WHERE name = ?1"))?
        .query_row([name], read)
        .optional()?)
}

pub(super) fn list(connection: &Connection, page: &Page) -> Result<Listing<User>, StoreError> {
    let limit = page.limit.clamp(1, PAGE_MAX);
    let users = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM users WHERE ?1 IS NULL OR name > ?1 ORDER BY name LIMIT ?2"
        ))?
        .query_map(params![page.after, limit + 1], read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Listing::cut(users, limit, |user| &user.name))
}

pub(super) fn change(
    connection: &mut Connection,
    name: &str,
    change: &UserChange,
) -> Result<Option<User>, StoreError> {
    durable(connection, |transaction| {
        let Some(mut user) = get(transaction, name)? else {
            return Ok(None);
        };
        if let Some(hash) = &change.password_hash {
            user.password_hash.clone_from(hash);
            user.credential_version = unsigned(next_credential_version(transaction)?);
        }
        user.enabled = change.enabled.unwrap_or(user.enabled);
        user.expires_at = change.expires_at.unwrap_or(user.expires_at);
        user.reply = change.reply.unwrap_or(user.reply);
        transaction
            .prepare_cached(
                "UPDATE users SET password_hash = ?2, credential_version = ?3, enabled = ?4,
                 expires_at = ?5, truthful = ?6 WHERE name = ?1",
            )?
            .execute(params![
                user.name,
                user.password_hash,
                integer(user.credential_version),
                user.enabled,
                user.expires_at.map(integer),
                user.reply == ReplyMode::Truthful,
            ])?;
        Ok(Some(user))
    })
}

pub(super) fn delete(connection: &mut Connection, name: &str) -> Result<bool, StoreError> {
    durable(connection, |transaction| {
        Ok(transaction
            .prepare_cached("DELETE FROM users WHERE name = ?1")?
            .execute([name])?
            > 0)
    })
}

pub(super) fn meta(connection: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?)
}

pub(super) fn set_meta(
    connection: &mut Connection,
    key: &str,
    value: &str,
) -> Result<(), StoreError> {
    durable(connection, |transaction| {
        transaction
            .prepare_cached(
                "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
            .execute([key, value])?;
        Ok(())
    })
}

/// Runs a transaction that is on the disk when it returns.
fn durable<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.pragma_update(None, "synchronous", "full")?;
    let result = (|| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    })();
    connection.pragma_update(None, "synchronous", "normal")?;
    result
}

fn next_credential_version(transaction: &Transaction<'_>) -> Result<i64, StoreError> {
    Ok(transaction
        .prepare_cached(
            "UPDATE counters SET value = value + 1 WHERE name = 'credential_version' RETURNING value",
        )?
        .query_row([], |row| row.get(0))?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        name: row.get(0)?,
        password_hash: row.get(1)?,
        credential_version: unsigned(row.get(2)?),
        enabled: row.get(3)?,
        created_at: unsigned(row.get(4)?),
        expires_at: row.get::<_, Option<i64>>(5)?.map(unsigned),
        reply: match row.get::<_, i64>(6)? {
            0 => ReplyMode::Fast,
            1 => ReplyMode::Truthful,
            other => return Err(rusqlite::Error::IntegralValueOutOfRange(6, other)),
        },
    })
}

/// SQLite has signed integers only; no time or counter of ours comes near the end of their range.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The other way round from [`integer`].
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Makes an error of a column that does not hold what it must.
pub(super) fn malformed(
    column: usize,
    error: impl core::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
