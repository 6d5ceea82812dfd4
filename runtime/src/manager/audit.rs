//! The record of administrative acts, as it is read: `/v1/audit`.

use super::answer::Json;
use super::input::Query;
use super::operation::{Access, Method, Operation};
use super::problem::Problem;
use super::record::hex;
use super::routes::{Call, Routes};
use crate::env::Env;
use crate::store::{AUDIT_MAX, AuditRecord, COUNT_MAX, NewAudit, Role, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A recorded act. The hash is the SHA-256 of the hash before (32 bytes), `seq` and `at` (8 bytes each,
/// big endian), and of `actor`, `source`, `action`, `subject` and `detail`, each behind its length in
/// bytes (8 bytes, big endian).
#[derive(Serialize, ToSchema)]
pub(super) struct RecordView {
    /// Its place, from 1 on without a gap.
    seq: u64,
    /// When, in Unix seconds.
    at: u64,
    /// Who: a token's id.
    actor: String,
    /// From which address.
    source: String,
    /// What was done: the operation's id.
    action: String,
    /// To whom or what.
    subject: String,
    /// `begun` before it was tried, then `ok` or the code of the problem.
    outcome: String,
    /// More, as a JSON text; exactly what was hashed.
    detail: String,
    /// In hexadecimal digits.
    hash: String,
}

/// A page of the record.
#[derive(Serialize, ToSchema)]
pub(super) struct RecordPage {
    records: Vec<RecordView>,
    /// `after` of the next page; none at the end.
    next_after: Option<u64>,
}

/// The end of the chain.
#[derive(Serialize, ToSchema)]
pub(super) struct HeadView {
    /// The place of the last record; 0 if there is none.
    seq: u64,
    /// Its hash in hexadecimal digits; note it elsewhere to notice a chain made anew.
    hash: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// The place after which to begin.
    #[param(maximum = 9_007_199_254_740_991u64)]
    after: Option<u64>,
    /// The most records.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    const READ: Access = Access::Role(Role::ReadOnly);
    routes
        .look(
            Operation::new(
                Method::Get,
                "/v1/audit",
                "audit.list",
                "Lists administrative acts",
                READ,
            ),
            list,
        )
        .look(
            Operation::new(
                Method::Get,
                "/v1/audit/head",
                "audit.head",
                "Shows the end of the chain of acts",
                READ,
            ),
            head,
        )
}

async fn list<E: Env, S: Store>(
    call: Call<E, S>,
    Query(part): Query<Part>,
) -> Result<Json<RecordPage>, Problem> {
    let limit = part.limit.unwrap_or(super::input::PAGE_DEFAULT);
    if !(1..=AUDIT_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!(
            "limit must be from 1 to {AUDIT_MAX}"
        )));
    }
    let after = part.after.unwrap_or(0);
    if after > COUNT_MAX {
        return Err(Problem::bad_request("after is no place of a record"));
    }
    let records = call.api.store.audit(after, limit).await?;
    let full = records.len() == limit as usize;
    let next_after = records.last().map(|last| last.seq).filter(|_| full);
    let records = records.into_iter().map(RecordView::from).collect();
    Ok(Json(RecordPage {
        records,
        next_after,
    }))
}

async fn head<E: Env, S: Store>(call: Call<E, S>, (): ()) -> Result<Json<HeadView>, Problem> {
    let head = call.api.store.audit_head().await?;
    Ok(Json(HeadView {
        seq: head.seq,
        hash: hex(&head.hash),
    }))
}

impl From<AuditRecord> for RecordView {
    fn from(record: AuditRecord) -> Self {
        let detail: Value = serde_json::from_str(&record.act.detail).unwrap_or_default();
        let outcome = detail["outcome"].as_str().unwrap_or_default().to_owned();
        let NewAudit {
            at,
            actor,
            source,
            action,
            subject,
            detail,
        } = record.act;
        Self {
            seq: record.seq,
            at,
            actor,
            source,
            action,
            subject,
            outcome,
            detail,
            hash: hex(&record.hash),
        }
    }
}
