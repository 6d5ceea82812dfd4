//! Clients and targets that send what there is room for, at a POP with little memory.

use crate::common::{Way::ToEdge, World, config, demand, welcome};
use bytes::Bytes;
use std::collections::BTreeMap;
use titan_core::endpoint::{CloseMode, Config, Open, SessionId};
use titan_proto::{Code, Frame};

/// A world whose POP has this budget, and whose edges are rich.
pub(crate) fn poor_pop(memory_budget: u64, edges: usize) -> World {
    let poor = Config {
        memory_budget,
        ..config()
    };
    beside_rich_edges(poor, edges)
}

/// A world whose POP has these limits, and whose edges have those of everybody.
pub(crate) fn beside_rich_edges(of_pop: Config, edges: usize) -> World {
    let mut world = World::new(of_pop, 0);
    world.config = config();
    for edge in 0..edges {
        world.add_edge(&format!("node-{edge}"));
    }
    world
}

/// An edge whose POP is played by the test, and the link to it.
pub(crate) fn lonely_edge(config: Config) -> (World, usize) {
    let mut world = World::new(config, 0);
    world.add_offline("node-0");
    let link = world.raw_pop(0);
    world.inject(link, ToEdge, Frame::Hello(welcome()));
    (world, link)
}

/// Opens sessions until there is one on each edge, and returns those.
pub(crate) fn one_on_each(world: &mut World, group: u32) -> BTreeMap<usize, SessionId> {
    let mut on = BTreeMap::new();
    while on.len() < world.edges.len() {
        let id = world.open_with(Open { group, ..demand() });
        let edge = world.answer(Ok(()));
        if let Some(spare) = on.insert(edge, id) {
            world
                .pop
                .close(world.now, spare, Code::Ok, CloseMode::Abort);
        }
    }
    on
}

/// A target sends what there is room for, at most `len` bytes; returns how many that were.
pub(crate) fn offer_down(world: &mut World, edge: usize, id: SessionId, len: usize) -> usize {
    let core = &mut world.edges[edge].core;
    let room = core
        .status(world.now, id)
        .map_or(0, |status| status.send_room);
    let len = room.min(len);
    if len > 0 {
        core.write(world.now, id, Bytes::from(vec![1; len]));
    }
    len
}

/// A client sends what there is room for, at most `len` bytes; returns how many that were.
pub(crate) fn offer_up(world: &mut World, id: SessionId, len: usize) -> usize {
    let status = world.pop.status(world.now, id);
    let len = status.map_or(0, |status| status.send_room).min(len);
    if len > 0 {
        world.pop.write(world.now, id, Bytes::from(vec![1; len]));
    }
    len
}

/// Connects a session of a group at the edge that is chosen.
pub(crate) fn connect_somewhere(world: &mut World, group: u32) -> (usize, (SessionId, SessionId)) {
    let pop = world.open_with(Open { group, ..demand() });
    let edge = world.edges.iter().position(|site| !site.opened.is_empty());
    let edge = edge.unwrap();
    let at_edge = world.edges[edge].opened.pop().unwrap();
    world.dialled(edge, at_edge, Ok(()));
    (edge, (pop, at_edge))
}
