//! Users: their settings, and what is charged to them.

mod settings;

pub use settings::{RecordMode, ReplyMode, Route, RouteMode, UserChange, UserSettings};

use super::{COUNT_MAX, Listing, Page, StoreError};

subject! {
    /// Users: their settings and what is charged to them.
    pub trait Users {
        /// Creates a user and returns its record.
        ///
        /// # Errors
        /// [`StoreError::Exists`] if the name is taken; [`StoreError::TooLarge`] if a number is above
        /// [`COUNT_MAX`]; [`StoreError::Window`] if the user would start no earlier than it ends.
        fn create_user(&self, user: NewUser) -> User;

        /// Returns the user of this name.
        fn user(&self, name: &str) -> Option<User>;

        /// Lists users by name.
        fn users(&self, page: Page) -> Listing<User>;

        /// Changes what `change` names of a user and returns the new record; none if there is no such
        /// user.
        ///
        /// # Errors
        /// [`StoreError::TooLarge`] if a number is above [`COUNT_MAX`]; [`StoreError::Window`] if with the
        /// change the user would start no earlier than it ends. Then nothing is changed.
        fn change_user(&self, name: &str, change: UserChange) -> Option<User>;

        /// Changes what a user may still transfer, once for each [`Adjustment::id`], and returns the
        /// record; none if there is no such user.
        fn adjust_user(&self, name: &str, adjustment: Adjustment) -> Option<User>;

        /// Deletes a user with its account and traffic; true if there was one.
        fn delete_user(&self, name: &str) -> bool;
    }
}

/// A user to be created.
#[derive(Clone, PartialEq, Eq)]
pub struct NewUser {
    /// The name; see [`crate::auth::is_user_name`] for what it may be.
    pub name: String,
    /// The password's hash as a PHC string.
    pub password_hash: String,
    /// When the user was created, in Unix seconds.
    pub created_at: u64,
    /// What is set of it.
    pub settings: UserSettings,
}

impl NewUser {
    /// Creates a user who may connect at any time, without limits.
    #[must_use]
    pub fn new(name: String, password_hash: String, created_at: u64) -> Self {
        Self {
            name,
            password_hash,
            created_at,
            settings: UserSettings::default(),
        }
    }

    /// Checks what every store checks of a new user.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.created_at > COUNT_MAX {
            return Err(StoreError::TooLarge);
        }
        self.settings.check()
    }
}

/// The record of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name, unique and never changed.
    pub name: String,
    /// A number that is this user's and was never another's in this store, one of the same name who
    /// was deleted included.
    pub id: u64,
    /// The password's hash as a PHC string.
    pub password_hash: String,
    /// A number that changes with the password and is never used twice in one store, so a user who
    /// was deleted and created again has another one.
    pub credential_version: u64,
    /// When the user was created, in Unix seconds.
    pub created_at: u64,
    /// What is set of it.
    pub settings: UserSettings,
    /// What is charged against the traffic limit since the last reset, in bytes: what was granted to
    /// POPs and not returned.
    pub charged: u64,
    /// What POPs have reported as uploaded since the last reset, in bytes.
    pub uploaded: u64,
    /// What POPs have reported as downloaded since the last reset, in bytes.
    pub downloaded: u64,
}

/// A change of what a user may still transfer that is not a change of a setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Adjustment {
    /// Names this adjustment of this user; one made already is not made again. The store remembers
    /// [`ADJUSTMENTS_KEPT`] of them.
    pub id: String,
    /// What to do.
    pub kind: AdjustmentKind,
}

/// What an adjustment does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AdjustmentKind {
    /// Adds to the traffic limit, or takes from it down to zero; no effect on a user without one.
    Add(i64),
    /// Counts anew from zero. What POPs hold unspent stays charged, unless their process is known to
    /// be gone.
    Reset,
}

/// How many adjustments of one user are remembered.
pub const ADJUSTMENTS_KEPT: u32 = 128;

// Hashes stay out of logs: they can be guessed at offline.
impl core::fmt::Debug for NewUser {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NewUser")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl core::fmt::Debug for User {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("User")
            .field("settings", &self.settings)
            .field("charged", &self.charged)
            .finish_non_exhaustive()
    }
}

impl core::fmt::Debug for UserChange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("UserChange")
            .field("enabled", &self.enabled)
            .field("expires_at", &self.expires_at)
            .field("traffic_limit", &self.traffic_limit)
            .field("reply", &self.reply)
            .finish_non_exhaustive()
    }
}
