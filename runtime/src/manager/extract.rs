//! What handlers take from requests, with our errors.

use super::problem::{ApiCode, Problem};
use crate::store::{PAGE_MAX, Page};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// How many entries a page has unless the client says.
const PAGE_DEFAULT: u32 = 100;

/// The longest cursor, in bytes: no key is longer.
const CURSOR_MAX: usize = 64;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

/// The parameters of the query.
pub(super) struct Parameters<T>(pub(super) T);

/// The name in the path.
pub(super) struct Name(pub(super) String);

/// Which part of a listing is asked for: `cursor` is the `next_cursor` of the page before, `limit`
/// the most entries, from 1 to [`PAGE_MAX`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    cursor: Option<String>,
    limit: Option<u32>,
}

impl Paging {
    pub(super) fn page(self) -> Result<Page, Problem> {
        let limit = self.limit.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(Problem::bad_request(format!(
                "limit must be from 1 to {PAGE_MAX}"
            )));
        }
        if self
            .cursor
            .as_ref()
            .is_some_and(|cursor| cursor.len() > CURSOR_MAX)
        {
            return Err(Problem::bad_request(
                "cursor must be the next_cursor of the page before",
            ));
        }
        Ok(Page {
            after: self.cursor,
            limit,
        })
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection| match rejection.into_response().status() {
                    StatusCode::PAYLOAD_TOO_LARGE => Problem::new(ApiCode::TooLarge),
                    _ => Problem::bad_request("the body could not be read"),
                })?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::bad_request(error.to_string()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(parameters) = Query::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
        Ok(Self(parameters))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // What is no text names nothing.
        let name = Path::from_request_parts(parts, state).await;
        let Path(name) = name.map_err(|_| Problem::new(ApiCode::NotFound))?;
        Ok(Self(name))
    }
}
