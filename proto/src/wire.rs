//! The messages of `message.proto`.
#![allow(
    missing_docs,
    clippy::all,
    clippy::use_self,
    unused_qualifications,
    reason = "generated from message.proto, which documents them"
)]

include!(concat!(env!("OUT_DIR"), "/titan.wire.rs"));
