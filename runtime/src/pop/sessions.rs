//! Sessions that run, and what is told of each once it is over (requirement B14).

use super::Shared;
use crate::auth::Login;
use crate::env::Env;
use crate::store::Store;
use crate::telemetry;
use core::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use titan_core::endpoint::{MemoryLevel, Open, SessionId, SessionReport, Whose};
use titan_core::trace::TraceId;
use titan_proto::Code;

/// Whose session is which: of each that the core has not reported yet.
#[derive(Debug, Default)]
pub(super) struct Sessions(RefCell<BTreeMap<SessionId, Arc<str>>>);

/// How a session ended that is worth a line in the log.
struct Failure<'a> {
    user: &'a str,
    node: Option<&'a str>,
    code: Code,
    whose: Option<Whose>,
    trace: TraceId,
}

/// Opens the session that a user was let in for.
pub(super) fn open<E: Env, S: Store>(
    shared: &Shared<E, S>,
    login: &Login,
    open: Open,
) -> Result<SessionId, Code> {
    let trace = open.trace;
    let opened = shared.shard.drive(|core, now| {
        let opened = core.open(now, open);
        opened.map_err(|code| (code, core.memory_level() >= MemoryLevel::Refusing))
    });
    match opened {
        Ok(id) => {
            let user = Arc::clone(&login.name);
            shared.sessions.0.borrow_mut().insert(id, user);
            Ok(id)
        }
        Err((code, short)) => {
            let short = short && code == Code::Overloaded;
            let whose = if short {
                Some(Whose::Pop)
            } else {
                Whose::of(code)
            };
            refused(login, trace, code, whose);
            Err(code)
        }
    }
}

/// Tells of a session that never came about.
pub(super) fn refused(login: &Login, trace: TraceId, code: Code, whose: Option<Whose>) {
    Failure {
        user: &login.name,
        node: None,
        code,
        whose,
        trace,
    }
    .log();
}

/// Tells of a session that is over.
pub(super) fn over<E: Env, S: Store>(shared: &Shared<E, S>, report: &SessionReport) {
    let user = shared.sessions.0.borrow_mut().remove(&report.session);
    // Every session was opened above.
    let Some(user) = user else { return };
    if matches!(report.code, Code::Ok | Code::Cancelled) {
        return;
    }
    Failure {
        user: &user,
        node: report.exit.as_ref().map(|exit| &*exit.node),
        code: report.code,
        whose: report.whose,
        trace: report.trace,
    }
    .log();
}

impl Failure<'_> {
    fn log(&self) {
        tracing::info!(
            user = self.user,
            node = self.node,
            code = self.code.tag(),
            whose = self.whose.map(Whose::tag),
            trace = %self.trace,
            "{}",
            telemetry::tag::DIAG
        );
    }
}
