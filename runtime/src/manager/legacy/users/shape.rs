//! What the older paths of users take and give.

use crate::manager::input::Act;
use crate::manager::problem::Problem;
use crate::manager::users::{INTERVAL_MAX, RouteModeView, RouteView};
use crate::manager::words;
use crate::store::{Route, RouteMode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The traffic limit of a user created without one: 1000 GiB, for 30 days.
pub(super) const TRAFFIC_DEFAULT: u64 = 1_073_741_824_000;
pub(super) const VALID_DEFAULT: u64 = 30 * 24 * 3_600;

/// The rates of a user created without them, in bytes per second: 5 and 10 Mbit/s.
pub(super) const UPLOAD_DEFAULT: u64 = 655_360;
pub(super) const DOWNLOAD_DEFAULT: u64 = 1_310_720;

/// When and how much a user may transfer.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LegacyTrafficLimit)]
pub(super) struct TrafficLimit {
    /// In Unix seconds.
    #[schema(maximum = 9_007_199_254_740_991u64)]
    pub(super) start_time: u64,
    /// In Unix seconds; after `start_time` and in the future.
    #[schema(maximum = 9_007_199_254_740_991u64)]
    pub(super) end_time: u64,
    /// In bytes; 0 is no limit.
    #[schema(maximum = 9_007_199_254_740_991u64)]
    pub(super) total_traffic: Option<u64>,
}

/// How a user is routed: 1 auto, 2 manual, 3 timed, 4 custom, 5 polling.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LegacyRoute)]
pub(super) struct LegacyRoute {
    #[schema(minimum = 1, maximum = 5)]
    pub(super) mode: u8,
    #[schema(max_length = 64)]
    pub(super) node_id: Option<String>,
    #[schema(maximum = 525_600)]
    pub(super) interval_minutes: Option<u32>,
    #[schema(maximum = 1_439)]
    pub(super) utc_minute_of_day: Option<u16>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyUserCreation)]
pub(super) struct Creation {
    #[schema(value_type = words::UserName)]
    pub(super) user_name: String,
    #[schema(value_type = words::Password)]
    pub(super) password: String,
    /// Every user is known at every POP; it is only checked to exist.
    #[schema(max_length = 64)]
    pub(super) pop_id: Option<String>,
    /// Like `pop_id`.
    #[schema(max_items = 100)]
    pub(super) pop_ids: Option<Vec<String>>,
    pub(super) traffic_limit: Option<TrafficLimit>,
    pub(super) route: Option<LegacyRoute>,
    /// In bytes per second; 0 is no limit.
    #[schema(maximum = 9_007_199_254_740_991u64)]
    pub(super) upload_rate_limit: Option<u64>,
    /// In bytes per second; 0 is no limit.
    #[schema(maximum = 9_007_199_254_740_991u64)]
    pub(super) download_rate_limit: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyCreatedUser)]
pub(super) struct CreatedUser {
    pub(super) user_name: String,
    /// Always empty.
    pub(super) pop_id: &'static str,
    pub(super) traffic_limit: TrafficLimit,
    pub(super) route: LegacyRoute,
    pub(super) node_ip: String,
    /// The POPs that were asked for: all of them know the user.
    pub(super) success_pops: Vec<String>,
    /// Always empty.
    pub(super) failed_pops: Vec<String>,
    /// Which of these settings are kept but not obeyed by this version.
    pub(super) not_in_force: Vec<&'static str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyUser)]
pub(super) struct LegacyUser {
    pub(super) user_name: String,
    /// Always empty: every user is known at every POP.
    pub(super) pop_id: &'static str,
    pub(super) traffic_limit: TrafficLimit,
    pub(super) route: LegacyRoute,
    pub(super) node_ip: String,
    pub(super) node_online: bool,
    pub(super) current_traffic: u64,
    pub(super) off: bool,
    pub(super) upload_rate_limit: u64,
    pub(super) download_rate_limit: u64,
    pub(super) last_route_switch_time: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyUserList)]
pub(super) struct UserList {
    pub(super) users: Vec<LegacyUser>,
    pub(super) total: u64,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Every user is known at every POP; it is only checked to exist.
    #[param(max_length = 64)]
    pub(super) popid: Option<String>,
    /// The first index.
    #[param(maximum = 99_999)]
    pub(super) start: u64,
    /// The last index, inclusive; at most 1000 entries.
    #[param(maximum = 99_999)]
    pub(super) end: u64,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Named {
    #[param(max_length = 64)]
    pub(super) username: String,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyUserChange)]
pub(super) struct Change {
    pub(super) user_name: String,
    pub(super) traffic_limit: Option<TrafficLimit>,
    pub(super) route: Option<LegacyRoute>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyPasswordChange)]
pub(super) struct PasswordChange {
    pub(super) user_name: String,
    #[schema(value_type = words::Password)]
    pub(super) new_password: String,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyDeletion)]
pub(super) struct Deletion {
    pub(super) user_name: String,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = LegacySwitch)]
pub(super) struct StartOrStop {
    pub(super) user_name: String,
    /// `start` or `stop`.
    #[schema(pattern = "^(start|stop)$")]
    pub(super) action: String,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyNodeSwitch)]
pub(super) struct NodeSwitch {
    pub(super) user_name: String,
    /// The new node; without one the POP chooses.
    #[schema(max_length = 64)]
    pub(super) node_id: Option<String>,
}

impl TrafficLimit {
    pub(super) fn checked(self, now: u64) -> Result<Self, Problem> {
        if self.end_time <= self.start_time || self.end_time <= now {
            return Err(Problem::conflict(
                "end_time must be after start_time and in the future",
            ));
        }
        Ok(self)
    }

    pub(super) fn limit(&self) -> Option<u64> {
        Some(self.total_traffic.unwrap_or(TRAFFIC_DEFAULT)).filter(|total| *total > 0)
    }
}

impl LegacyRoute {
    pub(super) fn view(self) -> Result<RouteView, Problem> {
        let mode = match self.mode {
            1 => RouteModeView::Auto,
            2 => RouteModeView::Manual,
            3 => RouteModeView::Timed,
            4 => RouteModeView::Custom,
            5 => RouteModeView::Polling,
            _ => return Err(Problem::bad_request("route.mode must be from 1 to 5")),
        };
        if self.interval_minutes > Some(INTERVAL_MAX) {
            let what = format!("route.interval_minutes must be at most {INTERVAL_MAX}");
            return Err(Problem::bad_request(what));
        }
        if self.utc_minute_of_day >= Some(1_440) {
            let what = "route.utc_minute_of_day must be below 1440";
            return Err(Problem::bad_request(what));
        }
        // Older scripts send zeros and empty texts for what they do not use.
        let timed = mode == RouteModeView::Timed;
        let interval = self
            .interval_minutes
            .filter(|minutes| timed && *minutes > 0);
        Ok(RouteView {
            mode,
            node: self.node_id.filter(|id| !id.is_empty()),
            interval_minutes: interval,
            utc_minute_of_day: self
                .utc_minute_of_day
                .filter(|_| timed && interval.is_none()),
        })
    }
}

impl From<Route> for LegacyRoute {
    fn from(route: Route) -> Self {
        Self {
            mode: match route.mode {
                RouteMode::Auto => 1,
                RouteMode::Manual => 2,
                RouteMode::Timed => 3,
                RouteMode::Custom => 4,
                RouteMode::Polling => 5,
            },
            node_id: route.node,
            interval_minutes: route.interval_minutes,
            utc_minute_of_day: route.utc_minute_of_day,
        }
    }
}

macro_rules! acts_on_user {
    ($($body:ident)*) => {$(
        impl Act for $body {
            fn subject(&self) -> String {
                self.user_name.clone()
            }
        }
    )*};
}
acts_on_user!(Creation Change PasswordChange Deletion StartOrStop NodeSwitch);
