//! Users as clients see them.

use crate::store::{ReplyMode, Route, RouteMode, User};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What POPs do not obey yet of a route that is not automatic: they choose the exit themselves.
pub(in crate::manager) const NOT_IN_FORCE: &str = "route";

/// When clients are answered.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Reply)]
pub(in crate::manager) enum ReplyView {
    /// Before the exit has dialled.
    Fast,
    /// After the exit has dialled, with the dial's outcome.
    Truthful,
}

/// How the exit is chosen. Kept for every user; POPs obey only `auto` yet.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RouteMode)]
pub(in crate::manager) enum RouteModeView {
    /// By the POP, among all exits.
    Auto,
    /// Always the node.
    Manual,
    /// The node, changed by the clock.
    Timed,
    /// By what the extended user name asks for.
    Custom,
    /// One exit after the other.
    Polling,
}

/// How a user is routed.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Route)]
pub(in crate::manager) struct RouteView {
    pub(in crate::manager) mode: RouteModeView,
    /// The node that is the exit; a manual route needs one, a timed one may have one.
    #[schema(max_length = 64)]
    pub(in crate::manager) node: Option<String>,
    /// How often a timed route changes its node.
    #[schema(minimum = 1, maximum = 525_600)]
    pub(in crate::manager) interval_minutes: Option<u32>,
    /// At which minute of the UTC day a timed route changes its node.
    #[schema(maximum = 1_439)]
    pub(in crate::manager) utc_minute_of_day: Option<u16>,
}

/// A user.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(in crate::manager) struct UserView {
    pub(in crate::manager) name: String,
    enabled: bool,
    created_at: u64,
    starts_at: Option<u64>,
    expires_at: Option<u64>,
    traffic_limit: Option<u64>,
    upload_rate: Option<u64>,
    download_rate: Option<u64>,
    sessions_max: Option<u32>,
    reply: ReplyView,
    route: RouteView,
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

/// A page of users.
#[derive(Serialize, ToSchema)]
pub(in crate::manager) struct UserPage {
    pub(in crate::manager) users: Vec<UserView>,
    /// `cursor` of the next page; none at the end.
    pub(in crate::manager) next_cursor: Option<String>,
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

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let not_in_force = match user.route.mode {
            RouteMode::Auto => Vec::new(),
            RouteMode::Manual | RouteMode::Timed | RouteMode::Custom | RouteMode::Polling => {
                vec![NOT_IN_FORCE]
            }
        };
        Self {
            name: user.name,
            enabled: user.enabled,
            created_at: user.created_at,
            starts_at: user.starts_at,
            expires_at: user.expires_at,
            traffic_limit: user.traffic_limit,
            upload_rate: user.upload_rate,
            download_rate: user.download_rate,
            sessions_max: user.sessions_max,
            reply: user.reply.into(),
            route_switched_at: user.route.switched_at,
            route: user.route.into(),
            charged: user.charged,
            uploaded: user.uploaded,
            downloaded: user.downloaded,
            not_in_force,
            password: None,
        }
    }
}

impl From<Route> for RouteView {
    fn from(route: Route) -> Self {
        Self {
            mode: route.mode.into(),
            node: route.node,
            interval_minutes: route.interval_minutes,
            utc_minute_of_day: route.utc_minute_of_day,
        }
    }
}

macro_rules! both_ways {
    ($view:ident $kept:ident: $($variant:ident)*) => {
        impl From<$kept> for $view {
            fn from(kept: $kept) -> Self {
                match kept {
                    $($kept::$variant => Self::$variant,)*
                }
            }
        }

        impl From<$view> for $kept {
            fn from(view: $view) -> Self {
                match view {
                    $($view::$variant => Self::$variant,)*
                }
            }
        }
    };
}
both_ways!(ReplyView ReplyMode: Fast Truthful);
both_ways!(RouteModeView RouteMode: Auto Manual Timed Custom Polling);
