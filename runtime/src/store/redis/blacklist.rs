//! Blacklists as hashes.

use super::reply::{array, items, malformed, number, optional, texts};
use super::{Redis, begin};
use crate::store::changes::encode_change;
use crate::store::{
    BATCH_MAX, BlacklistEntry, Blacklists, Change, Listing, Page, Prefix, StoreError, Subject,
    SubjectKind, check_batch,
};
use redis::Value;
use std::net::IpAddr;

impl Blacklists for Redis {
    async fn blacklist_add(&self, entries: Vec<BlacklistEntry>) -> Result<(), StoreError> {
        check_batch(&entries, BATCH_MAX)?;
        let mut args = Vec::new();
        for entry in entries {
            let subject = &entry.subject;
            args.extend([
                subject.kind().name().to_owned(),
                subject.key(),
                entry.since.to_string(),
                entry.reason().to_owned(),
                blacklist_changed(subject, true),
            ]);
        }
        self.keep(script!("blacklist_add"), args).await.map(drop)
    }

    async fn blacklist_remove(&self, subjects: Vec<Subject>) -> Result<(), StoreError> {
        check_batch(&subjects, BATCH_MAX)?;
        let mut args = Vec::new();
        for subject in &subjects {
            args.extend([
                subject.kind().name().to_owned(),
                subject.key(),
                blacklist_changed(subject, false),
            ]);
        }
        self.keep(script!("blacklist_remove"), args).await.map(drop)
    }

    async fn blacklisted(
        &self,
        node: &str,
        ip: IpAddr,
    ) -> Result<Option<BlacklistEntry>, StoreError> {
        let prefixes: Vec<String> = Prefix::around(ip).map(String::from).collect();
        let [by_node, by_address] =
            items(self.run(script!("blacklisted"), (node, prefixes)).await?)?;
        if let Some(found) = optional(by_node)? {
            return blacklist_entry(Subject::Node(node.to_owned()), &found).map(Some);
        }
        let found = array(by_address)?;
        if found.is_empty() {
            return Ok(None);
        }
        let [prefix, found] = texts(Value::Array(found))?;
        let subject = SubjectKind::Ip.subject(prefix).ok_or_else(malformed)?;
        blacklist_entry(subject, &found).map(Some)
    }

    async fn blacklist(
        &self,
        kind: SubjectKind,
        page: Page,
    ) -> Result<Listing<BlacklistEntry>, StoreError> {
        let limit = page.len_max();
        let args = (kind.name(), begin(&page), limit + 1);
        let rows = array(self.run(script!("blacklist"), args).await?)?
            .into_iter()
            .map(texts)
            .collect::<Result<Vec<[String; 2]>, _>>()?;
        let Listing { items, next } = Listing::cut(rows, limit, |[key, _]| key);
        let items = items.into_iter().map(|[key, entry]| {
            let subject = kind.subject(key).ok_or_else(malformed)?;
            blacklist_entry(subject, &entry)
        });
        Ok(Listing {
            items: items.collect::<Result<_, _>>()?,
            next,
        })
    }
}

fn blacklist_changed(subject: &Subject, listed: bool) -> String {
    let subject = subject.clone();
    encode_change(&Change::Blacklist { subject, listed })
}

fn blacklist_entry(subject: Subject, text: &str) -> Result<BlacklistEntry, StoreError> {
    let (since, reason) = text.split_once(' ').ok_or_else(malformed)?;
    Ok(BlacklistEntry {
        subject,
        reason: reason.to_owned(),
        since: number(since)?,
    })
}
