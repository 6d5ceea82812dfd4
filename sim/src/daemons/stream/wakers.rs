//! Who waits for a stream.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Waker};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

/// Who waits for a stream. Both are woken by whatever arrives.
#[derive(Debug, Default)]
pub(in crate::daemons) struct Wakers {
    reader: Mutex<Option<Waker>>,
    writer: Mutex<Option<Waker>>,
    cut: AtomicBool,
}

impl Wakers {
    pub(super) fn set_reader(&self, cx: &Context<'_>) {
        set(&self.reader, cx);
    }

    pub(super) fn set_writer(&self, cx: &Context<'_>) {
        set(&self.writer, cx);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// Resets the stream.
    pub(in crate::daemons) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.wake_both();
    }

    fn wake_both(&self) {
        for place in [&self.reader, &self.writer] {
            let waker = place.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

fn set(place: &Mutex<Option<Waker>>, cx: &Context<'_>) {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    *place = Some(cx.waker().clone());
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_both();
    }
}
