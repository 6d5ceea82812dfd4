//! One session at the edge: resolve, judge, dial, relay.

use super::Shared;
use crate::dial;
use crate::env::{Env, Stream as _, StreamRole};
use crate::shard::{Relay, linger};
use crate::telemetry;
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use titan_core::endpoint::{CloseMode, DialRequest, Dialled, SessionId};
use titan_core::target::Host;
use titan_core::time::Instant;
use titan_proto::Code;

/// How long the look-up of a target's name may take once it has a place: half of what a dial has.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves a session that the POP opened.
pub(super) async fn serve<E: Env>(shared: Rc<Shared<E>>, id: SessionId) {
    // The core bounds how many there are.
    let _counted = shared.sessions.take(usize::MAX);
    let request = shared.shard.with_core(|core| core.dial_request(id));
    let trace = request.as_ref().map(|request| request.trace);
    // Boxed: what dialling needs is not carried through the session's life.
    let outcome = match request {
        Some(request) => Box::pin(connect(&shared, id, &request)).await,
        None => Err(Code::Cancelled),
    };
    let (stream, dialled) = match outcome {
        Ok(connected) => connected,
        Err(code) => {
            tracing::info!(
                node = shared.node,
                code = code.tag(),
                trace = trace.map(display),
                "{}",
                telemetry::tag::DIAG
            );
            shared.shard.drive(|core, now| {
                core.dialled(now, id, Err(code));
                core.close(now, id, code, CloseMode::Abort);
            });
            return;
        }
    };
    stream.tune(StreamRole::Flow);
    tracing::debug!(
        node = shared.node,
        trace = trace.map(display),
        address = dialled.addresses.first().map(display),
        "session connected"
    );
    // The reply is queued before the first byte can go to the target.
    shared
        .shard
        .drive(|core, now| core.dialled(now, id, Ok(dialled)));
    let (stream, how) = Relay::new(shared.shard.clone(), id, stream).run().await;
    Box::pin(linger(&shared.env, stream, how)).await;
}

/// Connects to the target, unless the session ends before.
async fn connect<E: Env>(
    shared: &Shared<E>,
    id: SessionId,
    request: &DialRequest,
) -> Result<(E::Stream, Dialled), Code> {
    let env = &shared.env;
    let started = env.now();
    tokio::select! {
        biased;
        code = shared.shard.ended(id) => Err(code),
        outcome = async {
            let addresses = resolve(shared, request).await?;
            let resolved = env.now();
            let candidates: Vec<SocketAddr> = addresses
                .iter()
                .map(|&address| SocketAddr::new(address, request.target.port))
                .collect();
            // What the host is on may have changed since they were judged.
            let permits = |address| shared.shard.with_core(|core| core.may_dial(address));
            let race = dial::race_permitted(env, &candidates, request.deadline, permits);
            let (stream, winner) = race.await?;
            let mut tried = vec![winner.ip()];
            tried.extend(addresses.into_iter().filter(|address| *address != winner.ip()));
            let dialled = Dialled {
                addresses: tried,
                resolve: since(resolved, started),
                dial: since(env.now(), resolved),
            };
            Ok((stream, dialled))
        } => outcome,
    }
}

/// Returns the addresses to try, judged and in order.
async fn resolve<E: Env>(shared: &Shared<E>, request: &DialRequest) -> Result<Vec<IpAddr>, Code> {
    let name = match &request.target.host {
        // The core has judged it.
        Host::Ip(address) => return Ok(vec![*address]),
        Host::Name(name) => name,
    };
    let env = &shared.env;
    let place = tokio::select! {
        biased;
        place = shared.lookups.place(request.group) => place,
        // Nobody was asked for the name.
        () = env.sleep_until(request.deadline) => return Err(Code::Overloaded),
    };
    let limit = (env.now() + LOOKUP_TIMEOUT).min(request.deadline);
    let found = tokio::select! {
        biased;
        found = env.resolve(name) => found.map_err(|error| dial::lookup_code(&error))?,
        () = env.sleep_until(limit) => return Err(Code::NotResolved),
    };
    drop(place);
    shared
        .shard
        .with_core(|core| core.judge(request.family, found))
}

fn since(later: Instant, earlier: Instant) -> Duration {
    later.since(earlier)
}
