//! Nodes that have to stay away for a while.

use crate::expiring::Expiring;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use titan_proto::Code;

/// The most nodes that are kept away at once. Beyond, those that may come back soonest may at once.
const BARS_MAX: usize = 100_000;

/// How many bars that are over go whenever one is added: more than one, so that none pile up.
const BARS_FORGOTTEN: usize = 2;

/// Nodes that have to stay away for a while.
#[derive(Debug)]
pub(super) struct Bars {
    by_node: Expiring<Box<str>, Code>,
}

impl Bars {
    pub(super) const fn new() -> Self {
        Self {
            by_node: Expiring::new(BARS_MAX),
        }
    }

    /// Keeps a node away until then; lets it come if that is over.
    pub(super) fn add(&mut self, now: Instant, node: &str, code: Code, until: Instant) {
        for _ in 0..BARS_FORGOTTEN {
            self.by_node.expire(now);
        }
        self.by_node.remove(node);
        if until > now {
            let added = self.by_node.insert(node.into(), code, Some(until));
            debug_assert!(added.is_ok(), "each bar ends, so that there is room");
        }
    }

    /// Returns why a node has to stay away, and for how long still.
    pub(super) fn find(&self, now: Instant, node: &str) -> Option<(Code, Duration)> {
        let until = self.by_node.end_of(node)?;
        let code = *self.by_node.get(node)?;
        (until > now).then(|| (code, until.since(now)))
    }

    pub(super) fn audit(&self) {
        self.by_node.audit();
    }
}
