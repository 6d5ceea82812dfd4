//! `/pops`, `/node/…` and `/pop/nodes/export`.

use super::{DONE, Outcome, act, by_index, last_index, look};
use crate::env::Env;
use crate::manager::answer::{Csv, Json, csv_row};
use crate::manager::input::Act;
use crate::manager::input::{Body, Form, Query};
use crate::manager::nodes::{kick_node, live_pop, live_pops, move_some, rows};
use crate::manager::problem::{ApiCode, Problem};
use crate::manager::routes::{Call, Routes};
use crate::store::{NodeEntry, Store};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How long a node that was kicked stays away, in seconds.
const AWAY: u32 = 10;

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyPops)]
struct Pops {
    #[serde(rename = "Pops")]
    pops: Vec<Pop>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyPop)]
struct Pop {
    id: String,
    /// The id.
    name: String,
    /// Always empty.
    area: &'static str,
    /// Always empty.
    socks5_addr: &'static str,
    total_node: u64,
    online_node_count: u64,
    /// Always empty.
    country_code: &'static str,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    #[param(max_length = 64)]
    popid: String,
    /// 1 all, 2 free, 3 bound. Nodes are not bound to users yet: all are free.
    #[serde(rename = "type")]
    #[param(minimum = 1, maximum = 3)]
    kind: u8,
    /// The first index.
    #[param(maximum = 99_999)]
    start: u64,
    /// The last index, inclusive; at most 1000 entries.
    #[param(maximum = 99_999)]
    end: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyNodeList)]
struct NodeList {
    nodes: Vec<LegacyNode>,
    total: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyNode)]
struct LegacyNode {
    id: String,
    ip: String,
    /// In milliseconds; 0 before it was measured.
    net_delay: u32,
    /// Always empty.
    bind_user: &'static str,
    /// Always true: only nodes that are online are listed.
    online: bool,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct KickQuery {
    #[param(max_length = 64)]
    nodeid: String,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyMigration)]
struct Migration {
    #[schema(max_length = 64)]
    source_pop: String,
    #[schema(max_length = 64)]
    target_pop: String,
    #[schema(minimum = 1, maximum = 1000)]
    count: u32,
    /// The order of nodes is by id, so this makes no difference.
    #[serde(default, rename = "from_head")]
    #[schema(rename = "from_head")]
    _from_head: bool,
}

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    const UNKNOWN: &[ApiCode] = &[ApiCode::NotFound];
    routes
        .look(
            look("/pops", "legacy.pops", "Lists the POPs that live"),
            pops,
        )
        .look(
            look("/node/list", "legacy.node.list", "Lists nodes by index").or(UNKNOWN),
            list,
        )
        .act(
            act(
                "/node/kick",
                "legacy.node.kick",
                "Has a node turned away; it may come back",
            )
            .or(&[ApiCode::NotFound, ApiCode::NodeOffline, ApiCode::TooLarge]),
            |call: Call<E, S>, Form(query): Form<KickQuery>| async move {
                kick_node(&call.api, &query.nodeid, AWAY).await?;
                Ok(DONE)
            },
        )
        .act(
            act(
                "/node/migrate",
                "legacy.node.migrate",
                "Moves nodes to another POP",
            )
            .or(&[ApiCode::NotFound, ApiCode::PopDraining, ApiCode::Conflict]),
            migrate,
        )
        .look(
            look(
                "/pop/nodes/export",
                "legacy.pop.export",
                "Exports the nodes of every POP",
            ),
            export,
        )
}

async fn pops<E: Env, S: Store>(call: Call<E, S>, (): ()) -> Result<Json<Pops>, Problem> {
    let pops = live_pops(&call.api).await?;
    let pops = pops.into_iter().map(|status| Pop {
        name: status.pop.id.clone(),
        id: status.pop.id,
        area: "",
        socks5_addr: "",
        total_node: status.node_count,
        online_node_count: status.node_count,
        country_code: "",
    });
    Ok(Json(Pops {
        pops: pops.collect(),
    }))
}

async fn list<E: Env, S: Store>(
    call: Call<E, S>,
    Query(query): Query<ListQuery>,
) -> Result<Json<NodeList>, Problem> {
    let last = last_index(query.start, query.end)?;
    if !(1..=3).contains(&query.kind) {
        return Err(Problem::bad_request("type must be 1, 2 or 3"));
    }
    let status = live_pop(&call.api, &query.popid).await?;
    if query.kind == 3 {
        return Ok(Json(NodeList {
            nodes: Vec::new(),
            total: 0,
        }));
    }
    let (store, pop) = (&call.api.store, &query.popid);
    let list = |page| store.pop_nodes(pop, page);
    let (nodes, _) = by_index(query.start, last, false, list).await?;
    Ok(Json(NodeList {
        nodes: nodes.into_iter().map(LegacyNode::from).collect(),
        total: status.node_count,
    }))
}

async fn migrate<E: Env, S: Store>(
    call: Call<E, S>,
    Body(body, ..): Body<Migration>,
) -> Result<Json<Outcome>, Problem> {
    let moved = move_some(&call.api, &body.source_pop, &body.target_pop, body.count).await?;
    if moved.assigned == 0 {
        return Err(Problem::conflict("no free nodes to migrate"));
    }
    Ok(DONE)
}

async fn export<E: Env, S: Store>(call: Call<E, S>, (): ()) -> Result<Csv, Problem> {
    let pops = live_pops(&call.api).await?;
    let pops = pops.into_iter().map(|status| status.pop.id).collect();
    let header = ["pop_id", "pop_name", "node_id"];
    Ok(Csv {
        file: "pop_nodes.csv",
        rows: rows(call.api, pops, &header, |text, pop, node| {
            csv_row(text, &[pop, pop, &node.id]);
        }),
    })
}

impl From<NodeEntry> for LegacyNode {
    fn from(node: NodeEntry) -> Self {
        Self {
            id: node.id,
            ip: node.ip.to_string(),
            net_delay: node.rtt_ms.unwrap_or(0),
            bind_user: "",
            online: true,
        }
    }
}

impl Act for Form<KickQuery> {
    fn subject(&self) -> String {
        self.0.nodeid.clone()
    }
}

impl Act for Migration {
    fn subject(&self) -> String {
        self.target_pop.clone()
    }
}
