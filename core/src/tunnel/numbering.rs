//! Numbered frames: each arrives exactly once and in order, over any number of carriers.

use crate::config::{ACK_BYTES, ACK_SHARE, CONTROL_RESERVE, CRUMB, FRAME_OVERHEAD};
use crate::mark::{self, Mark};
use crate::memory::{Memory, UserId};
use crate::planted::{self, Planted};
use alloc::collections::VecDeque;
use bytes::Bytes;

/// A frame on its way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Message type.
    pub kind: u32,
    /// Session number, zero for the tunnel.
    pub session: u64,
    /// Encoded payload; for DATA the bytes themselves.
    pub payload: Bytes,
}

impl Outgoing {
    const fn charge(&self) -> u64 {
        self.payload.len() as u64 + FRAME_OVERHEAD
    }
}

/// A frame that the peer may not have.
#[derive(Debug)]
struct Kept {
    frame: Outgoing,
    /// Whose share it takes; none's for what no user's bytes cause.
    user: Option<UserId>,
}

/// The peer contradicts what was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Contradiction;

/// Counters and the resend buffer of one tunnel. Frame numbers start at 1; each count is also the
/// number of its last frame.
#[derive(Debug)]
pub(crate) struct Numbering {
    /// Frames made so far.
    sent: u64,
    /// Frames the peer acknowledged.
    acknowledged: u64,
    /// Frames `acknowledged + 1 ..= sent`.
    kept: VecDeque<Kept>,
    kept_charge: u64,
    /// How many of `kept` the present carrier already bore.
    replayed: usize,
    resend_max: u64,
    /// Frames received and applied.
    received: u64,
    /// Last count told to the peer.
    told: u64,
    /// Bytes received since.
    untold: u64,
    peer_resend_max: u64,
}

impl Numbering {
    pub(crate) const fn new(resend_max: u64, peer_resend_max: u64) -> Self {
        Self {
            sent: 0,
            acknowledged: 0,
            kept: VecDeque::new(),
            kept_charge: 0,
            replayed: 0,
            resend_max,
            received: 0,
            told: 0,
            untold: 0,
            peer_resend_max,
        }
    }

    pub(crate) const fn received(&self) -> u64 {
        self.received
    }

    /// Returns the number of the last frame made.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Returns the number of the last frame that the peer acknowledged.
    pub(crate) const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Returns what the resend buffer holds.
    pub(crate) const fn charge(&self) -> u64 {
        self.kept_charge
    }

    /// Tells whether new DATA may be framed.
    pub(crate) const fn takes_data(&self) -> bool {
        self.kept_charge + CRUMB <= self.resend_max
    }

    /// Returns how much may be kept before DATA is held back.
    pub(crate) const fn resend_max(&self) -> u64 {
        self.resend_max
    }

    /// Tells whether new control frames may be framed.
    pub(crate) const fn takes_control(&self) -> bool {
        self.kept_charge < self.resend_max + CONTROL_RESERVE
    }

    /// Numbers a new frame and keeps it.
    pub(crate) fn send(&mut self, frame: Outgoing, user: Option<UserId>, memory: &mut Memory) {
        debug_assert!(!self.has_replay(), "old frames go first");
        self.sent += 1;
        self.kept_charge += frame.charge();
        if let Some(user) = user {
            memory.keep(user, frame.charge());
        }
        self.kept.push_back(Kept { frame, user });
        self.replayed = self.kept.len();
    }

    pub(crate) fn has_replay(&self) -> bool {
        self.replayed < self.kept.len()
    }

    /// Takes the next kept frame that the present carrier has not borne yet.
    pub(crate) fn replay(&mut self) -> Option<Outgoing> {
        let frame = self.kept.get(self.replayed)?.frame.clone();
        self.replayed += 1;
        Some(frame)
    }

    /// Tells whether the present carrier bore something that is not acknowledged.
    pub(crate) const fn is_awaited(&self) -> bool {
        self.replayed > 0
    }

    /// Returns the number of the first frame the present carrier will bear after
    /// [`rewind`](Self::rewind).
    pub(crate) const fn next(&self) -> u64 {
        self.acknowledged + 1
    }

    /// Applies the peer's count. Returns the bytes no longer held.
    pub(crate) fn acknowledge(
        &mut self,
        received: u64,
        memory: &mut Memory,
    ) -> Result<u64, Contradiction> {
        let borne = self.acknowledged + self.replayed as u64;
        if received > borne {
            return Err(Contradiction);
        }
        let mut freed = 0;
        while self.acknowledged < received {
            let kept = self
                .kept
                .pop_front()
                .expect("every frame after the acknowledged is kept");
            let charge = kept.frame.charge();
            freed += charge;
            if let Some(user) = kept.user {
                memory.unkeep(user, charge);
            }
            self.acknowledged += 1;
            self.replayed -= 1;
        }
        self.kept_charge -= freed;
        if self.kept.is_empty() {
            // An idle tunnel holds no table of frames.
            self.kept = VecDeque::new();
        }
        Ok(freed)
    }

    /// Starts a new carrier: everything the peer has not received is sent again.
    pub(crate) fn rewind(
        &mut self,
        received: u64,
        memory: &mut Memory,
    ) -> Result<u64, Contradiction> {
        if received < self.acknowledged || received > self.sent {
            return Err(Contradiction);
        }
        let interrupted = self.has_replay();
        if interrupted {
            mark::hit(Mark::ReplayInterrupted);
        }
        let before = self.kept.len();
        let stopped_at = core::mem::replace(&mut self.replayed, before);
        let freed = self.acknowledge(received, memory)?;
        let count = self.kept.len();
        let first = planted::bend(Planted::ResendOffByOne, 0, |_| count.min(1));
        self.replayed = planted::bend(Planted::ReplayInterrupted, first, |first| {
            let here = stopped_at.saturating_sub(before - count);
            if interrupted { here } else { first }
        });
        Ok(freed)
    }

    /// Counts a frame that was applied. Returns whether its acknowledgement is due at once.
    pub(crate) const fn receive(&mut self, payload_len: usize) -> bool {
        self.received += 1;
        self.untold += payload_len as u64 + FRAME_OVERHEAD;
        self.untold >= ACK_BYTES || self.untold >= self.peer_resend_max / ACK_SHARE
    }

    pub(crate) const fn has_untold(&self) -> bool {
        self.told < self.received
    }

    /// Returns the count to tell the peer now.
    pub(crate) const fn tell(&mut self) -> u64 {
        self.told = self.received;
        self.untold = 0;
        self.received
    }

    /// Takes what is kept out of its users' shares: it will not be sent again.
    pub(crate) fn disown(&mut self, memory: &mut Memory) {
        for kept in &mut self.kept {
            if let Some(user) = kept.user.take() {
                memory.unkeep(user, kept.frame.charge());
            }
        }
    }

    /// Returns what is kept of each user; for audits.
    pub(crate) fn kept_of_users(&self) -> impl Iterator<Item = (UserId, u64)> {
        let kept = self.kept.iter();
        kept.filter_map(|kept| Some((kept.user?, kept.frame.charge())))
    }

    pub(crate) fn is_consistent(&self) -> bool {
        self.sent - self.acknowledged == self.kept.len() as u64
            && self.replayed <= self.kept.len()
            && self.told <= self.received
            && self.kept_charge
                == self
                    .kept
                    .iter()
                    .map(|kept| kept.frame.charge())
                    .sum::<u64>()
    }
}
