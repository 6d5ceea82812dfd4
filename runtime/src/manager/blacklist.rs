//! Who is turned away: `/v1/blacklist`.

use super::Api;
use super::answer::{Done, Json};
use super::input::Act;
use super::input::{Body, ID_FORM, Name, Paging, Query};
use super::operation::{Access, Method, Operation};
use super::problem::{ApiCode, Problem};
use super::routes::{Call, Routes};
use super::words;
use crate::env::Env;
use crate::store::{
    BATCH_MAX, BlacklistEntry, Prefix, REASON_MAX, Role, Store, Subject, SubjectKind,
};
use crate::token::is_id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An entry of a blacklist.
#[derive(Serialize, ToSchema)]
pub(super) struct EntryView {
    /// The node's id, the address, or the block of addresses.
    subject: String,
    reason: String,
    since: u64,
}

/// A page of a blacklist.
#[derive(Serialize, ToSchema)]
pub(super) struct EntryPage {
    entries: Vec<EntryView>,
    next_cursor: Option<String>,
}

/// Who is to be turned away: at least one node or address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Addition {
    /// Ids of nodes; they need not be known.
    #[serde(default)]
    #[schema(value_type = Vec<words::Id>, max_items = 1000)]
    nodes: Vec<String>,
    /// Addresses, or blocks of them such as `2001:db8::/64`, from which every node is turned away. A prefix
    /// has at least 8 bits (IPv4) or 16 (IPv6).
    #[serde(default)]
    #[schema(value_type = Vec<words::Address>, max_items = 1000)]
    ips: Vec<String>,
    /// Why, for people.
    #[schema(max_length = 256)]
    reason: Option<String>,
}

/// What was done.
#[derive(Serialize, ToSchema)]
pub(super) struct Added {
    /// How many were named; those that were on the list already keep their entry.
    listed: usize,
}

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    const READ: Access = Access::Role(Role::ReadOnly);
    const CHANGE: Access = Access::Role(Role::Operator);
    routes
        .look(
            Operation::new(
                Method::Get,
                "/v1/blacklist/nodes",
                "blacklist.nodes",
                "Lists nodes that are turned away",
                READ,
            ),
            |call, Query(paging): Query<Paging>| list(call, SubjectKind::Node, paging),
        )
        .look(
            Operation::new(
                Method::Get,
                "/v1/blacklist/ips",
                "blacklist.ips",
                "Lists addresses and blocks that are turned away",
                READ,
            ),
            |call, Query(paging): Query<Paging>| list(call, SubjectKind::Ip, paging),
        )
        .act(
            Operation::new(
                Method::Post,
                "/v1/blacklist",
                "blacklist.add",
                "Turns nodes and addresses away, those that are online included",
                CHANGE,
            ),
            add,
        )
        .act(
            Operation::new(
                Method::Delete,
                "/v1/blacklist/nodes/{id}",
                "blacklist.remove_node",
                "Lets a node in again; also one that is not on the list",
                CHANGE,
            )
            .or(&[ApiCode::BadRequest]),
            |call, Name(id): Name| async move { remove(&call, subject_node(id)?).await },
        )
        .act(
            Operation::new(
                Method::Delete,
                "/v1/blacklist/ips/{ip}",
                "blacklist.remove_ip",
                "Lets an address, or a block, in again; also one that is not on the list",
                CHANGE,
            )
            .or(&[ApiCode::BadRequest]),
            |call, Name(ip): Name| async move { remove(&call, subject_ip(&ip)?).await },
        )
}

async fn list<E: Env, S: Store>(
    call: Call<E, S>,
    kind: SubjectKind,
    paging: Paging,
) -> Result<Json<EntryPage>, Problem> {
    let listing = call.api.store.blacklist(kind, paging.page()?).await?;
    let entries = listing.items.into_iter().map(|entry| EntryView {
        subject: entry.subject.key(),
        reason: entry.reason,
        since: entry.since,
    });
    Ok(Json(EntryPage {
        entries: entries.collect(),
        next_cursor: listing.next,
    }))
}

async fn add<E: Env, S: Store>(
    call: Call<E, S>,
    Body(body, ..): Body<Addition>,
) -> Result<Json<Added>, Problem> {
    let listed = body.nodes.len() + body.ips.len();
    if listed == 0 || body.nodes.len().max(body.ips.len()) > BATCH_MAX {
        return Err(Problem::bad_request(format!(
            "nodes and ips must name one at least, and at most {BATCH_MAX} each"
        )));
    }
    let reason = body.reason.unwrap_or_default();
    if reason.chars().count() > REASON_MAX {
        return Err(Problem::bad_request(format!(
            "reason must be at most {REASON_MAX} characters"
        )));
    }
    let nodes = body.nodes.into_iter().map(subject_node);
    let nodes = nodes.collect::<Result<Vec<_>, _>>();
    let nodes = nodes.map_err(|problem| problem.at("nodes"))?;
    let ips = body.ips.iter().map(|ip| subject_ip(ip));
    let ips = ips.collect::<Result<Vec<_>, _>>();
    let ips = ips.map_err(|problem| problem.at("ips"))?;
    // A list of each is as long as the store takes at once.
    for subjects in [nodes, ips] {
        if !subjects.is_empty() {
            put(&call.api, subjects, &reason).await?;
        }
    }
    Ok(Json(Added { listed }))
}

async fn remove<E: Env, S: Store>(call: &Call<E, S>, subject: Subject) -> Result<Done, Problem> {
    call.api.store.blacklist_remove(vec![subject]).await?;
    Ok(Done)
}

/// Puts subjects on their lists. POPs hear of it by the stream of changes.
pub(super) async fn put<E: Env, S: Store>(
    api: &Api<E, S>,
    subjects: Vec<Subject>,
    reason: &str,
) -> Result<(), Problem> {
    let since = api.env.unix_time().as_secs();
    let entries = subjects.into_iter().map(|subject| BlacklistEntry {
        subject,
        reason: reason.to_owned(),
        since,
    });
    Ok(api.store.blacklist_add(entries.collect()).await?)
}

fn subject_node(id: String) -> Result<Subject, Problem> {
    if is_id(&id) {
        Ok(Subject::Node(id))
    } else {
        Err(Problem::bad_request(format!(
            "`{id}` is no id of a node: {ID_FORM}"
        )))
    }
}

pub(super) fn subject_ip(ip: &str) -> Result<Subject, Problem> {
    match ip.parse::<Prefix>() {
        Ok(prefix) => Ok(Subject::Ip(prefix)),
        Err(error) => Err(Problem::bad_request(format!("`{ip}`: {error}"))),
    }
}

impl Act for Addition {
    fn subject(&self) -> String {
        let mut all = self.nodes.iter().chain(&self.ips);
        let first = all.next().cloned().unwrap_or_default();
        match all.count() {
            0 => first,
            more => format!("{first} and {more} more"),
        }
    }
}
