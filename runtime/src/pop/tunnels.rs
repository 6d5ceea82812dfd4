//! Edges' connections: TLS, upgrade, carrier.

use super::blacklist::Visitor;
use super::callers::Caller;
use super::{ACCEPT_RETRY_MAX, Shared};
use crate::carrier::handshake::{self, HandshakeError, Refusal, UpgradeAnswer, UpgradeRequest};
use crate::carrier::{CarrierStream, FrameReader, FrameWriter};
use crate::env::{Env, Listener as _, Stream as _, StreamRole};
use crate::shard::{Carry, carry};
use crate::store::Store;
use core::time::Duration;
use std::net::SocketAddr;
use std::rc::Rc;
use titan_proto::{Code, limits};
use tokio_rustls::TlsAcceptor;

/// What an edge is asked to wait when there is no room for it.
const FULL_RETRY: Duration = Duration::from_secs(30);

/// Accepts edges for ever.
pub(super) async fn accept<E: Env, S: Store>(shared: Rc<Shared<E, S>>, mut listener: E::Listener) {
    let mut pause = Duration::from_millis(5);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                pause = Duration::from_millis(5);
                shared.tasks.spawn(serve(Rc::clone(&shared), stream, peer));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an edge");
                shared.env.sleep_until(shared.env.now() + pause).await;
                pause = (pause * 2).min(ACCEPT_RETRY_MAX);
            }
        }
    }
}

async fn serve<E: Env, S: Store>(shared: Rc<Shared<E, S>>, stream: E::Stream, peer: SocketAddr) {
    // Beyond the limit edges still get an answer, but only a few at a time.
    let max = shared.config.limits.tunnels_max as usize;
    let Some(caller) = shared.carriers.admit(max + max / 8 + 8, peer.ip()) else {
        tracing::warn!(max, "too many carriers");
        return stream.set_abort_on_drop();
    };
    stream.tune(StreamRole::Carrier);
    let deadline = shared.env.now() + shared.config.limits.tunnel_handshake_timeout;
    // Boxed: its buffers are not carried through the tunnel's life.
    let accepted = Box::pin(async {
        tokio::select! {
            biased;
            accepted = upgrade(&shared, stream, &caller) => accepted.map_err(Some),
            () = caller.displaced() => {
                tracing::warn!(max, "too many carriers");
                Err(None)
            }
            () = shared.env.sleep_until(deadline) => Err(None),
        }
    });
    let (stream, request, nonce, confined) = match accepted.await {
        Ok(accepted) => accepted,
        Err(error) => {
            let error = error.map(|error| error.to_string());
            tracing::debug!(%peer, error, "no carrier came about");
            return;
        }
    };
    let encrypted = stream.is_encrypted();
    let node = request.id.clone();
    let visitor = Visitor {
        node: &node,
        ip: peer.ip().to_canonical(),
        confined,
    };
    shared.registrar.seen(&request, visitor);
    let id = shared.shard.drive(|core, now| {
        let id = core.handle_carrier(now, &node, nonce, encrypted);
        core.observe(id, visitor.ip);
        // The lists may have changed while the answer went out.
        if let Some(refusal) = shared.blacklist.refusal(now, visitor) {
            core.handle_carrier_fault(now, id, refusal.code);
        }
        id
    });
    let writer = FrameWriter::server(shared.shard.pool());
    let reader = FrameReader::server(limits::MESSAGE_MAX);
    drop(request);
    let code = carry(
        shared.shard.clone(),
        Carry {
            id,
            stream,
            reader,
            writer,
        },
    )
    .await;
    shared.registrar.ended(&node, peer.ip().to_canonical());
    tracing::debug!(node, %peer, code = code.tag(), "carrier ended");
    drop(caller);
}

type Accepted<E> = (
    CarrierStream<<E as Env>::Stream>,
    UpgradeRequest,
    [u8; 16],
    bool,
);

async fn upgrade<E: Env, S: Store>(
    shared: &Shared<E, S>,
    stream: E::Stream,
    caller: &Caller<'_>,
) -> Result<Accepted<E>, HandshakeError> {
    let stream = match &shared.tls {
        Some(tls) => TlsAcceptor::from(tls.clone()).accept(stream).await?.into(),
        None => CarrierStream::Plain(stream),
    };
    let mut confined = false;
    let check = |request: &UpgradeRequest| judge(shared, request, caller, &mut confined);
    let (stream, upgrade) = handshake::accept(stream, check).await?;
    Ok((stream, upgrade.request, upgrade.nonce, confined))
}

/// Lets in whom the manager sent here, unless it is to stay away by now.
fn judge<E: Env, S: Store>(
    shared: &Shared<E, S>,
    request: &UpgradeRequest,
    caller: &Caller<'_>,
    confined: &mut bool,
) -> Result<UpgradeAnswer, Refusal> {
    let now = shared.env.unix_time().as_secs();
    let claims = shared.keys.verify(&request.token, now).map_err(|error| {
        tracing::debug!(node = request.id, %error, "token refused");
        Refusal::unauthorized()
    })?;
    if claims.node != request.id || claims.pop != shared.config.id {
        return Err(Refusal::unauthorized());
    }
    *confined = claims.confined;
    let visitor = Visitor {
        node: &claims.node,
        ip: caller.peer(),
        confined: claims.confined,
    };
    let now = shared.env.now();
    if let Some(refusal) = shared.blacklist.refusal(now, visitor) {
        return Err(refusal);
    }
    if let Some((code, rest)) = shared
        .shard
        .with_core(|core| core.bar_of(now, &claims.node))
    {
        return Err(Refusal::unavailable(code, rest));
    }
    let is_full = shared.carriers.shown() >= shared.config.limits.tunnels_max as usize;
    if is_full || !caller.show() {
        return Err(Refusal::unavailable(Code::Overloaded, FULL_RETRY));
    }
    Ok(UpgradeAnswer {
        nonce: shared.shard.drive(|core, _| core.nonce()),
    })
}
