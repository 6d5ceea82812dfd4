//! Users with limits, what an operator does to them, and whether the daemons kept to it.
//!
//! The [`Ledger`] knows what really moved: it counts at the sockets between clients and POPs, below
//! the daemons, and keeps apart what each process of a POP moved. Beside what a scenario expects, a
//! run with users always holds the daemons to this:
//!
//! - at no time has more moved than a user's quota allowed;
//! - a second after a user was switched off, deleted or has expired, none of its connections is open,
//!   and after a new password none of the old one; while the store is in trouble this waits for it;
//! - in the end the store has counted what moved, no byte more or less, process by process and in the
//!   statistics; all of it is charged, and nothing else. A process that died may have moved more than
//!   it told, and what it was granted stays charged: never less than it moved.

mod audit;
mod check;
mod ledger;
mod operator;
mod spec;
mod tally;

pub use spec::{Act, TimedAct, User, UserBytes, UserRate};

pub(super) use check::{check, check_bytes, check_rate};
pub(super) use ledger::Ledger;
pub(super) use operator::run as run_operator;
pub(super) use spec::add;
pub(super) use tally::{Connection, Tally};

use super::clock;
use super::units::Size;
use super::world::Shared;

/// Checks what must hold at any time.
pub(super) fn check_always(shared: &Shared) {
    let now = clock::now();
    let since = shared.store.gate.calm_since();
    for (invariant, message) in shared.ledger.look(now, since) {
        match invariant {
            Some(number) => shared.findings.wrong(number, message),
            None => shared.findings.unexpected(message),
        }
    }
}

/// Returns whether the store has what moved, of every user.
///
/// # Errors
/// Says what it has not.
pub(super) fn settled(shared: &Shared) -> Result<(), String> {
    for user in &shared.scenario.users {
        if let Some(statement) = audit::Statement::read(shared, &user.name) {
            let wrong = |message| format!("user {}: {message}", user.name);
            statement.judge().map_err(wrong)?;
        }
    }
    Ok(())
}

/// Checks how many bytes of a user moved.
pub(super) fn check_moved(shared: &Shared, bytes: &UserBytes) -> Result<(), String> {
    let moved = shared.ledger.moved(&bytes.user);
    bytes.check("moved", moved.total())
}

/// Checks how much is charged to a user.
pub(super) fn check_charged(shared: &Shared, bytes: &UserBytes) -> Result<(), String> {
    let statement = audit::Statement::read(shared, &bytes.user);
    let statement = statement.ok_or_else(|| format!("user {} is gone", bytes.user))?;
    bytes.check("charged", statement.charged)
}

/// Checks how much stays charged to a user because its holder died.
pub(super) fn check_lost(shared: &Shared, bytes: &UserBytes) -> Result<(), String> {
    let statement = audit::Statement::read(shared, &bytes.user);
    let statement = statement.ok_or_else(|| format!("user {} is gone", bytes.user))?;
    bytes.check("lost with their holders", statement.lost())
}

/// Checks how fast a user's bytes moved at a POP, within 5 %.
pub(super) fn check_speed(shared: &Shared, rate: &UserRate) -> Result<(), String> {
    let span = (rate.from.duration(), rate.until.duration());
    let moved = shared.ledger.moved_within(&rate.user, rate.pop, span);
    let seconds = (span.1 - span.0).as_secs_f64();
    for (way, wanted, bytes) in [("up", rate.up, moved.up), ("down", rate.down, moved.down)] {
        let Some(wanted) = wanted else { continue };
        let Size(wanted) = wanted.0;
        let found = bytes as f64 / seconds;
        if (found - wanted as f64).abs() > wanted as f64 * 0.05 {
            let user = &rate.user;
            let found = found.round();
            return Err(format!(
                "user {user} moved {found} bytes per second {way}: expected {wanted}"
            ));
        }
    }
    Ok(())
}
