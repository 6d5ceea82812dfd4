//! Shared values in SQLite.

use super::{Embedded, durable};
use crate::store::{META_MAX, Meta, StoreError};
use rusqlite::{Connection, OptionalExtension as _};

impl Meta for Embedded {
    async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.call(move |connection| meta(connection, &key)).await
    }

    async fn swap_meta(
        &self,
        key: &str,
        expected: Option<String>,
        value: String,
    ) -> Result<bool, StoreError> {
        if value.len() > META_MAX {
            return Err(StoreError::TooLarge);
        }
        let key = key.to_owned();
        self.call(move |connection| swap_meta(connection, &key, expected.as_deref(), &value))
            .await
    }
}

fn meta(connection: &Connection, key: &str) -> Result<Option<String>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?)
}

fn swap_meta(
    connection: &mut Connection,
    key: &str,
    expected: Option<&str>,
    value: &str,
) -> Result<bool, StoreError> {
    durable(connection, |transaction| {
        let same = meta(transaction, key)?.as_deref() == expected;
        if same {
            transaction
                .prepare_cached(
                    "INSERT INTO meta VALUES (?1, ?2) \
                     ON CONFLICT DO UPDATE SET value = excluded.value",
                )?
                .execute([key, value])?;
        }
        Ok(same)
    })
}
