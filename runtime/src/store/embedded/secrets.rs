//! What managers alone may read: a file of their own beside the one that they share with POPs.
//!
//! It holds admin tokens, as hashes, and the audit log. A POP, which faces the internet, never opens it, and
//! need not be able to: the file belongs to the manager's user.

use super::schema;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::Path;

/// The name of the file in the manager's data directory.
pub(super) const FILE_NAME: &str = "manager.db";

/// As the tables of `schema`, for this file.
const STEPS: &[&str] = &[include_str!("schema/manager.sql")];

/// The tables that stood in the shared file once.
const MOVED: [&str; 2] = ["tokens", "audit"];

/// Has a connection to the shared file see the managers' own file too, which is in memory without a path.
pub(super) fn attach(connection: &mut Connection, path: Option<&Path>) -> rusqlite::Result<()> {
    let name = match path {
        Some(path) => path
            .to_str()
            .ok_or_else(|| rusqlite::Error::InvalidPath(path.to_owned()))?,
        None => ":memory:",
    };
    connection.execute("ATTACH DATABASE ?1 AS manager", [name])?;
    connection.pragma_update(Some("manager"), "journal_mode", "wal")?;
    // Few and grave: each is on the disk when it is answered.
    connection.pragma_update(Some("manager"), "synchronous", "full")?;
    let transaction = begin(connection)?;
    schema::upgrade(&transaction, "manager", STEPS)?;
    // Two files are not written at once: what moves is on the disk there before it goes here.
    for table in MOVED {
        if is_shared(&transaction, table)? {
            transaction.execute_batch(&format!(
                "INSERT OR IGNORE INTO manager.{table} SELECT * FROM main.{table}"
            ))?;
            // Equal rows are of a move that was broken off.
            let differs: bool = transaction.query_row(
                &format!(
                    "SELECT EXISTS (SELECT * FROM main.{table} EXCEPT SELECT * FROM manager.{table})"
                ),
                [],
                |row| row.get(0),
            )?;
            if differs {
                return Err(rusqlite::Error::SqliteFailure(
                    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CONSTRAINT),
                    Some(format!(
                        "{table} of the shared file and of {name} are two different ones: put one of the files aside"
                    )),
                ));
            }
        }
    }
    transaction.commit()?;
    clear(connection)
}

/// Removes from the shared file what has moved, its traces included.
fn clear(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(Some("main"), "secure_delete", true)?;
    let transaction = begin(connection)?;
    let mut cleared = false;
    for table in MOVED {
        if is_shared(&transaction, table)? {
            transaction.execute_batch(&format!("DROP TABLE main.{table}"))?;
            cleared = true;
        }
    }
    transaction.commit()?;
    connection.pragma_update(Some("main"), "secure_delete", false)?;
    if cleared {
        // The log has old pages. Whoever reads just now keeps them a little longer.
        connection.query_row("PRAGMA main.wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(())
}

fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn is_shared(transaction: &Transaction<'_>, table: &str) -> rusqlite::Result<bool> {
    transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1)",
        [table],
        |row| row.get(0),
    )
}

#[cfg(test)]
mod tests {
    use crate::store::embedded::{FILE_NAME, Location, Mode, schema};
    use crate::store::{
        AdminToken, AuditLog as _, Embedded, NewAudit, Page, Role, StoreError, Tokens as _,
        Users as _, contract,
    };
    use rusqlite::Connection;
    use std::fs;

    const HASH: [u8; 32] = *b"the hash of an administrator's t";

    fn token() -> AdminToken {
        AdminToken {
            id: "ci".to_owned(),
            hash: HASH,
            name: "ci".to_owned(),
            role: Role::Operator,
            created_at: 7,
            created_by: "admin".to_owned(),
            expires_at: None,
            revoked_at: None,
        }
    }

    fn act() -> NewAudit {
        NewAudit {
            at: 7,
            actor: "admin".to_owned(),
            source: String::new(),
            action: "token.create".to_owned(),
            subject: "ci".to_owned(),
            detail: String::new(),
        }
    }

    fn holds(path: &std::path::Path, bytes: &[u8]) -> bool {
        let content = fs::read(path).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    }

    #[tokio::test]
    async fn what_pops_open_has_nothing_of_the_managers() {
        let directory = tempfile::tempdir().unwrap();
        let (shared, data) = (
            directory.path().join("shared"),
            directory.path().join("own"),
        );
        let location = Location::Apart {
            shared: shared.clone(),
            data: data.clone(),
        };
        let manager = Embedded::open(&location, Mode::Thread).unwrap();
        manager.create_token(token()).await.unwrap();
        manager.audit_append(act()).await.unwrap();
        manager.create_user(contract::user("ann")).await.unwrap();

        let pop = Embedded::open_shared(&location, Mode::Thread).unwrap();
        assert!(pop.user("ann").await.unwrap().is_some());
        for refused in [
            pop.token(HASH).await.map(drop),
            pop.tokens(Page::first(9)).await.map(drop),
            pop.create_token(token()).await,
            pop.audit(0, 9).await.map(drop),
        ] {
            assert!(
                matches!(refused, Err(StoreError::Unavailable(_))),
                "{refused:?}"
            );
        }
        drop((manager, pop));
        for entry in fs::read_dir(&shared).unwrap() {
            let path = entry.unwrap().path();
            assert!(!holds(&path, &HASH), "{}", path.display());
        }
        assert!(holds(&data.join(super::FILE_NAME), &HASH));
        let manager = Embedded::open(&location, Mode::Thread).unwrap();
        assert_eq!(manager.token(HASH).await, Ok(Some(token())));
    }

    /// Makes a file of before the managers had one of their own.
    fn write_older(path: &std::path::Path) {
        let mut older = Connection::open(path).unwrap();
        schema::prepare(&mut older).unwrap();
        older
            .execute(
                "INSERT INTO tokens VALUES ('ci', ?1, 'ci', 'operator', 7, 'admin', NULL, NULL)",
                [HASH],
            )
            .unwrap();
        older
            .execute(
                "INSERT INTO audit VALUES (1, 7, 'a', 's', 'act', 'x', '', ?1)",
                [HASH],
            )
            .unwrap();
    }

    #[tokio::test]
    async fn an_older_file_loses_them_to_the_managers_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        write_older(&path);
        assert!(holds(&path, &HASH));
        let location = Location::Data(directory.path().to_owned());
        // A POP that comes first changes nothing of it.
        drop(Embedded::open_shared(&location, Mode::Thread).unwrap());
        for _ in 0..2 {
            let manager = Embedded::open(&location, Mode::Thread).unwrap();
            assert_eq!(manager.token(HASH).await, Ok(Some(token())));
            assert_eq!(manager.audit(0, 9).await.unwrap().len(), 1);
        }
        assert!(!holds(&path, &HASH));
    }

    #[tokio::test]
    async fn an_older_file_and_an_own_one_that_differ_stay_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().to_owned();
        let location = Location::Data(data.clone());
        let manager = Embedded::open(&location, Mode::Thread).unwrap();
        manager.audit_append(act()).await.unwrap();
        drop(manager);
        // Somebody puts a file of a backup in the place of the shared one.
        let path = data.join(FILE_NAME);
        fs::remove_file(&path).unwrap();
        write_older(&path);
        for _ in 0..2 {
            let refused = Embedded::open(&location, Mode::Thread).map(drop);
            let Err(StoreError::Unavailable(words)) = refused else {
                panic!("{refused:?}");
            };
            assert!(words.contains("put one of the files aside"), "{words}");
        }
        assert!(holds(&path, &HASH));
        let own = Connection::open(data.join(super::FILE_NAME)).unwrap();
        let of: String = own
            .query_row("SELECT action FROM audit", [], |row| row.get(0))
            .unwrap();
        assert_eq!(of, "token.create");
    }
}
