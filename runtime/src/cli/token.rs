//! `titan token` and `titan key`.

use super::table::Kind::{Plain, Time};
use super::table::{Column, Table};
use super::values::{OrNone, When, encode, when};
use super::{CliError, Client, Output, Paging};
use crate::env::Env;
use clap::Subcommand;
use http::Method;
use serde_json::json;

/// What to do with admin tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is shown this once.
    Create {
        /// What people call it.
        name: String,
        /// What its bearer may do.
        #[arg(long, value_parser = ["read-only", "operator", "admin"])]
        role: String,
        /// From when on it is no longer good: Unix seconds, +30d, or none.
        #[arg(long, value_name = "TIME", value_parser = when, default_value = "none")]
        expires_at: OrNone<When>,
    },
    /// List tokens.
    List(Paging),
    /// Revoke a token, for good.
    Revoke {
        /// The token's id.
        id: String,
    },
    /// Show whose token is in use.
    Whoami,
}

/// What to do with the keys by which managers sign node tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// List the keys that are good, and those that were revoked.
    List,
    /// Revoke a key: of a manager that was stolen, say. One that lives makes another.
    Revoke {
        /// The public key, as the list has it.
        key: String,
    },
}

const TOKEN: &[Column] = &[
    ("ID", "id", Plain),
    ("NAME", "name", Plain),
    ("ROLE", "role", Plain),
    ("CREATED", "created_at", Time),
    ("BY", "created_by", Plain),
    ("EXPIRES", "expires_at", Time),
    ("REVOKED", "revoked_at", Time),
];

const KEY: &[Column] = &[
    ("KEY", "key", Plain),
    ("MANAGER", "manager", Plain),
    ("OWN", "own", Plain),
    ("UNTIL", "until", Time),
    ("REVOKED", "revoked_at", Time),
];

pub(super) async fn run<E: Env>(
    client: &Client<'_, E>,
    command: TokenCommand,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    match command {
        TokenCommand::Create {
            name,
            role,
            expires_at,
        } => {
            let at = expires_at
                .0
                .map(|when| when.at(client.env.unix_time().as_secs()));
            let body = json!({ "name": name, "role": role, "expires_at": at });
            let answer = client.ask(Method::POST, "/v1/tokens", Some(body)).await?;
            let columns = [
                ("id", "id", Plain),
                ("role", "role", Plain),
                ("token", "token", Plain),
            ];
            out.print(&answer, |answer| Table::one(answer, &columns))
        }
        TokenCommand::List(paging) => {
            let answer = client
                .get(&format!("/v1/tokens?{}", paging.query()))
                .await?;
            out.print(&answer, |answer| Table::list(&answer["tokens"], TOKEN))
        }
        TokenCommand::Revoke { id } => {
            let path = format!("/v1/tokens/{}", encode(&id));
            let answer = client.ask(Method::DELETE, &path, None).await?;
            out.done(&answer, format_args!("{id} is revoked"))
        }
        TokenCommand::Whoami => {
            let answer = client.get("/v1/whoami").await?;
            let columns = [
                ("id", "id", Plain),
                ("role", "role", Plain),
                ("address", "source", Plain),
            ];
            out.print(&answer, |answer| Table::one(answer, &columns))
        }
    }
}

/// Runs `titan key`.
pub(super) async fn run_key<E: Env>(
    client: &Client<'_, E>,
    command: KeyCommand,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    match command {
        KeyCommand::List => {
            let answer = client.get("/v1/keys").await?;
            out.print(&answer, |answer| Table::list(&answer["keys"], KEY))
        }
        KeyCommand::Revoke { key } => {
            let path = format!("/v1/keys/{}", encode(&key));
            let answer = client.ask(Method::DELETE, &path, None).await?;
            out.done(&answer, format_args!("{key} is revoked"))
        }
    }
}
