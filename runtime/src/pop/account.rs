//! What users of this POP may do, while they do it: quotas, rates, sessions, and the switch.
//!
//! ```text
//!  login ──admit──▶ ledger ──instructions──▶ endpoint
//!                    ▲ ▲                        │
//!  change stream ────┘ └──questions── store     │ AllowanceLow, poll_carried
//!                    ▲                          │
//!                    └──────────────────────────┘
//! ```
//!
//! The rules are [`titan_core::account::ledger`]'s. Here is its driver: calls to the store, a timer, names
//! of users, the journal. [`turn`] is the only way in: what it has carried is handed in before, and what
//! follows is done after, so that nothing moves by a grant that counts no more.

mod admit;
mod journal;
mod keep;
mod names;
mod record;
mod tell;

pub(super) use admit::{Place, admit};
pub(super) use keep::keep_journal;
pub(super) use record::{aged, refresh};
pub(super) use tell::leave;

use super::Shared;
use crate::env::Env;
use crate::store::{Holder, Store, StoreError};
use core::cell::{Cell, RefCell};
use keep::Outcome;
use names::Names;
use std::collections::BTreeMap;
use std::rc::Rc;
use titan_core::account::ledger::{Config, Event, Instruction, Ledger, PlaceId};
use titan_core::endpoint::Pop;
use titan_core::time::Instant;
use titan_proto::Code;
use tokio::sync::{Notify, oneshot};

/// The users that this POP has something of.
#[derive(Debug)]
pub(super) struct Accounts {
    holder: Holder,
    ledger: RefCell<Ledger>,
    names: RefCell<Names>,
    /// Sessions that wait to be let in.
    waiting: RefCell<BTreeMap<PlaceId, oneshot::Sender<Result<(), Code>>>>,
    /// Places that were left since the last turn.
    left: RefCell<Vec<PlaceId>>,
    /// The deadline the timer task sleeps until.
    armed: Cell<Option<Instant>>,
    /// The timer task has something to do before that.
    rearm: Notify,
    outcome: Outcome,
}

impl Accounts {
    pub(super) fn new(holder: Holder) -> Self {
        Self {
            holder,
            ledger: RefCell::new(Ledger::new(Config::default(), 0)),
            names: RefCell::default(),
            waiting: RefCell::default(),
            left: RefCell::default(),
            armed: Cell::new(None),
            rearm: Notify::new(),
            outcome: Outcome::default(),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.borrow().all()
    }

    /// Tells whether there is something of a user of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.borrow().has(name)
    }
}

/// Calls the ledger and does what follows from it.
fn turn<E: Env, S: Store, T>(
    shared: &Rc<Shared<E, S>>,
    call: impl FnOnce(&mut Ledger, Instant, u64) -> T,
) -> T {
    let accounts = &shared.accounts;
    let unix_time = shared.env.unix_time().as_secs();
    let out = shared.shard.drive(|core, now| {
        let mut ledger = accounts.ledger.borrow_mut();
        count(core, &mut ledger);
        for place in accounts.left.take() {
            ledger.leave(now, place);
        }
        let out = call(&mut ledger, now, unix_time);
        while let Some(instruction) = ledger.poll_instruction() {
            follow(core, now, &mut ledger, instruction);
        }
        out
    });
    let mut ledger = accounts.ledger.borrow_mut();
    while let Some(ask) = ledger.poll_ask() {
        let tell = tell::tell(Rc::clone(shared), ask);
        shared.tasks.spawn_unique("what users transfer", tell);
    }
    while let Some(event) = ledger.poll_event() {
        heed(accounts, event);
    }
    let due = ledger.poll_timeout();
    if due.is_some_and(|due| accounts.armed.get().is_none_or(|armed| due < armed)) {
        accounts.rearm.notify_one();
    }
    out
}

/// Hands in what groups have carried since the last turn.
fn count(core: &mut Pop, ledger: &mut Ledger) {
    while let Some((group, carried)) = core.poll_carried() {
        ledger.handle_carried(group, carried);
    }
}

/// Has the endpoint do what the ledger says.
fn follow(core: &mut Pop, now: Instant, ledger: &mut Ledger, instruction: Instruction) {
    match instruction {
        Instruction::LimitRate { group, rates } => core.limit_rate(now, group, rates),
        Instruction::Grant { group, grant } => core.grant(now, group, grant),
        Instruction::Recall { group, grant } => {
            core.recall(now, group, grant);
            ledger.handle_recalled(now, group, core.carried(group));
        }
        Instruction::Exhaust { group, code } => core.exhaust(now, group, code),
        Instruction::Forget { group } => {
            let last = core.forget_group(group);
            ledger.handle_forgotten(now, group, last);
        }
    }
}

fn heed(accounts: &Accounts, event: Event) {
    match event {
        Event::Admitted { place, outcome } => {
            let waiting = accounts.waiting.borrow_mut().remove(&place);
            if let Some(waiting) = waiting {
                // The client may have gone.
                let _ = waiting.send(outcome);
            }
        }
        Event::Released { group } => accounts.names.borrow_mut().remove(group),
        Event::Told => accounts.outcome.set(true),
        Event::Untold => accounts.outcome.set(false),
    }
}

/// The endpoint says that little is left of what a group was granted.
pub(super) fn low<E: Env, S: Store>(shared: &Rc<Shared<E, S>>, group: u32) {
    turn(shared, |ledger, now, _| ledger.handle_low(now, group));
}

/// Has everything be told again, to a store that may have forgotten it.
pub(super) fn reassert<E: Env, S: Store>(shared: &Rc<Shared<E, S>>) {
    turn(shared, |ledger, now, _| ledger.reassert(now));
}

/// Says to a run of the store, which may wait for it before it grants, that everything was told to it
/// again; false if it was not yet.
pub(super) async fn retold<E: Env, S: Store>(
    shared: &Shared<E, S>,
    run: &str,
) -> Result<bool, StoreError> {
    let accounts = &shared.accounts;
    if !accounts.ledger.borrow().is_told() {
        return Ok(false);
    }
    shared.store.retold(accounts.holder.clone(), run).await?;
    Ok(true)
}

/// Does what is due, for ever.
pub(super) async fn keep_time<E: Env, S: Store>(shared: Rc<Shared<E, S>>) {
    let accounts = &shared.accounts;
    loop {
        let due = accounts.ledger.borrow().poll_timeout();
        accounts.armed.set(due);
        let late = async {
            match due {
                Some(due) => shared.env.sleep_until(due).await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = accounts.rearm.notified() => {
                if !accounts.left.borrow().is_empty() {
                    turn(&shared, |_, _, _| ());
                }
            }
            () = late => turn(&shared, Ledger::handle_timeout),
        }
    }
}
