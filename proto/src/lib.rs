//! The wire of Titan: frames, limits, the table of frames and that of codes.
//!
//! A WebSocket binary message carries one [`wire::Message`]. [`Envelope`] takes it apart and
//! [`Header`] puts it together, both without touching the payload; [`Frame`] gives it meaning.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod code;
mod envelope;
mod frame;
mod kind;
pub mod limits;
pub mod wire;

pub use code::Code;
pub use envelope::{DecodeError, Envelope, Header, encode_header};
pub use frame::Frame;
pub use kind::{Class, FrameKind, Party, Sender, is_numbered};
