//! Whole runs of both roles out of bytes: careless drivers and malicious peers.
//!
//! Unlike in the simulation, ids are stale or of another endpoint, frames are valid, mutated or noise,
//! HELLOs are twisted on their way, and nothing is in order. Bytes are choices and every string of bytes
//! is a run, so that a generator of properties and a fuzzer drive the same code, and a file says what
//! happened. After every step the rig is drained, audited and held to the contract; at the end nothing
//! may be left.

pub mod accounts;
pub mod act;
pub mod choices;
pub mod frames;

use crate::pair::{Rig, Way, config, secs, welcome};
use accounts::{AccountStep, Ledger, Name};
use act::act;
use choices::Choices;
use titan_core::endpoint::{CloseMode, Config, SessionId, Usage};
use titan_core::time::Duration;
use titan_proto::{Code, Frame, wire};

/// Steps of one run at most, whatever its bytes say.
const STEPS_MAX: usize = 300;

/// Edge processes of one run at most.
const EDGES_MAX: usize = 3;

/// One call, or one thing that happens on the net.
#[derive(Clone, Debug)]
pub enum Step {
    Open {
        group: u32,
        strict: bool,
        name: Option<Name>,
    },
    Account(AccountStep),
    Dialled {
        edge: usize,
        pick: usize,
        outcome: Result<(), Code>,
    },
    Session {
        at: Side,
        /// An id of the other side: it names nothing, or something unrelated.
        foreign: bool,
        pick: usize,
        call: Call,
    },
    Frame {
        way: Way,
        pick: usize,
        frame: Frame,
    },
    /// A frame with a byte changed or cut short.
    Mutated {
        way: Way,
        pick: usize,
        frame: Frame,
        at: usize,
        byte: Option<u8>,
    },
    Noise {
        way: Way,
        pick: usize,
        kind: u32,
        session: u64,
        payload: Vec<u8>,
    },
    /// Something that was sent before, on whatever carrier.
    Replay {
        way: Way,
        pick: usize,
        back: usize,
    },
    /// A carrier of an edge that is not one of ours.
    Greet {
        node: u64,
        hello: wire::Hello,
    },
    /// The wish of an edge to be connected is fulfilled, by the POP or by someone else.
    Connect {
        edge: usize,
        welcome: Option<wire::Hello>,
    },
    ConnectFailed {
        edge: usize,
        retry: Duration,
    },
    /// The next HELLO of this way is changed before it arrives.
    Twist {
        way: Way,
        twist: Twist,
        value: u64,
    },
    Cut {
        pick: usize,
        ends: Ends,
    },
    Block {
        pick: usize,
        way: Way,
        blocked: bool,
        held: bool,
    },
    Fault {
        at_pop: bool,
        pick: usize,
        code: Code,
    },
    Pong {
        at_pop: bool,
        pick: usize,
        payload: Vec<u8>,
    },
    Alive {
        pick: usize,
    },
    Command {
        action: i32,
    },
    Status {
        edge: usize,
        status: wire::Status,
    },
    Farewell {
        at: Side,
        code: Code,
    },
    Wait(Duration),
    Plug {
        edge: usize,
        online: bool,
    },
    AddEdge {
        node: u64,
    },
}

/// Whose endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Pop,
    Edge(usize),
}

/// Which ends of a carrier learn that it is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    Both,
    One(Way),
}

/// What the driver of a session calls.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    Write(usize),
    Finish,
    Release(usize),
    Stop,
    Close(CloseMode),
    /// A write under a clock that went back.
    Past,
}

/// Which field of a HELLO is twisted.
#[derive(Clone, Copy, Debug)]
pub enum Twist {
    Version,
    Epoch,
    Attempt,
    Tunnel,
    Received,
    Next,
    Proof,
    Key,
    Limits,
}

/// Runs what the bytes say, to the end.
///
/// # Panics
/// Panics if anything does not hold that must.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let limits = limits(&mut choices);
    let edges = 1 + choices.below(2) as usize;
    let mut rig = Rig::new(limits, 1);
    rig.batch = choices.pick(&[64 << 10, 1, 500, 3000]);
    // Once a step: a step may be many runs, and auditing takes as long as all else.
    rig.every_run_is_audited = false;
    if edges > 1 {
        let node = choices.below(2);
        rig.add_edge(&format!("node-{node}"));
    }
    let mut opened = vec![Vec::new(); EDGES_MAX];
    let mut ledger = Ledger::default();
    for _ in 0..STEPS_MAX {
        if choices.is_empty() {
            break;
        }
        let step = step(&mut choices);
        act(&mut rig, &mut opened, &mut ledger, step);
    }
    end(&mut rig, &mut opened, &mut ledger);
}

/// Everyone lets go, the net is cut, names lose their exits and groups are forgotten: nothing may stay.
fn end(rig: &mut Rig, opened: &mut [Vec<SessionId>], ledger: &mut Ledger) {
    rig.rewrite = None;
    for site in &mut rig.edges {
        site.online = false;
    }
    for &id in &rig.pop_sessions {
        rig.pop.close(rig.now, id, Code::Ok, CloseMode::Abort);
    }
    for wait in [secs(120), secs(5000)] {
        for (site, opened) in rig.edges.iter_mut().zip(opened.iter_mut()) {
            opened.append(&mut site.opened);
            for id in opened.drain(..) {
                site.core.close(rig.now, id, Code::Ok, CloseMode::Flush);
            }
        }
        for link in 0..rig.links.len() {
            rig.cut(link);
        }
        rig.wait(wait);
        rig.audit();
        ledger.check(rig);
    }
    ledger.forget_all(rig);
    rig.run();
    rig.audit();
    assert_eq!(rig.pop.usage(), Usage::default());
    for site in &rig.edges {
        assert_eq!(site.core.usage(), Usage::default());
    }
}

fn limits(choices: &mut Choices<'_>) -> Config {
    let memory_budget = choices.pick(&[1 << 30, 100_000, 10_000]);
    let (early_max, window_base) = (
        choices.pick(&[64 << 10, 1000, 1, 0]),
        choices.pick(&[64 << 10, 1000, 1]),
    );
    let (sessions_max, leases_max) = choices.pick(&[
        (1000, 1000),
        (3, 1000),
        (1, 1000),
        (1000, 2),
        (3, 2),
        (1, 2),
    ]);
    Config {
        early_max,
        window_base,
        memory_budget,
        sessions_max,
        leases_max,
        resend_max: 64 << 10,
        data_max: 1 << 10,
        send_queue_max: 4 << 10,
        ..config()
    }
}

/// Draws a step; those that keep sessions moving come more often.
fn step(choices: &mut Choices<'_>) -> Step {
    let byte = choices.below(256);
    if byte >= 216 {
        return Step::Account(accounts::step(choices, byte - 216));
    }
    match byte % 72 {
        roll @ 0..28 => session_step(choices, roll),
        roll @ 28..39 => frame_step(choices, roll),
        roll @ 39..48 => greeting_step(choices, roll),
        roll @ 48..58 => carrier_step(choices, roll),
        roll => order_step(choices, roll),
    }
}

/// What drivers do with sessions.
fn session_step(choices: &mut Choices<'_>, roll: u64) -> Step {
    match roll {
        0..6 => {
            let group = choices.small();
            let kind = choices.below(8);
            Step::Open {
                group,
                strict: kind % 2 == 1,
                name: accounts::name(choices, kind / 2),
            }
        }
        6..12 => Step::Dialled {
            edge: choices.edge(),
            pick: choices.recent(),
            outcome: choices.outcome(),
        },
        _ => Step::Session {
            at: choices.side(),
            foreign: choices.below(16) == 15,
            pick: choices.recent(),
            call: call(choices),
        },
    }
}

/// What peers send.
fn frame_step(choices: &mut Choices<'_>, roll: u64) -> Step {
    match roll {
        28..34 => Step::Frame {
            way: choices.way(),
            pick: choices.recent(),
            frame: frames::frame(choices),
        },
        34..36 => Step::Mutated {
            way: choices.way(),
            pick: choices.recent(),
            frame: frames::frame(choices),
            at: choices.below(1 << 12) as usize,
            byte: choices.flag().then(|| choices.below(256) as u8),
        },
        36 => Step::Noise {
            way: choices.way(),
            pick: choices.recent(),
            kind: choices.below(80) as u32,
            session: choices.number(),
            payload: choices.bytes(40),
        },
        _ => Step::Replay {
            way: choices.way(),
            pick: choices.recent(),
            back: choices.below(32) as usize,
        },
    }
}

/// What begins a carrier.
fn greeting_step(choices: &mut Choices<'_>, roll: u64) -> Step {
    match roll {
        39..41 => Step::Greet {
            node: choices.below(3),
            hello: frames::some_hello(choices),
        },
        41..44 => Step::Connect {
            edge: choices.edge(),
            welcome: choices.flag().then(|| wire::Hello {
                tunnel: choices.below(3),
                received: choices.below(8) / 7,
                ..welcome()
            }),
        },
        44 => Step::ConnectFailed {
            edge: choices.edge(),
            retry: choices.wait(),
        },
        _ => Step::Twist {
            way: choices.way(),
            twist: choices.pick(&[
                Twist::Received,
                Twist::Next,
                Twist::Attempt,
                Twist::Epoch,
                Twist::Tunnel,
                Twist::Proof,
                Twist::Key,
                Twist::Limits,
                Twist::Version,
            ]),
            value: choices.number(),
        },
    }
}

/// What happens to a carrier.
fn carrier_step(choices: &mut Choices<'_>, roll: u64) -> Step {
    match roll {
        48..51 => Step::Cut {
            pick: choices.recent(),
            ends: choices.pick(&[Ends::Both, Ends::One(Way::ToPop), Ends::One(Way::ToEdge)]),
        },
        51..55 => Step::Block {
            pick: choices.recent(),
            way: choices.way(),
            blocked: choices.flag(),
            held: choices.flag(),
        },
        55 => Step::Fault {
            at_pop: choices.flag(),
            pick: choices.recent(),
            code: choices.code(),
        },
        56 => Step::Pong {
            at_pop: choices.flag(),
            pick: choices.recent(),
            payload: choices.bytes(10),
        },
        _ => Step::Alive {
            pick: choices.recent(),
        },
    }
}

/// What is ordered, and the passing of time.
fn order_step(choices: &mut Choices<'_>, roll: u64) -> Step {
    match roll {
        58 => Step::Command {
            action: choices.below(7) as i32 - 1,
        },
        59 => Step::Status {
            edge: choices.edge(),
            status: wire::Status {
                accepting: choices.flag(),
                sessions_max: choices.small(),
                ..wire::Status::default()
            },
        },
        60 => Step::Farewell {
            at: choices.side(),
            code: choices.code(),
        },
        61..67 => Step::Wait(choices.wait()),
        67..71 => Step::Plug {
            edge: choices.edge(),
            online: choices.flag(),
        },
        _ => Step::AddEdge {
            node: choices.below(3),
        },
    }
}

fn call(choices: &mut Choices<'_>) -> Call {
    match choices.below(16) {
        0..5 => Call::Write(choices.len()),
        5..7 => Call::Finish,
        7..12 => Call::Release(choices.len()),
        12 => Call::Stop,
        13 => Call::Close(CloseMode::Flush),
        14 => Call::Close(CloseMode::Abort),
        _ => Call::Past,
    }
}
