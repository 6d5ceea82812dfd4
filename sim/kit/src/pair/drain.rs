//! What moves by itself: events, frames and the ends of carriers.

use super::Rig;
use super::link::Way::{ToEdge, ToPop};
use super::link::{Link, Parcel, Pipe, Seen, Way};
use super::values::{encode, message};
use titan_core::endpoint::{Batch, CarrierId, EdgeEvent, Endpoint, Event, Item, Role};
use titan_core::time::Instant;
use titan_proto::{Code, Envelope, Frame};

impl Rig {
    pub(super) fn drain_events(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.pop.poll_event() {
            moved = true;
            if let Event::Sever { carrier, .. } = event {
                self.sever(|link| (link.pop == Some(carrier)).then_some(ToPop));
            }
            self.events.push(event);
        }
        while let Some(id) = self.pop.poll_woken() {
            self.woken.push(id);
        }
        for edge in 0..self.edges.len() {
            while let Some(id) = self.edges[edge].core.poll_woken() {
                self.edge_woken.push((edge, id));
            }
            while let Some(event) = self.edges[edge].core.poll_event() {
                moved = true;
                match &event {
                    Event::Role(EdgeEvent::Connect { .. }) => self.edges[edge].wants = true,
                    Event::Role(EdgeEvent::Opened { session }) => {
                        self.edges[edge].opened.push(*session)
                    }
                    Event::Sever { carrier, .. } => {
                        let carrier = *carrier;
                        self.sever(|link| {
                            (link.edge == edge && link.at_edge == Some(carrier)).then_some(ToEdge)
                        });
                    }
                    _ => {}
                }
                self.edges[edge].events.push(event);
            }
            if self.edges[edge].wants && self.edges[edge].online {
                moved = true;
                let node = self.edges[edge].node.clone();
                self.connect_as(edge, &node);
            }
        }
        moved
    }

    /// An end gave a carrier up: the other sees its connection close.
    fn sever(&mut self, which: impl Fn(&Link) -> Option<Way>) {
        let found = self
            .links
            .iter()
            .enumerate()
            .find_map(|(number, link)| Some((number, which(link)?)));
        let Some((number, end)) = found else { return };
        match end {
            ToPop => self.links[number].pop = None,
            ToEdge => self.links[number].at_edge = None,
        }
        self.links[number].pipe(end.back()).items.clear();
        let close = Parcel::Close(Code::Reset);
        self.links[number].pipe(end.back()).items.push_back(close);
    }

    pub(super) fn transmit(&mut self) -> bool {
        let mut moved = false;
        let mut batch = Batch::new(self.batch);
        self.collect_ready();
        for link in &mut self.links {
            if let Some(id) = link.at_edge.filter(|_| !link.to_pop.blocked) {
                let core = &mut self.edges[link.edge].core;
                let told = self.ready.remove(&(Some(link.edge), id));
                while transmit(core, self.now, id, &mut batch, &mut link.to_pop) {
                    assert!(told, "nobody was told of the edge's output");
                    moved = true;
                }
                if link.to_pop.is_closed() {
                    link.at_edge = None;
                }
            }
            if let Some(id) = link.pop.filter(|_| !link.to_edge.blocked) {
                let told = self.ready.remove(&(None, id));
                while transmit(&mut self.pop, self.now, id, &mut batch, &mut link.to_edge) {
                    assert!(told, "nobody was told of the POP's output");
                    moved = true;
                }
                if link.to_edge.is_closed() {
                    link.pop = None;
                }
            }
        }
        // One that found too much to do comes again.
        self.collect_ready() | moved
    }

    /// Notes the carriers that have something to send; tells whether there were any.
    pub(super) fn collect_ready(&mut self) -> bool {
        let mut any = false;
        while let Some(id) = self.pop.poll_ready() {
            any = true;
            self.ready.insert((None, id));
        }
        for (edge, site) in self.edges.iter_mut().enumerate() {
            while let Some(id) = site.core.poll_ready() {
                any = true;
                self.ready.insert((Some(edge), id));
            }
        }
        any
    }

    pub(super) fn deliver(&mut self) -> bool {
        let mut moved = false;
        for number in 0..self.links.len() {
            for way in [ToPop, ToEdge] {
                let count = self.links[number].pipe(way).items.len();
                for _ in 0..count {
                    let pipe = self.links[number].pipe(way);
                    if pipe.held || !self.is_read(number, way) {
                        break;
                    }
                    let pipe = self.links[number].pipe(way);
                    let Some(parcel) = pipe.items.pop_front() else {
                        break;
                    };
                    moved = true;
                    self.arrive(number, way, parcel);
                }
            }
        }
        moved
    }

    /// Tells whether the end that a carrier's way leads to reads it.
    fn is_read(&mut self, number: usize, way: Way) -> bool {
        let link = &self.links[number];
        match way {
            ToPop => link.pop.is_none_or(|id| self.pop.takes_input(self.now, id)),
            ToEdge => link.at_edge.is_none_or(|id| {
                let core = &mut self.edges[link.edge].core;
                core.takes_input(self.now, id)
            }),
        }
    }

    fn arrive(&mut self, number: usize, way: Way, parcel: Parcel) {
        let parcel = match parcel {
            Parcel::Frame(mut frame) => {
                if let Some(rewrite) = &mut self.rewrite {
                    rewrite(way, &mut frame);
                }
                self.wire.push(Seen {
                    link: number,
                    way,
                    frame: frame.clone(),
                });
                Parcel::Frame(frame)
            }
            other => other,
        };
        let link = &mut self.links[number];
        if let Parcel::Ping(payload) = parcel {
            link.pipe(way.back()).items.push_back(Parcel::Pong(payload));
        }
        let close = matches!(parcel, Parcel::Close(_));
        match way {
            ToPop => {
                if let Some(id) = link.pop {
                    hand_in(&mut self.pop, self.now, id, parcel);
                }
                if close {
                    link.pop = None;
                }
            }
            ToEdge => {
                if let Some(id) = link.at_edge {
                    hand_in(&mut self.edges[link.edge].core, self.now, id, parcel);
                }
                if close {
                    link.at_edge = None;
                }
            }
        }
    }
}

fn transmit<R: Role>(
    endpoint: &mut Endpoint<R>,
    now: Instant,
    id: CarrierId,
    batch: &mut Batch,
    pipe: &mut Pipe,
) -> bool {
    endpoint.poll_transmit(now, id, batch);
    if batch.is_empty() {
        return false;
    }
    for item in batch.drain() {
        pipe.items.push_back(match item {
            Item::Frame(frame) => {
                let message = message(frame.kind, frame.session, &frame.payload);
                Parcel::Frame(Frame::decode(Envelope::decode(&message).unwrap()).unwrap())
            }
            Item::Ping(payload) => Parcel::Ping(payload),
            Item::Close(code) => Parcel::Close(code),
        });
    }
    true
}

fn hand_in<R: Role>(endpoint: &mut Endpoint<R>, now: Instant, id: CarrierId, parcel: Parcel) {
    match parcel {
        Parcel::Frame(frame) => endpoint.handle_message(now, id, &encode(frame)),
        Parcel::Ping(_) => endpoint.handle_alive(now, id),
        Parcel::Pong(payload) => endpoint.handle_pong(now, id, &payload),
        Parcel::Close(code) => endpoint.handle_carrier_closed(now, id, code),
    }
}
