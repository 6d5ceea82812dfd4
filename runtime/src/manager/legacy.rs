//! The paths that operators' scripts already use, as far as users go.

use super::Api;
use super::extract::{Body, Parameters};
use super::problem::Problem;
use super::users::{Creation, create_user, delete_user, find};
use crate::env::Env;
use crate::store::{ReplyMode, Store, User};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

/// A user to be created. A field that asks for what does not exist is refused: a limit that is
/// taken and not enforced would be worse.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LegacyCreation {
    user_name: String,
    password: String,
    /// Every user is known at every POP, so these change nothing.
    #[serde(default, rename = "pop_id")]
    _pop_id: Option<String>,
    #[serde(default, rename = "pop_ids")]
    _pop_ids: Option<Vec<String>>,
}

#[derive(Serialize)]
pub(super) struct LegacyUser {
    user_name: String,
    pop_id: &'static str,
    off: bool,
}

#[derive(Deserialize)]
pub(super) struct Named {
    username: String,
}

#[derive(Deserialize)]
pub(super) struct Deletion {
    user_name: String,
}

#[derive(Serialize)]
pub(super) struct Outcome {
    success: bool,
    err_msg: &'static str,
}

pub(super) async fn create<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    Body(body): Body<LegacyCreation>,
) -> Result<Json<LegacyUser>, Problem> {
    let creation = Creation {
        name: body.user_name.clone(),
        password: Some(body.password),
        enabled: true,
        expires_at: None,
        reply: ReplyMode::Fast,
    };
    create_user(&api, creation).await?;
    Ok(Json(LegacyUser {
        user_name: body.user_name,
        pop_id: "",
        off: false,
    }))
}

pub(super) async fn show<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    Parameters(named): Parameters<Named>,
) -> Result<Json<LegacyUser>, Problem> {
    let User { name, enabled, .. } = find(&api, &named.username).await?;
    Ok(Json(LegacyUser {
        user_name: name,
        pop_id: "",
        off: !enabled,
    }))
}

pub(super) async fn delete<E: Env, S: Store>(
    State(api): State<Api<E, S>>,
    Body(deletion): Body<Deletion>,
) -> Result<Json<Outcome>, Problem> {
    delete_user(&api, &deletion.user_name).await?;
    Ok(Json(Outcome {
        success: true,
        err_msg: "",
    }))
}
