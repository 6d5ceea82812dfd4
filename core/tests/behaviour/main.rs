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
#[path = "../../examples/drive.rs"]
#[expect(dead_code, reason = "its `main` prints what is looked at here")]
mod drive;
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

/// The example that documentation leads to does what it says.
#[test]
fn the_example_carries_a_question_and_its_answer() {
    let told = drive::story();
    let says = |what: &str| told.iter().any(|line| line.contains(what));
    assert!(says("target reads \"ping\""), "{told:?}");
    assert!(says("client reads \"pong\""), "{told:?}");
    assert!(says("session ended: Some(Ok)"), "{told:?}");
    assert!(says("sessions: 0"), "{told:?}");
}
