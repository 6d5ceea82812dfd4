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
mod judge;
mod ledger;
mod operator;
mod spec;
mod tally;

pub use spec::{Act, TimedAct, User, UserBytes, UserRate};

pub(super) use check::{check, check_bytes, check_rate};
pub(super) use judge::{
    check_always, check_charged, check_lost, check_moved, check_speed, settled,
};
pub(super) use ledger::Ledger;
pub(super) use operator::run as run_operator;
pub(super) use spec::add;
pub(super) use tally::{Connection, Tally};
