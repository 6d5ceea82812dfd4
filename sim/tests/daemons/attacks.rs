//! Edges that break the protocol: their carrier ends with a coded error, and everything else goes on.

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use titan_proto::{Code, Frame, Header, limits, wire};
use titan_runtime::env::Env as _;
use titan_sim::net::{Config, Network, SimEnv, SimStream, run};
use titan_sim::overlay::{Demand, FAST, Farewell, Outcome, Overlay, Rogue, TRUTHFUL, Targets};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

const NODE: &str = "rogue";

/// A transfer of bystanders takes about this long.
const BYSTANDING: Duration = Duration::from_secs(8);

/// A POP with an honest edge that is in the middle of a transfer, and a rogue nearer than it.
struct Scene {
    network: Network,
    overlay: Overlay,
    targets: Targets,
    target: SocketAddr,
    rogue: SimEnv,
    bystander: JoinHandle<Outcome>,
}

/// Plays a scene. Whatever the attack does, the bystander completes, and the POP holds in the end
/// what it would without the rogue, and works.
fn scene(attack: impl AsyncFnOnce(&mut Scene)) {
    run(Config::new(1), async |network| {
        let overlay = Overlay::up(&network, 1).await;
        let mut targets = Targets::new(&network);
        let target = targets.start(1).await;
        network.set_bandwidth("edge-1", "pop", Some(1_000_000));
        network.set_delay("edge-1", "pop", Duration::from_millis(40));
        let client = overlay.client(FAST);
        let demand = Demand {
            up: 500_000,
            down: 4_000_000,
            ..Demand::default()
        };
        let bystander = spawn_local(async move { client.transfer(target, &demand).await });
        sleep(Duration::from_secs(1)).await;
        let rogue = network.host(NODE, IpAddr::from([10, 0, 2, 1]));
        network.set_delay(NODE, "pop", Duration::from_millis(1));
        let mut scene = Scene {
            network,
            overlay,
            targets,
            target,
            rogue,
            bystander,
        };
        attack(&mut scene).await;

        let bystander = timeout(BYSTANDING, &mut scene.bystander).await;
        let outcome = bystander.expect("it is not held up").expect("no panic");
        assert_eq!(outcome, Outcome::Complete);
        // The rogue hangs up by leaving this network; a tunnel that it left is kept for a while.
        sleep(Duration::from_secs(60)).await;
        let census = scene.overlay.pop_census().await;
        let usage = census.usage;
        assert_eq!((usage.tunnels, usage.carriers, usage.sessions), (1, 1, 0));
        assert_eq!((census.carriers, census.clients), (1, 0));
        assert_eq!((usage.session_bytes, usage.resend_bytes), (0, 0));
        scene.works().await;
        scene.targets.ended().await;
        assert!(scene.targets.visits().iter().all(|visit| visit.complete));
    });
}

impl Scene {
    /// Asserts that a small transfer works.
    async fn works(&self) {
        let demand = Demand {
            up: 20_000,
            down: 20_000,
            ..Demand::default()
        };
        let transfer = self.overlay.client(TRUTHFUL);
        let transfer = transfer.transfer(self.target, &demand);
        let outcome = timeout(Duration::from_secs(5), transfer).await;
        assert_eq!(outcome, Ok(Outcome::Complete));
    }

    /// Attaches the rogue, so that it can be chosen.
    async fn attach(&mut self) -> (Rogue, wire::Hello) {
        let attached = Rogue::attach(&self.overlay, &self.rogue, NODE).await;
        self.overlay.online(NODE).await;
        attached
    }

    /// Connects a client, and waits until the rogue is asked to dial for it.
    async fn asked(&self, rogue: &mut Rogue) -> (SimStream, u64, wire::Create) {
        let client = self.overlay.client(FAST);
        let asked = async {
            loop {
                match rogue.receive().await {
                    Some(Frame::Create { session, create }) => return (session, create),
                    Some(Frame::Ack { .. }) => {}
                    other => panic!("the nearest exit is chosen, not {other:?}"),
                }
            }
        };
        let (connected, (session, create)) = tokio::join!(client.connect(self.target), asked);
        let (code, stream) = connected.expect("the proxy replies");
        assert_eq!(code, 0);
        (stream, session, create)
    }
}

/// The answer to a CREATE that worked.
fn connected(session: u64) -> Frame {
    Frame::Reply {
        session,
        reply: wire::Reply {
            upload_limit: 1 << 30,
            ..wire::Reply::default()
        },
    }
}

fn data(session: u64, len: usize) -> Frame {
    Frame::Data {
        session,
        data: vec![7; len].into(),
    }
}

fn message(kind: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Header::new(kind, 0, payload.len()).as_slice().to_vec();
    out.extend_from_slice(payload);
    out
}

/// A masked WebSocket header: one byte of flags and opcode, and the length in 64 bits.
fn websocket(first: u8, len: u64) -> Vec<u8> {
    [&[first, 0xff], &len.to_be_bytes()[..], &[0; 4]].concat()
}

/// What a rogue sends.
enum Attack {
    Message(Vec<u8>),
    Bytes(Vec<u8>),
}

use Attack::{Bytes, Message};

impl Attack {
    async fn by(self, rogue: &mut Rogue) {
        match self {
            Message(message) => rogue.send_message(&message).await,
            Bytes(bytes) => rogue.send_bytes(&bytes).await,
        }
    }
}

/// What is wrong whatever the state of the carrier.
fn nonsense() -> Vec<(&'static str, Attack, Code)> {
    let too_large = limits::MESSAGE_MAX as u64 + 1;
    let big = vec![0x1a; limits::CONTROL_MAX + 1];
    let truncated = vec![0x08, 0x41, 0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let text_id = vec![0x08, 3, 0x12, 1, b'x'];
    let with = |kind, payload: &[u8]| Message(message(kind, payload));
    vec![
        ("garbage", Message(vec![0xff; 300]), Code::Malformed),
        ("a truncated field", Message(truncated), Code::Malformed),
        ("a session id as text", Message(text_id), Code::Malformed),
        ("an unknown numbered type", with(30, &[]), Code::Malformed),
        ("a legacy type", with(10, &[]), Code::Malformed),
        (
            "a payload that is none",
            with(64, &[0xff; 9]),
            Code::Malformed,
        ),
        ("a large control payload", with(64, &big), Code::TooLarge),
        (
            "an oversized frame",
            Bytes(websocket(0x82, too_large)),
            Code::TooLarge,
        ),
        (
            "an absurd frame",
            Bytes(websocket(0x82, u64::MAX >> 1)),
            Code::TooLarge,
        ),
        (
            "an oversized ping",
            Bytes(websocket(0x89, 126)),
            Code::TooLarge,
        ),
        (
            "a text frame",
            Bytes(vec![0x81, 0x80, 0, 0, 0, 0]),
            Code::Protocol,
        ),
        (
            "a fragment",
            Bytes(vec![0x02, 0x80, 0, 0, 0, 0]),
            Code::Protocol,
        ),
        ("no mask", Bytes(vec![0x82, 0]), Code::Protocol),
        (
            "a reserved bit",
            Bytes(vec![0xc2, 0x80, 0, 0, 0, 0]),
            Code::Protocol,
        ),
    ]
}

#[test]
fn nonsense_ends_its_carrier_before_and_after_hello() {
    for attached in [false, true] {
        for index in 0..nonsense().len() {
            scene(async |scene| {
                let (what, attack, code) = nonsense().swap_remove(index);
                let mut rogue = if attached {
                    scene.attach().await.0
                } else {
                    Rogue::connect(&scene.overlay, &scene.rogue, NODE).await
                };
                attack.by(&mut rogue).await;
                assert_eq!(rogue.farewell().await, Farewell::coded(code), "{what}");
            });
        }
    }
}

#[test]
fn nothing_but_a_good_hello_may_come_first() {
    let hello = |change: fn(&mut wire::Hello)| {
        let mut hello = Rogue::hello(1, 1);
        change(&mut hello);
        Frame::Hello(hello)
    };
    let frames = [
        (data(1, 10), Code::Protocol),
        (connected(1), Code::Protocol),
        (Frame::Ack { received: 0 }, Code::Protocol),
        (Frame::Status(wire::Status::default()), Code::Protocol),
        (hello(|hello| hello.version = 9), Code::VersionUnsupported),
        (hello(|hello| hello.limits = None), Code::Malformed),
        (hello(|hello| hello.received = 3), Code::Desync),
        (hello(|hello| hello.tunnel = 77), Code::ResumeRefused),
    ];
    for (frame, code) in frames {
        scene(async |scene| {
            let mut rogue = Rogue::connect(&scene.overlay, &scene.rogue, NODE).await;
            rogue.send(frame.clone()).await;
            assert_eq!(rogue.farewell().await, Farewell::coded(code), "{frame:?}");
        });
    }
}

#[test]
fn a_carrier_that_says_nothing_is_told_so_in_time() {
    scene(async |scene| {
        let mut rogue = Rogue::connect(&scene.overlay, &scene.rogue, NODE).await;
        let start = scene.network.now();
        assert_eq!(rogue.farewell().await, Farewell::coded(Code::HelloTimeout));
        assert!(scene.network.now().since(start) <= Duration::from_millis(10_010));
    });
}

#[test]
fn a_connection_that_is_no_carrier_ends_in_time() {
    for bytes in [&b""[..], b"GET / HT", &[0; 20_000]] {
        scene(async |scene| {
            let start = scene.network.now();
            let connected = scene.rogue.connect(scene.overlay.tunnels()).await;
            let mut stream = connected.expect("the POP listens");
            stream.write_all(bytes).await.expect("there is room");
            let mut rest = Vec::new();
            // However it ends, it ends.
            let _ = stream.read_to_end(&mut rest).await;
            assert!(scene.network.now().since(start) <= Duration::from_millis(10_010));
        });
    }
}

#[test]
fn frames_that_no_edge_may_send_end_the_tunnel() {
    let create = Frame::Create {
        session: 1,
        create: wire::Create::default(),
    };
    let close = Frame::Close {
        session: 9,
        close: wire::Close::default(),
    };
    let half_close = Frame::HalfClose {
        session: 9,
        final_offset: 0,
    };
    let credit = Frame::Credit {
        session: 9,
        limit: 1,
    };
    let frames = [
        (create, Code::Protocol),
        (Frame::Command(wire::Command::default()), Code::Protocol),
        (Frame::Hello(Rogue::hello(1, 2)), Code::Protocol),
        (data(9, 10), Code::Protocol),
        (connected(9), Code::Protocol),
        (close, Code::Protocol),
        (half_close, Code::Protocol),
        (credit, Code::Protocol),
        (
            Frame::Stop {
                session: 9,
                code: 0,
            },
            Code::Protocol,
        ),
        (Frame::Ack { received: 1_000 }, Code::Desync),
    ];
    for (frame, code) in frames {
        scene(async |scene| {
            let (mut rogue, _) = scene.attach().await;
            rogue.send(frame.clone()).await;
            assert_eq!(rogue.farewell().await, Farewell::coded(code), "{frame:?}");
        });
    }
}

/// Attacks on a session that the POP has opened over the rogue.
fn of_session(name: &str, session: u64, granted: usize) -> (Vec<Frame>, Code) {
    // What the client's kernel takes although the client does not read is granted anew.
    let flood = || (0..=(granted + (1 << 20)) / 60_000).map(|_| data(session, 60_000));
    let half_close = |final_offset| Frame::HalfClose {
        session,
        final_offset,
    };
    match name {
        "more than its credit" => {
            let frames = [connected(session)].into_iter().chain(flood()).collect();
            (frames, Code::CreditExceeded)
        }
        "bytes before the reply" => (vec![data(session, 1)], Code::Protocol),
        "an end before the reply" => (vec![half_close(0)], Code::Protocol),
        "a second reply" => (vec![connected(session), connected(session)], Code::Protocol),
        "bytes after the end" => {
            let frames = vec![connected(session), half_close(0), data(session, 1)];
            (frames, Code::Protocol)
        }
        "an end that does not add up" => {
            let frames = vec![connected(session), data(session, 5), half_close(4)];
            (frames, Code::Protocol)
        }
        "the next session's number" => (vec![data(session + 1, 1)], Code::Protocol),
        _ => panic!("no attack {name:?}"),
    }
}

#[test]
fn an_edge_that_breaks_the_rules_of_a_session_ends_with_its_sessions() {
    for name in [
        "more than its credit",
        "bytes before the reply",
        "an end before the reply",
        "a second reply",
        "bytes after the end",
        "an end that does not add up",
        "the next session's number",
    ] {
        scene(async |scene| {
            let (mut rogue, _) = scene.attach().await;
            let (mut client, session, create) = scene.asked(&mut rogue).await;
            // Bytes under way to the rogue: the session cannot be saved by another exit.
            client.write_all(b"hello").await.expect("there is room");
            assert!(matches!(rogue.receive().await, Some(Frame::Data { .. })));
            let granted = usize::try_from(create.download_limit).expect("it is small");
            let (frames, code) = of_session(name, session, granted);
            for frame in frames {
                rogue.send(frame).await;
            }
            assert_eq!(rogue.farewell().await, Farewell::coded(code), "{name}");
            let mut rest = Vec::new();
            let end = timeout(Duration::from_secs(1), client.read_to_end(&mut rest)).await;
            assert!(end.expect("at once").is_err(), "{name}: never a clean end");
        });
    }
}

#[test]
fn a_session_of_which_a_rogue_saw_no_byte_goes_to_another_exit() {
    scene(async |scene| {
        let (mut rogue, _) = scene.attach().await;
        let (stream, ..) = scene.asked(&mut rogue).await;
        rogue.send_message(&[0xff; 10]).await;
        assert_eq!(rogue.farewell().await, Farewell::coded(Code::Malformed));
        let demand = Demand {
            up: 30_000,
            down: 30_000,
            ..Demand::default()
        };
        let exchanged = titan_sim::overlay::exchange(stream, &demand, &Default::default()).await;
        assert_eq!(exchanged, Outcome::Complete);
    });
}

#[test]
fn a_forged_resume_is_refused_and_its_tunnel_goes_on() {
    scene(async |scene| {
        let (mut rogue, hello) = scene.attach().await;
        let thief = scene.network.host("thief", IpAddr::from([10, 0, 2, 2]));
        for (node, attempt) in [(NODE, 2), (NODE, 1), ("edge-1", 2), ("edge-9", 2)] {
            for proof in [&[][..], &[0; 32], &hello.resume_key] {
                let mut forger = Rogue::connect(&scene.overlay, &thief, node).await;
                let forged = wire::Hello {
                    tunnel: hello.tunnel,
                    proof: proof.to_vec().into(),
                    ..Rogue::hello(1, attempt)
                };
                forger.send(Frame::Hello(forged)).await;
                let refused = Farewell::coded(Code::ResumeRefused);
                assert_eq!(forger.farewell().await, refused, "{node} {attempt}");
            }
        }
        // The tunnel is untouched: a session over it works.
        let (mut client, session, _) = scene.asked(&mut rogue).await;
        for frame in [connected(session), data(session, 3)] {
            rogue.send(frame).await;
        }
        let mut got = [0; 3];
        client
            .read_exact(&mut got)
            .await
            .expect("the session is open");
        assert_eq!(got, [7; 3]);
    });
}

#[test]
fn a_second_process_that_never_confirms_replaces_nobody() {
    scene(async |scene| {
        let generation = scene.overlay.generation("edge-1").await;
        let mut rogue = Rogue::connect(&scene.overlay, &scene.rogue, "edge-1").await;
        rogue.greet().await;
        scene.works().await;
        assert_eq!(scene.overlay.generation("edge-1").await, generation);
        assert!(!scene.bystander.is_finished(), "it was disturbed meanwhile");
    });
}

#[test]
fn frames_for_sessions_that_have_ended_are_ignored() {
    scene(async |scene| {
        let (mut rogue, _) = scene.attach().await;
        let (client, ended, _) = scene.asked(&mut rogue).await;
        rogue.send(connected(ended)).await;
        drop(client);
        // Half of the session ends, then all of it.
        rogue.send(data(ended, 100)).await;
        let mut frames = Vec::new();
        while !matches!(frames.last(), Some(Frame::Close { .. })) {
            frames.push(rogue.receive().await.expect("the carrier stays"));
        }
        let late = [
            data(ended, 100),
            connected(ended),
            Frame::Credit {
                session: ended,
                limit: 1 << 40,
            },
            Frame::Stop {
                session: ended,
                code: 0,
            },
            Frame::HalfClose {
                session: ended,
                final_offset: 7,
            },
            Frame::Close {
                session: ended,
                close: wire::Close::default(),
            },
            Frame::Unknown(200),
        ];
        for frame in late {
            rogue.send(frame).await;
        }
        let (mut client, session, _) = scene.asked(&mut rogue).await;
        assert!(session > ended);
        rogue.send(connected(session)).await;
        rogue.send(data(session, 3)).await;
        client
            .read_exact(&mut [0; 3])
            .await
            .expect("the tunnel goes on");
    });
}

#[test]
fn a_rogue_that_acknowledges_nothing_is_cut_off() {
    scene(async |scene| {
        let (mut rogue, _) = scene.attach().await;
        let (client, session, _) = scene.asked(&mut rogue).await;
        rogue.send(connected(session)).await;
        let demand = Demand {
            up: 20_000_000,
            ..Demand::default()
        };
        let upload = spawn_local(async move {
            titan_sim::overlay::exchange(client, &demand, &Default::default()).await
        });
        let farewell = rogue.farewell().await;
        assert_eq!(farewell, Farewell::coded(Code::AckWithheld));
        let outcome = upload.await.expect("no panic");
        assert_eq!(outcome, Outcome::Reset(0));
    });
}

#[test]
fn the_last_words_reach_an_edge_that_is_behind_with_reading() {
    scene(async |scene| {
        let (mut rogue, _) = scene.attach().await;
        let (client, session, _) = scene.asked(&mut rogue).await;
        rogue.send(connected(session)).await;
        let demand = Demand {
            up: 2_000_000,
            ..Demand::default()
        };
        let upload = spawn_local(async move {
            titan_sim::overlay::exchange(client, &demand, &Default::default()).await
        });
        // Every buffer on the way is full then.
        sleep(Duration::from_secs(2)).await;
        rogue.send_message(&[0xff; 10]).await;
        assert_eq!(rogue.farewell().await, Farewell::coded(Code::Malformed));
        assert_eq!(upload.await.expect("no panic"), Outcome::Reset(0));
    });
}
