//! Which part of a user's rate is this POP's, and how much of it the user would use here.
//!
//! ```text
//!            nobody elsewhere            others there
//!  Untold ─────────────────────▶ Whole ◀──────────────▶ Part
//!   ▲ └──────────────────────────────────────────────▶ │
//!   └──────── somebody comes to where nobody was ───────┘
//! ```
//!
//! What was said last stays, also while the store is away; who comes back meanwhile to where nobody was has
//! what it has before the first answer.

use super::message::Standing;
use crate::account::{Carried, Rates, Way};
use crate::time::{Duration, Instant};

/// Before the store has said who else is there a user has this part of its rate.
const UNTOLD_PART: u64 = 4;

/// Who uses all of its rate but this part of it is held back by it, and wants everything.
const SPARE_PART: u64 = 16;

/// Who is not held back wants this part more than it uses: so much it grows between two exchanges before
/// it is held back. Large enough that it does not count as held back when it has got that.
const GROWTH_PART: u64 = 5;

/// What is measured over less than this says nothing.
const MEASURED_MIN: Duration = Duration::from_millis(500);

/// What the store said last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Untold,
    /// The user has sessions nowhere else: the rate is this POP's.
    Whole,
    /// So much is this POP's.
    Part(Rates),
}

/// A user's share of its rate.
#[derive(Debug)]
pub(super) struct Share {
    told: Told,
    wants: Rates,
    /// Since when the user is measured, and what it had carried then.
    since: Instant,
    carried: Carried,
}

impl Share {
    pub(super) const fn new(now: Instant, carried: Carried) -> Self {
        Self {
            told: Told::Untold,
            wants: EVERYTHING,
            since: now,
            carried,
        }
    }

    /// Returns how fast the user may be here, of what it may be in all.
    pub(super) fn of(&self, rates: Rates) -> Rates {
        each(|way| {
            let rate = rates.of(way);
            if rate == 0 {
                return 0;
            }
            let untold = (rate / UNTOLD_PART).max(1);
            match self.told {
                Told::Untold => untold,
                Told::Whole => rate,
                // When it was told there was no limit yet.
                Told::Part(share) if share.of(way) == 0 => untold,
                Told::Part(share) => share.of(way).min(rate),
            }
        })
    }

    /// Returns what the store is told, in bytes per second.
    pub(super) const fn wants(&self) -> Rates {
        self.wants
    }

    /// Tells whether the user has sessions elsewhere.
    pub(super) const fn is_part(&self) -> bool {
        matches!(self.told, Told::Part(_))
    }

    /// Tells whether the store has said nothing that counts.
    pub(super) const fn is_untold(&self) -> bool {
        matches!(self.told, Told::Untold)
    }

    /// Somebody comes to where nobody was: others may have taken the rest. What was used and wanted counts on,
    /// or whoever comes and goes would want everything each time.
    pub(super) const fn come_back(&mut self) {
        if self.is_part() {
            self.told = Told::Untold;
        }
    }

    /// Takes in what the store says.
    pub(super) fn stand(&mut self, now: Instant, carried: Carried, standing: &Standing) {
        let told = if standing.sessions_elsewhere == 0 {
            Told::Whole
        } else {
            Told::Part(standing.share)
        };
        let old = core::mem::replace(&mut self.told, told);
        if old != told && old != Told::Untold {
            // What was measured under another share says nothing of this one.
            (self.since, self.carried) = (now, carried);
        }
    }

    /// Sees how much the user has used of what it may use in all.
    pub(super) fn measure(&mut self, now: Instant, carried: Carried, rates: Rates) {
        let time = now.since(self.since);
        if time < MEASURED_MIN {
            return;
        }
        let share = self.of(rates);
        let before = self.carried;
        self.wants = each(|way| {
            let bytes = carried.of(way).saturating_sub(before.of(way));
            let used = u128::from(bytes) * 1_000_000_000 / time.as_nanos().max(1);
            let used = u64::try_from(used).unwrap_or(u64::MAX);
            let share = share.of(way);
            if used >= share - share / SPARE_PART {
                u64::MAX
            } else {
                used + used / GROWTH_PART
            }
        });
        (self.since, self.carried) = (now, carried);
    }
}

const EVERYTHING: Rates = Rates {
    up: u64::MAX,
    down: u64::MAX,
};

fn each(rate: impl Fn(Way) -> u64) -> Rates {
    Rates {
        up: rate(Way::Up),
        down: rate(Way::Down),
    }
}
