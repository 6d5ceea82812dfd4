//! What was measured of the first byte, and what the distances demand.

use crate::overlay::{FAST, TRUTHFUL};

/// Round trips and the time of the resolver, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delays {
    /// Client and POP.
    pub a: u64,
    /// POP and edge.
    pub b: u64,
    /// Edge and target.
    pub c: u64,
    /// The edge's resolver.
    pub d: u64,
}

/// How a session begins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mode {
    /// Without early data: what the client sends waits for the reply, as in the system before Titan.
    Classic,
    /// The client is answered when the target was dialled.
    Truthful,
    /// The client is answered at once, and sends its request then.
    Fast,
    /// The client sends its request without waiting for the answer.
    Eager,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Classic, Self::Truthful, Self::Fast, Self::Eager];

    /// Returns the name that tables use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Truthful => "truthful",
            Self::Fast => "fast",
            Self::Eager => "eager",
        }
    }

    /// Returns the least that the distances allow, in milliseconds.
    #[must_use]
    pub fn formula(self, delays: Delays) -> u64 {
        let Delays { a, b, c, d } = delays;
        match self {
            Self::Classic => (a + 2 * b + 2 * c + d).max(2 * a + b + c),
            Self::Truthful => 2 * (a + b + c) + d,
            Self::Fast => (a + b + 2 * c + d).max(2 * a + b + c),
            Self::Eager => a + b + 2 * c + d,
        }
    }

    /// Returns whose sessions begin so.
    pub(super) const fn user(self) -> &'static str {
        match self {
            Self::Truthful => TRUTHFUL,
            Self::Classic | Self::Fast | Self::Eager => FAST,
        }
    }
}

/// What was measured at some distances.
#[derive(Clone, Debug)]
pub struct Row {
    /// The distances.
    pub delays: Delays,
    /// Milliseconds, in the order of [`Mode::ALL`].
    pub took: [f64; 4],
}

impl Row {
    /// Returns what a mode took, in milliseconds.
    #[must_use]
    pub const fn of(&self, mode: Mode) -> f64 {
        self.took[mode as usize]
    }

    /// Returns the part of `than`'s time that `mode` saves.
    #[must_use]
    pub const fn saves(&self, mode: Mode, than: Mode) -> f64 {
        1.0 - self.of(mode) / self.of(than)
    }

    /// Returns the measured time over the formula's, of the mode where it is largest.
    #[must_use]
    pub fn worst(&self) -> f64 {
        let ratio = |mode: Mode| self.of(mode) / mode.formula(self.delays) as f64;
        Mode::ALL.into_iter().map(ratio).fold(0.0, f64::max)
    }
}
