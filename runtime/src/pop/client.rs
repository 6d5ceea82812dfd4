//! An application's connection: handshake, session, end.

use super::account::admit;
use super::{ACCEPT_RETRY_MAX, Shared};
use crate::auth::Account;
use crate::env::{Env, Listener as _, Stream as _, StreamRole};
use crate::shard::{Relay, RelayEnd, linger};
use crate::store::Store;
use crate::telemetry;
use bytes::{Bytes, BytesMut};
use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use titan_core::endpoint::Open;
use titan_core::ingress::socks5::{AuthMode, Event, HANDSHAKE_LEN_MAX, Socks5};
use titan_core::target::Target;
use titan_proto::{Code, wire};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long an application that has connected but not asked may still take once the POP drains: it is
/// told so when it asks.
const LATE_REQUEST: Duration = Duration::from_secs(1);

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
    account: Account,
    target: Target,
    socks: Socks5,
    /// What the client sent after its request.
    early: BytesMut,
}

async fn serve<E: Env, S: Store>(
    shared: Rc<Shared<E, S>>,
    mut stream: E::Stream,
    peer: SocketAddr,
) {
    let max = shared.config.limits.sessions_max as usize;
    let Some(_place) = shared.clients.take(max) else {
        tracing::warn!(max, "too many clients");
        return stream.set_abort_on_drop();
    };
    stream.tune(StreamRole::Flow);
    let deadline = shared.env.now() + shared.config.limits.client_handshake_timeout;
    // Boxed: its buffers and futures are not carried through the session's life.
    let asked = Box::pin(async {
        tokio::select! {
            biased;
            asked = handshake(&shared, &mut stream, peer.ip()) => asked,
            () = shared.env.sleep_until(deadline) => Err(Failed::Late),
            () = async {
                shared.drain.begun().await;
                shared.env.sleep_until(shared.env.now() + LATE_REQUEST).await;
            } => Err(Failed::Late),
        }
    });
    let asked = match asked.await {
        Ok(asked) => asked,
        Err(Failed::Told) => return end(&shared, stream, RelayEnd::Refused).await,
        Err(Failed::Late | Failed::Gone) => return end(&shared, stream, RelayEnd::Broken).await,
    };
    let Asked {
        account,
        target,
        mut socks,
        early,
    } = asked;
    let admitted = Box::pin(admit(&shared, &account)).await;
    let open = Open {
        target,
        group: admitted.as_ref().map_or(0, |place| place.group),
        weight: 1,
        family: wire::create::Family::Any,
        country: None,
        strict: false,
        sticky: None,
        trace: [0; 16],
    };
    let opened = admitted.and_then(|place| {
        let opened = shared.shard.drive(|core, now| core.open(now, open));
        opened.map(|id| (place, id))
    });
    let (place, id) = match opened {
        Ok(opened) => opened,
        Err(code) => {
            tracing::info!(code = code.tag(), "{}", telemetry::tag::DIAG);
            socks.reply(code, None);
            // A client that does not take its refusal is treated as one that did.
            let _ = flush(&mut stream, &mut socks).await;
            return end(&shared, stream, RelayEnd::Refused).await;
        }
    };
    let relay = Relay::new(shared.shard.clone(), id, stream);
    let relay = if account.truthful {
        relay.with_answer(Box::new(move |outcome| {
            socks.reply(outcome.err().unwrap_or(Code::Ok), None);
            output(&mut socks)
        }))
    } else {
        socks.reply(Code::Ok, None);
        relay.with_front(output(&mut socks))
    };
    let (stream, how) = relay.with_early(early.freeze()).run().await;
    if let RelayEnd::Failed(code) = how {
        tracing::info!(code = code.tag(), "{}", telemetry::tag::DIAG);
    }
    drop(place);
    end(&shared, stream, how).await;
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
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

async fn handshake<E: Env, S: Store>(
    shared: &Shared<E, S>,
    stream: &mut E::Stream,
    client: IpAddr,
) -> Result<Asked, Failed> {
    let mut socks = Socks5::new(AuthMode::Password);
    let mut buffer = BytesMut::with_capacity(HANDSHAKE_LEN_MAX);
    let mut account = None;
    loop {
        while let Some(event) = socks.handle_bytes(&mut buffer) {
            match event {
                Event::Credentials(credentials) => {
                    let (user, password) = (credentials.user(), credentials.password());
                    let known = shared.auth.check_cached(user, password);
                    let verdict = match known {
                        Some(verdict) => verdict,
                        None => Box::pin(shared.auth.verify(user, password, client)).await,
                    };
                    match verdict {
                        Ok(user) => {
                            account = Some(user);
                            socks.accept();
                        }
                        Err(code) => {
                            tracing::debug!(code = code.tag(), "login refused");
                            socks.reject(code);
                        }
                    }
                }
                Event::Request(target) => {
                    let Some(account) = account else {
                        return Err(Failed::Gone);
                    };
                    flush(stream, &mut socks).await?;
                    return Ok(Asked {
                        account,
                        target,
                        socks,
                        early: buffer,
                    });
                }
                Event::Failed(failure) => {
                    tracing::debug!(%failure, "handshake refused");
                    flush(stream, &mut socks).await?;
                    return Err(Failed::Told);
                }
            }
        }
        flush(stream, &mut socks).await?;
        if !socks.wants_bytes() {
            return Err(Failed::Told);
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(Failed::Gone);
        }
    }
}

async fn flush<S: crate::env::Stream>(stream: &mut S, socks: &mut Socks5) -> io::Result<()> {
    while let Some(bytes) = socks.poll_output() {
        stream.write_all(&bytes).await?;
    }
    Ok(())
}

fn output(socks: &mut Socks5) -> Bytes {
    let mut out = BytesMut::new();
    while let Some(bytes) = socks.poll_output() {
        out.extend_from_slice(&bytes);
    }
    out.freeze()
}
