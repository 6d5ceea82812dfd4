//! Nodes: `/v1/nodes`.

mod export;
mod migrate;

pub(super) use export::rows;
pub(super) use migrate::move_some;

use super::Api;
use super::answer::{Accepted, Csv, Json};
use super::input::{Body, Name, Query, page};
use super::operation::{Access, Method, Operation};
use super::problem::{ApiCode, Problem};
use super::routes::{Call, Routes};
use crate::env::Env;
use crate::store::{KnownNode, NodeEntry, Order, PopStatus, Role, Store};
use crate::token::is_id;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How long a node that was kicked stays away unless the caller says, in seconds.
const AWAY_DEFAULT: u32 = 10;

/// The longest a node can be told to stay away, in seconds.
const AWAY_MAX: u32 = 24 * 3_600;

/// A node that is online.
#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
pub(super) struct NodeView {
    id: String,
    pop: String,
    /// The address the node connects from.
    ip: String,
    os: String,
    version: String,
    online_since: u64,
    rtt_ms: Option<u32>,
    /// When another process with this id was turned away last, to a minute: two edges run with one id. None
    /// if that did not happen since this one came.
    contested_at: Option<u64>,
    /// What is wrong, for people; none if nothing is.
    warning: Option<&'static str>,
}

/// What there is to say of a node whose id another process has, too.
const CONTESTED: &str = "two edges run with this id, and the older one is turned away while the newer one is \
                         here: give each an id of its own";

/// A page of nodes.
#[derive(Serialize, ToSchema)]
pub(super) struct NodePage {
    nodes: Vec<NodeView>,
    next_cursor: Option<String>,
}

/// What is known of a node, online or not.
#[derive(Serialize, ToSchema)]
pub(super) struct KnownNodeView {
    id: String,
    /// The POP it is sent to.
    home: String,
    /// The address it attached from last.
    ip: Option<String>,
    seen_at: u64,
    /// What it is now, if it is online.
    online: Option<NodeView>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NodeQuery {
    /// Only the nodes at this POP.
    #[param(max_length = 64)]
    pop: Option<String>,
    /// `next_cursor` of the page before; none begins.
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// The most entries of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// Only the nodes at this POP.
    #[param(max_length = 64)]
    pop: Option<String>,
}

/// How to turn a node away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Kick {
    /// How long it is to stay away, in seconds; 10 unless given.
    #[schema(maximum = 86_400)]
    retry_after: Option<u32>,
}

/// What was ordered. POPs hear of it within about a second; whether they did it, listing nodes tells.
#[derive(Serialize, ToSchema)]
pub(super) struct Kicked {
    /// The POP that was told.
    pop: String,
    retry_after: u32,
}

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    const READ: Access = Access::Role(Role::ReadOnly);
    let routes = routes
        .look(
            Operation::new(
                Method::Get,
                "/v1/nodes",
                "node.list",
                "Lists nodes that are online, by id",
                READ,
            )
            .or(&[ApiCode::NotFound]),
            list,
        )
        .look(
            Operation::new(
                Method::Get,
                "/v1/nodes.csv",
                "node.export",
                "Exports the nodes that are online, by POP and id",
                READ,
            )
            .or(&[ApiCode::NotFound]),
            export,
        )
        .look(
            Operation::new(
                Method::Get,
                "/v1/nodes/{id}",
                "node.show",
                "Shows what is known of a node",
                READ,
            ),
            show,
        )
        .act(
            Operation::new(
                Method::Post,
                "/v1/nodes/{id}/kick",
                "node.kick",
                "Has a node turned away; it may come back",
                Access::Role(Role::Operator),
            )
            .or(&[ApiCode::NodeOffline]),
            kick,
        );
    migrate::routes(routes)
}

async fn list<E: Env, S: Store>(
    call: Call<E, S>,
    Query(query): Query<NodeQuery>,
) -> Result<Json<NodePage>, Problem> {
    let page = page(query.cursor, query.limit)?;
    let listing = match &query.pop {
        Some(pop) => {
            live_pop(&call.api, pop).await?;
            call.api.store.pop_nodes(pop, page).await?
        }
        None => call.api.store.nodes(page).await?,
    };
    let nodes = listing.items.into_iter().map(NodeView::from).collect();
    Ok(Json(NodePage {
        nodes,
        next_cursor: listing.next,
    }))
}

async fn export<E: Env, S: Store>(
    call: Call<E, S>,
    Query(query): Query<ExportQuery>,
) -> Result<Csv, Problem> {
    let pops = match &query.pop {
        Some(pop) => vec![live_pop(&call.api, pop).await?],
        None => live_pops(&call.api).await?,
    };
    let header = [
        "pop",
        "node",
        "ip",
        "os",
        "version",
        "online_since",
        "rtt_ms",
    ];
    let pops = pops.into_iter().map(|status| status.pop.id);
    Ok(Csv {
        file: "nodes.csv",
        rows: rows(call.api, pops.collect(), &header, |text, _, node| {
            let since = node.online_since.to_string();
            let rtt = node.rtt_ms.map_or_else(String::new, |rtt| rtt.to_string());
            let ip = node.ip.to_string();
            let fields = [
                &node.pop,
                &node.id,
                &ip,
                &node.os,
                &node.version,
                &since,
                &rtt,
            ];
            super::answer::csv_row(text, &fields.map(String::as_str));
        }),
    })
}

async fn show<E: Env, S: Store>(
    call: Call<E, S>,
    Name(id): Name,
) -> Result<Json<KnownNodeView>, Problem> {
    let node = known(&call.api, &id).await?;
    Ok(Json(KnownNodeView {
        id: node.id,
        home: node.home,
        ip: node.ip.map(|ip| ip.to_string()),
        seen_at: node.seen_at,
        online: node.online.map(NodeView::from),
    }))
}

async fn kick<E: Env, S: Store>(
    call: Call<E, S>,
    (Name(id), Body(body, ..)): (Name, Body<Kick>),
) -> Result<Accepted<Kicked>, Problem> {
    let retry_after = body.retry_after.unwrap_or(AWAY_DEFAULT);
    if retry_after > AWAY_MAX {
        return Err(Problem::bad_request(format!(
            "retry_after must be at most {AWAY_MAX}"
        )));
    }
    let pop = kick_node(&call.api, &id, retry_after).await?;
    Ok(Accepted(Kicked { pop, retry_after }))
}

/// Orders the POP at which a node is online to turn it away, and returns which that is.
pub(super) async fn kick_node<E: Env, S: Store>(
    api: &Api<E, S>,
    id: &str,
    retry_after: u32,
) -> Result<String, Problem> {
    let node = known(api, id).await?;
    let online = node
        .online
        .ok_or_else(|| Problem::new(ApiCode::NodeOffline))?;
    let order = Order::Kick {
        nodes: vec![node.id],
        retry_after,
    };
    let now = api.env.unix_time().as_secs();
    api.store.order(&online.pop, now, order).await?;
    Ok(online.pop)
}

pub(super) async fn known<E: Env, S: Store>(
    api: &Api<E, S>,
    id: &str,
) -> Result<KnownNode, Problem> {
    let found = if is_id(id) {
        api.store.node(id).await?
    } else {
        None
    };
    found.ok_or_else(|| Problem::unknown("node", id))
}

pub(super) async fn live_pops<E: Env, S: Store>(
    api: &Api<E, S>,
) -> Result<Vec<PopStatus>, Problem> {
    Ok(api.store.pops().await?)
}

pub(super) async fn live_pop<E: Env, S: Store>(
    api: &Api<E, S>,
    id: &str,
) -> Result<PopStatus, Problem> {
    let mut pops = live_pops(api).await?.into_iter();
    pops.find(|status| status.pop.id == id)
        .ok_or_else(|| Problem::unknown("POP", id))
}

/// Checks that POPs live or are configured.
pub(super) async fn check_pops<E: Env, S: Store>(
    api: &Api<E, S>,
    ids: &[String],
) -> Result<(), Problem> {
    if ids.is_empty() {
        return Ok(());
    }
    let live = live_pops(api).await?;
    let known = |id: &String| {
        let configured = api.config.pops.iter().any(|pop| pop.id == *id);
        configured || live.iter().any(|status| status.pop.id == *id)
    };
    match ids.iter().find(|id| !known(id)) {
        Some(id) => Err(Problem::unknown("POP", id)),
        None => Ok(()),
    }
}

impl From<NodeEntry> for NodeView {
    fn from(node: NodeEntry) -> Self {
        Self {
            id: node.id,
            pop: node.pop,
            ip: node.ip.to_string(),
            os: node.os,
            version: node.version,
            online_since: node.online_since,
            rtt_ms: node.rtt_ms,
            contested_at: node.contested_at,
            warning: node.contested_at.map(|_| CONTESTED),
        }
    }
}
