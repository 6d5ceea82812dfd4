//! What can be set of a user.

use crate::store::{COUNT_MAX, StoreError};
use serde::{Deserialize, Serialize};

/// Declares the settings of a user, and what a change may name of them.
macro_rules! settings {
    ($($(#[$about:meta])* $setting:ident: $type:ty,)*) => {
        /// What can be set of a user.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct UserSettings {
            $($(#[$about])* pub $setting: $type,)*
        }

        /// What to change of a user; `None` leaves a setting as it is, and one that may be absent is
        /// removed by `Some(None)`.
        #[derive(Clone, PartialEq, Eq, Default)]
        pub struct UserChange {
            /// The new password's hash as a PHC string.
            pub password_hash: Option<String>,
            $($(#[$about])* pub $setting: Option<$type>,)*
        }

        impl UserChange {
            /// Changes settings, but for the password.
            pub fn apply(self, settings: &mut UserSettings) {
                $(if let Some(setting) = self.$setting {
                    settings.$setting = setting;
                })*
            }
        }

        impl From<UserSettings> for UserChange {
            /// Makes the change that sets every setting.
            fn from(settings: UserSettings) -> Self {
                Self {
                    password_hash: None,
                    $($setting: Some(settings.$setting),)*
                }
            }
        }
    };
}

settings! {
    /// Whether the user may connect.
    enabled: bool,
    /// From when on the user may connect, in Unix seconds.
    starts_at: Option<u64>,
    /// From when on the user may no longer connect, in Unix seconds.
    expires_at: Option<u64>,
    /// How many bytes the user may transfer, both directions together; none is no limit.
    traffic_limit: Option<u64>,
    /// How fast the user may upload, in bytes per second; none is no limit.
    upload_rate: Option<u64>,
    /// How fast the user may download, in bytes per second; none is no limit.
    download_rate: Option<u64>,
    /// How many sessions the user may have at once, over all POPs; none is no limit.
    sessions_max: Option<u32>,
    /// When clients are answered.
    reply: ReplyMode,
    /// Whether the user's sessions are recorded.
    records: RecordMode,
    /// How the user is routed; a change replaces it as a whole.
    route: Route,
}

impl UserSettings {
    /// Tells whether the user may connect at this time (Unix seconds), as far as the switch and the
    /// window of validity say so.
    #[must_use]
    pub fn is_on(&self, unix_time: u64) -> bool {
        let started = self.starts_at.is_none_or(|at| at <= unix_time);
        let ended = self.expires_at.is_some_and(|at| at <= unix_time);
        self.enabled && started && !ended
    }

    /// Checks what every store checks of new settings.
    pub(in crate::store) fn check(&self) -> Result<(), StoreError> {
        if !self.fits() {
            return Err(StoreError::TooLarge);
        }
        if !self.has_window() {
            return Err(StoreError::Window);
        }
        Ok(())
    }

    /// Returns whether the window of validity ends after it starts, if it has both ends.
    #[must_use]
    pub fn has_window(&self) -> bool {
        match (self.starts_at, self.expires_at) {
            (Some(start), Some(end)) => start < end,
            (Some(_), None) | (None, _) => true,
        }
    }

    /// Returns whether every number is at most [`COUNT_MAX`].
    fn fits(&self) -> bool {
        let Self {
            starts_at,
            expires_at,
            traffic_limit,
            upload_rate,
            download_rate,
            route,
            // No number of theirs is too large.
            enabled: _,
            sessions_max: _,
            reply: _,
            records: _,
        } = self;
        let numbers = [
            *starts_at,
            *expires_at,
            *traffic_limit,
            *upload_rate,
            *download_rate,
            route.switched_at,
        ];
        numbers
            .into_iter()
            .flatten()
            .all(|number| number <= COUNT_MAX)
    }
}

impl Default for UserSettings {
    /// A user who may connect at any time, without limits.
    fn default() -> Self {
        Self {
            enabled: true,
            starts_at: None,
            expires_at: None,
            traffic_limit: None,
            upload_rate: None,
            download_rate: None,
            sessions_max: None,
            reply: ReplyMode::default(),
            records: RecordMode::default(),
            route: Route::default(),
        }
    }
}

impl UserChange {
    /// Returns whether every number is at most [`COUNT_MAX`].
    pub(in crate::store) fn fits(&self) -> bool {
        let mut settings = UserSettings::default();
        self.clone().apply(&mut settings);
        settings.fits()
    }

    /// Returns whether it moves an end of the window of validity.
    pub(in crate::store) const fn moves_window(&self) -> bool {
        self.starts_at.is_some() || self.expires_at.is_some()
    }
}

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

/// Whether the sessions of a user are recorded (requirement B14).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordMode {
    /// As the POP is configured.
    #[default]
    Default,
    /// Whatever the POP is configured.
    On,
    /// Never.
    Off,
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
