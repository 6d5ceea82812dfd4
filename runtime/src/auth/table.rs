//! A map that never grows beyond a bound.

use core::borrow::Borrow;
use core::hash::Hash;
use std::collections::HashMap;

/// A map of at most `max` entries. A full one gives up an entry that was not looked at lately (the
/// clock algorithm: constant time on average, no lists to maintain). Entries keep their place, a small
/// dense number, until they are given up.
pub(crate) struct Table<K, V> {
    places: HashMap<K, u32>,
    entries: Vec<Entry<K, V>>,
    hand: usize,
    max: usize,
}

struct Entry<K, V> {
    key: K,
    value: V,
    seen: bool,
}

impl<K: Clone + Eq + Hash, V> Table<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        let max = max.clamp(1, u32::MAX as usize);
        Self {
            places: HashMap::new(),
            entries: Vec::new(),
            hand: 0,
            max,
        }
    }

    pub(crate) fn get<Q>(&mut self, key: &Q) -> Option<(u32, &K, &mut V)>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let place = *self.places.get(key)?;
        let entry = &mut self.entries[place as usize];
        entry.seen = true;
        Some((place, &entry.key, &mut entry.value))
    }

    /// Adds an entry that is not there yet and returns its place, or none if the table is full of
    /// entries that `may_go` keeps.
    pub(crate) fn insert(
        &mut self,
        key: K,
        value: V,
        may_go: impl Fn(&K, &V) -> bool,
    ) -> Option<u32> {
        let entry = Entry {
            key: key.clone(),
            value,
            seen: false,
        };
        let place = if self.entries.len() < self.max {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let place = self.find_victim(may_go)?;
            let gone = core::mem::replace(&mut self.entries[place], entry);
            self.places.remove(&gone.key);
            place
        };
        let place = u32::try_from(place).expect("max fits a u32");
        self.places.insert(key, place);
        Some(place)
    }

    fn find_victim(&mut self, may_go: impl Fn(&K, &V) -> bool) -> Option<usize> {
        // New entries are unmarked, so a flood of them displaces itself and not what is in use.
        // The first round may only clear the marks; the second then finds what may go.
        for _ in 0..2 * self.entries.len() {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.entries.len();
            let entry = &mut self.entries[place];
            if !core::mem::take(&mut entry.seen) && may_go(&entry.key, &entry.value) {
                return Some(place);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_within_its_bound_and_keeps_what_is_used() {
        let mut table = Table::new(4);
        for key in 0..4 {
            assert_eq!(table.insert(key, key, |_, _| true), Some(key));
        }
        for key in 4..1_000 {
            assert!(table.get(&0).is_some(), "{key}");
            let place = table.insert(key, key, |_, _| true).unwrap();
            assert_eq!((table.entries.len(), table.places.len()), (4, 4));
            assert_eq!(table.places[&key], place);
            assert_eq!(table.entries[place as usize].key, key);
        }
    }

    #[test]
    fn what_may_not_go_stays() {
        let mut table = Table::new(2);
        table.insert("kept", (), |_, ()| true).unwrap();
        table.insert("b", (), |_, ()| true).unwrap();
        let place = table.insert("c", (), |key, ()| *key != "kept");
        assert_eq!(place, Some(1));
        assert_eq!(table.insert("d", (), |_, ()| false), None);
        assert!(table.get("kept").is_some() && table.get("c").is_some());
        assert!(table.get("b").is_none() && table.get("d").is_none());
    }
}
