//! The state machine that a driver holds: one per process and shard.
//!
//! Methods come in four kinds. `handle_*` bring facts from outside, commands ([`Endpoint::write`],
//! [`Endpoint::finish`], …) are what the driver wants, `poll_*` pull what is due, getters look. The
//! contract, each part tested:
//!
//! - Any order of calls is legal, and a stale id is answered like one of something that has ended.
//! - `now` never decreases; an earlier one counts as the latest seen.
//! - After `poll_ready`, `poll_woken` and `poll_event` have returned nothing and the ready carriers
//!   have been transmitted, `poll_timeout` is in the future or nothing.
//! - Each call does bounded work. Carriers, tunnels and sessions in which nothing happens cost
//!   nothing but a deadline.
//!
//! A turn of a driver is: hand in what was received, [`Endpoint::settle`], then drain the polls.

mod agenda;
mod allowed;
mod audit;
mod batch;
mod carriers;
mod deadline;
mod desk;
mod drain;
mod edge;
mod engine;
mod event;
mod heard;
mod hello;
mod machine;
mod pop;
mod pressure;
mod report;
mod role;
mod sabotage;
mod transmit;

pub use crate::account::{Carried, Grant, Rates};
pub use crate::arena::{CarrierId, SessionId, TunnelId, UplinkId};
pub use crate::config::Config;
pub use crate::memory::MemoryLevel;
pub use crate::session::{CloseMode, Dial, SessionStatus};
pub use crate::timer::Timer;
pub use crate::tunnel::rtt::Rtt;
pub use audit::Usage;
pub use batch::{Batch, FRAME_HEADER, Item, Outgoing};
pub use edge::{DialRequest, Dialled, EdgeRole};
pub use event::{Counters, Deadline, EdgeEvent, EdgeTimer, Event, PopEvent, PopTimer};
pub use machine::Endpoint;
pub use pop::{NodeView, Open, PopRole};
pub use report::{Exit, SessionReport, Whose};
pub use role::Role;

/// The state machine of a POP.
pub type Pop = Endpoint<PopRole>;

/// The state machine of an edge.
pub type Edge = Endpoint<EdgeRole>;
