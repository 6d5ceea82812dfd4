//! What a frame costs on its way into bytes and out of them.
//!
//! ```text
//! cargo bench -p titan-benches --bench codec
//! ```
//!
//! *encode* is [`Frame::encode`] and [`Header::new`], what a sender does before its carrier copies header and
//! payload; *decode* is [`Envelope::decode`] and [`Frame::decode`] of a message that is a slice of a read block.
//! Before anything is timed, DATA must go through without an allocation and without its payload moving.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use criterion::{BatchSize, Criterion};
use titan_proto::{Envelope, Frame, Header, wire};

/// A session that has run for a while: its number takes two bytes.
const SESSION: u64 = 300;

/// A limit of some hundred megabytes.
const OFFSET: u64 = 1 << 28;

fn main() {
    for len in [100, 64 << 10] {
        assert_untouched(len);
    }
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let frames = [
        ("data_100B", data(100)),
        ("data_64KiB", data(64 << 10)),
        ("create", create()),
        (
            "credit",
            Frame::Credit {
                session: SESSION,
                limit: OFFSET,
            },
        ),
        ("ack", Frame::Ack { received: OFFSET }),
    ];
    for (name, frame) in frames {
        bench(&mut criterion, name, &frame);
    }
    // What timing itself costs; for those who count instructions.
    criterion
        .benchmark_group("empty")
        .bench_function("iter", |bencher| bencher.iter(|| ()));
    criterion.final_summary();
}

fn bench(criterion: &mut Criterion, name: &str, frame: &Frame) {
    let message = message(frame.clone());
    assert_eq!(
        &decode(&message),
        frame,
        "{name} is what it was after encoding and decoding"
    );
    let mut group = criterion.benchmark_group(name);
    group.bench_function("encode", |bencher| {
        bencher.iter_batched(|| frame.clone(), encode, BatchSize::SmallInput);
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decode(black_box(&message)));
    });
    group.finish();
}

fn encode(frame: Frame) -> (Header, Bytes) {
    let (kind, session, payload) = frame.encode();
    (Header::new(kind, session, payload.len()), payload)
}

fn decode(message: &Bytes) -> Frame {
    let envelope = Envelope::decode(message).expect("it was encoded as an envelope");
    Frame::decode(envelope).expect("it was encoded as a frame")
}

/// Encodes a frame into a message as a driver receives it: a slice of a block that others share.
fn message(frame: Frame) -> Bytes {
    let (header, payload) = encode(frame);
    let mut block = BytesMut::with_capacity(256 << 10);
    block.put_slice(header.as_slice());
    block.put_slice(&payload);
    block.split().freeze()
}

/// Requires that DATA is encoded and decoded where it is, on the stack and by reference.
fn assert_untouched(len: usize) {
    let frame = data(len);
    let message = message(frame.clone());
    let Frame::Data { data: sent, .. } = frame.clone() else {
        unreachable!("it was made as DATA")
    };
    let before = ALLOCATIONS.get();
    let (header, payload) = encode(frame);
    let decoded = decode(&message);
    assert_eq!(ALLOCATIONS.get(), before, "DATA of {len} bytes allocates");
    assert_eq!(payload.as_ptr(), sent.as_ptr(), "encoding copies DATA");
    let Frame::Data { data, .. } = decoded else {
        panic!("DATA decodes as something else")
    };
    let start = header.as_slice().len();
    assert_eq!(
        data.as_ptr(),
        message[start..].as_ptr(),
        "decoding copies DATA"
    );
    assert_eq!(data, sent);
}

fn data(len: usize) -> Frame {
    Frame::Data {
        session: SESSION,
        data: vec![0x5a; len].into(),
    }
}

fn create() -> Frame {
    let create = wire::Create {
        kind: wire::create::Kind::Tcp.into(),
        target: Some(wire::Target {
            ip: Bytes::new(),
            name: "www.example.com".into(),
            port: 443,
        }),
        family: wire::create::Family::Any.into(),
        dial_timeout_ms: 10_000,
        group: 7,
        weight: 1,
        download_limit: 256 << 10,
        trace_id: Bytes::from_static(&[7; 16]),
    };
    Frame::Create {
        session: SESSION,
        create,
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// How often this thread has allocated.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator with a counter per thread, which costs a timed allocation next to nothing.
struct Counting;

#[allow(
    unsafe_code,
    reason = "no other way to count; every call goes to the system's allocator as it came"
)]
// SAFETY: `System` keeps the contract, and the counter neither allocates nor has a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}
