//! Bands: exits that are about equally good.

/// The RTT above which an exit is avoided, in microseconds (requirement W8: 800 ms).
pub(super) const SLOW_RTT: u32 = 800_000;

/// The upper limits of the RTT bands, in microseconds. Steps of a quarter to a half above 50 ms:
/// about what the mean moves by itself, so that an exit rarely changes its band without having
/// changed.
const RTT_LIMITS: [u32; 13] = [
    25_000,
    50_000,
    75_000,
    100_000,
    150_000,
    200_000,
    300_000,
    400_000,
    600_000,
    SLOW_RTT,
    1_200_000,
    2_000_000,
    u32::MAX,
];

/// The number of RTT bands up to [`SLOW_RTT`].
const NORMAL_RTT_COUNT: usize = 10;

/// The number of load bands, each a quarter of the session cap.
const LOAD_COUNT: usize = 4;

const UNMEASURED_FIRST: usize = NORMAL_RTT_COUNT * LOAD_COUNT;
const SLOW_FIRST: usize = UNMEASURED_FIRST + LOAD_COUNT;
const UNSTABLE_FIRST: usize = SLOW_FIRST + (RTT_LIMITS.len() - NORMAL_RTT_COUNT) * LOAD_COUNT;

/// The number of bands: one bit each in a word says which of them hold exits.
pub(super) const BAND_COUNT: usize = 64;

const _: () = assert!(UNSTABLE_FIRST + 2 * LOAD_COUNT == BAND_COUNT);
const _: () = assert!(RTT_LIMITS[NORMAL_RTT_COUNT - 1] == SLOW_RTT);

/// The bits of the bands of measured, stable exits up to 800 ms.
pub(super) const MEASURED: u64 = (1 << UNMEASURED_FIRST) - 1;

/// The bits of the bands of exits whose RTT is not known yet.
pub(super) const UNMEASURED: u64 = ((1 << SLOW_FIRST) - 1) & !MEASURED;

/// The bands of measured, stable exits up to 800 ms, best first: by the score in the middle of the
/// band.
const NORMAL_RANKS: [[u8; LOAD_COUNT]; NORMAL_RTT_COUNT] = normal_ranks();

/// A set of exits that are about equally good: a band of RTT (failures included) and a band of
/// load.
///
/// Ranked from 0, the best, to 63: measured exits up to 800 ms, then unmeasured ones, then slow
/// ones, which work at least, then unstable ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Band(u8);

/// What decides on the band of an exit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    /// RTT or what stands in for it, plus the penalty for failures, in microseconds.
    pub(super) rtt: u32,
    /// Whether the RTT was measured.
    pub(super) measured: bool,
    /// Whether the exit lost its carrier several times in a short time.
    pub(super) unstable: bool,
    pub(super) sessions: u32,
    pub(super) session_cap: u32,
}

impl Band {
    /// Returns the position among all bands; 0 is the best, 63 the worst.
    #[must_use]
    pub const fn rank(self) -> u8 {
        self.0
    }

    /// Tells whether the exits of this band are taken only when nothing better is left: they are
    /// over 800 ms, failures included, or unstable.
    #[must_use]
    pub const fn is_last_resort(self) -> bool {
        self.0 as usize >= SLOW_FIRST
    }

    /// Returns the band of an exit below its session cap.
    pub(super) fn of(traits: &Traits) -> Self {
        let load = load_band(traits.sessions, traits.session_cap);
        let rtt = RTT_LIMITS.partition_point(|&limit| limit < traits.rtt);
        let rank = if traits.unstable {
            UNSTABLE_FIRST + usize::from(traits.rtt > SLOW_RTT) * LOAD_COUNT + load
        } else if rtt >= NORMAL_RTT_COUNT {
            SLOW_FIRST + (rtt - NORMAL_RTT_COUNT) * LOAD_COUNT + load
        } else if traits.measured {
            NORMAL_RANKS[rtt][load].into()
        } else {
            UNMEASURED_FIRST + load
        };
        Self(rank as u8)
    }

    /// Returns the best band among the bits of `mask`.
    pub(super) const fn best(mask: u64) -> Option<Self> {
        if mask == 0 {
            None
        } else {
            Some(Self(mask.trailing_zeros() as u8))
        }
    }

    pub(super) const fn bit(self) -> u64 {
        1 << self.0
    }
}

/// Returns the RTT in microseconds at or below which an exit at `rtt` is in a better band; `None`
/// in the best.
pub(super) fn better_rtt(rtt: u32) -> Option<u32> {
    RTT_LIMITS.iter().rev().copied().find(|&limit| limit < rtt)
}

/// The order of exits: smoothed RTT × (1 + sessions ÷ session cap), where failures lengthen the
/// RTT; lower is better.
///
/// Fine enough that one session more is always a higher score, whatever the cap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Score(u64);

impl Score {
    /// The bits behind the point of a microsecond: as many as the session cap has.
    const FRACTION_BITS: u32 = u32::BITS;

    /// Returns the score in whole microseconds.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0 >> Self::FRACTION_BITS
    }

    /// Returns the score of an exit below its session cap.
    pub(super) fn of(traits: &Traits) -> Self {
        let load =
            (u64::from(traits.sessions) << Self::FRACTION_BITS) / u64::from(traits.session_cap);
        Self(u64::from(traits.rtt) * ((1 << Self::FRACTION_BITS) + load))
    }
}

/// Returns the load band of an exit below its session cap.
fn load_band(sessions: u32, session_cap: u32) -> usize {
    (u64::from(sessions) * LOAD_COUNT as u64 / u64::from(session_cap)) as usize
}

const fn normal_ranks() -> [[u8; LOAD_COUNT]; NORMAL_RTT_COUNT] {
    let mut ranks = [[0; LOAD_COUNT]; NORMAL_RTT_COUNT];
    let mut one = 0;
    while one < UNMEASURED_FIRST {
        let mut other = 0;
        while other < UNMEASURED_FIRST {
            let (mine, theirs) = (middle(one), middle(other));
            // Between equal middles the band of the lower RTT is the better one.
            if theirs < mine || (theirs == mine && other < one) {
                ranks[one / LOAD_COUNT][one % LOAD_COUNT] += 1;
            }
            other += 1;
        }
        one += 1;
    }
    ranks
}

/// Returns the score in the middle of a band, in arbitrary units.
const fn middle(band: usize) -> u64 {
    let (rtt, load) = (band / LOAD_COUNT, band % LOAD_COUNT);
    let low = if rtt == 0 { 0 } else { RTT_LIMITS[rtt - 1] };
    (low + RTT_LIMITS[rtt]) as u64 * (2 * LOAD_COUNT + 2 * load + 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(rtt_millis: u32, percent: u32) -> Band {
        let (measured, unstable) = (true, false);
        Band::of(&Traits {
            rtt: rtt_millis * 1000,
            measured,
            unstable,
            sessions: percent,
            session_cap: 100,
        })
    }

    #[test]
    fn every_rank_is_given_once() {
        let mut seen = 0_u64;
        for rtt in [
            25, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1200, 2000, 60_000,
        ] {
            for load in [0, 25, 50, 75] {
                for (measured, unstable) in [(true, false), (false, false), (true, true)] {
                    let traits = Traits {
                        rtt: rtt * 1000,
                        measured,
                        unstable,
                        sessions: load,
                        session_cap: 100,
                    };
                    seen |= Band::of(&traits).bit();
                }
            }
        }
        assert_eq!(seen, u64::MAX);
        assert_eq!(
            NORMAL_RANKS
                .as_flattened()
                .iter()
                .fold(0, |seen, rank| seen | 1 << rank),
            MEASURED
        );
    }

    #[test]
    fn limits_belong_to_the_better_band() {
        for limit in [25, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1200, 2000] {
            assert!(band(limit, 0) < band(limit + 1, 0), "{limit} ms");
            assert_eq!(better_rtt(limit * 1000 + 1), Some(limit * 1000));
        }
        assert_eq!(better_rtt(25_000), None);
        assert!(!band(800, 99).is_last_resort());
        assert!(band(801, 0).is_last_resort());
        assert!(band(40, 24) < band(40, 25));
    }

    #[test]
    fn a_busy_band_ranks_behind_an_idle_one_of_a_little_more_rtt() {
        assert!(band(120, 0) < band(100, 75));
        assert!(band(10, 99) < band(40, 0));
    }

    #[test]
    fn one_session_more_is_a_higher_score_at_any_cap() {
        let score = |sessions, session_cap| {
            Score::of(&Traits {
                rtt: 1,
                measured: true,
                unstable: false,
                sessions,
                session_cap,
            })
        };
        assert!(score(0, u32::MAX) < score(1, u32::MAX));
        assert!(score(u32::MAX - 2, u32::MAX) < score(u32::MAX - 1, u32::MAX));
        assert_eq!(score(1, 2).as_micros(), 1);
    }
}
