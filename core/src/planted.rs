//! Bugs that can be switched on, to prove that simulations find them.
//!
//! Compiled in with the feature `planted` only; without it `on` is `false` at compile time and the
//! branch is gone. Each bug is one call, where what it spoils is decided: [`on`] in a condition, or
//! `bend` around a value. What a bug needs beyond that is kept apart, in files called `sabotage`.

/// Declares [`Planted`], its list and what is told of each from one table.
macro_rules! planted {
    ($($name:ident = $text:literal, $invariant:literal, $faults:literal;)+) => {
        /// A bug.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Planted {
            $(#[doc = $text] $name,)+
        }

        impl Planted {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns what is wrong.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// Returns the number of the invariant it breaks.
            #[must_use]
            pub const fn invariant(self) -> u8 {
                match self {
                    $(Self::$name => $invariant,)+
                }
            }

            /// Returns how many faults of the world have to coincide before it shows.
            #[must_use]
            pub const fn faults(self) -> u8 {
                match self {
                    $(Self::$name => $faults,)+
                }
            }
        }
    };
}

planted! {
    CleanEndAtLoss = "a session that is half done ends cleanly when its tunnel is lost", 1, 1;
    EarlyFinLost = "the second move to another exit forgets that the client has finished", 1, 2;
    EarlyDoubled = "the second move to another exit sends the early bytes twice", 2, 0;
    FinBeforeData = "the end of a direction overtakes the last bytes of a long queue", 1, 0;
    TailLostAtClose = "a socket fails while its carrier is away: what it had sent before is dropped", 1, 2;
    ReplayInterrupted = "a carrier cut while old frames are sent again: the next one goes on after them", 2, 2;
    ResendOffByOne = "after a resume one frame too few is sent again", 2, 1;
    StaleCarrier = "a carrier that was replaced is still heard", 2, 1;
    CreditOffByOne = "a sender takes one byte more than it was granted", 3, 0;
    OverrunTaken = "data beyond the limit is taken", 3, 1;
    HeldMiscounted = "bytes dropped because the peer reads no more stay charged", 4, 1;
    GrowthKept = "a session that is reset keeps its share of the growth pool", 4, 1;
    LostAckAccounting = "acknowledged frames stay charged when the buffer was full", 4, 1;
    ReadWhileFull = "carriers are read however much is held", 4, 1;
    ProgressForgotten = "what a socket takes does not count when memory is short", 6, 0;
    PassedOverForgotten = "users that were passed over for what all keep are not looked at again", 6, 0;
    DeniedForgotten = "a driver that found no memory is never told that there is some", 6, 0;
    CreditHeldBack = "bytes that a slow socket takes while the carrier is away never become credit", 3, 1;
    CreditSharedByGroup = "a session gets no credit while another one of its group holds bytes", 5, 1;
    AckWaitsForSocket = "acknowledgements wait for a socket that takes nothing", 5, 1;
    WakeLost = "credit that comes while memory is short wakes nobody", 6, 1;
    EndLostAtResume = "a socket that fails or takes no more while its carrier is away: the peer is never told", 6, 2;
    DrainedTooSoon = "a side that goes away says that it is done while sessions are left", 6, 1;
    ForgottenClose = "an exit that a dial was taken from is never told", 6, 1;
    GraceNotEnded = "the grace time of a lost carrier runs on after the resume", 6, 1;
    ControlLostAtCut = "control frames that waited for room are forgotten with their carrier", 6, 1;
    WithheldNotForgiven = "acknowledgements do not count while memory is short", 6, 1;
    LateHelloTaken = "a HELLO older than the last one is accepted", 2, 1;
    FailoverAfterByte = "after one refusal, a dial whose bytes were framed moves when its tunnel is lost", 7, 2;
    StaleRelease = "who held a lease that has moved on releases the new one", 8, 2;
    LeaseLeftWhileAway = "opening a sticky session while its exit is away takes another", 8, 1;
    EarlyCountedTwice = "the second move to another exit counts the early bytes again", 9, 0;
    GrantRepeated = "a grant that comes twice grants twice", 9, 1;
    RecallUnheard = "what a group had carried when its grant was lowered is given back all the same", 9, 0;
    LaterTold = "what was carried while a report was under way counts as told", 9, 0;
    TotalsBegunAnew = "a user who comes back begins with totals of zero", 9, 0;
    GrantKept = "what a user leaves of a grant is not given back", 9, 0;
    OthersNotAwaited = "a user is cut off while other POPs hold something of the limit", 9, 0;
    TailUncharged = "what is left of a session that failed is shown beyond the grant", 9, 1;
    IdleTimeSaved = "a rate saves up what was not used", 9, 0;
    SessionCapIgnored = "an edge opens more sessions than it said", 10, 1;
    PrivateReached = "the guard lets a private network through", 11, 0;
    SharedCounter = "a counter that outlives a run decides how long to wait", 12, 1;
}

/// Returns whether this bug is switched on.
#[inline(always)]
pub fn on(bug: Planted) -> bool {
    #[cfg(feature = "planted")]
    return switch::is_on(bug);
    #[cfg(not(feature = "planted"))]
    return (bug, false).1;
}

/// Returns what is right, or what `wrong` makes of it with this bug.
#[inline(always)]
pub(crate) fn bend<T>(bug: Planted, right: T, wrong: impl FnOnce(T) -> T) -> T {
    if on(bug) { wrong(right) } else { right }
}

/// Counts how often this process has asked: what no run may know of. For bugs alone.
pub(crate) fn asked() -> u32 {
    #[cfg(feature = "planted")]
    return switch::asked();
    #[cfg(not(feature = "planted"))]
    return 0;
}

/// What a planted bug keeps although it is over. Nothing at all, unless bugs are compiled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leftover<T> {
    #[cfg(feature = "planted")]
    kept: Option<T>,
    #[cfg(not(feature = "planted"))]
    kept: core::marker::PhantomData<T>,
}

impl<T: Copy> Leftover<T> {
    /// Keeps `value` if this bug is switched on.
    #[cfg(feature = "planted")]
    pub(crate) fn of(bug: Planted, value: T) -> Self {
        Self {
            kept: on(bug).then_some(value),
        }
    }

    /// Keeps nothing.
    #[cfg(not(feature = "planted"))]
    pub(crate) const fn of(_: Planted, _: T) -> Self {
        Self {
            kept: core::marker::PhantomData,
        }
    }

    /// Returns what is kept.
    pub(crate) const fn get(&self) -> Option<T> {
        #[cfg(feature = "planted")]
        return self.kept;
        #[cfg(not(feature = "planted"))]
        return None;
    }
}

#[cfg(feature = "planted")]
pub use switch::switch_on;

#[cfg(feature = "planted")]
mod switch {
    use super::Planted;
    use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    /// One more than the index of the bug that is on; zero: none.
    static ON: AtomicUsize = AtomicUsize::new(0);

    static ASKED: AtomicU32 = AtomicU32::new(0);

    pub(super) fn asked() -> u32 {
        ASKED.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn is_on(bug: Planted) -> bool {
        ON.load(Ordering::Relaxed) == bug as usize + 1
    }

    /// Switches one bug on and any other off, or all off, for the whole process.
    pub fn switch_on(bug: Option<Planted>) {
        ON.store(bug.map_or(0, |bug| bug as usize + 1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Planted;

    #[test]
    fn every_invariant_has_a_bug_that_breaks_it() {
        assert!(Planted::ALL.len() >= 20);
        for invariant in 1..=12 {
            let breaks = |bug: &&Planted| bug.invariant() == invariant;
            assert!(Planted::ALL.iter().any(|bug| breaks(&bug)), "I{invariant}");
        }
        let coinciding = Planted::ALL.iter().filter(|bug| bug.faults() >= 2);
        assert!(coinciding.count() >= 6);
    }
}
