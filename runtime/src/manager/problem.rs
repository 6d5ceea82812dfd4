//! Errors of the API: `application/problem+json` (RFC 9457) with a stable code.

use crate::store::StoreError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use titan_proto::Code;

/// What is wrong with a window of validity.
pub(super) const WINDOW: &str = "starts_at must be before expires_at";

/// What can be wrong with a request. The code is what scripts compare; where an outcome of the data
/// path has the same meaning, it is the same word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ApiCode {
    BadRequest,
    Unauthorized,
    Forbidden,
    Blacklisted,
    NotFound,
    MethodNotAllowed,
    TimedOut,
    UserExists,
    TokenExists,
    NodeOffline,
    PopDraining,
    Conflict,
    TooLarge,
    Internal,
    StoreUnavailable,
    NoPop,
}

impl ApiCode {
    /// Returns the code's word, HTTP status and title.
    pub(super) const fn row(self) -> (&'static str, StatusCode, &'static str) {
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
            Self::Forbidden => (
                "forbidden_role",
                StatusCode::FORBIDDEN,
                "The token's role does not allow this",
            ),
            Self::Blacklisted => (
                "blacklisted",
                StatusCode::FORBIDDEN,
                "This node is turned away",
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
            Self::TokenExists => (
                "token_exists",
                StatusCode::CONFLICT,
                "The token exists already",
            ),
            Self::PopDraining => (
                "pop_draining",
                StatusCode::CONFLICT,
                "The POP drains and takes no nodes",
            ),
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "Values contradict others"),
            Self::NodeOffline => (
                "node_offline",
                StatusCode::CONFLICT,
                "The node is not online",
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
    /// Whether the older paths' members are added: their scripts look at `success` and `err_msg`.
    legacy: bool,
}

/// An error as RFC 9457 writes it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemView {
    /// `urn:titan:problem:` and the code.
    r#type: String,
    /// What the code means.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What scripts compare; never changes.
    code: &'static str,
    /// What is wrong with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// `false`; on the older paths only.
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    /// The detail, or the title; on the older paths only.
    #[serde(skip_serializing_if = "Option::is_none")]
    err_msg: Option<String>,
}

impl Problem {
    pub(super) const fn new(code: ApiCode) -> Self {
        Self {
            code,
            detail: None,
            legacy: false,
        }
    }

    /// Creates a `bad_request` that says what is wrong.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(ApiCode::BadRequest)
        }
    }

    /// Creates a `conflict` that says what does not go together.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(ApiCode::Conflict)
        }
    }

    /// Creates a `not_found` that says what there is not.
    pub(super) fn unknown(what: &str, name: &str) -> Self {
        Self {
            detail: Some(format!("there is no {what} `{name}`")),
            ..Self::new(ApiCode::NotFound)
        }
    }

    /// Says which member it is about.
    pub(super) fn at(self, member: &str) -> Self {
        let detail = self.detail.as_deref().unwrap_or_else(|| self.code.row().2);
        Self {
            detail: Some(format!("{member}: {detail}")),
            ..self
        }
    }

    /// Makes the problem of an attempt to create what `taken` says exists.
    pub(super) fn creating(taken: ApiCode) -> impl FnOnce(StoreError) -> Self {
        move |error| match error {
            StoreError::Exists => Self::new(taken),
            error @ (StoreError::Superseded
            | StoreError::Window
            | StoreError::TooLarge
            | StoreError::Unavailable(_)) => error.into(),
        }
    }

    /// Returns the code's word.
    pub(super) const fn word(&self) -> &'static str {
        self.code.row().0
    }

    /// Adds the older paths' members.
    pub(super) fn legacy(self, legacy: bool) -> Self {
        Self { legacy, ..self }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(match error {
            StoreError::Window => return Self::conflict(WINDOW),
            StoreError::TooLarge => ApiCode::TooLarge,
            // Only what creates can find a name taken, and says so by [`Problem::creating`]; only POPs
            // are superseded.
            StoreError::Exists | StoreError::Superseded => ApiCode::Internal,
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
        let err_msg = self
            .legacy
            .then(|| self.detail.clone().unwrap_or_else(|| title.to_owned()));
        let document = ProblemView {
            r#type: format!("urn:titan:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: self.detail,
            success: self.legacy.then_some(false),
            err_msg,
        };
        let document = serde_json::to_string(&document).unwrap_or_default();
        let mut response = (status, document).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if self.code == ApiCode::Blacklisted {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("600"));
        }
        response
    }
}
