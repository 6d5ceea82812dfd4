//! What is kept of a block of memory, and what is charged for it.

use crate::common::{Rig, Way::ToEdge, Way::ToPop, config, encode, hello};
use bytes::Bytes;
use std::sync::Arc;
use titan_core::endpoint::{Batch, CloseMode, SessionId};
use titan_proto::{Code, Frame, wire};

/// A block of memory that tells whether anything still points into it.
struct Block {
    bytes: Vec<u8>,
    _alive: Arc<()>,
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn block(bytes: Vec<u8>) -> (Bytes, Arc<()>) {
    let alive = Arc::new(());
    let _alive = Arc::clone(&alive);
    (Bytes::from_owner(Block { bytes, _alive }), alive)
}

#[test]
fn a_reply_pins_no_read_block() {
    let mut rig = Rig::new(config(), 1);
    let id = rig.open();
    let reply = wire::Reply {
        code: 0,
        addresses: vec![Bytes::from_static(&[10, 0, 0, 1])],
        upload_limit: 256 << 10,
        ..wire::Reply::default()
    };
    let message = encode(Frame::Reply { session: 1, reply });
    let mut bytes = vec![0; 288 << 10];
    bytes[..message.len()].copy_from_slice(&message);
    let (block, alive) = block(bytes);
    let slice = block.slice(..message.len());
    drop(block);
    let link = rig.link(0);
    let carrier = rig.links[link].pop.unwrap();
    rig.pop.handle_message(rig.now, carrier, &slice);
    drop(slice);
    rig.pop.settle(rig.now);
    assert_eq!(rig.ended(id), None);
    let reply = rig.pop.reply(id).unwrap();
    assert_eq!(*reply.addresses[0], [10, 0, 0, 1]);
    assert_eq!(rig.pop.usage().session_bytes, 0);
    assert_eq!(Arc::strong_count(&alive), 1, "nothing else is pinned");
}

/// Opens a session at an edge that takes frames of a KiB, and 64 KiB in all.
fn in_pieces(rig: &mut Rig) -> (usize, SessionId) {
    let mut greeting = hello(1, 1);
    greeting.limits.as_mut().unwrap().data_max = 1 << 10;
    let link = rig.played_edge("node-0", greeting);
    let id = rig.open();
    rig.played_answer(link, 1, 64 << 10);
    (link, id)
}

#[test]
fn a_rest_is_charged_for_what_it_pins() {
    let mut rig = Rig::new(config(), 0);
    let (link, id) = in_pieces(&mut rig);
    let (block, alive) = block(vec![1; 64 << 10]);
    // The peer takes frames of 1 KiB, and its carrier stops before the last.
    rig.batch = 1 << 10;
    rig.pop.write(rig.now, id, block);
    let carrier = rig.links[link].pop.unwrap();
    let mut batch = Batch::new(60 << 10);
    while rig.pop.poll_ready().is_some() {}
    rig.pop.poll_transmit(rig.now, carrier, &mut batch);
    drop(batch);
    for received in 1.. {
        let ack = encode(Frame::Ack { received });
        rig.pop.handle_message(rig.now, carrier, &ack);
        assert_eq!(rig.pop.usage().tunnels, 1, "{received}");
        if rig.pop.usage().resend_bytes == 0 {
            break;
        }
    }
    let charged = rig.pop.usage().session_bytes;
    assert!(
        Arc::strong_count(&alive) == 1 || charged >= 32 << 10,
        "64 KiB are pinned, charged are {charged}"
    );
}

#[test]
fn a_piece_on_its_way_is_charged_for_what_it_pins() {
    let mut rig = Rig::new(config(), 0);
    let (link, id) = in_pieces(&mut rig);
    let (block, alive) = block(vec![1; 64 << 10]);
    rig.pop.write(rig.now, id, block);
    let carrier = rig.links[link].pop.unwrap();
    let mut batch = Batch::new(4 << 10);
    while rig.pop.poll_ready().is_some() {}
    rig.pop.poll_transmit(rig.now, carrier, &mut batch);
    drop(batch);
    // What stays is given up; what left may have to be sent again.
    rig.pop.close(rig.now, id, Code::Reset, CloseMode::Abort);
    let usage = rig.pop.usage();
    assert!(
        usage.resend_bytes > 0 && usage.session_bytes == 0,
        "{usage:?}"
    );
    assert_eq!(Arc::strong_count(&alive), 1, "1 KiB pins 64");
}

#[test]
fn bytes_that_came_in_drips_are_put_back_as_one_piece() {
    let mut rig = Rig::new(config(), 2);
    let id = rig.open();
    let sent: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for byte in sent.chunks(1) {
        rig.send_up(id, byte);
    }
    let of_data = |frame: &Frame| matches!(frame, Frame::Data { .. });
    assert_eq!(rig.count(of_data), 1000);
    rig.answer(Err(Code::TimedOut));
    assert_eq!(rig.count(of_data), 1001, "nothing is framed byte by byte");
    assert_eq!(rig.data(ToEdge)[1000..], sent);
}

#[test]
fn no_more_of_an_answer_is_kept_than_an_answer_has() {
    let mut rig = Rig::new(config(), 1);
    let id = rig.open();
    let mut addresses = vec![Bytes::from(vec![9; 17])];
    addresses.extend((0..9).map(|last| Bytes::from(vec![10, 0, 0, last])));
    let reply = wire::Reply {
        addresses,
        upload_limit: 1 << 10,
        ..wire::Reply::default()
    };
    rig.inject(rig.link(0), ToPop, Frame::Reply { session: 1, reply });
    let kept = &rig.pop.reply(id).unwrap().addresses;
    let expected: Vec<_> = (0..8)
        .map(|last| Bytes::from(vec![10, 0, 0, last]))
        .collect();
    assert_eq!(*kept, expected);
}
