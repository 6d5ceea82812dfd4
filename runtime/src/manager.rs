//! The control plane: REST for users, nodes, blacklists, tokens and the audit log, and where edges ask
//! which POP to connect to (requirements W1, W2).
//!
//! Every operation is declared once, as `operation` says; `routes` makes of the declaration the route, the
//! check of rights, the audit record and the OpenAPI document.

mod access;
mod allocate;
mod answer;
mod audit;
mod blacklist;
mod description;
mod enrol;
mod guests;
mod input;
mod json;
mod legacy;
mod nodes;
mod openapi;
mod operation;
mod page;
mod pops;
mod problem;
mod proxies;
mod record;
mod refusals;
mod routes;
mod rules;
mod serve;
mod signing;
mod tokens;
mod users;
mod words;

use crate::auth::Throttle;
use crate::config::{ConfigError, ManagerConfig};
use crate::env::Env;
use crate::listen::listen;
use crate::shares::{Greed, Shares};
use crate::store::{Store, StoreError};
use crate::tls::{TlsError, server_config};
use crate::token::{Secret, SecretError};
use access::Bearer;
use axum::{Router, middleware};
use core::time::Duration;
use guests::Guests;
use operation::{Access, Method, Operation};
use problem::{ApiCode, Problem};
use proxies::Proxies;
use refusals::Refusals;
use routes::{Call, Routes};
use serde::Serialize;
use signing::Signing;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;
use utoipa::ToSchema;

/// The file of the admin token in the data directory.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";

/// The file of the join secret in the data directory.
pub const JOIN_SECRET_FILE: &str = "join.secret";

/// How long a request may take: reading it, the store, a password hash, and the delay after failed
/// logins all fit in.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How many requests of edges are answered at once, and how many of operators; more wait.
const REQUESTS_MAX: usize = 256;

/// Why a manager could not start.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be used.
    #[error("{}: {error}", path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// What went wrong.
        #[source]
        error: io::Error,
    },
    /// A secret can neither be read nor made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        #[source]
        error: io::Error,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What handlers share.
struct Api<E, S>(Arc<Shared<E, S>>);

struct Shared<E, S> {
    env: E,
    store: S,
    config: ManagerConfig,
    signing: Signing,
    admin: Bearer,
    join: Bearer,
    given: allocate::Given,
    proxies: Proxies,
    refusals: Refusals,
    /// Places for requests under way, by address: those of edges, and those of operators.
    edges: Shares<IpAddr>,
    operators: Shares<IpAddr>,
}

/// Runs a manager until `shutdown` is done, then lets requests under way finish for a few seconds.
/// `ready` gets the address it listens at once it does.
///
/// On the first run it makes its secrets in the data directory: [`ADMIN_TOKEN_FILE`],
/// [`JOIN_SECRET_FILE`], `node-token.key`, and the public `node-token.pub`, whose content it also puts
/// into the store, beside those of other managers ([`KeyRing`](crate::token::KeyRing)), and keeps there. If that key
/// is revoked it makes another, and says so. While the store is away it waits, and says so.
///
/// # Errors
/// Fails if it cannot start; nothing ends it once it runs but `shutdown`.
pub async fn run<E: Env, S: Store>(
    env: E,
    config: ManagerConfig,
    store: S,
    ready: oneshot::Sender<SocketAddr>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ManagerError> {
    config.validate()?;
    let data = config.data.clone();
    crate::token::create_private(&data).map_err(|error| ManagerError::Data {
        path: data.clone(),
        error,
    })?;
    let secret = |file| Secret::load_or_create(&data.join(file), env.seed());
    let (admin, join) = (secret(ADMIN_TOKEN_FILE)?, secret(JOIN_SECRET_FILE)?);
    let signing = Signing::load(&env, &data, config.node_token_lifetime)?;
    tokio::pin!(shutdown);
    tokio::select! {
        biased;
        done = signing.publish(&env, &store) => {
            done?;
        }
        () = &mut shutdown => return Ok(()),
    }
    let tls = match &config.tls {
        Some(files) => Some(server_config(&files.cert, &files.key)?),
        None => None,
    };
    let listening = tokio::select! {
        biased;
        listening = listen(&env, config.listen, "the REST API") => listening,
        () = &mut shutdown => return Ok(()),
    };
    let (listener, address) = listening.map_err(|error| ManagerError::Listen {
        address: config.listen,
        error,
    })?;
    tracing::info!(%address, tls = tls.is_some(), "the manager listens");

    let guests = Guests::new(config.connections_max as usize);
    let api = Api(Arc::new(Shared {
        proxies: Proxies::new(&config.trusted_proxies, config.proxy_header),
        env: env.clone(),
        store,
        config,
        signing,
        admin: Bearer::new(&admin, Throttle::default()),
        join: Bearer::new(&join, Throttle::default()),
        given: allocate::Given::default(),
        refusals: Refusals::default(),
        edges: Shares::new(REQUESTS_MAX, Greed::Half),
        operators: Shares::new(REQUESTS_MAX, Greed::Half),
    }));
    let shared = Arc::clone(&api.0);
    let keep = shared.signing.keep_published(&shared.env, &shared.store);
    // Nobody may wait for it.
    let _ = ready.send(address);
    tokio::select! {
        biased;
        () = serve::serve(env, listener, tls, router(api), guests, shutdown) => {}
        () = keep => {}
    }
    Ok(())
}

fn router<E: Env, S: Store>(api: Api<E, S>) -> Router {
    let Routes { router, described } = operations::<E, S>();
    page::routes(&openapi::document(&described))
        .merge(router)
        .method_not_allowed_fallback(|| async { Problem::new(ApiCode::MethodNotAllowed) })
        .fallback(routes::nowhere::<E, S>)
        .layer(middleware::from_fn_with_state(
            api.clone(),
            access::limit_time::<E, S>,
        ))
        .with_state(api)
}

fn operations<E: Env, S: Store>() -> Routes<E, S> {
    let health = Operation::new(
        Method::Get,
        "/healthz",
        "manager.health",
        "Says that the manager runs",
        Access::Open,
    );
    let routes = Routes::new().look(health, |_: Call<E, S>, (): ()| async {
        Ok(answer::Json(Health { status: "ok" }))
    });
    let routes = pops::routes(nodes::routes(users::routes(enrol::routes(routes))));
    let routes = audit::routes(tokens::routes(blacklist::routes(routes)));
    legacy::routes(routes)
}

/// How the manager is.
#[derive(Serialize, ToSchema)]
struct Health {
    status: &'static str,
}

impl<E, S> Clone for Api<E, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E, S> core::ops::Deref for Api<E, S> {
    type Target = Shared<E, S>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
