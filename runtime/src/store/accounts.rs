//! What users may transfer and did: leases, usage, and usage over time.

use super::{COUNT_MAX, StoreError};
use titan_core::endpoint::Rates;

/// The most accounts in one [`Accounts::report`].
pub const REPORT_MAX: usize = 256;

/// How many processes of one POP are kept apart in a user's account. Older ones are folded into the
/// sum; what such a process reports afterwards, 16 restarts late, is ignored.
pub const INCARNATIONS_KEPT: u32 = 16;

/// For how many seconds a POP that believes a user to be nowhere else is taken to use the user's whole
/// rate: one that moves something says so every 2 s.
pub const SILENT_AFTER: u64 = 5;

subject! {
    /// What POPs are granted of a quota, and what users transferred (requirement W3).
    pub trait Accounts {
        /// Takes over the totals of `holder` for one user and grants more, until `want` bytes are granted
        /// in all since the start of the process, or as much of it as the user's limit over all POPs
        /// leaves. None if the user is gone.
        ///
        /// What is granted is charged at once. What the holder does not need it gives back by
        /// [`Totals::returned`]; what a dead holder had not given back stays charged.
        fn lease(&self, holder: Holder, totals: Totals, want: u64) -> Option<Standing>;

        /// Takes over the totals of `holder` for users, at most [`REPORT_MAX`], and returns how each
        /// stands; none for one who is gone. What is new in them counts as transferred now, by the
        /// store's time.
        ///
        /// If the user has sessions at other POPs that live, its rates are divided among them as
        /// [`divide`](titan_core::account::divide) says, here and in [`lease`](Self::lease). One that
        /// has told nothing within [`SILENT_AFTER`] since it was told that it is alone uses nothing.
        ///
        /// Also for a process that has ended, of which `journal` says when it wrote its journal, in Unix
        /// seconds: what it left is still its and counts as transferred then, but not later than now. It
        /// does not say how many sessions there are.
        ///
        /// # Errors
        /// [`StoreError::TooLarge`] if there are more than [`REPORT_MAX`].
        fn report(
            &self,
            holder: Holder,
            totals: Vec<Totals>,
            journal: Option<u64>,
        ) -> Vec<Option<Standing>>;

        /// Says that everything this holder knows was reported to the run of the store that `run` of a
        /// [`Cursor`](super::Cursor) names.
        ///
        /// A server that is new may have forgotten its last moments. It answers no [`lease`](Self::lease)
        /// before every POP that is registered has said this, its registration has lapsed, or 90 s have
        /// passed since it was first asked for one: it would grant again what they hold.
        fn retold(&self, holder: Holder, run: &str) -> ();

        /// Lists who holds or held what of a user's quota, by POP and incarnation. None if there is no
        /// such user.
        fn usage(&self, user: &str) -> Option<Vec<HolderUsage>>;

        /// Returns the buckets in which a user transferred something, from the one that `from` lies in
        /// to the one that `until` lies in, oldest first. None if there is no such user.
        fn traffic(
            &self,
            user: &str,
            resolution: Resolution,
            from: u64,
            until: u64,
        ) -> Option<Vec<TrafficBucket>>;
    }
}

/// The process of a POP that holds leases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The POP's id.
    pub pop: String,
    /// The incarnation that the process registered with.
    pub incarnation: u64,
}

/// A holder's account of a user: totals since the start of its process, which only grow. The store
/// takes each as the larger of what it has and what it is told, so that telling it twice, or late, does
/// no harm. Numbers above [`COUNT_MAX`] count as that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Totals {
    /// The user's name.
    pub user: String,
    /// The user's [`super::User::id`]; another user of the same name is not charged.
    pub user_id: u64,
    /// What the store has granted, in bytes.
    pub granted: u64,
    /// What was given back of that because it was not needed, in bytes. What was given back must not
    /// be spent: a holder lowers what it may spend first and tells the store then.
    pub returned: u64,
    /// What was uploaded, in bytes.
    pub uploaded: u64,
    /// What was downloaded, in bytes.
    pub downloaded: u64,
    /// How many sessions the user has here now. It does not only grow: the last one told counts, for
    /// as long as the POP's lease holds.
    pub sessions: u32,
    /// How fast the user would be here if other POPs left it its whole rate, in bytes per second; the
    /// last ones told count.
    pub wants: Rates,
}

impl Totals {
    /// Starts an account with nothing in it.
    #[must_use]
    pub const fn new(user: String, user_id: u64) -> Self {
        Self {
            user,
            user_id,
            granted: 0,
            returned: 0,
            uploaded: 0,
            downloaded: 0,
            sessions: 0,
            wants: Rates { up: 0, down: 0 },
        }
    }

    /// What is spent, in bytes.
    #[must_use]
    pub const fn spent(&self) -> u64 {
        self.uploaded.saturating_add(self.downloaded)
    }

    /// What may still be spent, in bytes.
    #[must_use]
    pub const fn rest(&self) -> u64 {
        self.granted
            .saturating_sub(self.returned)
            .saturating_sub(self.spent())
    }

    /// The same with every number within [`COUNT_MAX`].
    pub(super) fn bounded(mut self) -> Self {
        for value in [
            &mut self.granted,
            &mut self.returned,
            &mut self.uploaded,
            &mut self.downloaded,
            &mut self.wants.up,
            &mut self.wants.down,
        ] {
            // Sums of two still fit what both stores can count.
            *value = (*value).min(COUNT_MAX / 2);
        }
        self
    }
}

/// How a user stands, from one holder's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// What the holder has been granted in all, in bytes.
    pub granted: u64,
    /// What is charged to the user over all POPs, in bytes.
    pub charged: u64,
    /// The user's limit, in bytes.
    pub limit: Option<u64>,
    /// How many sessions the user has at other POPs.
    pub sessions_elsewhere: u64,
    /// What other POPs that live had been granted and not spent when they last told, in bytes.
    pub held_elsewhere: u64,
    /// How fast the user may be at this holder while it has sessions at other POPs, in bytes per second;
    /// zero is no limit.
    pub share: Rates,
}

/// One holder's part of a user's account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HolderUsage {
    /// Whose it is.
    pub holder: Holder,
    /// What was granted, in bytes.
    pub granted: u64,
    /// What was given back, in bytes.
    pub returned: u64,
    /// What was uploaded, in bytes.
    pub uploaded: u64,
    /// What was downloaded, in bytes.
    pub downloaded: u64,
    /// The sessions told last.
    pub sessions: u32,
    /// When it was told last, in Unix seconds.
    pub reported_at: u64,
}

/// How wide the buckets of [`Accounts::traffic`] are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Resolution {
    /// Five minutes; kept for a day.
    FiveMinutes,
    /// An hour; kept for a week.
    Hour,
    /// A day of UTC; kept for a year.
    Day,
}

impl Resolution {
    /// Every resolution.
    pub const ALL: [Self; 3] = [Self::FiveMinutes, Self::Hour, Self::Day];

    /// Returns the width of a bucket in seconds.
    #[must_use]
    pub const fn width(self) -> u64 {
        match self {
            Self::FiveMinutes => 300,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// Returns how many buckets are kept, up to the newest.
    #[must_use]
    pub const fn kept(self) -> u64 {
        match self {
            Self::FiveMinutes => 288,
            Self::Hour => 168,
            Self::Day => 366,
        }
    }
}

/// What a user transferred within one bucket of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrafficBucket {
    /// When it starts, in Unix seconds; a multiple of [`Resolution::width`].
    pub start: u64,
    /// What was uploaded, in bytes.
    pub uploaded: u64,
    /// What was downloaded, in bytes.
    pub downloaded: u64,
}
