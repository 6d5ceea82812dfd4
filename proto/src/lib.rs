//! The wire of Titan: frames, limits and the code table.
//!
//! A WebSocket binary message carries one [`wire::Message`]. [`Envelope`] takes it apart and
//! [`Header`] puts it together, both without touching the payload; [`Frame`] gives it meaning.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod code;
mod envelope;
mod frame;
pub mod limits;
pub mod wire;

pub use code::Code;
pub use envelope::{DecodeError, Envelope, Header, encode_header, is_numbered};
pub use frame::Frame;
