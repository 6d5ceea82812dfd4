//! Any HELLO at all is either answered or turned away, by rules that can be told from it alone.

use crate::common::{
    Rig,
    Way::{self, ToEdge, ToPop},
    config, hello, secs, welcome,
};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use titan_core::endpoint::Usage;
use titan_proto::{Code, Frame, limits, wire};

/// Mostly what is right, sometimes what is nearly so, sometimes anything.
fn near(right: u64) -> impl Strategy<Value = u64> {
    let next = select(vec![right.saturating_sub(1), right.saturating_add(1), 0]);
    prop_oneof![6 => Just(right), 2 => next, 1 => any::<u64>()]
}

fn near_small(right: u32) -> impl Strategy<Value = u32> {
    near(right.into()).prop_map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

fn some_limits() -> impl Strategy<Value = Option<wire::Limits>> {
    let limits = (
        near_small(1 << 10),
        near(64 << 10),
        any::<u64>(),
        any::<u32>(),
    );
    prop::option::weighted(
        0.9,
        limits.prop_map(
            |(data_max, resend_max, early_max, sessions_max)| wire::Limits {
                data_max,
                resend_max,
                early_max,
                sessions_max,
            },
        ),
    )
}

/// HELLOs around `right`.
fn hellos(right: wire::Hello) -> impl Strategy<Value = wire::Hello> {
    let numbers = (
        near_small(right.version),
        near(right.epoch),
        near(right.attempt),
        near(right.tunnel),
        near(right.received),
        near(right.next),
    );
    let blob = || prop::collection::vec(any::<u8>(), 0..70).prop_map(Bytes::from);
    let octets = prop_oneof![
        2 => Just(right.observed_address),
        1 => any::<[u8; 4]>().prop_map(|octets| octets.to_vec().into()),
        1 => any::<[u8; 16]>().prop_map(|octets| octets.to_vec().into()),
        1 => blob(),
    ];
    let key = prop_oneof![4 => Just(right.resume_key), 1 => blob()];
    (
        numbers,
        some_limits(),
        key,
        blob(),
        "[ -~]{0,40}",
        any::<u32>(),
        octets,
    )
        .prop_map(
            |(
                (version, epoch, attempt, tunnel, received, next),
                limits,
                key,
                proof,
                address,
                lane,
                observed,
            )| {
                wire::Hello {
                    version,
                    epoch,
                    attempt,
                    tunnel,
                    received,
                    limits,
                    proof,
                    next,
                    resume_key: key,
                    resume_address: address,
                    lane,
                    observed_address: observed,
                }
            },
        )
}

fn limits_fit(hello: &wire::Hello) -> bool {
    let limits = hello.limits.as_ref();
    limits.is_some_and(|limits| limits.resend_max >= 64 << 10 && limits.data_max >= 1 << 10)
}

/// Returns what a POP is to make of a newcomer's HELLO.
fn verdict_of_pop(hello: &wire::Hello) -> Result<(), Code> {
    if hello.version != limits::VERSION {
        Err(Code::VersionUnsupported)
    } else if !limits_fit(hello) {
        Err(Code::Malformed)
    } else if hello.tunnel != 0 {
        Err(Code::ResumeRefused)
    } else if hello.received != 0 {
        Err(Code::Desync)
    } else {
        Ok(())
    }
}

/// Returns what an edge without a tunnel is to make of a POP's HELLO.
fn verdict_of_edge(hello: &wire::Hello) -> Result<(), Code> {
    if hello.version != limits::VERSION {
        Err(Code::VersionUnsupported)
    } else if hello.resume_key.len() != 32
        || !limits_fit(hello)
        || !matches!(hello.observed_address.len(), 0 | 4 | 16)
    {
        Err(Code::Malformed)
    } else if hello.tunnel == 0 || hello.received != 0 || hello.next != 1 {
        Err(Code::Desync)
    } else {
        Ok(())
    }
}

/// Returns the frames that went one way over a carrier.
fn frames(rig: &Rig, link: usize, way: Way) -> Vec<Frame> {
    let seen = rig
        .wire
        .iter()
        .filter(|seen| (seen.link, seen.way) == (link, way));
    seen.map(|seen| seen.frame.clone()).collect()
}

fn bye(frames: &[Frame]) -> Option<Code> {
    frames.iter().find_map(|frame| match frame {
        Frame::Bye(bye) => Some(Code::from_wire(bye.code)),
        _ => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn a_pop_answers_or_turns_away(hello in hellos(hello(5, 1))) {
        let mut rig = Rig::new(config(), 0);
        let link = rig.raw_edge("node-0");
        rig.inject(link, ToPop, Frame::Hello(hello.clone()));
        let sent = frames(&rig, link, ToEdge);
        match verdict_of_pop(&hello) {
            Ok(()) => {
                let [Frame::Hello(answer), ..] = &sent[..] else {
                    return Err(TestCaseError::fail(format!("{sent:?}")));
                };
                prop_assert_eq!((answer.version, answer.received, answer.next), (limits::VERSION, 0, 1));
                prop_assert!(answer.tunnel != 0 && answer.resume_key.len() == 32);
                prop_assert!(limits_fit(answer) && answer.proof.is_empty());
                prop_assert!(rig.links[link].pop.is_some() && rig.pop.usage().tunnels == 1);
            }
            Err(code) => {
                prop_assert!(!sent.iter().any(|frame| matches!(frame, Frame::Hello(_))));
                prop_assert_eq!(bye(&sent), Some(code));
                prop_assert!(rig.links[link].pop.is_none() && rig.pop.usage().tunnels == 0);
            }
        }
        rig.cut(link);
        rig.wait(secs(60));
        prop_assert_eq!(rig.pop.usage(), Usage::default());
    }

    #[test]
    fn an_edge_accepts_or_turns_away(hello in hellos(welcome())) {
        let mut rig = Rig::new(config(), 0);
        rig.add_offline("node-0");
        let link = rig.raw_pop(0);
        rig.inject(link, ToEdge, Frame::Hello(hello.clone()));
        let sent = frames(&rig, link, ToPop);
        prop_assert!(matches!(sent[0], Frame::Hello(_)), "the edge speaks first");
        let core = &rig.edges[0].core;
        match verdict_of_edge(&hello) {
            Ok(()) => {
                prop_assert_eq!(&sent[1..], &[Frame::Ack { received: 0 }]);
                prop_assert!(core.is_attached(rig.edges[0].uplink));
            }
            Err(code) => {
                prop_assert_eq!(bye(&sent), Some(code));
                prop_assert!(rig.links[link].at_edge.is_none() && core.usage().tunnels == 0);
            }
        }
    }
}
