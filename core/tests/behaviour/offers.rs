//! Clients and targets that send what there is room for, at a POP with little memory.

use crate::common::{Rig, Way::ToEdge, config, demand, welcome};
use bytes::Bytes;
use std::collections::BTreeMap;
use titan_core::endpoint::{CloseMode, Config, Open, SessionId};
use titan_proto::{Code, Frame};

/// A rig whose POP has this budget, and whose edges are rich.
pub(crate) fn poor_pop(memory_budget: u64, edges: usize) -> Rig {
    let poor = Config {
        memory_budget,
        ..config()
    };
    beside_rich_edges(poor, edges)
}

/// A rig whose POP has these limits, and whose edges have those of everybody.
pub(crate) fn beside_rich_edges(of_pop: Config, edges: usize) -> Rig {
    let mut rig = Rig::new(of_pop, 0);
    rig.config = config();
    for edge in 0..edges {
        rig.add_edge(&format!("node-{edge}"));
    }
    rig
}

/// An edge whose POP is played by the test, and the link to it.
pub(crate) fn lonely_edge(config: Config) -> (Rig, usize) {
    let mut rig = Rig::new(config, 0);
    rig.add_offline("node-0");
    let link = rig.raw_pop(0);
    rig.inject(link, ToEdge, Frame::Hello(welcome()));
    (rig, link)
}

/// Opens sessions until there is one on each edge, and returns those.
pub(crate) fn one_on_each(rig: &mut Rig, group: u32) -> BTreeMap<usize, SessionId> {
    let mut on = BTreeMap::new();
    while on.len() < rig.edges.len() {
        let id = rig.open_with(Open { group, ..demand() });
        let edge = rig.answer(Ok(()));
        if let Some(spare) = on.insert(edge, id) {
            rig.pop.close(rig.now, spare, Code::Ok, CloseMode::Abort);
        }
    }
    on
}

/// A target sends what there is room for, at most `len` bytes; returns how many that were.
pub(crate) fn offer_down(rig: &mut Rig, edge: usize, id: SessionId, len: usize) -> usize {
    let core = &mut rig.edges[edge].core;
    let room = core
        .status(rig.now, id)
        .map_or(0, |status| status.send_room);
    let len = room.min(len);
    if len > 0 {
        core.write(rig.now, id, Bytes::from(vec![1; len]));
    }
    len
}

/// A client sends what there is room for, at most `len` bytes; returns how many that were.
pub(crate) fn offer_up(rig: &mut Rig, id: SessionId, len: usize) -> usize {
    let status = rig.pop.status(rig.now, id);
    let len = status.map_or(0, |status| status.send_room).min(len);
    if len > 0 {
        rig.pop.write(rig.now, id, Bytes::from(vec![1; len]));
    }
    len
}

/// Connects a session of a group at the edge that is chosen.
pub(crate) fn connect_somewhere(rig: &mut Rig, group: u32) -> (usize, (SessionId, SessionId)) {
    let pop = rig.open_with(Open { group, ..demand() });
    let edge = rig.edges.iter().position(|site| !site.opened.is_empty());
    let edge = edge.unwrap();
    let at_edge = rig.edges[edge].opened.pop().unwrap();
    rig.dialled(edge, at_edge, Ok(()));
    (edge, (pop, at_edge))
}
