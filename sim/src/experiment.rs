//! What the daemons do in numbers: measured in virtual time, compared with what the distances demand.

mod chart;
mod row;
pub mod zero_rtt;
