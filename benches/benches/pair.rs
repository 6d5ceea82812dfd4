//! A POP and the edges of its nodes in memory: carriers take no time and targets read at once.
//!
//! Apart from the rig of `titan-kit`, which keeps every frame that arrived, audits both sides and looks at every
//! edge in each step: among ten thousand tunnels that would be all there is to measure.

use bytes::{BufMut as _, BytesMut};
use titan_core::endpoint::{
    Batch, CarrierId, Config, Dialled, Edge, EdgeEvent, Endpoint, Event, Item, Pop, Role,
};
use titan_core::exit::guard::Guard;
use titan_core::time::Instant;
use titan_proto::encode_header;
use titan_proto::limits::HEADER_MAX;

/// Bytes on the wire per batch, as carriers of a daemon take them.
pub(crate) const BATCH_LEN: usize = 256 << 10;

/// An edge and its carrier to the POP.
pub(crate) struct Link {
    edge: Edge,
    at_edge: CarrierId,
    at_pop: CarrierId,
}

impl Link {
    /// Attaches a new edge, which is all that `node` has, to the POP.
    pub(crate) fn attach(pop: &mut Pop, now: Instant, node: &str) -> Self {
        let mut edge = Edge::new(Config::default(), [2; 32], Guard::default(), now);
        let uplink = edge.add_uplink(now);
        let nonce = pop.nonce();
        let at_pop = pop.handle_carrier(now, node, nonce, true);
        let at_edge = edge
            .handle_connected(now, uplink, nonce, true)
            .expect("a new uplink waits for its carrier");
        let mut link = Self {
            edge,
            at_edge,
            at_pop,
        };
        link.exchange(pop, now);
        assert!(link.edge.is_attached(uplink), "the POP takes the edge");
        link
    }

    /// Returns the carrier as the POP knows it.
    pub(crate) const fn at_pop(&self) -> CarrierId {
        self.at_pop
    }

    /// Hands what the POP transmitted to the edge.
    pub(crate) fn deliver(&mut self, pop: &mut Pop, now: Instant, item: Item) {
        deliver(
            now,
            item,
            (pop, self.at_pop),
            (&mut self.edge, self.at_edge),
        );
    }

    /// Does what is due at both ends, lets targets read, and exchanges until nothing is left to be sent.
    pub(crate) fn exchange(&mut self, pop: &mut Pop, now: Instant) {
        self.edge.handle_timeout(now);
        pop.handle_timeout(now);
        self.serve(now);
        loop {
            let up = carry(
                now,
                (&mut self.edge, self.at_edge),
                (&mut *pop, self.at_pop),
            );
            let down = carry(
                now,
                (&mut *pop, self.at_pop),
                (&mut self.edge, self.at_edge),
            );
            self.serve(now);
            if !up && !down {
                break;
            }
        }
        while pop.poll_ready().is_some() {}
        while pop.poll_woken().is_some() {}
        while pop.poll_event().is_some() {}
    }

    /// Answers dials and takes every byte that arrived.
    fn serve(&mut self, now: Instant) {
        while let Some(event) = self.edge.poll_event() {
            if let Event::Role(EdgeEvent::Opened { session }) = event {
                self.edge.dialled(now, session, Ok(Dialled::default()));
            }
        }
        while let Some(session) = self.edge.poll_woken() {
            if let Some(status) = self.edge.status(now, session) {
                self.edge.release(now, session, status.readable);
            }
        }
        self.edge.settle(now);
        while self.edge.poll_ready().is_some() {}
    }
}

type End<'a, R> = (&'a mut Endpoint<R>, CarrierId);

/// Brings everything that one end has to send to the other; tells whether there was anything.
fn carry<A: Role, B: Role>(now: Instant, from: End<'_, A>, to: End<'_, B>) -> bool {
    let mut batch = Batch::new(BATCH_LEN);
    let mut carried = false;
    loop {
        from.0.poll_transmit(now, from.1, &mut batch);
        carried |= !batch.is_empty();
        let more = batch.is_full();
        for item in batch.drain() {
            deliver(now, item, (&mut *from.0, from.1), (&mut *to.0, to.1));
        }
        if !more {
            return carried;
        }
    }
}

fn deliver<A: Role, B: Role>(now: Instant, item: Item, from: End<'_, A>, to: End<'_, B>) {
    match item {
        Item::Frame(frame) => {
            let len = frame.payload.len();
            let mut message = BytesMut::with_capacity(HEADER_MAX + len);
            encode_header(frame.kind, frame.session, len, &mut message);
            message.put_slice(&frame.payload);
            to.0.handle_message(now, to.1, &message.freeze());
        }
        Item::Ping(payload) => {
            to.0.handle_alive(now, to.1);
            from.0.handle_pong(now, from.1, &payload);
        }
        Item::Close(code) => panic!("the carrier was closed: {}", code.tag()),
    }
}
