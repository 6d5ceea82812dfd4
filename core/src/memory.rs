//! The process's budget of held bytes: how full it is, what that leaves to whom, and what each user has of it.
//!
//! Nothing here knows a session or a tunnel but by its id: they say what they hold, and ask what they may.
//! The formulas are those of `docs/design/memory.md`.

mod audit;
mod budget;
mod level;
mod relief;
mod sizes;
mod users;

pub(crate) use audit::{Charge, Tally};
pub(crate) use budget::{Held, Memory};
pub use level::MemoryLevel;
pub(crate) use relief::Look;
pub(crate) use users::{User, UserId};
