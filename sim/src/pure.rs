//! The pure loop: real cores, modelled carriers, clients and targets, virtual time, one seed.
//!
//! ```text
//!  clients ─▶ POP cores ═ carriers (delay, bandwidth, cuts, late bytes, …) ═ edge cores ─▶ targets
//! ```
//!
//! A seed becomes a [`Scenario`], in which every host, limit, flow and fault is written out; that is
//! run. Everything that happens is an action in one queue ordered by time and number of entry. After
//! each, the cores that it touched are drained and audited. Payload is a function of (flow,
//! direction, offset), so that a byte that is lost, doubled or moved is seen where it arrives. A run
//! has two phases: faults happen; then the world heals, and every flow has to end, first those that
//! nothing holds up, while the others still stall.

mod chooser;
mod draw;
pub mod explore;
mod oracle;
mod pace;
mod peer;
mod scenario;
mod seed;
mod shrink;
mod trace;
mod trouble;
mod world;

pub use chooser::Chooser;
pub use oracle::{Kind, Violation};
pub use scenario::{
    Account, Answer, Fault, Flow, Forged, Habit, Limits, Network, RateChange, Scenario, Timed, Way,
};
pub use seed::{GENERATOR, Seed};
pub use shrink::{Shrunk, shrink};
pub use trouble::Trouble;
pub use world::Outcome;

use std::panic::AssertUnwindSafe;
use world::{Log, World};

/// Runs the scenario of a seed.
///
/// # Errors
/// Returns the first violation.
pub fn run_seed(seed: u64) -> Result<Outcome, Violation> {
    run(&Scenario::draw(seed))
}

/// Runs a scenario.
///
/// # Errors
/// Returns the first violation.
pub fn run(scenario: &Scenario) -> Result<Outcome, Violation> {
    let scenario = scenario.clone();
    oracle::guarded(|| World::new(scenario).run())
}

/// Runs a scenario and notes line by line what happens, up to the violation if there is one.
pub fn run_with_log(scenario: &Scenario) -> (Result<Outcome, Violation>, Vec<String>) {
    let log = Log::default();
    let world = (scenario.clone(), Log::clone(&log));
    let result = oracle::guarded(AssertUnwindSafe(|| {
        let mut run = World::new(world.0);
        run.keep_log(&world.1);
        run.run()
    }));
    (result, log.take())
}
