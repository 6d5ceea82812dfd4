//! The paths that operators' scripts already use: same fields and defaults, on top of what `/v1` does.
//!
//! What differs from the original is listed in `docs/api.md`. Above all: failures have an HTTP status of
//! their own, with `success` and `err_msg` beside the problem document.

mod blacklist;
mod nodes;
mod stats;
mod users;

use super::answer::Json;
use super::operation::{Access, Method, Operation};
use super::problem::Problem;
use super::routes::Routes;
use crate::env::Env;
use crate::store::{Listing, PAGE_MAX, Page, Role, Store, StoreError};
use core::future::Future;
use serde::Serialize;
use utoipa::ToSchema;

/// How far the older listings by index go: the store lists by key, so each page reads all before it.
const INDEX_MAX: u64 = 100_000;

/// What was done.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyOutcome)]
struct Outcome {
    success: bool,
    err_msg: &'static str,
}

const DONE: Json<Outcome> = Json(Outcome {
    success: true,
    err_msg: "",
});

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    stats::routes(blacklist::routes(nodes::routes(users::routes(routes))))
}

const fn look(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::Get, path, id, summary, Access::Role(Role::ReadOnly)).legacy()
}

const fn act(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(
        Method::Post,
        path,
        id,
        summary,
        Access::Role(Role::Operator),
    )
    .legacy()
}

/// Returns the last index of a range, both inclusive, that is answered: a range is cut after a page, and one that
/// ends before it starts has nothing in it.
fn last_index(start: u64, end: u64) -> Result<u64, Problem> {
    if start.max(end) >= INDEX_MAX {
        let what = format!("start and end must be below {INDEX_MAX}");
        return Err(Problem::bad_request(what));
    }
    Ok(end.min(start + u64::from(PAGE_MAX) - 1))
}

/// Reads the entries from index `start` to `end`, both inclusive, and how many there are if `count`.
/// Counting ends at [`INDEX_MAX`].
async fn by_index<T, F: Future<Output = Result<Listing<T>, StoreError>>>(
    start: u64,
    end: u64,
    count: bool,
    mut list: impl FnMut(Page) -> F,
) -> Result<(Vec<T>, u64), Problem> {
    let (mut entries, mut index, mut after) = (Vec::new(), 0, None);
    while index < INDEX_MAX && (count || index <= end) {
        let page = Page {
            after,
            limit: PAGE_MAX,
        };
        let listing = list(page).await?;
        for entry in listing.items {
            if (start..=end).contains(&index) {
                entries.push(entry);
            }
            index += 1;
        }
        after = listing.next;
        if after.is_none() {
            break;
        }
    }
    Ok((entries, index))
}
