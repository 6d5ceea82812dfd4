//! Tables of nodes, a page of the store at a time.

use crate::env::Env;
use crate::manager::Api;
use crate::manager::answer::{Part, Rows, csv_row};
use crate::store::{NodeEntry, PAGE_MAX, Page, Store};
use std::collections::VecDeque;

/// Writes a node of the POP of this id as rows.
type Write = fn(&mut String, &str, &NodeEntry);

/// Makes the table of all nodes at these POPs. It is read from the store while the client takes it, so a
/// node that moves meanwhile may be in it twice or not at all.
pub(in crate::manager) fn rows<E: Env, S: Store>(
    api: Api<E, S>,
    pops: VecDeque<String>,
    header: &[&str],
    write: Write,
) -> Rows {
    let mut text = String::new();
    csv_row(&mut text, header);
    going_on(api, pops, None, text, write)
}

fn going_on<E: Env, S: Store>(
    api: Api<E, S>,
    pops: VecDeque<String>,
    after: Option<String>,
    text: String,
    write: Write,
) -> Rows {
    Rows::new(piece(api, pops, after, text, write))
}

async fn piece<E: Env, S: Store>(
    api: Api<E, S>,
    mut pops: VecDeque<String>,
    after: Option<String>,
    mut text: String,
    write: Write,
) -> Result<Part, axum::Error> {
    let Some(pop) = pops.front() else {
        return Ok(Part { text, next: None });
    };
    let page = Page {
        after,
        limit: PAGE_MAX,
    };
    let listing = api.store.pop_nodes(pop, page).await;
    let listing = listing.map_err(axum::Error::new)?;
    for node in &listing.items {
        write(&mut text, pop, node);
    }
    if listing.next.is_none() {
        pops.pop_front();
    }
    let next = (!pops.is_empty()).then(|| going_on(api, pops, listing.next, String::new(), write));
    Ok(Part { text, next })
}
