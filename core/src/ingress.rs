//! From client bytes to demand.

pub mod socks5;
