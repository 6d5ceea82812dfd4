//! Whom to wake, by the slot of the carrier or session.

use core::task::Waker;

/// Wakers by slot. Slots are dense and reused by the core, so the table is as long as the most that
/// ever lived at once.
#[derive(Debug, Default)]
pub(super) struct Slots(Vec<Option<Waker>>);

impl Slots {
    pub(super) fn register(&mut self, slot: usize, waker: &Waker) {
        if self.0.len() <= slot {
            self.0.resize(slot + 1, None);
        }
        match &mut self.0[slot] {
            Some(known) => known.clone_from(waker),
            vacant => *vacant = Some(waker.clone()),
        }
    }

    pub(super) fn wake(&self, slot: usize) {
        if let Some(Some(waker)) = self.0.get(slot) {
            waker.wake_by_ref();
        }
    }
}
