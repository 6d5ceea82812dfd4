//! The process's budget of held bytes, and what happens as it fills.

/// How full the budget is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MemoryLevel {
    /// Below 60 %: windows may grow.
    Normal,
    /// From 60 %: no window grows.
    NoGrowth,
    /// From 80 %: new sessions are refused, new windows are small.
    Refusing,
    /// From 95 %: the largest session without progress for five seconds is reset.
    Shedding,
    /// From 100 %: the largest session is reset, progress or not.
    Full,
}

/// Window of sessions opened or credited while the level is [`MemoryLevel::Refusing`] or above.
pub(crate) const WINDOW_UNDER_PRESSURE: u64 = 64 << 10;

#[derive(Debug)]
pub(crate) struct Memory {
    budget: u64,
    /// Held by receive queues, send queues and early data.
    sessions: u64,
    /// Held for resending.
    resend: u64,
    /// Window growth handed out, of the pool of a quarter of the budget.
    growth: u64,
}

impl Memory {
    pub(crate) const fn new(budget: u64) -> Self {
        Self {
            budget,
            sessions: 0,
            resend: 0,
            growth: 0,
        }
    }

    pub(crate) const fn used(&self) -> u64 {
        self.sessions + self.resend
    }

    pub(crate) fn level(&self) -> MemoryLevel {
        let used = u128::from(self.used()) * 100;
        let reached = |percent: u64| used >= u128::from(self.budget) * u128::from(percent);
        if reached(100) {
            MemoryLevel::Full
        } else if reached(95) {
            MemoryLevel::Shedding
        } else if reached(80) {
            MemoryLevel::Refusing
        } else if reached(60) {
            MemoryLevel::NoGrowth
        } else {
            MemoryLevel::Normal
        }
    }

    /// Takes `bytes` from the growth pool if it has them.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        if self.level() > MemoryLevel::Normal || self.growth + bytes > self.budget / 4 {
            return false;
        }
        self.growth += bytes;
        true
    }

    /// Puts growth back into the pool.
    pub(crate) const fn shrink(&mut self, bytes: u64) {
        self.growth -= bytes;
    }

    /// Replaces a session's charge.
    pub(crate) const fn recharge(&mut self, old: u64, new: u64) {
        self.sessions = self.sessions - old + new;
    }

    /// Replaces a tunnel's charge.
    pub(crate) const fn recharge_resend(&mut self, old: u64, new: u64) {
        self.resend = self.resend - old + new;
    }

    pub(crate) const fn sessions(&self) -> u64 {
        self.sessions
    }

    pub(crate) const fn resend(&self) -> u64 {
        self.resend
    }

    pub(crate) const fn growth(&self) -> u64 {
        self.growth
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, MemoryLevel};

    #[test]
    fn levels_start_exactly() {
        let mut memory = Memory::new(1000);
        for (used, level) in [
            (0, MemoryLevel::Normal),
            (599, MemoryLevel::Normal),
            (600, MemoryLevel::NoGrowth),
            (799, MemoryLevel::NoGrowth),
            (800, MemoryLevel::Refusing),
            (950, MemoryLevel::Shedding),
            (999, MemoryLevel::Shedding),
            (1000, MemoryLevel::Full),
        ] {
            memory.sessions = used / 2;
            memory.resend = used - used / 2;
            assert_eq!(memory.level(), level, "at {used}");
        }
    }

    #[test]
    fn growth_pool_is_a_quarter() {
        let mut memory = Memory::new(1000);
        assert!(memory.grow(250));
        assert!(!memory.grow(1));
        memory.growth = 0;
        memory.sessions = 600;
        assert!(!memory.grow(1));
    }
}
