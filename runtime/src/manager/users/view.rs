//! Parts of users as clients see them.

use super::settings::UserView;
use crate::manager::words;
use crate::store::{RecordMode, ReplyMode, Route, RouteMode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What POPs do not obey yet of a route that is not automatic: they choose the exit themselves.
pub(super) const NOT_IN_FORCE: &str = "route";

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

/// Whether the sessions of a user are recorded by POPs.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Records)]
pub(in crate::manager) enum RecordsView {
    /// As each POP is configured.
    Default,
    /// Whatever the POP is configured.
    On,
    /// Never.
    Off,
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
    #[schema(value_type = Option<words::Id>)]
    pub(in crate::manager) node: Option<String>,
    /// How often a timed route changes its node.
    #[schema(minimum = 1, maximum = 525_600)]
    pub(in crate::manager) interval_minutes: Option<u32>,
    /// At which minute of the UTC day a timed route changes its node.
    #[schema(maximum = 1_439)]
    pub(in crate::manager) utc_minute_of_day: Option<u16>,
}

/// A page of users.
#[derive(Serialize, ToSchema)]
pub(in crate::manager) struct UserPage {
    pub(in crate::manager) users: Vec<UserView>,
    /// `cursor` of the next page; none at the end.
    pub(in crate::manager) next_cursor: Option<String>,
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
both_ways!(RecordsView RecordMode: Default On Off);
both_ways!(RouteModeView RouteMode: Auto Manual Timed Custom Polling);
