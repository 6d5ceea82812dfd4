//! Sessions that run, and what is told of each once it is over (requirement B14).

use super::Shared;
use crate::auth::Login;
use crate::env::Env;
use crate::records::Record;
use crate::store::{RecordMode, Store};
use crate::telemetry;
use core::cell::RefCell;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use titan_core::endpoint::{Event, Open, PopEvent, SessionId, SessionReport, Whose};
use titan_core::target::Target;
use titan_core::trace::TraceId;
use titan_proto::Code;

/// What the core does not know of the sessions that it has not reported yet.
#[derive(Debug, Default)]
pub(super) struct Sessions(RefCell<BTreeMap<SessionId, Asked>>);

/// Who asked for a session, and for what.
#[derive(Debug)]
pub(super) struct Asked {
    user: Arc<str>,
    trace: TraceId,
    /// Of those who are recorded.
    begun: Option<Box<Begun>>,
}

#[derive(Debug)]
struct Begun {
    user_id: u64,
    target: Target,
    /// The Unix time.
    at: Duration,
}

/// How it went.
struct Outcome<'a> {
    /// Nothing of one that was refused at once.
    report: Option<&'a SessionReport>,
    whose: Option<Whose>,
}

/// Notes what a user asks for, by which name it is to be found, and whether it is recorded.
pub(super) fn asked<E: Env, S: Store>(
    shared: &Shared<E, S>,
    login: &Login,
    target: &Target,
) -> Asked {
    let recorded = match login.record.settings.records {
        RecordMode::Default => shared.config.records.enabled,
        RecordMode::On => true,
        RecordMode::Off => false,
    };
    let begun = recorded.then(|| {
        Box::new(Begun {
            user_id: login.record.id,
            target: target.clone(),
            at: shared.env.unix_time(),
        })
    });
    Asked {
        user: Arc::clone(&login.name),
        trace: shared.shard.drive(|core, _| core.trace()),
        begun,
    }
}

impl Asked {
    /// Returns the name of the session in logs.
    pub(super) const fn trace(&self) -> TraceId {
        self.trace
    }
}

/// Opens the session that a user was let in for.
pub(super) fn open<E: Env, S: Store>(
    shared: &Shared<E, S>,
    asked: Asked,
    open: Open,
) -> Result<SessionId, Code> {
    let opened = shared.shard.drive(|core, now| {
        let group = open.group;
        let opened = core.open(now, open);
        opened.map_err(|code| (code, core.short_of_memory(group)))
    });
    match opened {
        Ok(id) => {
            shared.sessions.0.borrow_mut().insert(id, asked);
            Ok(id)
        }
        Err((code, short)) => {
            let own = short.filter(|_| code == Code::Overloaded);
            let whose = own.or_else(|| Whose::of(code));
            let report = None;
            tell(shared, &asked, code, &Outcome { report, whose });
            Err(code)
        }
    }
}

/// Tells of a session that never came about.
pub(super) fn refused<E: Env, S: Store>(shared: &Shared<E, S>, asked: &Asked, code: Code) {
    let (report, whose) = (None, Whose::of(code));
    tell(shared, asked, code, &Outcome { report, whose });
}

/// Tells of a session that is over.
pub(super) fn over<E: Env, S: Store>(shared: &Shared<E, S>, report: &SessionReport) {
    let asked = shared.sessions.0.borrow_mut().remove(&report.session);
    // Every session was opened above.
    let Some(asked) = asked else { return };
    let outcome = Outcome {
        report: Some(report),
        whose: report.whose,
    };
    tell(shared, &asked, report.code, &outcome);
}

/// Tells of what this process takes with it. Nothing moves any more, and no task does what follows from
/// events.
pub(super) fn leave<E: Env, S: Store>(shared: &Shared<E, S>) {
    while let Some(event) = shared.shard.take_event() {
        if let Event::Role(PopEvent::SessionOver(report)) = event {
            over(shared, &report);
        }
    }
    let left: Vec<SessionId> = shared.sessions.0.borrow().keys().copied().collect();
    for id in left {
        let report = shared
            .shard
            .with_core(|core| core.report(id, Code::ShuttingDown));
        if let Some(report) = report {
            over(shared, &report);
        }
    }
    shared.records.close();
}

fn tell<E: Env, S: Store>(shared: &Shared<E, S>, asked: &Asked, code: Code, outcome: &Outcome<'_>) {
    let exit = outcome.report.and_then(|report| report.exit.as_ref());
    let node = exit.map(|exit| &*exit.node);
    let is_failure = !matches!(code, Code::Ok | Code::Cancelled);
    let (code, whose) = (code.tag(), outcome.whose.map(Whose::tag));
    if is_failure {
        tracing::info!(
            user = &*asked.user,
            node,
            code,
            whose,
            trace = %asked.trace,
            "{}",
            telemetry::tag::DIAG
        );
    }
    let Some(begun) = &asked.begun else { return };
    let carried = outcome.report.map(|report| report.carried);
    let carried = carried.unwrap_or_default();
    let record = Record {
        pop: &shared.config.id,
        user: &asked.user,
        user_id: begun.user_id,
        target: &begun.target.to_string(),
        address: outcome.report.and_then(|report| report.address),
        node,
        exit: exit.and_then(|exit| exit.address),
        started_at_ms: begun.at,
        ended_at_ms: shared.env.unix_time(),
        uploaded: carried.up,
        downloaded: carried.down,
        code,
        whose,
        trace: &asked.trace.to_string(),
    };
    shared.records.push(&asked.user, &record);
}
