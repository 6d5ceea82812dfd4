//! What handlers answer, and how the document describes it.

use super::description::Description;
use axum::body::Body as HttpBody;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use http::{HeaderValue, StatusCode, header};
use hyper::body::Frame;
use serde::Serialize;
use utoipa::ToSchema;

/// What a handler answers.
pub(super) trait Answer: Send {
    /// The status of success.
    const STATUS: StatusCode;
    /// Describes it.
    fn describe(description: &mut Description);
    /// Makes the response.
    fn respond(self) -> Response;
}

/// 200 and a document.
pub(super) struct Json<T>(pub(super) T);

/// 201, where the new thing is, and the thing.
pub(super) struct Created<T>(pub(super) String, pub(super) T);

/// 202 and a document: it was ordered, nobody says that it was done.
pub(super) struct Accepted<T>(pub(super) T);

/// 204.
pub(super) struct Done;

/// 200 and a table of comma-separated values, made while it is sent.
pub(super) struct Csv {
    /// The name the file is offered under.
    pub(super) file: &'static str,
    pub(super) rows: Rows,
}

impl<T: Serialize + ToSchema + Send> Answer for Json<T> {
    const STATUS: StatusCode = StatusCode::OK;

    fn describe(description: &mut Description) {
        description.answer::<T>();
    }

    fn respond(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: Serialize + ToSchema + Send> Answer for Created<T> {
    const STATUS: StatusCode = StatusCode::CREATED;

    fn describe(description: &mut Description) {
        description.answer::<T>();
    }

    fn respond(self) -> Response {
        (
            Self::STATUS,
            [(header::LOCATION, self.0)],
            axum::Json(self.1),
        )
            .into_response()
    }
}

impl<T: Serialize + ToSchema + Send> Answer for Accepted<T> {
    const STATUS: StatusCode = StatusCode::ACCEPTED;

    fn describe(description: &mut Description) {
        description.answer::<T>();
    }

    fn respond(self) -> Response {
        (Self::STATUS, axum::Json(self.0)).into_response()
    }
}

impl Answer for Done {
    const STATUS: StatusCode = StatusCode::NO_CONTENT;

    fn describe(_: &mut Description) {}

    fn respond(self) -> Response {
        Self::STATUS.into_response()
    }
}

impl Answer for Csv {
    const STATUS: StatusCode = StatusCode::OK;

    fn describe(description: &mut Description) {
        description.answer_text("text/csv");
    }

    fn respond(self) -> Response {
        let mut response = HttpBody::new(self.rows).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("text/csv; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Ok(name) = HeaderValue::try_from(format!("attachment; filename=\"{}\"", self.file)) {
            headers.insert(header::CONTENT_DISPOSITION, name);
        }
        response
    }
}

type Making = Pin<Box<dyn Future<Output = Result<Part, axum::Error>> + Send>>;

/// A piece of a body, and how the next one is made.
pub(super) struct Part {
    pub(super) text: String,
    pub(super) next: Option<Rows>,
}

/// A body of which one piece is made at a time, when the client has taken the one before.
pub(super) struct Rows(Option<Making>);

impl Rows {
    /// Begins with the piece that `making` makes. If it fails the connection is cut, so that the client
    /// does not take a part for the whole.
    pub(super) fn new(
        making: impl Future<Output = Result<Part, axum::Error>> + Send + 'static,
    ) -> Self {
        Self(Some(Box::pin(making)))
    }
}

impl hyper::body::Body for Rows {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(making) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let Poll::Ready(made) = making.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        self.0 = None;
        Poll::Ready(Some(made.map(|part| {
            self.0 = part.next.and_then(|next| next.0);
            Frame::data(part.text.into())
        })))
    }
}

/// Appends a row: fields quoted where needed, and kept from being taken for a formula.
pub(super) fn csv_row(text: &mut String, fields: &[&str]) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
        if formula || field.contains(['"', ',', '\n', '\r']) {
            text.push('"');
            if formula {
                text.push('\'');
            }
            text.push_str(&field.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(field);
        }
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::csv_row;

    #[test]
    fn fields_are_quoted_and_never_formulas() {
        let mut text = String::new();
        csv_row(&mut text, &["a", "", "b,c", "say \"hi\"", "=1+1", "-2"]);
        assert_eq!(text, "a,,\"b,c\",\"say \"\"hi\"\"\",\"'=1+1\",\"'-2\"\r\n");
    }
}
