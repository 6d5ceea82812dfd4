//! `titan user` and `titan stats`.

use super::table::Kind::{Bytes, Plain, Rate, Time};
use super::table::{Column, Table};
use super::values::{
    OrNone, When, bytes, bytes_or_none, count_or_none, encode, rate_or_none, when,
};
use super::{CliError, Client, Output, Paging};
use crate::env::Env;
use crate::token::Secret;
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// What to do with users.
#[derive(Clone, Debug, Subcommand)]
pub enum UserCommand {
    /// Create a user; without a password file the manager makes a password and shows it this once.
    Create {
        /// The user's name.
        name: String,
        /// The file that holds the password.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// The user may not connect yet.
        #[arg(long)]
        disabled: bool,
        #[command(flatten)]
        settings: Settings,
    },
    /// List users.
    List(Paging),
    /// Show a user.
    Show {
        /// The user's name.
        name: String,
    },
    /// Change what is given.
    Modify {
        /// The user's name.
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change a user's password; without a file the manager makes one and shows it this once.
    Password {
        /// The user's name.
        name: String,
        /// The file that holds the password.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Let a user connect.
    Start {
        /// The user's name.
        name: String,
    },
    /// Stop a user, running sessions included.
    Stop {
        /// The user's name.
        name: String,
    },
    /// Delete a user.
    Delete {
        /// The user's name.
        name: String,
    },
    /// Add to a user's traffic limit, or count anew from zero.
    Adjust {
        /// The user's name.
        name: String,
        /// How much to add.
        #[arg(long, value_name = "BYTES", value_parser = bytes, conflicts_with = "reset")]
        add: Option<u64>,
        /// Count anew from zero.
        #[arg(long)]
        reset: bool,
        /// Names the adjustment, so that repeating the command does nothing.
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
}

/// What can be set of a user. Amounts are bytes, as in 1500, 10MB or 2GiB; rates are bytes as well, or
/// bits with a small `b`, as in 10Mbit or 10Mb; `none` removes a limit.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// From when on the user may connect: Unix seconds, +30d, or none.
    #[arg(long, value_name = "TIME", value_parser = when)]
    starts_at: Option<OrNone<When>>,
    /// From when on the user may no longer connect: Unix seconds, +30d, or none.
    #[arg(long, value_name = "TIME", value_parser = when)]
    expires_at: Option<OrNone<When>>,
    /// How much the user may transfer.
    #[arg(long, value_name = "BYTES", value_parser = bytes_or_none)]
    traffic_limit: Option<OrNone<u64>>,
    /// How much the user may upload in a second.
    #[arg(long, value_name = "RATE", value_parser = rate_or_none)]
    upload_rate: Option<OrNone<u64>>,
    /// How much the user may download in a second.
    #[arg(long, value_name = "RATE", value_parser = rate_or_none)]
    download_rate: Option<OrNone<u64>>,
    /// How many sessions the user may have at once.
    #[arg(long, value_name = "N", value_parser = count_or_none)]
    sessions_max: Option<OrNone<u64>>,
    /// When clients are answered.
    #[arg(long)]
    reply: Option<Reply>,
    /// Whether POPs record the user's sessions.
    #[arg(long)]
    records: Option<Records>,
}

/// Whether sessions are recorded.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Records {
    /// As each POP is configured.
    Default,
    /// Whatever the POP is configured.
    On,
    /// Never.
    Off,
}

/// When clients are answered.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Reply {
    /// Before the exit has dialled.
    Fast,
    /// After it has, with the outcome.
    Truthful,
}

/// What to show of users' traffic.
#[derive(Clone, Debug, Subcommand)]
pub enum StatsCommand {
    /// Bandwidth, traffic and sessions of a user.
    Show {
        /// The user's name.
        name: String,
    },
    /// What each POP holds and used of a user's quota.
    Usage {
        /// The user's name.
        name: String,
    },
    /// A user's traffic over time.
    Chart {
        /// The user's name.
        name: String,
        /// How wide the buckets are.
        #[arg(long, default_value = "5m", value_parser = ["5m", "hour", "day"])]
        resolution: String,
        /// From when on, in Unix seconds.
        #[arg(long, value_name = "TIME")]
        from: Option<u64>,
        /// Until when, in Unix seconds.
        #[arg(long, value_name = "TIME")]
        until: Option<u64>,
    },
}

const USER: &[Column] = &[
    ("NAME", "name", Plain),
    ("ENABLED", "enabled", Plain),
    ("LIMIT", "traffic_limit", Bytes),
    ("CHARGED", "charged", Bytes),
    ("UP", "uploaded", Bytes),
    ("DOWN", "downloaded", Bytes),
    ("EXPIRES", "expires_at", Time),
];

const USER_WHOLE: &[Column] = &[
    ("name", "name", Plain),
    ("enabled", "enabled", Plain),
    ("created", "created_at", Time),
    ("starts", "starts_at", Time),
    ("expires", "expires_at", Time),
    ("traffic limit", "traffic_limit", Bytes),
    ("charged", "charged", Bytes),
    ("uploaded", "uploaded", Bytes),
    ("downloaded", "downloaded", Bytes),
    ("upload rate", "upload_rate", Rate),
    ("download rate", "download_rate", Rate),
    ("sessions at once", "sessions_max", Plain),
    ("reply", "reply", Plain),
    ("records", "records", Plain),
    ("route", "route/mode", Plain),
    ("node", "route/node", Plain),
    ("not in force yet", "not_in_force", Plain),
    ("password", "password", Plain),
];

pub(super) async fn run<E: Env>(
    client: &Client<'_, E>,
    command: UserCommand,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let path = |name: &str| format!("/v1/users/{}", encode(name));
    let now = client.env.unix_time().as_secs();
    let switch = async |name: &str, enabled| {
        let body = Some(json!({ "enabled": enabled }));
        client.ask(Method::PATCH, &path(name), body).await
    };
    let answer = match command {
        UserCommand::Create {
            name,
            password_file,
            disabled,
            settings,
        } => {
            let mut body = settings.body(now);
            body.insert("name".into(), name.into());
            body.insert("enabled".into(), (!disabled).into());
            put_password(&mut body, password_file)?;
            client
                .ask(Method::POST, "/v1/users", Some(body.into()))
                .await?
        }
        UserCommand::List(paging) => {
            let answer = client.get(&format!("/v1/users?{}", paging.query())).await?;
            return out.print(&answer, |answer| Table::list(&answer["users"], USER));
        }
        UserCommand::Show { name } => client.get(&path(&name)).await?,
        UserCommand::Modify { name, settings } => {
            let body = Some(settings.body(now).into());
            client.ask(Method::PATCH, &path(&name), body).await?
        }
        UserCommand::Password {
            name,
            password_file,
        } => {
            let mut body = Map::new();
            put_password(&mut body, password_file)?;
            let path = format!("{}/password", path(&name));
            client.ask(Method::PUT, &path, Some(body.into())).await?
        }
        UserCommand::Start { name } => switch(&name, true).await?,
        UserCommand::Stop { name } => switch(&name, false).await?,
        UserCommand::Delete { name } => {
            let answer = client.ask(Method::DELETE, &path(&name), None).await?;
            return out.done(&answer, format_args!("{name} is deleted"));
        }
        UserCommand::Adjust {
            name,
            add,
            reset,
            id,
        } => {
            let mut body = Map::new();
            if let Some(add) = add {
                body.insert("add_bytes".into(), add.into());
            }
            if reset {
                body.insert("reset".into(), true.into());
            }
            if let Some(id) = id {
                body.insert("id".into(), id.into());
            }
            let path = format!("{}/adjustments", path(&name));
            client.ask(Method::POST, &path, Some(body.into())).await?
        }
    };
    out.print(&answer, |answer| Table::one(answer, USER_WHOLE))
}

pub(super) async fn run_stats<E: Env>(
    client: &Client<'_, E>,
    command: StatsCommand,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    match command {
        StatsCommand::Show { name } => {
            let answer = client
                .get(&format!("/v1/users/{}/stats", encode(&name)))
                .await?;
            let columns = [
                ("bandwidth", "bandwidth", Rate),
                ("highest of a day", "bandwidth_max", Rate),
                ("uploaded", "uploaded", Bytes),
                ("downloaded", "downloaded", Bytes),
                ("charged", "charged", Bytes),
                ("traffic limit", "traffic_limit", Bytes),
                ("sessions", "sessions", Plain),
            ];
            out.print(&answer, |answer| Table::one(answer, &columns))
        }
        StatsCommand::Usage { name } => {
            let answer = client
                .get(&format!("/v1/users/{}/usage", encode(&name)))
                .await?;
            let columns = [
                ("POP", "pop", Plain),
                ("INCARNATION", "incarnation", Plain),
                ("GRANTED", "granted", Bytes),
                ("RETURNED", "returned", Bytes),
                ("UP", "uploaded", Bytes),
                ("DOWN", "downloaded", Bytes),
                ("SESSIONS", "sessions", Plain),
                ("REPORTED", "reported_at", Time),
            ];
            out.print(&answer, |answer| Table::list(&answer["holders"], &columns))
        }
        StatsCommand::Chart {
            name,
            resolution,
            from,
            until,
        } => {
            let mut path = format!(
                "/v1/users/{}/traffic?resolution={resolution}",
                encode(&name)
            );
            for (key, value) in [("from", from), ("until", until)] {
                if let Some(value) = value {
                    path.push_str(&format!("&{key}={value}"));
                }
            }
            let answer = client.get(&path).await?;
            let columns = [
                ("START", "start", Time),
                ("UP", "uploaded", Bytes),
                ("DOWN", "downloaded", Bytes),
                ("BANDWIDTH", "bandwidth", Rate),
            ];
            out.print(&answer, |answer| Table::list(&answer["buckets"], &columns))
        }
    }
}

fn put_password(body: &mut Map<String, Value>, file: Option<PathBuf>) -> Result<(), CliError> {
    if let Some(file) = file {
        body.insert("password".into(), Secret::load(&file)?.expose().into());
    }
    Ok(())
}

impl Settings {
    /// The members of a request: only what was given.
    fn body(self, now: u64) -> Map<String, Value> {
        let Self {
            starts_at,
            expires_at,
            traffic_limit,
            upload_rate,
            download_rate,
            sessions_max,
            reply,
            records,
        } = self;
        let mut body = Map::new();
        let time = |when: OrNone<When>| when.0.map(|when| when.at(now));
        let number = |limit: OrNone<u64>| limit.0;
        let numbers = [
            ("starts_at", starts_at.map(time)),
            ("expires_at", expires_at.map(time)),
            ("traffic_limit", traffic_limit.map(number)),
            ("upload_rate", upload_rate.map(number)),
            ("download_rate", download_rate.map(number)),
            ("sessions_max", sessions_max.map(number)),
        ];
        for (key, value) in numbers {
            if let Some(value) = value {
                body.insert(key.to_owned(), json!(value));
            }
        }
        if let Some(reply) = reply {
            let word = match reply {
                Reply::Fast => "fast",
                Reply::Truthful => "truthful",
            };
            body.insert("reply".to_owned(), word.into());
        }
        if let Some(records) = records {
            let word = match records {
                Records::Default => "default",
                Records::On => "on",
                Records::Off => "off",
            };
            body.insert("records".to_owned(), word.into());
        }
        body
    }
}
