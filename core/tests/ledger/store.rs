//! A store that keeps users' accounts as totals of holders, which count as maxima.

use std::collections::BTreeMap;
use titan_core::account::ledger::{Standing, Terms, Totals};
use titan_core::endpoint::Rates;

/// A process of a POP: which POP, and which of its lives.
pub(crate) type Holder = (usize, u64);

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) limit: Option<u64>,
    /// The largest limit there ever was.
    pub(crate) limit_ever: u64,
    pub(crate) enabled: bool,
    pub(crate) password: u64,
    pub(crate) sessions_max: Option<u32>,
    /// The store says that there is no such user.
    pub(crate) missing: bool,
    pub(crate) parts: BTreeMap<Holder, Totals>,
}

impl Account {
    pub(crate) fn charged(&self) -> u64 {
        let parts = self.parts.values();
        parts.map(|part| part.granted - part.returned).sum()
    }

    pub(crate) fn terms(&self) -> Terms {
        let spent = self
            .parts
            .values()
            .map(|part| part.uploaded + part.downloaded);
        Terms {
            limit: self.limit,
            charged: self.charged(),
            spent: spent.sum(),
            rates: Rates::default(),
            sessions_max: self.sessions_max,
            enabled: self.enabled,
            starts_at: None,
            ends_at: None,
            password: self.password,
        }
    }
}

/// The accounts by user.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) accounts: Vec<Account>,
    /// The life of each POP whose registration holds.
    pub(crate) lives: BTreeMap<usize, u64>,
}

impl Store {
    /// Takes over what a holder tells, and grants up to `want` in all.
    pub(crate) fn settle(
        &mut self,
        holder: Holder,
        user: usize,
        told: Totals,
        want: u64,
    ) -> Option<Standing> {
        let lives = &self.lives;
        let account = &mut self.accounts[user];
        if account.missing {
            return None;
        }
        let part = account.parts.entry(holder).or_default();
        part.uploaded = part.uploaded.max(told.uploaded);
        part.downloaded = part.downloaded.max(told.downloaded);
        part.returned = part.returned.max(told.returned);
        let spent = part.uploaded + part.downloaded;
        if account.limit_ever < u64::MAX {
            assert!(
                part.returned + spent <= part.granted,
                "{part:?} of user {user} says that what was given back is spent"
            );
        }
        part.granted = part.granted.max(told.granted).max(part.returned + spent);
        part.sessions = told.sessions;
        let charged = account.charged();
        let room = account
            .limit
            .unwrap_or(u64::MAX / 2)
            .saturating_sub(charged);
        let part = account.parts.entry(holder).or_default();
        part.granted += want.saturating_sub(part.granted).min(room);
        let granted = part.granted;
        let others = account
            .parts
            .iter()
            .filter(|((pop, life), _)| (*pop, *life) != holder && lives.get(pop) == Some(life));
        let others: Vec<Totals> = others.map(|(_, part)| *part).collect();
        let held = |part: &Totals| part.granted - part.returned - part.uploaded - part.downloaded;
        Some(Standing {
            granted,
            charged: account.charged(),
            limit: account.limit,
            sessions_elsewhere: others.iter().map(|part| u64::from(part.sessions)).sum(),
            held_elsewhere: others.iter().map(held).sum(),
            share: Rates::default(),
        })
    }
}
