//! The record of administrative acts, as it is kept: before an act is tried and after.

use super::Api;
use super::access::Caller;
use super::problem::Problem;
use crate::env::Env;
use crate::store::{NewAudit, Store};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;

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

/// Writes a hash in hexadecimal digits.
pub(super) fn hex(bytes: &[u8; 32]) -> String {
    crate::token::Secret::from_random(*bytes)
        .expose()
        .to_owned()
}
