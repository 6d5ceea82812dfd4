//! Moving nodes to another POP.

use super::live_pop;
use crate::env::Env;
use crate::manager::Api;
use crate::manager::answer::Accepted;
use crate::manager::input::Act;
use crate::manager::input::{Body, ID_FORM};
use crate::manager::operation::{Access, Method, Operation};
use crate::manager::problem::{ApiCode, Problem};
use crate::manager::routes::{Call, Routes};
use crate::manager::words;
use crate::store::{Order, Page, Role, Store};
use crate::token::is_id;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The most nodes moved at once.
const MIGRATED_MAX: usize = 1_000;

/// How many nodes one order names: with the longest ids it stays below the longest order.
const NODES_PER_ORDER: usize = 48;

/// Which nodes go where.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::manager) struct Migration {
    /// The POP they go to.
    #[schema(max_length = 64)]
    to: String,
    /// These nodes; those that are not online are sent there when they ask next. Either these or
    /// `from`, which is another POP than `to`, and `count`.
    #[schema(value_type = Option<Vec<words::Id>>, min_items = 1, max_items = 1000)]
    nodes: Option<Vec<String>>,
    /// Nodes at this POP, the first by id.
    #[schema(max_length = 64)]
    from: Option<String>,
    /// How many of them.
    #[schema(minimum = 1, maximum = 1000)]
    count: Option<u32>,
}

/// What was ordered. Edges hear of it within about a second and ask the manager where to go.
#[derive(Serialize, ToSchema)]
pub(in crate::manager) struct Moved {
    /// Nodes whose home is the new POP now.
    pub(in crate::manager) assigned: usize,
    /// Those of them that are online elsewhere, whose POP was told to send them away.
    pub(in crate::manager) ordered: usize,
}

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    routes.act(
        Operation::new(
            Method::Post,
            "/v1/nodes/migrate",
            "node.migrate",
            "Makes another POP the home of nodes and sends them there",
            Access::Role(Role::Operator),
        )
        .or(&[ApiCode::NotFound, ApiCode::PopDraining, ApiCode::Conflict]),
        migrate,
    )
}

async fn migrate<E: Env, S: Store>(
    call: Call<E, S>,
    Body(body, ..): Body<Migration>,
) -> Result<Accepted<Moved>, Problem> {
    let api = &call.api;
    match (body.nodes, body.from, body.count) {
        (Some(mut nodes), None, None) => {
            nodes.sort_unstable();
            nodes.dedup();
            if nodes.is_empty() || nodes.len() > MIGRATED_MAX {
                return Err(Problem::bad_request("nodes must name 1 to 1000 nodes"));
            }
            check_target(api, &body.to).await?;
            let mut online = BTreeMap::<String, Vec<String>>::new();
            for id in &nodes {
                if !is_id(id) {
                    return Err(Problem::bad_request(format!(
                        "nodes: `{id}` is no id of a node: {ID_FORM}"
                    )));
                }
                let known = api.store.node(id).await?;
                let known = known.ok_or_else(|| Problem::unknown("node", id))?;
                if let Some(entry) = known.online.filter(|entry| entry.pop != body.to) {
                    online.entry(entry.pop).or_default().push(id.clone());
                }
            }
            Ok(Accepted(move_nodes(api, nodes, online, &body.to).await?))
        }
        (None, Some(from), Some(count)) => {
            Ok(Accepted(move_some(api, &from, &body.to, count).await?))
        }
        _ => Err(Problem::bad_request("either nodes, or from and count")),
    }
}

/// Moves the first `count` nodes of a POP.
pub(in crate::manager) async fn move_some<E: Env, S: Store>(
    api: &Api<E, S>,
    from: &str,
    to: &str,
    count: u32,
) -> Result<Moved, Problem> {
    if !(1..=MIGRATED_MAX).contains(&(count as usize)) {
        return Err(Problem::bad_request("count must be from 1 to 1000"));
    }
    if from == to {
        return Err(Problem::conflict("both POPs are the same"));
    }
    live_pop(api, from).await?;
    check_target(api, to).await?;
    let listing = api.store.pop_nodes(from, Page::first(count)).await?;
    let nodes: Vec<_> = listing.items.into_iter().map(|node| node.id).collect();
    let online = BTreeMap::from([(from.to_owned(), nodes.clone())]);
    move_nodes(api, nodes, online, to).await
}

/// A POP that drains would be a home that no node is sent to.
async fn check_target<E: Env, S: Store>(api: &Api<E, S>, to: &str) -> Result<(), Problem> {
    if live_pop(api, to).await?.draining {
        return Err(Problem::new(ApiCode::PopDraining));
    }
    Ok(())
}

/// First the new home, then the orders: a node that is sent away finds its new home.
async fn move_nodes<E: Env, S: Store>(
    api: &Api<E, S>,
    nodes: Vec<String>,
    online: BTreeMap<String, Vec<String>>,
    to: &str,
) -> Result<Moved, Problem> {
    let now = api.env.unix_time().as_secs();
    let assigned = nodes.len();
    if assigned > 0 {
        api.store.assign_nodes(nodes, to).await?;
    }
    let mut ordered = 0;
    for (pop, nodes) in online {
        for nodes in nodes.chunks(NODES_PER_ORDER) {
            let order = Order::Migrate {
                nodes: nodes.to_vec(),
            };
            api.store.order(&pop, now, order).await?;
            ordered += nodes.len();
        }
    }
    Ok(Moved { assigned, ordered })
}

impl Act for Migration {
    fn subject(&self) -> String {
        self.to.clone()
    }
}
