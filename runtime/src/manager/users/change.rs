//! Changing users.

use super::{
    ReplyView, RouteView, UserView, check_counts, check_rates, check_sessions, checked_route, find,
    hash, password_or_new,
};
use crate::auth::is_user_name;
use crate::env::Env;
use crate::manager::Api;
use crate::manager::answer::Json;
use crate::manager::input::{Body, Name, present};
use crate::manager::operation::{Access, Method, Operation};
use crate::manager::problem::Problem;
use crate::manager::routes::{Call, Routes};
use crate::store::{Adjustment, AdjustmentKind, COUNT_MAX, Role, Store, User, UserChange};
use crate::token::{Secret, is_id};
use serde::Deserialize;
use utoipa::ToSchema;

/// What to change of a user: what is left out stays, null removes a limit.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::manager) struct UserPatch {
    #[schema(min_length = 1, max_length = 255)]
    pub(in crate::manager) password: Option<String>,
    /// Whether the user may connect: false stops it, running sessions included.
    pub(in crate::manager) enabled: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, maximum = 9_007_199_254_740_991u64)]
    pub(in crate::manager) starts_at: Option<Option<u64>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, maximum = 9_007_199_254_740_991u64)]
    pub(in crate::manager) expires_at: Option<Option<u64>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, maximum = 9_007_199_254_740_991u64)]
    pub(in crate::manager) traffic_limit: Option<Option<u64>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 9_007_199_254_740_991u64)]
    pub(in crate::manager) upload_rate: Option<Option<u64>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 9_007_199_254_740_991u64)]
    pub(in crate::manager) download_rate: Option<Option<u64>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 4_294_967_295u64)]
    pub(in crate::manager) sessions_max: Option<Option<u32>>,
    pub(in crate::manager) reply: Option<ReplyView>,
    /// The new route, as a whole.
    pub(in crate::manager) route: Option<RouteView>,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::manager) struct PasswordChange {
    /// Without one, one is made and shown this once.
    #[schema(min_length = 1, max_length = 255)]
    password: Option<String>,
}

/// What to do to what a user may still transfer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::manager) struct AdjustmentBody {
    /// Names the adjustment, so that repeating it does nothing; made if left out.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    id: Option<String>,
    /// Adds to the traffic limit, or takes from it. Either this or `reset`.
    #[schema(minimum = -9_007_199_254_740_991i64, maximum = 9_007_199_254_740_991i64)]
    add_bytes: Option<i64>,
    /// Counts anew from zero.
    reset: Option<bool>,
}

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    const CHANGE: Access = Access::Role(Role::Operator);
    routes
        .act(
            Operation::new(
                Method::Patch,
                "/v1/users/{name}",
                "user.modify",
                "Changes what is given of a user",
                CHANGE,
            ),
            patch,
        )
        .act(
            Operation::new(
                Method::Put,
                "/v1/users/{name}/password",
                "user.password",
                "Changes a user's password",
                CHANGE,
            ),
            password,
        )
        .act(
            Operation::new(
                Method::Post,
                "/v1/users/{name}/adjustments",
                "user.adjust",
                "Adds to a user's traffic limit, or counts anew from zero",
                CHANGE,
            ),
            adjust,
        )
}

async fn patch<E: Env, S: Store>(
    call: Call<E, S>,
    (Name(name), Body(patch, ..)): (Name, Body<UserPatch>),
) -> Result<Json<UserView>, Problem> {
    Ok(Json(modify(&call.api, &name, patch).await?.into()))
}

async fn password<E: Env, S: Store>(
    call: Call<E, S>,
    (Name(name), Body(change, ..)): (Name, Body<PasswordChange>),
) -> Result<Json<UserView>, Problem> {
    let (user, made) = set_password(&call.api, &name, change.password).await?;
    Ok(Json(UserView::with_password(user, made)))
}

async fn adjust<E: Env, S: Store>(
    call: Call<E, S>,
    (Name(name), Body(body, ..)): (Name, Body<AdjustmentBody>),
) -> Result<Json<UserView>, Problem> {
    let kind = match (body.add_bytes, body.reset) {
        (Some(bytes), None | Some(false)) if bytes.unsigned_abs() <= COUNT_MAX => {
            AdjustmentKind::Add(bytes)
        }
        (None, Some(true)) => AdjustmentKind::Reset,
        _ => {
            return Err(Problem::bad_request(format!(
                "either add_bytes, up to {COUNT_MAX}, or reset: true"
            )));
        }
    };
    let id = body
        .id
        .unwrap_or_else(|| Secret::from_random(call.api.env.seed()).expose()[..32].to_owned());
    if !is_id(&id) {
        return Err(Problem::bad_request(
            "id must be 1 to 64 of A-Z a-z 0-9 . _ -",
        ));
    }
    find(&call.api, &name).await?;
    let adjustment = Adjustment { id, kind };
    let user = call.api.store.adjust_user(&name, adjustment).await?;
    let user = user.ok_or_else(|| Problem::unknown("user", &name))?;
    Ok(Json(user.into()))
}

/// Changes what a patch names of a user.
pub(in crate::manager) async fn modify<E: Env, S: Store>(
    api: &Api<E, S>,
    name: &str,
    patch: UserPatch,
) -> Result<User, Problem> {
    check_rates([patch.upload_rate.flatten(), patch.download_rate.flatten()])?;
    check_sessions(patch.sessions_max.flatten())?;
    check_counts([
        patch.starts_at.flatten(),
        patch.expires_at.flatten(),
        patch.traffic_limit.flatten(),
    ])?;
    let user = find(api, name).await?;
    let route = match patch.route {
        Some(route) => {
            let now = api.env.unix_time().as_secs();
            Some(checked_route(api, route, Some(&user.route), now).await?)
        }
        None => None,
    };
    let password_hash = match patch.password {
        Some(password) => {
            let (password, _) = password_or_new(api, Some(password))?;
            Some(hash(api, password).await)
        }
        None => None,
    };
    let change = UserChange {
        password_hash,
        enabled: patch.enabled,
        starts_at: patch.starts_at,
        expires_at: patch.expires_at,
        traffic_limit: patch.traffic_limit,
        upload_rate: patch.upload_rate,
        download_rate: patch.download_rate,
        sessions_max: patch.sessions_max,
        reply: patch.reply.map(Into::into),
        route,
    };
    let user = api.store.change_user(name, change).await?;
    user.ok_or_else(|| Problem::unknown("user", name))
}

/// Sets a password and returns it too if it was made here.
pub(in crate::manager) async fn set_password<E: Env, S: Store>(
    api: &Api<E, S>,
    name: &str,
    password: Option<String>,
) -> Result<(User, Option<String>), Problem> {
    let (password, made) = password_or_new(api, password)?;
    // Before the hash is computed in vain.
    if !is_user_name(name) || api.store.user(name).await?.is_none() {
        return Err(Problem::unknown("user", name));
    }
    let change = UserChange {
        password_hash: Some(hash(api, password).await),
        ..UserChange::default()
    };
    let user = api.store.change_user(name, change).await?;
    let user = user.ok_or_else(|| Problem::unknown("user", name))?;
    Ok((user, made))
}
