//! Changing users.

use super::{Password, UserPatch, UserView, find, hash};
use crate::auth::is_user_name;
use crate::env::Env;
use crate::manager::Api;
use crate::manager::answer::Json;
use crate::manager::input::{Body, ID_FORM, Name};
use crate::manager::operation::{Access, Method, Operation};
use crate::manager::problem::{ApiCode, Problem};
use crate::manager::routes::{Call, Routes};
use crate::manager::words;
use crate::store::{Adjustment, AdjustmentKind, COUNT_MAX, Role, Store, User, UserChange};
use crate::token::{Secret, is_id};
use serde::Deserialize;
use utoipa::ToSchema;

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::manager) struct PasswordChange {
    /// Without one, one is made and shown this once.
    #[schema(value_type = Option<words::Password>)]
    password: Option<String>,
}

/// What to do to what a user may still transfer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::manager) struct AdjustmentBody {
    /// Names the adjustment, so that repeating it does nothing; made if left out.
    #[schema(value_type = Option<words::Id>)]
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
            )
            .or(&[ApiCode::Conflict]),
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
        return Err(Problem::bad_request(format!("id must be {ID_FORM}")));
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
    mut patch: UserPatch,
) -> Result<User, Problem> {
    patch.check()?;
    let user = find(api, name).await?;
    let password = patch.password.take();
    let mut change = patch.change(api, Some(&user.settings.route)).await?;
    if let Some(password) = password {
        let password = Password::given_or_made(api, Some(password))?;
        change.password_hash = Some(hash(api, &password).await);
    }
    let user = api.store.change_user(name, change).await?;
    user.ok_or_else(|| Problem::unknown("user", name))
}

/// Sets a password and returns it too if it was made here.
pub(in crate::manager) async fn set_password<E: Env, S: Store>(
    api: &Api<E, S>,
    name: &str,
    password: Option<String>,
) -> Result<(User, Option<String>), Problem> {
    let password = Password::given_or_made(api, password)?;
    // Before the hash is computed in vain.
    if !is_user_name(name) || api.store.user(name).await?.is_none() {
        return Err(Problem::unknown("user", name));
    }
    let change = UserChange {
        password_hash: Some(hash(api, &password).await),
        ..UserChange::default()
    };
    let user = api.store.change_user(name, change).await?;
    let user = user.ok_or_else(|| Problem::unknown("user", name))?;
    Ok((user, password.shown()))
}
