//! What is known of a node id, whichever of its processes is there.

use crate::arena::TunnelId;
use crate::config::{DUPLICATE_RETRY, DUPLICATE_RETRY_MAX};
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;

/// Replaced processes of one node that are remembered.
const REPLACED_MAX: usize = 8;

/// What is known of a node id.
#[derive(Debug, Default)]
pub(crate) struct NodeEntry {
    /// The tunnel in use.
    tunnel: Option<TunnelId>,
    /// The tunnel of another process, until its first acknowledgement.
    pending: Option<TunnelId>,
    /// Processes that were taken over from. They are turned away as long as the node has a tunnel.
    replaced: VecDeque<Replaced>,
}

/// A process that was taken over from.
#[derive(Debug)]
struct Replaced {
    epoch: u64,
    /// When it was last heard of.
    heard_at: Instant,
}

impl NodeEntry {
    /// Returns the tunnel in use.
    pub(super) const fn tunnel(&self) -> Option<TunnelId> {
        self.tunnel
    }

    /// Returns the tunnel in use and the one that is to replace it.
    pub(super) fn tunnels(&self) -> impl Iterator<Item = TunnelId> + use<> {
        [self.tunnel, self.pending].into_iter().flatten()
    }

    pub(super) const fn has_tunnel(&self) -> bool {
        self.tunnel.is_some() || self.pending.is_some()
    }

    /// Adds a tunnel: beside the one in use if that lives, until its first acknowledgement.
    pub(super) const fn add(&mut self, id: TunnelId, beside: bool) {
        if beside {
            self.pending = Some(id);
        } else {
            self.tunnel = Some(id);
        }
    }

    pub(super) const fn take_pending(&mut self) -> Option<TunnelId> {
        self.pending.take()
    }

    /// A tunnel is confirmed. Returns the one that it takes over from, if it is another process's.
    pub(super) fn take_over(&mut self, id: TunnelId) -> Option<TunnelId> {
        if self.pending != Some(id) {
            return None;
        }
        self.pending = None;
        self.tunnel.replace(id)
    }

    /// Forgets a tunnel that has ended; the one beside it has its place then.
    pub(super) fn forget(&mut self, id: TunnelId) {
        if self.tunnel == Some(id) {
            self.tunnel = self.pending.take();
        }
        if self.pending == Some(id) {
            self.pending = None;
        }
    }

    /// Remembers a process that was taken over from, and forgets the first of too many.
    pub(super) fn remember_replaced(&mut self, now: Instant, epoch: u64) {
        if self.replaced.len() == REPLACED_MAX {
            self.replaced.pop_front();
        }
        let heard_at = now;
        self.replaced.push_back(Replaced { epoch, heard_at });
    }

    /// Notes that a process was heard of; false if it was never taken over from.
    pub(super) fn hear_replaced(&mut self, now: Instant, epoch: u64) -> bool {
        let again = self.replaced.iter_mut().find(|one| one.epoch == epoch);
        again.map(|one| one.heard_at = now).is_some()
    }

    /// Returns how long a process that was replaced is asked to stay away.
    pub(super) fn duplicate_retry(&self, now: Instant) -> Duration {
        // One that is silent for longer than it was asked to be is no more.
        let lives = |one: &&Replaced| now.since(one.heard_at) <= DUPLICATE_RETRY_MAX * 2;
        let count = self.replaced.iter().filter(lives).count();
        let others = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
        (DUPLICATE_RETRY * 2_u32.saturating_pow(others)).min(DUPLICATE_RETRY_MAX)
    }
}
