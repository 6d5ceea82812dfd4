//! What is said with a client before its session, whatever it speaks.

use crate::env::Stream;
use bytes::{BufMut as _, Bytes, BytesMut};
use core::future::pending;
use std::io;
use titan_core::ingress::{Event, Ingress, Outcome, Rules, start};
use titan_proto::Code;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What is read of a client before it is known what it speaks, in bytes: room for a whole handshake
/// of SOCKS and for most heads of HTTP.
const FIRST_READ: usize = 1024;

/// A client's bytes and the protocol that makes sense of them.
#[derive(Debug)]
pub(super) struct Conversation {
    rules: Rules,
    input: BytesMut,
    /// None until the first byte.
    ingress: Option<Box<dyn Ingress>>,
}

impl Conversation {
    /// Begins with a client that has sent nothing yet.
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            input: BytesMut::with_capacity(FIRST_READ),
            ingress: None,
        }
    }

    /// Returns what there is to act on in what was read.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        let ingress = match &mut self.ingress {
            Some(ingress) => ingress,
            None => {
                let first = *self.input.first()?;
                self.ingress.insert(start(first, self.rules))
            }
        };
        ingress.handle_bytes(&mut self.input)
    }

    /// Reads more, to be called while [`Self::wants_bytes`]. Returns false at the end of what the
    /// client sends.
    pub(super) async fn read<S: Stream>(&mut self, stream: &mut S) -> io::Result<bool> {
        let max = match &self.ingress {
            Some(ingress) => ingress.input_len_max(),
            None => FIRST_READ,
        };
        let room = max.saturating_sub(self.input.len());
        debug_assert!(room > 0, "a message is shorter than what is read of it");
        let len = stream.read_buf(&mut (&mut self.input).limit(room)).await?;
        Ok(len > 0)
    }

    /// Waits until the client can ask for nothing any more: it has hung up and sent nothing ahead. What it sends
    /// meanwhile is kept, as far as a message is long.
    pub(super) async fn hung_up<S: Stream>(&mut self, stream: &mut S) {
        let max = match &self.ingress {
            Some(ingress) => ingress.input_len_max(),
            None => FIRST_READ,
        };
        while self.input.len() < max {
            match self.read(stream).await {
                Ok(true) => {}
                Ok(false) if !self.input.is_empty() => break,
                Ok(false) | Err(_) => return,
            }
        }
        pending().await
    }

    /// Says whether the client is let in.
    pub(super) fn judge(&mut self, verdict: Result<(), Code>) {
        if let Some(ingress) = &mut self.ingress {
            ingress.judge(verdict);
        }
    }

    /// Refuses what the client asked for.
    pub(super) fn refuse(&mut self, code: Code) {
        if let Some(ingress) = &mut self.ingress {
            ingress.answer(Outcome::from(code));
        }
    }

    /// Writes what there is to tell the client.
    pub(super) async fn flush<S: Stream>(&mut self, stream: &mut S) -> io::Result<()> {
        let Some(ingress) = &mut self.ingress else {
            return Ok(());
        };
        while let Some(bytes) = ingress.poll_output() {
            stream.write_all(&bytes).await?;
        }
        Ok(())
    }

    /// Tells whether it is the client's turn.
    pub(super) fn wants_bytes(&self) -> bool {
        match &self.ingress {
            Some(ingress) => ingress.wants_bytes(),
            None => true,
        }
    }

    /// Returns what the client sent behind its request, and what makes the answer to it.
    pub(super) fn into_session(self) -> (Bytes, impl FnOnce(Outcome) -> Bytes + 'static) {
        let Self { input, ingress, .. } = self;
        let answer = move |outcome| {
            let mut out = BytesMut::new();
            if let Some(mut ingress) = ingress {
                ingress.answer(outcome);
                while let Some(bytes) = ingress.poll_output() {
                    out.extend_from_slice(&bytes);
                }
            }
            out.freeze()
        };
        (input.freeze(), answer)
    }
}
