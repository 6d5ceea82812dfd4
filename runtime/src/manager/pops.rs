//! POPs that live, and sending them away: `/v1/pops`.

use super::answer::{Accepted, Json};
use super::input::Name;
use super::nodes::{live_pop, live_pops};
use super::operation::{Access, Method, Operation};
use super::problem::Problem;
use super::routes::{Call, Routes};
use crate::env::Env;
use crate::store::{PopStatus, Role, Store};
use serde::Serialize;
use utoipa::ToSchema;

/// A POP whose lease holds.
#[derive(Serialize, ToSchema)]
#[schema(as = Pop)]
pub(super) struct PopView {
    id: String,
    url: String,
    node_count: u64,
    /// In Unix seconds.
    lease_until: u64,
    draining: bool,
}

/// All POPs whose lease holds.
#[derive(Serialize, ToSchema)]
pub(super) struct PopList {
    pops: Vec<PopView>,
}

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    routes
        .look(
            Operation::new(
                Method::Get,
                "/v1/pops",
                "pop.list",
                "Lists the POPs that live",
                Access::Role(Role::ReadOnly),
            ),
            list,
        )
        .act(
            Operation::new(
                Method::Post,
                "/v1/pops/{pop}/drain",
                "pop.drain",
                "Orders a living POP to drain, which cannot be called back",
                Access::Role(Role::Operator),
            ),
            drain,
        )
}

async fn list<E: Env, S: Store>(call: Call<E, S>, (): ()) -> Result<Json<PopList>, Problem> {
    let pops = live_pops(&call.api).await?;
    let pops = pops.into_iter().map(PopView::from).collect();
    Ok(Json(PopList { pops }))
}

/// Orders a living POP to drain. It hears of it within about a second, and ends when its last session
/// does or its time is up.
async fn drain<E: Env, S: Store>(
    call: Call<E, S>,
    Name(id): Name,
) -> Result<Accepted<PopView>, Problem> {
    let api = &call.api;
    let status = live_pop(api, &id).await?;
    if !api.store.drain_pop(&id, status.pop.incarnation).await? {
        // It has gone or was started again meanwhile.
        return Err(Problem::unknown("POP", &id));
    }
    tracing::info!(pop = id, "ordered to drain");
    let draining = PopStatus {
        draining: true,
        ..status
    };
    Ok(Accepted(draining.into()))
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
