//! The audit log on either store in the hands of somebody who may write there: `titan audit verify` finds what
//! was changed, removed, inserted and reordered, and with an end noted elsewhere what was cut off or made anew.

use crate::command::titan;
use crate::harness::Manager;
use std::collections::HashMap;
use titan_kit::redis_server::{Fsync, RedisServer};
use titan_runtime::cli::CliError;
use titan_runtime::store::{AuditHead, AuditRecord, NewAudit, Redis};

/// Where the records are, beside the store's back.
trait Log {
    async fn read(&self) -> Vec<AuditRecord>;
    async fn write(&self, records: &[AuditRecord]);
}

impl Log for rusqlite::Connection {
    async fn read(&self) -> Vec<AuditRecord> {
        let mut all = self
            .prepare("SELECT seq, at, actor, source, action, subject, detail, hash FROM audit ORDER BY seq")
            .unwrap();
        let rows = all.query_map([], |row| {
            let act = NewAudit {
                at: row.get::<_, i64>(1)?.cast_unsigned(),
                actor: row.get(2)?,
                source: row.get(3)?,
                action: row.get(4)?,
                subject: row.get(5)?,
                detail: row.get(6)?,
            };
            Ok(AuditRecord {
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                act,
                hash: row.get(7)?,
            })
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    async fn write(&self, records: &[AuditRecord]) {
        // Whoever can write the file can take the store's own guard away.
        self.execute_batch(
            "DROP TRIGGER IF EXISTS audit_is_never_changed;
             DROP TRIGGER IF EXISTS audit_is_never_deleted;
             DELETE FROM audit;",
        )
        .unwrap();
        for AuditRecord { seq, act, hash } in records {
            self.execute(
                "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                rusqlite::params![
                    seq.cast_signed(),
                    act.at.cast_signed(),
                    act.actor,
                    act.source,
                    act.action,
                    act.subject,
                    act.detail,
                    hash
                ],
            )
            .unwrap();
        }
    }
}

impl Log for redis::aio::MultiplexedConnection {
    async fn read(&self) -> Vec<AuditRecord> {
        let mut range = redis::cmd("XRANGE");
        range.arg(&["titan:audit", "-", "+"]);
        let found: Vec<(String, HashMap<String, String>)> =
            range.query_async(&mut self.clone()).await.unwrap();
        let record = |(id, fields): (String, HashMap<String, String>)| {
            let text = |name: &str| fields[name].clone();
            let hash = text("hash");
            let byte = |index| u8::from_str_radix(&hash[2 * index..2 * index + 2], 16).unwrap();
            AuditRecord {
                seq: id.split_once('-').unwrap().0.parse().unwrap(),
                act: NewAudit {
                    at: text("at").parse().unwrap(),
                    actor: text("actor"),
                    source: text("source"),
                    action: text("action"),
                    subject: text("subject"),
                    detail: text("detail"),
                },
                hash: core::array::from_fn(byte),
            }
        };
        found.into_iter().map(record).collect()
    }

    async fn write(&self, records: &[AuditRecord]) {
        let mut rewrite = redis::pipe();
        rewrite.atomic().del("titan:audit");
        for AuditRecord { seq, act, hash } in records {
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            let fields = [
                ("at", &act.at.to_string()),
                ("actor", &act.actor),
                ("source", &act.source),
                ("action", &act.action),
                ("subject", &act.subject),
                ("detail", &act.detail),
                ("hash", &hash),
            ];
            let add = rewrite
                .cmd("XADD")
                .arg("titan:audit")
                .arg(format!("{seq}-0"));
            add.arg(&fields[..]).ignore();
        }
        let _: () = rewrite.query_async(&mut self.clone()).await.unwrap();
    }
}

/// Gives records the places they stand at.
fn renumber(records: &mut [AuditRecord]) {
    for (seq, record) in (1..).zip(records) {
        record.seq = seq;
    }
}

/// What somebody did, by name.
type Change = (&'static str, fn(&mut Vec<AuditRecord>));

const CHANGES: &[Change] = &[
    ("time changed", |all| all[0].act.at += 1),
    ("actor changed", |all| all[2].act.actor.push('x')),
    ("source changed", |all| all[2].act.source.push('x')),
    ("action changed", |all| all[2].act.action.push('x')),
    ("subject changed", |all| all[2].act.subject.push('x')),
    ("detail changed", |all| all[2].act.detail.push(' ')),
    ("hash changed", |all| all[2].hash[31] ^= 1),
    ("last hash changed", |all| all[5].hash[0] ^= 1),
    ("act changed and hashed anew", |all| {
        let head = AuditHead {
            seq: all[1].seq,
            hash: all[1].hash,
        };
        let mut act = all[2].act.clone();
        act.subject = "nobody".to_owned();
        all[2] = head.next(act);
    }),
    ("one removed", |all| drop(all.remove(3))),
    ("one removed and renumbered", |all| {
        all.remove(3);
        renumber(all);
    }),
    ("the first removed", |all| drop(all.remove(0))),
    ("the first removed and renumbered", |all| {
        all.remove(0);
        renumber(all);
    }),
    ("two reordered", |all| {
        all.swap(2, 4);
        renumber(all);
    }),
    ("one inserted", |all| {
        all.insert(3, all[1].clone());
        renumber(all);
    }),
];

async fn tampering_is_found(it: &Manager, log: &impl Log) {
    titan(it, "audit verify").await.unwrap();
    for name in ["ann", "bob", "carol"] {
        titan(it, &format!("blacklist add {name}")).await.unwrap();
    }
    let verified = titan(it, "audit verify --json").await.unwrap();
    let verified: serde_json::Value = serde_json::from_str(&verified).unwrap();
    assert_eq!(verified["records"], 6);
    let noted = verified["head"].as_str().unwrap().to_owned();
    let noting = format!("audit verify --head {noted}");
    let right = log.read().await;
    assert_eq!(right.len(), 6);

    let tampered = async |line: &str, what: &str| match titan(it, line).await {
        Err(CliError::Tampered(found)) => found,
        Err(error) => panic!("{what}: {error}"),
        Ok(text) => panic!("{what}: {text}"),
    };
    for (what, change) in CHANGES {
        let mut changed = right.clone();
        change(&mut changed);
        log.write(&changed).await;
        let found = tampered("audit verify", what).await;
        assert!(found.contains("broken at record"), "{what}: {found}");
        tampered(&noting, what).await;
        log.write(&right).await;
        titan(it, &noting).await.unwrap();
    }

    // What was cut off at the end, or made anew as a whole, shows only to whoever noted an end.
    for kept in [5, 3, 0] {
        log.write(&right[..kept]).await;
        titan(it, "audit verify").await.unwrap();
        let found = tampered(&noting, "cut off").await;
        assert!(found.contains("is gone"), "{found}");
    }
    let mut head = AuditHead::EMPTY;
    let mut anew = Vec::new();
    for mut record in right.clone() {
        record.act.actor = "somebody".to_owned();
        let record = head.next(record.act);
        head.verify(std::slice::from_ref(&record)).unwrap();
        anew.push(record);
    }
    log.write(&anew).await;
    titan(it, "audit verify").await.unwrap();
    let found = tampered(&noting, "made anew").await;
    assert!(found.contains("is not the one that was noted"), "{found}");

    // The right chain goes on, and the end noted before stays part of it.
    log.write(&right).await;
    titan(it, "blacklist remove ann").await.unwrap();
    titan(it, &noting).await.unwrap();
}

#[tokio::test]
async fn tampering_with_the_embedded_store_is_found() {
    let it = Manager::start().await;
    let log = rusqlite::Connection::open(it.data.path().join("manager.db")).unwrap();
    tampering_is_found(&it, &log).await;
    it.stop().await;
}

#[tokio::test]
async fn tampering_with_redis_is_found() {
    let server = RedisServer::start(Fsync::EverySecond);
    let store = Redis::new(&server.url(0)).unwrap();
    let it = Manager::start_on(tempfile::tempdir().unwrap(), |_| {}, |_| store).await;
    let client = redis::Client::open(server.url(0)).unwrap();
    let log = client.get_multiplexed_async_connection().await.unwrap();
    tampering_is_found(&it, &log).await;
    it.stop().await;
}
