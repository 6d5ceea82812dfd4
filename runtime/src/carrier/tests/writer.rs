//! What the writer holds, and when it refuses.

use super::super::{BufferPool, FrameWriter};
use super::Slow;
use core::task::{Context, Waker};
use titan_core::rng::Rng;

fn flush(writer: &mut FrameWriter, stream: &mut Slow) {
    let mut cx = Context::from_waker(Waker::noop());
    while writer.poll_flush(&mut cx, stream).is_pending() {}
}

#[test]
fn batches_come_from_the_pool_and_go_back() {
    let pool = BufferPool::new(4096, 1);
    let mut writers = [
        FrameWriter::server(pool.clone()),
        FrameWriter::server(pool.clone()),
    ];
    let mut stream = Slow::new(4096);
    for writer in &mut writers {
        assert!(writer.is_empty());
        assert!(writer.push_message(b"a", b"b"));
        assert!(!writer.is_empty());
    }
    assert_eq!(pool.idle_count(), 0);
    for writer in &mut writers {
        flush(writer, &mut stream);
        assert!(writer.is_empty());
    }
    assert_eq!(pool.idle_count(), 1, "more than the pool keeps is freed");
    assert_eq!(stream.taken, b"\x82\x02ab\x82\x02ab");
}

#[test]
fn a_full_batch_refuses_messages_and_still_takes_control_frames() {
    let pool = BufferPool::new(4096, 1);
    let mut writer = FrameWriter::server(pool.clone());
    let room = writer.room();
    let payload = vec![1; room + 1];
    assert!(!writer.push_message(&[], &payload));
    assert!(writer.is_empty(), "a refused frame leaves no trace");
    assert!(writer.push_message(&payload[..10], &payload[10..room]));
    assert_eq!(writer.room(), 0);
    assert!(!writer.push_message(&[], b"x"));
    assert!(writer.push_pong(&[0; 125]));
    assert!(writer.push_ping(&[0; 125]));
    assert!(writer.push_close(1001, "going away"));
    assert!(!writer.push_ping(&[0; 126]));
    while writer.push_ping(&[0; 125]) {}
    assert!(writer.len() <= pool.batch_len_max());
    let mut stream = Slow::new(1000);
    flush(&mut writer, &mut stream);
    assert_eq!(writer.room(), room);
}

#[test]
fn a_blocked_batch_makes_room_as_it_is_written() {
    let mut writer = FrameWriter::server(BufferPool::new(2000, 1));
    let mut stream = Slow::new(700);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(writer.push_message(&[], &vec![1; writer.room()]));
    let full = writer.len();
    assert!(writer.poll_flush(&mut cx, &mut stream).is_pending());
    assert!(writer.poll_flush(&mut cx, &mut stream).is_pending());
    assert_eq!(writer.len(), full - 700);
    let room = writer.room();
    assert!((600..=700).contains(&room));
    assert!(writer.push_message(&[], &vec![2; room]));
    flush(&mut writer, &mut stream);
    assert_eq!(stream.taken.len(), full + 4 + room);
    let [high, low] = (room as u16).to_be_bytes();
    assert_eq!(stream.taken[full..full + 5], [0x82, 126, high, low, 2]);
}

#[test]
fn masks_are_fresh_and_follow_the_seed() {
    let written = |seed| {
        let keys = Rng::new([seed; 32]);
        let mut writer = FrameWriter::client(BufferPool::new(4096, 1), keys);
        assert!(writer.push_message(b"same", b""));
        assert!(writer.push_message(b"same", b""));
        let mut stream = Slow::new(4096);
        flush(&mut writer, &mut stream);
        stream.taken
    };
    let first = written(1);
    assert_eq!(first.len(), 20);
    assert_ne!(first[2..6], first[12..16], "each frame has its own key");
    assert_eq!(first, written(1));
    assert_ne!(first, written(2));
}
