//! Drives a POP and an edge by hand: a client's question reaches a target, and the answer comes back.
//!
//! ```text
//! cargo run -p titan-core --example drive
//! ```
//!
//! There is no socket and no clock here: a carrier is a function call, and time stands still. A real driver
//! does the same with a socket at each end, and sleeps until `poll_timeout` in between.

use bytes::{Bytes, BytesMut};
use std::net::{IpAddr, Ipv4Addr};
use titan_core::endpoint::{
    Batch, CarrierId, CloseMode, Config, Dialled, Edge, EdgeEvent, Endpoint, Event, Item, Open,
    Pop, Role, SessionId,
};
use titan_core::exit::guard::Guard;
use titan_core::target::{Host, Target};
use titan_core::time::Instant;
use titan_core::trace::TraceId;
use titan_proto::{Code, encode_header, wire::create::Family};

const NOW: Instant = Instant::from_nanos(0);

fn main() {
    for line in story() {
        println!("{line}");
    }
}

/// Lets it all happen, and tells what is seen of it.
pub(crate) fn story() -> Vec<String> {
    let mut told = Vec::new();
    // Seeds are all the randomness there is. The edge may reach addresses that begin with 10.
    let mut pop = Pop::new(Config::default(), [1; 32], String::new(), NOW);
    let guard = Guard::new(vec!["10.0.0.0/8".parse().expect("a block of addresses")]);
    let mut edge = Edge::new(Config::default(), [2; 32], guard, NOW);

    // The edge wants a tunnel to a POP, and asks its driver for a carrier.
    let uplink = edge.add_uplink(NOW);
    assert_eq!(
        edge.poll_event(),
        Some(Event::Role(EdgeEvent::Connect { uplink }))
    );
    let nonce = pop.nonce();
    let at_pop = pop.handle_carrier(NOW, "node-1", nonce, true);
    let at_edge = edge.handle_connected(NOW, uplink, nonce, true);
    let at_edge = at_edge.expect("the edge waits for it");
    exchange((&mut pop, at_pop), (&mut edge, at_edge));
    told.push(format!("POP:  {:?}", pop.poll_event()));
    told.push(format!("edge: {:?}", edge.poll_event()));

    // A client asks for a target. Its first bytes need not wait until that is connected.
    let client = pop.open(NOW, demand()).expect("there is an exit");
    pop.write(NOW, client, Bytes::from_static(b"ping"));
    exchange((&mut pop, at_pop), (&mut edge, at_edge));

    // The edge is told to connect, does so, and finds the client's bytes waiting.
    let Some(Event::Role(EdgeEvent::Opened { session: target })) = edge.poll_event() else {
        unreachable!("CREATE has arrived");
    };
    told.push(format!("edge: dials {:?}", edge.dial_request(target)));
    edge.dialled(NOW, target, Ok(Dialled::default()));
    told.push(format!("target reads {:?}", read(&mut edge, target)));

    // The target answers and has nothing more to say; nor has the client.
    edge.write(NOW, target, Bytes::from_static(b"pong"));
    edge.finish(NOW, target);
    pop.finish(NOW, client);
    exchange((&mut pop, at_pop), (&mut edge, at_edge));
    told.push(format!("client reads {:?}", read(&mut pop, client)));

    // Both directions are complete: the drivers let go, and nothing of the session is left.
    exchange((&mut pop, at_pop), (&mut edge, at_edge));
    told.push(format!(
        "client's session ended: {:?}",
        ended(&mut pop, client)
    ));
    pop.close(NOW, client, Code::Ok, CloseMode::Abort);
    edge.close(NOW, target, Code::Ok, CloseMode::Abort);
    exchange((&mut pop, at_pop), (&mut edge, at_edge));
    told.push(format!("POP holds {:?}", pop.usage()));
    told
}

fn demand() -> Open {
    Open {
        target: Target {
            host: Host::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7))),
            port: 80,
        },
        group: 1,
        weight: 1,
        family: Family::Any,
        country: None,
        strict: false,
        sticky: None,
        trace: TraceId::NONE,
    }
}

/// Carries what either side has to send, until neither has.
fn exchange(pop: (&mut Pop, CarrierId), edge: (&mut Edge, CarrierId)) {
    while carry(pop.0, pop.1, edge.0, edge.1) | carry(edge.0, edge.1, pop.0, pop.1) {}
}

/// One turn: pulls a batch of one side, and hands it to the other as a WebSocket would.
fn carry<F: Role, T: Role>(
    from: &mut Endpoint<F>,
    out: CarrierId,
    to: &mut Endpoint<T>,
    into: CarrierId,
) -> bool {
    let mut batch = Batch::new(64 << 10);
    from.poll_transmit(NOW, out, &mut batch);
    let any = !batch.is_empty();
    for item in batch.drain() {
        match item {
            Item::Frame(frame) => {
                let mut message = BytesMut::new();
                encode_header(frame.kind, frame.session, frame.payload.len(), &mut message);
                message.extend_from_slice(&frame.payload);
                to.handle_message(NOW, into, &message.freeze());
            }
            Item::Ping(payload) => from.handle_pong(NOW, out, &payload),
            Item::Close(code) => to.handle_carrier_closed(NOW, into, code),
        }
    }
    to.settle(NOW);
    any
}

/// Takes what waits for a session's socket, and lets the other side send as much again.
fn read<R: Role>(endpoint: &mut Endpoint<R>, session: SessionId) -> String {
    let bytes: Vec<u8> = endpoint.readable(session).flatten().copied().collect();
    endpoint.release(NOW, session, bytes.len());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn ended<R: Role>(endpoint: &mut Endpoint<R>, session: SessionId) -> Option<Code> {
    endpoint
        .status(NOW, session)
        .and_then(|status| status.ended)
}
