//! The tables of the embedded store and how older files become newer ones.

use core::time::Duration;
use rusqlite::{Connection, Transaction, TransactionBehavior};

/// How long one operation waits for another daemon of the host to finish writing. Writes take
/// milliseconds; five seconds is a stuck disk.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One step per version: step `n` leads from `user_version` n to n + 1. Steps are never edited once
/// released, only added.
const STEPS: &[&str] = &[
    TABLES,
    DRAINING,
    include_str!("schema/quota.sql"),
    include_str!("schema/pages.sql"),
    include_str!("schema/retiring.sql"),
    include_str!("schema/shares.sql"),
    include_str!("schema/contested.sql"),
    include_str!("schema/clock.sql"),
    include_str!("schema/records.sql"),
];

const TABLES: &str = "
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE counters (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO counters VALUES ('credential_version', 0);

    CREATE TABLE users (
        name TEXT PRIMARY KEY,
        password_hash TEXT NOT NULL,
        credential_version INTEGER NOT NULL,
        enabled INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        truthful INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE pops (
        id TEXT PRIMARY KEY,
        incarnation INTEGER NOT NULL,
        url TEXT NOT NULL,
        info TEXT NOT NULL,
        lease_until INTEGER NOT NULL,
        node_count INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE nodes (
        id TEXT NOT NULL,
        pop TEXT NOT NULL REFERENCES pops (id) ON DELETE CASCADE,
        generation INTEGER NOT NULL,
        ip TEXT NOT NULL,
        os TEXT NOT NULL,
        version TEXT NOT NULL,
        online_since INTEGER NOT NULL,
        rtt_ms INTEGER,
        PRIMARY KEY (id, pop)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX nodes_by_pop ON nodes (pop, generation);

    -- Choosing the least loaded POP must not count all nodes.
    CREATE TRIGGER node_added AFTER INSERT ON nodes BEGIN
        UPDATE pops SET node_count = node_count + 1 WHERE id = NEW.pop;
    END;
    CREATE TRIGGER node_removed AFTER DELETE ON nodes BEGIN
        UPDATE pops SET node_count = node_count - 1 WHERE id = OLD.pop;
    END;
";

const DRAINING: &str = "
    ALTER TABLE pops ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;
";

/// Sets a connection up and brings its file to the current version.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    // First: switching to WAL and migrating already wait for other daemons of the host.
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Node entries may be lost with the machine's power; what an operator was told is done may not:
    // those transactions switch to FULL.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.set_prepared_statement_cache_capacity(64);

    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    upgrade(&transaction, "main", STEPS)?;
    transaction.commit()
}

/// Brings one of a connection's files to the current version by those steps that it has not taken.
pub(super) fn upgrade(
    transaction: &Transaction<'_>,
    file: &str,
    steps: &[&str],
) -> rusqlite::Result<()> {
    let version: u32 =
        transaction.pragma_query_value(Some(file), "user_version", |row| row.get(0))?;
    let Some(left) = steps.get(version as usize..) else {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_SCHEMA),
            Some(format!(
                "the file was written by a newer version (schema {version})"
            )),
        ));
    };
    for step in left {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(Some(file), "user_version", steps.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::{pops, users};
    use crate::store::{NewUser, RecordMode, ReplyMode, Route};

    #[test]
    fn an_older_file_keeps_its_users() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection
            .execute_batch(
                "UPDATE counters SET value = 7;
                 INSERT INTO users VALUES ('ann', 'hash', 7, 1, 5, NULL, 1);
                 INSERT INTO users VALUES ('bob', 'hash', 3, 0, 5, 9, 0);",
            )
            .unwrap();
        prepare(&mut connection).unwrap();
        let ann = users::get(&connection, "ann").unwrap().unwrap();
        assert_eq!((ann.id, ann.credential_version, ann.created_at), (7, 7, 5));
        assert_eq!(
            (ann.settings.enabled, ann.settings.reply),
            (true, ReplyMode::Truthful)
        );
        assert_eq!((ann.settings.traffic_limit, ann.charged), (None, 0));
        assert_eq!(ann.settings.route, Route::default());
        assert_eq!(ann.settings.records, RecordMode::Default);
        let bob = users::get(&connection, "bob").unwrap().unwrap();
        assert_eq!(
            (bob.id, bob.settings.enabled, bob.settings.expires_at),
            (3, false, Some(9))
        );
        let new = NewUser::new("eve".to_owned(), "hash".to_owned(), 6);
        assert_eq!(users::create(&mut connection, &new).unwrap().id, 8);
    }

    #[test]
    fn an_older_file_is_brought_up_with_what_it_holds() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        connection
            .execute("INSERT INTO pops VALUES ('p', 1, 'ws://p', '{}', 9, 0)", [])
            .unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        prepare(&mut connection).unwrap();
        let pops = pops::list(&connection, 0).unwrap();
        assert_eq!(pops.len(), 1);
        assert!(!pops[0].draining);
    }

    #[test]
    fn a_newer_file_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        prepare(&mut connection).unwrap();
        prepare(&mut connection).unwrap();
        connection
            .pragma_update(None, "user_version", STEPS.len() as u32 + 1)
            .unwrap();
        let error = prepare(&mut connection).unwrap_err();
        assert!(error.to_string().contains("newer version"), "{error}");
    }
}
