//! The pure loop: real cores, modelled carriers, clients and targets, virtual time, one seed.
//!
//! ```text
//!  clients ─▶ POP core ═ carriers (delay, cuts, late bytes) ═ edge cores ─▶ targets
//! ```
//!
//! Everything that happens is an action in one queue ordered by time and number of
//! entry. After each the endpoints are drained and audited. Payload is a function of (flow,
//! direction, offset), so that a byte that is lost, doubled or moved is seen where it arrives. A run
//! has two phases: faults happen, then the world heals and every flow has to end.

mod chooser;
mod flow;
mod plan;
mod world;

pub use chooser::Chooser;
pub use plan::{Answer, Options, Plan};
pub use world::{Outcome, World};

/// Runs one seed from options drawn from it.
///
/// # Panics
/// Panics on the first violation, naming the seed.
#[must_use]
pub fn run(seed: u64) -> Outcome {
    let options = Options::draw(seed);
    World::new(seed, options).run()
}
