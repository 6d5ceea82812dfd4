//! Client bytes that were framed before the reply, kept for another exit (requirement B2).

use crate::config::FRAME_OVERHEAD;
use alloc::vec::Vec;
use bytes::Bytes;

/// Everything framed for the present exit, apart from the resend buffer. Bytes and the end of the
/// direction move to another exit together.
#[derive(Debug, Default)]
pub(crate) struct Early {
    pieces: Vec<Bytes>,
    len: u64,
    /// HALF_CLOSE was framed too.
    finished: bool,
}

impl Early {
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Returns what keeping it costs, the pieces' own allocations included.
    pub(crate) const fn charge(&self) -> u64 {
        self.len + self.pieces.len() as u64 * FRAME_OVERHEAD
    }

    pub(crate) const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Notes that HALF_CLOSE was framed too.
    pub(crate) const fn finish(&mut self) {
        self.finished = true;
    }

    /// Keeps a framed piece. The early window bounds the sum.
    pub(crate) fn keep(&mut self, bytes: Bytes) {
        self.len += bytes.len() as u64;
        self.pieces.push(bytes);
    }

    /// Gives everything back, for another exit or to be dropped after the reply.
    pub(crate) fn take(&mut self) -> Self {
        core::mem::take(self)
    }

    pub(crate) fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }
}
