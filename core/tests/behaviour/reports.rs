//! What is told of sessions that are over, and by which name POP and edge know them.

use crate::common::{Rig, config, demand, secs};
use std::net::{IpAddr, Ipv4Addr};
use titan_core::endpoint::{
    Carried, CloseMode, Config, Dialled, EdgeEvent, Event, Open, Pop, PopEvent, SessionId,
    SessionReport, Whose,
};
use titan_core::time::Instant;
use titan_core::trace::TraceId;
use titan_proto::Code;

const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn reports(rig: &Rig) -> Vec<SessionReport> {
    let over = rig.events.iter().filter_map(|event| match event {
        Event::Role(PopEvent::SessionOver(report)) => Some((**report).clone()),
        _ => None,
    });
    over.collect()
}

/// The client lets go of its session; returns what is told of it.
fn let_go(rig: &mut Rig, id: SessionId, code: Code, mode: CloseMode) -> SessionReport {
    rig.pop.close(rig.now, id, code, mode);
    rig.run();
    let mut of_it = reports(rig);
    of_it.retain(|report| report.session == id);
    assert_eq!(of_it.len(), 1, "told once");
    of_it.remove(0)
}

/// Says by which node and from which address a session left.
fn exit(report: &SessionReport) -> Option<(&str, Option<IpAddr>)> {
    let exit = report.exit.as_ref()?;
    Some((&exit.node, exit.address))
}

fn address_of(edge: u8) -> Option<IpAddr> {
    Some(IpAddr::from([192, 0, 2, edge]))
}

#[test]
fn a_session_that_survived_a_cut_is_reported_once_and_exactly() {
    let mut rig = Rig::new(config(), 1);
    let id = rig.open();
    let at_edge = rig.edges[0].opened.pop().unwrap();
    let dialled = Dialled {
        addresses: vec![TARGET],
        ..Dialled::default()
    };
    let core = &mut rig.edges[0].core;
    core.dialled(rig.now, at_edge, Ok(dialled));
    rig.run();
    rig.send_up(id, &[1; 1000]);
    rig.send_down(0, at_edge, &[2; 700]);
    rig.read_down(id);
    let link = rig.link(0);
    rig.cut(link);
    rig.send_up(id, &[1; 234]);
    rig.wait(secs(1));
    rig.send_down(0, at_edge, &[2; 66]);
    assert_eq!(rig.read_up(0, at_edge).len(), 1234);
    rig.read_down(id);
    rig.pop.finish(rig.now, id);
    rig.edges[0].core.finish(rig.now, at_edge);
    rig.run();
    assert!(reports(&rig).is_empty(), "its driver holds it");
    let report = let_go(&mut rig, id, Code::Ok, CloseMode::Abort);
    assert_eq!(
        report.carried,
        Carried {
            up: 1234,
            down: 766
        }
    );
    assert_eq!(report.carried, rig.pop.carried(1));
    assert_eq!((report.code, report.whose), (Code::Ok, None));
    assert_eq!((report.group, report.trace), (1, demand().trace));
    assert_eq!(exit(&report), Some(("node-0", address_of(0))));
    assert_eq!(report.address, Some(TARGET));
}

#[test]
fn a_dial_that_failed_everywhere_is_reported_with_the_exit_tried_last() {
    let mut rig = Rig::new(config(), 2);
    let id = rig.open();
    let first = rig.answer(Err(Code::Refused));
    let second = rig.answer(Err(Code::Refused));
    assert_ne!(first, second);
    let report = let_go(&mut rig, id, Code::Ok, CloseMode::Abort);
    assert_eq!((report.code, report.address), (Code::Refused, None));
    assert_eq!(report.carried, Carried::default());
    let node = format!("node-{second}");
    let at = address_of(u8::try_from(second).unwrap());
    assert_eq!(exit(&report), Some((&*node, at)));
}

#[test]
fn who_reset_a_session_is_told_apart() {
    let mut rig = Rig::new(config(), 1);
    let (by_client, _) = rig.connect();
    let report = let_go(&mut rig, by_client, Code::Reset, CloseMode::Flush);
    assert_eq!(report.code, Code::Cancelled);
    let (by_target, at_edge) = rig.connect();
    let core = &mut rig.edges[0].core;
    core.close(rig.now, at_edge, Code::Reset, CloseMode::Flush);
    rig.run();
    let report = let_go(&mut rig, by_target, Code::Reset, CloseMode::Abort);
    assert_eq!(report.code, Code::Reset);
}

/// Opens sessions of these groups, each of which leaves so many bytes unread, and tells whose share the one
/// that was reset took too much of.
fn shed(config: Config, held: &[(u32, usize)]) -> Option<Whose> {
    let mut rig = Rig::new(config, 0);
    rig.config = crate::common::config();
    rig.add_edge("node-0");
    let connect = |&(group, _): &(u32, usize)| rig.connect_with(Open { group, ..demand() });
    let ids: Vec<_> = held.iter().map(connect).collect();
    for (&(_, at_edge), &(_, len)) in ids.iter().zip(held) {
        rig.send_down(0, at_edge, &vec![1; len]);
    }
    rig.wait(secs(7));
    assert_eq!(rig.pop.counters().shed, 1);
    let mut reset = ids.into_iter().map(|(id, _)| id);
    let reset = reset.find(|&id| rig.ended(id).is_some());
    let report = let_go(&mut rig, reset.unwrap(), Code::Memory, CloseMode::Abort);
    assert_eq!(report.code, Code::Memory);
    report.whose
}

#[test]
fn a_report_says_whose_share_of_the_memory_was_used_up() {
    let config = |memory_budget| Config {
        memory_budget,
        ..config()
    };
    // User 1 holds more than is free below 80 %.
    assert_eq!(
        shed(config(500_000), &[(1, 110_000), (2, 60_000), (1, 80_000)]),
        Some(Whose::User)
    );
    assert_eq!(
        shed(config(500_000), &[(1, 120_000), (2, 130_000), (3, 160_000)]),
        Some(Whose::Pop)
    );
}

#[test]
fn an_edge_says_whom_it_reset_and_whom_it_refused() {
    let poor = Config {
        memory_budget: 100_000,
        early_max: 64 << 10,
        ..config()
    };
    let mut rig = Rig::new(config(), 0);
    rig.config = poor;
    rig.add_edge("node-0");
    let traced = |number| Open {
        group: u32::from(number),
        trace: TraceId::new([number; 16]),
        ..demand()
    };
    let ids = [1, 2, 3].map(|number| {
        let id = rig.open_with(traced(number));
        rig.send_up(id, &[1; 60_000]);
        id
    });
    for at_edge in rig.edges[0].opened.clone() {
        rig.dialled(0, at_edge, Ok(()));
    }
    rig.wait(secs(7));
    let denied: Vec<_> = rig.edges[0]
        .events
        .iter()
        .filter_map(|event| match *event {
            Event::Role(EdgeEvent::Denied {
                trace,
                group,
                code,
                whose,
            }) => Some((trace, group, code, whose)),
            _ => None,
        })
        .collect();
    let of = |number: u8, code| {
        let trace = TraceId::new([number; 16]);
        (trace, u32::from(number), code, Some(Whose::Edge))
    };
    assert!(denied.contains(&of(2, Code::Memory)), "{denied:?}");
    assert!(denied.len() <= ids.len());
    // The POP hears the code alone, and that is enough to know whose limit it was.
    let ended = ids.into_iter().find(|&id| rig.ended(id).is_some());
    let report = let_go(&mut rig, ended.unwrap(), Code::Ok, CloseMode::Abort);
    assert_eq!(report.whose, Some(Whose::Edge), "{report:?}");
}

#[test]
fn a_name_travels_to_the_edge_and_is_the_same_for_the_same_seed() {
    let make = |seed| {
        let mut pop = Pop::new(config(), [seed; 32], String::new(), Instant::EPOCH);
        [pop.trace(), pop.trace()]
    };
    let [first, second] = make(1);
    assert_ne!(first, second);
    assert_eq!(make(1), [first, second]);
    assert_ne!(make(2), [first, second]);
    let mut rig = Rig::new(config(), 1);
    rig.open_with(Open {
        trace: second,
        ..demand()
    });
    let session = rig.edges[0].opened.pop().unwrap();
    let request = rig.edges[0].core.dial_request(session).unwrap();
    assert_eq!(request.trace, second);
}
