//! Users as hashes.

use super::reply::{Fields, malformed, number, take, take_number};
use crate::store::word::{from_word, word};
use crate::store::{NewUser, ReplyMode, Route, StoreError, User, UserChange};

/// Fields and values for a script.
pub(super) type Pairs = Vec<(&'static str, String)>;

pub(super) fn encode_new(user: &NewUser) -> Pairs {
    let mut pairs = encode_change(&UserChange {
        password_hash: Some(user.password_hash.clone()),
        enabled: Some(user.enabled),
        starts_at: Some(user.starts_at),
        expires_at: Some(user.expires_at),
        traffic_limit: Some(user.traffic_limit),
        upload_rate: Some(user.upload_rate),
        download_rate: Some(user.download_rate),
        sessions_max: Some(user.sessions_max),
        reply: Some(user.reply),
        route: Some(user.route.clone()),
    });
    pairs.retain(|(_, value)| !value.is_empty());
    pairs.push(("user_name", user.name.clone()));
    pairs.push(("created_at", user.created_at.to_string()));
    pairs
}

/// A value that is empty takes its field away.
pub(super) fn encode_change(change: &UserChange) -> Pairs {
    let mut pairs = Pairs::new();
    let mut set = |field, value: Option<String>| {
        if let Some(value) = value {
            pairs.push((field, value));
        }
    };
    fn text<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    set("password_hash", change.password_hash.clone());
    set("off", change.enabled.map(|enabled| (!enabled).to_string()));
    set("start_time", change.starts_at.map(text));
    set("end_time", change.expires_at.map(text));
    set("total_traffic", change.traffic_limit.map(text));
    set("upload_rate_limit", change.upload_rate.map(text));
    set("download_rate_limit", change.download_rate.map(text));
    set("sessions_max", change.sessions_max.map(text));
    set("reply", change.reply.map(word));
    if let Some(route) = &change.route {
        set("route_mode", Some(word(route.mode)));
        set(
            "route_node_id",
            Some(route.node.clone().unwrap_or_default()),
        );
        set(
            "update_route_interval_minutes",
            Some(text(route.interval_minutes)),
        );
        set(
            "update_route_utc_minute_of_day",
            Some(text(route.utc_minute_of_day)),
        );
        set("last_route_switch_time", Some(text(route.switched_at)));
    }
    pairs
}

/// None if there is nothing.
pub(super) fn decode(mut fields: Fields) -> Result<Option<User>, StoreError> {
    if fields.is_empty() {
        return Ok(None);
    }
    let all = &mut fields;
    let reply: ReplyMode = from_word(take(all, "reply")?).map_err(|_| malformed())?;
    let route = Route {
        mode: from_word(take(all, "route_mode")?).map_err(|_| malformed())?,
        node: all.remove("route_node_id"),
        interval_minutes: take_number(all, "update_route_interval_minutes")?,
        utc_minute_of_day: take_number(all, "update_route_utc_minute_of_day")?,
        switched_at: take_number(all, "last_route_switch_time")?,
    };
    let required = |all: &mut Fields, name| number(&take(all, name)?);
    Ok(Some(User {
        name: take(all, "user_name")?,
        id: required(all, "id")?,
        password_hash: take(all, "password_hash")?,
        credential_version: required(all, "credential_version")?,
        enabled: take(all, "off")? == "false",
        created_at: required(all, "created_at")?,
        starts_at: take_number(all, "start_time")?,
        expires_at: take_number(all, "end_time")?,
        traffic_limit: take_number(all, "total_traffic")?,
        upload_rate: take_number(all, "upload_rate_limit")?,
        download_rate: take_number(all, "download_rate_limit")?,
        sessions_max: take_number(all, "sessions_max")?,
        reply,
        route,
        charged: required(all, "current_traffic")?,
        uploaded: required(all, "uploaded")?,
        downloaded: required(all, "downloaded")?,
    }))
}
