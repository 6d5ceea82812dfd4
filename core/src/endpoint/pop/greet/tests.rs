use crate::config::Config;
use crate::endpoint::{Batch, Item, Pop};
use crate::time::{Duration, Instant};
use crate::tunnel::proof::tests::made;
use alloc::string::String;
use bytes::Bytes;
use titan_kit::pair::{encode, hello};
use titan_proto::{Code, Envelope, Frame, wire};

const NONCE: [u8; 16] = [5; 16];

/// Says HELLO for a node over a new carrier, and returns the answer.
fn greet(pop: &mut Pop, node: &str, hello: wire::Hello) -> Frame {
    let now = pop.now;
    let carrier = pop.handle_carrier(now, node, NONCE, true);
    pop.handle_message(now, carrier, &encode(Frame::Hello(hello)));
    let mut batch = Batch::new(1 << 20);
    pop.poll_transmit(now, carrier, &mut batch);
    let first = batch.drain().find_map(|item| match item {
        Item::Frame(frame) => Some(frame),
        Item::Ping(_) | Item::Close(_) => None,
    });
    let first = first.expect("each HELLO is answered");
    let envelope = Envelope {
        kind: first.kind,
        payload: first.payload,
        ..Envelope::default()
    };
    Frame::decode(envelope).expect("it is a frame")
}

#[test]
fn a_resume_costs_the_same_whether_there_is_such_a_tunnel_or_not() {
    let now = Instant::EPOCH + Duration::from_secs(1);
    let mut pop = Pop::new(Config::default(), [1; 32], String::new(), now);
    let Frame::Hello(borne) = greet(&mut pop, "borne", hello(1, 1)) else {
        panic!("a new tunnel");
    };
    let carrier = pop.handle_carrier(now, "detached", NONCE, true);
    pop.handle_message(now, carrier, &encode(Frame::Hello(hello(2, 1))));
    let mut batch = Batch::new(1 << 20);
    pop.poll_transmit(now, carrier, &mut batch);
    pop.handle_carrier_closed(now, carrier, Code::Reset);
    let detached = pop.role.by_wire.keys().copied();
    let detached = detached.clone().find(|&wire| wire != borne.tunnel);
    let detached = detached.expect("two tunnels");
    made();
    for (what, node, tunnel, epoch, len) in [
        ("unknown", "borne", borne.tunnel ^ 1, 1, 32),
        ("borne", "borne", borne.tunnel, 1, 32),
        ("detached", "detached", detached, 2, 32),
        ("of another node", "detached", borne.tunnel, 1, 32),
        ("of another process", "borne", borne.tunnel, 7, 32),
        ("unknown, without a proof", "borne", borne.tunnel ^ 1, 1, 0),
        ("borne, without a proof", "borne", borne.tunnel, 1, 0),
    ] {
        let hello = wire::Hello {
            tunnel,
            proof: Bytes::copy_from_slice(&[9; 32][..len]),
            ..hello(epoch, 2)
        };
        let Frame::Bye(bye) = greet(&mut pop, node, hello) else {
            panic!("{what} is refused");
        };
        assert_eq!(Code::from_wire(bye.code), Code::ResumeRefused, "{what}");
        assert_eq!(made(), 1, "{what}");
    }
}
