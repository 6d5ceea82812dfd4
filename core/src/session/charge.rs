//! What a session is charged for.

/// What the session is charged for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pinned {
    /// Everything that it holds.
    pub(super) total: u64,
    /// The part of it that waits for the socket; charged to tunnel and group too.
    pub(super) waiting: u64,
    /// Window growth taken from the pool.
    pub(super) grown: u64,
}
