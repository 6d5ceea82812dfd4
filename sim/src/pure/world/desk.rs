//! Driving the ledgers of POPs: one of each account and process, so that every account has its own sizes
//! and its own way to the store.

use super::super::oracle::violated;
use super::World;
use super::charges::Book;
use std::collections::BTreeMap;
use titan_core::account::ledger::{
    AskId, Config, Event, Instruction, Ledger, PlaceId, Question, Standing, Totals,
};
use titan_core::endpoint::SessionId;
use titan_core::time::{Duration, Instant};
use titan_proto::Code;

/// How far apart the numbers are that ledgers give to groups, and beyond those of flows without one.
const NUMBERS: u32 = 1 << 20;

/// Unix time when a run begins.
const UNIX_TIME: u64 = 1_700_000_000;

/// How long a user is waited for who could be given what others hold.
const OTHERS_WAIT: Duration = Duration::from_secs(6);

/// A ledger and what its driver knows.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) ledger: Ledger,
    places: BTreeMap<SessionId, PlaceId>,
    /// The group that the account has in the endpoint.
    group: Option<u32>,
    /// The group may carry something, and since when little of that is left.
    open: bool,
    low_since: Option<Instant>,
    /// What the store said last.
    standing: Option<Standing>,
}

impl Desk {
    fn new(account: usize, piece: u64) -> Self {
        let config = Config {
            grant_min: (piece / 4).max(1),
            grant_max: piece,
            piece_min: (piece / 4).max(1),
        };
        let first = NUMBERS * (u32::try_from(account).unwrap_or(0) + 1);
        Self {
            ledger: Ledger::new(config, first),
            places: BTreeMap::new(),
            group: None,
            open: false,
            low_since: None,
            standing: None,
        }
    }

    /// Returns the group that the account has in the endpoint.
    pub(super) const fn group(&self) -> Option<u32> {
        self.group
    }

    /// Tells whether other POPs could give back what this one does not find.
    fn may_others_give(&self) -> bool {
        self.standing.is_some_and(|standing| {
            let spent = standing.charged - standing.held_elsewhere;
            standing.held_elsewhere > 0 && standing.limit.is_some_and(|limit| spent < limit)
        })
    }
}

/// How much a ledger knows of what was carried when it is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Count {
    All,
    /// As of the last time, in every other run: it must not matter.
    Old,
}

impl World {
    pub(super) fn account_of(&self, group: u32) -> Option<usize> {
        let mut accounts = self.scenario.accounts.iter();
        accounts.position(|account| account.group == group)
    }

    /// Gives a fresh process its ledgers.
    pub(super) fn open_accounts(&mut self, pop: usize) {
        let accounts = self.scenario.accounts.iter().enumerate();
        let desks = accounts.map(|(index, account)| Desk::new(index, account.piece));
        self.pops[pop].desks = desks.collect();
    }

    /// Calls a ledger and does what follows from it.
    fn turn<T>(
        &mut self,
        pop: usize,
        index: usize,
        count: Count,
        call: impl FnOnce(&mut Ledger, Instant, u64) -> T,
    ) -> Option<T> {
        let now = self.now;
        let unix_time = UNIX_TIME + now.as_nanos() / 1_000_000_000;
        let host = &mut self.pops[pop];
        let (Some(core), Some(desk)) = (&mut host.core, host.desks.get_mut(index)) else {
            return None;
        };
        host.touched = true;
        if let Some(group) = desk.group
            && (count == Count::All || self.scenario.seed.is_multiple_of(2))
        {
            desk.ledger.handle_carried(group, core.carried(group));
        }
        let out = call(&mut desk.ledger, now, unix_time);
        while let Some(instruction) = self.pops[pop].desks[index].ledger.poll_instruction() {
            self.follow(pop, index, instruction);
        }
        while let Some(ask) = self.pops[pop].desks[index].ledger.poll_ask() {
            if let Question::Report(batch) = &ask.question {
                assert_eq!(batch.len(), 1, "a desk has one user");
            }
            self.post(index, pop, ask.id, &ask.question);
        }
        let desk = &mut self.pops[pop].desks[index];
        while let Some(event) = desk.ledger.poll_event() {
            match event {
                Event::Released { .. } => desk.group = None,
                Event::Admitted { .. } | Event::Told | Event::Untold => {}
            }
        }
        desk.ledger.audit();
        self.check_told(pop, index);
        Some(out)
    }

    /// What a ledger takes for told, the store has, unless it has forgotten it and POPs may not have seen that yet.
    fn check_told(&self, pop: usize, index: usize) {
        let host = &self.pops[pop];
        let desk = &host.desks[index];
        let Some(group) = desk.group else { return };
        let Some(totals) = desk.ledger.totals(group) else {
            return;
        };
        let is_untold = desk.ledger.unreported().any(|(of, _)| of == group);
        if is_untold || self.has_forgotten_unseen(index) {
            return;
        }
        let part = self.store.part(index, (pop, host.life));
        let told = |of: Totals| (of.uploaded, of.downloaded, of.returned);
        if told(part) != told(totals) {
            violated(
                9,
                format_args!(
                    "account {index}: pop {pop} takes {totals:?} for told, the store has {part:?}"
                ),
            );
        }
    }

    /// Has the endpoint do what a ledger says.
    fn follow(&mut self, pop: usize, index: usize, instruction: Instruction) {
        let now = self.now;
        self.note(|| format!("pop {pop}: account {index}: {instruction:?}"));
        let host = &mut self.pops[pop];
        let group_of_flows = self.scenario.accounts[index].group;
        let (Some(core), Some(desk)) = (&mut host.core, host.desks.get_mut(index)) else {
            return;
        };
        let book: &mut Book = host.books.of(group_of_flows);
        match instruction {
            Instruction::LimitRate { group, rates } => {
                core.limit_rate(now, group, rates);
                book.limit_rate(rates);
            }
            Instruction::Grant { group, grant } => {
                core.grant(now, group, grant);
                (desk.open, desk.low_since) = (true, None);
            }
            Instruction::Recall { group, grant } => {
                core.recall(now, group, grant);
                desk.ledger.handle_recalled(now, group, core.carried(group));
            }
            Instruction::Exhaust { group, code } => {
                core.exhaust(now, group, code);
                let waited = desk
                    .low_since
                    .is_some_and(|since| now.since(since) >= OTHERS_WAIT);
                let open = core::mem::replace(&mut desk.open, false);
                if code == Code::QuotaExceeded && open && desk.may_others_give() && !waited {
                    violated(
                        9,
                        format_args!(
                            "account {index} is cut off at pop {pop} while others hold {:?}",
                            desk.standing
                        ),
                    );
                }
            }
            Instruction::Forget { group } => {
                let last = core.forget_group(group);
                if let Some(last) = last {
                    book.forgotten(last);
                    desk.open = false;
                }
                desk.ledger.handle_forgotten(now, group, last);
            }
        }
    }

    // --- What happens -----------------------------------------------------------------------------

    /// Lets a client's user in; returns the group of its session.
    pub(super) fn admit(&mut self, pop: usize, group: u32) -> Result<(u32, Option<PlaceId>), Code> {
        let Some(index) = self.account_of(group) else {
            return Ok((group, None));
        };
        let terms = self.terms(index);
        let user = index as u64;
        let admitted = self.turn(pop, index, Count::All, |ledger, now, unix_time| {
            let admitted = ledger.admit(now, unix_time, user, &terms);
            (admitted, ledger.group_of(user))
        });
        let Some((admitted, group)) = admitted else {
            return Err(Code::ShuttingDown);
        };
        self.pops[pop].desks[index].group = group;
        let admission = admitted?;
        Ok((admission.group, Some(admission.place)))
    }

    /// Notes whose place a session has; one that was not opened has none any more.
    pub(super) fn seat(
        &mut self,
        pop: usize,
        group: u32,
        place: Option<PlaceId>,
        session: Option<SessionId>,
    ) {
        let (Some(index), Some(place)) = (self.account_of(group), place) else {
            return;
        };
        if let Some(session) = session {
            self.pops[pop].desks[index].places.insert(session, place);
        } else {
            self.turn(pop, index, Count::All, |ledger, now, _| {
                ledger.leave(now, place)
            });
        }
    }

    /// Frees the places of clients that are gone.
    pub(super) fn unseat(&mut self, pop: usize) {
        for index in 0..self.pops[pop].desks.len() {
            let host = &mut self.pops[pop];
            let (desk, clients) = (&mut host.desks[index], &host.clients.peers);
            let gone = desk.places.iter();
            let gone: Vec<(SessionId, PlaceId)> = gone
                .filter(|(session, _)| !clients.contains_key(session))
                .map(|(&session, &place)| (session, place))
                .collect();
            for (session, place) in gone {
                self.pops[pop].desks[index].places.remove(&session);
                self.turn(pop, index, Count::All, |ledger, now, _| {
                    ledger.leave(now, place);
                });
            }
        }
    }

    /// A core says that little is left of a group's grant.
    pub(super) fn allowance_low(&mut self, pop: usize, group: u32) {
        let now = self.now;
        let desks = self.pops[pop].desks.iter_mut().enumerate();
        let mut desks = desks.filter(|(_, desk)| desk.group == Some(group));
        let Some((index, desk)) = desks.next() else {
            return;
        };
        desk.low_since.get_or_insert(now);
        self.turn(pop, index, Count::All, |ledger, now, _| {
            ledger.handle_low(now, group)
        });
    }

    pub(super) fn answered(&mut self, index: usize, pop: usize, ask: AskId, standing: Standing) {
        let now = self.now;
        if let Some(desk) = self.pops[pop].desks.get_mut(index) {
            desk.standing = Some(standing);
            if desk.group.is_some() {
                // Who has nothing yet has little, too.
                desk.low_since.get_or_insert(now);
            }
        }
        let said = [Some(standing)];
        self.turn(pop, index, Count::All, |ledger, now, _| {
            ledger.handle_answer(now, ask, &said);
        });
    }

    pub(super) fn unanswered(&mut self, index: usize, pop: usize, ask: AskId) {
        self.turn(pop, index, Count::All, |ledger, now, _| {
            ledger.handle_failure(now, ask)
        });
    }

    /// The operator has changed what a user may do.
    pub(super) fn change_terms(&mut self, index: usize, pop: usize) {
        let terms = self.terms(index);
        let group = self.pops[pop].desks.get(index).and_then(|desk| desk.group);
        if let Some(group) = group {
            self.turn(pop, index, Count::All, |ledger, now, unix_time| {
                ledger.handle_terms(now, unix_time, group, Some(terms));
            });
        }
    }

    /// A POP sees that the store may have forgotten what it was told.
    pub(super) fn reassert(&mut self, index: usize, pop: usize) {
        self.turn(pop, index, Count::All, |ledger, now, _| {
            ledger.reassert(now)
        });
    }

    // --- Time -------------------------------------------------------------------------------------

    /// Does what is due for the ledgers of a POP.
    pub(super) fn desk_timeouts(&mut self, pop: usize) {
        for index in 0..self.pops[pop].desks.len() {
            let due = self.pops[pop].desks[index].ledger.poll_timeout();
            if due.is_some_and(|due| due <= self.now) {
                self.turn(pop, index, Count::Old, Ledger::handle_timeout);
            }
        }
    }
}
