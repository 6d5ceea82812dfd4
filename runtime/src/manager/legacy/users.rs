//! `/user/…`, as far as it keeps users.

mod shape;

use super::{DONE, Outcome, act, by_index, last_index, look};
use crate::env::Env;
use crate::manager::Api;
use crate::manager::answer::Json;
use crate::manager::input::{Body, Query};
use crate::manager::nodes::{check_pops, known};
use crate::manager::problem::{ApiCode, Problem};
use crate::manager::routes::{Call, Routes};
use crate::manager::users::{
    RouteModeView, RouteView, UserCreation, UserPatch, create_user, delete_user, find, modify,
    not_in_force, set_password,
};
use crate::store::{RouteMode, Store, User};
use shape::{
    Change, CreatedUser, Creation, DOWNLOAD_DEFAULT, Deletion, LegacyRoute, LegacyUser, ListQuery,
    Named, NodeSwitch, PasswordChange, StartOrStop, TRAFFIC_DEFAULT, TrafficLimit, UPLOAD_DEFAULT,
    UserList, VALID_DEFAULT,
};

pub(super) fn routes<E: Env, S: Store>(routes: Routes<E, S>) -> Routes<E, S> {
    const UNKNOWN: &[ApiCode] = &[ApiCode::NotFound];
    const CHANGE: &[ApiCode] = &[ApiCode::NotFound, ApiCode::Conflict];
    routes
        .act(
            act("/user/create", "legacy.user.create", "Creates a user").or(&[
                ApiCode::UserExists,
                ApiCode::NotFound,
                ApiCode::Conflict,
            ]),
            create,
        )
        .look(
            look("/user/list", "legacy.user.list", "Lists users by index").or(UNKNOWN),
            list,
        )
        .look(
            look("/user/get", "legacy.user.get", "Shows a user").or(UNKNOWN),
            get,
        )
        .act(
            act(
                "/user/modify",
                "legacy.user.modify",
                "Changes limit and route",
            )
            .or(CHANGE),
            change,
        )
        .act(
            act(
                "/user/password/modify",
                "legacy.user.password",
                "Changes a password",
            )
            .or(UNKNOWN),
            password,
        )
        .act(
            act("/user/delete", "legacy.user.delete", "Deletes a user").or(UNKNOWN),
            delete,
        )
        .act(
            act(
                "/user/startorstop",
                "legacy.user.startorstop",
                "Starts or stops a user",
            )
            .or(UNKNOWN),
            start_or_stop,
        )
        .act(
            act(
                "/user/routenode/switch",
                "legacy.user.routenode",
                "Keeps another node for a user; POPs do not obey it yet",
            )
            .or(CHANGE),
            switch,
        )
}

async fn create<E: Env, S: Store>(
    call: Call<E, S>,
    Body(body, ..): Body<Creation>,
) -> Result<Json<CreatedUser>, Problem> {
    let api = &call.api;
    let pops: Vec<String> = body
        .pop_id
        .into_iter()
        .chain(body.pop_ids.unwrap_or_default())
        .filter(|id| !id.is_empty())
        .collect();
    check_pops(api, &pops).await?;
    let now = api.env.unix_time().as_secs();
    let limit = match body.traffic_limit {
        Some(limit) => limit.checked(now)?,
        None => TrafficLimit {
            start_time: now,
            end_time: now + VALID_DEFAULT,
            total_traffic: Some(TRAFFIC_DEFAULT),
        },
    };
    let rate =
        |given: Option<u64>, default| Some(given.unwrap_or(default)).filter(|rate| *rate > 0);
    let creation = UserCreation {
        password: Some(body.password),
        starts_at: Some(limit.start_time),
        expires_at: Some(limit.end_time),
        traffic_limit: limit.limit(),
        upload_rate: rate(body.upload_rate_limit, UPLOAD_DEFAULT),
        download_rate: rate(body.download_rate_limit, DOWNLOAD_DEFAULT),
        route: body.route.map(LegacyRoute::view).transpose()?,
        ..UserCreation::new(body.user_name)
    };
    let (user, _) = create_user(api, creation).await?;
    let not_in_force = not_in_force(user.settings.route.mode);
    let view = view(api, user).await?;
    Ok(Json(CreatedUser {
        user_name: view.user_name,
        pop_id: "",
        traffic_limit: view.traffic_limit,
        route: view.route,
        node_ip: view.node_ip,
        success_pops: pops,
        failed_pops: Vec::new(),
        not_in_force,
    }))
}

async fn list<E: Env, S: Store>(
    call: Call<E, S>,
    Query(query): Query<ListQuery>,
) -> Result<Json<UserList>, Problem> {
    let last = last_index(query.start, query.end)?;
    check_pops(&call.api, query.popid.as_slice()).await?;
    let store = &call.api.store;
    let (users, total) = by_index(query.start, last, true, |page| store.users(page)).await?;
    let mut views = Vec::with_capacity(users.len());
    for user in users {
        views.push(view(&call.api, user).await?);
    }
    Ok(Json(UserList {
        users: views,
        total,
    }))
}

async fn get<E: Env, S: Store>(
    call: Call<E, S>,
    Query(named): Query<Named>,
) -> Result<Json<LegacyUser>, Problem> {
    let user = find(&call.api, &named.username).await?;
    Ok(Json(view(&call.api, user).await?))
}

async fn change<E: Env, S: Store>(
    call: Call<E, S>,
    Body(body, ..): Body<Change>,
) -> Result<Json<Outcome>, Problem> {
    let now = call.api.env.unix_time().as_secs();
    let mut patch = UserPatch {
        route: body.route.map(LegacyRoute::view).transpose()?,
        ..UserPatch::default()
    };
    if let Some(limit) = body.traffic_limit {
        let limit = limit.checked(now)?;
        patch.starts_at = Some(Some(limit.start_time));
        patch.expires_at = Some(Some(limit.end_time));
        patch.traffic_limit = Some(limit.limit());
    }
    modify(&call.api, &body.user_name, patch).await?;
    Ok(DONE)
}

async fn password<E: Env, S: Store>(
    call: Call<E, S>,
    Body(body, ..): Body<PasswordChange>,
) -> Result<Json<Outcome>, Problem> {
    set_password(&call.api, &body.user_name, Some(body.new_password)).await?;
    Ok(DONE)
}

async fn delete<E: Env, S: Store>(
    call: Call<E, S>,
    Body(body, ..): Body<Deletion>,
) -> Result<Json<Outcome>, Problem> {
    delete_user(&call.api, &body.user_name).await?;
    Ok(DONE)
}

async fn start_or_stop<E: Env, S: Store>(
    call: Call<E, S>,
    Body(body, ..): Body<StartOrStop>,
) -> Result<Json<Outcome>, Problem> {
    let enabled = match body.action.as_str() {
        "start" => true,
        "stop" => false,
        _ => return Err(Problem::bad_request("action must be start or stop")),
    };
    let patch = UserPatch {
        enabled: Some(enabled),
        ..UserPatch::default()
    };
    modify(&call.api, &body.user_name, patch).await?;
    Ok(DONE)
}

async fn switch<E: Env, S: Store>(
    call: Call<E, S>,
    Body(body, ..): Body<NodeSwitch>,
) -> Result<Json<Outcome>, Problem> {
    let user = find(&call.api, &body.user_name).await?;
    let node = body.node_id.filter(|id| !id.is_empty());
    let route = match (user.settings.route.mode, node) {
        (RouteMode::Manual, None) => {
            return Err(Problem::conflict(
                "a manual route needs a node_id: nodes are not handed out to users yet",
            ));
        }
        (RouteMode::Timed | RouteMode::Manual, node) => RouteView {
            node,
            ..user.settings.route.into()
        },
        // A node asked for is what a manual route is.
        (RouteMode::Auto | RouteMode::Custom | RouteMode::Polling, Some(node)) => RouteView {
            mode: RouteModeView::Manual,
            node: Some(node),
            interval_minutes: None,
            utc_minute_of_day: None,
        },
        (RouteMode::Auto | RouteMode::Custom | RouteMode::Polling, None) => return Ok(DONE),
    };
    let patch = UserPatch {
        route: Some(route),
        ..UserPatch::default()
    };
    modify(&call.api, &body.user_name, patch).await?;
    Ok(DONE)
}

async fn view<E: Env, S: Store>(api: &Api<E, S>, user: User) -> Result<LegacyUser, Problem> {
    let node = match &user.settings.route.node {
        Some(id) => known(api, id).await.ok(),
        None => None,
    };
    let node_ip = node.as_ref().and_then(|node| node.ip);
    Ok(LegacyUser {
        user_name: user.name,
        pop_id: "",
        traffic_limit: TrafficLimit {
            start_time: user.settings.starts_at.unwrap_or(user.created_at),
            end_time: user.settings.expires_at.unwrap_or(0),
            total_traffic: Some(user.settings.traffic_limit.unwrap_or(0)),
        },
        last_route_switch_time: user.settings.route.switched_at.unwrap_or(0),
        route: user.settings.route.into(),
        node_ip: node_ip.map_or_else(String::new, |ip| ip.to_string()),
        node_online: node.is_some_and(|node| node.online.is_some()),
        current_traffic: user.uploaded.saturating_add(user.downloaded),
        off: !user.settings.enabled,
        upload_rate_limit: user.settings.upload_rate.unwrap_or(0),
        download_rate_limit: user.settings.download_rate.unwrap_or(0),
    })
}
