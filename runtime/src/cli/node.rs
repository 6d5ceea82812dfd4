//! `titan node`, `titan pop` and `titan blacklist`.

use super::table::Kind::{Plain, Time};
use super::table::{Column, Table};
use super::values::encode;
use super::{CliError, Client, Output, Paging};
use crate::env::Env;
use clap::Subcommand;
use http::Method;
use serde_json::json;
use std::net::IpAddr;

/// What to do with nodes.
#[derive(Clone, Debug, Subcommand)]
pub enum NodeCommand {
    /// List nodes that are online.
    List {
        /// Only those at this POP.
        #[arg(long, value_name = "POP")]
        pop: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// Show what is known of a node.
    Show {
        /// The node's id.
        id: String,
    },
    /// Turn a node away; it may come back.
    Kick {
        /// The node's id.
        id: String,
        /// How long it is to stay away, in seconds.
        #[arg(long, value_name = "SECONDS")]
        retry_after: Option<u32>,
    },
    /// Make another POP the home of nodes and send them there.
    Migrate {
        /// The nodes' ids.
        #[arg(required_unless_present = "from")]
        ids: Vec<String>,
        /// The POP they go to.
        #[arg(long, value_name = "POP")]
        to: String,
        /// Nodes at this POP instead.
        #[arg(long, value_name = "POP", requires = "count", conflicts_with = "ids")]
        from: Option<String>,
        /// How many of them.
        #[arg(long, value_name = "N", requires = "from")]
        count: Option<u32>,
    },
    /// Print the nodes that are online as comma-separated values.
    Export {
        /// Only those at this POP.
        #[arg(long, value_name = "POP")]
        pop: Option<String>,
    },
}

/// What to do with POPs.
#[derive(Clone, Debug, Subcommand)]
pub enum PopCommand {
    /// List the POPs that live.
    List,
    /// Let a POP end with its last session, or when its time is up; it cannot be called back.
    Drain {
        /// The POP's id.
        id: String,
    },
}

/// What to do with the blacklists.
#[derive(Clone, Debug, Subcommand)]
pub enum BlacklistCommand {
    /// List nodes that are turned away.
    Nodes(Paging),
    /// List addresses and blocks of them that are turned away.
    Ips(Paging),
    /// Turn nodes or addresses away.
    Add {
        /// Ids of nodes, addresses, or blocks of them such as 2001:db8::/64.
        #[arg(required = true)]
        subjects: Vec<String>,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let a node, an address or a block in again.
    Remove {
        /// The id of a node, an address, or a block as it was added.
        subject: String,
    },
}

const NODE: &[Column] = &[
    ("ID", "id", Plain),
    ("POP", "pop", Plain),
    ("ADDRESS", "ip", Plain),
    ("RTT MS", "rtt_ms", Plain),
    ("VERSION", "version", Plain),
    ("OS", "os", Plain),
    ("SINCE", "online_since", Time),
];

pub(super) async fn run<E: Env>(
    client: &Client<'_, E>,
    command: NodeCommand,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    match command {
        NodeCommand::List { pop, paging } => {
            let mut path = format!("/v1/nodes?{}", paging.query());
            if let Some(pop) = pop {
                path.push_str(&format!("&pop={}", encode(&pop)));
            }
            let answer = client.get(&path).await?;
            out.print(&answer, |answer| Table::list(&answer["nodes"], NODE))
        }
        NodeCommand::Show { id } => {
            let answer = client.get(&format!("/v1/nodes/{}", encode(&id))).await?;
            let columns = [
                ("id", "id", Plain),
                ("home", "home", Plain),
                ("address", "ip", Plain),
                ("seen", "seen_at", Time),
                ("online at", "online/pop", Plain),
                ("online since", "online/online_since", Time),
                ("rtt ms", "online/rtt_ms", Plain),
                ("version", "online/version", Plain),
                ("os", "online/os", Plain),
                ("contested", "online/contested_at", Time),
                ("warning", "online/warning", Plain),
            ];
            out.print(&answer, |answer| Table::one(answer, &columns))
        }
        NodeCommand::Kick { id, retry_after } => {
            let path = format!("/v1/nodes/{}/kick", encode(&id));
            let body = Some(json!({ "retry_after": retry_after }));
            let answer = client.ask(Method::POST, &path, body).await?;
            let pop = answer["pop"].as_str().unwrap_or_default();
            out.done(&answer, format_args!("{pop} is told to turn {id} away"))
        }
        NodeCommand::Migrate {
            ids,
            to,
            from,
            count,
        } => {
            let body = match from {
                Some(from) => json!({ "to": to, "from": from, "count": count }),
                None => json!({ "to": to, "nodes": ids }),
            };
            let answer = client
                .ask(Method::POST, "/v1/nodes/migrate", Some(body))
                .await?;
            let (assigned, ordered) = (&answer["assigned"], &answer["ordered"]);
            out.done(
                &answer,
                format_args!("{assigned} nodes belong to {to} now, {ordered} are being sent there"),
            )
        }
        NodeCommand::Export { pop } => {
            let query = pop.map_or_else(String::new, |pop| format!("?pop={}", encode(&pop)));
            let path = format!("/v1/nodes.csv{query}");
            let table = client.text(Method::GET, &path, None).await?;
            out.out.write_all(&table).map_err(CliError::Output)
        }
    }
}

pub(super) async fn run_pop<E: Env>(
    client: &Client<'_, E>,
    command: PopCommand,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    match command {
        PopCommand::List => {
            let answer = client.get("/v1/pops").await?;
            let columns = [
                ("ID", "id", Plain),
                ("NODES", "node_count", Plain),
                ("DRAINING", "draining", Plain),
                ("URL", "url", Plain),
            ];
            out.print(&answer, |answer| Table::list(&answer["pops"], &columns))
        }
        PopCommand::Drain { id } => {
            let path = format!("/v1/pops/{}/drain", encode(&id));
            let answer = client.ask(Method::POST, &path, None).await?;
            out.done(&answer, format_args!("{id} is told to drain"))
        }
    }
}

pub(super) async fn run_blacklist<E: Env>(
    client: &Client<'_, E>,
    command: BlacklistCommand,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let list = async |kind: &str, paging: Paging, out: &mut Output<'_>| {
        let path = format!("/v1/blacklist/{kind}?{}", paging.query());
        let answer = client.get(&path).await?;
        let columns = [
            ("WHO", "subject", Plain),
            ("SINCE", "since", Time),
            ("WHY", "reason", Plain),
        ];
        out.print(&answer, |answer| Table::list(&answer["entries"], &columns))
    };
    match command {
        BlacklistCommand::Nodes(paging) => list("nodes", paging, out).await,
        BlacklistCommand::Ips(paging) => list("ips", paging, out).await,
        BlacklistCommand::Add { subjects, reason } => {
            let (ips, nodes): (Vec<_>, Vec<_>) = subjects
                .into_iter()
                .partition(|subject| names_addresses(subject));
            let body = json!({ "nodes": nodes, "ips": ips, "reason": reason });
            let answer = client
                .ask(Method::POST, "/v1/blacklist", Some(body))
                .await?;
            out.done(&answer, format_args!("{} turned away", answer["listed"]))
        }
        BlacklistCommand::Remove { subject } => {
            let kind = if names_addresses(&subject) {
                "ips"
            } else {
                "nodes"
            };
            let path = format!("/v1/blacklist/{kind}/{}", encode(&subject));
            let answer = client.ask(Method::DELETE, &path, None).await?;
            out.done(&answer, format_args!("{subject} may come in"))
        }
    }
}

/// Tells whether a subject is an address or a block; no id of a node has a slash.
fn names_addresses(subject: &str) -> bool {
    subject.contains('/') || subject.parse::<IpAddr>().is_ok()
}
