//! `/node/blacklist/…` and `/ip/blacklist/…`: both name addresses, and there is one list of them.

use super::{DONE, INDEX_MAX, Outcome, act, by_index, look};
use crate::env::Env;
use crate::manager::answer::Json;
use crate::manager::blacklist::{put, subject_ip};
use crate::manager::input::Act;
use crate::manager::input::{Body, Query};
use crate::manager::nodes::check_pops;
use crate::manager::problem::{ApiCode, Problem};
use crate::manager::routes::{Call, Routes};
use crate::manager::words;
use crate::store::{PAGE_MAX, Store, Subject, SubjectKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The most addresses in one call.
const ADDRESSES_MAX: usize = 100;

#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyAddresses)]
struct Addresses {
    /// Checked to exist where it is needed; the list is that of all POPs.
    #[schema(max_length = 64)]
    pop_id: Option<String>,
    #[schema(value_type = Vec<words::Address>, min_items = 1, max_items = 100)]
    ip_list: Vec<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PopPart {
    #[param(max_length = 64)]
    popid: String,
    /// `next_cursor` of the part before.
    #[param(maximum = 99_999)]
    cursor: Option<u64>,
    /// The most addresses; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Part {
    /// `next_cursor` of the part before.
    #[param(maximum = 99_999)]
    cursor: Option<u64>,
    /// The most addresses; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LegacyAddressList)]
struct AddressList {
    ip_list: Vec<String>,
    /// 0 at the end.
    next_cursor: u64,
    /// How many there are.
    total: u64,
}

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    const UNKNOWN: &[ApiCode] = &[ApiCode::NotFound];
    routes
        .act(
            act(
                "/node/blacklist/add",
                "legacy.node.blacklist.add",
                "Turns addresses away",
            )
            .or(UNKNOWN),
            add,
        )
        .act(
            act(
                "/node/blacklist/remove",
                "legacy.node.blacklist.remove",
                "Lets addresses in",
            )
            .or(UNKNOWN),
            remove,
        )
        .look(
            look(
                "/node/blacklist/get",
                "legacy.node.blacklist.get",
                "Lists addresses",
            )
            .or(UNKNOWN),
            |call: Call<E, S>, Query(part): Query<PopPart>| async move {
                check_pops(&call.api, core::slice::from_ref(&part.popid)).await?;
                get(&call, part.cursor, part.count).await
            },
        )
        .act(
            act(
                "/ip/blacklist/add",
                "legacy.ip.blacklist.add",
                "Turns addresses away",
            )
            .or(UNKNOWN),
            add,
        )
        .act(
            act(
                "/ip/blacklist/remove",
                "legacy.ip.blacklist.remove",
                "Lets addresses in",
            )
            .or(UNKNOWN),
            remove,
        )
        .look(
            look(
                "/ip/blacklist/get",
                "legacy.ip.blacklist.get",
                "Lists addresses",
            ),
            |call: Call<E, S>, Query(part): Query<Part>| async move {
                get(&call, part.cursor, part.count).await
            },
        )
}

async fn add<E: Env, S: Store>(
    call: Call<E, S>,
    Body(body, ..): Body<Addresses>,
) -> Result<Json<Outcome>, Problem> {
    let subjects = checked(&call, &body).await?;
    put(&call.api, subjects, "").await?;
    Ok(DONE)
}

async fn remove<E: Env, S: Store>(
    call: Call<E, S>,
    Body(body, ..): Body<Addresses>,
) -> Result<Json<Outcome>, Problem> {
    let subjects = checked(&call, &body).await?;
    call.api.store.blacklist_remove(subjects).await?;
    Ok(DONE)
}

async fn checked<E: Env, S: Store>(
    call: &Call<E, S>,
    body: &Addresses,
) -> Result<Vec<Subject>, Problem> {
    if body.ip_list.is_empty() {
        return Err(Problem::bad_request("ip_list is empty"));
    }
    if body.ip_list.len() > ADDRESSES_MAX {
        return Err(Problem::bad_request("too many ips, max is 100"));
    }
    let pop = body.pop_id.as_slice();
    if pop != [""] {
        check_pops(&call.api, pop).await?;
    }
    body.ip_list.iter().map(|ip| subject_ip(ip)).collect()
}

async fn get<E: Env, S: Store>(
    call: &Call<E, S>,
    cursor: Option<u64>,
    count: Option<u64>,
) -> Result<Json<AddressList>, Problem> {
    let (start, count) = (cursor.unwrap_or(0), count.unwrap_or(100));
    if start >= INDEX_MAX || !(1..=u64::from(PAGE_MAX)).contains(&count) {
        return Err(Problem::bad_request("count must be from 1 to 1000"));
    }
    let list = |page| call.api.store.blacklist(SubjectKind::Ip, page);
    let end = start + count;
    let (entries, total) = by_index(start, end - 1, true, list).await?;
    Ok(Json(AddressList {
        ip_list: entries.iter().map(|entry| entry.subject.key()).collect(),
        next_cursor: if end < total { end } else { 0 },
        total,
    }))
}

impl Act for Addresses {
    fn subject(&self) -> String {
        let more = self.ip_list.len().saturating_sub(1);
        let first = self.ip_list.first().cloned().unwrap_or_default();
        match more {
            0 => first,
            more => format!("{first} and {more} more"),
        }
    }
}
