//! Records of users.

use super::{COUNT_MAX, StoreError};
use serde::{Deserialize, Serialize};

/// When the client of a user is answered (requirement W13).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyMode {
    /// Before the exit has dialled.
    #[default]
    Fast,
    /// After the exit has dialled, with the dial's outcome.
    Truthful,
}

/// How the exit of a user is chosen (requirement W17). Kept for the POP; the store gives it no meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteMode {
    /// By the POP, among all exits.
    #[default]
    Auto,
    /// Always [`Route::node`].
    Manual,
    /// [`Route::node`], changed by the clock.
    Timed,
    /// By what the extended user name asks for.
    Custom,
    /// One exit after the other.
    Polling,
}

/// How and where a user is routed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Route {
    /// How the exit is chosen.
    pub mode: RouteMode,
    /// The node that is the user's exit in the modes that have one.
    pub node: Option<String>,
    /// How often a timed route changes its node, in minutes.
    pub interval_minutes: Option<u32>,
    /// At which minute of the UTC day a timed route changes its node, below 1 440.
    pub utc_minute_of_day: Option<u16>,
    /// When the node was changed last, in Unix seconds.
    pub switched_at: Option<u64>,
}

/// A user to be created.
#[derive(Clone, PartialEq, Eq)]
pub struct NewUser {
    /// The name; see [`crate::auth::is_user_name`] for what it may be.
    pub name: String,
    /// The password's hash as a PHC string.
    pub password_hash: String,
    /// Whether the user may connect.
    pub enabled: bool,
    /// When the user was created, in Unix seconds.
    pub created_at: u64,
    /// From when on the user may connect, in Unix seconds.
    pub starts_at: Option<u64>,
    /// From when on the user may no longer connect, in Unix seconds.
    pub expires_at: Option<u64>,
    /// How many bytes the user may transfer, both directions together; none is no limit.
    pub traffic_limit: Option<u64>,
    /// How fast the user may upload, in bytes per second; none is no limit.
    pub upload_rate: Option<u64>,
    /// How fast the user may download, in bytes per second; none is no limit.
    pub download_rate: Option<u64>,
    /// How many sessions the user may have at once, over all POPs; none is no limit.
    pub sessions_max: Option<u32>,
    /// When clients are answered.
    pub reply: ReplyMode,
    /// How the user is routed.
    pub route: Route,
}

impl NewUser {
    /// Creates a user who may connect at any time, without limits.
    #[must_use]
    pub fn new(name: String, password_hash: String, created_at: u64) -> Self {
        Self {
            name,
            password_hash,
            enabled: true,
            created_at,
            starts_at: None,
            expires_at: None,
            traffic_limit: None,
            upload_rate: None,
            download_rate: None,
            sessions_max: None,
            reply: ReplyMode::default(),
            route: Route::default(),
        }
    }

    /// Checks what every store checks of a new user.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if !self.fits() {
            return Err(StoreError::TooLarge);
        }
        if !is_window(self.starts_at, self.expires_at) {
            return Err(StoreError::Window);
        }
        Ok(())
    }

    /// Returns whether every number is at most [`COUNT_MAX`].
    fn fits(&self) -> bool {
        let optional = [
            self.starts_at,
            self.expires_at,
            self.traffic_limit,
            self.upload_rate,
            self.download_rate,
            self.route.switched_at,
        ];
        fit(optional) && self.created_at <= COUNT_MAX
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
    /// Whether the user may connect.
    pub enabled: bool,
    /// When the user was created, in Unix seconds.
    pub created_at: u64,
    /// From when on the user may connect, in Unix seconds.
    pub starts_at: Option<u64>,
    /// From when on the user may no longer connect, in Unix seconds.
    pub expires_at: Option<u64>,
    /// How many bytes the user may transfer, both directions together; none is no limit.
    pub traffic_limit: Option<u64>,
    /// How fast the user may upload, in bytes per second; none is no limit.
    pub upload_rate: Option<u64>,
    /// How fast the user may download, in bytes per second; none is no limit.
    pub download_rate: Option<u64>,
    /// How many sessions the user may have at once, over all POPs; none is no limit.
    pub sessions_max: Option<u32>,
    /// When clients are answered.
    pub reply: ReplyMode,
    /// How the user is routed.
    pub route: Route,
    /// What is charged against `traffic_limit` since the last reset, in bytes: what was granted to
    /// POPs and not returned.
    pub charged: u64,
    /// What POPs have reported as uploaded since the last reset, in bytes.
    pub uploaded: u64,
    /// What POPs have reported as downloaded since the last reset, in bytes.
    pub downloaded: u64,
}

impl User {
    /// Tells whether the user may connect at this time (Unix seconds), as far as the switch and the
    /// window of validity say so.
    #[must_use]
    pub fn is_on(&self, unix_time: u64) -> bool {
        let started = self.starts_at.is_none_or(|at| at <= unix_time);
        let ended = self.expires_at.is_some_and(|at| at <= unix_time);
        self.enabled && started && !ended
    }
}

/// What to change of a user; `None` leaves a field as it is, `Some(None)` removes it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct UserChange {
    /// The new password's hash as a PHC string.
    pub password_hash: Option<String>,
    /// Whether the user may connect.
    pub enabled: Option<bool>,
    /// The new start in Unix seconds.
    pub starts_at: Option<Option<u64>>,
    /// The new expiry in Unix seconds.
    pub expires_at: Option<Option<u64>>,
    /// The new traffic limit in bytes.
    pub traffic_limit: Option<Option<u64>>,
    /// The new upload rate in bytes per second.
    pub upload_rate: Option<Option<u64>>,
    /// The new download rate in bytes per second.
    pub download_rate: Option<Option<u64>>,
    /// The new number of sessions at once.
    pub sessions_max: Option<Option<u32>>,
    /// When clients are answered.
    pub reply: Option<ReplyMode>,
    /// The new route, as a whole.
    pub route: Option<Route>,
}

impl UserChange {
    /// Returns whether every number is at most [`COUNT_MAX`].
    pub(super) fn fits(&self) -> bool {
        fit([
            self.starts_at.flatten(),
            self.expires_at.flatten(),
            self.traffic_limit.flatten(),
            self.upload_rate.flatten(),
            self.download_rate.flatten(),
            self.route.as_ref().and_then(|route| route.switched_at),
        ])
    }
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
macro_rules! debug_without_hash {
    ($($type:ident)*) => {$(
        impl core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($type))
                    .field("enabled", &self.enabled)
                    .field("expires_at", &self.expires_at)
                    .field("traffic_limit", &self.traffic_limit)
                    .field("reply", &self.reply)
                    .finish_non_exhaustive()
            }
        }
    )*};
}
debug_without_hash!(NewUser User UserChange);

/// Returns whether a window of validity ends after it starts.
pub(super) fn is_window(starts_at: Option<u64>, expires_at: Option<u64>) -> bool {
    match (starts_at, expires_at) {
        (Some(start), Some(end)) => start < end,
        (Some(_), None) | (None, _) => true,
    }
}

fn fit<const N: usize>(values: [Option<u64>; N]) -> bool {
    values.into_iter().flatten().all(|value| value <= COUNT_MAX)
}
