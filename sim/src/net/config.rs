//! What holds everywhere in a network.

use core::time::Duration;

/// What holds everywhere in a network unless set otherwise.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where all randomness comes from.
    pub seed: u64,
    /// The one-way delay between two hosts; the round trip is twice as long.
    pub delay: Duration,
    /// Bytes a sender's kernel holds until they are acknowledged.
    pub send_buffer: usize,
    /// Bytes a receiver's kernel holds until they are read.
    pub receive_buffer: usize,
    /// Connections that wait to be accepted; a SYN beyond it is ignored.
    pub backlog: usize,
    /// How long it takes to find out that a name does not exist.
    pub lookup_delay: Duration,
    /// How long CPU-heavy work takes.
    pub work_cost: Duration,
}

impl Config {
    /// Creates the usual configuration: 10 ms of delay, buffers of 64 KiB, a backlog of 1024.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            delay: Duration::from_millis(10),
            send_buffer: 64 * 1024,
            receive_buffer: 64 * 1024,
            backlog: 1024,
            lookup_delay: Duration::from_millis(20),
            work_cost: Duration::ZERO,
        }
    }
}
