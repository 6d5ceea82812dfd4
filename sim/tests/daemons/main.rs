//! The daemons in a simulated network: one program, as what takes time is to build it.

mod attacks;
mod away;
mod deadlines;
mod drain;
mod expectations;
mod first_byte;
mod head_of_line;
mod keys;
mod names;
mod outcomes;
mod own_network;
mod rates;
mod shares;
mod tunnels;
mod users;
