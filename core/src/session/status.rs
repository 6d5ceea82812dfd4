//! How a session stands, for the driver that holds it.

use super::driver::Driver;
use super::{Flow, Phase, Session};
use titan_proto::Code;

/// How a session stands, for the driver that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionStatus {
    /// How the dial stands.
    pub dial: Dial,
    /// Bytes that wait for the socket and may be written to it now.
    pub readable: usize,
    /// No bytes will follow the readable ones, and the direction is complete.
    pub recv_finished: bool,
    /// Bytes the driver may read from the socket and write.
    pub send_room: usize,
    /// The peer reads no more: what the socket still gives is to be discarded.
    pub send_stopped: bool,
    /// The session is over; not told while bytes for the socket are withheld for the sake of a rate or
    /// an allowance. [`Code::Ok`] means that both directions are complete; with any other
    /// code the socket is to be reset once nothing is readable.
    pub ended: Option<Code>,
}

/// How a session's dial stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dial {
    /// Not known yet.
    Pending,
    /// The target is connected.
    Connected,
    /// No exit could connect, and why.
    Failed(Code),
}

impl<F: Flow> Session<F> {
    /// Tells whether a driver holds the session.
    pub(crate) const fn has_driver(&self) -> bool {
        !matches!(self.driver, Driver::Gone)
    }

    /// Has the driver look at the session.
    pub(crate) const fn tell_driver(&mut self) {
        self.driver.tell();
    }

    /// Tells, once, that the driver is to be called.
    pub(crate) const fn call_driver(&mut self) -> bool {
        let untold = matches!(self.driver, Driver::Untold);
        if untold {
            self.driver = Driver::Called;
        }
        untold
    }

    /// Notes that the driver was called and looks now; false if it has let go meanwhile.
    pub(crate) const fn driver_looks(&mut self) -> bool {
        let holds = self.has_driver();
        if holds {
            self.driver = Driver::Told;
        }
        holds
    }

    /// Returns how the session stands; `readable` and `send_room` are what its account allows of it.
    pub(crate) fn status(&self, readable: usize, send_room: usize) -> SessionStatus {
        let body = &self.body;
        let connected = self.flow.was_connected(body.send.offset);
        SessionStatus {
            dial: match self.phase {
                Phase::Dialling(_) => Dial::Pending,
                Phase::Ended { code, .. } if !connected => Dial::Failed(code),
                Phase::Open | Phase::Closing { .. } | Phase::Ended { .. } => Dial::Connected,
            },
            readable,
            recv_finished: body.recv.is_done() && !body.recv.stopped,
            send_room,
            send_stopped: body.send.stopped,
            ended: match self.phase {
                Phase::Ended { code, .. } if readable == body.recv.queue.len() => Some(code),
                Phase::Ended { .. } | Phase::Dialling(_) | Phase::Open | Phase::Closing { .. } => {
                    None
                }
            },
        }
    }
}
