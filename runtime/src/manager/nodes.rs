//! Nodes that are online: `/v1/nodes`.

use super::Api;
use super::extract::{Paging, Parameters};
use super::problem::Problem;
use crate::env::Env;
use crate::store::{NodeEntry, Store};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::net::IpAddr;

/// A node as clients see it.
#[derive(Serialize)]
pub(super) struct NodeView {
    id: String,
    pop: String,
    ip: IpAddr,
    os: String,
    version: String,
    online_since: u64,
    rtt_ms: Option<u32>,
}

/// A page of nodes.
#[derive(Serialize)]
pub(super) struct NodePage {
    nodes: Vec<NodeView>,
    next_cursor: Option<String>,
}

pub(super) async fn list<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<NodePage>, Problem> {
    let listing = api
        .store
        .nodes(paging.page()?, api.env.unix_time().as_secs())
        .await?;
    let nodes = listing.items.into_iter().map(NodeView::from).collect();
    Ok(Json(NodePage {
        nodes,
        next_cursor: listing.next,
    }))
}

impl From<NodeEntry> for NodeView {
    fn from(node: NodeEntry) -> Self {
        Self {
            id: node.id,
            pop: node.pop,
            ip: node.ip,
            os: node.os,
            version: node.version,
            online_since: node.online_since,
            rtt_ms: node.rtt_ms,
        }
    }
}
