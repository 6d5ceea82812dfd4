//! The wire of Titan: frames, limits and the code table.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod code;

pub use code::Code;
