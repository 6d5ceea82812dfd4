//! What is seen that must not be, and the notes of what happens.

use super::clock;
use crate::pure::{Kind, Violation};
use core::fmt;
use std::cell::RefCell;
use std::panic;
use std::sync::Once;

/// What a run has found.
#[derive(Debug, Default)]
pub(super) struct Findings(RefCell<Vec<Violation>>);

impl Findings {
    /// Invariant `number` does not hold.
    pub(super) fn wrong(&self, number: u8, message: String) {
        self.add(Kind::WrongResult, Some(number), message);
    }

    /// The scenario expected something else.
    pub(super) fn unexpected(&self, message: String) {
        self.add(Kind::WrongResult, None, message);
    }

    /// Something should have ended by now.
    pub(super) fn stuck(&self, message: String) {
        self.add(Kind::NoProgress, Some(6), message);
    }

    /// A daemon ended or panicked.
    pub(super) fn crashed(&self, message: String) {
        self.add(Kind::Crash, None, message);
    }

    fn add(&self, kind: Kind, invariant: Option<u8>, message: String) {
        self.0.borrow_mut().push(Violation {
            kind,
            invariant,
            message: format!("at {:.3} s: {message}", clock::now().as_secs_f64()),
            by_check: kind != Kind::Crash,
        });
    }

    /// Returns the first that was found, if any.
    pub(super) fn first(&self) -> Option<Violation> {
        self.0.borrow().first().cloned()
    }
}

/// What happens, line by line, and a hash of it.
#[derive(Debug)]
pub(super) struct Log(RefCell<Lines>);

#[derive(Debug)]
struct Lines {
    hash: u64,
    kept: Option<Vec<String>>,
}

impl Log {
    /// Creates an empty log; only the hash is kept unless `keep` is set.
    pub(super) fn new(keep: bool) -> Self {
        Self(RefCell::new(Lines {
            hash: HASH_START,
            kept: keep.then(Vec::new),
        }))
    }

    /// Notes something that happens now.
    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        let line = format!("{:>9.3}  {what}", clock::now().as_secs_f64());
        let mut lines = self.0.borrow_mut();
        lines.hash = hash(lines.hash, line.as_bytes());
        if let Some(kept) = &mut lines.kept {
            kept.push(line);
        }
    }

    /// Returns the hash of all lines, and those kept.
    pub(super) fn take(&self) -> (u64, Vec<String>) {
        let mut lines = self.0.borrow_mut();
        (lines.hash, lines.kept.take().unwrap_or_default())
    }
}

/// What a hash starts from (FNV-1a).
pub(super) const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Adds bytes to a hash.
pub(super) fn hash(start: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(start, step)
}

thread_local! {
    /// The panics of this thread's run; none while there is no run.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs `f` and collects every panic on this thread, of tasks too, whose runtime would swallow it.
pub(super) fn collecting_panics<T>(f: impl FnOnce() -> T) -> (Option<T>, Vec<String>) {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let ours = PANICS.with_borrow_mut(|panics| {
                panics
                    .as_mut()
                    .map(|panics| panics.push(info.to_string()))
                    .is_some()
            });
            if !ours {
                before(info);
            }
        }));
    });
    PANICS.set(Some(Vec::new()));
    let out = panic::catch_unwind(panic::AssertUnwindSafe(f)).ok();
    (out, PANICS.take().unwrap_or_default())
}

/// Returns how many panics this thread's run has had.
pub(super) fn panic_count() -> usize {
    PANICS.with_borrow(|panics| panics.as_ref().map_or(0, Vec::len))
}
