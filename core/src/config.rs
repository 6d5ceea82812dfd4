//! The limits and times of an endpoint.

use crate::time::Duration;

/// Limits and times of an endpoint. All have defaults; both ends tell each other what matters to the
/// other in HELLO, and that holds for the tunnel's life.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Receive window of a session in bytes before growth.
    pub window_base: u64,
    /// Receive window of a session in bytes at most.
    pub window_max: u64,
    /// Client bytes a session may send before the reply to its CREATE. Zero turns early data off.
    pub early_max: u64,
    /// Bytes of numbered frames kept for resending per tunnel before DATA is held back.
    pub resend_max: u64,
    /// DATA payload per frame in bytes.
    pub data_max: usize,
    /// Bytes a session holds that its carrier has not taken; then its socket is not read.
    pub send_queue_max: usize,
    /// Sessions open at once: at an edge over all its tunnels, at a POP on each of them.
    pub sessions_max: u32,
    /// Bytes all sessions and resend buffers of the process may hold.
    pub memory_budget: u64,
    /// A ping is sent after this long without receiving.
    pub ping_after: Duration,
    /// A carrier is dead after this long without receiving.
    pub dead_after: Duration,
    /// A tunnel outlives its carrier by this long.
    pub grace: Duration,
    /// A carrier must deliver HELLO within this time.
    pub hello_timeout: Duration,
    /// The edge gives a dial up after this long.
    pub dial_timeout: Duration,
    /// The POP ends a session whose dial, all exits together, took this long.
    pub dial_budget: Duration,
    /// A closed session's remaining bytes must leave within this time.
    pub write_deadline: Duration,
    /// A session in which nothing moves ends after this long.
    pub idle: Duration,
    /// A half-closed session in which nothing moves ends after this long.
    pub idle_half_closed: Duration,
    /// An acknowledgement is due this long after the first frame it covers.
    pub ack_delay: Duration,
    /// A session name stays bound to its exit this long after its last session.
    pub lease_idle: Duration,
    /// Session names bound to exits at once; beyond, the one that was idle for longest is forgotten.
    pub leases_max: usize,
    /// Tunnels may be resumed over carriers that are not encrypted.
    pub resume_over_plaintext: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_base: 256 << 10,
            window_max: 16 << 20,
            early_max: 64 << 10,
            resend_max: 4 << 20,
            data_max: 64 << 10,
            send_queue_max: 256 << 10,
            sessions_max: 16_384,
            memory_budget: 1 << 30,
            ping_after: Duration::from_secs(5),
            dead_after: Duration::from_secs(15),
            grace: Duration::from_secs(30),
            hello_timeout: Duration::from_secs(10),
            dial_timeout: Duration::from_secs(10),
            dial_budget: Duration::from_secs(25),
            write_deadline: Duration::from_secs(30),
            idle: Duration::from_secs(3600),
            idle_half_closed: Duration::from_secs(300),
            ack_delay: Duration::from_millis(20),
            lease_idle: Duration::from_secs(600),
            leases_max: 65_536,
            resume_over_plaintext: false,
        }
    }
}

impl Config {
    /// Returns within which time all that a peer was sent has to be acknowledged, over all carriers, if others
    /// need what is kept for it: its carrier may be found dead, it may come back in the last moment, all that
    /// may happen once more, and then it has as long as one that is not heard.
    pub(crate) fn ack_within(&self) -> Duration {
        (self.dead_after + self.grace) * 2 + self.dead_after
    }

    /// Returns how many sessions a memory budget has room for that takes nothing from anybody: each with
    /// 4 KiB waiting either way, below the level from which newcomers are refused.
    #[must_use]
    pub const fn sessions_fitting(memory_budget: u64) -> u64 {
        memory_budget / 10 * 8 / (2 * LEAST)
    }
}

/// What a session may have in its send queue as long as there is any memory at all, and what it may leave
/// waiting for its socket for as long as it likes.
pub(crate) const LEAST: u64 = 4 << 10;

/// Window after which acknowledgement is due at once, as a share of the peer's resend limit.
pub(crate) const ACK_SHARE: u64 = 4;

/// Received bytes after which acknowledgement is due at once, whatever the peer keeps: what is
/// released early is still in the caches of the sender when it is used again.
pub(crate) const ACK_BYTES: u64 = 256 << 10;

/// Bytes of control frames kept beyond the resend limit; a peer that takes more without
/// acknowledging is cut off (`ack_withheld`).
pub(crate) const CONTROL_RESERVE: u64 = 64 << 10;

/// What a kept frame is charged beyond its payload: its place in the queue and its allocation.
pub(crate) const FRAME_OVERHEAD: u64 = 64;

/// What a frame is charged at least for which there has to be room before DATA is made.
pub(crate) const CRUMB: u64 = FRAME_OVERHEAD + 512;

/// Exits tried for one session at most.
pub(crate) const EXITS_MAX: usize = 3;

/// For how long a process of a node that another one replaced is told to stay away, and at most if there
/// are more of them: twice as long for each. Of two edges that have one id by mistake the older is back
/// soon when the newer leaves; a herd of clones does not come every few seconds.
pub(crate) const DUPLICATE_RETRY: Duration = Duration::from_secs(5);
pub(crate) const DUPLICATE_RETRY_MAX: Duration = Duration::from_secs(600);

/// Growth of a window needs its use within two round trips, but a round trip is taken as at least
/// this long: below, the scheduler's turns and not the network decide, and a session that moves a
/// base window in 10 ms deserves more whatever its round trip.
pub(crate) const GROWTH_RTT_MIN: Duration = Duration::from_millis(5);

/// A carrier is pinged this often even while it receives, to keep its round trip time known.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(15);

/// A session stands still whose socket took fewer bytes than [`SHED_BELOW`] in this time.
pub(crate) const SHED_AFTER: Duration = Duration::from_secs(5);

/// What a socket takes at least that is not to be reset when memory is short.
pub(crate) const SHED_BELOW: u32 = 64 << 10;

/// A session rests in which nothing moved for this long, and gives the growth of its window back.
pub(crate) const REST_AFTER: Duration = Duration::from_secs(30);

/// A carrier that takes nothing for this long while sessions wait is logged as full (W14).
pub(crate) const STALL_AFTER: Duration = Duration::from_secs(1);
