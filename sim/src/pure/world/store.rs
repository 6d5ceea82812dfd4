//! The modelled store: users' quotas, handed out to POPs in pieces, over a path that loses and repeats.
//!
//! A POP asks for more when its core says that little is left. It says which total it has; the store
//! makes sure that it has one piece more, if the quota allows, and answers with the total. So an ask
//! that comes twice is charged once. What is given to a process that dies is gone: one open piece.

use super::super::oracle::violated;
use super::super::peer::Peer;
use super::super::scenario::Account;
use super::{Action, World};
use std::collections::BTreeMap;
use titan_core::endpoint::{Grant, Rates};
use titan_core::time::Instant;
use titan_proto::Code;

/// How long a POP waits for an answer before it asks again, beyond the way there and back.
const ASK_AGAIN: u64 = 700;

/// What happens between a POP and the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum StoreStep {
    /// An ask reaches the store.
    Asked { have: u64 },
    /// An answer reaches the POP.
    Answered { total: u64, spent: bool },
    /// The POP has waited long enough.
    Impatient { have: u64 },
    /// The operator changes the rates.
    Rates,
}

/// The store's books.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Totals by account, POP and life.
    totals: BTreeMap<(usize, usize, u64), u64>,
    /// What processes that are gone had carried, by account.
    gone: BTreeMap<usize, u64>,
}

/// What is known of the groups of one POP process, from outside.
#[derive(Debug, Default)]
pub(super) struct Books {
    groups: BTreeMap<u32, Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// Bytes that clients who are gone had sent and received.
    past: (u64, u64),
    /// At most so many of these had been taken and not been booked.
    owed: u64,
    /// What was booked when it was last looked at.
    seen: (u64, u64),
    /// The largest total that the process was told.
    given: u64,
    /// It has asked, with this total.
    asks: Option<u64>,
    /// The store has nothing left.
    spent: bool,
    /// Since when all that was given is used up.
    dry_since: Option<Instant>,
    rates: Rates,
    meters: [Meter; 2],
}

/// Fills with what moves and empties at a little more than the rate: full, the rate is exceeded over
/// some window.
#[derive(Debug, Default)]
struct Meter {
    level: u128,
    at: Instant,
}

impl Meter {
    /// Returns by how much it runs over.
    fn add(&mut self, now: Instant, rate: u64, bytes: u64) -> u128 {
        let left = now.since(self.at).as_nanos() * u128::from(rate) * 105 / 100;
        let level = self.level.saturating_sub(left) + u128::from(bytes) * SECOND;
        (self.level, self.at) = (level, now);
        let burst = u128::from((rate / 20).max(1 << 10));
        level.saturating_sub(burst * SECOND)
    }
}

const SECOND: u128 = 1_000_000_000;

impl Account {
    /// Below this a POP asks for the next piece.
    fn low(&self) -> u64 {
        (self.piece / 2).max(1)
    }

    const fn rates(&self) -> Rates {
        Rates {
            up: self.up,
            down: self.down,
        }
    }
}

impl World {
    fn account_of(&self, group: u32) -> Option<usize> {
        let mut accounts = self.scenario.accounts.iter();
        accounts.position(|account| account.group == group)
    }

    /// Lets a fresh process know what each user may do.
    pub(super) fn open_accounts(&mut self, pop: usize) {
        for index in 0..self.scenario.accounts.len() {
            let account = self.scenario.accounts[index].clone();
            let now = self.now;
            let changed = account
                .change
                .filter(|change| now >= self.after(change.at))
                .map(|change| Rates {
                    up: change.up,
                    down: change.down,
                });
            let rates = changed.unwrap_or_else(|| account.rates());
            let host = &mut self.pops[pop];
            let Some(core) = &mut host.core else { return };
            core.limit_rate(now, account.group, rates);
            host.books.groups.entry(account.group).or_default().rates = rates;
            if account.quota.is_some() {
                // Nothing, until the store has answered.
                let grant = Grant {
                    total: Some(0),
                    low: account.low(),
                };
                core.grant(now, account.group, grant);
            }
        }
    }

    /// Arranges what the operator does later.
    pub(super) fn plan_accounts(&mut self) {
        for account in 0..self.scenario.accounts.len() {
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

    /// A core says that little is left of a group's grant.
    pub(super) fn allowance_low(&mut self, pop: usize, group: u32) {
        let Some(account) = self.account_of(group) else {
            return;
        };
        let now = self.now;
        let host = &mut self.pops[pop];
        let book = host.books.groups.entry(group).or_default();
        if book.spent {
            if let Some(core) = &mut host.core {
                core.exhaust(now, group, Code::QuotaExceeded);
            }
            return;
        }
        if book.asks.is_none() {
            self.ask(account, pop);
        }
    }

    fn ask(&mut self, account: usize, pop: usize) {
        let life = self.pops[pop].life;
        let group = self.scenario.accounts[account].group;
        let delay = self.scenario.accounts[account].delay;
        let book = self.pops[pop].books.groups.entry(group).or_default();
        let have = book.given;
        book.asks = Some(have);
        if !self.is_lost(account) {
            self.store_in(delay, account, pop, life, StoreStep::Asked { have });
        }
        let again = 2 * delay + ASK_AGAIN;
        self.store_in(again, account, pop, life, StoreStep::Impatient { have });
    }

    fn store_in(&mut self, millis: u64, account: usize, pop: usize, life: u64, step: StoreStep) {
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
        let account = self.scenario.accounts[index].clone();
        if let StoreStep::Rates = step {
            self.change_rates(&account, pop);
            return;
        }
        match step {
            StoreStep::Asked { have } => self.store_asked(index, pop, life, have),
            StoreStep::Answered { total, spent } if self.pops[pop].life == life => {
                self.granted(&account, pop, total, spent);
            }
            StoreStep::Impatient { have } if self.pops[pop].life == life => {
                let book = self.pops[pop].books.groups.get(&account.group);
                let waits = book.is_some_and(|book| book.asks == Some(have));
                if waits && self.pops[pop].core.is_some() {
                    self.ask(index, pop);
                }
            }
            // Of a process that is gone.
            StoreStep::Answered { .. } | StoreStep::Impatient { .. } | StoreStep::Rates => {}
        }
    }

    fn store_asked(&mut self, index: usize, pop: usize, life: u64, have: u64) {
        let account = self.scenario.accounts[index].clone();
        let quota = account.quota.unwrap_or(0);
        let of_account = |&(&(owner, ..), _): &(&(usize, usize, u64), &u64)| owner == index;
        let handed: u64 = self
            .store
            .totals
            .iter()
            .filter(of_account)
            .map(|(_, &total)| total)
            .sum();
        let total = self.store.totals.entry((index, pop, life)).or_default();
        let wanted = (have + account.piece).saturating_sub(*total);
        *total += wanted.min(quota - handed);
        let answer = StoreStep::Answered {
            total: *total,
            spent: *total == have,
        };
        if !self.is_lost(index) {
            self.store_in(account.delay, index, pop, life, answer.clone());
        }
        if !self.is_healed() && self.choose.chance(account.again) {
            self.record.fired += 1;
            let later = account.delay + self.choose.below(2_000);
            self.store_in(later, index, pop, life, answer);
        }
    }

    fn granted(&mut self, account: &Account, pop: usize, total: u64, spent: bool) {
        let now = self.now;
        let host = &mut self.pops[pop];
        let Some(core) = &mut host.core else { return };
        host.touched = true;
        let book = host.books.groups.entry(account.group).or_default();
        if book.asks.is_some_and(|have| total > have || spent) {
            book.asks = None;
        }
        if total > book.given {
            book.dry_since = None;
        }
        book.given = book.given.max(total);
        book.spent |= spent;
        // With nothing more to come, what matters is when the last byte is gone.
        let low = if book.spent { 1 } else { account.low() };
        let grant = Grant {
            total: Some(total),
            low,
        };
        core.grant(now, account.group, grant);
        let (group, spent) = (account.group, book.spent);
        self.note(|| format!("pop {pop}: group {group} is granted {total}, spent: {spent}"));
    }

    fn change_rates(&mut self, account: &Account, pop: usize) {
        let Some(change) = account.change else { return };
        let now = self.now;
        let host = &mut self.pops[pop];
        let Some(core) = &mut host.core else { return };
        host.touched = true;
        let rates = Rates {
            up: change.up,
            down: change.down,
        };
        core.limit_rate(now, account.group, rates);
        let book = host.books.groups.entry(account.group).or_default();
        book.rates = rates;
        book.meters = <[Meter; 2]>::default();
    }

    // --- Judging ----------------------------------------------------------------------------------

    /// A client is gone; what it moved stays counted.
    pub(super) fn book_client(&mut self, pop: usize, client: &Peer) {
        let group = self.scenario.flows[client.flow].group;
        let book = self.pops[pop].books.groups.entry(group).or_default();
        book.past.0 += client.sent;
        book.past.1 += client.received;
        book.owed += client.unbooked_max();
    }

    /// Compares what each touched POP counts with what its clients saw (I9).
    pub(super) fn judge_accounts(&mut self) {
        for pop in 0..self.pops.len() {
            if self.pops[pop].touched && self.pops[pop].core.is_some() {
                self.judge_account_of(pop);
            }
        }
    }

    pub(super) fn judge_account_of(&mut self, pop: usize) {
        let now = self.now;
        let host = &mut self.pops[pop];
        let Some(core) = &host.core else { return };
        // Sent, received, and how much of what was sent need not be booked yet.
        let mut sums: BTreeMap<u32, (u64, u64, u64)> = BTreeMap::new();
        for client in host.clients.peers.values() {
            let sum = sums
                .entry(self.scenario.flows[client.flow].group)
                .or_default();
            sum.0 += client.sent;
            sum.1 += client.received;
            sum.2 += client.unbooked_max();
        }
        for &group in sums.keys() {
            host.books.groups.entry(group).or_default();
        }
        for (&group, book) in &mut host.books.groups {
            let live = sums.get(&group).copied().unwrap_or_default();
            let saw = (book.past.0 + live.0, book.past.1 + live.1);
            let carried = core.carried(group);
            let unbooked = saw.0.checked_sub(carried.up);
            if unbooked.is_none_or(|bytes| bytes > live.2 + book.owed) || saw.1 != carried.down {
                violated(
                    9,
                    format_args!("pop {pop} counts {carried:?} of group {group}; clients: {saw:?}"),
                );
            }
            // Those who are gone owe no more than all together.
            book.owed = book.owed.min(unbooked.unwrap_or(0));
            let booked = (carried.up, carried.down);
            let account = self
                .scenario
                .accounts
                .iter()
                .find(|account| account.group == group);
            if account.is_some_and(|account| account.quota.is_some()) {
                let moved = booked.0 + booked.1;
                if moved > book.given {
                    violated(
                        9,
                        format_args!(
                            "group {group} moved {booked:?} at pop {pop}, granted {}",
                            book.given
                        ),
                    );
                }
                let since = book.dry_since.unwrap_or(now);
                book.dry_since = (moved == book.given).then_some(since);
            }
            let ways = [
                (booked.0 - book.seen.0, book.rates.up),
                (booked.1 - book.seen.1, book.rates.down),
            ];
            book.seen = booked;
            for (meter, (bytes, rate)) in book.meters.iter_mut().zip(ways) {
                if rate > 0 && bytes > 0 {
                    let over = meter.add(now, rate, bytes);
                    if over > 0 {
                        violated(
                            9,
                            format_args!(
                                "group {group} at pop {pop} is {} bytes over {rate} a second",
                                over / SECOND
                            ),
                        );
                    }
                }
            }
        }
        self.judge_quotas();
    }

    /// No user has moved more than his quota, all POPs and all their lives together.
    fn judge_quotas(&self) {
        for (index, account) in self.scenario.accounts.iter().enumerate() {
            let Some(quota) = account.quota else { continue };
            let live = self.pops.iter().filter_map(|host| {
                let book = host.books.groups.get(&account.group)?;
                host.core.as_ref().map(|_| book.seen.0 + book.seen.1)
            });
            let gone = self.store.gone.get(&index).copied().unwrap_or(0);
            let moved = live.sum::<u64>() + gone;
            if moved > quota {
                violated(
                    9,
                    format_args!("group {} moved {moved} of {quota} bytes", account.group),
                );
            }
        }
    }

    /// A process goes: it takes one open piece with it at most.
    pub(super) fn close_accounts(&mut self, pop: usize) {
        self.judge_account_of(pop);
        let life = self.pops[pop].life;
        for index in 0..self.scenario.accounts.len() {
            let account = &self.scenario.accounts[index];
            let book = self.pops[pop].books.groups.get(&account.group);
            let moved = book.map_or(0, |book| book.seen.0 + book.seen.1);
            let total = self.store.totals.get(&(index, pop, life)).copied();
            if total.unwrap_or(0) > moved + account.piece + account.low() {
                violated(
                    9,
                    format_args!("pop {pop} held {total:?} and had moved {moved}"),
                );
            }
            *self.store.gone.entry(index).or_default() += moved;
        }
    }

    /// Tells whether the POP of a flow has had nothing for its user for so long that what waits for a
    /// grant is given up.
    pub(super) fn is_dry(&self, pop: usize, flow: usize) -> bool {
        let patience = self.scenario.limits.config().idle_half_closed;
        let books = &self.pops[pop].books;
        books
            .groups
            .get(&self.scenario.flows[flow].group)
            .and_then(|book| book.dry_since)
            .is_some_and(|since| self.now.since(since) >= patience)
    }

    /// Tells whether the user of a flow has a quota.
    pub(super) fn has_quota(&self, flow: usize) -> bool {
        self.account_of(self.scenario.flows[flow].group)
            .is_some_and(|index| self.scenario.accounts[index].quota.is_some())
    }

    /// Tells whether a flow may end because its user's quota is spent.
    pub(super) fn is_spent(&self, flow: usize) -> bool {
        let group = self.scenario.flows[flow].group;
        let Some(index) = self.account_of(group) else {
            return false;
        };
        let of_account = |&(&(owner, ..), _): &(&(usize, usize, u64), &u64)| owner == index;
        let totals = self.store.totals.iter().filter(of_account);
        let handed: u64 = totals.map(|(_, &total)| total).sum();
        self.scenario.accounts[index].quota == Some(handed)
    }
}
