//! The record of administrative acts as a stream.

use super::nonce::nonce;
use super::reply::{array, fields, from_hex, items, malformed, number, take, text, texts, to_hex};
use super::{NOTHING, Redis};
use crate::store::{AUDIT_MAX, AuditHead, AuditLog, AuditRecord, NewAudit, StoreError};
use core::time::Duration;
use redis::Value;
use tokio::time::timeout;

/// How often a record is hashed anew because another manager appended meanwhile.
const APPEND_ATTEMPTS: usize = 64;

/// How long an append may take, with waiting for those of the same process before it.
const APPEND_TIMEOUT: Duration = Duration::from_secs(10);

impl AuditLog for Redis {
    async fn audit_append(&self, act: NewAudit) -> Result<AuditRecord, StoreError> {
        if !act.fits() {
            return Err(StoreError::TooLarge);
        }
        timeout(APPEND_TIMEOUT, self.append(act))
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("too many write the audit log")))
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let args = (after, limit.clamp(1, AUDIT_MAX));
        audit(self.run(script!("audit"), args).await?)
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        head(self.run(script!("audit_head"), NOTHING).await?)
    }
}

impl Redis {
    /// Adds a record to the end of the chain, which others may move meanwhile.
    async fn append(&self, act: NewAudit) -> Result<AuditRecord, StoreError> {
        let mut chain = self.chain.lock().await;
        let attempt = nonce()?;
        for _ in 0..APPEND_ATTEMPTS {
            // Unknown until an answer says where it is now.
            let seen = match chain.take() {
                Some(head) => head,
                None => self.audit_head().await?,
            };
            let record = seen.next(act.clone());
            let args = (
                (seen.seq, to_hex(&seen.hash)),
                &attempt,
                encode_record(&record).to_vec(),
            );
            let other = array(self.run(script!("audit_append"), args).await?)?;
            if other.is_empty() {
                *chain = Some(AuditHead {
                    seq: record.seq,
                    hash: record.hash,
                });
                return Ok(record);
            }
            let [seq, hash] = texts(Value::Array(other))?;
            *chain = Some(AuditHead {
                seq: number(&seq)?,
                hash: if hash.is_empty() {
                    AuditHead::EMPTY.hash
                } else {
                    from_hex(&hash)?
                },
            });
        }
        Err(StoreError::unavailable("too many write the audit log"))
    }
}

fn encode_record(record: &AuditRecord) -> [(&'static str, String); 7] {
    let act = &record.act;
    [
        ("at", act.at.to_string()),
        ("actor", act.actor.clone()),
        ("source", act.source.clone()),
        ("action", act.action.clone()),
        ("subject", act.subject.clone()),
        ("detail", act.detail.clone()),
        ("hash", to_hex(&record.hash)),
    ]
}

/// Reads entries of the stream of acts.
fn audit(value: Value) -> Result<Vec<AuditRecord>, StoreError> {
    let record = |entry| {
        let [id, all] = items(entry)?;
        let id = text(id)?;
        let (seq, _) = id.split_once('-').ok_or_else(malformed)?;
        let all = &mut fields(all)?;
        Ok(AuditRecord {
            seq: number(seq)?,
            act: NewAudit {
                at: number(&take(all, "at")?)?,
                actor: take(all, "actor")?,
                source: take(all, "source")?,
                action: take(all, "action")?,
                subject: take(all, "subject")?,
                detail: take(all, "detail")?,
            },
            hash: from_hex(&take(all, "hash")?)?,
        })
    };
    array(value)?.into_iter().map(record).collect()
}

fn head(value: Value) -> Result<AuditHead, StoreError> {
    let last = audit(value)?.pop();
    Ok(last.map_or(AuditHead::EMPTY, |record| AuditHead {
        seq: record.seq,
        hash: record.hash,
    }))
}
