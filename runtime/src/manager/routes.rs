//! The one place where a declared operation meets its handler: from the declaration come the route, the
//! check of rights, the audit record and the OpenAPI document, so that none of them can say something
//! else than the others.

use super::access::{Caller, Peer};
use super::answer::Answer;
use super::input::{Act, Input};
use super::openapi::Described;
use super::operation::{Access, Method, Operation};
use super::problem::{ApiCode, Problem};
use super::{Api, record};
use crate::auth::network;
use crate::env::Env;
use crate::store::Store;
use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, on};
use core::future::Future;
use std::net::IpAddr;

/// A request whose rights were checked.
pub(super) struct Call<E, S> {
    pub(super) api: Api<E, S>,
    /// The client's address.
    pub(super) source: IpAddr,
    /// Who asks; none where no token is asked for.
    pub(super) caller: Option<Caller>,
}

/// Makes subject and detail of an act's record.
type Record<I> = fn(&I) -> (String, serde_json::Value);

/// Routes and their description, growing together.
pub(super) struct Routes<E, S> {
    pub(super) router: Router<Api<E, S>>,
    pub(super) described: Vec<Described>,
}

impl<E: Env, S: Store> Routes<E, S> {
    pub(super) fn new() -> Self {
        Self {
            router: Router::new(),
            described: Vec::new(),
        }
    }

    /// Adds an operation that only looks.
    pub(super) fn look<I, A, F, R>(self, operation: Operation, handler: F) -> Self
    where
        I: Input,
        A: Answer,
        F: Fn(Call<E, S>, I) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<A, Problem>> + Send,
    {
        self.add(operation, handler, None)
    }

    /// Adds an operation that changes something. It is recorded before it is tried, and its outcome
    /// after; without a record it is not tried.
    pub(super) fn act<I, A, F, R>(self, operation: Operation, handler: F) -> Self
    where
        I: Input + Act,
        A: Answer,
        F: Fn(Call<E, S>, I) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<A, Problem>> + Send,
    {
        self.add(
            operation,
            handler,
            Some(|input: &I| (input.subject(), input.detail())),
        )
    }

    fn add<I, A, F, R>(
        mut self,
        operation: Operation,
        handler: F,
        record: Option<Record<I>>,
    ) -> Self
    where
        I: Input,
        A: Answer,
        F: Fn(Call<E, S>, I) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<A, Problem>> + Send,
    {
        let described = Described::new::<I, A>(operation, record.is_some());
        self.described.push(described);
        let service = move |State(api): State<Api<E, S>>, request: Request| {
            let handler = handler.clone();
            async move {
                match respond(api, operation, request, handler, record).await {
                    Ok(answer) => answer.respond(),
                    Err(problem) => problem.legacy(operation.legacy).into_response(),
                }
            }
        };
        self.router = self
            .router
            .route(operation.path, on(filter(operation.method), service));
        self
    }
}

async fn respond<E: Env, S: Store, I: Input, A, F, R>(
    api: Api<E, S>,
    operation: Operation,
    request: Request,
    handler: F,
    record: Option<Record<I>>,
) -> Result<A, Problem>
where
    F: Fn(Call<E, S>, I) -> R,
    R: Future<Output = Result<A, Problem>> + Send,
{
    let (mut parts, body) = request.into_parts();
    let source = api.source(&parts)?;
    let caller = match operation.access {
        Access::Open => None,
        Access::Join => {
            api.join.check(&api.env, source, &parts).await?;
            None
        }
        Access::Role(role) => {
            let caller = api.authenticate(source, &parts).await?;
            if caller.role < role {
                let refused = Problem::new(ApiCode::Forbidden);
                if record.is_some() {
                    let path = parts.uri.path();
                    record::refused(&api, &caller, source, operation.id, path, &refused).await?;
                }
                return Err(refused);
            }
            Some(caller)
        }
    };
    let _place = match operation.access {
        Access::Open => None,
        Access::Join => Some(api.edges.place(network(source)).await),
        Access::Role(_) => Some(api.operators.place(network(source)).await),
    };
    let input = I::take(&mut parts, &mut Some(body)).await?;
    let begun = match (record, &caller) {
        (Some(record), Some(caller)) => {
            let (subject, detail) = record(&input);
            Some(record::begin(&api, caller, source, operation.id, subject, detail).await?)
        }
        _ => None,
    };
    let call = Call {
        api: api.clone(),
        source,
        caller,
    };
    let answer = handler(call, input).await;
    if let Some(begun) = begun {
        let outcome = answer.as_ref().map_or_else(Problem::word, |_| "ok");
        record::end(&api, begun, outcome).await;
    }
    answer
}

/// Answers for paths that do not exist: whoever has no token does not learn that.
pub(super) async fn nowhere<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    request: Request<HttpBody>,
) -> Response {
    let (parts, _) = request.into_parts();
    let known = match api.source(&parts) {
        Ok(source) => api.authenticate(source, &parts).await,
        Err(problem) => Err(problem),
    };
    let problem = known.map_or_else(|problem| problem, |_| Problem::new(ApiCode::NotFound));
    problem.into_response()
}

impl<E: Env, S: Store> Api<E, S> {
    /// Returns the address of the client that asks.
    fn source(&self, parts: &http::request::Parts) -> Result<IpAddr, Problem> {
        let Some(Peer(peer)) = parts.extensions.get::<Peer>() else {
            return Err(Problem::new(ApiCode::Internal));
        };
        Ok(self.proxies.client(*peer, &parts.headers))
    }
}

const fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    }
}
