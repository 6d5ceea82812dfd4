//! The record of administrative acts: kept before an act is tried and after, and read at `/v1/audit`.

use super::Api;
use super::access::Caller;
use super::answer::Json;
use super::input::Query;
use super::operation::{Access, Call, Method, Operation, Routes};
use super::problem::Problem;
use crate::env::Env;
use crate::store::{AUDIT_MAX, AuditRecord, COUNT_MAX, NewAudit, Role, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use utoipa::{IntoParams, ToSchema};

/// The longest request kept in a record, in bytes; of a longer one only the length and the SHA-256 are, so
/// that whoever has it can show that it was this one.
const REQUEST_MAX: usize = 8 * 1024;

/// The longest subject, in bytes; a longer one is cut.
const SUBJECT_MAX: usize = 256;

/// An act whose outcome is not recorded yet.
pub(super) struct Begun {
    act: NewAudit,
    seq: u64,
}

/// Records an act before it is tried.
///
/// # Errors
/// Fails if it cannot be recorded; then the act must not be tried.
pub(super) async fn begin<E: Env, S: Store>(
    api: &Api<E, S>,
    caller: &Caller,
    source: IpAddr,
    action: &str,
    subject: String,
    request: Value,
) -> Result<Begun, Problem> {
    let text = request.to_string();
    let request = if text.len() > REQUEST_MAX {
        let hash = Sha256::digest(&text).into();
        json!({ "bytes": text.len(), "sha256": hex(&hash) })
    } else {
        request
    };
    let act = NewAudit {
        detail: json!({ "outcome": "begun", "request": request }).to_string(),
        ..new(api, caller, source, action, &subject)
    };
    let seq = api.store.audit_append(act.clone()).await?.seq;
    Ok(Begun { act, seq })
}

/// Records how an act went.
pub(super) async fn end<E: Env, S: Store>(api: &Api<E, S>, begun: Begun, outcome: &str) {
    let Begun { act, seq } = begun;
    let act = NewAudit {
        at: api.env.unix_time().as_secs(),
        detail: json!({ "outcome": outcome, "begun": seq }).to_string(),
        ..act
    };
    let (action, subject) = (act.action.clone(), act.subject.clone());
    if let Err(error) = api.store.audit_append(act).await {
        // That it was begun is recorded, so that the gap shows.
        tracing::error!(action, subject, outcome, seq, %error, "an outcome is not in the audit log");
    }
}

/// Records an act that the caller has no right to, if [`super::refusals`] says so.
pub(super) async fn refused<E: Env, S: Store>(
    api: &Api<E, S>,
    caller: &Caller,
    source: IpAddr,
    action: &'static str,
    path: &str,
    problem: &Problem,
) -> Result<(), Problem> {
    let now = api.env.now();
    let Some(count) = api.refusals.count(&caller.id, action, now) else {
        return Ok(());
    };
    let act = NewAudit {
        detail: json!({ "outcome": problem.word(), "refused": count }).to_string(),
        ..new(api, caller, source, action, path)
    };
    api.store.audit_append(act).await?;
    Ok(())
}

fn new<E: Env, S: Store>(
    api: &Api<E, S>,
    caller: &Caller,
    source: IpAddr,
    action: &str,
    subject: &str,
) -> NewAudit {
    let mut end = subject.len().min(SUBJECT_MAX);
    while !subject.is_char_boundary(end) {
        end -= 1;
    }
    NewAudit {
        at: api.env.unix_time().as_secs(),
        actor: caller.id.clone(),
        source: source.to_string(),
        action: action.to_owned(),
        subject: subject[..end].to_owned(),
        detail: String::new(),
    }
}

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

fn hex(bytes: &[u8; 32]) -> String {
    crate::token::Secret::from_random(*bytes)
        .expose()
        .to_owned()
}
