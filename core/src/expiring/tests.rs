//! The map against one that is searched from end to end.

use super::{Expiring, Full};
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use proptest::prelude::*;

fn at(secs: u64) -> Instant {
    Instant::EPOCH + Duration::from_secs(secs)
}

#[test]
fn an_entry_ends_exactly_at_its_time() {
    let mut map = Expiring::new(2);
    map.insert("a", 1, Some(at(5))).expect("room");
    assert_eq!(map.expire(at(5) - Duration::from_nanos(1)), None);
    assert_eq!((map.get("a"), map.next_end()), (Some(&1), Some(at(5))));
    assert!(map.expire(at(5)).is_some());
    assert!(map.expire(at(5)).is_none(), "it was the only one");
    assert_eq!((map.get("a"), map.next_end()), (None, None));
}

#[test]
fn an_entry_has_one_end_whatever_becomes_of_it() {
    let mut map = Expiring::new(2);
    map.insert("a", 1, Some(at(5))).expect("room");
    assert_eq!(map.end_at(&"a", None), Some(&mut 1));
    assert!(map.expire(at(9)).is_none(), "it ends no more");
    map.end_at(&"a", Some(at(7)));
    map.insert("a", 2, Some(at(8))).expect("its own place");
    assert_eq!(
        (map.end_of("a"), map.next_end()),
        (Some(at(8)), Some(at(8)))
    );
    map.remove("a");
    assert_eq!((map.next_end(), map.len()), (None, 0));
    assert_eq!(map.end_at(&"a", Some(at(9))), None);
    map.audit();
}

#[test]
fn a_full_map_forgets_what_ends_first_or_takes_nothing() {
    let mut map = Expiring::new(2);
    map.insert("a", 1, None).expect("room");
    map.insert("b", 2, None).expect("room");
    assert!(!map.has_room());
    assert_eq!(map.insert("c", 3, Some(at(1))), Err(Full));
    map.insert("b", 4, None).expect("its own place");
    map.end_at(&"a", Some(at(9)));
    map.insert("c", 3, Some(at(1))).expect("the place of a");
    assert_eq!((map.get("a"), map.get("c")), (None, Some(&3)));
    map.insert("d", 5, None).expect("the place of c");
    assert_eq!((map.get("c"), map.len()), (None, 2));
}

#[test]
fn a_map_of_nothing_takes_nothing() {
    let mut map = Expiring::new(0);
    assert_eq!(map.insert("a", 1, Some(at(1))), Err(Full));
    assert_eq!((map.len(), map.next_end()), (0, None));
}

/// A map that does what the tested one does, but looks for every answer among all entries.
#[derive(Default)]
struct Plain(Vec<(u8, u32, Option<Instant>)>);

impl Plain {
    const MAX: usize = 4;

    fn remove(&mut self, key: u8) {
        self.0.retain(|&(other, ..)| other != key);
    }

    /// Returns the place of the entry that ends first.
    fn first(&self) -> Option<usize> {
        let ends = self.0.iter().enumerate();
        let ends = ends.filter_map(|(place, &(key, _, until))| Some((until?, key, place)));
        ends.min().map(|(.., place)| place)
    }

    fn insert(&mut self, key: u8, value: u32, until: Option<Instant>) -> Result<(), Full> {
        if self.0.iter().all(|&(other, ..)| other != key) && self.0.len() == Self::MAX {
            let first = self.first().ok_or(Full)?;
            self.0.remove(first);
        }
        self.remove(key);
        self.0.push((key, value, until));
        Ok(())
    }

    fn expire(&mut self, now: Instant) -> bool {
        let first = self.first();
        let due = first.filter(|&place| self.0[place].2.is_some_and(|until| until <= now));
        due.map(|place| self.0.remove(place)).is_some()
    }
}

proptest! {
    #[test]
    fn it_answers_like_a_plain_one(
        steps in prop::collection::vec((0..4_u8, 0..7_u8, prop::option::of(0..6_u64)), 1..80)
    ) {
        let (mut map, mut plain) = (Expiring::new(Plain::MAX), Plain::default());
        for (nth, (what, key, end)) in (0_u32..).zip(steps) {
            let until = end.map(at);
            match what {
                0 => prop_assert_eq!(map.insert(key, nth, until), plain.insert(key, nth, until)),
                1 => {
                    map.remove(&key);
                    plain.remove(key);
                }
                2 => {
                    let there = plain.0.iter_mut().find(|(other, ..)| *other == key);
                    let value = there.map(|entry| {
                        entry.2 = until;
                        &mut entry.1
                    });
                    prop_assert_eq!(map.end_at(&key, until), value);
                }
                _ => {
                    let now = until.unwrap_or_default();
                    prop_assert_eq!(map.expire(now).is_some(), plain.expire(now));
                }
            }
            map.audit();
            let next = plain.0.iter().filter_map(|entry| entry.2).min();
            prop_assert_eq!(map.next_end(), next);
            let mut all: Vec<_> = plain.0.iter().map(|&(key, value, _)| (key, value)).collect();
            all.sort_unstable();
            let mine: Vec<_> = map.iter().map(|(&key, &value)| (key, value)).collect();
            prop_assert_eq!(mine, all);
        }
    }
}
