//! What the peer says of a session.

use super::charge::Progress;
use super::recv::RecvError;
use super::{CloseMode, Flow, Phase, Session};
use crate::mark::{self, Mark};
use crate::time::Instant;
use alloc::boxed::Box;
use bytes::Bytes;
use titan_proto::{Code, Frame, wire};

/// An edge's answer, as the POP's session takes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// The target is connected, or it does not matter any more.
    Applied,
    /// The dial came to nothing.
    Failed,
}

/// What a session has to know of the moment in which it hears from its peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) now: Instant,
    /// Until when what is left of it may leave if it ends.
    pub(crate) deadline: Instant,
    /// How long its send queue may be.
    pub(crate) queue_room: usize,
    /// A planted bug: its driver is not told that it has room again.
    pub(crate) silent: bool,
}

impl<F: Flow> Session<F> {
    /// Applies a frame that means the same to both roles.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the table of frames says which come here"
    )]
    pub(crate) fn receive(&mut self, frame: Frame, heard: Heard) -> Result<(), Code> {
        let Heard { now, deadline, .. } = heard;
        match frame {
            Frame::Data { data, .. } => self.receive_data(now, data),
            Frame::HalfClose { final_offset, .. } => self.receive_half_close(now, final_offset),
            Frame::Stop { .. } => self.receive_stop(now),
            Frame::Close { close, .. } => self.receive_close(close, deadline),
            Frame::Credit { limit, .. } => self.receive_credit(limit, heard),
            _ => Err(Code::Protocol),
        }
    }

    /// The answering side replies before it sends: one that still waits for the reply gets nothing else.
    fn hear(&self) -> Result<(), Code> {
        if F::OPENS && self.is_dialling() {
            Err(Code::Protocol)
        } else {
            Ok(())
        }
    }

    fn receive_data(&mut self, now: Instant, data: Bytes) -> Result<(), Code> {
        self.hear()?;
        let empty = data.is_empty();
        self.body.receive(data).map_err(|error| match error {
            RecvError::OverCredit => {
                mark::hit(Mark::CreditExceeded);
                Code::CreditExceeded
            }
            RecvError::AfterEnd => Code::Protocol,
        })?;
        // What carries nothing is no life.
        if !empty {
            self.moved_at = now;
            self.tell_driver();
        }
        Ok(())
    }

    fn receive_half_close(&mut self, now: Instant, final_offset: u64) -> Result<(), Code> {
        self.hear()?;
        self.body
            .recv
            .finish(final_offset)
            .map_err(|_| Code::Protocol)?;
        self.moved_at = now;
        self.due.stop = None;
        self.tell_driver();
        Ok(())
    }

    fn receive_stop(&mut self, now: Instant) -> Result<(), Code> {
        self.hear()?;
        if !self.is_ended() && !self.body.send.stopped {
            self.body.send.stop();
            self.moved_at = now;
            self.tell_driver();
        }
        Ok(())
    }

    fn receive_close(&mut self, close: wire::Close, deadline: Instant) -> Result<(), Code> {
        self.hear()?;
        // Whether bytes are dropped is nothing to guess.
        let mut mode = match wire::close::Mode::try_from(close.mode) {
            Ok(wire::close::Mode::Drain) => CloseMode::Flush,
            Ok(wire::close::Mode::Abort) => CloseMode::Abort,
            Err(_) => return Err(Code::Protocol),
        };
        let code = Code::from_wire(close.code);
        if self.is_dialling() {
            // Every CREATE is answered exactly once, also when nobody waits any more.
            self.answer_failure(Code::Cancelled);
            // No socket will ever take what came before it.
            mode = CloseMode::Abort;
        }
        // The peer has closed; a CLOSE of ours would only be dropped.
        self.due.close = None;
        self.end(code, mode, deadline);
        Ok(())
    }

    /// Takes more credit.
    fn receive_credit(&mut self, limit: u64, heard: Heard) -> Result<(), Code> {
        self.hear()?;
        self.body.send.raise(limit);
        if self.body.send.relieve(heard.queue_room, 1) {
            mark::hit(Mark::RoomByCredit);
            if !heard.silent {
                self.tell_driver();
            }
        }
        Ok(())
    }

    /// Takes the answer to the CREATE of this side.
    pub(crate) fn receive_reply(
        &mut self,
        now: Instant,
        reply: &wire::Reply,
        deadline: Instant,
    ) -> Result<Told, Code> {
        let ok = Code::from_wire(reply.code) == Code::Ok;
        match &self.phase {
            Phase::Ended { .. } => {
                mark::hit(Mark::ReplyAfterClose);
            }
            // Closed while the dial ran: what the client sent before still leaves, if it can.
            Phase::Closing { .. } if ok => self.body.send.raise(reply.upload_limit),
            &Phase::Closing { code, .. } => self.end(code, CloseMode::Abort, deadline),
            Phase::Open => return Err(Code::Protocol),
            Phase::Dialling(_) if !self.is_announced() => return Err(Code::Protocol),
            Phase::Dialling(_) if ok => {
                self.phase = Phase::Open;
                self.moved_at = now;
                if self.body.recv.stopped {
                    mark::hit(Mark::StopWhileDialling);
                }
                self.body.send.raise(reply.upload_limit);
                self.tell_driver();
            }
            Phase::Dialling(_) => return Ok(Told::Failed),
        }
        Ok(Told::Applied)
    }

    /// Connects the target that the peer asked for, and answers.
    pub(crate) fn connect(&mut self, now: Instant, window: u64, mut reply: wire::Reply) {
        self.phase = Phase::Open;
        self.moved_at = now;
        // What has waited for the dial has not waited for the socket.
        self.charge.progress = Progress::since(now);
        let recv = &mut self.body.recv;
        recv.window = window;
        // The early window may be used already.
        recv.limit = recv.limit.max(recv.released + window);
        reply.upload_limit = recv.limit;
        self.due.reply = Some(Box::new(reply));
        self.tell_driver();
    }
}

// --- Frames of this side ------------------------------------------------------------------------------

impl<F: Flow> Session<F> {
    /// Takes the next control frame that is owed.
    pub(crate) fn next_control(&mut self) -> Option<Frame> {
        let number = self.number()?;
        let recv = &mut self.body.recv;
        self.due.next_frame(number, || recv.raise_limit())
    }

    /// Makes the CREATE that has its turn.
    pub(crate) fn create(&mut self, now: Instant) -> Option<Frame> {
        let (session, attempt) = (self.number()?, self.attempt_mut()?);
        let mut create = super::Attempt::create(attempt, now);
        create.download_limit = self.body.recv.limit;
        create.group = self.group;
        create.weight = self.weight;
        Some(Frame::Create { session, create })
    }

    /// Makes the session's next DATA or HALF_CLOSE.
    pub(crate) fn next_data(&mut self, data_max: usize) -> Option<Frame> {
        let number = self.number()?;
        let frame = self.body.next_frame(number, data_max);
        if let Some(attempt) = self.attempt_mut() {
            super::Attempt::framed(attempt, &frame);
        }
        Some(frame)
    }

    /// Notes that a frame left, and tells whether there is another.
    pub(crate) fn sent(&mut self, now: Instant, queue_room: usize) -> bool {
        self.moved_at = now;
        // Woken at half the queue, a driver fills it in few turns instead of many.
        if self.body.send.relieve(queue_room, queue_room / 2) {
            mark::hit(Mark::RoomByCarrier);
            self.tell_driver();
        }
        self.body.send.is_ready()
    }
}
