//! One user at this POP.

mod audit;

use super::asking::{Asking, Patience};
use super::books::Books;
use super::known::Knowledge;
use super::line::{Gate, Line, Wish};
use super::message::{AskId, Config, Instruction, Standing, Terms, Totals};
use super::need::Need;
use super::share::Share;
use crate::account::Carried;
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};
use titan_proto::Code;

/// For how long it is believed that nothing is left of a limit.
const DRY_AGE_MAX: Duration = Duration::from_millis(200);

/// How long a user without sessions keeps the rest of a grant for the next one.
const LINGER: Duration = Duration::from_secs(3);

/// Whether the user may have sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Permission {
    On,
    /// The switch or the window of validity says no.
    Off,
    /// The store knows the user no more, or said so once.
    Gone,
}

/// Whether the store has something for the user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Supply {
    Flowing,
    /// Everything is spent, or held by nobody who would give it back.
    Dry,
}

/// Whether somebody is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Presence {
    Here { sessions: u32 },
    Away { since: Instant },
}

/// What the store said of sessions at other POPs, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Elsewhere {
    Untold,
    Told { sessions: u64, at: Instant },
}

/// What becomes of the sessions of a user whose terms were read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reread {
    /// They go on.
    Unchanged,
    /// The user is to be asked for: there may be something for it now.
    Needy,
}

/// A user with sessions, or with something to be told.
#[derive(Debug)]
pub(super) struct User {
    id: u64,
    terms: Terms,
    /// None for terms that a login came with: they may be older than the last change.
    read_at: Option<Instant>,
    permission: Permission,
    presence: Presence,
    supply: Supply,
    elsewhere: Elsewhere,
    books: Books,
    knowledge: Knowledge,
    need: Need,
    share: Share,
    asking: Asking,
    line: Line,
}

impl User {
    pub(super) fn new(
        now: Instant,
        unix_time: u64,
        id: u64,
        terms: Terms,
        past: Option<Books>,
        config: &Config,
    ) -> Self {
        let limit = terms.limit.unwrap_or(u64::MAX);
        let books = past.unwrap_or_default().reopened();
        let is_on = terms.is_on(unix_time);
        Self {
            id,
            read_at: None,
            permission: if is_on {
                Permission::On
            } else {
                Permission::Off
            },
            presence: Presence::Away { since: now },
            supply: if terms.spent >= limit {
                Supply::Dry
            } else {
                Supply::Flowing
            },
            elsewhere: Elsewhere::Untold,
            books,
            knowledge: Knowledge::default(),
            need: Need::new(
                now,
                limit.saturating_sub(terms.charged),
                books.spent(),
                config,
            ),
            share: Share::new(now, books.carried()),
            asking: Asking::Idle,
            line: Line::Down,
            terms,
        }
    }

    // --- Looks ------------------------------------------------------------------------------------

    pub(super) const fn id(&self) -> u64 {
        self.id
    }

    pub(super) const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Returns the totals, for when the user comes back.
    pub(super) const fn books(&self) -> Books {
        self.books
    }

    pub(super) const fn sessions(&self) -> u32 {
        match self.presence {
            Presence::Here { sessions } => sessions,
            Presence::Away { .. } => 0,
        }
    }

    pub(super) const fn totals(&self) -> Totals {
        Totals {
            wants: self.share.wants(),
            ..self.books.totals(self.sessions())
        }
    }

    const fn is_limited(&self) -> bool {
        self.terms.limit.is_some()
    }

    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.permission, Permission::Gone)
    }

    /// Tells whether the user may have sessions, and as far as is known with the password of this
    /// number.
    pub(super) const fn may(&self, password: u64) -> Result<(), Code> {
        if password < self.terms.password {
            return Err(Code::BadCredentials);
        }
        match self.permission {
            Permission::On => Ok(()),
            Permission::Off | Permission::Gone => Err(Code::UserDisabled),
        }
    }

    /// Tells whether somebody here could use a grant.
    pub(super) const fn is_needy(&self) -> bool {
        self.line.is_up() && matches!(self.permission, Permission::On) && self.is_limited()
    }

    /// Tells whether the terms were read so long ago, or were never.
    pub(super) fn is_older(&self, now: Instant, age: Duration) -> bool {
        !self.is_gone() && self.read_at.is_none_or(|at| now.since(at) > age)
    }

    pub(super) const fn elsewhere(&self) -> Elsewhere {
        self.elsewhere
    }

    pub(super) fn sessions_elsewhere(&self) -> u64 {
        match self.elsewhere {
            Elsewhere::Untold => 0,
            Elsewhere::Told { sessions, .. } => sessions,
        }
    }

    /// Tells whether session `number` here is not one too many, as far as is known.
    pub(super) fn has_room(&self, number: u32) -> bool {
        // Sessions before it may have ended meanwhile.
        let here = u64::from(number.min(self.sessions()));
        let max = self.terms.sessions_max.map(u64::from);
        max.is_none_or(|max| here.saturating_add(self.sessions_elsewhere()) <= max)
    }

    // --- Sessions ---------------------------------------------------------------------------------

    /// Takes one more place; returns how many there are with it.
    pub(super) fn take_place(&mut self) -> u32 {
        if self.sessions() == 0 {
            self.share.come_back();
        }
        let sessions = self.sessions().saturating_add(1);
        self.presence = Presence::Here { sessions };
        self.line.need(true);
        sessions
    }

    pub(super) fn free_place(&mut self, now: Instant) {
        self.presence = match self.sessions().saturating_sub(1) {
            0 => Presence::Away { since: now },
            sessions => Presence::Here { sessions },
        };
    }

    /// Lets the endpoint know of a user who has a session. True if a grant is needed.
    pub(super) fn enter(&mut self, now: Instant) -> bool {
        let fresh = self.line.enter();
        let dry = self.supply == Supply::Dry;
        let told = match self.elsewhere {
            Elsewhere::Told { at, .. } => now.since(at) < DRY_AGE_MAX,
            Elsewhere::Untold => false,
        };
        // Somebody else may have given something back, or an operator.
        self.is_needy() && (fresh || dry) && !(dry && told)
    }

    // --- Terms ------------------------------------------------------------------------------------

    /// Takes in what reading the user's record has found, for the sessions that run.
    pub(super) fn read(&mut self, now: Instant, unix_time: u64, terms: Terms) -> Reread {
        self.read_at = Some(now);
        let was_off = self.permission != Permission::On;
        let is_on = terms.is_on(unix_time);
        self.permission = if is_on {
            Permission::On
        } else {
            Permission::Off
        };
        let old = core::mem::replace(&mut self.terms, terms);
        let renewed = old.password != self.terms.password;
        let relimited = old.limit.is_some() != self.is_limited();
        if relimited {
            self.supply = Supply::Flowing;
        }
        if renewed && is_on {
            self.line.expel(Code::BadCredentials);
        }
        let dry = self.supply == Supply::Dry;
        let reopens = is_on && !dry && (was_off || renewed || relimited);
        if reopens {
            self.line.tell_afresh(0);
        }
        let limit = self.terms.limit.unwrap_or(u64::MAX);
        self.need.stand(limit.saturating_sub(self.terms.charged));
        self.give_back(self.terms.charged.saturating_sub(limit));
        if self.is_needy() && (dry || reopens) {
            Reread::Needy
        } else {
            Reread::Unchanged
        }
    }

    /// The store knows the user no more.
    pub(super) fn lose(&mut self) {
        self.permission = Permission::Gone;
    }

    /// The store was asked for the record and knows none.
    pub(super) fn lose_read(&mut self, now: Instant) {
        self.read_at = Some(now);
        self.lose();
    }

    /// Looks at the window of validity again.
    pub(super) fn judge(&mut self, unix_time: u64) -> Reread {
        let permission = match (self.permission, self.terms.is_on(unix_time)) {
            (Permission::Gone, _) => return Reread::Unchanged,
            (_, true) => Permission::On,
            (_, false) => Permission::Off,
        };
        let changed = core::mem::replace(&mut self.permission, permission) != permission;
        if changed && self.is_needy() {
            self.line.warn_below(0);
            return Reread::Needy;
        }
        Reread::Unchanged
    }

    // --- The store --------------------------------------------------------------------------------

    /// Returns how much is to be granted in all, if the store is to be asked now; nothing if nothing is
    /// needed any more.
    pub(super) fn want(&mut self, now: Instant, config: &Config) -> Option<u64> {
        if !self.asking.is_due() {
            return None;
        }
        if !self.is_needy() {
            self.asking = Asking::Idle;
            return None;
        }
        Some(self.books.want(self.need.ask(now, config)))
    }

    /// Begins to ask for more. True if the store is to be asked now.
    pub(super) fn ask(&mut self) -> bool {
        self.asking.begin()
    }

    /// Asks again, if it is time. True if the store is to be asked now.
    pub(super) fn ask_again(&mut self, now: Instant) -> bool {
        self.asking.resume(now)
    }

    /// Returns when the store is asked again, if that is to wait.
    pub(super) const fn asks_again_at(&self) -> Option<Instant> {
        self.asking.paused_until()
    }

    /// Notes that the store is asked for more by this message.
    pub(super) const fn asked(&mut self, ask: AskId) {
        self.asking.sent(ask);
    }

    /// Takes in what the store says to a message that asked for more; none if it knows no such user.
    /// Returns when to ask again, if it is worth while.
    pub(super) fn granted(
        &mut self,
        now: Instant,
        ask: AskId,
        standing: Option<&Standing>,
    ) -> Option<Instant> {
        let patience = self.asking.answered(ask)?;
        match standing {
            Some(standing) => self.stand(now, standing),
            None => self.lose(),
        }
        self.settle(now, patience, standing?)
    }

    /// The store has not answered a message that asked for more. Returns when to ask again.
    pub(super) fn not_granted(&mut self, now: Instant, ask: AskId) -> Option<Instant> {
        self.asking.failed(now, ask)
    }

    /// Makes of an answer what there is to be made of it. Returns when to ask again, if it is worth
    /// while.
    fn settle(&mut self, now: Instant, patience: Patience, said: &Standing) -> Option<Instant> {
        if !self.is_needy() {
            // Without a limit any more there is nothing that could be used up.
            return None;
        }
        let dry = self.is_empty();
        if dry && self.supply != Supply::Dry && may_others_give(said) {
            let again = self.asking.await_others(now, patience);
            if again.is_some() {
                return again;
            }
        }
        self.supplied(if dry { Supply::Dry } else { Supply::Flowing });
        None
    }

    /// Takes in how the user stands, with what was granted in an answer that was lost.
    pub(super) fn stand(&mut self, now: Instant, standing: &Standing) {
        self.elsewhere = Elsewhere::Told {
            sessions: standing.sessions_elsewhere,
            at: now,
        };
        self.share.stand(now, self.books.carried(), standing);
        self.books.grant(standing.granted);
        let limit = standing.limit.unwrap_or(u64::MAX);
        self.need.stand(limit.saturating_sub(standing.charged));
        if self.line.is_up() {
            self.give_back(standing.charged.saturating_sub(limit));
        } else {
            self.books.give_back(self.books.rest());
        }
    }

    /// Returns what may still be spent when what is surplus is given back.
    const fn usable(&self) -> u64 {
        self.books.rest().saturating_sub(self.line.surplus())
    }

    /// Tells whether nothing is left of a limit here.
    const fn is_empty(&self) -> bool {
        self.usable() == 0 && self.is_limited()
    }

    /// An answer came that counts: there is something to spend, or there is nothing.
    fn supplied(&mut self, supply: Supply) {
        self.supply = supply;
        // Half of it is the time to get the next one. With nothing more to be had only the end counts.
        let low = if self.need.has_left() {
            self.usable() / 2
        } else {
            0
        };
        self.line.tell_afresh(low.max(1));
    }

    /// Notes what the store has taken over, and when it said so.
    pub(super) fn known(&mut self, now: Instant, totals: Totals) {
        let totals = planted::bend(Planted::LaterTold, totals, |_| self.totals());
        self.knowledge.take(now, totals);
    }

    /// A message with the totals as they stand is under way.
    pub(super) const fn sent(&mut self) {
        self.knowledge.sent(self.sessions());
    }

    /// A message is under way no more; the store may have taken it, with this number of sessions.
    pub(super) fn landed(&mut self, sessions: u32) {
        self.knowledge.landed(sessions);
    }

    /// The store may have forgotten everything.
    pub(super) const fn reassert(&mut self) {
        self.knowledge.forget();
    }

    /// Tells whether there is nothing of the user that the store may have forgotten.
    pub(super) const fn is_known(&self) -> bool {
        self.is_gone() || !self.knowledge.is_forgotten()
    }

    /// Tells whether the store does not know the totals as they stand.
    pub(super) fn is_unreported(&self) -> bool {
        !self.is_gone() && self.knowledge.lacks(self.totals())
    }

    /// Tells whether the store knows everything for so long that it does not forget it when it fails.
    fn is_settled(&self, now: Instant) -> bool {
        !self.is_unreported() && self.knowledge.is_lasting(now)
    }

    // --- The rate ---------------------------------------------------------------------------------

    /// Tells whether the store has not said yet which part of the rate is this POP's.
    pub(super) const fn awaits_share(&self) -> bool {
        let here = self.sessions() > 0 && !self.is_gone();
        here && self.terms.rates.is_limited() && self.share.is_untold()
    }

    /// Tells whether the store is to hear with the next exchange of rates what the user wants of it, or
    /// that it wants nothing any more.
    pub(super) fn is_sharing(&self) -> bool {
        let part = self.terms.rates.is_limited() && self.share.is_part();
        let here = self.sessions() > 0 || self.is_unreported();
        self.awaits_share() || (part && here && !self.is_gone())
    }

    /// Sees how much of the rate the user has used here.
    pub(super) fn measure(&mut self, now: Instant) {
        if self.terms.rates.is_limited() {
            let carried = self.books.carried();
            self.share.measure(now, carried, self.terms.rates);
        }
    }

    // --- The endpoint -----------------------------------------------------------------------------

    /// Takes over what the group has carried.
    pub(super) fn carried(&mut self, carried: Carried) {
        if self.line.is_up() {
            self.books.count(carried);
        }
    }

    /// Has up to so many bytes given back, once the endpoint can spend them no more.
    fn give_back(&mut self, bytes: u64) {
        if self.is_limited() {
            self.line.give_back(bytes, self.books.rest());
        }
    }

    /// Gives back what the user does not need, and everything if it has been without sessions for a
    /// while. True if nothing is left of it.
    pub(super) fn tidy(&mut self, now: Instant, config: &Config) -> bool {
        if !matches!(self.asking, Asking::Idle) {
            return false;
        }
        if self.line.is_up() && self.line.surplus() == 0 {
            let (spent, rest) = (self.books.spent(), self.books.rest());
            let idle = self.need.idle(now, spent, rest, config);
            self.give_back(idle);
        }
        let over = match self.presence {
            Presence::Here { .. } => false,
            Presence::Away { since } => self.is_gone() || now.since(since) >= LINGER,
        };
        self.line.need(!over);
        let at_rest = !self.line.is_up() && !self.knowledge.is_under_way();
        over && at_rest && (self.is_gone() || self.is_settled(now))
    }

    /// Returns what the endpoint is to be told next.
    pub(super) fn instruct(&mut self, group: u32) -> Option<Instruction> {
        let gate = match (self.permission, self.supply) {
            (Permission::Off | Permission::Gone, _) => Gate::Shut(Code::UserDisabled),
            (Permission::On, Supply::Dry) if self.is_limited() => Gate::Shut(Code::QuotaExceeded),
            (Permission::On, Supply::Dry | Supply::Flowing) => Gate::Open,
        };
        let wish = Wish {
            rates: self.share.of(self.terms.rates),
            gate,
            ceiling: self.is_limited().then_some(self.books.ceiling()),
            rest: self.books.rest(),
        };
        self.line.next(group, &wish)
    }

    /// The endpoint has lowered what the group may carry, and this is what it had carried by then. True
    /// if it was told to.
    pub(super) fn recalled(&mut self, carried: Carried) -> bool {
        let Some((ceiling, kept)) = self.line.recalled() else {
            return false;
        };
        self.books.recalled(ceiling, kept, carried);
        true
    }

    /// The endpoint has forgotten the group, or still has sessions of it. True if it has.
    pub(super) fn forgotten(&mut self, last: Option<Carried>) -> bool {
        let forgotten = self.line.forgotten(last.is_some());
        if forgotten {
            self.close(last.unwrap_or_default());
        }
        forgotten
    }

    /// Gives everything back that is not spent: nothing can spend it any more.
    pub(super) fn close(&mut self, last: Carried) {
        self.line = Line::Down;
        self.books.close(last);
    }

    /// The process ends.
    pub(super) fn leave(&mut self, now: Instant) {
        self.presence = Presence::Away { since: now };
        self.asking = Asking::Idle;
        self.knowledge.abandon();
        self.close(Carried::default());
    }
}

/// Tells whether there would be something left if other POPs gave back what they hold.
fn may_others_give(standing: &Standing) -> bool {
    let spent = standing.charged.saturating_sub(standing.held_elsewhere);
    standing.held_elsewhere > 0 && standing.limit.is_none_or(|limit| spent < limit)
}
