//! Clients that never come to anything: each is answered in time and leaves nothing behind.

use core::future::pending;
use core::time::Duration;
use std::io::ErrorKind;
use std::rc::Rc;
use titan_core::endpoint::Counters;
use titan_runtime::edge::EdgeCensus;
use titan_runtime::pop::PopCensus;
use titan_sim::net::{Config, Network, SimStream, run};
use titan_sim::overlay::{
    Client, Demand, Destination, FAST, Outcome, Overlay, PASSWORD, TRUTHFUL, Targets,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// From connecting to the request, and a round trip to tell.
const HANDSHAKE: Duration = Duration::from_millis(10_020);

/// How long the POP waits for a client that was refused to hang up.
const LINGER: Duration = Duration::from_secs(10);

/// A client that gets nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Nuisance {
    WrongPassword,
    UnknownUser,
    UnknownMethod,
    Bind,
    Garbage,
    Http,
    OneByteASecond,
    Silent,
    LeavesAtOnce,
    LeavesInTheMiddle,
}

use Nuisance::{
    Bind, Garbage, Http, LeavesAtOnce, LeavesInTheMiddle, OneByteASecond, Silent, UnknownMethod,
    UnknownUser, WrongPassword,
};

const NUISANCES: [Nuisance; 10] = [
    WrongPassword,
    UnknownUser,
    UnknownMethod,
    Bind,
    Garbage,
    Http,
    OneByteASecond,
    Silent,
    LeavesAtOnce,
    LeavesInTheMiddle,
];

/// What a client gets to hear before the end, and whether that is a reset.
#[derive(PartialEq, Eq, Debug)]
struct Heard {
    bytes: Vec<u8>,
    reset: bool,
}

fn heard(bytes: &[u8], reset: bool) -> Option<Heard> {
    let bytes = bytes.to_vec();
    Some(Heard { bytes, reset })
}

impl Nuisance {
    /// What the client has to hear; nothing for one that does not listen.
    fn due(self) -> Option<Heard> {
        match self {
            WrongPassword | UnknownUser => heard(&[5, 2, 1, 1], false),
            UnknownMethod => heard(&[5, 0xff], false),
            Bind => heard(&[5, 2, 1, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0], false),
            // Whoever does not speak SOCKS5 would not understand an answer.
            Garbage | Http => heard(&[], false),
            OneByteASecond => heard(&[5, 2], true),
            Silent => heard(&[], true),
            LeavesAtOnce | LeavesInTheMiddle => None,
        }
    }

    async fn bother(self, overlay: &Overlay, number: usize) -> Option<Heard> {
        let user = if self == UnknownUser { "nobody" } else { FAST };
        let password = if self == WrongPassword {
            // Others are refused together with the first that asks for the same.
            format!("wrong {number}")
        } else {
            PASSWORD.to_owned()
        };
        let client = overlay.client_at("client", user, &password);
        let mut stream = client.dial().await.expect("the proxy listens");
        let greeting = Client::greeting();
        let login = [&greeting[..], &client.credentials()].concat();
        let send = async |stream: &mut SimStream, bytes: &[u8]| {
            stream.write_all(bytes).await.expect("there is room");
        };
        match self {
            WrongPassword | UnknownUser => send(&mut stream, &login).await,
            UnknownMethod => send(&mut stream, &[5, 2, 0x80, 0xfe]).await,
            Bind => {
                let mut request = Destination::from(Targets::at(1)).request();
                request[1] = 2;
                send(&mut stream, &[login, request].concat()).await;
            }
            Garbage => send(&mut stream, &[0xa5; 700]).await,
            Http => send(&mut stream, b"GET http://example.test/ HTTP/1.1\r\n\r\n").await,
            OneByteASecond => {
                // Neither login nor request is complete by the deadline.
                let (mut reader, mut writer) = tokio::io::split(stream);
                let drip = async {
                    for byte in login {
                        if writer.write_all(&[byte]).await.is_err() {
                            break;
                        }
                        sleep(Duration::from_secs(1)).await;
                    }
                    pending().await
                };
                return tokio::select! {
                    biased;
                    heard = listen(&mut reader) => Some(heard),
                    heard = drip => heard,
                };
            }
            Silent => {}
            LeavesAtOnce => return None,
            LeavesInTheMiddle => {
                send(&mut stream, &login[..5]).await;
                return None;
            }
        }
        Some(listen(&mut stream).await)
    }
}

async fn listen(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Heard {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes).await;
    let reset = match read {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            true
        }
    };
    Heard { bytes, reset }
}

#[test]
fn every_nuisance_is_answered_within_the_handshakes_deadline() {
    run(Config::new(1), async |network| {
        let overlay = Overlay::up(&network, 1).await;
        for nuisance in NUISANCES {
            let start = network.now();
            let heard = nuisance.bother(&overlay, 0).await;
            let took = network.now().since(start);
            assert_eq!(heard, nuisance.due(), "{nuisance:?}");
            // A round trip to connect comes before the deadline begins.
            assert!(took <= HANDSHAKE, "{nuisance:?}: {took:?}");
        }
    });
}

/// Everything that may leak.
#[derive(PartialEq, Eq, Debug)]
struct Census {
    pop: PopCensus,
    edges: [EdgeCensus; 2],
    streams: [usize; 5],
    connections: usize,
}

async fn census(network: &Network, overlay: &Overlay) -> Census {
    let hosts = ["pop", "edge-1", "edge-2", "client", "target-1"];
    // What is counted only grows, and is held by nobody.
    let edge = async |host| EdgeCensus {
        counters: Counters::default(),
        ..overlay.edge_census(host).await
    };
    Census {
        pop: PopCensus {
            counters: Counters::default(),
            ..overlay.pop_census().await
        },
        edges: [edge("edge-1").await, edge("edge-2").await],
        streams: hosts.map(|host| network.stream_count(host)),
        connections: network.connection_count(),
    }
}

/// Sessions of every kind of end.
#[derive(Clone, Copy, Debug)]
enum Session {
    Works,
    Refused,
    Hangs,
    NotResolved,
    Forbidden,
    ClientLeaves,
    TargetSlow,
}

const SESSIONS: [Session; 7] = [
    Session::Works,
    Session::Refused,
    Session::Hangs,
    Session::NotResolved,
    Session::Forbidden,
    Session::ClientLeaves,
    Session::TargetSlow,
];

impl Session {
    async fn live(self, client: &Client, number: usize) {
        let bytes = |up, down| Demand {
            flow: number as u64,
            up,
            down,
            ..Demand::default()
        };
        let target: Destination = match self {
            Self::Works | Self::ClientLeaves | Self::TargetSlow => Targets::at(1).into(),
            Self::Refused => Targets::at(2).into(),
            Self::Hangs => Targets::at(3).into(),
            Self::NotResolved => ("nowhere.test", 80).into(),
            Self::Forbidden => ("127.0.0.1", 80).into(),
        };
        match self {
            Self::Works => {
                let outcome = client.transfer(target, &bytes(30_000, 400_000)).await;
                assert_eq!(outcome, Outcome::Complete);
            }
            Self::Refused | Self::Hangs | Self::NotResolved | Self::Forbidden => {
                let outcome = client.transfer(target, &bytes(5_000, 0)).await;
                let failed = matches!(outcome, Outcome::Refused(1..) | Outcome::Reset(0));
                assert!(failed, "{outcome:?}");
            }
            Self::ClientLeaves => {
                let patience = Duration::from_millis(100 + 7 * (number as u64 % 40));
                let demand = bytes(2_000_000, 2_000_000);
                let left = timeout(patience, client.transfer(target, &demand)).await;
                assert!(left.is_err(), "it cannot be done so soon");
            }
            Self::TargetSlow => {
                // More than all windows: it cannot leave before it is cut off.
                let demand = Demand {
                    target_gated: true,
                    ..bytes(3_000_000, 0)
                };
                let left = timeout(Duration::from_secs(5), client.transfer(target, &demand)).await;
                assert!(left.is_err(), "nobody reads");
            }
        }
    }
}

#[test]
fn thousands_of_failures_leave_nothing_behind() {
    run(Config::new(1), async |network| {
        let overlay = Overlay::up(&network, 2).await;
        let mut targets = Targets::new(&network);
        targets.start(1).await;
        let closed = targets.closed(2);
        network.blackhole(Targets::at(3).ip());
        assert_eq!(closed, Targets::at(2));
        let clients = [FAST, TRUTHFUL].map(|user| overlay.client(user));
        // What is allocated once is there then, and what was measured is told.
        for client in &clients {
            Session::Works.live(client, 0).await;
        }
        sleep(Duration::from_secs(30)).await;
        let before = census(&network, &overlay).await;
        assert_eq!((before.pop.usage.sessions, before.pop.clients), (0, 0));

        let overlay = Rc::new(overlay);
        let mut all = JoinSet::new();
        let mut counts = [0; NUISANCES.len()];
        for number in 0..2_000 {
            // Wrong credentials cost the process time and, rightly, the client too: fewer of them.
            let kind = if number % 20 < 2 {
                number % 20
            } else {
                2 + number % (NUISANCES.len() - 2)
            };
            counts[kind] += 1;
            let overlay = Rc::clone(&overlay);
            all.spawn_local(async move {
                sleep(Duration::from_millis(20 * number as u64)).await;
                let nuisance = NUISANCES[kind];
                let heard = nuisance.bother(&overlay, number).await;
                // Many guesses at once are slowed down, some until the deadline.
                let guess = matches!(nuisance, WrongPassword | UnknownUser);
                assert!(
                    heard == nuisance.due() || guess && heard.is_some_and(|heard| heard.reset),
                    "{nuisance:?}"
                );
            });
        }
        assert!(counts.iter().all(|&count| count >= 100), "{counts:?}");
        for number in 0..210 {
            let client = clients[number % 2].clone();
            all.spawn_local(async move {
                sleep(Duration::from_millis(190 * number as u64)).await;
                SESSIONS[number % SESSIONS.len()]
                    .live(&client, number)
                    .await;
            });
        }
        let cutter = network.clone();
        all.spawn_local(async move {
            for edge in ["edge-1", "edge-2", "edge-1"] {
                sleep(Duration::from_secs(9)).await;
                cutter.cut("pop", edge);
            }
        });
        while let Some(ended) = all.join_next().await {
            ended.expect("no panic");
        }
        targets.open_gate();
        targets.ended().await;
        // Refused clients that did not hang up are waited for; timers run out.
        sleep(LINGER + Duration::from_secs(50)).await;
        let after = census(&network, &overlay).await;
        assert_eq!(after, before);
        println!("{} visits; {before:?}", targets.visits().len());
    });
}
