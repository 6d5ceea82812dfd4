//! Two POPs, a store between them, and all that may happen to them.

use crate::endpoint::Endpoint;
use crate::store::{Account, Holder, Store};
use std::collections::BTreeMap;
use titan_core::account::ledger::{
    Ask, AskId, Config, Event, Ledger, PlaceId, Question, Standing, Totals,
};
use titan_core::time::{Duration, Instant};

const POPS: usize = 2;

/// Small, so that a few hundred bytes of input see every size.
const CONFIG: Config = Config {
    grant_min: 1_000,
    grant_max: 8_000,
    piece_min: 300,
};

/// A process of a POP.
#[derive(Debug)]
pub(crate) struct Pop {
    holder: Holder,
    pub(crate) ledger: Ledger,
    pub(crate) endpoint: Endpoint,
    places: Vec<(PlaceId, u32)>,
    /// Which user has a group.
    users: BTreeMap<u32, usize>,
    /// Messages on their way to the store, and answers on theirs back.
    asks: Vec<Ask>,
    answers: Vec<(AskId, Vec<Option<Standing>>)>,
    /// What groups that the endpoint has forgotten had carried, by user.
    past: BTreeMap<usize, u64>,
    told: Option<bool>,
}

impl Pop {
    fn new(holder: Holder) -> Self {
        Self {
            holder,
            ledger: Ledger::new(CONFIG, 5),
            endpoint: Endpoint::default(),
            places: Vec::new(),
            users: BTreeMap::new(),
            asks: Vec::new(),
            answers: Vec::new(),
            past: BTreeMap::new(),
            told: None,
        }
    }

    fn count(&mut self) {
        for (&group, at_endpoint) in &self.endpoint.groups {
            self.ledger.handle_carried(group, at_endpoint.carried);
        }
    }
}

/// Everything, and the time.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) now: Instant,
    pub(crate) store: Store,
    pub(crate) pops: Vec<Pop>,
    /// What was carried by processes that are gone, by user.
    gone: BTreeMap<usize, u64>,
    /// The store has said of somebody that it does not know it: what is left of such a user is told when
    /// it comes back, and lost with the process.
    missed: bool,
}

/// Bytes that decide what happens.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    pub(crate) fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.next().unwrap_or(0)) % bound.max(1)
    }
}

fn account(limit: Option<u64>, sessions_max: Option<u32>) -> Account {
    Account {
        limit,
        limit_ever: limit.unwrap_or(u64::MAX),
        enabled: true,
        password: 1,
        sessions_max,
        missing: false,
        parts: BTreeMap::new(),
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        let pops = (0..POPS).map(|pop| Pop::new((pop, 1))).collect();
        Self {
            now: Instant::from_nanos(1_000),
            store: Store {
                accounts: vec![
                    account(Some(20_000), None),
                    account(Some(3_000), Some(2)),
                    account(None, None),
                ],
                lives: (0..POPS).map(|pop| (pop, 1)).collect(),
            },
            pops,
            gone: BTreeMap::new(),
            missed: false,
        }
    }

    pub(crate) fn run(&mut self, bytes: &[u8]) {
        let mut choices = Choices(bytes);
        while let Some(what) = choices.next() {
            self.act(what, &mut choices);
            self.judge();
        }
    }

    fn act(&mut self, what: u8, choices: &mut Choices<'_>) {
        let pop = choices.below(POPS);
        match what % 16 {
            0 | 1 => self.admit(pop, choices.below(3)),
            2 => self.leave(pop, choices.below(8), choices.below(2) == 0),
            3..=5 => self.carry(pop, choices.below(4), choices.below(256) as u64 * 16),
            6 => self.pops[pop].count(),
            7 | 8 => self.deliver_ask(pop, choices.below(4), choices.below(4)),
            9 | 10 => self.deliver_answer(pop, choices.below(4), choices.below(4)),
            11 => self.wait(choices.below(40) as u64 * 60),
            12 => self.operate(choices.below(3), choices.below(7)),
            13 => self.reread(pop),
            14 if choices.below(4) == 0 => self.restart(pop, choices.below(2) == 0),
            14 => self.pops[pop].ledger.reassert(self.now),
            _ => self.close_lingering(pop),
        }
        for pop in 0..POPS {
            self.drain(pop);
        }
    }

    pub(crate) fn admit(&mut self, pop: usize, user: usize) {
        let terms = self.store.accounts[user].terms();
        let now = self.now;
        let pop = &mut self.pops[pop];
        let admitted = pop.ledger.admit(now, 0, user as u64, &terms);
        if let Some(group) = pop.ledger.group_of(user as u64) {
            pop.users.insert(group, user);
        }
        if let Ok(admission) = admitted {
            pop.places.push((admission.place, admission.group));
            if !admission.waits {
                let group = pop.endpoint.groups.entry(admission.group).or_default();
                group.sessions += 1;
            }
        }
    }

    pub(crate) fn leave(&mut self, pop: usize, nth: usize, at_once: bool) {
        let now = self.now;
        let pop = &mut self.pops[pop];
        if pop.places.is_empty() {
            return;
        }
        let (place, group) = pop.places.remove(nth % pop.places.len());
        pop.ledger.leave(now, place);
        if at_once && let Some(group) = pop.endpoint.groups.get_mut(&group) {
            group.sessions = group.sessions.saturating_sub(1);
        }
    }

    /// Lets go of sessions that have no place any more.
    fn close_lingering(&mut self, pop: usize) {
        let pop = &mut self.pops[pop];
        for (id, group) in &mut pop.endpoint.groups {
            let places = pop.places.iter().filter(|(_, of)| of == id).count();
            group.sessions = group.sessions.min(u32::try_from(places).unwrap());
        }
    }

    pub(crate) fn carry(&mut self, pop: usize, nth: usize, bytes: u64) {
        let groups = &mut self.pops[pop].endpoint.groups;
        let nth = nth % groups.len().max(1);
        if let Some(group) = groups.values_mut().nth(nth)
            && group.sessions > 0
        {
            let bytes = bytes.min(group.left());
            group.carried.up += bytes / 3;
            group.carried.down += bytes - bytes / 3;
        }
    }

    /// A message reaches the store: its answer comes, is lost, or comes twice; or the message is lost.
    fn deliver_ask(&mut self, pop: usize, nth: usize, fate: usize) {
        let now = self.now;
        if self.pops[pop].asks.is_empty() {
            return;
        }
        let nth = nth % self.pops[pop].asks.len();
        let ask = self.pops[pop].asks.remove(nth);
        if fate == 0 {
            self.pops[pop].ledger.handle_failure(now, ask.id);
            return;
        }
        let said = self.put(pop, &ask.question);
        let pop = &mut self.pops[pop];
        match fate {
            1 => pop.ledger.handle_failure(now, ask.id),
            2 => pop.answers.extend([(ask.id, said.clone()), (ask.id, said)]),
            _ => pop.answers.push((ask.id, said)),
        }
    }

    fn put(&mut self, pop: usize, question: &Question) -> Vec<Option<Standing>> {
        let holder = self.pops[pop].holder;
        let users = &self.pops[pop].users;
        let told: Vec<(usize, Totals, u64)> = match question {
            Question::Grant {
                group,
                totals,
                want,
            } => vec![(users[group], *totals, *want)],
            Question::Report(batch) => {
                let batch = batch.iter();
                batch
                    .map(|(group, totals)| (users[group], *totals, 0))
                    .collect()
            }
        };
        let told = told.into_iter();
        told.map(|(user, totals, want)| self.store.settle(holder, user, totals, want))
            .collect()
    }

    fn deliver_answer(&mut self, pop: usize, nth: usize, fate: usize) {
        let now = self.now;
        let pop = &mut self.pops[pop];
        if pop.answers.is_empty() {
            return;
        }
        if fate > 0 {
            pop.count();
        }
        let (id, said) = pop.answers.remove(nth % pop.answers.len());
        pop.ledger.handle_answer(now, id, &said);
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        for pop in 0..POPS {
            let now = self.now;
            self.pops[pop].ledger.handle_timeout(now, 0);
            self.drain(pop);
            let due = self.pops[pop].ledger.poll_timeout();
            assert!(
                due.is_none_or(|due| due > now),
                "a deadline is over: {due:?} at {now:?}"
            );
        }
    }

    fn operate(&mut self, user: usize, what: usize) {
        self.missed |= what == 2;
        let account = &mut self.store.accounts[user];
        match what {
            0 => account.enabled = !account.enabled,
            1 => account.password += 1,
            2 => account.missing = !account.missing,
            3 => account.limit = account.limit.map(|limit| limit / 2),
            4 => account.limit = account.limit.map(|limit| limit + 5_000),
            // Only of one for whom exactness is not asked for.
            5 if user == 2 => account.limit = Some(10_000),
            6 if user == 2 => account.limit = None,
            _ => {}
        }
        account.limit_ever = account.limit_ever.max(account.limit.unwrap_or(u64::MAX));
    }

    fn reread(&mut self, pop: usize) {
        let now = self.now;
        let pop = &mut self.pops[pop];
        for (&group, &user) in &pop.users {
            let account = &self.store.accounts[user];
            let terms = (!account.missing).then(|| account.terms());
            pop.ledger.handle_terms(now, 0, group, terms);
        }
    }

    /// A process ends, in order or with its journal, and another begins.
    fn restart(&mut self, pop: usize, in_order: bool) {
        if self.missed {
            return;
        }
        let now = self.now;
        let (_, life) = self.pops[pop].holder;
        self.pops[pop].count();
        if in_order {
            self.pops[pop].ledger.close(now);
            while let Some(ask) = self.pops[pop].ledger.poll_ask() {
                let said = self.put(pop, &ask.question);
                self.pops[pop].ledger.handle_answer(now, ask.id, &said);
            }
        }
        // What it leaves is delivered under its name.
        let left: Vec<(u32, Totals)> = self.pops[pop].ledger.unreported().collect();
        for (group, totals) in left {
            let user = self.pops[pop].users[&group];
            self.store.settle((pop, life), user, totals, 0);
        }
        for user in 0..self.store.accounts.len() {
            *self.gone.entry(user).or_default() += self.carried_by(pop, user);
        }
        self.pops[pop] = Pop::new((pop, life + 1));
        self.store.lives.insert(pop, life + 1);
    }

    pub(crate) fn drain(&mut self, pop: usize) {
        let now = self.now;
        let pop = &mut self.pops[pop];
        for group in pop.endpoint.low() {
            pop.ledger.handle_low(now, group);
        }
        while let Some(told) = pop.ledger.poll_instruction() {
            if let titan_core::account::ledger::Instruction::Forget { group } = told
                && let Some(at_endpoint) = pop.endpoint.groups.get(&group)
                && at_endpoint.sessions == 0
            {
                *pop.past.entry(pop.users[&group]).or_default() += at_endpoint.carried.total();
            }
            pop.endpoint.follow(now, &mut pop.ledger, told);
        }
        while let Some(ask) = pop.ledger.poll_ask() {
            pop.asks.push(ask);
        }
        while let Some(event) = pop.ledger.poll_event() {
            match event {
                Event::Admitted { place, outcome } => {
                    let at = pop.places.iter().position(|(id, _)| *id == place);
                    let at = at.expect("only of one that waits");
                    let group = pop.places[at].1;
                    match outcome {
                        Ok(()) => pop.endpoint.groups.entry(group).or_default().sessions += 1,
                        Err(_) => drop(pop.places.remove(at)),
                    }
                }
                Event::Released { group } => {
                    pop.users.remove(&group);
                    assert!(
                        !pop.endpoint.groups.contains_key(&group),
                        "it is still there"
                    );
                }
                Event::Told => pop.told = Some(true),
                Event::Untold => pop.told = Some(false),
            }
        }
        pop.ledger.audit();
    }

    fn carried_by(&self, pop: usize, user: usize) -> u64 {
        let pop = &self.pops[pop];
        let live = pop.endpoint.groups.iter();
        let live = live.filter(|(group, _)| pop.users.get(group) == Some(&user));
        let live: u64 = live.map(|(_, group)| group.carried.total()).sum();
        live + pop.past.get(&user).copied().unwrap_or(0)
    }

    fn carried(&self, user: usize) -> u64 {
        let gone = self.gone.get(&user).copied().unwrap_or(0);
        let live: u64 = (0..POPS).map(|pop| self.carried_by(pop, user)).sum();
        gone + live
    }

    /// Nobody has carried more than the store granted, or than there ever was.
    fn judge(&self) {
        for (user, account) in self.store.accounts.iter().enumerate() {
            let carried = self.carried(user);
            let granted: u64 = account
                .parts
                .values()
                .map(|part| part.granted - part.returned)
                .sum();
            if account.limit_ever < u64::MAX {
                assert!(
                    carried <= granted,
                    "user {user} carried {carried} of {granted}"
                );
                assert!(
                    carried <= account.limit_ever,
                    "user {user} carried {carried}"
                );
            }
        }
    }

    /// Carries every message to the store and every answer back.
    fn answer_all(&mut self, pop: usize) {
        self.pops[pop].count();
        loop {
            self.deliver_answer(pop, 0, 1);
            self.drain(pop);
            if self.pops[pop].answers.is_empty() && self.pops[pop].asks.is_empty() {
                return;
            }
            self.deliver_ask(pop, 0, 3);
        }
    }

    /// Everybody leaves and the store answers: nothing may be left, and nothing lost.
    pub(crate) fn calm(&mut self) {
        for account in &mut self.store.accounts {
            (account.missing, account.enabled) = (false, true);
        }
        for pop in 0..POPS {
            // Whoever was said to be gone is there after all, and comes back.
            self.answer_all(pop);
            self.reread(pop);
            (0..self.store.accounts.len()).for_each(|user| self.admit(pop, user));
            self.drain(pop);
            while !self.pops[pop].places.is_empty() {
                self.leave(pop, 0, true);
            }
            self.close_lingering(pop);
            self.drain(pop);
        }
        for _ in 0..200 {
            (0..POPS).for_each(|pop| self.answer_all(pop));
            self.wait(100);
        }
        self.judge();
        for (user, account) in self.store.accounts.iter().enumerate() {
            let told = account
                .parts
                .values()
                .map(|part| part.uploaded + part.downloaded);
            let told: u64 = told.sum();
            assert_eq!(told, self.carried(user), "user {user}: {:?}", account.parts);
            for ((pop, life), part) in &account.parts {
                if self.store.lives[pop] == *life && account.limit_ever < u64::MAX {
                    let spent = part.uploaded + part.downloaded;
                    assert_eq!(part.granted - part.returned, spent, "user {user} at {pop}");
                    assert_eq!(part.sessions, 0, "user {user} at {pop}");
                }
            }
        }
        for pop in &self.pops {
            let usage = pop.ledger.usage();
            assert_eq!((usage.users, usage.places, usage.asks), (0, 0, 0));
            assert_eq!(pop.ledger.poll_timeout(), None, "nothing is idle");
        }
    }
}
