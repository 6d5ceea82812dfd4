//! What really moved: counted at the sockets between clients and POPs, below the daemons.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

/// Bytes of a user, by direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::daemons) struct Moved {
    pub(in crate::daemons) up: u64,
    pub(in crate::daemons) down: u64,
}

impl Moved {
    pub(in crate::daemons) const fn total(self) -> u64 {
        self.up + self.down
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            up: self.up + other.up,
            down: self.down + other.down,
        }
    }

    pub(super) const fn less(self, other: Self) -> Self {
        Self {
            up: self.up.saturating_sub(other.up),
            down: self.down.saturating_sub(other.down),
        }
    }
}

/// What a POP's process has read from and written to one client's socket.
#[derive(Debug, Default)]
pub(in crate::daemons) struct Tally {
    /// Which of its host's processes, from 0.
    pub(super) life: usize,
    read: AtomicU64,
    written: AtomicU64,
    closed: AtomicBool,
}

impl Tally {
    pub(in crate::daemons) fn new(life: usize) -> Self {
        Self {
            life,
            ..Self::default()
        }
    }

    pub(in crate::daemons) fn read(&self, len: usize) {
        self.read.fetch_add(len as u64, Ordering::Relaxed);
    }

    pub(in crate::daemons) fn wrote(&self, len: usize) {
        self.written.fetch_add(len as u64, Ordering::Relaxed);
    }

    pub(in crate::daemons) fn closed(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn moved(&self) -> Moved {
        Moved {
            up: self.read.load(Ordering::Relaxed),
            down: self.written.load(Ordering::Relaxed),
        }
    }
}

/// A connection of a user that a POP has let in.
#[derive(Debug)]
pub(in crate::daemons) struct Connection {
    pub(in crate::daemons) user: String,
    pub(in crate::daemons) password: String,
    pub(in crate::daemons) pop: u64,
    pub(in crate::daemons) tally: Arc<Tally>,
    /// What went over the socket before the first byte that counts.
    pub(in crate::daemons) handshake: (usize, usize),
}

impl Connection {
    pub(super) fn moved(&self) -> Moved {
        let (up, down) = self.handshake;
        self.tally.moved().less(Moved {
            up: up as u64,
            down: down as u64,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.tally.closed.load(Ordering::Relaxed)
    }
}
