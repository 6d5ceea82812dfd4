//! Storage whose keys never name something else after their entry is gone.

use alloc::vec::Vec;
use core::fmt::Debug;

/// A key of an [`Arena`]: a slot and the generation of its tenant.
pub(crate) trait Key: Copy + Ord + Debug {
    /// Makes the key of a slot's tenant.
    fn new(index: u32, generation: u32) -> Self;
    /// Returns the slot.
    fn index(self) -> u32;
    /// Returns the tenant's generation.
    fn generation(self) -> u32;
}

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name { index: u32, generation: u32 }

        impl $name {
            /// Returns a dense number that is unique among the living; drivers index tables by it.
            #[must_use]
            pub const fn slot(self) -> usize {
                self.index as usize
            }
        }

        impl Key for $name {
            fn new(index: u32, generation: u32) -> Self {
                Self { index, generation }
            }
            fn index(self) -> u32 {
                self.index
            }
            fn generation(self) -> u32 {
                self.generation
            }
        }
    )*};
}

keys! {
    /// Names a carrier of an endpoint. Stale ids name nothing.
    CarrierId;
    /// Names a tunnel of an endpoint. Stale ids name nothing.
    TunnelId;
    /// Names a session of an endpoint. Stale ids name nothing.
    SessionId;
    /// Names the way from an edge to one POP. Stale ids name nothing.
    UplinkId;
}

impl TunnelId {
    /// Returns the slot as the selection index knows it.
    pub(crate) const fn index_number(self) -> u32 {
        self.index
    }
}

/// Entries by key, slots reused, generations never.
#[derive(Debug)]
pub(crate) struct Arena<K, T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
    key: core::marker::PhantomData<K>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    tenant: Option<T>,
}

impl<K: Key, T> Arena<K, T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
            key: core::marker::PhantomData,
        }
    }

    pub(crate) fn insert(&mut self, tenant: T) -> K {
        self.len += 1;
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.generation = slot.generation.wrapping_add(1);
            slot.tenant = Some(tenant);
            return K::new(index, slot.generation);
        }
        let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 entries fit in memory");
        self.slots.push(Slot {
            generation: 0,
            tenant: Some(tenant),
        });
        K::new(index, 0)
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let slot = self.slots.get_mut(key.index() as usize)?;
        if slot.generation != key.generation() {
            return None;
        }
        let tenant = slot.tenant.take()?;
        self.free.push(key.index());
        self.len -= 1;
        Some(tenant)
    }

    pub(crate) fn get(&self, key: K) -> Option<&T> {
        let slot = self.slots.get(key.index() as usize)?;
        if slot.generation == key.generation() {
            slot.tenant.as_ref()
        } else {
            None
        }
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index() as usize)?;
        if slot.generation == key.generation() {
            slot.tenant.as_mut()
        } else {
            None
        }
    }

    /// Returns the key of whoever lives in a slot.
    pub(crate) fn key_at(&self, index: u32) -> Option<K> {
        let slot = self.slots.get(index as usize)?;
        slot.tenant.as_ref().map(|_| K::new(index, slot.generation))
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let index = u32::try_from(index).ok()?;
            slot.tenant
                .as_ref()
                .map(|tenant| (K::new(index, slot.generation), tenant))
        })
    }

    pub(crate) fn keys(&self) -> Vec<K> {
        self.iter().map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Arena, SessionId};

    #[test]
    fn stale_keys_name_nothing() {
        let mut arena: Arena<SessionId, u8> = Arena::new();
        let first = arena.insert(1);
        assert_eq!(arena.remove(first), Some(1));
        let second = arena.insert(2);
        assert_eq!(first.slot(), second.slot());
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena.get(second), Some(&2));
        assert_eq!(arena.len(), 1);
    }
}
