//! What a POP pays per frame it sends and per tunnel it merely holds.
//!
//! ```text
//! cargo bench -p titan-benches --bench scheduler
//! ```
//!
//! - *transmit* is the time inside `poll_transmit` per DATA frame, whole batches by the default limits, to one real
//!   edge that reads, acknowledges and grants outside the measured time. With *bulk*, sessions always have more
//!   frames of 64 KiB; with *requests*, each has one of 100 bytes and leaves the scheduler with it. The sessions are
//!   of one user, or each is of its own.
//! - *turn* is a turn in which nothing is due: `poll_ready`, `poll_timeout` and `handle_timeout`.
//! - *keepalive* is one deadline of an otherwise idle tunnel, from `handle_timeout` to the pong.
//!
//! Per frame, per turn and per deadline, the time must not grow with sessions or tunnels beyond what a deeper tree
//! of timers and the processor's caches make of it.

mod pair;

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, SamplingMode};
use pair::{BATCH_LEN, Link};
use titan_core::endpoint::{Batch, Config, Item, Open, Pop, SessionId};
use titan_core::target::{Host, Target};
use titan_core::time::Instant;
use titan_core::trace::TraceId;
use titan_proto::{FrameKind, wire};

/// Virtual time per round of transmitting: acknowledgements that wait for company are due by then.
const ROUND: Duration = Duration::from_millis(25);

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for load in [BULK, REQUESTS] {
        transmit(&mut criterion, &load, "one_user", &[1, 64, 1000], |_| 1);
        transmit(&mut criterion, &load, "many_users", &[64, 1000], |n| n);
    }
    for tunnels in [10, 1000, 10_000] {
        idle(&mut criterion, tunnels);
    }
    criterion.final_summary();
}

/// What every session has to send.
struct Load {
    name: &'static str,
    piece: usize,
    /// Pieces that wait at the beginning of each round.
    pieces: usize,
}

const BULK: Load = Load {
    name: "bulk",
    piece: 64 << 10,
    pieces: 4,
};

const REQUESTS: Load = Load {
    name: "requests",
    piece: 100,
    pieces: 1,
};

fn transmit(
    criterion: &mut Criterion,
    load: &Load,
    users: &str,
    counts: &[u32],
    user: impl Fn(u32) -> u32,
) {
    let mut group = criterion.benchmark_group(format!("transmit/{}/{users}", load.name));
    group.sampling_mode(SamplingMode::Flat);
    for &sessions in counts {
        group.bench_function(BenchmarkId::from_parameter(sessions), |bencher| {
            let mut busy = Busy::new(load, (1..=sessions).map(&user));
            bencher.iter_custom(|frames| {
                let (mut time, mut sent) = (Duration::ZERO, 0);
                while sent < frames {
                    time += busy.round();
                    sent += busy.refill();
                }
                time.mul_f64(frames as f64 / sent as f64)
            });
        });
    }
    group.finish();
}

/// A POP with one tunnel and sessions that have something to send.
struct Busy {
    pop: Pop,
    link: Link,
    now: Instant,
    /// By number: they are the only ones there have ever been.
    sessions: Vec<SessionId>,
    piece: Bytes,
    batch: Batch,
    /// Session number and length of each DATA frame of the round.
    sent: Vec<(u64, usize)>,
}

impl Busy {
    fn new(load: &Load, users: impl Iterator<Item = u32>) -> Self {
        let now = Instant::EPOCH;
        let mut pop = new_pop(now);
        let mut link = Link::attach(&mut pop, now, "node");
        let mut open = |user| {
            pop.open(now, open(user))
                .expect("the exit takes all sessions")
        };
        let sessions: Vec<SessionId> = users.map(&mut open).collect();
        link.exchange(&mut pop, now);
        let piece = Bytes::from(vec![0x5a; load.piece]);
        for _ in 0..load.pieces {
            for &session in &sessions {
                pop.write(now, session, piece.clone());
            }
        }
        Self {
            pop,
            link,
            now,
            sessions,
            piece,
            batch: Batch::new(BATCH_LEN),
            sent: Vec::new(),
        }
    }

    /// Transmits until the POP has nothing more or waits for acknowledgement; returns the time it took.
    fn round(&mut self) -> Duration {
        let mut time = Duration::ZERO;
        loop {
            let started = Clock::now();
            self.pop
                .poll_transmit(self.now, self.link.at_pop(), &mut self.batch);
            time += started.elapsed();
            let more = self.batch.is_full();
            for item in self.batch.drain() {
                if let Item::Frame(frame) = &item
                    && frame.kind == FrameKind::Data.number()
                {
                    self.sent.push((frame.session, frame.payload.len()));
                }
                self.link.deliver(&mut self.pop, self.now, item);
            }
            if !more {
                return time;
            }
        }
    }

    /// Lets the edge answer and gives each session what it sent; returns the number of DATA frames.
    fn refill(&mut self) -> u64 {
        let frames = self.sent.len() as u64;
        assert!(frames > 0, "there is always something to send");
        self.now = self.now + ROUND;
        self.link.exchange(&mut self.pop, self.now);
        for (number, len) in self.sent.drain(..) {
            let session = self.sessions[number as usize - 1];
            self.pop.write(self.now, session, self.piece.slice(..len));
        }
        frames
    }
}

fn idle(criterion: &mut Criterion, tunnels: u32) {
    let mut pop = new_pop(Instant::EPOCH);
    // Spread over the time to the first ping, as nodes that come and go are.
    let step = pop.config().ping_after / tunnels;
    let mut now = Instant::EPOCH;
    for node in 0..tunnels {
        now = Instant::EPOCH + step * node;
        Link::attach(&mut pop, now, &format!("node-{node}"));
    }

    let mut group = criterion.benchmark_group("idle");
    group.bench_function(BenchmarkId::new("turn", tunnels), |bencher| {
        let quiet = pop.poll_timeout().is_some_and(|next| next.at > now);
        assert!(quiet, "nothing is due");
        bencher.iter(|| {
            let ready = pop.poll_ready();
            let next = pop.poll_timeout();
            pop.handle_timeout(black_box(now));
            (ready, next)
        });
    });
    let mut batch = Batch::new(BATCH_LEN);
    group.bench_function(BenchmarkId::new("keepalive", tunnels), |bencher| {
        bencher.iter(|| {
            let next = pop.poll_timeout().expect("every carrier is kept alive");
            now = next.at;
            pop.handle_timeout(now);
            while let Some(carrier) = pop.poll_ready() {
                pop.poll_transmit(now, carrier, &mut batch);
                for item in batch.drain() {
                    if let Item::Ping(payload) = item {
                        pop.handle_pong(now, carrier, &payload);
                    }
                }
            }
        });
    });
    group.finish();
    assert_eq!(
        pop.nodes().len(),
        tunnels as usize,
        "every tunnel is still there"
    );
}

fn new_pop(now: Instant) -> Pop {
    Pop::new(Config::default(), [1; 32], String::new(), now)
}

fn open(user: u32) -> Open {
    Open {
        target: Target {
            host: Host::Name("www.example.com".into()),
            port: 443,
        },
        group: user,
        weight: 1,
        family: wire::create::Family::Any,
        country: None,
        strict: false,
        sticky: None,
        trace: TraceId::new([7; 16]),
    }
}
