//! An operator, who asks the manager over its API.

use super::spec::{Act, unix};
use crate::daemons::env::TurmoilEnv;
use crate::daemons::ports::MANAGER_PORT;
use crate::daemons::store::at_once;
use crate::daemons::units::{Rate, Size};
use crate::daemons::world::Shared;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use titan_core::time::Instant;
use titan_runtime::env::Env as _;
use titan_runtime::store::Users as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time;

/// How long an answer is waited for: longer than the manager takes at most.
const PATIENCE: Duration = Duration::from_secs(35);

/// How long after a failure the operator asks again.
const RETRY: Duration = Duration::from_secs(1);

/// Does all acts of the scenario.
pub(in crate::daemons) async fn run(shared: Rc<Shared>, env: TurmoilEnv) {
    let mut acts = JoinSet::new();
    for index in 0..shared.scenario.acts.len() {
        let (shared, env) = (Rc::clone(&shared), env.clone());
        acts.spawn_local(async move { perform(&shared, &env, index).await });
    }
    while acts.join_next().await.is_some() {}
}

/// Does one act: asks until it is done.
async fn perform(shared: &Shared, env: &TurmoilEnv, index: usize) {
    let timed = &shared.scenario.acts[index];
    let at = Instant::EPOCH + timed.at.min.duration();
    env.sleep_until(at).await;
    let act = &timed.act;
    let request = Request::of(act, index);
    shared.log.note(format_args!("{act:?} is asked for"));
    shared.ledger.begins(act);
    let mut asked_before = false;
    loop {
        let answer = time::timeout(PATIENCE, request.ask(shared, env)).await;
        match answer {
            Ok(Ok((200..300, _))) => break,
            // An answer to an earlier request was lost.
            Ok(Ok((404, _))) if asked_before && request.method == "DELETE" => break,
            Ok(Ok((code @ 400..500, body))) => {
                let message = format!("the manager answers {act:?} with {code}: {body}");
                return shared.findings.unexpected(message);
            }
            Ok(Ok(_) | Err(_)) | Err(_) => {}
        }
        asked_before = true;
        shared.log.note(format_args!("{act:?} has failed"));
        env.sleep_until(env.now() + RETRY).await;
    }
    shared.log.note(format_args!("{act:?} is done"));
    let user = at_once(shared.store.store.user(act.user()));
    let charged = user.ok().flatten().map_or(0, |user| user.charged);
    shared.ledger.done(act, charged);
}

/// What is asked of the manager.
struct Request {
    method: &'static str,
    path: String,
    body: String,
}

impl Request {
    fn of(act: &Act, index: usize) -> Self {
        let path = format!("/v1/users/{}", act.user());
        // Repeating an adjustment does nothing.
        let adjust = |what: String| Self {
            method: "POST",
            path: format!("{path}/adjustments"),
            body: format!(r#"{{"id":"act-{index}",{what}}}"#),
        };
        match act {
            Act::Set { .. } => Self {
                method: "PATCH",
                body: patch(act),
                path,
            },
            Act::Password { to, .. } => Self {
                method: "PUT",
                path: format!("{path}/password"),
                body: format!(r#"{{"password":"{to}"}}"#),
            },
            Act::Add { bytes, .. } => adjust(format!(r#""add_bytes":{}"#, bytes.0)),
            Act::Take { bytes, .. } => adjust(format!(r#""add_bytes":-{}"#, bytes.0)),
            Act::Reset { .. } => adjust(r#""reset":true"#.to_owned()),
            Act::Delete { .. } => Self {
                method: "DELETE",
                path,
                body: String::new(),
            },
        }
    }

    /// Asks once; returns status and body.
    async fn ask(&self, shared: &Shared, env: &TurmoilEnv) -> io::Result<(u16, String)> {
        let at = SocketAddr::new(shared.ip("manager"), MANAGER_PORT);
        let mut stream = env.connect(at).await?;
        let Self { method, path, body } = self;
        let (token, len) = (shared.admin.expose(), body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {at}\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let code = code.ok_or(io::ErrorKind::InvalidData)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((code, body.to_owned()))
    }
}

fn patch(act: &Act) -> String {
    let Act::Set {
        user: _,
        quota,
        up,
        down,
        sessions,
        expires,
        off,
    } = act
    else {
        return String::new();
    };
    let rate = |rate: Rate| rate.0.0;
    let fields = [
        ("traffic_limit", quota.map(|Size(quota)| quota.to_string())),
        ("upload_rate", up.map(|up| rate(up).to_string())),
        ("download_rate", down.map(|down| rate(down).to_string())),
        ("sessions_max", sessions.map(|max| max.to_string())),
        ("expires_at", expires.map(|at| unix(at).to_string())),
        ("enabled", off.map(|off| (!off).to_string())),
    ];
    let fields = fields
        .into_iter()
        .filter_map(|(name, value)| Some(format!(r#""{name}":{}"#, value?)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}
