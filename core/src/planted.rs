//! Bugs that can be switched on, to prove that simulations find them.
//!
//! Compiled in with the feature `planted` only; without it [`on`] is `false` at compile time and the
//! branch is gone.

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
    ResendOffByOne = "after a resume one frame too few is sent again", 2, 1;
}

/// Returns whether this bug is switched on.
#[inline(always)]
pub(crate) fn on(bug: Planted) -> bool {
    #[cfg(feature = "planted")]
    return switch::is_on(bug);
    #[cfg(not(feature = "planted"))]
    return (bug, false).1;
}

#[cfg(feature = "planted")]
pub use switch::switch_on;

#[cfg(feature = "planted")]
mod switch {
    use super::Planted;
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// One more than the index of the bug that is on; zero: none.
    static ON: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn is_on(bug: Planted) -> bool {
        ON.load(Ordering::Relaxed) == bug as usize + 1
    }

    /// Switches one bug on and any other off, or all off, for the whole process.
    pub fn switch_on(bug: Option<Planted>) {
        ON.store(bug.map_or(0, |bug| bug as usize + 1), Ordering::Relaxed);
    }
}
