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
//! What the ledger does with them is in `admit`, `grant`, `report` and `terms`.
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

mod admit;
mod asking;
mod audit;
mod books;
mod grant;
mod known;
mod line;
mod message;
mod need;
mod place;
mod post;
mod report;
mod round;
mod share;
mod terms;
mod user;
mod users;
mod window;

pub use message::{
    Admission, Ask, AskId, Config, Event, Instruction, PlaceId, Question, Standing, Terms, Totals,
    Usage,
};
pub use round::BATCH_MAX;

use super::quota::Carried;
use crate::time::{Duration, Instant};
use alloc::collections::{BTreeSet, VecDeque};
use place::Places;
use post::{Open, Post, Wanted};
use round::Agenda;
use user::User;
use users::Users;
use window::Windows;

/// The users of one process of a POP. See the [module](self).
#[derive(Debug)]
pub struct Ledger {
    config: Config,
    /// The latest time seen.
    now: Instant,
    stage: Stage,
    users: Users,
    places: Places,
    agenda: Agenda,
    windows: Windows,
    post: Post,
    deadlines: BTreeSet<(Instant, Due)>,
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

impl Ledger {
    /// Creates the ledger of a process. The first user's group has the number `group_first`; several
    /// ledgers can share an endpoint that way.
    #[must_use]
    pub fn new(config: Config, group_first: u32) -> Self {
        Self {
            config,
            now: Instant::EPOCH,
            stage: Stage::Running,
            users: Users::new(group_first),
            places: Places::new(),
            agenda: Agenda::new(Instant::EPOCH),
            windows: Windows::default(),
            post: Post::new(),
            deadlines: BTreeSet::new(),
            events: VecDeque::new(),
        }
    }

    // --- What happened ----------------------------------------------------------------------------

    /// Takes over what the endpoint has counted for a group: totals since it knows the group.
    pub fn handle_carried(&mut self, group: u32, carried: Carried) {
        if let Some(user) = self.users.get_mut(group) {
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
        let returned = self.users.change(group, |user| user.recalled(carried));
        if returned == Some(true) {
            // Others may be waiting for it.
            self.hurry();
        }
    }

    /// The endpoint has forgotten a group, as it was [told](Instruction::Forget), and this is the last of
    /// it; none if it still has sessions of it.
    pub fn handle_forgotten(&mut self, now: Instant, group: u32, last: Option<Carried>) {
        self.enter(now);
        let returned = self
            .users
            .change(group, |user| user.forgotten(last) && user.sessions() > 0);
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
        let Some(open) = self.post.take(ask) else {
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
        if self.post.is_forgotten(ask) {
            for (group, _) in open.about() {
                self.users.change(group, User::reassert);
            }
            self.hurry();
        }
    }

    /// The store has not answered and is not going to. What it was told it may have taken.
    pub fn handle_failure(&mut self, now: Instant, ask: AskId) {
        self.enter(now);
        let Some(open) = self.post.take(ask) else {
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
        self.post.reassert();
        self.users.iter_mut().for_each(User::reassert);
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
        self.post.clear();
        self.users.iter_mut().for_each(|user| user.leave(now));
        self.agenda.begin_last(now);
        self.post.want(Wanted::Round);
    }

    // --- What is due ------------------------------------------------------------------------------

    /// Returns what the endpoint is to do next.
    pub fn poll_instruction(&mut self) -> Option<Instruction> {
        self.users.instruct()
    }

    /// Returns the next message to the store.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        while let Some(wanted) = self.post.next_wanted() {
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
        let round = self.agenda.due().map(|(due, _)| due);
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
        self.users.group_of(user)
    }

    /// Returns a user's totals as they stand.
    #[must_use]
    pub fn totals(&self, group: u32) -> Option<Totals> {
        self.users.get(group).map(User::totals)
    }

    /// Tells whether the store has heard, since [`reassert`](Self::reassert), of every user that there was then.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.users.iter().all(|(_, user)| user.is_known())
    }

    /// Returns the totals that the store does not know, by group. What this process does not get told,
    /// the next one has to.
    pub fn unreported(&self) -> impl Iterator<Item = (u32, Totals)> {
        let users = self.users.iter();
        let unreported = users.filter(|(_, user)| user.is_unreported());
        unreported.map(|(group, user)| (group, user.totals()))
    }

    /// Returns groups of users whose terms were not read for so long.
    pub fn aged(&self, now: Instant, age: Duration) -> impl Iterator<Item = u32> {
        let users = self.users.iter();
        let old = users.filter(move |(_, user)| user.is_older(now, age));
        old.map(|(group, _)| group)
    }

    /// Returns what the ledger holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            users: self.users.len(),
            past: self.users.past_count(),
            places: self.places.len(),
            asks: self.post.open_count(),
        }
    }

    // --- Within -----------------------------------------------------------------------------------

    fn enter(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Notes that a message is under way.
    fn send(&mut self, open: Open) -> AskId {
        for (group, _) in open.about() {
            if let Some(user) = self.users.get_mut(group) {
                user.sent();
            }
        }
        self.post.send(open)
    }

    /// Notes that a message is under way no more.
    fn land(&mut self, open: &Open) {
        for (group, sessions) in open.about() {
            if let Some(user) = self.users.get_mut(group) {
                user.landed(sessions);
            }
        }
    }

    /// Finds the group of a user, or gives it one that nobody has.
    fn number(&mut self, unix_time: u64, id: u64, terms: &Terms) -> u32 {
        if let Some(group) = self.users.group_of(id) {
            return group;
        }
        let now = self.now;
        let config = &self.config;
        let group = self.users.add(now, unix_time, id, terms.clone(), config);
        self.windows.watch(now, group, terms);
        if self.stage == Stage::Running {
            self.agenda.wake(now);
        }
        group
    }
}
