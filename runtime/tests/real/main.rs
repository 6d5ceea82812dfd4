//! Real traffic: the daemons as processes, real sockets, real clients; everything on loopback.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod content;
mod curl;
mod cuts;
mod drain;
mod full;
mod http;
mod https;
mod identities;
mod late;
mod life;
mod logs;
mod managers;
mod orders;
mod process;
mod quota;
mod records;
mod refusals;
mod relay;
mod restarts;
mod secrets;
mod server;
mod site;
mod socks;
mod stalls;
mod titan;
mod traffic;
