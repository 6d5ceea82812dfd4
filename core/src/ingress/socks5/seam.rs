//! SOCKS5 as one of the protocols that clients speak.

use super::{Event, Failure, HANDSHAKE_LEN_MAX, Socks5};
use crate::ingress::contract::{self, Ingress, Kind, Outcome, Protocol, Request};
use crate::ingress::wishes::Wishes;
use alloc::boxed::Box;
use alloc::string::ToString as _;
use bytes::{Bytes, BytesMut};
use titan_proto::Code;

/// A greeting starts with the version (RFC 1928 section 3).
pub(in crate::ingress) const PROTOCOL: Protocol = Protocol {
    is_announced_by: |first| first == super::message::VERSION,
    start: |rules| Box::new(Socks5::new(rules.auth)),
};

impl Ingress for Socks5 {
    fn handle_bytes(&mut self, input: &mut BytesMut) -> Option<contract::Event> {
        Self::handle_bytes(self, input).map(contract::Event::from)
    }

    fn judge(&mut self, verdict: Result<(), Code>) {
        match verdict {
            Ok(()) => self.accept(),
            Err(code) => self.reject(code),
        }
    }

    fn answer(&mut self, outcome: Outcome) {
        self.reply(outcome.code, outcome.bound);
    }

    fn poll_output(&mut self) -> Option<Bytes> {
        Self::poll_output(self)
    }

    fn wants_bytes(&self) -> bool {
        Self::wants_bytes(self)
    }

    fn input_len_max(&self) -> usize {
        HANDSHAKE_LEN_MAX
    }
}

impl From<Event> for contract::Event {
    fn from(event: Event) -> Self {
        match event {
            Event::Credentials(credentials) => Self::Login(credentials),
            Event::Request(target) => Self::Request(Request {
                target,
                kind: Kind::Tcp,
                wishes: Wishes::default(),
            }),
            Event::Failed(failure) => Self::Failed(failure.into()),
        }
    }
}

impl From<Failure> for contract::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code(),
            detail: failure.to_string(),
        }
    }
}
