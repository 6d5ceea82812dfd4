//! The modelled store: users' accounts as totals of processes, over a path that loses and repeats.
//!
//! It takes what it is told as maxima and charges what it grants in the step that grants it, as
//! docs/store.md says. What is given to a process that dies is gone: one open grant.

use super::super::oracle::violated;
use super::{Action, World};
use core::hash::Hash as _;
use std::collections::{BTreeMap, BTreeSet};
use titan_core::account::ledger::{AskId, Question, Standing, Terms, Totals};
use titan_core::account::{Stake, divide};
use titan_core::endpoint::Rates;
use titan_core::time::{Duration, Instant};

/// How long a POP waits for an answer, beyond the way there and back.
const PATIENCE: u64 = 700;

/// What happens between a POP and the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum StoreStep {
    /// A message reaches the store.
    Asked { mail: u64 },
    /// An answer reaches the POP.
    Answered { mail: u64 },
    /// The POP has waited long enough.
    Impatient { mail: u64 },
    /// The operator changes the rates.
    Rates,
    /// The store fails and has forgotten the last second.
    Forgets,
    /// The POP sees that the store is another.
    Reasserts,
}

/// What a store that fails has not written down yet, and how long it takes POPs to see it, in ms.
const FORGOTTEN: Duration = Duration::from_secs(1);
const SEEN_AFTER: u64 = 250;

/// A message on its way, and its answer.
#[derive(Debug)]
struct Mail {
    ask: AskId,
    totals: Totals,
    want: u64,
    standing: Option<Standing>,
}

/// A process of a POP: which POP, and which of its lives.
type Holder = (usize, u64);

/// The store's books.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Parts by account and process.
    parts: BTreeMap<(usize, Holder), Totals>,
    /// What parts were before they changed, of accounts that are going to be forgotten.
    history: Vec<(Instant, (usize, Holder), Totals)>,
    /// What each process was granted at most, whatever is known of it now.
    given: BTreeMap<(usize, Holder), u64>,
    /// How fast the user may be at each process.
    shares: BTreeMap<(usize, Holder), Rates>,
    /// How much more than the quota may be moved, because it was forgotten that it was granted.
    forgotten: BTreeMap<usize, u64>,
    /// Accounts of which nothing was left once.
    spent: BTreeSet<usize>,
    mail: BTreeMap<u64, Mail>,
    posted: u64,
}

impl Store {
    fn charged(&self, account: usize) -> u64 {
        let parts = self.parts_of(account);
        parts.map(|(_, part)| part.granted - part.returned).sum()
    }

    fn parts_of(&self, account: usize) -> impl Iterator<Item = (Holder, &Totals)> {
        let parts = self.parts.range((account, (0, 0))..(account + 1, (0, 0)));
        parts.map(|(&(_, holder), part)| (holder, part))
    }

    /// Returns what it knows of a process.
    pub(super) fn part(&self, account: usize, holder: Holder) -> Totals {
        let part = self.parts.get(&(account, holder));
        part.copied().unwrap_or_default()
    }

    /// Returns what it has granted to a process at most.
    pub(super) fn given(&self, account: usize, holder: Holder) -> u64 {
        self.given.get(&(account, holder)).copied().unwrap_or(0)
    }

    /// Returns how much it has forgotten that it granted.
    pub(super) fn forgotten(&self, account: usize) -> u64 {
        self.forgotten.get(&account).copied().unwrap_or(0)
    }

    /// Forgets what it was told within the last second.
    fn forget(&mut self, now: Instant, account: usize) {
        let granted = |store: &Self| -> u64 {
            let parts = store.parts_of(account);
            parts.map(|(_, part)| part.granted).sum()
        };
        let before = granted(self);
        for &(at, key, part) in self.history.iter().rev() {
            if key.0 == account && at + FORGOTTEN > now {
                self.parts.insert(key, part);
            }
        }
        self.history.retain(|&(_, (of, _), _)| of != account);
        *self.forgotten.entry(account).or_default() += before - granted(self);
    }

    /// Divides the rates among the processes that live and have sessions; `others` are the other ones.
    fn share(
        &mut self,
        account: usize,
        holder: Holder,
        rates: Rates,
        others: &[(Holder, Totals)],
    ) -> Rates {
        let wants = self.part(account, holder).wants;
        let way = |of: fn(Rates) -> u64| {
            let others = others.iter().filter(|(_, part)| part.sessions > 0);
            let stake = |&(holder, part): &(Holder, Totals)| Stake {
                wants: of(part.wants),
                has: self.shares.get(&(account, holder)).copied().map_or(0, of),
            };
            let others: Vec<Stake> = others.map(stake).collect();
            divide(of(rates), of(wants), &others)
        };
        let share = Rates {
            up: way(|rates| rates.up),
            down: way(|rates| rates.down),
        };
        self.shares.insert((account, holder), share);
        share
    }

    /// Tells whether nothing was left of an account once.
    pub(super) fn is_spent(&self, account: usize) -> bool {
        self.spent.contains(&account)
    }

    /// Takes over what a process tells, and grants it up to `want` in all, within the quota.
    fn settle(
        &mut self,
        account: usize,
        holder: Holder,
        quota: Option<u64>,
        told: Totals,
        want: u64,
    ) {
        let part = self.parts.entry((account, holder)).or_default();
        part.granted = part.granted.max(told.granted);
        part.uploaded = part.uploaded.max(told.uploaded);
        part.downloaded = part.downloaded.max(told.downloaded);
        part.returned = part.returned.max(told.returned);
        (part.sessions, part.wants) = (told.sessions, told.wants);
        let spent = part.uploaded + part.downloaded;
        if quota.is_some() && part.returned + spent > part.granted {
            violated(
                9,
                format_args!("account {account}: {part:?} of {holder:?} gave back what it spent"),
            );
        }
        part.granted = part.granted.max(part.returned + spent);
        let granted = part.granted;
        let Some(quota) = quota else { return };
        let room = quota.saturating_sub(self.charged(account));
        let more = want.saturating_sub(granted).min(room);
        let part = self.parts.entry((account, holder)).or_default();
        part.granted += more;
        let given = self.given.entry((account, holder)).or_default();
        *given = part.granted.max(*given);
        if more == room {
            self.spent.insert(account);
        }
    }
}

impl World {
    /// Returns what an operator's record of a user says now.
    pub(super) fn terms(&self, index: usize) -> Terms {
        let account = &self.scenario.accounts[index];
        let changed = account
            .change
            .filter(|change| self.now >= self.after(change.at));
        let (up, down) = changed.map_or((account.up, account.down), |to| (to.up, to.down));
        let parts = self.store.parts_of(index);
        Terms {
            limit: account.quota,
            charged: self.store.charged(index),
            spent: parts.map(|(_, part)| part.uploaded + part.downloaded).sum(),
            rates: Rates { up, down },
            enabled: true,
            ..Terms::default()
        }
    }

    /// Arranges what the operator does later.
    pub(super) fn plan_accounts(&mut self) {
        for account in 0..self.scenario.accounts.len() {
            if let Some(at) = self.scenario.accounts[account].forgets {
                let plan = |world: &mut Self, pop, at, step| {
                    let (at, life) = (world.after(at), 0);
                    let action = Action::Store {
                        account,
                        pop,
                        life,
                        step,
                    };
                    world.enter(at, action);
                };
                plan(self, 0, at, StoreStep::Forgets);
                for pop in 0..self.pops.len() {
                    plan(self, pop, at + SEEN_AFTER, StoreStep::Reasserts);
                }
            }
            if let Some(change) = self.scenario.accounts[account].change {
                for pop in 0..self.pops.len() {
                    let at = self.after(change.at);
                    let step = StoreStep::Rates;
                    let action = Action::Store {
                        account,
                        pop,
                        life: 0,
                        step,
                    };
                    self.enter(at, action);
                }
            }
        }
    }

    /// Tells whether the store has forgotten something and POPs may not have seen it yet.
    pub(super) fn has_forgotten_unseen(&self, account: usize) -> bool {
        let forgets = self.scenario.accounts[account].forgets;
        forgets.is_some_and(|at| (self.after(at)..=self.after(at + SEEN_AFTER)).contains(&self.now))
    }

    /// A POP tells or asks the store something.
    pub(super) fn post(&mut self, account: usize, pop: usize, ask: AskId, question: &Question) {
        let (totals, want) = match question {
            Question::Grant { totals, want, .. } => (*totals, *want),
            Question::Report(batch) => (batch[0].1, 0),
        };
        let mail = self.store.posted;
        self.store.posted += 1;
        let standing = None;
        let posted = Mail {
            ask,
            totals,
            want,
            standing,
        };
        self.store.mail.insert(mail, posted);
        let delay = self.scenario.accounts[account].delay;
        if !self.is_lost(account) {
            self.store_in(delay, account, pop, StoreStep::Asked { mail });
        }
        let patience = 2 * delay + PATIENCE;
        self.store_in(patience, account, pop, StoreStep::Impatient { mail });
    }

    fn store_in(&mut self, millis: u64, account: usize, pop: usize, step: StoreStep) {
        let life = self.pops[pop].life;
        self.enter_in(
            millis,
            Action::Store {
                account,
                pop,
                life,
                step,
            },
        );
    }

    /// Tells whether a message is lost on its way.
    fn is_lost(&mut self, account: usize) -> bool {
        let lost = !self.is_healed() && self.choose.chance(self.scenario.accounts[account].lost);
        self.record.fired += u64::from(lost);
        lost
    }

    pub(super) fn store_step(&mut self, index: usize, pop: usize, life: u64, step: StoreStep) {
        let lives = self.pops[pop].life == life && self.pops[pop].core.is_some();
        match step {
            StoreStep::Rates => self.change_terms(index, pop),
            StoreStep::Forgets => {
                self.record.fired += 1;
                self.store.forget(self.now, index);
            }
            StoreStep::Reasserts => self.reassert(index, pop),
            StoreStep::Asked { mail } => self.store_asked(index, (pop, life), mail),
            StoreStep::Answered { mail } if lives => {
                let answered = self.store.mail.get(&mail);
                let answer = answered.and_then(|mail| Some((mail.ask, mail.standing?)));
                if let Some((ask, standing)) = answer {
                    self.note(|| format!("pop {pop}: account {index} stands at {standing:?}"));
                    self.answered(index, pop, ask, standing);
                }
            }
            StoreStep::Impatient { mail } if lives => {
                if let Some(ask) = self.store.mail.get(&mail).map(|mail| mail.ask) {
                    self.unanswered(index, pop, ask);
                }
            }
            // Of a process that is gone.
            StoreStep::Answered { .. } | StoreStep::Impatient { .. } => {}
        }
    }

    fn store_asked(&mut self, index: usize, holder: Holder, mail: u64) {
        let Some(&Mail { totals, want, .. }) = self.store.mail.get(&mail) else {
            return;
        };
        let Totals {
            granted,
            returned,
            uploaded,
            downloaded,
            sessions,
            wants,
        } = totals;
        (granted, returned, uploaded, downloaded, sessions, want).hash(&mut self.trace);
        (wants.up, wants.down).hash(&mut self.trace);
        let quota = self.scenario.accounts[index].quota;
        if self.scenario.accounts[index].forgets.is_some() {
            let part = self.store.part(index, holder);
            let before = (self.now, (index, holder), part);
            self.store.history.push(before);
        }
        let rates = self.terms(index).rates;
        self.store.settle(index, holder, quota, totals, want);
        let lives = |(pop, life): Holder| {
            let host = &self.pops[pop];
            host.life == life && host.core.is_some()
        };
        let others = self.store.parts_of(index);
        let others = others.filter(|&(of, _)| of != holder && lives(of));
        let others: Vec<(Holder, Totals)> = others.map(|(of, part)| (of, *part)).collect();
        let share = self.store.share(index, holder, rates, &others);
        let others: Vec<Totals> = others.iter().map(|&(_, part)| part).collect();
        let held = |part: &Totals| part.granted - part.returned - part.uploaded - part.downloaded;
        let standing = Standing {
            granted: self.store.part(index, holder).granted,
            charged: self.store.charged(index),
            limit: quota,
            sessions_elsewhere: others.iter().map(|part| u64::from(part.sessions)).sum(),
            held_elsewhere: others.iter().map(held).sum(),
            share,
        };
        if let Some(mail) = self.store.mail.get_mut(&mail) {
            mail.standing = Some(standing);
        }
        let (pop, life) = holder;
        let delay = self.scenario.accounts[index].delay;
        let answered = |world: &mut Self, later| {
            let step = StoreStep::Answered { mail };
            let account = index;
            let action = Action::Store {
                account,
                pop,
                life,
                step,
            };
            world.enter_in(later, action);
        };
        if !self.is_lost(index) {
            answered(self, delay);
        }
        let again = self.scenario.accounts[index].again;
        if !self.is_healed() && self.choose.chance(again) {
            self.record.fired += 1;
            let later = delay + self.choose.below(2_000);
            answered(self, later);
        }
    }

    /// Tells whether the user of a flow has a quota.
    pub(super) fn has_quota(&self, flow: usize) -> bool {
        self.account_of(self.scenario.flows[flow].group)
            .is_some_and(|index| self.scenario.accounts[index].quota.is_some())
    }

    /// Tells whether a flow may end because its user's quota is spent.
    pub(super) fn is_spent(&self, flow: usize) -> bool {
        let index = self.account_of(self.scenario.flows[flow].group);
        index.is_some_and(|index| {
            self.scenario.accounts[index].quota == Some(0) || self.store.is_spent(index)
        })
    }
}
