//! The one place where an operation is declared: from it come the route, the check of rights, the audit
//! record and the OpenAPI document, so that none of them can say something else than the others.

use super::access::{Caller, Peer};
use super::answer::Answer;
use super::input::Input;
use super::problem::{ApiCode, Problem};
use super::{Api, audit};
use crate::env::Env;
use crate::store::{Role, Store};
use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, on};
use core::future::Future;
use std::net::IpAddr;

/// What an operation is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    /// As routers and OpenAPI both write it: `/v1/users/{name}`.
    pub(super) path: &'static str,
    /// Its name in the document and, for an act, in the audit log: `user.create`.
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) access: Access,
    /// What else can be wrong than what every operation of its shape can refuse.
    pub(super) problems: &'static [ApiCode],
    /// One of the older paths.
    pub(super) legacy: bool,
}

/// The methods there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Everyone.
    Open,
    /// Who bears the join secret.
    Join,
    /// Who bears a token of at least this role.
    Role(Role),
}

/// A request whose rights were checked.
pub(super) struct Call<E, S> {
    pub(super) api: Api<E, S>,
    /// The client's address.
    pub(super) source: IpAddr,
    /// Who asks; none where no token is asked for.
    pub(super) caller: Option<Caller>,
}

/// What an act is done to, for the audit log.
pub(super) trait Act {
    /// To whom or what.
    fn subject(&self) -> String;
    /// What was asked for, without secrets.
    fn detail(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// Makes subject and detail of an act's record.
type Record<I> = fn(&I) -> (String, serde_json::Value);

/// Routes and their description, growing together.
pub(super) struct Routes<E, S> {
    pub(super) router: Router<Api<E, S>>,
    pub(super) described: Vec<super::openapi::Described>,
}

impl Operation {
    /// Declares an operation.
    pub(super) const fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        access: Access,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            access,
            problems: &[],
            legacy: false,
        }
    }

    /// Says what else can be wrong.
    pub(super) const fn or(mut self, problems: &'static [ApiCode]) -> Self {
        self.problems = problems;
        self
    }

    /// Declares one of the older paths.
    pub(super) const fn legacy(mut self) -> Self {
        self.legacy = true;
        self
    }
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
        let described = super::openapi::Described::new::<I, A>(operation, record.is_some());
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
            .route(operation.path, on(operation.method.filter(), service));
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
            api.join.check(&api.env, source, &parts.headers).await?;
            None
        }
        Access::Role(role) => {
            let caller = api.authenticate(source, &parts.headers).await?;
            if caller.role < role {
                let refused = Problem::new(ApiCode::Forbidden);
                if record.is_some() {
                    let path = parts.uri.path();
                    audit::refused(&api, &caller, source, operation.id, path, &refused).await?;
                }
                return Err(refused);
            }
            Some(caller)
        }
    };
    let input = I::take(&mut parts, &mut Some(body)).await?;
    let begun = match (record, &caller) {
        (Some(record), Some(caller)) => {
            let (subject, detail) = record(&input);
            Some(audit::begin(&api, caller, source, operation.id, subject, detail).await?)
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
        audit::end(&api, begun, outcome).await;
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
        Ok(source) => api.authenticate(source, &parts.headers).await,
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

impl Method {
    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}
