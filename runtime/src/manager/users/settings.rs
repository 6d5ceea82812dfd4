//! What can be set of a user, in requests and answers: each setting is declared once, with the range
//! that the document states and that is checked.

use super::checked_route;
use super::view::{NOT_IN_FORCE, RecordsView, ReplyView, RouteView};
use crate::env::Env;
use crate::manager::Api;
use crate::manager::input::present;
use crate::manager::problem::Problem;
use crate::manager::words;
use crate::store::{Route, RouteMode, Store, User, UserChange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! settings {
    (
        given { $($(#[$is:meta])* $given:ident: $view:ty,)* }
        limits { $($(#[$limits:meta])* $limit:ident: $number:ty = $min:tt, $max:tt;)* }
    ) => {
        /// A user to be created.
        #[derive(Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(in crate::manager) struct UserCreation {
            /// 1 to 64 of `A-Z a-z 0-9 . _ @`, the first a letter or digit.
            #[schema(value_type = words::UserName)]
            pub(in crate::manager) name: String,
            /// Without one, one is made and shown this once.
            #[schema(value_type = Option<words::Password>)]
            pub(in crate::manager) password: Option<String>,
            $($(#[$is])* pub(in crate::manager) $given: Option<$view>,)*
            $(
                $(#[$limits])*
                #[schema(minimum = $min, maximum = $max)]
                pub(in crate::manager) $limit: Option<$number>,
            )*
        }

        /// What to change of a user: what is left out stays, null removes a limit.
        #[derive(Default, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(in crate::manager) struct UserPatch {
            /// The new password.
            #[schema(value_type = Option<words::Password>)]
            pub(in crate::manager) password: Option<String>,
            $($(#[$is])* pub(in crate::manager) $given: Option<$view>,)*
            $(
                $(#[$limits])*
                #[serde(default, deserialize_with = "present")]
                #[schema(value_type = Option<$number>, minimum = $min, maximum = $max)]
                pub(in crate::manager) $limit: Option<Option<$number>>,
            )*
        }

        /// A user.
        #[derive(Serialize, ToSchema)]
        #[schema(as = User)]
        pub(in crate::manager) struct UserView {
            pub(in crate::manager) name: String,
            created_at: u64,
            $($(#[$is])* $given: $view,)*
            $($(#[$limits])* $limit: Option<$number>,)*
            /// When the route's node was changed last.
            route_switched_at: Option<u64>,
            /// Bytes charged against the limit: transferred, or granted to POPs and not yet returned.
            charged: u64,
            /// Bytes that POPs have reported.
            uploaded: u64,
            /// Bytes that POPs have reported.
            downloaded: u64,
            /// Which of these settings are kept but not obeyed by this version.
            not_in_force: Vec<&'static str>,
            /// Only where it was made here, and only this once.
            #[serde(skip_serializing_if = "Option::is_none")]
            password: Option<String>,
        }

        impl UserCreation {
            /// A user of this name with nothing set.
            pub(in crate::manager) const fn new(name: String) -> Self {
                Self {
                    name,
                    password: None,
                    $($given: None,)*
                    $($limit: None,)*
                }
            }

            /// Returns the name, and the rest as what it changes of a user with nothing set.
            pub(super) fn split(self) -> (String, UserPatch) {
                let patch = UserPatch {
                    password: self.password,
                    $($given: self.$given,)*
                    $($limit: self.$limit.map(Some),)*
                };
                (self.name, patch)
            }
        }

        impl UserPatch {
            /// Checks every number against its range.
            pub(super) fn check(&self) -> Result<(), Problem> {
                $(if let Some(Some(number)) = self.$limit
                    && !($min..=$max).contains(&u64::from(number))
                {
                    return Err(Problem::bad_request(concat!(
                        stringify!($limit), " must be from ", $min, " to ", $max,
                        "; null takes it away",
                    )));
                })*
                Ok(())
            }

            /// Makes the change of what the store keeps, but for the password. `before` is the route that
            /// it replaces.
            pub(super) async fn change<E: Env, S: Store>(
                self,
                api: &Api<E, S>,
                before: Option<&Route>,
            ) -> Result<UserChange, Problem> {
                let route = match self.route {
                    Some(route) => {
                        let now = api.env.unix_time().as_secs();
                        Some(checked_route(api, route, before, now).await?)
                    }
                    None => None,
                };
                Ok(UserChange {
                    password_hash: None,
                    enabled: self.enabled,
                    reply: self.reply.map(Into::into),
                    records: self.records.map(Into::into),
                    route,
                    $($limit: self.$limit,)*
                })
            }
        }

        impl From<User> for UserView {
            fn from(user: User) -> Self {
                let settings = user.settings;
                Self {
                    name: user.name,
                    created_at: user.created_at,
                    not_in_force: not_in_force(settings.route.mode),
                    route_switched_at: settings.route.switched_at,
                    $($given: settings.$given.into(),)*
                    $($limit: settings.$limit,)*
                    charged: user.charged,
                    uploaded: user.uploaded,
                    downloaded: user.downloaded,
                    password: None,
                }
            }
        }
    };
}

settings! {
    given {
        /// Whether the user may connect; true unless given. False stops it, running sessions included.
        enabled: bool,
        /// When clients are answered; `fast` unless given.
        reply: ReplyView,
        /// Whether POPs record the user's sessions, those that begin from now on; `default` unless given.
        records: RecordsView,
        /// How the user is routed, as a whole; `auto` unless given.
        route: RouteView,
    }
    limits {
        /// From when on the user may connect, in Unix seconds.
        starts_at: u64 = 0, 9_007_199_254_740_991u64;
        /// From when on the user may no longer connect, in Unix seconds.
        expires_at: u64 = 0, 9_007_199_254_740_991u64;
        /// How many bytes the user may transfer; none is no limit.
        traffic_limit: u64 = 0, 9_007_199_254_740_991u64;
        /// In bytes per second; none is no limit.
        upload_rate: u64 = 1, 9_007_199_254_740_991u64;
        /// In bytes per second; none is no limit.
        download_rate: u64 = 1, 9_007_199_254_740_991u64;
        /// How many sessions at once, over all POPs; none is no limit.
        sessions_max: u32 = 1, 4_294_967_295u64;
    }
}

impl UserView {
    /// A user, and its password if that was made here.
    pub(in crate::manager) fn with_password(user: User, password: Option<String>) -> Self {
        Self {
            password,
            ..user.into()
        }
    }
}

/// Returns which settings of a user of this route are kept but not obeyed by this version.
pub(in crate::manager) fn not_in_force(mode: RouteMode) -> Vec<&'static str> {
    match mode {
        RouteMode::Auto => Vec::new(),
        RouteMode::Manual | RouteMode::Timed | RouteMode::Custom | RouteMode::Polling => {
            vec![NOT_IN_FORCE]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UserPatch;
    use crate::store::COUNT_MAX;

    #[test]
    fn what_the_store_cannot_count_is_out_of_range() {
        for (number, is_good) in [(COUNT_MAX, true), (COUNT_MAX + 1, false)] {
            let patch = UserPatch {
                traffic_limit: Some(Some(number)),
                ..UserPatch::default()
            };
            assert_eq!(patch.check().is_ok(), is_good, "{number}");
        }
        let patch = UserPatch {
            sessions_max: Some(Some(0)),
            ..UserPatch::default()
        };
        assert!(patch.check().is_err());
    }
}
