//! One attempt to connect an uplink, and the carrier that comes of it.

use super::Shared;
use super::join::{JoinError, Wish};
use crate::carrier::handshake::{self, ClientRequest, ConnectError, Connected};
use crate::carrier::{CarrierStream, FrameReader, FrameWriter};
use crate::env::{Env, Stream as _, StreamRole};
use crate::shard::{Carry, carry};
use crate::url::Endpoint;
use core::time::Duration;
use std::rc::Rc;
use titan_core::endpoint::{Edge, UplinkId};
use titan_core::rng::Rng;
use titan_proto::{Code, limits};

/// From the first question to the upgraded connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What an edge waits that its manager or POP does not know.
const UNAUTHORIZED_RETRY: Duration = Duration::from_secs(10);

/// Connects an uplink once and bears its carrier to the end. The core decides about the next attempt.
pub(super) async fn connect<E: Env>(shared: Rc<Shared<E>>, uplink: UplinkId) {
    let deadline = shared.env.now() + CONNECT_TIMEOUT;
    let attempt = Box::pin(async {
        tokio::select! {
            biased;
            outcome = attempt(&shared, uplink) => outcome,
            () = shared.env.sleep_until(deadline) => {
                Err(Failed { reason: "too slow".into(), retry: Duration::ZERO })
            }
        }
    });
    let (stream, connected) = match attempt.await {
        Ok(done) => done,
        Err(Failed { reason, retry }) => {
            tracing::info!(node = shared.node, reason, "no tunnel yet");
            shared
                .shard
                .drive(|core, now| core.handle_connect_failed(now, uplink, retry));
            return;
        }
    };
    let encrypted = stream.is_encrypted();
    let id = shared
        .shard
        .drive(|core, now| core.handle_connected(now, uplink, connected.nonce, encrypted));
    let Some(id) = id else { return };
    let writer = FrameWriter::client(shared.shard.pool(), Rng::new(shared.env.seed()));
    let reader = FrameReader::client(limits::MESSAGE_MAX, connected.early);
    carry(
        shared.shard.clone(),
        Carry {
            id,
            stream,
            reader,
            writer,
        },
    )
    .await;
}

/// Why an attempt failed, and the wait that was asked for.
struct Failed {
    reason: String,
    retry: Duration,
}

async fn attempt<E: Env>(
    shared: &Shared<E>,
    uplink: UplinkId,
) -> Result<(CarrierStream<E::Stream>, Connected), Failed> {
    let resume = shared
        .shard
        .look(|core| core.resume_address(uplink).map(str::to_owned));
    // What can be resumed is resumed with the token at hand, whether the manager is there or not.
    let known = if resume.is_some() {
        shared.joiner.last(uplink)
    } else {
        None
    };
    let grant = match known {
        Some(grant) => grant,
        None => {
            let leaving = shared.shard.look(Edge::retiring);
            let wish = match resume {
                Some(_) => Wish::Same,
                None => Wish::But(&leaving),
            };
            let tls = shared.tls.as_ref();
            shared.joiner.ask(&shared.env, tls, uplink, wish).await?
        }
    };
    let url = match &resume {
        Some(address) if !address.is_empty() => address,
        Some(_) | None => &grant.server_url,
    };
    let pop = Endpoint::parse(url, shared.joiner.clear()).map_err(|error| Failed::of(&error))?;
    let stream = pop
        .connect(&shared.env, shared.tls.as_ref())
        .await
        .map_err(|error| Failed::of(&error))?;
    stream.tune(StreamRole::Carrier);
    let path = handshake::path_and_query(
        &shared.node,
        std::env::consts::OS,
        env!("CARGO_PKG_VERSION"),
    );
    let request = ClientRequest {
        authority: pop.authority(),
        path_and_query: &path,
        token: &grant.access_token,
    };
    handshake::connect(stream, request).await.map_err(|error| {
        let retry = match &error {
            ConnectError::Refused {
                code: Code::Unauthorized,
                ..
            } => {
                shared.joiner.forget(uplink);
                UNAUTHORIZED_RETRY
            }
            ConnectError::Refused {
                code: Code::Blacklisted,
                retry_after,
                ..
            } => {
                shared.joiner.forget(uplink);
                retry_after.unwrap_or(UNAUTHORIZED_RETRY)
            }
            ConnectError::Refused { retry_after, .. } => retry_after.unwrap_or_default(),
            ConnectError::Io(_) | ConnectError::Protocol(_) => Duration::ZERO,
        };
        Failed {
            reason: error.to_string(),
            retry,
        }
    })
}

impl Failed {
    fn of(error: &dyn core::fmt::Display) -> Self {
        Self {
            reason: error.to_string(),
            retry: Duration::ZERO,
        }
    }
}

impl From<JoinError> for Failed {
    fn from(error: JoinError) -> Self {
        let retry = match &error {
            JoinError::Refused { retry_after, .. } => retry_after.unwrap_or(UNAUTHORIZED_RETRY),
            JoinError::Unreached(_) | JoinError::Answer | JoinError::Useless(_) => Duration::ZERO,
        };
        Self {
            reason: error.to_string(),
            retry,
        }
    }
}
