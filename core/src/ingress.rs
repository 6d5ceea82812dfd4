//! From client bytes to a request.
//!
//! Every protocol that applications speak is an [`Ingress`]: a client's bytes and the driver's
//! decisions go in, [`Event`]s and bytes for the client come out. A driver holds one per connection,
//! chosen by the connection's first byte ([`start`]), and knows none of them: another protocol is a
//! file here and a row of `PROTOCOLS`.
//!
//! ```text
//!            first byte                 judge(Ok)              answer(Ok)
//! (nothing) ───────────▶ … ──Login──▶ … ─────────▶ … ──Request──▶ … ─────────▶ payload
//!                        ▲                │                          │
//!                        └── wants_bytes ─┴── judge(Err), answer(Err) ┴──▶ over
//! ```
//!
//! Who asks and what for belong together: whoever is let in by a [`Event::Login`] is so for the one
//! request that follows, and a protocol that carries several on a connection shows credentials before
//! each. After a refusal [`Ingress::wants_bytes`] tells whether the client may try again.

mod contract;
pub mod socks5;
pub mod username;
mod wishes;

pub use contract::{AuthMode, Credentials, Event, Failure, Ingress, Kind, Outcome, Request, Rules};
pub use wishes::{Answering, BadParameter, Mode, Parameter, Problem, Wishes};

use alloc::boxed::Box;
use contract::Protocol;

/// What clients may speak. Whoever speaks nothing of it hears so from the first.
const PROTOCOLS: &[Protocol] = &[socks5::PROTOCOL];

/// Starts the protocol that a connection's first byte announces. The byte itself is still to be handed
/// in.
#[must_use]
pub fn start(first: u8, rules: Rules) -> Box<dyn Ingress> {
    let announced = PROTOCOLS
        .iter()
        .find(|protocol| (protocol.is_announced_by)(first));
    (announced.unwrap_or(&PROTOCOLS[0]).start)(rules)
}

#[cfg(test)]
mod tests;
