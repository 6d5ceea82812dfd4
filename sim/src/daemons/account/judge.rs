//! Holds what the store says of users against what moved.

use super::audit::Statement;
use super::spec::{UserBytes, UserRate};
use crate::daemons::clock;
use crate::daemons::units::Size;
use crate::daemons::world::Shared;

/// Checks what must hold at any time.
pub(in crate::daemons) fn check_always(shared: &Shared) {
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
pub(in crate::daemons) fn settled(shared: &Shared) -> Result<(), String> {
    for user in &shared.scenario.users {
        if let Some(statement) = Statement::read(shared, &user.name) {
            let wrong = |message| format!("user {}: {message}", user.name);
            statement.judge().map_err(wrong)?;
        }
    }
    Ok(())
}

/// Checks how many bytes of a user moved.
pub(in crate::daemons) fn check_moved(shared: &Shared, bytes: &UserBytes) -> Result<(), String> {
    let moved = shared.ledger.moved(&bytes.user);
    bytes.check("moved", moved.total())
}

/// Checks how much is charged to a user.
pub(in crate::daemons) fn check_charged(shared: &Shared, bytes: &UserBytes) -> Result<(), String> {
    let statement = Statement::read(shared, &bytes.user);
    let statement = statement.ok_or_else(|| format!("user {} is gone", bytes.user))?;
    bytes.check("charged", statement.charged)
}

/// Checks how much stays charged to a user because its holder died.
pub(in crate::daemons) fn check_lost(shared: &Shared, bytes: &UserBytes) -> Result<(), String> {
    let statement = Statement::read(shared, &bytes.user);
    let statement = statement.ok_or_else(|| format!("user {} is gone", bytes.user))?;
    bytes.check("lost with their holders", statement.lost())
}

/// Checks how fast a user's bytes moved at a POP, within 5 %.
pub(in crate::daemons) fn check_speed(shared: &Shared, rate: &UserRate) -> Result<(), String> {
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
