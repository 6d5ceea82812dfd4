//! Lines that wait to be written, with a share for each user.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What a line costs beside its bytes.
pub(super) const LINE_COST: usize = 64;

/// How many users whose lines are lost are told by name; lines of others are counted together.
const LOSERS_MAX: usize = 1024;

/// A queue of bounded cost. When it is full, a line takes the place of the newest of whoever has most waiting,
/// if that is more than its own user would have: one who floods hides only what is their own, and whoever has
/// less than an equal share always finds room. What is not written is counted.
#[derive(Debug)]
pub(super) struct Queue {
    free: usize,
    /// How many lines there were.
    count: u64,
    /// In the order in which they came.
    lines: BTreeMap<u64, Waiting>,
    /// Those who have lines, or losses that are not told.
    users: BTreeMap<Arc<str>, Share>,
    /// Users by what their lines cost.
    ranking: BTreeSet<(usize, Arc<str>)>,
    /// Lines that were lost of users beyond [`LOSERS_MAX`].
    others_lost: u64,
}

#[derive(Debug, Default)]
struct Share {
    /// What its lines cost, one that is being written included.
    held: usize,
    lines: VecDeque<u64>,
    /// Its losses since its newest line that waits.
    lost: u64,
}

/// A line that was taken out and still costs its user, until it is [settled](Queue::settle).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) user: Arc<str>,
    pub(super) line: Box<[u8]>,
    /// So many lines of this user just before this one were lost.
    pub(super) lost: u64,
}

/// Lines that were lost, and whose; several users' if there is no name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) user: Option<Arc<str>>,
    pub(super) lines: u64,
}

impl Queue {
    /// Makes a queue for lines that cost so much together, each its bytes and [`LINE_COST`].
    pub(super) const fn new(cost_max: usize) -> Self {
        Self {
            free: cost_max,
            count: 0,
            lines: BTreeMap::new(),
            users: BTreeMap::new(),
            ranking: BTreeSet::new(),
            others_lost: 0,
        }
    }

    /// Puts a line behind the others, or counts it as lost.
    pub(super) fn push(&mut self, user: &Arc<str>, line: Box<[u8]>) {
        let cost = cost_of(&line);
        let held = self.users.get(user).map_or(0, |share| share.held) + cost;
        while cost > self.free {
            if !self.evict_beyond(held) {
                return self.lose(user, 1);
            }
        }
        self.free -= cost;
        let number = self.count;
        self.count += 1;
        let share = self.users.entry(Arc::clone(user)).or_default();
        share.lines.push_back(number);
        let lost = core::mem::take(&mut share.lost);
        self.hold(user, held);
        let user = Arc::clone(user);
        self.lines.insert(number, Waiting { user, line, lost });
    }

    /// Counts lines of a user that are not written.
    pub(super) fn lose(&mut self, user: &Arc<str>, lines: u64) {
        if let Some(share) = self.users.get_mut(user) {
            share.lost += lines;
        } else if self.users.len() < LOSERS_MAX {
            let share = self.users.entry(Arc::clone(user)).or_default();
            share.lost += lines;
        } else {
            self.others_lost += lines;
        }
    }

    /// Takes out the line that has waited longest.
    pub(super) fn take(&mut self) -> Option<Waiting> {
        let (_, waiting) = self.lines.pop_first()?;
        if let Some(share) = self.users.get_mut(&waiting.user) {
            // Its user's oldest.
            share.lines.pop_front();
        }
        Some(waiting)
    }

    /// Frees what a line has cost that was taken out.
    pub(super) fn settle(&mut self, waiting: &Waiting) {
        self.release(&waiting.user, cost_of(&waiting.line));
    }

    /// Takes what was lost and is not told by a line that waits.
    pub(super) fn take_losses(&mut self) -> Vec<Loss> {
        let mut losses = Vec::new();
        self.users.retain(|user, share| {
            let lines = core::mem::take(&mut share.lost);
            if lines > 0 {
                let user = Some(Arc::clone(user));
                losses.push(Loss { user, lines });
            }
            share.held > 0
        });
        let lines = core::mem::take(&mut self.others_lost);
        if lines > 0 {
            losses.push(Loss { user: None, lines });
        }
        losses
    }

    /// Takes back losses that could not be told.
    pub(super) fn untold(&mut self, losses: Vec<Loss>) {
        for loss in losses {
            match loss.user {
                Some(user) => self.lose(&user, loss.lines),
                None => self.others_lost += loss.lines,
            }
        }
    }

    /// Drops the newest line of whoever has most waiting, if that is more than so much.
    fn evict_beyond(&mut self, held: usize) -> bool {
        let Some((most, user)) = self.ranking.last() else {
            return false;
        };
        if *most <= held {
            return false;
        }
        let user = Arc::clone(user);
        let newest = self
            .users
            .get_mut(&user)
            .and_then(|share| share.lines.pop_back());
        let Some(waiting) = newest.and_then(|number| self.lines.remove(&number)) else {
            // All it has is being written.
            return false;
        };
        self.lose(&user, waiting.lost + 1);
        self.release(&user, cost_of(&waiting.line));
        true
    }

    fn release(&mut self, user: &Arc<str>, cost: usize) {
        self.free += cost;
        let Some(share) = self.users.get(user) else {
            return;
        };
        let (held, lost) = (share.held - cost, share.lost);
        self.hold(user, held);
        if held == 0 && lost == 0 {
            self.users.remove(user);
        }
    }

    /// Notes what the lines of a user cost now.
    fn hold(&mut self, user: &Arc<str>, held: usize) {
        let Some(share) = self.users.get_mut(user) else {
            return;
        };
        let before = core::mem::replace(&mut share.held, held);
        self.ranking.remove(&(before, Arc::clone(user)));
        if held > 0 {
            self.ranking.insert((held, Arc::clone(user)));
        }
    }
}

fn cost_of(line: &[u8]) -> usize {
    line.len() + LINE_COST
}

#[cfg(test)]
mod tests;
