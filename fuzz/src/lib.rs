//! What Titan does with arbitrary bytes.
//!
//! Each function takes what a fuzzer, a corpus or a generator gives, and panics if anything does not hold
//! that must. `fuzz_targets/` hands them to libFuzzer; `tests/` replays the corpora.

mod frame;
mod ingress;
mod stream;
mod username;
mod websocket;

pub use frame::frame;
pub use ingress::ingress;
pub use username::username;
pub use websocket::websocket;

/// A whole run of a POP, edges and malicious peers; see [`titan_kit::inputs`].
///
/// # Panics
/// Panics if an invariant or the contract of an endpoint is broken, or something is left at the end.
pub fn core(data: &[u8]) {
    titan_kit::inputs::run(data);
}

/// A target of fuzzing.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Names the binary and the corpus.
    pub name: &'static str,
    /// Takes one input.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target {
        name: "frame",
        run: frame,
    },
    Target {
        name: "ingress",
        run: ingress,
    },
    Target {
        name: "username",
        run: username,
    },
    Target {
        name: "websocket",
        run: websocket,
    },
    Target {
        name: "core",
        run: core,
    },
];
