//! Admin tokens in SQLite.

use super::{Embedded, changes, durable, integer, malformed, unsigned};
use crate::store::word::{from_word, word};
use crate::store::{AdminToken, Change, Listing, Page, StoreError, Tokens};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, params};

/// In the order of [`read`].
const COLUMNS: &str = "id, hash, name, role, created_at, created_by, expires_at, revoked_at";

impl Tokens for Embedded {
    async fn create_token(&self, token: AdminToken) -> Result<(), StoreError> {
        self.call(move |connection| create(connection, &token))
            .await
    }

    async fn token(&self, hash: [u8; 32]) -> Result<Option<AdminToken>, StoreError> {
        self.call(move |connection| get(connection, &hash)).await
    }

    async fn tokens(&self, page: Page) -> Result<Listing<AdminToken>, StoreError> {
        self.call(move |connection| list(connection, &page)).await
    }

    async fn revoke_token(&self, id: &str, at: u64) -> Result<Option<AdminToken>, StoreError> {
        let id = id.to_owned();
        self.call(move |connection| revoke(connection, &id, at))
            .await
    }
}

fn create(connection: &mut Connection, token: &AdminToken) -> Result<(), StoreError> {
    durable(connection, |transaction| {
        let inserted = transaction
            .prepare_cached(&format!(
                "INSERT INTO tokens ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
            ))?
            .execute(params![
                token.id,
                token.hash,
                token.name,
                word(token.role),
                integer(token.created_at),
                token.created_by,
                token.expires_at.map(integer),
                token.revoked_at.map(integer),
            ]);
        match inserted {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                return Err(StoreError::Exists);
            }
            other => other?,
        };
        let id = token.id.clone();
        changes::append(transaction, &Change::Token { id })
    })
}

fn get(connection: &Connection, hash: &[u8; 32]) -> Result<Option<AdminToken>, StoreError> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM tokens WHERE hash = ?1"))?
        .query_row([hash], read)
        .optional()?)
}

fn list(connection: &Connection, page: &Page) -> Result<Listing<AdminToken>, StoreError> {
    let limit = page.len_max();
    let tokens = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM tokens WHERE id > coalesce(?1, '') ORDER BY id LIMIT ?2"
        ))?
        .query_map(params![page.after, limit + 1], read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Listing::cut(tokens, limit, |token| &token.id))
}

fn revoke(
    connection: &mut Connection,
    id: &str,
    at: u64,
) -> Result<Option<AdminToken>, StoreError> {
    durable(connection, |transaction| {
        let revoked = transaction
            .prepare_cached(
                "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
            )?
            .execute(params![id, integer(at)])?;
        if revoked > 0 {
            let id = id.to_owned();
            changes::append(transaction, &Change::Token { id })?;
        }
        Ok(transaction
            .prepare_cached(&format!("SELECT {COLUMNS} FROM tokens WHERE id = ?1"))?
            .query_row([id], read)
            .optional()?)
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<AdminToken> {
    Ok(AdminToken {
        id: row.get(0)?,
        hash: row.get(1)?,
        name: row.get(2)?,
        role: from_word(row.get(3)?).map_err(|error| malformed(3, error))?,
        created_at: unsigned(row.get(4)?),
        created_by: row.get(5)?,
        expires_at: row.get::<_, Option<i64>>(6)?.map(unsigned),
        revoked_at: row.get::<_, Option<i64>>(7)?.map(unsigned),
    })
}
