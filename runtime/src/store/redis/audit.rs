//! The record of administrative acts as a stream.

use super::reply::{array, fields, from_hex, items, malformed, number, take, text, to_hex};
use super::{NOTHING, Redis};
use crate::store::{AUDIT_MAX, AuditHead, AuditLog, AuditRecord, NewAudit, StoreError};
use redis::Value;

impl AuditLog for Redis {
    async fn audit_append(&self, act: NewAudit) -> Result<AuditRecord, StoreError> {
        if !act.fits() {
            return Err(StoreError::TooLarge);
        }
        self.append(act).await
    }

    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let args = (after, limit.clamp(1, AUDIT_MAX));
        audit(self.run(script!("audit"), args).await?)
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        head(self.run(script!("audit_head"), NOTHING).await?)
    }
}

/// The fields of a record and their values.
pub(super) fn encode_record(record: &AuditRecord) -> [(&'static str, String); 7] {
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
    Ok(last.map_or(AuditHead::EMPTY, |record| record.head()))
}
