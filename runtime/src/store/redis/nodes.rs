//! Nodes as hashes.

use super::reply::{array, count, items, malformed, number, optional_number, text};
use super::{Redis, begin};
use crate::store::{
    BATCH_MAX, KnownNode, Listing, NODE_FORGOTTEN_AFTER, NodeEntry, NodeRtt, Nodes, Page,
    StoreError, check_batch,
};
use redis::Value;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

impl Nodes for Redis {
    async fn node_online(&self, node: NodeEntry) -> Result<(), StoreError> {
        let entry = encode_entry(&node);
        let rtt = node.rtt_ms.map_or_else(String::new, |rtt| rtt.to_string());
        let args = (
            node.id,
            node.pop,
            node.generation,
            node.online_since,
            entry,
            rtt,
            node.ip.to_string(),
        );
        self.run(script!("node_online"), args).await.map(drop)
    }

    async fn node_offline(&self, id: &str, pop: &str, generation: u64) -> Result<(), StoreError> {
        let args = (id, pop, generation);
        self.run(script!("node_offline"), args).await.map(drop)
    }

    async fn nodes_measured(&self, pop: &str, rtts: Vec<NodeRtt>) -> Result<(), StoreError> {
        check_batch(&rtts, BATCH_MAX)?;
        let rtts: Vec<_> = rtts
            .into_iter()
            .map(|rtt| (rtt.id, rtt.generation, rtt.rtt_ms))
            .collect();
        self.run(script!("nodes_measured"), (pop, rtts))
            .await
            .map(drop)
    }

    async fn nodes(&self, page: Page) -> Result<Listing<NodeEntry>, StoreError> {
        let args = (begin(&page), page.len_max());
        node_listing(self.run(script!("nodes"), args).await?)
    }

    async fn pop_nodes(&self, pop: &str, page: Page) -> Result<Listing<NodeEntry>, StoreError> {
        let args = (begin(&page), page.len_max(), pop);
        node_listing(self.run(script!("pop_nodes"), args).await?)
    }

    async fn node(&self, id: &str) -> Result<Option<KnownNode>, StoreError> {
        let found = array(self.run(script!("node"), id).await?)?;
        if found.is_empty() {
            return Ok(None);
        }
        let [home, seen_at, ip, entry, now] = items(Value::Array(found))?;
        let (seen_at, ip, now) = (count(seen_at)?, text(ip)?, count(now)?);
        let entry = array(entry)?;
        let online = (!entry.is_empty()).then(|| node(Value::Array(entry)));
        let online = online.transpose()?;
        if online.is_none() && seen_at < now.saturating_sub(NODE_FORGOTTEN_AFTER) {
            return Ok(None);
        }
        Ok(Some(KnownNode {
            id: id.to_owned(),
            home: text(home)?,
            ip: optional_number(&ip)?,
            seen_at,
            online,
        }))
    }

    async fn assign_nodes(&self, ids: Vec<String>, pop: &str) -> Result<(), StoreError> {
        check_batch(&ids, BATCH_MAX)?;
        let args = (pop, ids);
        self.keep(script!("assign_nodes"), args).await.map(drop)
    }
}

/// What a POP tells of a node that stays the same while it is attached.
#[derive(Serialize, Deserialize)]
struct Entry {
    ip: IpAddr,
    os: String,
    version: String,
    #[serde(default)]
    contested_at: Option<u64>,
}

fn encode_entry(node: &NodeEntry) -> String {
    let entry = Entry {
        ip: node.ip,
        os: node.os.clone(),
        version: node.version.clone(),
        contested_at: node.contested_at,
    };
    serde_json::to_string(&entry).expect("it has no keys that are no texts")
}

fn node(value: Value) -> Result<NodeEntry, StoreError> {
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
        contested_at: entry.contested_at,
    })
}

fn node_listing(value: Value) -> Result<Listing<NodeEntry>, StoreError> {
    let mut found = array(value)?.into_iter();
    let next = text(found.next().ok_or_else(malformed)?)?;
    Ok(Listing {
        items: found.map(node).collect::<Result<_, _>>()?,
        next: (!next.is_empty()).then_some(next),
    })
}
