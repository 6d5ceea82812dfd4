//! One attempt to connect an uplink, and the carrier that comes of it.

use super::Shared;
use super::join::{JoinError, Wish};
use crate::carrier::handshake::{self, ClientRequest, ConnectError, Connected};
use crate::carrier::{CarrierStream, FrameReader, FrameWriter};
use crate::env::{Env, Stream as _, StreamRole};
use crate::shard::{Carry, carry};
use crate::url::{Clear, Origin, UrlError};
use core::time::Duration;
use std::rc::Rc;
use titan_core::endpoint::{Edge, UplinkId};
use titan_core::rng::Rng;
use titan_proto::{Code, limits};

/// From connecting to the POP to the upgraded connection. What is connected for is resuming a tunnel, which
/// is kept for 30 s: there is time for another attempt, however long the manager took before this one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// What an edge waits that its manager or POP does not know.
const UNAUTHORIZED_RETRY: Duration = Duration::from_secs(10);

/// Connects an uplink once and bears its carrier to the end. The core decides about the next attempt.
pub(super) async fn connect<E: Env>(shared: Rc<Shared<E>>, uplink: UplinkId) {
    let (stream, connected) = match Box::pin(attempt(&shared, uplink)).await {
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
        .with_core(|core| core.resume_address(uplink).map(str::to_owned));
    // What can be resumed is resumed with the token at hand, whether the manager is there or not.
    let known = if resume.is_some() {
        shared.joiner.last(uplink)
    } else {
        None
    };
    let (grant, source) = match known {
        Some(grant) => (grant, Source::Memory),
        None => {
            let leaving = shared.shard.with_core(Edge::retiring);
            let wish = match resume {
                Some(_) => Wish::Same,
                None => Wish::But(&leaving),
            };
            let way = shared.way();
            let grant = shared.joiner.ask(&shared.env, way, uplink, wish).await?;
            (grant, Source::Manager)
        }
    };
    let clear = shared.joiner.clear();
    let address = resume.filter(|address| !address.is_empty());
    let (pop, url) =
        destination(address, grant.server_url, clear).map_err(|error| Failed::of(&error))?;
    let deadline = shared.env.now() + CONNECT_TIMEOUT;
    let way = Way {
        pop: &pop,
        token: &grant.access_token,
        source,
    };
    tokio::select! {
        biased;
        outcome = reach(shared, uplink, way) => outcome,
        () = shared.env.sleep_until(deadline) => Err(Failed {
            reason: format!("{url} is too slow"),
            retry: Duration::ZERO,
        }),
    }
}

/// Returns where to connect: to the address at which a POP wants to be resumed, unless the edge was not
/// allowed to go there, or else to the one that the manager named.
fn destination(
    resume: Option<String>,
    granted: String,
    clear: Clear,
) -> Result<(Origin, String), UrlError> {
    if let Some(address) = resume {
        match Origin::parse(&address, clear) {
            Ok(pop) => return Ok((pop, address)),
            Err(error) => tracing::warn!(
                %error,
                "the POP wants to be resumed where this edge does not go; the manager's address serves"
            ),
        }
    }
    Origin::parse(&granted, clear).map(|pop| (pop, granted))
}

/// Where to connect, and what to show there.
#[derive(Clone, Copy)]
struct Way<'a> {
    pop: &'a Origin,
    token: &'a str,
    source: Source,
}

/// Where a token is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It was at hand.
    Memory,
    /// The manager was asked for it in this attempt.
    Manager,
}

/// Connects to a POP and has the connection upgraded.
async fn reach<E: Env>(
    shared: &Shared<E>,
    uplink: UplinkId,
    way: Way<'_>,
) -> Result<(CarrierStream<E::Stream>, Connected), Failed> {
    let Way { pop, token, source } = way;
    let stream = pop
        .connect(&shared.env, shared.tls.as_ref(), &shared.remembered)
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
        token,
    };
    handshake::connect(stream, request).await.map_err(|error| {
        let retry = match &error {
            ConnectError::Refused {
                code: Code::Unauthorized,
                ..
            } => {
                shared.joiner.forget(uplink);
                match source {
                    // The manager may have a better one.
                    Source::Memory => Duration::ZERO,
                    Source::Manager => UNAUTHORIZED_RETRY,
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pop_in_clear_is_resumed_where_the_manager_said() {
        const GRANTED: &str = "wss://pop.example:1/ws/node";
        let to = |resume: &str, granted: &str, clear| {
            let found = destination(Some(resume.to_owned()), granted.to_owned(), clear);
            found.map(|(_, url)| url)
        };
        for refused in ["ws://pop.example:2", "ftp://pop.example", "nonsense"] {
            assert_eq!(to(refused, GRANTED, Clear::Refused).unwrap(), GRANTED);
        }
        let resume = "wss://pop.example:2";
        assert_eq!(to(resume, GRANTED, Clear::Refused).unwrap(), resume);
        let clear = "ws://pop.example:2";
        assert_eq!(to(clear, GRANTED, Clear::Allowed).unwrap(), clear);
        for granted in ["ws://pop.example:1", ""] {
            assert!(to(clear, granted, Clear::Refused).is_err(), "{granted}");
        }
    }
}
