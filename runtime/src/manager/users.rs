//! Users: `/v1/users`.

mod change;
mod settings;
mod usage;
mod view;

pub(super) use change::{modify, set_password};
pub(super) use settings::{UserCreation, UserPatch, UserView, not_in_force};
pub(super) use usage::{chart, rates, routes as usage_routes, sessions};
pub(super) use view::{RouteModeView, RouteView, UserPage};

use super::Api;
use super::answer::{Created, Done, Json};
use super::input::Act;
use super::input::{Body, Name, Paging, Query};
use super::operation::{Access, Method, Operation};
use super::problem::{ApiCode, Problem, WINDOW};
use super::routes::{Call, Routes};
use crate::auth::{Cost, PASSWORD_MAX, hash_drawn_password, hash_password, is_user_name};
use crate::env::Env;
use crate::store::{NewUser, Role, Route, RouteMode, Store, User, UserSettings};
use crate::token::{Secret, is_id};

/// How many hexadecimal digits a password made here has: 128 random bits, which are as good as a key.
const PASSWORD_DIGITS: usize = 32;

/// The longest interval of a timed route: a year.
pub(super) const INTERVAL_MAX: u32 = 365 * 24 * 60;

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    const READ: Access = Access::Role(Role::ReadOnly);
    const CHANGE: Access = Access::Role(Role::Operator);
    let routes = routes
        .look(
            Operation::new(
                Method::Get,
                "/v1/users",
                "user.list",
                "Lists users by name",
                READ,
            ),
            list,
        )
        .act(
            Operation::new(
                Method::Post,
                "/v1/users",
                "user.create",
                "Creates a user",
                CHANGE,
            )
            .or(&[ApiCode::UserExists, ApiCode::NotFound, ApiCode::Conflict]),
            create,
        )
        .look(
            Operation::new(
                Method::Get,
                "/v1/users/{name}",
                "user.show",
                "Shows a user",
                READ,
            ),
            show,
        )
        .act(
            Operation::new(
                Method::Delete,
                "/v1/users/{name}",
                "user.delete",
                "Deletes a user with its account and traffic",
                CHANGE,
            ),
            delete,
        );
    usage_routes(change::routes(routes))
}

async fn list<E: Env, S: Store>(
    call: Call<E, S>,
    Query(paging): Query<Paging>,
) -> Result<Json<UserPage>, Problem> {
    let listing = call.api.store.users(paging.page()?).await?;
    let users = listing.items.into_iter().map(UserView::from).collect();
    Ok(Json(UserPage {
        users,
        next_cursor: listing.next,
    }))
}

async fn create<E: Env, S: Store>(
    call: Call<E, S>,
    Body(creation, ..): Body<UserCreation>,
) -> Result<Created<UserView>, Problem> {
    let (user, password) = create_user(&call.api, creation).await?;
    let view = UserView::with_password(user, password);
    Ok(Created(format!("/v1/users/{}", view.name), view))
}

async fn show<E: Env, S: Store>(
    call: Call<E, S>,
    Name(name): Name,
) -> Result<Json<UserView>, Problem> {
    Ok(Json(find(&call.api, &name).await?.into()))
}

async fn delete<E: Env, S: Store>(call: Call<E, S>, Name(name): Name) -> Result<Done, Problem> {
    delete_user(&call.api, &name).await?;
    Ok(Done)
}

/// Creates a user and returns it with its password if that was made here.
pub(super) async fn create_user<E: Env, S: Store>(
    api: &Api<E, S>,
    creation: UserCreation,
) -> Result<(User, Option<String>), Problem> {
    if !is_user_name(&creation.name) {
        return Err(Problem::bad_request(
            "name must be 1 to 64 of A-Z a-z 0-9 . _ @ and start with a letter or digit; it can not \
             contain '-'",
        ));
    }
    let (name, mut patch) = creation.split();
    patch.check()?;
    let password = patch.password.take();
    let mut settings = UserSettings::default();
    patch.change(api, None).await?.apply(&mut settings);
    if !settings.has_window() {
        return Err(Problem::conflict(WINDOW));
    }
    // Cheaper than to hash in vain; the store decides all the same.
    if api.store.user(&name).await?.is_some() {
        return Err(Problem::new(ApiCode::UserExists));
    }
    let password = Password::given_or_made(api, password)?;
    let user = NewUser {
        settings,
        ..NewUser::new(
            name,
            hash(api, &password).await,
            api.env.unix_time().as_secs(),
        )
    };
    let user = api.store.create_user(user).await;
    let user = user.map_err(Problem::creating(ApiCode::UserExists))?;
    tracing::debug!(user = user.name, "user created");
    Ok((user, password.shown()))
}

/// A password to be set.
enum Password {
    /// Somebody chose it.
    Chosen(String),
    /// It was drawn here, and is shown this once.
    Drawn(String),
}

impl Password {
    fn given_or_made<E: Env, S: Store>(
        api: &Api<E, S>,
        given: Option<String>,
    ) -> Result<Self, Problem> {
        match given {
            Some(text) if (1..=PASSWORD_MAX).contains(&text.len()) => Ok(Self::Chosen(text)),
            Some(_) => Err(Problem::bad_request(format!(
                "password must be 1 to {PASSWORD_MAX} bytes"
            ))),
            None => {
                let mut made = Secret::from_random(api.env.seed()).expose().to_owned();
                made.truncate(PASSWORD_DIGITS);
                Ok(Self::Drawn(made))
            }
        }
    }

    /// Returns it if nobody but this manager knows it.
    fn shown(self) -> Option<String> {
        match self {
            Self::Chosen(_) => None,
            Self::Drawn(text) => Some(text),
        }
    }
}

/// Returns what the store keeps of a password.
async fn hash<E: Env, S: Store>(api: &Api<E, S>, password: &Password) -> String {
    let salt = api.env.seed();
    match password {
        Password::Drawn(text) => hash_drawn_password(text, salt),
        Password::Chosen(text) => {
            let (&salt, _) = salt.split_first_chunk::<16>().expect("a seed has 32 bytes");
            let text = text.clone();
            let hash = move || hash_password(&text, salt, Cost::default());
            api.env.work(hash).await
        }
    }
}

pub(super) async fn find<E: Env, S: Store>(api: &Api<E, S>, name: &str) -> Result<User, Problem> {
    let found = if is_user_name(name) {
        api.store.user(name).await?
    } else {
        None
    };
    found.ok_or_else(|| Problem::unknown("user", name))
}

pub(super) async fn delete_user<E: Env, S: Store>(
    api: &Api<E, S>,
    name: &str,
) -> Result<(), Problem> {
    if !is_user_name(name) || !api.store.delete_user(name).await? {
        return Err(Problem::unknown("user", name));
    }
    tracing::debug!(user = name, "user deleted");
    Ok(())
}

/// Checks a route and makes it what the store keeps; `before` is the one it replaces.
pub(super) async fn checked_route<E: Env, S: Store>(
    api: &Api<E, S>,
    route: RouteView,
    before: Option<&Route>,
    now: u64,
) -> Result<Route, Problem> {
    let mode = route.mode.into();
    let bad = |what: &str| Problem::bad_request(what);
    match (mode, route.interval_minutes, route.utc_minute_of_day) {
        (RouteMode::Timed, None, None) | (RouteMode::Timed, Some(_), Some(_)) => {
            return Err(bad(
                "a timed route needs either interval_minutes or utc_minute_of_day",
            ));
        }
        (RouteMode::Timed, _, _) | (_, None, None) => {}
        _ => return Err(bad("only a timed route has an interval or a minute of day")),
    }
    if route
        .interval_minutes
        .is_some_and(|minutes| !(1..=INTERVAL_MAX).contains(&minutes))
    {
        return Err(bad("interval_minutes must be from 1 to 525600"));
    }
    if route
        .utc_minute_of_day
        .is_some_and(|minute| minute >= 1_440)
    {
        return Err(bad("utc_minute_of_day must be below 1440"));
    }
    match (&route.node, mode) {
        (None, RouteMode::Manual) => return Err(bad("a manual route needs a node")),
        (Some(_), RouteMode::Auto | RouteMode::Custom | RouteMode::Polling) => {
            return Err(bad("only a manual or timed route has a node"));
        }
        (Some(node), RouteMode::Manual | RouteMode::Timed) => {
            if !is_id(node) || api.store.node(node).await?.is_none() {
                return Err(Problem::unknown("node", node).at("route.node"));
            }
        }
        (None, _) => {}
    }
    let same = before.filter(|before| before.node == route.node);
    let switched_at = match same {
        Some(before) => before.switched_at,
        None => route.node.as_ref().map(|_| now),
    };
    Ok(Route {
        mode,
        node: route.node,
        interval_minutes: route.interval_minutes,
        utc_minute_of_day: route.utc_minute_of_day,
        switched_at,
    })
}

impl Act for UserCreation {
    fn subject(&self) -> String {
        self.name.clone()
    }
}
