//! What a session owes the wire besides bytes.

use alloc::boxed::Box;
use titan_proto::{Code, Frame, wire};

/// How a session is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseMode {
    /// What was read before is still delivered; for faults of a socket.
    Flush,
    /// Everything held is dropped; for policy and memory.
    Abort,
}

/// What is owed, made into frames when the carrier has room, in the order of the fields.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// The answer to the peer's CREATE.
    pub(super) reply: Option<Box<wire::Reply>>,
    pub(super) credit: bool,
    pub(super) stop: Option<Code>,
    pub(super) close: Option<(Code, CloseMode)>,
}

impl Due {
    pub(super) const fn any(&self) -> bool {
        self.reply.is_some() || self.credit || self.stop.is_some() || self.close.is_some()
    }

    /// Forgets what a session that is over does not owe any more.
    pub(super) const fn forget_streams(&mut self) {
        self.credit = false;
        self.stop = None;
    }

    /// Takes the next frame; `limit` is asked for that of a CREDIT.
    pub(super) fn next_frame(
        &mut self,
        session: u64,
        limit: impl FnOnce() -> u64,
    ) -> Option<Frame> {
        if let Some(reply) = self.reply.take() {
            let reply = *reply;
            return Some(Frame::Reply { session, reply });
        }
        if core::mem::take(&mut self.credit) {
            let limit = limit();
            return Some(Frame::Credit { session, limit });
        }
        if let Some(code) = self.stop.take() {
            let code = code.wire();
            return Some(Frame::Stop { session, code });
        }
        let (code, mode) = self.close.take()?;
        Some(close(session, code, mode))
    }
}

/// Makes a CLOSE.
pub(crate) fn close(session: u64, code: Code, mode: CloseMode) -> Frame {
    let mode = match mode {
        CloseMode::Flush => wire::close::Mode::Drain,
        CloseMode::Abort => wire::close::Mode::Abort,
    };
    let close = wire::Close {
        code: code.wire(),
        mode: mode as i32,
    };
    Frame::Close { session, close }
}
