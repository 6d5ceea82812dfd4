//! From demand to exit: which edge, and what an edge may reach.

pub mod candidate;
pub mod guard;
pub mod index;
pub mod lease;
