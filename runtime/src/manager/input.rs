//! What handlers take from requests, with our errors, and how the document describes it.

use super::description::Description;
use super::json::Document;
use super::problem::{ApiCode, Problem};
use crate::store::{PAGE_MAX, Page};
use axum::body::Body as HttpBody;
use axum::extract::{FromRequestParts as _, Path, Query as AxumQuery};
use bytes::Bytes;
use core::future::Future;
use http::request::Parts;
use http::{Uri, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// The longest request body, in bytes. The longest request there is names 1000 nodes and 1000 addresses, each as
/// long as it may be, which is 120 000.
const BODY_MAX: usize = 128 * 1024;

/// The longest form, in bytes: with the `/?` before it, it is read as a URI, and no URI is longer.
const FORM_MAX: usize = 65_532;

/// How many entries a page has unless the client says.
pub(super) const PAGE_DEFAULT: u32 = 100;

/// The longest cursor, in characters: no key is longer.
const CURSOR_MAX: usize = 64;

/// What an id is, for those who sent something else.
pub(super) const ID_FORM: &str = "1 to 64 of A-Z a-z 0-9 . _ -, one of them a letter or digit";

/// What a handler takes from a request.
pub(super) trait Input: Send + Sized + 'static {
    /// Takes it.
    fn take(
        parts: &mut Parts,
        body: &mut Option<HttpBody>,
    ) -> impl Future<Output = Result<Self, Problem>> + Send;

    /// Describes it.
    fn describe(description: &mut Description);
}

/// What an act is done to, for the audit log.
pub(super) trait Act {
    /// To whom or what.
    fn subject(&self) -> String;
    /// What was asked for, without secrets.
    fn detail(&self) -> Value {
        Value::Null
    }
}

/// A JSON body, and it again as it was sent.
pub(super) struct Body<T>(pub(super) T, pub(super) Value);

/// The parameters of the query.
pub(super) struct Query<T>(pub(super) T);

/// The parameters of the query, or, if there is no query, of a form in the body.
pub(super) struct Form<T>(pub(super) T);

/// The name, id or address in the path.
pub(super) struct Name(pub(super) String);

/// Which part of a listing is asked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// `next_cursor` of the page before; none begins.
    #[param(max_length = 64)]
    cursor: Option<String>,
    /// The most entries of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Makes the page that `cursor` and `limit` ask for.
pub(super) fn page(cursor: Option<String>, limit: Option<u32>) -> Result<Page, Problem> {
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!(
            "limit must be from 1 to {PAGE_MAX}"
        )));
    }
    if cursor
        .as_ref()
        .is_some_and(|cursor| cursor.chars().count() > CURSOR_MAX)
    {
        return Err(Problem::bad_request(
            "cursor must be the next_cursor of the page before",
        ));
    }
    Ok(Page {
        after: cursor,
        limit,
    })
}

impl Paging {
    pub(super) fn page(self) -> Result<Page, Problem> {
        page(self.cursor, self.limit)
    }
}

impl Input for () {
    async fn take(_: &mut Parts, _: &mut Option<HttpBody>) -> Result<Self, Problem> {
        core::future::ready(Ok(())).await
    }

    fn describe(_: &mut Description) {}
}

impl<T: DeserializeOwned + ToSchema + Send + 'static> Input for Body<T> {
    async fn take(_: &mut Parts, body: &mut Option<HttpBody>) -> Result<Self, Problem> {
        let bytes = read(body, BODY_MAX).await?;
        let value = serde_json::from_slice::<Document>(&bytes);
        let Document(value) = value.map_err(|error| Problem::bad_request(error.to_string()))?;
        // Members would also be read from an array, by their order: without names, secrets among them
        // are not known as such.
        if !value.is_object() {
            return Err(Problem::bad_request("the body must be an object"));
        }
        // The error names the member.
        let body = serde_path_to_error::deserialize(&value);
        let body = body.map_err(|error| Problem::bad_request(error.to_string()))?;
        Ok(Self(body, value))
    }

    fn describe(description: &mut Description) {
        description.body::<T>();
    }
}

/// Reads a body of at most `max` bytes.
async fn read(body: &mut Option<HttpBody>, max: usize) -> Result<Bytes, Problem> {
    let body = Limited::new(body.take().unwrap_or_default(), max);
    let bytes = body.collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Problem::new(ApiCode::TooLarge)
        } else {
            Problem::bad_request("the body could not be read")
        }
    })?;
    Ok(bytes.to_bytes())
}

impl<T: DeserializeOwned + IntoParams + Send + 'static> Input for Form<T> {
    async fn take(parts: &mut Parts, body: &mut Option<HttpBody>) -> Result<Self, Problem> {
        const FORM: &[u8] = b"application/x-www-form-urlencoded";
        let kind = parts.headers.get(header::CONTENT_TYPE);
        if parts.uri.query().is_none() && kind.is_some_and(|kind| kind.as_bytes().starts_with(FORM))
        {
            let form = read(body, FORM_MAX).await?;
            // A form is written as a query is.
            let uri = [b"/?".as_slice(), &form].concat();
            parts.uri = Uri::try_from(uri)
                .map_err(|_| Problem::bad_request("the form could not be read"))?;
        }
        let Query(parameters) = Query::take(parts, body).await?;
        Ok(Self(parameters))
    }

    fn describe(description: &mut Description) {
        description.query::<T>();
    }
}

impl<T: DeserializeOwned + IntoParams + Send + 'static> Input for Query<T> {
    async fn take(parts: &mut Parts, _: &mut Option<HttpBody>) -> Result<Self, Problem> {
        let AxumQuery(parameters) = AxumQuery::from_request_parts(parts, &())
            .await
            .map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
        Ok(Self(parameters))
    }

    fn describe(description: &mut Description) {
        description.query::<T>();
    }
}

impl Input for Name {
    async fn take(parts: &mut Parts, _: &mut Option<HttpBody>) -> Result<Self, Problem> {
        // What is no text names nothing.
        let name = Path::from_request_parts(parts, &()).await;
        let Path(name) = name.map_err(|_| Problem::new(ApiCode::NotFound))?;
        Ok(Self(name))
    }

    fn describe(description: &mut Description) {
        description.name();
    }
}

impl<A: Input, B: Input> Input for (A, B) {
    async fn take(parts: &mut Parts, body: &mut Option<HttpBody>) -> Result<Self, Problem> {
        let first = A::take(parts, body).await?;
        Ok((first, B::take(parts, body).await?))
    }

    fn describe(description: &mut Description) {
        A::describe(description);
        B::describe(description);
    }
}

impl Act for Name {
    fn subject(&self) -> String {
        self.0.clone()
    }
}

impl<T: Act> Act for Body<T> {
    fn subject(&self) -> String {
        self.0.subject()
    }

    fn detail(&self) -> Value {
        without_secrets(self.1.clone())
    }
}

impl<T> Act for (Name, Body<T>) {
    fn subject(&self) -> String {
        self.0.subject()
    }

    fn detail(&self) -> Value {
        without_secrets(self.1.1.clone())
    }
}

/// Removes the values of what is called a password, wherever it stands.
fn without_secrets(mut value: Value) -> Value {
    fn hide(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if name.to_lowercase().contains("password") && !value.is_null() {
                        *value = "…".into();
                    } else {
                        hide(value);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(hide),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    hide(&mut value);
    value
}

/// Reads a field that is there, even if it is null: `None` is "not there", `Some(None)` is null.
pub(super) fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}
