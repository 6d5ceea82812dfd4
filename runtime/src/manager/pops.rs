//! POPs that live, and sending them away: `/v1/pops`.

use super::Api;
use super::extract::Name;
use super::problem::{ApiCode, Problem};
use crate::env::Env;
use crate::store::{PopStatus, Store};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;

/// A POP as clients see it.
#[derive(Serialize)]
pub(super) struct PopView {
    id: String,
    url: String,
    node_count: u64,
    /// In Unix seconds.
    lease_until: u64,
    draining: bool,
}

/// All POPs whose lease holds.
#[derive(Serialize)]
pub(super) struct PopList {
    pops: Vec<PopView>,
}

pub(super) async fn list<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
) -> Result<Json<PopList>, Problem> {
    let pops = api.store.pops(api.env.unix_time().as_secs()).await?;
    let pops = pops.into_iter().map(PopView::from).collect();
    Ok(Json(PopList { pops }))
}

/// Orders a living POP to drain. It hears of it within about a second, ends when its last session does
/// or its time is up, and cannot be called back.
pub(super) async fn drain<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    Name(id): Name,
) -> Result<(StatusCode, Json<PopView>), Problem> {
    let live = api.store.pops(api.env.unix_time().as_secs()).await?;
    let found = live.into_iter().find(|status| status.pop.id == id);
    let status = found.ok_or_else(|| Problem::new(ApiCode::NotFound))?;
    if !api.store.drain_pop(&id, status.pop.incarnation).await? {
        // It has gone or was started again meanwhile.
        return Err(Problem::new(ApiCode::NotFound));
    }
    tracing::info!(pop = id, "ordered to drain");
    let draining = PopStatus {
        draining: true,
        ..status
    };
    Ok((StatusCode::ACCEPTED, Json(draining.into())))
}

impl From<PopStatus> for PopView {
    fn from(status: PopStatus) -> Self {
        Self {
            id: status.pop.id,
            url: status.pop.url,
            node_count: status.node_count,
            lease_until: status.lease_until,
            draining: status.draining,
        }
    }
}
