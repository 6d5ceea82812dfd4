//! Users as hashes.

use super::reply::{Fields, array, count, fields, malformed, number, take, take_number};
use super::{Redis, begin};
use crate::store::changes::encode_change;
use crate::store::word::{from_word, word};
use crate::store::{
    ADJUSTMENTS_KEPT, Adjustment, AdjustmentKind, COUNT_MAX, Change, Listing, NewUser, Page,
    RecordMode, ReplyMode, Route, StoreError, User, UserChange, UserSettings, Users,
};

impl Users for Redis {
    async fn create_user(&self, user: NewUser) -> Result<User, StoreError> {
        user.check()?;
        let pairs = encode_new(&user);
        let args = (user.name.clone(), user_changed(&user.name), pairs);
        let created = self.keep_once(script!("user_create"), args).await?;
        decode(fields(created)?)?.ok_or_else(malformed)
    }

    async fn user(&self, name: &str) -> Result<Option<User>, StoreError> {
        decode(fields(self.run(script!("user"), name).await?)?)
    }

    async fn users(&self, page: Page) -> Result<Listing<User>, StoreError> {
        let limit = page.len_max();
        let found = self
            .run(script!("user_list"), (begin(&page), limit + 1))
            .await?;
        let found = array(found)?.into_iter();
        // One that was deleted within the same step does not exist: a script is one step.
        let all = found
            .map(|one| decode(fields(one)?)?.ok_or_else(malformed))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Listing::cut(all, limit, |user| &user.name))
    }

    async fn change_user(
        &self,
        name: &str,
        change: UserChange,
    ) -> Result<Option<User>, StoreError> {
        if !change.fits() {
            return Err(StoreError::TooLarge);
        }
        let secret = u8::from(change.password_hash.is_some());
        let pairs = encode_settings(&change);
        let args = (name, user_changed(name), secret, pairs);
        decode(fields(self.keep(script!("user_change"), args).await?)?)
    }

    async fn adjust_user(
        &self,
        name: &str,
        adjustment: Adjustment,
    ) -> Result<Option<User>, StoreError> {
        let max = COUNT_MAX.cast_signed();
        let (kind, bytes) = match adjustment.kind {
            AdjustmentKind::Add(bytes) => ("add", bytes.clamp(-max, max)),
            AdjustmentKind::Reset => ("reset", 0),
        };
        let told = user_changed(name);
        let args = (name, told, adjustment.id, kind, bytes, ADJUSTMENTS_KEPT);
        decode(fields(
            self.keep(script!("parts" "user_adjust"), args).await?,
        )?)
    }

    async fn delete_user(&self, name: &str) -> Result<bool, StoreError> {
        let args = (name, user_changed(name));
        Ok(count(self.keep_once(script!("user_delete"), args).await?)? > 0)
    }
}

fn user_changed(name: &str) -> String {
    let name = name.to_owned();
    encode_change(&Change::User { name })
}

/// Fields and values for a script.
type Pairs = Vec<(&'static str, String)>;

fn encode_new(user: &NewUser) -> Pairs {
    let mut pairs = encode_settings(&user.settings.clone().into());
    // A user that is new has nothing to take away.
    pairs.retain(|(_, value)| !value.is_empty());
    pairs.push(("password_hash", user.password_hash.clone()));
    pairs.push(("user_name", user.name.clone()));
    pairs.push(("created_at", user.created_at.to_string()));
    pairs
}

/// A value that is empty takes its field away.
fn encode_settings(change: &UserChange) -> Pairs {
    let mut pairs = Pairs::new();
    let mut set = |field, value: Option<String>| {
        if let Some(value) = value {
            pairs.push((field, value));
        }
    };
    fn text<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    let UserChange {
        password_hash,
        enabled,
        starts_at,
        expires_at,
        traffic_limit,
        upload_rate,
        download_rate,
        sessions_max,
        reply,
        records,
        route,
    } = change;
    set("password_hash", password_hash.clone());
    set("off", enabled.map(|enabled| (!enabled).to_string()));
    set("start_time", starts_at.map(text));
    set("end_time", expires_at.map(text));
    set("total_traffic", traffic_limit.map(text));
    set("upload_rate_limit", upload_rate.map(text));
    set("download_rate_limit", download_rate.map(text));
    set("sessions_max", sessions_max.map(text));
    set("reply", reply.map(word));
    set("records", records.map(word));
    if let Some(route) = route {
        let Route {
            mode,
            node,
            interval_minutes,
            utc_minute_of_day,
            switched_at,
        } = route;
        set("route_mode", Some(word(*mode)));
        set("route_node_id", Some(node.clone().unwrap_or_default()));
        let (interval, minute) = (text(*interval_minutes), text(*utc_minute_of_day));
        set("update_route_interval_minutes", Some(interval));
        set("update_route_utc_minute_of_day", Some(minute));
        set("last_route_switch_time", Some(text(*switched_at)));
    }
    pairs
}

/// None if there is nothing.
fn decode(mut fields: Fields) -> Result<Option<User>, StoreError> {
    if fields.is_empty() {
        return Ok(None);
    }
    let all = &mut fields;
    let reply: ReplyMode = from_word(take(all, "reply")?).map_err(|_| malformed())?;
    // Users of before have none.
    let records = match all.remove("records") {
        Some(word) => from_word(word).map_err(|_| malformed())?,
        None => RecordMode::Default,
    };
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
        created_at: required(all, "created_at")?,
        settings: UserSettings {
            enabled: take(all, "off")? == "false",
            starts_at: take_number(all, "start_time")?,
            expires_at: take_number(all, "end_time")?,
            traffic_limit: take_number(all, "total_traffic")?,
            upload_rate: take_number(all, "upload_rate_limit")?,
            download_rate: take_number(all, "download_rate_limit")?,
            sessions_max: take_number(all, "sessions_max")?,
            reply,
            records,
            route,
        },
        charged: required(all, "current_traffic")?,
        uploaded: required(all, "uploaded")?,
        downloaded: required(all, "downloaded")?,
    }))
}
