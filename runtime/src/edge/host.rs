//! The edge's look at its own host, whose networks are nobody's targets.

use crate::env::Env;
use crate::shard::Shard;
use core::time::Duration;
use std::io;
use std::rc::Rc;
use titan_core::endpoint::EdgeRole;
use titan_core::exit::guard::{Network, OwnNetwork};
use tokio::sync::Notify;

/// How long a change may go unseen. A look costs a tenth of a millisecond, on another thread.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long a look may take: an edge that cannot see its host still knows what is private everywhere.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// How many networks a line of the log names.
const SHOWN_MAX: usize = 32;

/// What is known of the host.
pub(super) struct HostWatch<E: Env> {
    env: E,
    shard: Shard<E, EdgeRole>,
    node: String,
    /// What was seen last.
    known: Option<OwnNetwork>,
    /// The last look failed.
    blind: bool,
}

impl<E: Env> HostWatch<E> {
    pub(super) fn new(env: E, shard: Shard<E, EdgeRole>, node: String) -> Self {
        Self {
            env,
            shard,
            node,
            known: None,
            blind: false,
        }
    }

    /// Looks once, has the edge find a POP, and looks again every few seconds and whenever `moved` says that
    /// the host may be elsewhere.
    pub(super) async fn run(mut self, moved: Rc<Notify>) {
        self.look().await;
        // Not before: what comes over the first tunnel is judged by where the host is.
        self.shard.drive(|core, now| core.add_uplink(now));
        loop {
            tokio::select! {
                biased;
                () = moved.notified() => {}
                () = self.env.sleep_until(self.env.now() + LOOK_INTERVAL) => {}
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let deadline = self.env.now() + LOOK_TIMEOUT;
        let seen = tokio::select! {
            biased;
            seen = self.env.own_network() => seen,
            () = self.env.sleep_until(deadline) => Err(io::ErrorKind::TimedOut.into()),
        };
        match seen {
            Ok(own) => {
                self.blind = false;
                if self.known.as_ref() != Some(&own) {
                    self.apply(own);
                }
            }
            Err(error) => self.lose_sight(&error),
        }
    }

    fn apply(&mut self, own: OwnNetwork) {
        let networks = || self.shard.with_core(|core| core.own_networks().to_vec());
        let before = networks();
        self.shard
            .drive(|core, now| core.handle_own_network(now, &own));
        let now = networks();
        let is_first = self.known.replace(own).is_none();
        // Interfaces of containers come and go within networks that are forbidden anyway.
        if is_first || now != before {
            tracing::info!(
                node = self.node,
                networks = shown(&now),
                "the host's own networks are no targets"
            );
        }
    }

    /// What was seen last goes on to count: the fixed ranges hold in any case.
    fn lose_sight(&mut self, error: &io::Error) {
        if !core::mem::replace(&mut self.blind, true) {
            tracing::warn!(
                node = self.node,
                %error,
                "the system does not tell the host's networks: what it told last is forbidden, and what is \
                 private everywhere"
            );
        }
    }
}

/// Returns networks with spaces between them, and how many are left out.
fn shown(networks: &[Network]) -> String {
    let first: Vec<_> = networks
        .iter()
        .take(SHOWN_MAX)
        .map(Network::to_string)
        .collect();
    match networks.len().saturating_sub(SHOWN_MAX) {
        0 => first.join(" "),
        left_out => format!("{} and {left_out} more", first.join(" ")),
    }
}
