//! An application's connection: requests, session, end.

mod conversation;

use super::account::{Place, admit};
use super::callers::Caller;
use super::{ACCEPT_RETRY_MAX, Shared, sessions};
use crate::auth::Login;
use crate::env::{Env, Listener as _, Stream as _, StreamRole};
use crate::shard::{Relay, RelayEnd, linger};
use crate::store::Store;
use conversation::Conversation;
use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use titan_core::endpoint::{Open, SessionId};
use titan_core::ingress::username::UserName;
use titan_core::ingress::{
    Answering, AuthMode, Credentials, Event, Kind, Outcome, Request, Rules, Wishes,
};
use titan_proto::Code;

/// How long an application that has connected but not asked may still take once the POP drains: it is
/// told so when it asks.
const LATE_REQUEST: Duration = Duration::from_secs(1);

/// What a client must show on any listener.
const RULES: Rules = Rules {
    auth: AuthMode::Password,
};

/// Accepts applications until the POP drains; then whoever connects is refused by the system.
pub(super) async fn accept<E: Env, S: Store>(shared: Rc<Shared<E, S>>, mut listener: E::Listener) {
    let mut pause = Duration::from_millis(5);
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.drain.begun() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = Duration::from_millis(5);
                shared.tasks.spawn(serve(Rc::clone(&shared), stream, peer));
            }
            Err(error) => {
                // Out of descriptors or the like: the listener must outlive it.
                tracing::warn!(%error, "cannot accept an application");
                shared.env.sleep_until(shared.env.now() + pause).await;
                pause = (pause * 2).min(ACCEPT_RETRY_MAX);
            }
        }
    }
}

/// A request that was understood and whose user was let in.
struct Asked {
    login: Login,
    request: Request,
}

async fn serve<E: Env, S: Store>(
    shared: Rc<Shared<E, S>>,
    mut stream: E::Stream,
    peer: SocketAddr,
) {
    let max = shared.config.limits.clients_max as usize;
    let Some(caller) = shared.clients.admit(max, peer.ip()) else {
        tracing::warn!(max, "too many clients");
        return stream.set_abort_on_drop();
    };
    stream.tune(StreamRole::Flow);
    let mut talk = Conversation::new(RULES);
    let (asked, opened) = loop {
        // Boxed: its buffers and futures are not carried through the session's life.
        let asked = Box::pin(hear(&shared, &mut stream, &mut talk, &caller));
        let asked = match asked.await {
            Ok(asked) => asked,
            Err(Failed::Told) => return end(&shared, stream, RelayEnd::Refused).await,
            Err(Failed::Late | Failed::Gone | Failed::Displaced) => {
                return end(&shared, stream, RelayEnd::Broken).await;
            }
        };
        match Box::pin(open(&shared, &asked)).await {
            Ok(opened) => break (asked, opened),
            Err(code) => {
                talk.refuse(code);
                // A client that does not take its refusal is treated as one that did.
                let told = talk.flush(&mut stream).await;
                if told.is_err() || !talk.wants_bytes() {
                    return end(&shared, stream, RelayEnd::Refused).await;
                }
            }
        }
    };
    let answering = asked.answering();
    // Held while the session runs: its user is not forgotten meanwhile.
    let Asked { login: _login, .. } = asked;
    let (place, id) = opened;
    let (early, answer) = talk.into_session();
    let relay = Relay::new(shared.shard.clone(), id, stream);
    let relay = match answering {
        Answering::Truthful => relay.with_answer(Box::new(move |outcome| {
            answer(outcome.err().unwrap_or(Code::Ok).into())
        })),
        Answering::Fast => relay.with_front(answer(Outcome::from(Code::Ok))),
    };
    let (stream, how) = relay.with_early(early).run().await;
    drop(place);
    end(&shared, stream, how).await;
}

impl Asked {
    /// Returns when the client is answered: as it wishes, or else as its user is set to.
    fn answering(&self) -> Answering {
        let own = if self.login.truthful {
            Answering::Truthful
        } else {
            Answering::Fast
        };
        self.request.wishes.reply.unwrap_or(own)
    }
}

/// Opens the session that a client asks for.
async fn open<E: Env, S: Store>(
    shared: &Rc<Shared<E, S>>,
    asked: &Asked,
) -> Result<(Place<E, S>, SessionId), Code> {
    let Request {
        target,
        kind: Kind::Tcp,
        wishes,
    } = &asked.request;
    let login = &asked.login;
    let noted = sessions::asked(shared, login, target);
    let admitted = async {
        wishes.check_in_force().map_err(|bad| bad.code())?;
        wishes.check_target(target)?;
        admit(shared, login).await
    };
    let place = admitted
        .await
        .inspect_err(|&code| sessions::refused(shared, &noted, code))?;
    let open = Open {
        target: target.clone(),
        group: place.group,
        weight: 1,
        family: wishes.family(),
        country: wishes.country,
        strict: wishes.is_strict(),
        sticky: wishes.sticky(login.record.id),
        trace: noted.trace(),
    };
    let id = sessions::open(shared, noted, open)?;
    Ok((place, id))
}

async fn end<E: Env, S: Store>(shared: &Shared<E, S>, stream: E::Stream, how: RelayEnd) {
    Box::pin(linger(&shared.env, stream, how)).await;
}

/// Why there is no request.
enum Failed {
    /// The client has its refusal.
    Told,
    /// The client took too long.
    Late,
    /// The connection ended.
    Gone,
    /// All places are taken, and this one by a newer connection.
    Displaced,
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Waits for the client's next request, but not for long.
async fn hear<E: Env, S: Store>(
    shared: &Shared<E, S>,
    stream: &mut E::Stream,
    talk: &mut Conversation,
    caller: &Caller<'_>,
) -> Result<Asked, Failed> {
    let deadline = shared.env.now() + shared.config.limits.client_handshake_timeout;
    tokio::select! {
        biased;
        asked = next_request(shared, stream, talk, caller) => asked,
        () = caller.displaced() => {
            tracing::warn!(max = shared.config.limits.clients_max, "too many clients");
            Err(Failed::Displaced)
        }
        () = shared.env.sleep_until(deadline) => Err(Failed::Late),
        () = async {
            shared.drain.begun().await;
            shared.env.sleep_until(shared.env.now() + LATE_REQUEST).await;
        } => Err(Failed::Late),
    }
}

async fn next_request<E: Env, S: Store>(
    shared: &Shared<E, S>,
    stream: &mut E::Stream,
    talk: &mut Conversation,
    caller: &Caller<'_>,
) -> Result<Asked, Failed> {
    // Nobody is let in by what an earlier request showed.
    let mut user = None;
    loop {
        while let Some(event) = talk.next_event() {
            match event {
                Event::Login(credentials) => {
                    let verdict = tokio::select! {
                        biased;
                        verdict = verify(shared, &credentials, caller.peer()) => verdict,
                        () = talk.hung_up(stream) => return Err(Failed::Gone),
                    };
                    talk.judge(verdict.as_ref().map(|_| ()).map_err(|code| *code));
                    user = verdict.ok();
                    if user.is_some() && !caller.show() {
                        return Err(Failed::Displaced);
                    }
                }
                Event::Request(request) => match user.take() {
                    Some((login, wishes)) => {
                        talk.flush(stream).await?;
                        let wishes = request.wishes.or(wishes);
                        let request = Request { wishes, ..request };
                        return Ok(Asked { login, request });
                    }
                    None => talk.refuse(Code::BadCredentials),
                },
                Event::Failed(failure) => {
                    tracing::debug!(failure = failure.detail, "handshake refused");
                    talk.flush(stream).await?;
                    return Err(Failed::Told);
                }
            }
        }
        talk.flush(stream).await?;
        if !talk.wants_bytes() {
            return Err(Failed::Told);
        }
        if !talk.read(stream).await? {
            return Err(Failed::Gone);
        }
    }
}

/// Finds out who logs in, and what the name wishes.
async fn verify<E: Env, S: Store>(
    shared: &Shared<E, S>,
    credentials: &Credentials,
    client: IpAddr,
) -> Result<(Login, Wishes), Code> {
    let UserName { user, wishes } = UserName::parse(credentials.user());
    let password = credentials.password();
    let verdict = match shared.auth.check_cached(user, password) {
        Some(verdict) => verdict,
        None => Box::pin(shared.auth.verify(user, password, client)).await,
    };
    let login = verdict.inspect_err(|code| tracing::debug!(code = code.tag(), "login refused"))?;
    // Only who knows the password hears what is wrong with the rest.
    let wishes = wishes.and_then(|wishes| wishes.check_in_force().map(|()| wishes));
    match wishes {
        Ok(wishes) => Ok((login, wishes)),
        Err(bad) => {
            let code = bad.code();
            tracing::info!(user = &*login.name, %bad, code = code.tag(), "wishes refused");
            Err(code)
        }
    }
}
