//! What is said of one exit, and why.

use super::{
    band::{Band, Score},
    told::ExitKey,
};

/// Why an exit is not chosen, or only as a last resort.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// It has no carrier.
    Detached,
    /// An operator forbade it.
    Blacklisted,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// Its host takes no sessions at the moment.
    NotAccepting,
    /// It has as many sessions as it may.
    Full,
    /// It is not in the demanded country.
    WrongCountry,
    /// It was tried already.
    Excluded,
    /// Its RTT is over 800 ms; a last resort.
    Slow,
    /// Its RTT is over 800 ms when its recent failures are added; a last resort.
    Failing,
    /// It lost its carrier several times in a short time; a last resort.
    Unstable,
}

impl Reason {
    /// Returns the stable tag used in logs and answers.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Detached => "detached",
            Self::Blacklisted => "blacklisted",
            Self::Draining => "draining",
            Self::NotAccepting => "not_accepting",
            Self::Full => "full",
            Self::WrongCountry => "wrong_country",
            Self::Excluded => "excluded",
            Self::Slow => "slow",
            Self::Failing => "failing",
            Self::Unstable => "unstable",
        }
    }
}

/// Where an exit stands with regard to a demand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Standing {
    /// It may be chosen.
    Candidate {
        /// The band it is sampled in.
        band: Band,
        /// Its score.
        score: Score,
    },
    /// It may be chosen if there is no candidate.
    LastResort {
        /// The band it is sampled in.
        band: Band,
        /// Its score.
        score: Score,
        /// Why it is avoided.
        reason: Reason,
    },
    /// It must not be chosen.
    Filtered {
        /// The first filter that it did not pass.
        reason: Reason,
    },
}

/// What [`Index::explain`](super::Index::explain) says of one exit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Verdict {
    /// The exit.
    pub key: ExitKey,
    /// Its standing.
    pub standing: Standing,
}
