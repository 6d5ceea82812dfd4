//! Messages to the store, from when they are wanted until they are answered.

use super::message::{AskId, PlaceId, Totals};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// A message that is about to be told. Its numbers are those of the moment when it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    Grant(u32),
    Place(PlaceId),
    Round,
}

/// A message without an answer yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Open {
    Grant {
        group: u32,
        sessions: u32,
    },
    Place {
        place: PlaceId,
        group: u32,
        sessions: u32,
    },
    Round(Vec<(u32, Totals)>),
}

impl Open {
    /// Returns whom it is about, and the numbers of sessions that it tells.
    pub(super) fn about(&self) -> Vec<(u32, u32)> {
        match self {
            Self::Grant { group, sessions }
            | Self::Place {
                group, sessions, ..
            } => alloc::vec![(*group, *sessions)],
            Self::Round(batch) => {
                let sessions = |(group, totals): &(u32, Totals)| (*group, totals.sessions);
                batch.iter().map(sessions).collect()
            }
        }
    }
}

/// All messages to the store: about to be told, and without an answer.
#[derive(Debug)]
pub(super) struct Post {
    wanted: VecDeque<Wanted>,
    open: BTreeMap<AskId, Open>,
    ask_last: AskId,
    /// The last message before the store may have forgotten: who answers it may be one that is no more.
    reasserted: AskId,
}

impl Post {
    pub(super) const fn new() -> Self {
        Self {
            wanted: VecDeque::new(),
            open: BTreeMap::new(),
            ask_last: AskId(0),
            reasserted: AskId(0),
        }
    }

    /// Has a message told.
    pub(super) fn want(&mut self, wanted: Wanted) {
        self.wanted.push_back(wanted);
    }

    pub(super) fn next_wanted(&mut self) -> Option<Wanted> {
        self.wanted.pop_front()
    }

    /// Notes that a message is under way.
    pub(super) fn send(&mut self, open: Open) -> AskId {
        self.ask_last = AskId(self.ask_last.0 + 1);
        self.open.insert(self.ask_last, open);
        self.ask_last
    }

    /// Takes a message that is under way no more.
    pub(super) fn take(&mut self, ask: AskId) -> Option<Open> {
        self.open.remove(&ask)
    }

    /// The store may have forgotten whatever it was told.
    pub(super) const fn reassert(&mut self) {
        self.reasserted = self.ask_last;
    }

    /// Tells whether what answers a message may have been forgotten since.
    pub(super) fn is_forgotten(&self, ask: AskId) -> bool {
        ask <= self.reasserted
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.wanted.clear();
    }
}
