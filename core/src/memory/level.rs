//! How full the budget is, and what follows from that alone.

/// Windows of sessions opened or credited from 80 % and from 95 % of the budget.
const WINDOW_SHORT: u64 = 64 << 10;
const WINDOW_LEAST: u64 = 16 << 10;

/// How full the budget is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MemoryLevel {
    /// Below 60 %: windows may grow, and sockets are read as far as queues go.
    Normal,
    /// From 60 %: no window grows, and sockets are read less and less.
    NoGrowth,
    /// From 80 %: new sessions are refused, windows are small, and who stands still is reset.
    Refusing,
    /// From 95 %: only sockets are read of which nothing waits, and windows are smaller still.
    Shedding,
    /// From 100 %: no socket is read, and no carrier as long as what fills memory waits for sockets.
    Full,
}

/// The bytes at which each level begins.
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) no_growth: u64,
    pub(super) refusing: u64,
    /// From here on the room of send queues falls no further.
    least_room: u64,
    pub(super) shedding: u64,
    pub(super) full: u64,
}

impl Marks {
    pub(super) fn of(budget: u64) -> Self {
        let at = |percent: u128| {
            let mark = (u128::from(budget) * percent).div_ceil(100);
            u64::try_from(mark).unwrap_or(u64::MAX)
        };
        Self {
            no_growth: at(60),
            refusing: at(80),
            least_room: at(90),
            shedding: at(95),
            full: budget,
        }
    }

    pub(super) const fn level(&self, used: u64) -> MemoryLevel {
        if used < self.no_growth {
            MemoryLevel::Normal
        } else if used < self.refusing {
            MemoryLevel::NoGrowth
        } else if used < self.shedding {
            MemoryLevel::Refusing
        } else if used < self.full {
            MemoryLevel::Shedding
        } else {
            MemoryLevel::Full
        }
    }

    /// Returns what falls in a line from `most` at 60 % to `least` at 90 %.
    pub(super) fn slope(&self, used: u64, least: usize, most: usize) -> usize {
        if used < self.no_growth {
            return most;
        }
        let left = u128::from(self.least_room.saturating_sub(used));
        let whole = u128::from(self.least_room - self.no_growth).max(1);
        let part = (most - least) as u128 * left / whole;
        least + usize::try_from(part).unwrap_or(usize::MAX)
    }

    /// Returns the largest window that is granted at a level.
    pub(super) const fn window(&self, level: MemoryLevel) -> u64 {
        match level {
            MemoryLevel::Normal | MemoryLevel::NoGrowth => u64::MAX,
            MemoryLevel::Refusing => WINDOW_SHORT,
            MemoryLevel::Shedding | MemoryLevel::Full => WINDOW_LEAST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Marks, MemoryLevel};

    #[test]
    fn levels_start_exactly() {
        let marks = Marks::of(1000);
        for (used, level) in [
            (0, MemoryLevel::Normal),
            (599, MemoryLevel::Normal),
            (600, MemoryLevel::NoGrowth),
            (799, MemoryLevel::NoGrowth),
            (800, MemoryLevel::Refusing),
            (949, MemoryLevel::Refusing),
            (950, MemoryLevel::Shedding),
            (999, MemoryLevel::Shedding),
            (1000, MemoryLevel::Full),
        ] {
            assert_eq!(marks.level(used), level, "at {used}");
        }
    }

    #[test]
    fn room_falls_in_a_line() {
        let marks = Marks::of(1000);
        for (used, room) in [
            (599, 64),
            (600, 64),
            (750, 34),
            (899, 4),
            (900, 4),
            (1000, 4),
        ] {
            assert_eq!(marks.slope(used, 4, 64), room, "at {used}");
        }
    }
}
