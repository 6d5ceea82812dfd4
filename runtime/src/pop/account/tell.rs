//! Asking and telling the store what the ledger wants it to be asked and told.

use super::{Accounts, Shared, count, keep, turn};
use crate::env::Env;
use crate::pop::patience::Patience;
use crate::store::{self, Store, StoreError};
use std::rc::Rc;
use titan_core::account::ledger::{Ask, Event, Question, Standing, Totals};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("a user without a name")]
    Nameless,
}

/// Carries a message to the store and its answer back.
pub(super) async fn tell<E: Env, S: Store>(shared: Rc<Shared<E, S>>, ask: Ask) {
    let id = ask.id;
    let said = put(&shared, ask).await;
    if let Err(error) = &said {
        tracing::debug!(%error, "no answer from the store yet");
    }
    turn(&shared, |ledger, now, _| match said {
        Ok(said) => ledger.handle_answer(now, id, &said),
        Err(_) => ledger.handle_failure(now, id),
    });
}

async fn put<E: Env, S: Store>(
    shared: &Shared<E, S>,
    ask: Ask,
) -> Result<Vec<Option<Standing>>, Failed> {
    let accounts = &shared.accounts;
    let holder = accounts.holder.clone();
    let said = match ask.question {
        Question::Grant {
            group,
            totals,
            want,
        } => {
            let totals = named(accounts, group, totals).ok_or(Failed::Nameless)?;
            vec![shared.store.lease(holder, totals, want).await?]
        }
        Question::Report(batch) => {
            let batch = batch.into_iter();
            let named = batch.map(|(group, totals)| named(accounts, group, totals));
            let totals = named.collect::<Option<Vec<_>>>().ok_or(Failed::Nameless)?;
            shared.store.report(holder, totals, None).await?
        }
    };
    let said = said.into_iter();
    Ok(said.map(|standing| standing.map(read)).collect())
}

fn named(accounts: &Accounts, group: u32, totals: Totals) -> Option<store::Totals> {
    accounts.names.borrow().totals(group, totals)
}

const fn read(standing: store::Standing) -> Standing {
    Standing {
        granted: standing.granted,
        charged: standing.charged,
        limit: standing.limit,
        sessions_elsewhere: standing.sessions_elsewhere,
        held_elsewhere: standing.held_elsewhere,
        share: standing.share,
    }
}

/// Reports everything once more and gives every grant back: the tasks of sessions have ended. What
/// the store does not take is kept on the disk.
pub(in crate::pop) async fn leave<E: Env, S: Store>(
    shared: &Rc<Shared<E, S>>,
    patience: &mut Patience<'_, E>,
) {
    shared.shard.drive(|core, now| {
        let mut ledger = shared.accounts.ledger.borrow_mut();
        count(core, &mut ledger);
        ledger.close(now);
    });
    if patience.wait(last_word(shared)).await == Some(true) {
        keep::clear(shared).await;
    } else {
        tracing::warn!("the store does not take the last usage: it is kept on the disk");
        keep::keep(shared).await;
    }
}

/// Tells what is left to be told; false if the store does not take it.
async fn last_word<E: Env, S: Store>(shared: &Shared<E, S>) -> bool {
    let ledger = &shared.accounts.ledger;
    let mut told = false;
    loop {
        let ask = ledger.borrow_mut().poll_ask();
        while let Some(event) = ledger.borrow_mut().poll_event() {
            told = event == Event::Told;
        }
        let Some(ask) = ask else { return told };
        let id = ask.id;
        let said = put(shared, ask).await;
        let now = shared.env.now();
        match said {
            Ok(said) => ledger.borrow_mut().handle_answer(now, id, &said),
            Err(_) => ledger.borrow_mut().handle_failure(now, id),
        }
    }
}
