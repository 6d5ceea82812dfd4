//! Users: `/v1/users`.

use super::Api;
use super::extract::{Body, Name, Paging, Parameters};
use super::problem::{ApiCode, Problem};
use crate::auth::{Cost, PASSWORD_MAX, hash_password, is_user_name};
use crate::env::Env;
use crate::store::{NewUser, ReplyMode, Store, User};
use crate::token::Secret;
use axum::Json;
use axum::extract::State;
use http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};

/// How many hexadecimal digits a password made here has: 96 random bits.
const PASSWORD_DIGITS: usize = 24;

/// A user as clients see it.
#[derive(Serialize)]
pub(super) struct UserView {
    name: String,
    enabled: bool,
    created_at: u64,
    expires_at: Option<u64>,
    reply: ReplyMode,
    /// Only in the answer to the creation, and only if it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

/// A user to be created.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Creation {
    pub(super) name: String,
    pub(super) password: Option<String>,
    #[serde(default = "enabled")]
    pub(super) enabled: bool,
    pub(super) expires_at: Option<u64>,
    #[serde(default)]
    pub(super) reply: ReplyMode,
}

/// A page of users.
#[derive(Serialize)]
pub(super) struct UserPage {
    users: Vec<UserView>,
    next_cursor: Option<String>,
}

pub(super) async fn list<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<UserPage>, Problem> {
    let listing = api.store.users(paging.page()?).await?;
    let users = listing.items.into_iter().map(UserView::from).collect();
    Ok(Json(UserPage {
        users,
        next_cursor: listing.next,
    }))
}

pub(super) async fn create<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    Body(creation): Body<Creation>,
) -> Result<(StatusCode, [(HeaderName, String); 2], Json<UserView>), Problem> {
    let view = create_user(&api, creation).await?;
    let headers = [
        (header::LOCATION, format!("/v1/users/{}", view.name)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((StatusCode::CREATED, headers, Json(view)))
}

pub(super) async fn show<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    Name(name): Name,
) -> Result<Json<UserView>, Problem> {
    Ok(Json(find(&api, &name).await?.into()))
}

pub(super) async fn delete<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    Name(name): Name,
) -> Result<StatusCode, Problem> {
    delete_user(&api, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn create_user<E: Env, S: Store>(
    api: &Api<E, S>,
    creation: Creation,
) -> Result<UserView, Problem> {
    if !is_user_name(&creation.name) {
        return Err(Problem::bad_request(
            "name must be 1 to 64 of A-Z a-z 0-9 . _ @ and start with a letter or digit; it can not \
             contain '-'",
        ));
    }
    if creation
        .password
        .as_ref()
        .is_some_and(|text| !(1..=PASSWORD_MAX).contains(&text.len()))
    {
        return Err(Problem::bad_request(format!(
            "password must be 1 to {PASSWORD_MAX} bytes"
        )));
    }
    // Cheaper than to hash in vain; the store decides all the same.
    if api.store.user(&creation.name).await?.is_some() {
        return Err(Problem::new(ApiCode::UserExists));
    }
    let made = creation.password.is_none().then(|| {
        let mut password = Secret::from_random(api.env.seed()).expose().to_owned();
        password.truncate(PASSWORD_DIGITS);
        password
    });
    let password = creation
        .password
        .or_else(|| made.clone())
        .unwrap_or_default();
    let salt = api.env.seed();
    let (&salt, _) = salt.split_first_chunk::<16>().expect("a seed has 32 bytes");
    let hash = move || hash_password(&password, salt, Cost::default());
    let created_at = api.env.unix_time().as_secs();
    let user = NewUser {
        enabled: creation.enabled,
        expires_at: creation.expires_at,
        reply: creation.reply,
        ..NewUser::new(creation.name, api.env.work(hash).await, created_at)
    };
    let user = api.store.create_user(user).await?;
    tracing::debug!(user = user.name, "user created");
    Ok(UserView {
        password: made,
        ..user.into()
    })
}

pub(super) async fn find<E: Env, S: Store>(api: &Api<E, S>, name: &str) -> Result<User, Problem> {
    api.store
        .user(name)
        .await?
        .ok_or_else(|| Problem::new(ApiCode::NotFound))
}

pub(super) async fn delete_user<E: Env, S: Store>(
    api: &Api<E, S>,
    name: &str,
) -> Result<(), Problem> {
    if !api.store.delete_user(name).await? {
        return Err(Problem::new(ApiCode::NotFound));
    }
    tracing::debug!(user = name, "user deleted");
    Ok(())
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            enabled: user.enabled,
            created_at: user.created_at,
            expires_at: user.expires_at,
            reply: user.reply,
            password: None,
        }
    }
}

const fn enabled() -> bool {
    true
}
