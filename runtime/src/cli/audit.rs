//! `titan audit`.

use super::table::Kind::{Plain, Time};
use super::table::{Column, Table};
use super::{CliError, Client, Output};
use crate::env::Env;
use crate::store::{AuditHead, AuditRecord, NewAudit};
use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

/// The records asked for at once.
const PAGE: u32 = 1_000;

/// What to do with the record of acts.
#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// List acts, oldest first.
    List {
        /// The place after which to begin.
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        after: u64,
        /// The most records.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
    },
    /// Check that no record was changed, removed or inserted.
    Verify {
        /// An end of the chain noted earlier, as this command prints it: it must still be part of it.
        #[arg(long, value_name = "SEQ:HASH", value_parser = noted)]
        head: Option<Noted>,
    },
}

/// An end of the chain that someone noted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Noted {
    seq: u64,
    hash: String,
}

#[derive(Deserialize)]
struct Record {
    seq: u64,
    at: u64,
    actor: String,
    source: String,
    action: String,
    subject: String,
    detail: String,
    hash: String,
}

const RECORD: &[Column] = &[
    ("SEQ", "seq", Plain),
    ("WHEN", "at", Time),
    ("WHO", "actor", Plain),
    ("FROM", "source", Plain),
    ("WHAT", "action", Plain),
    ("ON", "subject", Plain),
    ("OUTCOME", "outcome", Plain),
];

pub(super) async fn run<E: Env>(
    client: &Client<'_, E>,
    command: AuditCommand,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    match command {
        AuditCommand::List { after, limit } => {
            let path = format!("/v1/audit?after={after}&limit={limit}");
            let answer = client.get(&path).await?;
            out.print(&answer, |answer| Table::list(&answer["records"], RECORD))?;
            match (out.json, answer["next_after"].as_u64()) {
                (false, Some(after)) => {
                    out.line(format_args!("There may be more: --after {after}"))
                }
                _ => Ok(()),
            }
        }
        AuditCommand::Verify { head } => {
            let end = verify(client, head.as_ref()).await?;
            let answer =
                json!({ "records": end.seq, "head": format!("{}:{}", end.seq, hex(&end)) });
            out.done(
                &answer,
                format_args!(
                    "{} records, none changed, removed or inserted.\nNote this elsewhere, to notice a \
                     chain made anew: {}:{}",
                    end.seq,
                    end.seq,
                    hex(&end)
                ),
            )
        }
    }
}

/// Reads the whole chain and follows it from its beginning.
async fn verify<E: Env>(
    client: &Client<'_, E>,
    noted: Option<&Noted>,
) -> Result<AuditHead, CliError> {
    // Before the records: what is added meanwhile only makes the chain longer.
    let told = client.get("/v1/audit/head").await?;
    let told = Noted {
        seq: told["seq"].as_u64().unwrap_or(u64::MAX),
        hash: told["hash"].as_str().unwrap_or_default().to_owned(),
    };
    let mut head = AuditHead::EMPTY;
    let check = |head: &AuditHead, noted: &Noted| {
        if head.seq == noted.seq && hex(head) != noted.hash {
            let what = format!("record {} is not the one that was noted", head.seq);
            return Err(CliError::Tampered(what));
        }
        Ok(())
    };
    loop {
        let path = format!("/v1/audit?after={}&limit={PAGE}", head.seq);
        let mut answer = client.get(&path).await?;
        let records: Vec<Record> = serde_json::from_value(answer["records"].take())
            .map_err(|error| CliError::Answer(error.to_string()))?;
        if records.is_empty() {
            break;
        }
        for record in records {
            let place = record.seq;
            let right = head.next(record.act());
            if right.seq != place || hex_of(&right.hash) != record.hash {
                return Err(CliError::Tampered(format!(
                    "the chain is broken at record {}",
                    right.seq
                )));
            }
            verify_one(&mut head, right)?;
            check(&head, &told)?;
            if let Some(noted) = noted {
                check(&head, noted)?;
            }
        }
    }
    for (noted, what) in [(Some(&told), "the manager's end"), (noted, "the noted end")] {
        if noted.is_some_and(|noted| noted.seq > head.seq) {
            return Err(CliError::Tampered(format!("{what} of the chain is gone")));
        }
    }
    Ok(head)
}

fn verify_one(head: &mut AuditHead, record: AuditRecord) -> Result<(), CliError> {
    head.verify(&[record])
        .map_err(|broken| CliError::Tampered(broken.to_string()))
}

impl Record {
    fn act(&self) -> NewAudit {
        NewAudit {
            at: self.at,
            actor: self.actor.clone(),
            source: self.source.clone(),
            action: self.action.clone(),
            subject: self.subject.clone(),
            detail: self.detail.clone(),
        }
    }
}

fn noted(text: &str) -> Result<Noted, String> {
    let parsed = text.split_once(':').and_then(|(seq, hash)| {
        Some(Noted {
            seq: seq.parse().ok()?,
            hash: hash.to_owned(),
        })
    });
    parsed.ok_or_else(|| format!("`{text}` is no end of a chain such as 42:0a1b…"))
}

fn hex(head: &AuditHead) -> String {
    hex_of(&head.hash)
}

fn hex_of(hash: &[u8; 32]) -> String {
    crate::token::Secret::from_random(*hash).expose().to_owned()
}
