//! `titan user|node|pop|blacklist|token|stats|audit`: the operator's commands, which ask the manager.
//!
//! Where the manager is and who asks comes from flags or the environment; the token itself only from a
//! file or the environment, because everyone on a host can read command lines.

mod audit;
mod client;
mod node;
mod table;
mod token;
mod user;
mod values;

pub use client::CliError;

use crate::daemon::forgive_reader;
use crate::env::Env;
use crate::tls::client_config;
use crate::token::Secret;
use crate::url::Clear;
use clap::{Args, Subcommand};
use client::Client;
use core::fmt;
use serde_json::Value;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use table::Table;

/// Where the manager is if nobody says.
const MANAGER_DEFAULT: &str = "https://127.0.0.1:41004";

/// How to reach the manager, and how to print.
#[derive(Clone, Debug, Default, Args)]
pub struct Options {
    /// The manager's URL [variable: TITAN__MANAGER; default: https://127.0.0.1:41004].
    #[arg(long, global = true, value_name = "URL")]
    pub manager: Option<String>,
    /// The file of the admin token [variable: TITAN__TOKEN_FILE; or the token in TITAN__TOKEN].
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The PEM file of the CA that the manager's certificate is from [variable: TITAN__CA].
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Talk to the manager in clear, token and all, if its URL says http [variable:
    /// TITAN__INSECURE=true].
    #[arg(long, global = true)]
    pub insecure: bool,
    /// Print the manager's answer as JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to ask.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create, show, change and delete users.
    User(Asked<user::UserCommand>),
    /// List, turn away and move nodes.
    Node(Asked<node::NodeCommand>),
    /// List POPs, and let them drain.
    Pop(Asked<node::PopCommand>),
    /// Nodes and addresses that are turned away.
    Blacklist(Asked<node::BlacklistCommand>),
    /// Admin tokens.
    Token(Asked<token::TokenCommand>),
    /// Keys by which managers sign node tokens.
    Key(Asked<token::KeyCommand>),
    /// What users transferred.
    Stats(Asked<user::StatsCommand>),
    /// The record of administrative acts.
    Audit(Asked<audit::AuditCommand>),
}

/// A command and how to ask.
#[derive(Clone, Debug, Args)]
pub struct Asked<C: Subcommand> {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: C,
}

/// Which part of a listing to print.
#[derive(Clone, Debug, Args)]
pub struct Paging {
    /// The most entries.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Where to go on: what the listing before ended with.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// Asks the manager and prints its answer to `out`. `environment` holds the `TITAN__` variables.
///
/// # Errors
/// Fails if the manager cannot be reached or refuses, and if the record of acts does not verify.
pub async fn run<E: Env>(
    env: &E,
    environment: &HashMap<String, String>,
    command: Command,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    macro_rules! ask {
        ($run:path, $asked:expr) => {{
            let Asked { options, command } = $asked;
            let client = connect(env, &options, environment)?;
            let json = options.json;
            $run(&client, command, &mut Output { json, out }).await
        }};
    }
    match command {
        Command::User(asked) => ask!(user::run, asked),
        Command::Node(asked) => ask!(node::run, asked),
        Command::Pop(asked) => ask!(node::run_pop, asked),
        Command::Blacklist(asked) => ask!(node::run_blacklist, asked),
        Command::Token(asked) => ask!(token::run, asked),
        Command::Key(asked) => ask!(token::run_key, asked),
        Command::Stats(asked) => ask!(user::run_stats, asked),
        Command::Audit(asked) => ask!(audit::run, asked),
    }
}

fn connect<'a, E: Env>(
    env: &'a E,
    options: &Options,
    environment: &HashMap<String, String>,
) -> Result<Client<'a, E>, CliError> {
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let manager = options
        .manager
        .as_ref()
        .or_else(|| variable("TITAN__MANAGER"));
    let manager = manager.map_or(MANAGER_DEFAULT, String::as_str);
    let path =
        |flag: &Option<PathBuf>, name| flag.clone().or_else(|| variable(name).map(PathBuf::from));
    let token = match (
        path(&options.token_file, "TITAN__TOKEN_FILE"),
        variable("TITAN__TOKEN"),
    ) {
        (Some(file), _) => Secret::load(&file)?,
        (None, Some(token)) => Secret::new(token.clone()),
        (None, None) => return Err(CliError::NoToken),
    };
    let tls = match path(&options.ca, "TITAN__CA") {
        Some(ca) => Some(client_config(Some(&ca))?),
        None => None,
    };
    let insecure =
        options.insecure || variable("TITAN__INSECURE").is_some_and(|text| text == "true");
    Client::new(env, manager, tls, token, Clear::asked(insecure))
}

/// Where answers are printed, and how.
struct Output<'a> {
    json: bool,
    out: &'a mut dyn Write,
}

impl Output<'_> {
    /// Prints an answer: as JSON, or as what `table` makes of it.
    fn print(
        &mut self,
        answer: &Value,
        table: impl FnOnce(&Value) -> Table,
    ) -> Result<(), CliError> {
        if self.json {
            return self.line(answer);
        }
        let more = answer["next_cursor"].as_str().map(str::to_owned);
        self.line(format_args!("{}", table(answer)))?;
        match more {
            Some(cursor) => self.line(format_args!("There is more: --cursor {cursor}")),
            None => Ok(()),
        }
    }

    /// Prints an answer: as JSON, or else a line that says what was done.
    fn done(&mut self, answer: &Value, text: impl fmt::Display) -> Result<(), CliError> {
        if self.json {
            return self.line(answer);
        }
        self.line(text)
    }

    fn line(&mut self, text: impl fmt::Display) -> Result<(), CliError> {
        let written = writeln!(self.out, "{}", text.to_string().trim_end());
        forgive_reader(written).map_err(CliError::Output)
    }
}

impl Paging {
    /// The parameters as they stand in a query.
    fn query(&self) -> String {
        let mut query = format!("limit={}", self.limit);
        if let Some(cursor) = &self.cursor {
            query.push_str("&cursor=");
            query.push_str(&values::encode(cursor));
        }
        query
    }
}
