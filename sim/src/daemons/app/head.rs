//! What a client sends first: what it wants of the target.

use crate::daemons::units::{Rate, Size};

/// The demand of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// Tells connections apart.
    pub(super) flow: u64,
    /// Bytes to the target.
    pub(super) up: u64,
    /// Bytes from the target.
    pub(super) down: u64,
    /// Requests and answers; none is both directions at once.
    pub(super) rounds: u64,
    /// How fast the target sends.
    pub(super) pace: Option<Rate>,
    /// How fast it reads.
    pub(super) reads: Option<Rate>,
}

impl Head {
    /// Its length as bytes.
    pub(super) const LEN: usize = 48;

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let rate = |rate: Option<Rate>| rate.map_or(0, |Rate(Size(bytes))| bytes);
        let (pace, reads) = (rate(self.pace), rate(self.reads));
        let numbers = [self.flow, self.up, self.down, self.rounds, pace, reads];
        for (place, number) in out.chunks_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        out
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut numbers = bytes
            .chunks(8)
            .map(|part| part.try_into().map_or(0, u64::from_be_bytes));
        let mut number = || numbers.next().unwrap_or_default();
        let rate = |bytes: u64| (bytes > 0).then_some(Rate(Size(bytes)));
        Self {
            flow: number(),
            up: number(),
            down: number(),
            rounds: number(),
            pace: rate(number()),
            reads: rate(number()),
        }
    }

    /// Returns the bytes of one request and of one answer.
    pub(super) fn round(&self) -> (u64, u64) {
        (self.up / self.rounds, self.down / self.rounds)
    }
}
