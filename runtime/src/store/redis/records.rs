//! Nodes, tokens, accounts and acts as texts.

use super::reply::{
    Fields, array, fields, items, malformed, number, optional_number, take, take_number, text,
};
use crate::store::word::{from_word, word};
use crate::store::{
    AdminToken, AuditHead, AuditRecord, BlacklistEntry, Holder, HolderUsage, Listing, NewAudit,
    NodeEntry, StoreError, Subject, TrafficBucket,
};
use redis::Value;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What a POP tells of a node that stays the same while it is attached.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    ip: IpAddr,
    os: String,
    version: String,
}

pub(super) fn encode_entry(node: &NodeEntry) -> String {
    let entry = Entry {
        ip: node.ip,
        os: node.os.clone(),
        version: node.version.clone(),
    };
    serde_json::to_string(&entry).expect("it has no keys that are no texts")
}

pub(super) fn node(value: Value) -> Result<NodeEntry, StoreError> {
    let [id, pop, generation, since, entry, rtt] = items(value)?;
    let entry: Entry = serde_json::from_str(&text(entry)?).map_err(|_| malformed())?;
    Ok(NodeEntry {
        id: text(id)?,
        pop: text(pop)?,
        generation: number(&text(generation)?)?,
        ip: entry.ip,
        os: entry.os,
        version: entry.version,
        online_since: number(&text(since)?)?,
        rtt_ms: optional_number(&text(rtt)?)?,
    })
}

pub(super) fn node_listing(value: Value) -> Result<Listing<NodeEntry>, StoreError> {
    let mut found = array(value)?.into_iter();
    let next = text(found.next().ok_or_else(malformed)?)?;
    Ok(Listing {
        items: found.map(node).collect::<Result<_, _>>()?,
        next: (!next.is_empty()).then_some(next),
    })
}

pub(super) fn blacklist_entry(subject: Subject, text: &str) -> Result<BlacklistEntry, StoreError> {
    let (since, reason) = text.split_once(' ').ok_or_else(malformed)?;
    Ok(BlacklistEntry {
        subject,
        reason: reason.to_owned(),
        since: number(since)?,
    })
}

/// The fields of what belongs to a user; none if there is no such user.
pub(super) fn companion(value: Value) -> Result<Option<Fields>, StoreError> {
    if value == Value::Nil {
        return Ok(None);
    }
    fields(value).map(Some)
}

pub(super) fn encode_token(token: &AdminToken) -> Vec<(&'static str, String)> {
    let mut pairs = vec![
        ("name", token.name.clone()),
        ("role", word(token.role)),
        ("created_at", token.created_at.to_string()),
        ("created_by", token.created_by.clone()),
    ];
    let optional = [
        ("expires_at", token.expires_at),
        ("revoked_at", token.revoked_at),
    ];
    for (field, value) in optional {
        pairs.extend(value.map(|value| (field, value.to_string())));
    }
    pairs
}

/// None if there is nothing.
pub(super) fn token(mut all: Fields) -> Result<Option<AdminToken>, StoreError> {
    if all.is_empty() {
        return Ok(None);
    }
    let all = &mut all;
    Ok(Some(AdminToken {
        id: take(all, "id")?,
        hash: from_hex(&take(all, "hash")?)?,
        name: take(all, "name")?,
        role: from_word(take(all, "role")?).map_err(|_| malformed())?,
        created_at: number(&take(all, "created_at")?)?,
        created_by: take(all, "created_by")?,
        expires_at: take_number(all, "expires_at")?,
        revoked_at: take_number(all, "revoked_at")?,
    }))
}

pub(super) fn encode_record(record: &AuditRecord) -> [(&'static str, String); 7] {
    let act = &record.act;
    [
        ("at", act.at.to_string()),
        ("actor", act.actor.clone()),
        ("source", act.source.clone()),
        ("action", act.action.clone()),
        ("subject", act.subject.clone()),
        ("detail", act.detail.clone()),
        ("hash", to_hex(&record.hash)),
    ]
}

/// Reads entries of the stream of acts.
pub(super) fn audit(value: Value) -> Result<Vec<AuditRecord>, StoreError> {
    let record = |entry| {
        let [id, all] = items(entry)?;
        let id = text(id)?;
        let (seq, _) = id.split_once('-').ok_or_else(malformed)?;
        let all = &mut fields(all)?;
        Ok(AuditRecord {
            seq: number(seq)?,
            act: NewAudit {
                at: number(&take(all, "at")?)?,
                actor: take(all, "actor")?,
                source: take(all, "source")?,
                action: take(all, "action")?,
                subject: take(all, "subject")?,
                detail: take(all, "detail")?,
            },
            hash: from_hex(&take(all, "hash")?)?,
        })
    };
    array(value)?.into_iter().map(record).collect()
}

pub(super) fn head(value: Value) -> Result<AuditHead, StoreError> {
    let last = audit(value)?.pop();
    Ok(last.map_or(AuditHead::EMPTY, |record| AuditHead {
        seq: record.seq,
        hash: record.hash,
    }))
}

/// Reads the account of a user, by POP and incarnation.
pub(super) fn usage(all: Fields) -> Result<Vec<HolderUsage>, StoreError> {
    let mut parts = Vec::new();
    for (field, value) in all {
        // Other fields say up to where processes were folded.
        if !field.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let (incarnation, pop) = field.split_once('@').ok_or_else(malformed)?;
        let numbers: Vec<u64> = value
            .split(' ')
            .map(number)
            .collect::<Result<_, StoreError>>()?;
        let [granted, returned, _, uploaded, downloaded, sessions, at] = numbers[..] else {
            return Err(malformed());
        };
        parts.push(HolderUsage {
            holder: Holder {
                pop: pop.to_owned(),
                incarnation: number(incarnation)?,
            },
            granted,
            returned,
            uploaded,
            downloaded,
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            reported_at: at,
        });
    }
    parts.sort_by(|one, two| {
        let key = |part: &HolderUsage| (part.holder.pop.clone(), part.holder.incarnation);
        key(one).cmp(&key(two))
    });
    Ok(parts)
}

/// Reads the buckets of a curve that start within `range`, oldest first.
pub(super) fn traffic(
    all: Fields,
    range: core::ops::RangeInclusive<u64>,
) -> Result<Vec<TrafficBucket>, StoreError> {
    let mut buckets = Vec::new();
    for (start, value) in all {
        let start = number(&start)?;
        let (uploaded, downloaded) = value.split_once(' ').ok_or_else(malformed)?;
        if range.contains(&start) {
            buckets.push(TrafficBucket {
                start,
                uploaded: number(uploaded)?,
                downloaded: number(downloaded)?,
            });
        }
    }
    buckets.sort_by_key(|bucket| bucket.start);
    Ok(buckets)
}

pub(super) fn to_hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<[u8; 32], StoreError> {
    if text.len() != 64 || !text.is_ascii() {
        return Err(malformed());
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| malformed())?;
    }
    Ok(bytes)
}
