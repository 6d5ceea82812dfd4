//! The ledger: what the users of a POP may do while they do it, in agreement with a store that many
//! POPs share (W3, I9).
//!
//! ```text
//!   login ─admit──▶ ┌──────────┐ ─poll_instruction─▶ endpoint   grant, recall, exhaust, …
//!   terms ─────────▶│  Ledger  │ ◀─handle_carried, handle_low, handle_recalled, handle_forgotten
//!   wall clock ────▶│          │ ─poll_ask─────────▶ store      grant, report
//!   time ──────────▶└──────────┘ ◀─handle_answer, handle_failure
//!                         └──────poll_event──────▶ driver       admitted, told, released
//! ```
//!
//! # What it keeps
//! A user has a *group*, its number in the endpoint, from the first session until nothing of the last one
//! is left to be told, and four totals that only grow: *granted*, *returned*, *uploaded*, *downloaded*.
//! All four go into each message to the store, which takes each as the larger of what it has and what it
//! is told; so a message that comes twice, late or after others changes nothing. An answer that was lost
//! is in the next one. An answer to what is no longer asked means nothing. A message without an answer
//! may have been taken: it counts as neither.
//!
//! # What a user goes through
//! Each of these is an enum of its own, in the file of that name, with its picture:
//!
//! | file | state | |
//! |---|---|---|
//! | `line` | `Down`, `Up`, `Recalling`, `Forgetting` | what the endpoint knows |
//! | `asking` | `Idle`, `Due`, `Open`, `Paused` | whether more is asked for |
//! | `user` | `On`, `Off`, `Gone`; `Flowing`, `Dry`; `Here`, `Away` | switch, supply, presence |
//! | `place` | `Waiting`, `In` | one session |
//! | `share` | `Untold`, `Whole`, `Part` | how fast, of what all POPs may together |
//! | `round` | `Asleep`, `Resting`, `Due`, `Open` | reporting, all users together |
//!
//! A grant is asked for when the endpoint warns that half of it is used ([`Config`] bounds its size, a
//! quarter of what is left does too), and what the user would not need at its pace is given back, all of
//! it when nobody has been there for 3 s. Giving back has two steps: the endpoint is told to lower what
//! it may carry, and only what it says it had not carried by then is *returned*. Whoever finds nothing
//! while others hold something asks every 200 ms for 6 s; then, or if nobody holds anything, the group is
//! shut.
//!
//! # Contract
//! Calls may come in any order, with any numbers; `now` never decreases, an earlier one counts as the
//! latest seen. A driver hands in what groups have carried before it calls, and afterwards follows
//! [`poll_instruction`](Ledger::poll_instruction) before any byte moves, then
//! [`poll_ask`](Ledger::poll_ask) and [`poll_event`](Ledger::poll_event). One that has drained them may
//! sleep until [`poll_timeout`](Ledger::poll_timeout), which is never in the past then. Wall time is an
//! argument of its own; no deadline follows from it. Work per call is bounded, except that each round
//! of reports (at most five per second) looks at every user.
//!
//! # Invariants
//! - No total is ever lowered, and a user who comes back counts on.
//! - What is returned can be spent by nobody: `returned + spent ≤ granted` in whatever the store is
//!   told, as far as the user has a limit.
//! - The endpoint may carry at most `granted - returned`.
//! - Every byte carried is told, by this process or, from what [`Ledger::unreported`] says, by the next.
//! - Whoever has no group in the endpoint holds nothing.

mod asking;
mod audit;
mod books;
mod line;
mod message;
mod need;
mod place;
mod round;
mod share;
mod user;
mod window;

pub use message::{
    Admission, Ask, AskId, Config, Event, Instruction, PlaceId, Question, Standing, Terms, Totals,
    Usage,
};
pub use round::BATCH_MAX;

use super::quota::Carried;
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use books::Books;
use place::Place;
use round::{Agenda, Round};
use user::User;
use window::Windows;

/// The users of one process of a POP. See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    config: Config,
    /// The latest time seen.
    now: Instant,
    stage: Stage,
    users: BTreeMap<u32, User>,
    by_id: BTreeMap<u64, u32>,
    /// Users of whom nothing is left to be told, by id: what comes next counts on from here. 48 bytes
    /// for each user whom the process has had.
    past: BTreeMap<u64, Books>,
    group_next: u32,
    places: BTreeMap<PlaceId, Place>,
    place_next: u64,
    /// Until when the store is not asked for the number of sessions.
    count_again_at: Instant,
    round: Round,
    agenda: Agenda,
    /// Something urgent came while a report was under way: the next one follows soon.
    hurried: bool,
    windows: Windows,
    /// Messages to the store: about to be told, and without an answer.
    wanted: VecDeque<Wanted>,
    open: BTreeMap<AskId, Open>,
    ask_next: u64,
    /// The last message before the store may have forgotten: who answers it may be one that is no more.
    reasserted: AskId,
    deadlines: BTreeSet<(Instant, Due)>,
    /// Groups of which the endpoint may have to be told something.
    changed: BTreeSet<u32>,
    events: VecDeque<Event>,
}

/// Whether the process goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Running,
    /// Nobody is here any more; what is known is told.
    Leaving,
}

/// Whose deadline it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    Grant(u32),
    Place(PlaceId),
}

/// A message that is about to be told. Its numbers are those of the moment when it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Grant(u32),
    Place(PlaceId),
    Round,
}

/// A message without an answer yet.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Open {
    Grant {
        group: u32,
        sessions: u32,
    },
    Place {
        place: PlaceId,
        group: u32,
        sessions: u32,
    },
    Round(alloc::vec::Vec<(u32, Totals)>),
}

impl Open {
    /// Returns whom it is about, and the numbers of sessions that it tells.
    fn about(&self) -> alloc::vec::Vec<(u32, u32)> {
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

impl Ledger {
    /// Creates the ledger of a process. The first user's group has the number `group_first`; several
    /// ledgers can share an endpoint that way.
    #[must_use]
    pub fn new(config: Config, group_first: u32) -> Self {
        Self {
            config,
            now: Instant::EPOCH,
            stage: Stage::Running,
            users: BTreeMap::new(),
            by_id: BTreeMap::new(),
            past: BTreeMap::new(),
            group_next: group_first,
            places: BTreeMap::new(),
            place_next: 0,
            count_again_at: Instant::EPOCH,
            round: Round::Asleep,
            agenda: Agenda::new(Instant::EPOCH),
            hurried: false,
            windows: Windows::default(),
            wanted: VecDeque::new(),
            open: BTreeMap::new(),
            ask_next: 0,
            reasserted: AskId(0),
            deadlines: BTreeSet::new(),
            changed: BTreeSet::new(),
            events: VecDeque::new(),
        }
    }

    // --- What happened ----------------------------------------------------------------------------

    /// Takes over what the endpoint has counted for a group: totals since it knows the group.
    pub fn handle_carried(&mut self, group: u32, carried: Carried) {
        if let Some(user) = self.users.get_mut(&group) {
            user.carried(carried);
        }
    }

    /// The endpoint says that little is left of what a group was granted.
    pub fn handle_low(&mut self, now: Instant, group: u32) {
        self.enter(now);
        self.ask(group);
    }

    /// The endpoint has lowered what a group may carry, as it was [told](Instruction::Recall), and this
    /// is what it had carried by then.
    pub fn handle_recalled(&mut self, now: Instant, group: u32, carried: Carried) {
        self.enter(now);
        if self.change(group, |user| user.recalled(carried)) == Some(true) {
            // Others may be waiting for it.
            self.hurry();
        }
    }

    /// The endpoint has forgotten a group, as it was [told](Instruction::Forget), and this is the last of
    /// it; none if it still has sessions of it.
    pub fn handle_forgotten(&mut self, now: Instant, group: u32, last: Option<Carried>) {
        self.enter(now);
        let returned = self.change(group, |user| user.forgotten(last) && user.sessions() > 0);
        if returned == Some(true) {
            // Somebody has come meanwhile.
            self.seat(group);
        }
    }

    /// A user's record was read again; none if there is no such user.
    pub fn handle_terms(&mut self, now: Instant, unix_time: u64, group: u32, terms: Option<Terms>) {
        self.enter(now);
        self.reread(unix_time, group, terms);
    }

    /// The store has answered, to each user of the message in its order; none for one that it does not
    /// know. An answer to a message that has been answered means nothing.
    pub fn handle_answer(&mut self, now: Instant, ask: AskId, said: &[Option<Standing>]) {
        self.enter(now);
        let Some(open) = self.open.remove(&ask) else {
            return;
        };
        let first = said.first().map(Option::as_ref);
        match &open {
            Open::Grant { group, .. } => match first {
                Some(standing) => self.granted(ask, *group, standing),
                None => self.not_granted(ask, *group),
            },
            Open::Place { place, group, .. } => self.counted(*place, *group, first),
            Open::Round(batch) => self.reported(batch, said),
        }
        self.land(&open);
        if ask <= self.reasserted {
            for (group, _) in open.about() {
                self.change(group, User::reassert);
            }
            self.hurry();
        }
    }

    /// The store has not answered and is not going to. What it was told it may have taken.
    pub fn handle_failure(&mut self, now: Instant, ask: AskId) {
        self.enter(now);
        let Some(open) = self.open.remove(&ask) else {
            return;
        };
        match &open {
            Open::Grant { group, .. } => self.not_granted(ask, *group),
            Open::Place { place, group, .. } => self.counted(*place, *group, None),
            Open::Round(_) => self.end_round(false),
        }
        self.land(&open);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, unix_time: u64) {
        let now = self.enter(now);
        while let Some(&(at, due)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            match due {
                Due::Grant(group) => self.unpause(now, group),
                Due::Place(place) => self.overdue(place),
            }
        }
        self.look_at_windows(unix_time);
        self.begin_round();
    }

    // --- Commands ---------------------------------------------------------------------------------

    /// Has everything be told again, to a store that may have forgotten it.
    pub fn reassert(&mut self, now: Instant) {
        self.enter(now);
        self.reasserted = AskId(self.ask_next);
        self.users.values_mut().for_each(User::reassert);
        self.hurry();
    }

    /// Ends all sessions and gives every grant back, because the process ends: nothing moves any more
    /// and no message is under way. What is not known to the store is told; [`Event::Told`] or
    /// [`Event::Untold`] is the last that is heard.
    pub fn close(&mut self, now: Instant) {
        let now = self.enter(now);
        self.stage = Stage::Leaving;
        self.places.clear();
        self.deadlines.clear();
        self.windows = Windows::default();
        self.open.clear();
        self.wanted.clear();
        self.users.values_mut().for_each(|user| user.leave(now));
        self.agenda = Agenda::new(now);
        self.round = Round::Due(None);
        self.wanted.push_back(Wanted::Round);
    }

    // --- What is due ------------------------------------------------------------------------------

    /// Returns what the endpoint is to do next.
    pub fn poll_instruction(&mut self) -> Option<Instruction> {
        while let Some(&group) = self.changed.first() {
            let user = self.users.get_mut(&group);
            if let Some(instruction) = user.and_then(|user| user.instruct(group)) {
                return Some(instruction);
            }
            self.changed.pop_first();
        }
        None
    }

    /// Returns the next message to the store.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        while let Some(wanted) = self.wanted.pop_front() {
            let ask = match wanted {
                Wanted::Grant(group) => self.ask_for_more(group),
                Wanted::Place(place) => self.count(place),
                Wanted::Round => self.report(),
            };
            if ask.is_some() {
                return ask;
            }
        }
        None
    }

    /// Returns what the driver is to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        let round = self.round_due().map(|(due, _)| due);
        let others = [round, self.windows.due()];
        deadline
            .into_iter()
            .chain(others.into_iter().flatten())
            .min()
    }

    // --- Looks ------------------------------------------------------------------------------------

    /// Returns the group of a user, by its id.
    #[must_use]
    pub fn group_of(&self, user: u64) -> Option<u32> {
        self.by_id.get(&user).copied()
    }

    /// Returns a user's totals as they stand.
    #[must_use]
    pub fn totals(&self, group: u32) -> Option<Totals> {
        self.users.get(&group).map(User::totals)
    }

    /// Tells whether the store has heard, since [`reassert`](Self::reassert), of every user that there was then.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.users.values().all(User::is_known)
    }

    /// Returns the totals that the store does not know, by group. What this process does not get told,
    /// the next one has to.
    pub fn unreported(&self) -> impl Iterator<Item = (u32, Totals)> {
        let users = self.users.iter();
        let unreported = users.filter(|(_, user)| user.is_unreported());
        unreported.map(|(&group, user)| (group, user.totals()))
    }

    /// Returns groups of users whose terms were not read for so long.
    pub fn aged(&self, now: Instant, age: Duration) -> impl Iterator<Item = u32> {
        let users = self.users.iter();
        let old = users.filter(move |(_, user)| user.is_older(now, age));
        old.map(|(&group, _)| group)
    }

    /// Returns what the ledger holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            users: self.users.len(),
            past: self.past.len(),
            places: self.places.len(),
            asks: self.open.len(),
        }
    }

    // --- Within -----------------------------------------------------------------------------------

    fn enter(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Changes a user; what the endpoint is to be told of it follows from its state then. The only way
    /// in for whatever the endpoint may have to hear of.
    fn change<T>(&mut self, group: u32, step: impl FnOnce(&mut User) -> T) -> Option<T> {
        let user = self.users.get_mut(&group)?;
        let out = step(user);
        self.changed.insert(group);
        Some(out)
    }

    /// Notes that a message is under way.
    fn send(&mut self, id: AskId, open: Open) {
        for (group, _) in open.about() {
            if let Some(user) = self.users.get_mut(&group) {
                user.sent();
            }
        }
        self.open.insert(id, open);
    }

    /// Notes that a message is under way no more.
    fn land(&mut self, open: &Open) {
        for (group, sessions) in open.about() {
            if let Some(user) = self.users.get_mut(&group) {
                user.landed(sessions);
            }
        }
    }

    const fn next_ask(&mut self) -> AskId {
        self.ask_next += 1;
        AskId(self.ask_next)
    }

    /// Finds the group of a user, or gives it one that nobody has.
    fn number(&mut self, unix_time: u64, id: u64, terms: &Terms) -> u32 {
        if let Some(&group) = self.by_id.get(&id) {
            return group;
        }
        while self.users.contains_key(&self.group_next) {
            self.group_next = self.group_next.wrapping_add(1);
        }
        let group = self.group_next;
        self.group_next = self.group_next.wrapping_add(1);
        let past = self.past.remove(&id);
        if past.is_some() {
            mark::hit(Mark::UserReturned);
        }
        let (now, terms) = (self.now, terms.clone());
        self.windows.watch(now, group, &terms);
        let user = User::new(now, unix_time, id, terms, past, &self.config);
        self.users.insert(group, user);
        self.by_id.insert(id, group);
        if self.round == Round::Asleep && self.stage == Stage::Running {
            self.round = Round::Resting {
                since: now,
                urgent: false,
            };
            self.agenda = Agenda::new(now);
        }
        group
    }

    /// Lets a user go of whom nothing is left to be told.
    fn release(&mut self, group: u32) {
        let Some(user) = self.users.remove(&group) else {
            return;
        };
        self.by_id.remove(&user.id());
        self.windows.unwatch(group, user.terms());
        if !planted::on(Planted::TotalsBegunAnew) {
            // Also of one that the store says is no more: it may have said so for a moment only.
            self.past.insert(user.id(), user.books());
        }
        self.events.push_back(Event::Released { group });
    }
}
