//! The daemons in turmoil: whole processes on hosts with a network between them.
//!
//! ```text
//!  client ──SOCKS5──▶ pop-1, pop-2 … ◀══ edge-1, edge-2 … ──▶ target-1, target-2 …
//!                        └────── store ────── manager
//! ```
//!
//! A [`Scenario`] file says who is there, who moves what, what goes wrong when, and what must hold.
//! The daemons are those of production, run through their environment; each is a process of its
//! host's kernel, which can be killed, stopped and started, and each host can lose its power. One
//! thread runs everything in virtual time, and everything that is drawn follows from the seed.

mod account;
mod app;
mod check;
mod clock;
mod draw;
mod entropy;
mod env;
mod expect;
mod faults;
mod findings;
mod flows;
mod host;
mod kernel;
mod meta;
mod network;
mod ports;
mod run;
mod scenario;
mod shrink;
mod store;
mod stream;
mod trace;
mod units;
mod world;

pub use account::{Act, TimedAct, User, UserBytes, UserRate};
pub use meta::{Difference, run_twice};
pub use run::{How, Outcome, Run, run};
pub use scenario::{
    Between, Count, Expect, Fault, Flows, Mode, On, Scenario, Timed, Times, Topology,
};
pub use shrink::{Shrunk, shrink};
pub use trace::Trace;
pub use units::{Jump, Rate, Size, Span, Time};
