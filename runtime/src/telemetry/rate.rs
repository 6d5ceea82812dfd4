//! How often a kind of event is logged.
//!
//! A kind is a place in the code. Users and strangers cause events, failed dials above all, as fast as
//! they like; the log takes a burst of each kind and then a steady few per second, which a disk bears
//! for months, and says how many it left out. `debug` and `trace` are not bounded: they are logged only
//! where an operator asked for them.

use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::time::Instant;
use tracing::Event;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};

/// The name of events about a node's tunnel. A fleet that reconnects at once is logged whole.
pub const NODE_EVENT: &str = "node";

/// How many events of a kind are logged at once.
const BURST: u32 = 100;

/// How many events about nodes are logged at once, of each kind: twice as many as a large POP has nodes.
const NODE_BURST: u32 = 20_000;

/// What one event more takes, once the burst is used up: five per second, some 60 MB a day.
const INTERVAL: Duration = Duration::from_millis(200);

/// The kinds of event that were logged so far: as many as there are places that log.
#[derive(Debug, Default)]
pub(super) struct Kinds(HashMap<Identifier, Kind>);

/// One kind of event.
#[derive(Debug)]
struct Kind {
    name: Name,
    burst: u32,
    /// How many may be logged at once.
    allowance: u32,
    /// When the allowance was last added to.
    since: Instant,
    left_out: u64,
}

/// By what people know a kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name {
    pub(super) target: &'static str,
    /// The message of its first event.
    pub(super) message: String,
}

/// What becomes of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Admitted,
    LeftOut,
    /// It is left out, and none of its kind was since that was last told.
    FirstLeftOut,
}

impl Kinds {
    /// Decides about an event, and counts it.
    pub(super) fn admit(&mut self, event: &Event<'_>, now: Instant) -> Verdict {
        let metadata = event.metadata();
        let kind = self.0.entry(metadata.callsite()).or_insert_with(|| {
            let mut message = Message::default();
            event.record(&mut message);
            let burst = if metadata.name() == NODE_EVENT {
                NODE_BURST
            } else {
                BURST
            };
            let name = Name {
                target: metadata.target(),
                message: message.0,
            };
            Kind::new(name, burst, now)
        });
        kind.admit(now)
    }

    /// Returns how many events of each kind were left out and not told yet.
    pub(super) fn left_out(&self) -> Vec<(Identifier, Name, u64)> {
        let left_out = self.0.iter().filter(|(_, kind)| kind.left_out > 0);
        let mut kinds: Vec<_> = left_out
            .map(|(id, kind)| (id.clone(), kind.name.clone(), kind.left_out))
            .collect();
        kinds.sort_unstable_by(|(_, a, _), (_, b, _)| {
            (a.target, &a.message).cmp(&(b.target, &b.message))
        });
        kinds
    }

    /// Notes that so many of a kind are told.
    pub(super) fn told(&mut self, id: &Identifier, count: u64) {
        if let Some(kind) = self.0.get_mut(id) {
            kind.left_out = kind.left_out.saturating_sub(count);
        }
    }
}

impl Kind {
    const fn new(name: Name, burst: u32, now: Instant) -> Self {
        Self {
            name,
            burst,
            allowance: burst,
            since: now,
            left_out: 0,
        }
    }

    fn admit(&mut self, now: Instant) -> Verdict {
        let passed = now.saturating_duration_since(self.since);
        let more = passed.as_nanos() / INTERVAL.as_nanos();
        if more >= u128::from(self.burst - self.allowance) {
            (self.allowance, self.since) = (self.burst, now);
        } else {
            // Below the burst, which is a u32.
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            self.allowance += more;
            self.since += INTERVAL * more;
        }
        match self.allowance.checked_sub(1) {
            Some(rest) => {
                self.allowance = rest;
                Verdict::Admitted
            }
            None => {
                self.left_out += 1;
                if self.left_out == 1 {
                    Verdict::FirstLeftOut
                } else {
                    Verdict::LeftOut
                }
            }
        }
    }
}

/// The message of an event.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(now: Instant) -> Kind {
        let name = Name {
            target: "t",
            message: "m".to_owned(),
        };
        Kind::new(name, 3, now)
    }

    #[test]
    fn a_burst_passes_and_then_a_steady_few() {
        let start = Instant::now();
        let mut kind = kind(start);
        let verdicts = [(); 5].map(|()| kind.admit(start));
        assert_eq!(verdicts[..3], [Verdict::Admitted; 3]);
        assert_eq!(verdicts[3..], [Verdict::FirstLeftOut, Verdict::LeftOut]);
        let nearly = start + INTERVAL - Duration::from_nanos(1);
        assert_eq!(kind.admit(nearly), Verdict::LeftOut);
        assert_eq!(kind.admit(start + INTERVAL), Verdict::Admitted);
        assert_eq!(kind.admit(start + INTERVAL), Verdict::LeftOut);
        assert_eq!(kind.left_out, 4);
        // Rest does not grow beyond the burst.
        let later = start + Duration::from_secs(3_600);
        let verdicts = [(); 4].map(|()| kind.admit(later));
        assert_eq!(verdicts[..3], [Verdict::Admitted; 3]);
        assert_eq!(verdicts[3], Verdict::LeftOut);
    }

    #[test]
    fn time_that_is_not_used_up_counts_for_the_next() {
        let start = Instant::now();
        let mut kind = kind(start);
        for _ in 0..3 {
            kind.admit(start);
        }
        // Asked in steps that divide no interval, it still gives one per interval.
        let step = INTERVAL * 3 / 4;
        let admitted = (1..=40).filter(|n| kind.admit(start + step * *n) == Verdict::Admitted);
        assert_eq!(admitted.count(), 30);
    }
}
