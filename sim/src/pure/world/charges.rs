//! Whether users are charged what they carried, and carry what was granted (I9).

use super::super::oracle::violated;
use super::super::peer::{Peer, SLOW_BELOW};
use super::World;
use std::collections::BTreeMap;
use titan_core::endpoint::{Carried, Rates};
use titan_core::time::{Duration, Instant};

/// What is known of the users of one POP process, from outside, by the group of their flows.
#[derive(Debug, Default)]
pub(super) struct Books {
    by_group: BTreeMap<u32, Book>,
}

impl Books {
    pub(super) fn of(&mut self, group: u32) -> &mut Book {
        self.by_group.entry(group).or_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct Book {
    /// Bytes that clients who are gone had sent and received.
    past: (u64, u64),
    /// At most so many of these had been taken and not been booked.
    owed: u64,
    /// What groups had carried that the core has forgotten.
    base: (u64, u64),
    /// What was booked when it was last looked at.
    seen: (u64, u64),
    /// Since when all that was granted is used up.
    dry_since: Option<Instant>,
    rates: Rates,
    meters: [Meter; 2],
}

impl Book {
    /// Holds the user to these rates from now on.
    pub(super) fn limit_rate(&mut self, rates: Rates) {
        if self.rates != rates {
            self.rates = rates;
            self.meters = <[Meter; 2]>::default();
        }
    }

    /// The core has forgotten the user's group.
    pub(super) const fn forgotten(&mut self, last: Carried) {
        self.base.0 += last.up;
        self.base.1 += last.down;
    }

    const fn moved(&self) -> u64 {
        self.seen.0 + self.seen.1
    }
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

impl World {
    /// A client is gone; what it moved stays counted.
    pub(super) fn book_client(&mut self, pop: usize, client: &Peer) {
        let group = self.scenario.flows[client.flow].group;
        let book = self.pops[pop].books.of(group);
        book.past.0 += client.sent;
        book.past.1 += client.received;
        book.owed += client.unbooked_max();
    }

    /// Compares what each touched POP counts with what its clients saw.
    pub(super) fn judge_accounts(&mut self) {
        for pop in 0..self.pops.len() {
            if self.pops[pop].touched && self.pops[pop].core.is_some() {
                self.judge_account_of(pop);
            }
        }
    }

    fn judge_account_of(&mut self, pop: usize) {
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
            host.books.of(group);
        }
        for (&group, book) in &mut host.books.by_group {
            let live = sums.get(&group).copied().unwrap_or_default();
            let saw = (book.past.0 + live.0, book.past.1 + live.1);
            let mut accounts = self.scenario.accounts.iter();
            let index = accounts.position(|account| account.group == group);
            let number = match index {
                Some(index) => host.desks.get(index).and_then(|desk| desk.group()),
                None => Some(group),
            };
            let carried = number.map_or_else(Carried::default, |number| core.carried(number));
            let booked = (book.base.0 + carried.up, book.base.1 + carried.down);
            let unbooked = saw.0.checked_sub(booked.0);
            if unbooked.is_none_or(|bytes| bytes > live.2 + book.owed) || saw.1 != booked.1 {
                violated(
                    9,
                    format_args!("pop {pop} counts {booked:?} of group {group}; clients: {saw:?}"),
                );
            }
            let dry = number.is_some_and(|number| core.left(number) == Some(0));
            book.dry_since = dry.then_some(book.dry_since.unwrap_or(now));
            // Those who are gone owe no more than all together.
            book.owed = book.owed.min(unbooked.unwrap_or(0));
            if let Some(index) = index
                && self.scenario.accounts[index].quota.is_some()
            {
                let part = self.store.part(index, (pop, host.life));
                let given = self.store.given(index, (pop, host.life));
                if booked.0 + booked.1 + part.returned > given {
                    violated(
                        9,
                        format_args!("group {group} moved {booked:?} at pop {pop}: {part:?}"),
                    );
                }
            }
            let left = number.and_then(|number| core.left(number));
            let held_back = book.rates.down > 0 || left.is_some_and(|left| left < SLOW_BELOW);
            let clients = host.clients.peers.values_mut();
            for client in clients.filter(|client| self.scenario.flows[client.flow].group == group) {
                client.is_held_back(now, held_back);
            }
            judge_rates(now, pop, group, book, booked);
        }
        self.judge_quotas();
    }

    /// Tells whether the POP of a flow has had nothing for its user for so long that what waits for a
    /// grant is given up.
    pub(super) fn is_dry(&self, pop: usize, flow: usize) -> bool {
        self.is_dry_for(pop, flow, self.scenario.limits.config().idle_half_closed)
    }

    /// Tells whether the POP of a flow has had nothing for its user for so long.
    pub(super) fn is_dry_for(&self, pop: usize, flow: usize, patience: Duration) -> bool {
        let group = self.scenario.flows[flow].group;
        let book = self.pops[pop].books.by_group.get(&group);
        book.and_then(|book| book.dry_since)
            .is_some_and(|since| self.now.since(since) >= patience)
    }

    /// No user has moved more than his quota, all POPs and all their lives together.
    fn judge_quotas(&self) {
        for (index, account) in self.scenario.accounts.iter().enumerate() {
            let Some(quota) = account.quota else { continue };
            let live = self.pops.iter().filter_map(|host| {
                let book = host.books.by_group.get(&account.group)?;
                host.core.as_ref().map(|_| book.moved())
            });
            let gone = self.record.carried.get(&index).copied().unwrap_or(0);
            let moved = live.sum::<u64>() + gone;
            if moved > quota + self.store.forgotten(index) {
                violated(
                    9,
                    format_args!("group {} moved {moved} of {quota} bytes", account.group),
                );
            }
        }
    }

    /// A process goes: it takes one open piece with it at most.
    pub(super) fn close_accounts(&mut self, pop: usize) {
        if self.pops[pop].core.is_none() {
            return;
        }
        self.judge_account_of(pop);
        let life = self.pops[pop].life;
        for index in 0..self.scenario.accounts.len() {
            let account = &self.scenario.accounts[index];
            let moved = self.pops[pop].books.of(account.group).moved();
            let part = self.store.part(index, (pop, life));
            let held = part.granted - part.returned;
            let exact = account.quota.is_some() && account.forgets.is_none();
            if exact && held > moved + account.piece {
                violated(
                    9,
                    format_args!("pop {pop} held {part:?} and had moved {moved}"),
                );
            }
            *self.record.carried.entry(index).or_default() += moved;
        }
    }

    /// No ledger that had its turn has something due.
    pub(super) fn judge_ledgers(&self, earliest: Instant) {
        let pops = self.pops.iter();
        let pops = pops.filter(|host| host.suspended_until < self.now);
        let ledgers = pops.flat_map(|host| host.desks.iter().map(|desk| &desk.ledger));
        for due in ledgers.filter_map(|ledger| ledger.poll_timeout()) {
            if due < earliest {
                violated(
                    6,
                    format_args!("a ledger's {due:?} has passed at {:?}", self.now),
                );
            }
        }
    }

    /// In the end everything is told, and given back, and nobody is held.
    pub(super) fn judge_told(&mut self, pop: usize) {
        let life = self.pops[pop].life;
        for index in 0..self.pops[pop].desks.len() {
            let usage = self.pops[pop].desks[index].ledger.usage();
            if usage.users + usage.places + usage.asks > 0 {
                violated(6, format_args!("pop {pop} still holds {usage:?}"));
            }
            let account = &self.scenario.accounts[index];
            let moved = self.pops[pop].books.of(account.group).moved();
            let part = self.store.part(index, (pop, life));
            let told = part.uploaded + part.downloaded;
            if told != moved {
                violated(
                    9,
                    format_args!("pop {pop} carried {moved} of account {index} and told {told}"),
                );
            }
            if account.quota.is_some() && part.granted - part.returned != told {
                violated(
                    9,
                    format_args!("pop {pop} keeps what nobody needs of account {index}: {part:?}"),
                );
            }
        }
    }
}

/// Holds what a group has moved since it was last looked at against its rates.
fn judge_rates(now: Instant, pop: usize, group: u32, book: &mut Book, booked: (u64, u64)) {
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
