//! Applications and the targets they talk to.
//!
//! Every byte is a function of flow and offset and is checked where it arrives.

mod client;
mod direction;
mod head;
mod target;

pub(super) use client::run as run_clients;
pub(super) use target::run as run_target;
