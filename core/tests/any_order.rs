//! Random calls and random frames: nothing panics, and every audit holds.
//!
//! Unlike the simulation, drivers here are careless and peers malicious: ids are stale or of another
//! endpoint, frames are valid, mutated or noise, and nothing is in order.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests look for one thing among many"
)]

mod common;

use bytes::Bytes;
use common::{Way, World, config, create, demand, encode, hello, message, welcome};
use proptest::prelude::*;
use titan_core::endpoint::{
    CloseMode, Config, Dialled, Endpoint, Grant, Open, Rates, Role, SessionId,
};
use titan_core::exit::lease::{SessionName, Sticky};
use titan_core::time::Duration;
use titan_proto::{Code, Frame, wire};

#[derive(Clone, Debug)]
enum Step {
    Open {
        group: u32,
        strict: bool,
        name: Option<u8>,
    },
    Grant {
        group: u32,
        grant: Grant,
    },
    Exhaust {
        group: u32,
        code: Code,
    },
    Limit {
        group: u32,
        rates: Rates,
    },
    Forget {
        group: u32,
    },
    Dialled {
        pick: usize,
        outcome: Result<(), Code>,
    },
    Session {
        at_pop: bool,
        pick: usize,
        call: Call,
    },
    Frame {
        way: Way,
        pick: usize,
        frame: Frame,
    },
    Mutated {
        way: Way,
        pick: usize,
        frame: Frame,
        at: usize,
        byte: u8,
    },
    Noise {
        way: Way,
        pick: usize,
        kind: u32,
        session: u64,
        payload: Vec<u8>,
    },
    Greet {
        node: u8,
        hello: wire::Hello,
    },
    Connect {
        welcome: Option<wire::Hello>,
    },
    Cut {
        pick: usize,
    },
    Block {
        pick: usize,
        way: Way,
        blocked: bool,
        held: bool,
    },
    Fault {
        pick: usize,
        code: Code,
    },
    Pong {
        pick: usize,
        payload: Vec<u8>,
    },
    Command {
        action: i32,
    },
    Status(wire::Status),
    Wait(Duration),
    Plug(bool),
}

#[derive(Clone, Debug)]
enum Call {
    Write(usize),
    Finish,
    Release(usize),
    Stop,
    Close(CloseMode),
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![Just(Way::ToPop), Just(Way::ToEdge)]
}

fn code() -> impl Strategy<Value = Code> {
    prop::sample::select(Code::ALL)
}

/// Numbers where limits are likely to be.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0u64..8,
        2 => prop::sample::select(vec![999, 1000, 1001, 4096, 65_535, 65_536, 262_144]),
        1 => prop::sample::select(vec![u64::from(u32::MAX), u64::MAX - 1, u64::MAX]),
        1 => any::<u64>(),
    ]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..4, 1 => Just(u32::MAX), 1 => any::<u32>()]
}

fn some_hello() -> impl Strategy<Value = wire::Hello> {
    let limits = (number(), number(), number(), number()).prop_map(|(a, b, c, d)| wire::Limits {
        data_max: u32::try_from(a).unwrap_or(u32::MAX),
        resend_max: b,
        early_max: c,
        sessions_max: u32::try_from(d).unwrap_or(u32::MAX),
    });
    let limits = prop_oneof![3 => Just(hello(0, 0).limits), 1 => limits.prop_map(Some)];
    (0u64..4, 0u64..12, number(), number(), number(), limits).prop_map(
        |(epoch, attempt, tunnel, received, next, limits)| wire::Hello {
            tunnel: if tunnel < 6 { 0 } else { tunnel },
            received: if received < 6 { 0 } else { received },
            next,
            limits,
            ..hello(epoch, attempt)
        },
    )
}

fn some_create() -> impl Strategy<Value = wire::Create> {
    (small(), small(), small(), number(), 0i32..4, any::<bool>()).prop_map(
        |(group, weight, dial_timeout_ms, download_limit, kind, good)| wire::Create {
            group,
            weight,
            dial_timeout_ms,
            download_limit,
            kind: if good { 0 } else { kind },
            ..create()
        },
    )
}

fn frame() -> impl Strategy<Value = Frame> {
    let session = || prop_oneof![8 => 1u64..6, 1 => number().prop_map(|n| n.max(1))];
    prop_oneof![
        (session(), some_create()).prop_map(|(session, create)| Frame::Create { session, create }),
        (session(), code(), number()).prop_map(|(session, code, upload_limit)| Frame::Reply {
            session,
            reply: wire::Reply {
                code: code.wire(),
                upload_limit,
                ..wire::Reply::default()
            },
        }),
        (session(), 0usize..3000).prop_map(|(session, len)| Frame::Data {
            session,
            data: vec![7; len].into(),
        }),
        (session(), number()).prop_map(|(session, final_offset)| Frame::HalfClose {
            session,
            final_offset,
        }),
        (session(), any::<u32>()).prop_map(|(session, code)| Frame::Stop { session, code }),
        (session(), code(), 0i32..3).prop_map(|(session, code, mode)| Frame::Close {
            session,
            close: wire::Close {
                code: code.wire(),
                mode,
            },
        }),
        (session(), number()).prop_map(|(session, limit)| Frame::Credit { session, limit }),
        session().prop_map(|session| Frame::Udp {
            session,
            udp: wire::Udp::default(),
        }),
        number().prop_map(|received| Frame::Ack { received }),
        (any::<bool>(), small()).prop_map(|(accepting, sessions_max)| {
            Frame::Status(wire::Status {
                accepting,
                sessions_max,
                ..wire::Status::default()
            })
        }),
        (code(), number()).prop_map(|(code, retry_after_ms)| {
            Frame::Bye(wire::Bye {
                code: code.wire(),
                retry_after_ms,
                detail: String::new(),
            })
        }),
        any::<i32>().prop_map(|action| {
            Frame::Command(wire::Command {
                action,
                ..wire::Command::default()
            })
        }),
        some_hello().prop_map(Frame::Hello),
        (64u32..200).prop_map(Frame::Unknown),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (0usize..5000).prop_map(Call::Write),
        2 => Just(Call::Finish),
        4 => (0usize..5000).prop_map(Call::Release),
        1 => Just(Call::Stop),
        1 => Just(Call::Close(CloseMode::Drain)),
        1 => Just(Call::Close(CloseMode::Abort)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let pick = || 0usize..8;
    let outcome = prop_oneof![2 => Just(Ok(())), 1 => code().prop_map(Err)];
    let wait = prop_oneof![
        6 => 0u64..50,
        3 => 50u64..6000,
        2 => 6000u64..40_000,
        1 => 40_000u64..400_000,
    ];
    prop_oneof![
        6 => (small(), any::<bool>(), prop::option::of(0u8..3))
            .prop_map(|(group, strict, name)| Step::Open { group, strict, name }),
        2 => (0u32..4, prop::option::of(number()), number())
            .prop_map(|(group, total, low)| Step::Grant { group, grant: Grant { total, low } }),
        1 => (0u32..4, code()).prop_map(|(group, code)| Step::Exhaust { group, code }),
        2 => (0u32..4, number(), number())
            .prop_map(|(group, up, down)| Step::Limit { group, rates: Rates { up, down } }),
        1 => (0u32..4).prop_map(|group| Step::Forget { group }),
        6 => (pick(), outcome).prop_map(|(pick, outcome)| Step::Dialled { pick, outcome }),
        16 => (any::<bool>(), pick(), call())
            .prop_map(|(at_pop, pick, call)| Step::Session { at_pop, pick, call }),
        6 => (way(), pick(), frame()).prop_map(|(way, pick, frame)| Step::Frame { way, pick, frame }),
        1 => (way(), pick(), frame(), any::<usize>(), any::<u8>()).prop_map(
            |(way, pick, frame, at, byte)| Step::Mutated { way, pick, frame, at, byte }
        ),
        1 => (way(), pick(), 0u32..80, number(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(
            |(way, pick, kind, session, payload)| Step::Noise { way, pick, kind, session, payload }
        ),
        2 => (0u8..3, some_hello()).prop_map(|(node, hello)| Step::Greet { node, hello }),
        3 => prop::option::of(Just(welcome())).prop_map(|welcome| Step::Connect { welcome }),
        2 => pick().prop_map(|pick| Step::Cut { pick }),
        4 => (pick(), way(), any::<bool>(), any::<bool>())
            .prop_map(|(pick, way, blocked, held)| Step::Block { pick, way, blocked, held }),
        1 => (pick(), code()).prop_map(|(pick, code)| Step::Fault { pick, code }),
        1 => (pick(), prop::collection::vec(any::<u8>(), 0..10))
            .prop_map(|(pick, payload)| Step::Pong { pick, payload }),
        1 => (-1i32..6).prop_map(|action| Step::Command { action }),
        1 => (any::<bool>(), small()).prop_map(|(accepting, sessions_max)| {
            Step::Status(wire::Status { accepting, sessions_max, ..wire::Status::default() })
        }),
        6 => wait.prop_map(|wait| Step::Wait(Duration::from_millis(wait))),
        2 => any::<bool>().prop_map(Step::Plug),
    ]
}

fn limits() -> impl Strategy<Value = Config> {
    (
        prop::sample::select(vec![0u64, 1, 1000, 64 << 10]),
        prop::sample::select(vec![1u64, 1000, 64 << 10]),
        prop::sample::select(vec![10_000u64, 100_000, 1 << 30]),
        prop::sample::select(vec![1u32, 3, 1000]),
    )
        .prop_map(
            |(early_max, window_base, memory_budget, sessions_max)| Config {
                early_max,
                window_base,
                memory_budget,
                sessions_max,
                resend_max: 64 << 10,
                data_max: 1 << 10,
                send_queue_max: 4 << 10,
                leases_max: 2,
                group_held_max: memory_budget / 4,
                tunnel_held_max: memory_budget / 3,
                ..config()
            },
        )
}

fn pick<T: Copy>(items: &[T], pick: usize) -> Option<T> {
    // The latest are the likeliest to live.
    let len = items.len();
    (len > 0).then(|| items[len - 1 - pick % len.min(8)])
}

fn on_session<R: Role>(
    endpoint: &mut Endpoint<R>,
    now: titan_core::time::Instant,
    id: SessionId,
    call: &Call,
) {
    match call {
        Call::Write(len) => endpoint.write(now, id, vec![1; *len].into()),
        Call::Finish => endpoint.finish(now, id),
        Call::Release(count) => endpoint.release(now, id, *count),
        Call::Stop => endpoint.stop(now, id, Code::Reset),
        Call::Close(mode) => endpoint.close(now, id, Code::Cancelled, *mode),
    }
    endpoint.status(now, id);
}

/// Hands a message in, unless that end of the carrier is gone.
fn hand_in(world: &mut World, way: Way, picked: usize, message: &Bytes) {
    let len = world.links.len();
    if len == 0 {
        return;
    }
    let number = len - 1 - picked % len.min(3);
    let link = &world.links[number];
    let lives = match way {
        Way::ToPop => link.pop.is_some(),
        Way::ToEdge => link.at_edge.is_some(),
    };
    if lives {
        world.inject_raw(number, way, message);
    }
}

fn act(world: &mut World, edge_sessions: &mut Vec<SessionId>, step: Step) {
    let now = world.now;
    let opened = core::mem::take(&mut world.edges[0].opened);
    edge_sessions.extend(opened);
    match step {
        Step::Grant { group, grant } => world.pop.grant(now, group, grant),
        Step::Exhaust { group, code } => world.pop.exhaust(now, group, code),
        Step::Limit { group, rates } => world.pop.limit_rate(now, group, rates),
        Step::Forget { group } => drop(world.pop.forget_group(group)),
        Step::Open {
            group,
            strict,
            name,
        } => {
            let name = name.and_then(|name| SessionName::new(&format!("name-{name}")));
            let open = Open {
                group,
                strict,
                sticky: name.map(|name| Sticky { name, strict }),
                ..demand()
            };
            if let Ok(id) = world.pop.open(now, open) {
                world.pop_sessions.push(id);
            }
        }
        Step::Dialled { pick: n, outcome } => {
            if let Some(id) = pick(edge_sessions, n) {
                let outcome = outcome.map(|()| Dialled::default());
                world.edges[0].core.dialled(now, id, outcome);
            }
        }
        Step::Session {
            at_pop,
            pick: n,
            call,
        } => {
            // Sometimes an id of the other endpoint: it names nothing, or something unrelated.
            let ids = if n == 7 {
                &*edge_sessions
            } else {
                &world.pop_sessions
            };
            if at_pop && let Some(id) = pick(ids, n) {
                on_session(&mut world.pop, now, id, &call);
            }
            if !at_pop && let Some(id) = pick(edge_sessions, n) {
                on_session(&mut world.edges[0].core, now, id, &call);
            }
        }
        Step::Frame {
            way,
            pick: n,
            frame,
        } => hand_in(world, way, n, &encode(frame)),
        Step::Mutated {
            way,
            pick: n,
            frame,
            at,
            byte,
        } => {
            let mut bytes = encode(frame).to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            hand_in(world, way, n, &bytes.into());
        }
        Step::Noise {
            way,
            pick: n,
            kind,
            session,
            payload,
        } => hand_in(world, way, n, &message(kind, session, &payload)),
        Step::Greet { node, hello } => {
            let link = world.raw_edge(&format!("node-{node}"));
            world.inject(link, Way::ToPop, Frame::Hello(hello));
            if world.links[link].pop.is_some() {
                world.inject(link, Way::ToPop, Frame::Ack { received: 0 });
            }
        }
        Step::Connect { welcome } => {
            if world.edges[0].wants {
                match welcome {
                    None => drop(world.connect_as(0, "node-0")),
                    Some(welcome) => {
                        let link = world.raw_pop(0);
                        world.inject(link, Way::ToEdge, Frame::Hello(welcome));
                    }
                }
            }
        }
        Step::Cut { pick: n } => {
            let len = world.links.len();
            if len > 0 {
                world.cut(len - 1 - n % len.min(3));
            }
        }
        Step::Block {
            pick: n,
            way,
            blocked,
            held,
        } => {
            let len = world.links.len();
            if len > 0 {
                let pipe = world.links[len - 1 - n % len.min(3)].pipe(way);
                (pipe.blocked, pipe.held) = (blocked, held);
            }
        }
        Step::Fault { pick: n, code } => {
            if let Some(id) = world.links.iter().rev().nth(n).and_then(|link| link.pop) {
                world.pop.handle_carrier_fault(now, id, code);
            }
        }
        Step::Pong { pick: n, payload } => {
            if let Some(id) = world.links.iter().rev().nth(n).and_then(|link| link.pop) {
                world.pop.handle_pong(now, id, &payload);
            }
        }
        Step::Command { action } => {
            let tunnels: Vec<_> = world.pop.nodes().iter().map(|node| node.tunnel).collect();
            for tunnel in tunnels {
                let command = wire::Command {
                    action,
                    ..wire::Command::default()
                };
                world.pop.command(now, tunnel, command);
            }
        }
        Step::Status(status) => world.edges[0].core.set_status(now, &status),
        Step::Wait(wait) => world.wait(wait),
        Step::Plug(online) => world.edges[0].online = online,
    }
    world.run();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_nothing_leaks(
        limits in limits(),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut world = World::new(limits, 1);
        let mut edge_sessions = Vec::new();
        for step in steps {
            act(&mut world, &mut edge_sessions, step);
        }
        // Everyone lets go, and the net is cut: nothing may stay.
        world.edges[0].online = false;
        let now = world.now;
        edge_sessions.extend(core::mem::take(&mut world.edges[0].opened));
        for &id in &world.pop_sessions {
            world.pop.close(now, id, Code::Ok, CloseMode::Abort);
        }
        for id in edge_sessions {
            world.edges[0].core.close(now, id, Code::Ok, CloseMode::Drain);
        }
        for link in 0..world.links.len() {
            world.cut(link);
        }
        world.wait(Duration::from_secs(120));
        let opened = core::mem::take(&mut world.edges[0].opened);
        for id in opened {
            world.edges[0].core.close(world.now, id, Code::Ok, CloseMode::Abort);
        }
        world.wait(Duration::from_secs(5000));
        let groups = world.pop.usage().groups;
        let idle = titan_core::endpoint::Usage::default();
        prop_assert_eq!(world.pop.usage(), titan_core::endpoint::Usage { groups, ..idle });
        prop_assert_eq!(world.edges[0].core.usage(), idle);
    }
}
