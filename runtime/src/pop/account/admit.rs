//! Letting sessions of users in.

use super::record::terms;
use super::{Shared, turn};
use crate::auth::Login;
use crate::env::Env;
use crate::store::Store;
use std::rc::Rc;
use titan_core::account::ledger::PlaceId;
use titan_proto::Code;
use tokio::sync::oneshot;

/// A place among the sessions of a user; dropping it frees it.
pub(in crate::pop) struct Place<E: Env, S: Store> {
    shared: Rc<Shared<E, S>>,
    id: PlaceId,
    /// The user's number.
    pub(in crate::pop) group: u32,
}

impl<E: Env, S: Store> Drop for Place<E, S> {
    fn drop(&mut self) {
        let accounts = &self.shared.accounts;
        accounts.waiting.borrow_mut().remove(&self.id);
        // Its task may be ended in the middle of a turn of somebody else's.
        accounts.left.borrow_mut().push(self.id);
        accounts.rearm.notify_one();
    }
}

/// Lets one more session of a user in, as [`Ledger::admit`] says; waits if the store has to be asked.
///
/// # Errors
/// Those of [`Ledger::admit`].
///
/// [`Ledger::admit`]: titan_core::account::ledger::Ledger::admit
pub(in crate::pop) async fn admit<E: Env, S: Store>(
    shared: &Rc<Shared<E, S>>,
    login: &Login,
) -> Result<Place<E, S>, Code> {
    let record = &login.record;
    let accounts = &shared.accounts;
    let (sender, receiver) = oneshot::channel();
    let admission = turn(shared, |ledger, now, unix_time| {
        let admitted = ledger.admit(now, unix_time, record.id, &terms(record));
        // Also of one who is turned away: there may be something to be told.
        if let Some(group) = ledger.group_of(record.id) {
            accounts.names.borrow_mut().add(group, record);
        }
        if let Ok(admission) = admitted
            && admission.waits
        {
            let mut waiting = accounts.waiting.borrow_mut();
            waiting.insert(admission.place, sender);
        }
        admitted
    })?;
    let place = Place {
        shared: Rc::clone(shared),
        id: admission.place,
        group: admission.group,
    };
    if admission.waits {
        receiver.await.unwrap_or(Err(Code::Internal))?;
    }
    Ok(place)
}
