//! What a scenario file says of users.

use crate::daemons::clock;
use crate::daemons::store::at_once;
use crate::daemons::units::{Rate, Size, Span, Time};
use crate::overlay::PASSWORD;
use serde::{Deserialize, Serialize};
use titan_runtime::auth::{Cost, hash_password};
use titan_runtime::store::{Embedded, NewUser, UserSettings, Users as _};

/// A user, who is there from the start. What it may holds over all POPs together.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// What it is called.
    pub name: String,
    /// How many bytes it may move; without it as many as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Size>,
    /// How fast it may upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<Rate>,
    /// How fast it may download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<Rate>,
    /// How many sessions it may have at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
    /// From when on it may connect: seconds of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<Time>,
    /// From when on it may no longer: seconds of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// Whether it is switched off.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub off: bool,
}

/// What an operator does to a user, and when. It is asked of the manager, from the client's host, and
/// again every second until it is done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "toml::Table", into = "toml::Table")]
pub struct TimedAct {
    /// When.
    pub at: Span,
    /// What.
    pub act: Act,
}

/// What an operator does to a user.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Act {
    /// Changes what is given.
    Set {
        /// Whose.
        user: String,
        /// How many bytes it may move; for users who have a quota.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quota: Option<Size>,
        /// How fast it may upload.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        up: Option<Rate>,
        /// How fast it may download.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        down: Option<Rate>,
        /// How many sessions it may have at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sessions: Option<u32>,
        /// From when on it may no longer connect: seconds of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<Time>,
        /// Whether it is switched off.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        off: Option<bool>,
    },
    /// Gives it another password.
    Password {
        /// Whose.
        user: String,
        /// The new one.
        to: String,
    },
    /// Adds to the quota.
    Add {
        /// Whose.
        user: String,
        /// How much.
        bytes: Size,
    },
    /// Takes from the quota.
    Take {
        /// Whose.
        user: String,
        /// How much.
        bytes: Size,
    },
    /// Counts anew from zero.
    Reset {
        /// Whose.
        user: String,
    },
    /// Deletes it.
    Delete {
        /// Which.
        user: String,
    },
}

/// How many bytes of a user.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserBytes {
    /// Whose.
    pub user: String,
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Size>,
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Size>,
}

/// How fast a user's bytes move at one POP, over a while.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRate {
    /// Whose.
    pub user: String,
    /// At which POP.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub pop: u64,
    /// To targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<Rate>,
    /// From targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<Rate>,
    /// From when on.
    pub from: Time,
    /// Until when.
    pub until: Time,
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
const fn is_one(number: &u64) -> bool {
    *number == 1
}

impl Act {
    /// Returns whom it is about.
    pub(in crate::daemons) fn user(&self) -> &str {
        match self {
            Self::Set { user, .. }
            | Self::Password { user, .. }
            | Self::Add { user, .. }
            | Self::Take { user, .. }
            | Self::Reset { user }
            | Self::Delete { user } => user,
        }
    }

    /// Returns whether it changes the quota.
    pub(super) const fn is_about_quota(&self) -> bool {
        match self {
            Self::Set { quota, .. } => quota.is_some(),
            Self::Add { .. } | Self::Take { .. } | Self::Reset { .. } => true,
            Self::Password { .. } | Self::Delete { .. } => false,
        }
    }
}

impl UserBytes {
    /// Holds a number against the bounds.
    pub(super) fn check(&self, what: &str, found: u64) -> Result<(), String> {
        let least = self.at_least.map_or(0, |Size(least)| least);
        let most = self.at_most.map_or(u64::MAX, |Size(most)| most);
        if (least..=most).contains(&found) {
            return Ok(());
        }
        let user = &self.user;
        Err(format!(
            "{found} bytes of user {user} are {what}: expected {least} to {most}"
        ))
    }
}

impl TryFrom<toml::Table> for TimedAct {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let at = table.remove("at").ok_or("an act says when: at")?;
        let at = at.try_into().map_err(|error| error.to_string())?;
        let act = table.try_into().map_err(|error| error.to_string())?;
        Ok(Self { at, act })
    }
}

impl From<TimedAct> for toml::Table {
    fn from(timed: TimedAct) -> Self {
        let mut table = Self::try_from(&timed.act).expect("an act can be written");
        table.insert("at".to_owned(), timed.at.to_string().into());
        table
    }
}

/// Returns the Unix time of a time of the run, in seconds.
pub(super) const fn unix(time: Time) -> u64 {
    clock::UNIX_EPOCH.as_secs() + time.as_millis() / 1_000
}

/// Adds users to the store.
pub(in crate::daemons) fn add(users: &[User], store: &Embedded, cost: Cost) {
    for user in users {
        let hash = hash_password(PASSWORD, [3; 16], cost);
        let bytes = |rate: Rate| rate.0.0;
        let settings = UserSettings {
            enabled: !user.off,
            starts_at: user.starts.map(unix),
            expires_at: user.expires.map(unix),
            traffic_limit: user.quota.map(|Size(quota)| quota),
            upload_rate: user.up.map(bytes),
            download_rate: user.down.map(bytes),
            sessions_max: user.sessions,
            ..UserSettings::default()
        };
        let user = NewUser {
            settings,
            ..NewUser::new(user.name.clone(), hash, 0)
        };
        let created = at_once(store.create_user(user));
        created.expect("the name is free");
    }
}
