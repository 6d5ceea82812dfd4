//! Sizes that both ends of the wire agree on.

/// Largest DATA payload in bytes. Large enough that framing costs nothing, small enough that the
/// frame in flight delays another session by half a millisecond at a gigabit.
pub const DATA_MAX: usize = 64 * 1024;

/// Largest payload of any other frame in bytes. A CREATE with a 255-byte name takes about 330.
pub const CONTROL_MAX: usize = 2 * 1024;

/// Largest header of a [`Message`](crate::wire::Message) before its payload: three tags, a type and
/// a length of at most five bytes each, a session number of ten.
pub const HEADER_MAX: usize = 23;

/// Largest WebSocket message in bytes that carries a frame. Legacy frames add a text session id.
pub const MESSAGE_MAX: usize = DATA_MAX + HEADER_MAX + LEGACY_SESSION_MAX + 2;

/// Longest text session id of a legacy frame in bytes: a UUID has 36.
pub const LEGACY_SESSION_MAX: usize = 64;

/// The version in HELLO.
pub const VERSION: u32 = 2;

/// The WebSocket subprotocol of carriers.
pub const SUBPROTOCOL: &str = "titan.v2";
