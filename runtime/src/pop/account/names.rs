//! Names and ids of the users whom the ledger knows by their groups.

use crate::store::{Totals, User};
use std::collections::{BTreeMap, BTreeSet};
use titan_core::account::ledger;

#[derive(Debug, Default)]
pub(super) struct Names {
    by_group: BTreeMap<u32, Label>,
    by_name: BTreeMap<String, BTreeSet<u32>>,
}

#[derive(Debug)]
struct Label {
    name: String,
    id: u64,
}

impl Names {
    /// Notes whose group it is.
    pub(super) fn add(&mut self, group: u32, record: &User) {
        if self.by_group.contains_key(&group) {
            return;
        }
        let (name, id) = (record.name.clone(), record.id);
        let namesakes = self.by_name.entry(name.clone()).or_default();
        namesakes.insert(group);
        self.by_group.insert(group, Label { name, id });
    }

    pub(super) fn remove(&mut self, group: u32) {
        let Some(label) = self.by_group.remove(&group) else {
            return;
        };
        if let Some(namesakes) = self.by_name.get_mut(&label.name) {
            namesakes.remove(&group);
            if namesakes.is_empty() {
                self.by_name.remove(&label.name);
            }
        }
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn name(&self, group: u32) -> Option<&str> {
        self.by_group.get(&group).map(|label| label.name.as_str())
    }

    /// Returns groups and ids of the users of this name: one who was deleted may have left some.
    pub(super) fn namesakes(&self, name: &str) -> Vec<(u32, u64)> {
        let groups = self.by_name.get(name).into_iter().flatten();
        let ids = groups.filter_map(|group| Some((*group, self.by_group.get(group)?.id)));
        ids.collect()
    }

    /// Returns totals as the store takes them.
    pub(super) fn totals(&self, group: u32, totals: ledger::Totals) -> Option<Totals> {
        let label = self.by_group.get(&group)?;
        Some(Totals {
            user: label.name.clone(),
            user_id: label.id,
            granted: totals.granted,
            returned: totals.returned,
            uploaded: totals.uploaded,
            downloaded: totals.downloaded,
            sessions: totals.sessions,
            wants: totals.wants,
        })
    }
}
