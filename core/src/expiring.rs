//! A bounded map whose entries may end at a time of their own.

use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use core::borrow::Borrow;
use core::fmt;

/// At most so many entries; one that has an end is there until somebody [`expire`](Self::expire)s it,
/// or until a full map needs its place. What looks at the time is the owner's: an entry whose end has
/// passed is found until then.
///
/// Every operation is O(log n), so that what an input costs is bounded by how many it makes.
#[derive(Debug)]
pub(crate) struct Expiring<K, V> {
    entries: BTreeMap<K, Entry<V>>,
    /// Exactly the entries that have an end, by when.
    ends: BTreeSet<(Instant, K)>,
    max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    until: Option<Instant>,
}

/// There is no room for an entry: the map is full of entries without an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

impl<K: Ord + Clone, V> Expiring<K, V> {
    /// Takes at most `max` entries.
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            ends: BTreeSet::new(),
            max,
        }
    }

    /// Puts an entry in the place of the one there was. A full map forgets the entry that ends first.
    ///
    /// # Errors
    /// [`Full`] if none has an end; nothing has changed then.
    pub(crate) fn insert(&mut self, key: K, value: V, until: Option<Instant>) -> Result<(), Full> {
        if !self.has_room() && !self.entries.contains_key(&key) {
            return Err(Full);
        }
        self.remove(&key);
        if self.entries.len() >= self.max
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.entries.remove(&first);
        }
        if let Some(until) = until {
            self.ends.insert((until, key.clone()));
        }
        self.entries.insert(key, Entry { value, until });
        Ok(())
    }

    /// Removes an entry.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some((key, entry)) = self.entries.remove_entry(key)
            && let Some(until) = entry.until
        {
            self.ends.remove(&(until, key));
        }
    }

    /// Lets an entry end at another time, or at none, and returns its value.
    pub(crate) fn end_at(&mut self, key: &K, until: Option<Instant>) -> Option<&mut V> {
        let entry = self.entries.get_mut(key)?;
        if let Some(old) = core::mem::replace(&mut entry.until, until) {
            self.ends.remove(&(old, key.clone()));
        }
        if let Some(until) = until {
            self.ends.insert((until, key.clone()));
        }
        Some(&mut entry.value)
    }

    /// Forgets the entry that ends first, if its time is over, and returns its key and its end.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(K, Instant)> {
        self.ends.first().filter(|&&(until, _)| until <= now)?;
        let (until, key) = self.ends.pop_first()?;
        self.entries.remove(&key);
        Some((key, until))
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        Some(&self.entries.get(key)?.value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        Some(&mut self.entries.get_mut(key)?.value)
    }

    /// Returns when an entry ends, if it does.
    pub(crate) fn end_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<Instant>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)?.until
    }

    /// Returns when the next entry ends.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|&(until, _)| until)
    }

    /// Tells whether another entry can be inserted.
    pub(crate) fn has_room(&self) -> bool {
        self.entries.len() < self.max || !self.ends.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns all entries, by their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }
}

impl<K: Ord + Clone + fmt::Debug, V> Expiring<K, V> {
    /// Checks that there are not too many entries (I4), and that each that has an end will find it (I6).
    pub(crate) fn audit(&self) {
        assert!(
            self.entries.len() <= self.max,
            "I4: {} entries are more than {}",
            self.entries.len(),
            self.max
        );
        let mut ends = 0;
        for (key, entry) in &self.entries {
            if let Some(until) = entry.until {
                ends += 1;
                assert!(
                    self.ends.contains(&(until, key.clone())),
                    "I6: {key:?} is never forgotten"
                );
            }
        }
        assert!(ends == self.ends.len(), "I6: ends of what is gone");
    }
}

#[cfg(test)]
mod tests;
