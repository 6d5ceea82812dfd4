//! What a POP and its edges do, told in sentences.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests look for one thing among many"
)]

mod accounts;
mod contract;
mod credit;
mod dialling;
mod drain;
mod ends;
mod fairness;
mod full;
mod greeting;
mod hellos;
mod hostile;
mod leases;
mod liveness;
mod memory;
mod offers;
mod orders;
mod own_network;
mod pins;
mod places;
mod pressure;
mod rates;
mod reports;
mod resend;
mod turns;

use titan_kit::pair as common;
