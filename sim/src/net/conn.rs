//! A connection and its two ends.

use super::ids::HostId;
use bytes::Bytes;
use core::task::Waker;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use titan_core::time::Instant;

/// One of the two ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What travels between two ends.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    /// The client asks for the connection.
    Syn,
    /// The server has it in its backlog.
    SynAck,
    /// Nobody listens.
    Refuse,
    /// Bytes of the stream, in order.
    Data(Bytes),
    /// Bytes that reached the peer's receive buffer.
    Ack(usize),
    /// Bytes that the peer's application took.
    Window(usize),
    /// No more data follows.
    Fin,
    /// The peer is gone.
    Reset,
}

/// How far the client's handshake is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opening {
    /// This many SYNs were sent.
    Connecting {
        syn_count: u32,
    },
    Open,
    Failed(ErrorKind),
}

/// Who holds an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    /// Nobody yet: the SYN has not been accepted.
    Nobody,
    /// A listener's backlog.
    Backlog,
    /// A stream.
    Stream,
    /// Nobody any more.
    Gone,
}

/// What an end says about its own direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sending {
    Open,
    /// The end of the stream follows what is queued.
    Finishing,
    Finished,
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) opening: Opening,
    pub(super) open_waker: Option<Waker>,
    ends: [End; 2],
}

impl Conn {
    pub(super) fn new(client: End, server: End) -> Self {
        let opening = Opening::Connecting { syn_count: 0 };
        Self {
            opening,
            open_waker: None,
            ends: [client, server],
        }
    }

    pub(super) fn end(&self, side: Side) -> &End {
        &self.ends[side as usize]
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// Returns whether no one can notice any more what becomes of the connection.
    pub(super) fn is_over(&self) -> bool {
        let [client, server] = &self.ends;
        client.holder == Holder::Gone && matches!(server.holder, Holder::Nobody | Holder::Gone)
    }
}

/// One end: a kernel's socket.
#[derive(Debug)]
pub(super) struct End {
    pub(super) host: HostId,
    pub(super) address: SocketAddr,
    pub(super) holder: Holder,
    pub(super) abort_on_drop: bool,

    /// The receive buffer.
    pub(super) inbox: VecDeque<Bytes>,
    /// The peer finished.
    pub(super) ended: bool,
    pub(super) read_waker: Option<Waker>,

    /// The part of the send buffer that waits for the window.
    pub(super) outbox: VecDeque<Bytes>,
    pub(super) outbox_len: usize,
    /// The part of the send buffer that is under way.
    pub(super) unacknowledged: usize,
    /// Room in the peer's receive buffer.
    pub(super) window: usize,
    pub(super) sending: Sending,
    pub(super) write_waker: Option<Waker>,
    /// When the last packet of this end arrives; none overtakes it.
    pub(super) last_arrival: Instant,

    /// The connection is dead at this end.
    pub(super) failed: bool,
    /// Why, until an application was told; once, as by the kernel.
    pub(super) error: Option<ErrorKind>,
}

impl End {
    pub(super) fn new(host: HostId, address: SocketAddr, holder: Holder, window: usize) -> Self {
        Self {
            host,
            address,
            holder,
            abort_on_drop: false,
            inbox: VecDeque::new(),
            ended: false,
            read_waker: None,
            outbox: VecDeque::new(),
            outbox_len: 0,
            unacknowledged: 0,
            window,
            sending: Sending::Open,
            write_waker: None,
            last_arrival: Instant::EPOCH,
            failed: false,
            error: None,
        }
    }

    /// Kills this end; what is in the receive buffer can still be read.
    pub(super) fn fail(&mut self, error: Option<ErrorKind>, wakes: &mut Vec<Waker>) {
        if !self.failed {
            self.failed = true;
            self.error = error;
            self.outbox.clear();
            self.outbox_len = 0;
        }
        wakes.extend(self.read_waker.take());
        wakes.extend(self.write_waker.take());
    }
}
