//! Obeying operators (requirement W11): nodes that are to leave, at once or for another POP.

use super::Shared;
use crate::env::Env;
use crate::store::{Order, Store};
use core::time::Duration;
use std::net::IpAddr;
use titan_proto::Code;

/// How old an order may be to be obeyed, in seconds. A POP that could not read the stream for longer
/// does not do late what was meant for then. As far as this the clocks of POPs and managers may differ.
const AGE_MAX: u64 = 60;

/// The longest a node can be told to stay away.
const AWAY_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Does what this POP is ordered, given at `at` (Unix seconds).
pub(super) fn obey<E: Env, S: Store>(shared: &Shared<E, S>, at: u64, order: &Order) {
    let age = shared.env.unix_time().as_secs().saturating_sub(at);
    if age > AGE_MAX {
        tracing::warn!(?order, age, "an order is too old to be obeyed");
        return;
    }
    tracing::info!(?order, "order");
    match order {
        Order::Kick { nodes, retry_after } => kick(shared, nodes, away(*retry_after)),
        Order::KickIp { ip, retry_after } => kick_ip(shared, *ip, away(*retry_after)),
        Order::Migrate { nodes } => {
            // Running sessions end where they are.
            let patience = shared.config.drain_timeout;
            shared.shard.drive(|core, now| {
                for node in nodes {
                    core.send_away(now, node, patience);
                }
            });
        }
        Order::Unknown => tracing::warn!("an order that this version does not know"),
    }
}

fn away(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into()).min(AWAY_MAX)
}

fn kick<E: Env, S: Store>(shared: &Shared<E, S>, nodes: &[String], retry: Duration) {
    shared.shard.drive(|core, now| {
        for node in nodes {
            core.kick(now, node, Code::Kicked, retry);
        }
    });
}

fn kick_ip<E: Env, S: Store>(shared: &Shared<E, S>, ip: IpAddr, retry: Duration) {
    let now = shared.env.now();
    shared.blacklist.keep_away(now, ip, now + retry);
    kick(shared, &shared.registrar.nodes_at(ip.into()), retry);
}
