//! Errors of the API: `application/problem+json` (RFC 9457) with a stable code.

use crate::store::StoreError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use titan_proto::Code;

/// What can be wrong with a request. The code is what scripts compare; where an outcome of the data
/// path has the same meaning, it is the same word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ApiCode {
    BadRequest,
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    TimedOut,
    UserExists,
    TooLarge,
    Internal,
    StoreUnavailable,
    NoPop,
}

impl ApiCode {
    /// Returns the code's word, HTTP status and title.
    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => (
                "bad_request",
                StatusCode::BAD_REQUEST,
                "The request makes no sense",
            ),
            Self::Unauthorized => (
                Code::Unauthorized.tag(),
                StatusCode::UNAUTHORIZED,
                "A valid token is required",
            ),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::MethodNotAllowed => (
                "method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "This method does not exist here",
            ),
            Self::TimedOut => (
                Code::TimedOut.tag(),
                StatusCode::SERVICE_UNAVAILABLE,
                "It took too long",
            ),
            Self::UserExists => (
                "user_exists",
                StatusCode::CONFLICT,
                "The user exists already",
            ),
            Self::TooLarge => (
                Code::TooLarge.tag(),
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request is too large",
            ),
            Self::Internal => (
                Code::Internal.tag(),
                StatusCode::INTERNAL_SERVER_ERROR,
                "A fault of the manager",
            ),
            Self::StoreUnavailable => (
                "store_unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The store does not answer; try again later",
            ),
            Self::NoPop => (
                "no_pop",
                StatusCode::SERVICE_UNAVAILABLE,
                "No POP is known; try again later",
            ),
        }
    }
}

/// An error as the client sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    code: ApiCode,
    detail: Option<String>,
}

impl Problem {
    pub(super) const fn new(code: ApiCode) -> Self {
        Self { code, detail: None }
    }

    /// Creates a `bad_request` that says what is wrong.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self {
            code: ApiCode::BadRequest,
            detail: Some(detail.into()),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(match error {
            StoreError::Exists => ApiCode::UserExists,
            StoreError::TooLarge => ApiCode::TooLarge,
            StoreError::Superseded => ApiCode::Internal,
            StoreError::Unavailable(error) => {
                tracing::warn!(error, "the store is away");
                ApiCode::StoreUnavailable
            }
        })
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, status, title) = self.code.row();
        let mut document = json!({
            "type": format!("urn:titan:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "code": code,
        });
        if let Some(detail) = self.detail {
            document["detail"] = detail.into();
        }
        let mut response = (status, document.to_string()).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
