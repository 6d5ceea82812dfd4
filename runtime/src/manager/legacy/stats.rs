//! `/user/stats/…`.

use super::look;
use crate::env::Env;
use crate::manager::answer::Json;
use crate::manager::input::Query;
use crate::manager::problem::{ApiCode, Problem};
use crate::manager::routes::{Call, Routes};
use crate::manager::users::{chart, find, rates, sessions};
use crate::store::{Resolution, Store};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What the older paths count in, in bytes.
const KB: u64 = 1_024;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Named {
    #[param(max_length = 64)]
    username: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Range {
    /// `minute` (five of them), `hour` or `day`.
    #[serde(rename = "type")]
    #[param(pattern = "^(minute|hour|day)$")]
    kind: String,
    #[param(max_length = 64)]
    username: String,
    /// In Unix seconds.
    #[param(maximum = 9_007_199_254_740_991u64)]
    start_time: u64,
    /// In Unix seconds. Buckets are kept for a day, a week or a year.
    #[param(maximum = 9_007_199_254_740_991u64)]
    end_time: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyBaseStats)]
struct Base {
    /// In KB per second.
    current_bandwidth: u64,
    /// In KB per second, of the last day.
    top_bandwidth: u64,
    /// In bytes.
    total_traffic: u64,
    current_conns: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyChart)]
struct Stats {
    stats: Vec<Point>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyChartPoint)]
struct Point {
    timestamp: u64,
    /// In KB per second.
    bandwidth: u64,
    /// In KB, from the start of the chart to the end of this bucket.
    traffic: u64,
    /// The same again: the original wrote the key like this.
    #[serde(rename = "Traffic")]
    capital: u64,
}

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    const UNKNOWN: &[ApiCode] = &[ApiCode::NotFound];
    routes
        .look(
            look(
                "/user/stats/base",
                "legacy.user.stats",
                "Shows bandwidth and traffic",
            )
            .or(UNKNOWN),
            base,
        )
        .look(
            look(
                "/user/stats/chart",
                "legacy.user.chart",
                "Shows traffic over time",
            )
            .or(UNKNOWN),
            points,
        )
}

async fn base<E: Env, S: Store>(
    call: Call<E, S>,
    Query(named): Query<Named>,
) -> Result<Json<Base>, Problem> {
    let user = find(&call.api, &named.username).await?;
    let rates = rates(&call.api, &user.name).await?;
    Ok(Json(Base {
        current_bandwidth: rates.now / KB,
        top_bandwidth: rates.max / KB,
        total_traffic: user.uploaded.saturating_add(user.downloaded),
        current_conns: sessions(&call.api, &user.name).await?,
    }))
}

async fn points<E: Env, S: Store>(
    call: Call<E, S>,
    Query(range): Query<Range>,
) -> Result<Json<Stats>, Problem> {
    let resolution = match range.kind.as_str() {
        "minute" => Resolution::FiveMinutes,
        "hour" => Resolution::Hour,
        "day" => Resolution::Day,
        _ => return Err(Problem::bad_request("type must be minute, hour or day")),
    };
    let (from, until) = (Some(range.start_time), Some(range.end_time));
    let chart = chart(&call.api, &range.username, resolution, from, until).await?;
    let width = chart.resolution.width();
    let mut total = 0_u64;
    let stats = chart.buckets.into_iter().map(|bucket| {
        let bytes = bucket.uploaded.saturating_add(bucket.downloaded);
        total = total.saturating_add(bytes);
        Point {
            timestamp: bucket.start,
            bandwidth: bytes / width / KB,
            traffic: total / KB,
            capital: total / KB,
        }
    });
    Ok(Json(Stats {
        stats: stats.collect(),
    }))
}
