//! Marks on rare paths, so that a simulation can prove that it took them.
//!
//! Counted with the feature `marks` only; without it a mark costs nothing.

/// Declares [`Mark`], its list and its names from one table.
macro_rules! marks {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// A rare path.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Mark {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the name that reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

marks! {
    /// A group has little left of its grant.
    AllowanceLow = "allowance-low",
    /// Bytes were taken from a client before they could be booked.
    WriteUnpaid = "write-unpaid",
    /// A session name was bound to another node because its own was gone.
    LeaseMoved = "lease-moved",
    /// A sticky session was opened while its exit was away.
    LeaseWaits = "lease-waits",
    /// Every lease was held, and there could be no more.
    LeasesFull = "leases-full",
    /// A resume that the POP refused.
    ResumeRefused = "resume-refused",
}

/// Notes that a path was taken.
#[inline]
pub(crate) fn hit(mark: Mark) {
    #[cfg(feature = "marks")]
    counted::hit(mark);
    #[cfg(not(feature = "marks"))]
    let _ = mark;
}

#[cfg(feature = "marks")]
pub use counted::count;

#[cfg(feature = "marks")]
mod counted {
    use super::Mark;
    use core::sync::atomic::{AtomicU64, Ordering};

    static HITS: [AtomicU64; Mark::ALL.len()] = [const { AtomicU64::new(0) }; Mark::ALL.len()];

    pub(super) fn hit(mark: Mark) {
        HITS[mark as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often the path was taken in this process, by all endpoints together.
    #[must_use]
    pub fn count(mark: Mark) -> u64 {
        HITS[mark as usize].load(Ordering::Relaxed)
    }
}
