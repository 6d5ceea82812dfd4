//! What users transferred.

use super::find;
use crate::env::Env;
use crate::manager::Api;
use crate::manager::answer::Json;
use crate::manager::input::{Name, Query};
use crate::manager::nodes::live_pops;
use crate::manager::operation::{Access, Method, Operation};
use crate::manager::problem::Problem;
use crate::manager::routes::{Call, Routes};
use crate::store::{COUNT_MAX, Holder, HolderUsage, Resolution, Role, Store, TrafficBucket};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// How wide the buckets of a chart are.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = Resolution)]
pub(in crate::manager) enum ResolutionView {
    /// Kept for a day.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// Kept for a week.
    #[serde(rename = "hour")]
    Hour,
    /// Of UTC; kept for a year.
    #[serde(rename = "day")]
    Day,
}

/// Which part of a user's traffic to show.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::manager) struct Range {
    /// How wide the buckets are; `5m` unless given.
    #[param(inline)]
    resolution: Option<ResolutionView>,
    /// From when on, in Unix seconds; as long ago as buckets are kept unless given, and at most.
    #[param(maximum = 9_007_199_254_740_991u64)]
    from: Option<u64>,
    /// Until when, in Unix seconds; now unless given, and at most. A range that ends before it starts has no
    /// buckets.
    #[param(maximum = 9_007_199_254_740_991u64)]
    until: Option<u64>,
}

/// What a user transferred over time, without gaps, oldest first.
#[derive(Serialize, ToSchema)]
pub(in crate::manager) struct ChartView {
    resolution: ResolutionView,
    buckets: Vec<BucketView>,
}

#[derive(Serialize, ToSchema)]
pub(in crate::manager) struct BucketView {
    /// When it starts, in Unix seconds.
    start: u64,
    uploaded: u64,
    downloaded: u64,
    /// Both together, in bytes per second.
    bandwidth: u64,
}

/// How a user stands.
#[derive(Serialize, ToSchema)]
pub(in crate::manager) struct StatsView {
    /// In bytes per second, over the five minutes under way or, while those are young, the five before.
    bandwidth: u64,
    /// The highest of any five minutes of the last day.
    bandwidth_max: u64,
    uploaded: u64,
    downloaded: u64,
    charged: u64,
    traffic_limit: Option<u64>,
    /// The sessions that POPs which live have told last.
    sessions: u64,
}

/// A user's account, by POP process.
#[derive(Serialize, ToSchema)]
pub(in crate::manager) struct UsageView {
    charged: u64,
    uploaded: u64,
    downloaded: u64,
    traffic_limit: Option<u64>,
    holders: Vec<HolderView>,
}

#[derive(Serialize, ToSchema)]
pub(in crate::manager) struct HolderView {
    pop: String,
    incarnation: u64,
    granted: u64,
    returned: u64,
    uploaded: u64,
    downloaded: u64,
    sessions: u32,
    reported_at: u64,
}

/// A user's buckets within a range, without gaps.
pub(in crate::manager) struct Chart {
    pub(in crate::manager) resolution: Resolution,
    pub(in crate::manager) buckets: Vec<TrafficBucket>,
}

/// Bytes per second.
pub(in crate::manager) struct Rates {
    pub(in crate::manager) now: u64,
    pub(in crate::manager) max: u64,
}

pub(in crate::manager) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    const READ: Access = Access::Role(Role::ReadOnly);
    routes
        .look(
            Operation::new(
                Method::Get,
                "/v1/users/{name}/usage",
                "user.usage",
                "Shows what each POP holds and used of a user's quota",
                READ,
            ),
            usage,
        )
        .look(
            Operation::new(
                Method::Get,
                "/v1/users/{name}/stats",
                "user.stats",
                "Shows a user's bandwidth, traffic and sessions",
                READ,
            ),
            stats,
        )
        .look(
            Operation::new(
                Method::Get,
                "/v1/users/{name}/traffic",
                "user.traffic",
                "Shows a user's traffic over time",
                READ,
            ),
            traffic,
        )
}

async fn usage<E: Env, S: Store>(
    call: Call<E, S>,
    Name(name): Name,
) -> Result<Json<UsageView>, Problem> {
    let user = find(&call.api, &name).await?;
    let holders = call.api.store.usage(&name).await?;
    let holders = holders.ok_or_else(|| Problem::unknown("user", &name))?;
    Ok(Json(UsageView {
        charged: user.charged,
        uploaded: user.uploaded,
        downloaded: user.downloaded,
        traffic_limit: user.settings.traffic_limit,
        holders: holders.into_iter().map(HolderView::from).collect(),
    }))
}

async fn stats<E: Env, S: Store>(
    call: Call<E, S>,
    Name(name): Name,
) -> Result<Json<StatsView>, Problem> {
    let user = find(&call.api, &name).await?;
    let rates = rates(&call.api, &name).await?;
    let sessions = sessions(&call.api, &name).await?;
    Ok(Json(StatsView {
        bandwidth: rates.now,
        bandwidth_max: rates.max,
        uploaded: user.uploaded,
        downloaded: user.downloaded,
        charged: user.charged,
        traffic_limit: user.settings.traffic_limit,
        sessions,
    }))
}

async fn traffic<E: Env, S: Store>(
    call: Call<E, S>,
    (Name(name), Query(range)): (Name, Query<Range>),
) -> Result<Json<ChartView>, Problem> {
    let view = range.resolution.unwrap_or(ResolutionView::FiveMinutes);
    let Chart {
        resolution,
        buckets,
    } = chart(&call.api, &name, view.into(), range.from, range.until).await?;
    let buckets = buckets.into_iter().map(|bucket| BucketView {
        start: bucket.start,
        uploaded: bucket.uploaded,
        downloaded: bucket.downloaded,
        bandwidth: both(&bucket) / resolution.width(),
    });
    Ok(Json(ChartView {
        resolution: view,
        buckets: buckets.collect(),
    }))
}

/// Returns a user's traffic within a range, with an empty bucket where there was none. Of the range only that
/// counts of which buckets are kept: 288, 168 or 366, up to now.
pub(in crate::manager) async fn chart<E: Env, S: Store>(
    api: &Api<E, S>,
    name: &str,
    resolution: Resolution,
    from: Option<u64>,
    until: Option<u64>,
) -> Result<Chart, Problem> {
    let (width, kept) = (resolution.width(), resolution.kept());
    if from.max(until).is_some_and(|time| time > COUNT_MAX) {
        let what = format!("times must be at most {COUNT_MAX}");
        return Err(Problem::bad_request(what));
    }
    let now = api.env.unix_time().as_secs();
    let oldest = (now / width).saturating_sub(kept - 1);
    let first = from.map_or(oldest, |from| oldest.max(from / width));
    let until = until.map_or(now, |until| until.min(now));
    let last = until / width;
    find(api, name).await?;
    let found = if first <= last {
        api.store
            .traffic(name, resolution, first * width, until)
            .await?
    } else {
        Some(Vec::new())
    };
    let found = found.ok_or_else(|| Problem::unknown("user", name))?;
    let mut found: BTreeMap<u64, TrafficBucket> = found
        .into_iter()
        .map(|bucket| (bucket.start, bucket))
        .collect();
    let buckets = (first..=last).map(|index| {
        let start = index * width;
        found.remove(&start).unwrap_or(TrafficBucket {
            start,
            uploaded: 0,
            downloaded: 0,
        })
    });
    Ok(Chart {
        resolution,
        buckets: buckets.collect(),
    })
}

/// Returns a user's bandwidth now and the highest of the last day.
pub(in crate::manager) async fn rates<E: Env, S: Store>(
    api: &Api<E, S>,
    name: &str,
) -> Result<Rates, Problem> {
    let chart = chart(api, name, Resolution::FiveMinutes, None, None).await?;
    let width = chart.resolution.width();
    let rate = |bucket: &TrafficBucket| both(bucket) / width;
    // The bucket under way is short of its traffic, so the one before counts beside it.
    let now = chart.buckets.iter().rev().take(2).map(rate).max();
    let max = chart.buckets.iter().map(rate).max();
    Ok(Rates {
        now: now.unwrap_or(0),
        max: max.unwrap_or(0),
    })
}

/// Returns how many sessions a user has, as far as POPs that live have told. What a process told last
/// before it died does not count.
pub(in crate::manager) async fn sessions<E: Env, S: Store>(
    api: &Api<E, S>,
    name: &str,
) -> Result<u64, Problem> {
    let holders = api.store.usage(name).await?.unwrap_or_default();
    let live = live_pops(api).await?;
    let lives = |holder: &Holder| {
        live.iter().any(|status| {
            status.pop.id == holder.pop && status.pop.incarnation == holder.incarnation
        })
    };
    let living = holders.iter().filter(|usage| lives(&usage.holder));
    Ok(living.map(|usage| u64::from(usage.sessions)).sum())
}

/// Both directions together, in bytes.
const fn both(bucket: &TrafficBucket) -> u64 {
    bucket.uploaded.saturating_add(bucket.downloaded)
}

impl From<HolderUsage> for HolderView {
    fn from(usage: HolderUsage) -> Self {
        Self {
            pop: usage.holder.pop,
            incarnation: usage.holder.incarnation,
            granted: usage.granted,
            returned: usage.returned,
            uploaded: usage.uploaded,
            downloaded: usage.downloaded,
            sessions: usage.sessions,
            reported_at: usage.reported_at,
        }
    }
}

impl From<ResolutionView> for Resolution {
    fn from(view: ResolutionView) -> Self {
        match view {
            ResolutionView::FiveMinutes => Self::FiveMinutes,
            ResolutionView::Hour => Self::Hour,
            ResolutionView::Day => Self::Day,
        }
    }
}
