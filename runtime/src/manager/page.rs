//! `/openapi.json`, and a page to try it at `/docs` that needs nothing from elsewhere.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header;
use utoipa::openapi::OpenApi;

/// What a browser may do on the page: run its script, use its style, and ask this manager.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Makes the routes of the document and the page. Neither holds a secret, so neither wants a token.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> Router<S> {
    let document = document
        .to_json()
        .expect("the document is made of texts and numbers");
    let served = |kind: &'static str, text: &'static str| {
        get(move || async move { core::future::ready(with(kind, text)).await })
    };
    Router::new()
        .route(
            "/openapi.json",
            get(move || core::future::ready(with("application/json", document.clone()))),
        )
        .route(
            "/docs",
            served("text/html; charset=utf-8", include_str!("page.html")),
        )
        .route(
            "/docs.js",
            served("text/javascript", include_str!("page.js")),
        )
        .route("/docs.css", served("text/css", include_str!("page.css")))
}

fn with(kind: &'static str, text: impl IntoResponse) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text)
}
