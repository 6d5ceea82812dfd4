//! Carriers: two pipes with delay, jitter and bandwidth, and what can become of them.

use super::super::chooser::{Chooser, mix};
use super::super::oracle::violated;
use super::host::Host;
use super::{Action, World};
use bytes::{BufMut as _, Bytes, BytesMut};
use core::hash::Hash as _;
use std::collections::VecDeque;
use titan_core::endpoint::{CarrierId, Endpoint, Item, Role};
use titan_core::mark::{self, Mark};
use titan_core::time::{Duration, Instant};
use titan_proto::{Code, Envelope, Frame, FrameKind, encode_header, is_numbered};

/// Bytes of others in a block that is read.
const OTHERS: usize = 64;

/// A carrier between an edge and a POP.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) edge: usize,
    pub(super) pop: usize,
    /// In which of its lives the edge made it.
    life: u64,
    /// The POP's end, until it knows the carrier gone.
    pub(super) pop_id: Option<CarrierId>,
    /// The edge's end, likewise.
    pub(super) edge_id: Option<CarrierId>,
    /// The POP has answered its HELLO: it bears the tunnel, whether the edge has confirmed that or not.
    bears: bool,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    choose: Chooser,
}

/// One direction of a carrier.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    items: VecDeque<(Instant, Parcel)>,
    bytes: usize,
    /// Deliveries that are to come and whose messages have been read already.
    ahead: u64,
    /// When the last byte taken has left, by the bandwidth.
    busy_until: Instant,
    /// Nothing arrives any more.
    pub(super) dead: bool,
    /// Nothing arrives before.
    pub(super) frozen_until: Instant,
    /// Acknowledgements are held back until then; but for the last they are lost.
    pub(super) mute_until: Instant,
    muted: Option<Parcel>,
    /// This much more delay until then.
    pub(super) lag: Duration,
    pub(super) lag_until: Instant,
    /// The first message waits until then.
    pub(super) first_held_until: Option<Instant>,
    /// A session seen in DATA, for who makes messages up.
    pub(super) seen_session: u64,
    /// Since when who sends here owes an acknowledgement.
    pub(super) owes_since: Option<Instant>,
}

/// Something on its way.
#[derive(Clone, Hash, Debug)]
pub(super) enum Parcel {
    Message(Bytes),
    Ping([u8; 8]),
    Pong([u8; 8]),
    Close(Code),
}

impl Link {
    /// Tells whether both ends take it for alive and nothing is broken.
    pub(super) const fn is_whole(&self) -> bool {
        self.pop_id.is_some() && self.edge_id.is_some() && !self.up.dead && !self.down.dead
    }

    pub(super) const fn pipe(&mut self, up: bool) -> &mut Pipe {
        if up { &mut self.up } else { &mut self.down }
    }
}

impl World {
    pub(super) fn add_link(
        &mut self,
        edge: usize,
        pop: usize,
        pop_id: CarrierId,
        edge_id: Option<CarrierId>,
    ) {
        let index = self.links.len();
        self.bearers.insert((Host::Pop(pop), pop_id), index);
        if let Some(id) = edge_id {
            self.bearers.insert((Host::Edge(edge), id), index);
        }
        let host = &mut self.edges[edge];
        let life = host.life;
        host.carriers += 1;
        let own = (edge as u64) << 32 | host.carriers;
        let late_hello = host.late_hello.take();
        let mut link = Link {
            edge,
            pop,
            life,
            pop_id: Some(pop_id),
            edge_id,
            bears: false,
            up: Pipe::default(),
            down: Pipe::default(),
            choose: Chooser::new(mix(self.scenario.seed ^ mix(own))),
        };
        if let Some((late, edge_sees)) = late_hello
            && !self.is_healed()
        {
            self.record.fired += 1;
            link.up.first_held_until = Some(self.now + Duration::from_millis(late));
            self.enter_in(
                edge_sees,
                Action::CloseSeen {
                    link: index,
                    at_pop: false,
                },
            );
        }
        self.links.push(link);
    }

    /// Returns the newest carrier of an edge that is whole.
    pub(super) fn whole_link(&self, edge: usize) -> Option<usize> {
        self.links
            .iter()
            .rposition(|link| link.edge == edge && link.is_whole())
    }

    // --- Endings ----------------------------------------------------------------------------------

    /// Breaks both directions; the ends learn of it after so many milliseconds, or never.
    pub(super) fn break_link(
        &mut self,
        link: usize,
        pop_sees: Option<u64>,
        edge_sees: Option<u64>,
    ) {
        for up in [true, false] {
            self.break_pipe(link, up, 0);
        }
        self.break_seen(link, pop_sees, edge_sees);
    }

    /// Lets the ends learn of it.
    pub(super) fn break_seen(
        &mut self,
        link: usize,
        pop_sees: Option<u64>,
        edge_sees: Option<u64>,
    ) {
        for (at_pop, sees) in [(true, pop_sees), (false, edge_sees)] {
            if let Some(millis) = sees {
                self.enter_in(millis, Action::CloseSeen { link, at_pop });
            }
        }
    }

    /// Breaks one direction, into which `last` bytes had got far enough to arrive.
    pub(super) fn break_pipe(&mut self, link: usize, up: bool, last: u64) {
        let pipe = self.links[link].pipe(up);
        pipe.dead = true;
        let mut left = last;
        let mut whole = 0;
        for (_, parcel) in &pipe.items {
            let Some(rest) = left.checked_sub(parcel.len() as u64) else {
                if left > 0 {
                    mark::note(Mark::MessageCut);
                }
                break;
            };
            left = rest;
            whole += 1;
        }
        let lost: Vec<Parcel> = pipe
            .items
            .drain(whole..)
            .map(|(_, parcel)| parcel)
            .collect();
        pipe.bytes = pipe.items.iter().map(|(_, parcel)| parcel.len()).sum();
        for parcel in lost {
            self.lost(link, up, &parcel);
        }
    }

    /// Notes what the next carrier has to bear again.
    fn lost(&mut self, link: usize, up: bool, parcel: &Parcel) {
        if parcel.is_numbered() {
            let (edge, pop) = (self.links[link].edge, self.links[link].pop);
            let lost = self.edges[edge].lost.entry(pop).or_default();
            *(if up { &mut lost.0 } else { &mut lost.1 }) = true;
        }
    }

    /// One end learns that its connection is gone.
    pub(super) fn close_seen(&mut self, link: usize, at_pop: bool) {
        let now = self.now;
        let state = &mut self.links[link];
        if at_pop {
            let host = &mut self.pops[state.pop];
            if let Some(id) = state.pop_id.take()
                && let Some(core) = &mut host.core
            {
                host.touched = true;
                core.handle_carrier_closed(now, id, Code::Reset);
            }
        } else {
            let host = &mut self.edges[state.edge];
            if let Some(id) = state.edge_id.take()
                && let Some(core) = &mut host.core
            {
                host.touched = true;
                core.handle_carrier_closed(now, id, Code::Reset);
            }
        }
    }

    /// A core wants its end aborted: what was under way from it is lost, and the other end sees it.
    pub(super) fn severed(&mut self, host: Host, carrier: CarrierId) {
        let Some(link) = self.bearers.remove(&(host, carrier)) else {
            return;
        };
        let state = &mut self.links[link];
        let at_pop = matches!(host, Host::Pop(_));
        if at_pop {
            state.pop_id = None;
        } else {
            state.edge_id = None;
        }
        let reachable = !state.pipe(!at_pop).dead;
        for up in [true, false] {
            self.break_pipe(link, up, 0);
        }
        if reachable {
            let delay = self.scenario.network.delay;
            self.enter_in(
                delay,
                Action::CloseSeen {
                    link,
                    at_pop: !at_pop,
                },
            );
        }
    }

    // --- On the way -------------------------------------------------------------------------------

    /// Hands what has arrived to the end it is for, several messages at once if it reads so.
    pub(super) fn deliver(&mut self, link: usize, up: bool) {
        let pipe = self.links[link].pipe(up);
        if pipe.ahead > 0 {
            // Its message has been read together with an earlier one.
            pipe.ahead -= 1;
            return;
        }
        self.deliver_one(link, up);
        for _ in 1..self.scenario.network.reads {
            let pipe = self.links[link].pipe(up);
            if pipe.items.front().is_none_or(|&(at, _)| at > self.now) {
                return;
            }
            let left = pipe.items.len();
            pipe.ahead += 1;
            self.deliver_one(link, up);
            if self.links[link].pipe(up).items.len() == left {
                return;
            }
        }
    }

    fn deliver_one(&mut self, link: usize, up: bool) {
        let now = self.now;
        let pipe = self.links[link].pipe(up);
        let Some(&(at, _)) = pipe.items.front() else {
            return;
        };
        let held = pipe.frozen_until.max(pipe.first_held_until.unwrap_or(at));
        if at.max(held) > now {
            // A freeze came over it, or an earlier one was longer.
            self.enter(at.max(held), Action::Deliver { link, up });
            return;
        }
        if !self.reads(link, up) {
            return;
        }
        let pipe = self.links[link].pipe(up);
        pipe.first_held_until = None;
        let (_, parcel) = pipe.items.pop_front().expect("it was just there");
        pipe.bytes -= parcel.len();
        let parcel = self.in_a_block(parcel, link, up);
        if self.log.is_some() {
            let (edge, pop) = (self.links[link].edge, self.links[link].pop);
            let arrow = if up { "->" } else { "<-" };
            let what = parcel.describe();
            self.note(|| format!("edge {edge} {arrow} pop {pop}: {what}"));
        }
        // The sender has room again.
        self.touch(link, !up);
        let (edge, pop) = (self.links[link].edge, self.links[link].pop);
        self.touch(link, up);
        let state = &self.links[link];
        let there = if up { state.pop_id } else { state.edge_id }.is_some();
        if let Parcel::Ping(payload) = parcel
            && there
        {
            self.send(link, !up, Parcel::Pong(payload));
        }
        self.note_told(link, up, &parcel);
        let numbered = parcel.is_numbered();
        let state = &mut self.links[link];
        if numbered {
            state.pipe(!up).owes_since.get_or_insert(now);
        }
        match (up, state.pop_id, state.edge_id) {
            (true, Some(id), _) => {
                if let Some(core) = &mut self.pops[pop].core {
                    hand_in(&mut **core, now, id, &parcel);
                }
                if parcel.is_reply() {
                    self.note_exit(pop, edge);
                }
            }
            (false, _, Some(id)) => {
                if let Some(core) = &mut self.edges[edge].core {
                    hand_in(&mut **core, now, id, &parcel);
                }
            }
            _ => {}
        }
        if let Parcel::Close(_) = parcel {
            self.close_link(link, up);
        }
    }

    /// Tells whether a POP has a carrier that bears the tunnel of a node.
    pub(super) fn is_borne(&self, pop: usize, node: usize) -> bool {
        let mut links = self.links.iter();
        links.any(|link| {
            let of_both = link.pop == pop && self.edges[link.edge].node == node;
            of_both && link.bears && link.pop_id.is_some()
        })
    }

    /// Notes what the other end says: what it has received, and whether it takes sessions.
    fn note_told(&mut self, link: usize, up: bool, parcel: &Parcel) {
        let (now, state) = (self.now, &self.links[link]);
        let (edge, pop, life) = (state.edge, state.pop, state.life);
        if let Some(count) = parcel.acknowledged()
            && self.is_newest(link)
        {
            let host = if up { Host::Pop(pop) } else { Host::Edge(edge) };
            let grows = parcel.is_ack().then_some(now);
            let node = self.edges[edge].node;
            self.record.acknowledged(host, node, pop, count, grows);
        }
        if up && parcel.begins() {
            let key = (pop, self.edges[edge].node);
            self.record.wants.begins_anew(key, now);
        }
        if let Some(accepting) = parcel.willingness() {
            // What an earlier carrier still brings may be ignored.
            let counts = !accepting || self.is_newest(link);
            if counts {
                self.record.wants.tells((pop, edge), life, accepting);
            }
        }
    }

    /// Reads a message as drivers do, into a block that holds others, too.
    fn in_a_block(&mut self, parcel: Parcel, link: usize, up: bool) -> Parcel {
        let Parcel::Message(message) = parcel else {
            return parcel;
        };
        let state = &self.links[link];
        let host = if up {
            Host::Pop(state.pop)
        } else {
            Host::Edge(state.edge)
        };
        let mut block = BytesMut::with_capacity(message.len() + OTHERS);
        block.put_slice(&message);
        block.put_bytes(0xdd, OTHERS);
        let block = block.freeze();
        let message = block.slice(..message.len());
        self.blocks.push((host, block));
        Parcel::Message(message)
    }

    /// Nothing keeps a block that was read once its turn is over: who reads slowly would keep what belongs to
    /// others.
    pub(super) fn judge_blocks(&mut self) {
        for (host, block) in core::mem::take(&mut self.blocks) {
            if !block.is_unique() {
                violated(
                    4,
                    format_args!("{host:?} keeps a block of {} bytes", block.len()),
                );
            }
        }
    }

    /// Tells whether the end that a way leads to reads it; if not, what has arrived waits there.
    fn reads(&mut self, link: usize, up: bool) -> bool {
        let now = self.now;
        let state = &self.links[link];
        let (host, reads) = if up {
            let core = &mut self.pops[state.pop].core;
            let end = state.pop_id.zip(core.as_deref_mut());
            let reads = end.is_none_or(|(id, core)| core.takes_input(now, id));
            (Host::Pop(state.pop), reads)
        } else {
            let core = &mut self.edges[state.edge].core;
            let end = state.edge_id.zip(core.as_deref_mut());
            let reads = end.is_none_or(|(id, core)| core.takes_input(now, id));
            (Host::Edge(state.edge), reads)
        };
        if !reads {
            self.unread.entry(host).or_default().push((link, up));
        }
        reads
    }

    /// A host reads its carriers again.
    pub(super) fn read_again(&mut self, host: Host) {
        for (link, up) in self.unread.remove(&host).unwrap_or_default() {
            self.enter(self.now, Action::Deliver { link, up });
        }
    }

    /// An end has told the other one that it closes.
    fn close_link(&mut self, link: usize, up: bool) {
        let state = &mut self.links[link];
        if up {
            state.pop_id = None;
        } else {
            state.edge_id = None;
        }
        for up in [true, false] {
            self.break_pipe(link, up, 0);
        }
    }

    /// Tells whether no later carrier of its edge to its POP was connected.
    fn is_newest(&self, link: usize) -> bool {
        let (edge, pop) = (self.links[link].edge, self.links[link].pop);
        let later = &self.links[link + 1..];
        !later
            .iter()
            .any(|other| other.edge == edge && other.pop == pop)
    }

    fn touch(&mut self, link: usize, pop: bool) {
        let state = &self.links[link];
        if pop {
            self.pops[state.pop].touched = true;
        } else {
            self.edges[state.edge].touched = true;
        }
    }

    /// Puts something into a pipe.
    pub(super) fn send(&mut self, link: usize, up: bool, parcel: Parcel) {
        let network = self.scenario.network;
        let now = self.now;
        parcel.hash(&mut self.trace);
        let state = &mut self.links[link];
        let jitter = state.choose.below(network.jitter * 1_000 + 1);
        let pipe = state.pipe(up);
        if pipe.dead {
            // Written into a dead connection.
            self.lost(link, up, &parcel);
            return;
        }
        if now < pipe.mute_until && parcel.is_ack() {
            // The last one gets through in the end: a carrier loses nothing while it lives.
            let at = pipe.mute_until;
            if pipe.muted.replace(parcel).is_none() {
                self.enter(at, Action::Unmute { link, up });
            }
            return;
        }
        let start = pipe.busy_until.max(now);
        let takes = match network.bandwidth {
            0 => Duration::ZERO,
            rate => Duration::from_micros(parcel.len() as u64 * 1_000 / rate),
        };
        pipe.busy_until = start + takes;
        let lag = if now < pipe.lag_until {
            pipe.lag
        } else {
            Duration::ZERO
        };
        let delay = Duration::from_millis(network.delay) + Duration::from_micros(jitter) + lag;
        let at = pipe.busy_until + delay;
        let at = pipe.items.back().map_or(at, |&(last, _)| last.max(at));
        let at = at.max(pipe.frozen_until);
        pipe.bytes += parcel.len();
        if let Some(session) = parcel.data_session() {
            pipe.seen_session = session;
        }
        pipe.items.push_back((at, parcel));
        self.enter(at, Action::Deliver { link, up });
    }

    /// Lets the last acknowledgement through that was held back.
    pub(super) fn unmute(&mut self, link: usize, up: bool) {
        let pipe = self.links[link].pipe(up);
        if self.now < pipe.mute_until {
            let at = pipe.mute_until;
            self.enter(at, Action::Unmute { link, up });
        } else if let Some(parcel) = pipe.muted.take() {
            self.send(link, up, parcel);
        }
    }

    // --- Output of the cores ----------------------------------------------------------------------

    /// Moves what fits from the carriers that have said they have output.
    pub(super) fn transmit_ready(&mut self, host: Host) -> bool {
        let mut moved = false;
        let mut index = 0;
        while let Some(&carrier) = self.ready(host).get(index) {
            match self.transmit(host, carrier) {
                Transmitted::Some => moved = true,
                Transmitted::Nothing => {
                    self.ready(host).swap_remove(index);
                }
                Transmitted::NoRoom => index += 1,
            }
        }
        moved
    }

    fn ready(&mut self, host: Host) -> &mut Vec<CarrierId> {
        match host {
            Host::Pop(pop) => &mut self.pops[pop].ready,
            Host::Edge(edge) => &mut self.edges[edge].ready,
        }
    }

    pub(super) fn transmit(&mut self, host: Host, carrier: CarrierId) -> Transmitted {
        let Some(&link) = self.bearers.get(&(host, carrier)) else {
            return Transmitted::Nothing;
        };
        let up = matches!(host, Host::Edge(_));
        let own = if up {
            self.links[link].edge_id
        } else {
            self.links[link].pop_id
        };
        if own != Some(carrier) {
            return Transmitted::Nothing;
        }
        let window = self.scenario.network.window;
        if self.links[link].pipe(up).bytes >= window {
            // What is owed waits for room.
            self.links[link].pipe(up).owes_since = None;
            return Transmitted::NoRoom;
        }
        match host {
            Host::Pop(pop) => {
                if let Some(core) = &mut self.pops[pop].core {
                    core.poll_transmit(self.now, carrier, &mut self.batch);
                }
            }
            Host::Edge(edge) => {
                if let Some(core) = &mut self.edges[edge].core {
                    core.poll_transmit(self.now, carrier, &mut self.batch);
                }
            }
        }
        if self.batch.is_empty() {
            return Transmitted::Nothing;
        }
        let items: Vec<Item> = self.batch.drain().collect();
        for item in items {
            let parcel = Parcel::new(item);
            if let Parcel::Close(_) = parcel {
                if up {
                    self.links[link].edge_id = None;
                } else {
                    self.links[link].pop_id = None;
                }
            }
            if parcel.is_ack() {
                self.judge_ack(link, up);
            }
            if !up && parcel.is_of(FrameKind::Hello) {
                self.links[link].bears = true;
                let (edge, pop) = (self.links[link].edge, self.links[link].pop);
                let key = (pop, self.edges[edge].node);
                self.record.wants.answers(key, self.now);
            }
            self.send(link, up, parcel);
        }
        Transmitted::Some
    }
}

/// What came of asking a carrier for output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transmitted {
    Some,
    Nothing,
    NoRoom,
}

impl Parcel {
    fn new(item: Item) -> Self {
        match item {
            Item::Frame(frame) => Self::frame(frame.kind, frame.session, &frame.payload),
            Item::Ping(payload) => Self::Ping(payload),
            Item::Close(code) => Self::Close(code),
        }
    }

    pub(super) fn frame(kind: u32, session: u64, payload: &[u8]) -> Self {
        let mut message = BytesMut::with_capacity(payload.len() + 32);
        encode_header(kind, session, payload.len(), &mut message);
        message.put_slice(payload);
        Self::Message(message.freeze())
    }

    fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Ping(_) | Self::Pong(_) | Self::Close(_) => 8,
        }
    }

    fn envelope(&self) -> Option<Envelope> {
        let Self::Message(message) = self else {
            return None;
        };
        Envelope::decode(message).ok()
    }

    /// Returns what the sender says it has received.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "two kinds of frames carry the count"
    )]
    fn acknowledged(&self) -> Option<u64> {
        let envelope = self.envelope()?;
        if is_numbered(envelope.kind) {
            return None;
        }
        match Frame::decode(envelope).ok()? {
            Frame::Ack { received } => Some(received),
            Frame::Hello(hello) => Some(hello.received),
            _ => None,
        }
    }

    /// Tells whether it is the HELLO of an edge that resumes no tunnel.
    fn begins(&self) -> bool {
        let hello = self.envelope().filter(|_| self.is_of(FrameKind::Hello));
        match hello.map(Frame::decode) {
            Some(Ok(Frame::Hello(hello))) => hello.tunnel == 0,
            _ => false,
        }
    }

    /// Returns whether its sender takes sessions, if it says so.
    #[expect(clippy::wildcard_enum_match_arm, reason = "one kind of frame tells")]
    fn willingness(&self) -> Option<bool> {
        let envelope = self.envelope()?;
        if envelope.kind != FrameKind::Status.number() {
            return None;
        }
        match Frame::decode(envelope).ok()? {
            Frame::Status(status) => Some(status.accepting),
            _ => None,
        }
    }

    pub(super) fn is_numbered(&self) -> bool {
        self.envelope()
            .is_some_and(|envelope| is_numbered(envelope.kind))
    }

    fn is_ack(&self) -> bool {
        self.is_of(FrameKind::Ack)
    }

    fn is_reply(&self) -> bool {
        self.is_of(FrameKind::Reply)
    }

    fn is_of(&self, kind: FrameKind) -> bool {
        self.envelope()
            .is_some_and(|envelope| envelope.kind == kind.number())
    }

    fn data_session(&self) -> Option<u64> {
        let envelope = self.envelope()?;
        (envelope.kind == FrameKind::Data.number()).then_some(envelope.session)
    }

    fn describe(&self) -> String {
        match (self, self.envelope()) {
            (Self::Message(_), Some(envelope)) => format!(
                "{} session {} ({} bytes)",
                FrameKind::from_number(envelope.kind).map_or("UNKNOWN", FrameKind::name),
                envelope.session,
                envelope.payload.len()
            ),
            (Self::Message(message), None) => format!("no frame ({} bytes)", message.len()),
            (parcel, _) => format!("{parcel:?}"),
        }
    }
}

fn hand_in<R: Role>(endpoint: &mut Endpoint<R>, now: Instant, carrier: CarrierId, parcel: &Parcel) {
    match parcel {
        Parcel::Message(message) => endpoint.handle_message(now, carrier, message),
        Parcel::Ping(_) => endpoint.handle_alive(now, carrier),
        Parcel::Pong(payload) => endpoint.handle_pong(now, carrier, payload),
        Parcel::Close(_) => endpoint.handle_carrier_closed(now, carrier, Code::Cancelled),
    }
}
