//! Users in SQLite.

use super::{Embedded, accounts, changes, durable, integer, malformed, unsigned};
use crate::store::word::{from_word, word};
use crate::store::{
    Adjustment, Change, Listing, NewUser, Page, ReplyMode, Route, StoreError, User, UserChange,
    UserSettings, Users,
};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, Transaction, params};

/// In the order of [`read`].
const COLUMNS: &str = "name, id, password_hash, credential_version, enabled, created_at, starts_at, \
    expires_at, traffic_limit, upload_rate, download_rate, sessions_max, truthful, route_mode, \
    route_node, route_interval_minutes, route_utc_minute, route_switched_at, charged, uploaded, \
    downloaded, records";

impl Users for Embedded {
    async fn create_user(&self, user: NewUser) -> Result<User, StoreError> {
        user.check()?;
        self.call(move |connection| create(connection, &user)).await
    }

    async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        let name = name.to_owned();
        self.call(move |connection| get(connection, &name)).await
    }

    async fn users(&self, page: Page) -> Result<Listing<User>, StoreError> {
        self.call(move |connection| list(connection, &page)).await
    }

    async fn change_user(
        &self,
        name: &str,
        change: UserChange,
    ) -> Result<Option<User>, StoreError> {
        if !change.fits() {
            return Err(StoreError::TooLarge);
        }
        let name = name.to_owned();
        self.call(move |connection| apply(connection, &name, &change))
            .await
    }

    async fn adjust_user(
        &self,
        name: &str,
        adjustment: Adjustment,
    ) -> Result<Option<User>, StoreError> {
        let name = name.to_owned();
        self.call(move |connection| accounts::adjust(connection, &name, &adjustment))
            .await
    }

    async fn delete_user(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.call(move |connection| delete(connection, &name)).await
    }
}

pub(super) fn create(connection: &mut Connection, user: &NewUser) -> Result<User, StoreError> {
    durable(connection, |transaction| {
        // One number is both: neither was ever another's.
        let serial = next_serial(transaction)?;
        let created = User {
            name: user.name.clone(),
            id: unsigned(serial),
            password_hash: user.password_hash.clone(),
            credential_version: unsigned(serial),
            created_at: user.created_at,
            settings: user.settings.clone(),
            charged: 0,
            uploaded: 0,
            downloaded: 0,
        };
        let inserted = transaction
            .prepare_cached(
                "INSERT INTO users (name, id, password_hash, credential_version, enabled,
                 created_at, truthful) VALUES (?1, ?2, '', ?2, 0, ?3, 0)",
            )?
            .execute(params![user.name, serial, integer(user.created_at)]);
        match inserted {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                return Err(StoreError::Exists);
            }
            other => other?,
        };
        write(transaction, &created)?;
        Ok(created)
    })
}

pub(super) fn get(connection: &Connection, name: &str) -> Result<Option<User>, StoreError> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM users WHERE name = ?1"))?
        .query_row([name], read)
        .optional()?)
}

fn list(connection: &Connection, page: &Page) -> Result<Listing<User>, StoreError> {
    let limit = page.len_max();
    let users = connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM users WHERE name > coalesce(?1, '') ORDER BY name LIMIT ?2"
        ))?
        .query_map(params![page.after, limit + 1], read)?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Listing::cut(users, limit, |user| &user.name))
}

fn apply(
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
            user.credential_version = unsigned(next_serial(transaction)?);
        }
        let moved = change.moves_window();
        change.clone().apply(&mut user.settings);
        if moved && !user.settings.has_window() {
            return Err(StoreError::Window);
        }
        write(transaction, &user)?;
        Ok(Some(user))
    })
}

fn delete(connection: &mut Connection, name: &str) -> Result<bool, StoreError> {
    durable(connection, |transaction| {
        let deleted = transaction
            .prepare_cached("DELETE FROM users WHERE name = ?1")?
            .execute([name])?
            > 0;
        if deleted {
            tell(transaction, name)?;
        }
        Ok(deleted)
    })
}

/// Tells the readers of changes about a user.
pub(super) fn tell(transaction: &Transaction<'_>, name: &str) -> Result<(), StoreError> {
    let name = name.to_owned();
    changes::append(transaction, &Change::User { name })
}

/// Writes the settings of a user who exists and tells about it; its account is not touched.
fn write(transaction: &Transaction<'_>, user: &User) -> Result<(), StoreError> {
    let UserSettings {
        enabled,
        starts_at,
        expires_at,
        traffic_limit,
        upload_rate,
        download_rate,
        sessions_max,
        reply,
        records,
        route,
    } = &user.settings;
    let Route {
        mode,
        node,
        interval_minutes,
        utc_minute_of_day,
        switched_at,
    } = route;
    transaction
        .prepare_cached(
            "UPDATE users SET password_hash = ?2, credential_version = ?3, enabled = ?4,
             starts_at = ?5, expires_at = ?6, traffic_limit = ?7, upload_rate = ?8,
             download_rate = ?9, sessions_max = ?10, truthful = ?11, route_mode = ?12,
             route_node = ?13, route_interval_minutes = ?14, route_utc_minute = ?15,
             route_switched_at = ?16, records = ?17 WHERE name = ?1",
        )?
        .execute(params![
            user.name,
            user.password_hash,
            integer(user.credential_version),
            enabled,
            starts_at.map(integer),
            expires_at.map(integer),
            traffic_limit.map(integer),
            upload_rate.map(integer),
            download_rate.map(integer),
            sessions_max,
            *reply == ReplyMode::Truthful,
            word(*mode),
            node,
            interval_minutes,
            utc_minute_of_day,
            switched_at.map(integer),
            word(*records),
        ])?;
    tell(transaction, &user.name)
}

fn next_serial(transaction: &Transaction<'_>) -> Result<i64, StoreError> {
    Ok(transaction
        .prepare_cached(
            "UPDATE counters SET value = value + 1 WHERE name = 'credential_version' RETURNING value",
        )?
        .query_row([], |row| row.get(0))?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<User> {
    let optional =
        |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(unsigned));
    Ok(User {
        name: row.get(0)?,
        id: unsigned(row.get(1)?),
        password_hash: row.get(2)?,
        credential_version: unsigned(row.get(3)?),
        created_at: unsigned(row.get(5)?),
        settings: UserSettings {
            enabled: row.get(4)?,
            starts_at: optional(6)?,
            expires_at: optional(7)?,
            traffic_limit: optional(8)?,
            upload_rate: optional(9)?,
            download_rate: optional(10)?,
            sessions_max: row.get(11)?,
            reply: match row.get::<_, i64>(12)? {
                0 => ReplyMode::Fast,
                1 => ReplyMode::Truthful,
                other => return Err(rusqlite::Error::IntegralValueOutOfRange(12, other)),
            },
            records: from_word(row.get(21)?).map_err(|error| malformed(21, error))?,
            route: Route {
                mode: from_word(row.get(13)?).map_err(|error| malformed(13, error))?,
                node: row.get(14)?,
                interval_minutes: row.get(15)?,
                utc_minute_of_day: row.get(16)?,
                switched_at: optional(17)?,
            },
        },
        charged: unsigned(row.get(18)?),
        uploaded: unsigned(row.get(19)?),
        downloaded: unsigned(row.get(20)?),
    })
}
