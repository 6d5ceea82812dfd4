//! What each step does to the rig.

use super::accounts::Ledger;
use super::{Call, EDGES_MAX, Ends, Side, Step, Twist};
use crate::pair::{Rig, Way, demand, encode, message};
use bytes::Bytes;
use titan_core::endpoint::{CarrierId, Dialled, Endpoint, Open, Rates, Role, SessionId};
use titan_core::exit::lease::{SessionName, Sticky};
use titan_core::time::{Duration, Instant};
use titan_proto::{Code, Frame, wire};

/// Takes one step and lets everything happen that follows. `opened` are the sessions of each edge that
/// were ever opened.
pub fn act(rig: &mut Rig, opened: &mut [Vec<SessionId>], ledger: &mut Ledger, step: Step) {
    let now = rig.now;
    for (site, opened) in rig.edges.iter_mut().zip(opened.iter_mut()) {
        opened.append(&mut site.opened);
    }
    match step {
        Step::Open {
            group,
            strict,
            name,
        } => {
            let sticky = name.and_then(|name| {
                Some(Sticky {
                    owner: u64::from(group),
                    name: SessionName::new(&format!("name-{}", name.number))?,
                    strict: name.strict,
                })
            });
            let open = Open {
                group,
                strict,
                sticky,
                ..demand()
            };
            let result = rig.pop.open(now, open);
            ledger.opened(group, result.is_ok());
            rig.pop_sessions.extend(result);
        }
        Step::Account(step) => ledger.act(rig, step),
        Step::Dialled {
            edge,
            pick,
            outcome,
        } => {
            if let (Some(id), Some(site)) = (picked(&opened[edge], pick), rig.edges.get_mut(edge)) {
                let outcome = outcome.map(|()| Dialled::default());
                site.core.dialled(now, id, outcome);
                assert_eq!(site.core.dial_request(id), None, "it was answered");
            }
        }
        Step::Session {
            at,
            foreign,
            pick,
            call,
        } => {
            let of = match (at, foreign) {
                (Side::Pop, false) | (Side::Edge(_), true) => &rig.pop_sessions,
                (Side::Pop, true) => &opened[0],
                (Side::Edge(edge), false) => &opened[edge],
            };
            let Some(id) = picked(of, pick) else { return };
            match at {
                Side::Pop => on_session(&mut rig.pop, now, id, call),
                Side::Edge(edge) => {
                    if let Some(site) = rig.edges.get_mut(edge) {
                        on_session(&mut site.core, now, id, call);
                    }
                }
            }
        }
        Step::Frame { way, pick, frame } => hand_in(rig, way, pick, &encode(frame)),
        Step::Mutated {
            way,
            pick,
            frame,
            at,
            byte,
        } => {
            let mut bytes = encode(frame).to_vec();
            let at = at % bytes.len();
            match byte {
                Some(byte) => bytes[at] = byte,
                None => bytes.truncate(at),
            }
            hand_in(rig, way, pick, &bytes.into());
        }
        Step::Noise {
            way,
            pick,
            kind,
            session,
            payload,
        } => hand_in(rig, way, pick, &message(kind, session, &payload)),
        Step::Replay { way, pick, back } => {
            if let Some(seen) = rig.wire.iter().rev().nth(back) {
                let frame = encode(seen.frame.clone());
                hand_in(rig, way, pick, &frame);
            }
        }
        Step::Greet { node, hello } => {
            let link = rig.raw_edge(&format!("node-{node}"));
            rig.inject(link, Way::ToPop, Frame::Hello(hello));
            if rig.links[link].pop.is_some() {
                rig.inject(link, Way::ToPop, Frame::Ack { received: 0 });
            }
        }
        Step::Connect { edge, welcome } => {
            if rig.edges.get(edge).is_some_and(|site| site.wants) {
                match welcome {
                    None => {
                        let node = rig.edges[edge].node.clone();
                        rig.connect_as(edge, &node);
                    }
                    Some(welcome) => {
                        let link = rig.raw_pop(edge);
                        // An uplink that is gone wants no carrier any more.
                        if rig.links[link].at_edge.is_some() {
                            rig.inject(link, Way::ToEdge, Frame::Hello(welcome));
                        }
                    }
                }
            }
        }
        Step::ConnectFailed { edge, retry } => {
            if let Some(site) = rig.edges.get_mut(edge)
                && core::mem::take(&mut site.wants)
            {
                site.core.handle_connect_failed(now, site.uplink, retry);
            }
        }
        Step::Twist { way, twist, value } => {
            let mut value = Some(value);
            rig.rewrite = Some(Box::new(move |of, frame| {
                if let Frame::Hello(hello) = frame
                    && of == way
                    && let Some(value) = value.take()
                {
                    apply(twist, hello, value);
                }
            }));
        }
        Step::Cut { pick, ends } => {
            if let Some(link) = recent_link(rig, pick) {
                match ends {
                    Ends::Both => rig.cut(link),
                    Ends::One(end) => rig.cut_end(link, end),
                }
            }
        }
        Step::Block {
            pick,
            way,
            blocked,
            held,
        } => {
            if let Some(link) = recent_link(rig, pick) {
                let pipe = rig.links[link].pipe(way);
                (pipe.blocked, pipe.held) = (blocked, held);
            }
        }
        Step::Fault { at_pop, pick, code } => on_carrier(
            rig,
            at_pop,
            pick,
            |pop, id| pop.handle_carrier_fault(now, id, code),
            |edge, id| edge.handle_carrier_fault(now, id, code),
        ),
        Step::Pong {
            at_pop,
            pick,
            payload,
        } => on_carrier(
            rig,
            at_pop,
            pick,
            |pop, id| pop.handle_pong(now, id, &payload),
            |edge, id| edge.handle_pong(now, id, &payload),
        ),
        Step::Alive { pick } => on_carrier(
            rig,
            true,
            pick,
            |pop, id| pop.handle_alive(now, id),
            |_, _| {},
        ),
        Step::Command { action } => {
            let nodes = rig.pop.nodes();
            let nodes: Vec<String> = nodes.iter().map(|view| view.node.to_owned()).collect();
            let retry = Duration::from_secs(u64::from(action.unsigned_abs()) % 20);
            match wire::command::Action::try_from(action) {
                Ok(wire::command::Action::Kick) => {
                    for node in nodes.iter().take(1) {
                        assert!(rig.pop.kick(now, node, Code::Kicked, retry));
                        assert!(!rig.pop.has_node(node));
                    }
                }
                Ok(wire::command::Action::Drain) => {
                    for node in &nodes {
                        rig.pop.send_away(now, node, retry);
                    }
                    // Its edges leave, whether the order has arrived or not.
                    for site in &mut rig.edges {
                        site.core.retire_uplink(now, site.uplink);
                    }
                }
                Ok(wire::command::Action::Rate) => {
                    let (up, down) = (5_000, 3_000);
                    rig.pop.limit_nodes(now, Rates { up, down });
                }
                Ok(wire::command::Action::None) => {
                    rig.pop.limit_nodes(now, Rates::default());
                }
                Err(_) => {}
            }
        }
        Step::Status { edge, status } => {
            if let Some(site) = rig.edges.get_mut(edge) {
                site.core.set_status(now, &status);
            }
        }
        Step::Farewell {
            at,
            code: Code::ShuttingDown,
        } => match at {
            Side::Pop => rig.pop.drain(now),
            Side::Edge(edge) => {
                if let Some(site) = rig.edges.get_mut(edge) {
                    site.core.drain(now);
                }
            }
        },
        Step::Farewell { at, code } => match at {
            Side::Pop => rig.pop.farewell(now, code),
            Side::Edge(edge) => {
                if let Some(site) = rig.edges.get_mut(edge) {
                    site.core.farewell(now, code);
                }
            }
        },
        Step::Wait(wait) => rig.wait(wait),
        Step::Plug { edge, online } => {
            if let Some(site) = rig.edges.get_mut(edge) {
                site.online = online;
            }
        }
        Step::AddEdge { node } => {
            if rig.edges.len() < EDGES_MAX {
                rig.add_edge(&format!("node-{node}"));
            }
        }
    }
    look_over(rig, ledger);
}

/// Lets everything happen that follows, and looks at all of it.
fn look_over(rig: &mut Rig, ledger: &mut Ledger) {
    rig.run();
    rig.audit();
    ledger.check(rig);
    let exits = rig.pop.explain(rig.now, None).len();
    assert_eq!(exits, rig.pop.usage().tunnels, "every tunnel is an exit");
}

fn picked<T: Copy>(items: &[T], pick: usize) -> Option<T> {
    let len = items.len();
    (len > 0).then(|| items[len - 1 - pick % len.min(8)])
}

/// Returns one of the three latest carriers.
fn recent_link(rig: &Rig, pick: usize) -> Option<usize> {
    let len = rig.links.len();
    (len > 0).then(|| len - 1 - pick % len.min(3))
}

/// Hands a message in, unless that end of the carrier is gone.
fn hand_in(rig: &mut Rig, way: Way, pick: usize, message: &Bytes) {
    let Some(number) = recent_link(rig, pick) else {
        return;
    };
    let link = &rig.links[number];
    let lives = match way {
        Way::ToPop => link.pop.is_some(),
        Way::ToEdge => link.at_edge.is_some(),
    };
    if lives {
        rig.inject_raw(number, way, message);
    }
}

fn on_session<R: Role>(endpoint: &mut Endpoint<R>, now: Instant, id: SessionId, call: Call) {
    match call {
        Call::Write(len) => endpoint.write(now, id, vec![1; len].into()),
        Call::Finish => endpoint.finish(now, id),
        Call::Release(count) => endpoint.release(now, id, count),
        Call::Stop => endpoint.stop(now, id, Code::Reset),
        Call::Close(mode) => endpoint.close(now, id, Code::Cancelled, mode),
        Call::Past => endpoint.write(Instant::EPOCH, id, Bytes::from_static(b"late")),
    }
    endpoint.status(now, id);
    assert!(endpoint.readable(id).all(|slice| !slice.is_empty()));
}

/// Calls the driver's method of one end of a recent carrier, if it is there.
fn on_carrier(
    rig: &mut Rig,
    at_pop: bool,
    pick: usize,
    pop: impl FnOnce(&mut titan_core::endpoint::Pop, CarrierId),
    edge: impl FnOnce(&mut titan_core::endpoint::Edge, CarrierId),
) {
    let Some(link) = recent_link(rig, pick).map(|link| &rig.links[link]) else {
        return;
    };
    match (at_pop, link.pop, link.at_edge) {
        (true, Some(id), _) => pop(&mut rig.pop, id),
        (false, _, Some(id)) => edge(&mut rig.edges[link.edge].core, id),
        (true, None, _) | (false, _, None) => {}
    }
}

fn apply(twist: Twist, hello: &mut wire::Hello, value: u64) {
    let small = u32::try_from(value).unwrap_or(u32::MAX);
    // Small values move a number, others replace it.
    let twisted = |number: u64| {
        if value < 8 {
            number.wrapping_add(value).wrapping_sub(3)
        } else {
            value
        }
    };
    match twist {
        Twist::Version => hello.version = small,
        Twist::Epoch => hello.epoch = twisted(hello.epoch),
        Twist::Attempt => hello.attempt = twisted(hello.attempt),
        Twist::Tunnel => hello.tunnel = twisted(hello.tunnel),
        Twist::Received => hello.received = twisted(hello.received),
        Twist::Next => hello.next = twisted(hello.next),
        Twist::Proof => hello.proof = vec![7; (value % 80) as usize].into(),
        Twist::Key => hello.resume_key = vec![7; (value % 80) as usize].into(),
        Twist::Limits => {
            hello.limits = (value != 7).then_some(wire::Limits {
                data_max: small,
                resend_max: value << 10,
                early_max: value,
                sessions_max: small,
            });
        }
    }
}
