//! What the caller tells of exits and asks of them.

use crate::time::Duration;

/// The number of exits a demand can exclude: a session is tried on three exits at most.
pub const EXCLUDE_COUNT_MAX: usize = 3;

/// A country as ISO 3166-1 alpha-2, compared byte by byte.
pub type Country = [u8; 2];

/// The slot of an exit's tunnel; the caller's slots are dense, the index keeps 56 bytes for each up
/// to the highest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExitKey(pub u32);

/// What the caller knows of an exit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExitState {
    /// The smoothed RTT of the tunnel, kept in whole microseconds from 1 µs to 60 s; none before
    /// the first pong.
    pub rtt: Option<Duration>,
    /// The sessions open through this exit.
    pub sessions: u32,
    /// The number of sessions at which the exit is chosen no more.
    pub session_cap: u32,
    /// Where the exit is, if known; an exit without a country matches only demands without one.
    pub country: Option<Country>,
    /// Whether the tunnel has a carrier.
    pub attached: bool,
    /// Whether the exit's host takes sessions.
    pub accepting: bool,
    /// Whether the exit is about to leave.
    pub draining: bool,
    /// Whether an operator forbade the exit.
    pub blacklisted: bool,
}

/// What a session asks of its exit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Demand {
    /// The country the exit must be in; none means any.
    pub country: Option<Country>,
    /// Exits that were tried already.
    pub exclude: [Option<ExitKey>; EXCLUDE_COUNT_MAX],
}

impl Demand {
    pub(super) fn excludes(&self, key: ExitKey) -> bool {
        self.exclude.contains(&Some(key))
    }
}
