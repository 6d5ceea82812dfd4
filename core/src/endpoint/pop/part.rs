//! The POP's part of a session: what it needs to try another exit, and whose bytes they are.

use super::clock::DialClock;
use super::meter::Meter;
use crate::account::Carried;
use crate::arena::SessionId;
use crate::config::EXITS_MAX;
use crate::endpoint::report::{Exit, SessionReport, Whose};
use crate::exit::index::{Country, ExitKey};
use crate::exit::lease::LeaseKey;
use crate::planted::{self, Planted};
use crate::session::early::Early;
use crate::session::{Attempt, Flow};
use crate::target::from_octets;
use crate::time::Instant;
use crate::trace::TraceId;
use alloc::boxed::Box;
use alloc::sync::Arc;
use titan_proto::{Code, Frame, wire};

/// The POP's part of a session for as long as that lives.
#[derive(Debug, Default)]
pub(crate) struct PopFlow {
    pub(super) meter: Meter,
    /// Its grip on the lease of its session name, if it has one.
    pub(super) grip: Option<Box<Grip>>,
    /// What the exit told about the connection.
    pub(super) reply: Option<Box<wire::Reply>>,
    /// Its name in logs.
    pub(super) trace: TraceId,
    /// The exit it is at, or was tried with last.
    pub(super) exit: Option<Arc<Exit>>,
    /// Whose limit of memory or of turns ended it.
    pub(super) limit: Option<Whose>,
    /// Its driver gave it up.
    pub(super) abandoned: bool,
}

/// A session's grip on a lease.
#[derive(Clone, Debug)]
pub(crate) struct Grip {
    pub(super) key: LeaseKey,
    pub(super) generation: u64,
    pub(super) strict: bool,
}

/// The POP's part of a session while it dials.
#[derive(Debug)]
pub(crate) struct PopAttempt {
    /// The CREATE of every try; limits and group are filled in when it is framed.
    pub(super) create: wire::Create,
    pub(super) country: Option<Country>,
    /// The target's answer never moves the session.
    pub(super) strict: bool,
    pub(super) exits: Exits,
    pub(super) early: Early,
    pub(super) clock: DialClock,
    pub(super) refused: bool,
    /// The last outcome that was the target's: what the client hears, whatever exits say.
    pub(super) verdict: Option<Code>,
}

/// Tunnels already tried, by slot of the selection index.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Exits {
    keys: [Option<ExitKey>; EXITS_MAX],
    count: usize,
}

impl Exits {
    pub(super) const fn push(&mut self, key: ExitKey) {
        if self.count < EXITS_MAX {
            self.keys[self.count] = Some(key);
            self.count += 1;
        }
    }

    pub(super) const fn are_used_up(&self) -> bool {
        self.count >= EXITS_MAX
    }

    /// Tells whether another exit was tried before the present one.
    pub(super) const fn is_second_move(&self) -> bool {
        self.count > 1
    }

    /// Returns those that another choice leaves out.
    pub(super) const fn tried(&self) -> [Option<ExitKey>; EXITS_MAX] {
        self.keys
    }
}

impl PopFlow {
    /// Returns what the session has carried.
    pub(super) const fn carried(&self) -> Carried {
        self.meter.carried()
    }

    /// Tells what there is to know of a session that ends with this code.
    pub(super) fn report(&self, id: SessionId, group: u32, code: Code) -> SessionReport {
        let address = self
            .reply
            .as_ref()
            .and_then(|reply| from_octets(reply.addresses.first()?));
        // A socket that failed is the target's only if it is not the client's.
        let code = if self.abandoned && code == Code::Reset {
            Code::Cancelled
        } else {
            code
        };
        let limited = matches!(code, Code::Memory | Code::Overloaded);
        let limit = self.limit.filter(|_| limited);
        SessionReport {
            session: id,
            trace: self.trace,
            group,
            exit: self.exit.clone(),
            address,
            carried: self.meter.carried(),
            code,
            whose: limit.or_else(|| Whose::of(code)),
        }
    }
}

impl PopAttempt {
    /// Tells whether anything of the client was framed for the present tunnel.
    pub(super) fn has_framed(&self) -> bool {
        let moves = self.refused && planted::on(Planted::FailoverAfterByte);
        (self.early.len() > 0 || self.early.is_finished()) && !moves
    }
}

impl Flow for PopFlow {
    type Attempt = PopAttempt;

    const OPENS: bool = true;

    fn abandoned(&mut self) {
        self.abandoned = true;
    }

    fn was_connected(&self, _: u64) -> bool {
        self.reply.is_some()
    }
}

impl Attempt for PopAttempt {
    fn deadline(&self) -> Option<Instant> {
        Some(self.clock.deadline())
    }

    fn charge(&self) -> u64 {
        self.early.charge()
    }

    fn create(&mut self, now: Instant) -> wire::Create {
        self.clock.framed(now);
        self.create.clone()
    }

    fn framed(&mut self, frame: &Frame) {
        if let Frame::Data { data, .. } = frame {
            self.early.keep(data.clone());
        } else {
            self.early.finish();
        }
    }

    fn audit(&self, sent: Option<u64>) -> bool {
        sent.is_none_or(|sent| sent == self.early.len())
    }
}
