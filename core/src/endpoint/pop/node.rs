//! The POP's part of a tunnel: the node at its other end, and what it is told.

use crate::account::Rates;
use crate::endpoint::report::Exit;
use crate::planted::{self, Planted};
use crate::time::Instant;
use crate::tunnel::Peer;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::IpAddr;
use titan_proto::wire::command::Action;
use titan_proto::{Code, Frame, wire};

#[derive(Debug)]
pub(crate) struct Node {
    /// What its sessions are told to have gone through.
    exit: Arc<Exit>,
    epoch: u64,
    attempt: u64,
    standing: Standing,
    taking: Taking,
    sessions_max: u32,
    /// The latest order of each kind not sent yet.
    orders: BTreeMap<i32, wire::Command>,
    /// The node is to go when its sessions are over, or at this time.
    leaving: Option<Instant>,
    /// It was told that another process has its id.
    warned: bool,
}

/// Whether the node has acknowledged the HELLO of the present carrier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// It has acknowledged nothing ever: its end is not worth telling.
    New,
    /// Not on this carrier.
    Unconfirmed,
    Confirmed,
}

/// Whether the node takes sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taking {
    Sessions,
    /// None for now.
    Nothing,
    /// None any more: it goes away.
    Leave,
}

/// An acknowledgement that shows for the first time that a carrier works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Confirmed {
    pub(super) resumed: bool,
}

impl Node {
    pub(super) fn new(name: &str, hello: &wire::Hello, sessions_max: u32) -> Self {
        Self {
            exit: Arc::new(Exit {
                node: name.into(),
                address: None,
            }),
            epoch: hello.epoch,
            attempt: hello.attempt,
            standing: Standing::New,
            taking: Taking::Sessions,
            sessions_max,
            orders: BTreeMap::new(),
            leaving: None,
            warned: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.exit.node
    }

    pub(super) const fn exit(&self) -> &Arc<Exit> {
        &self.exit
    }

    /// Notes where its present carrier comes from; sessions that are connected keep what they had.
    pub(super) fn come_from(&mut self, address: Option<IpAddr>) {
        if self.exit.address != address {
            self.exit = Arc::new(Exit {
                node: self.exit.node.clone(),
                address,
            });
        }
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) const fn is_confirmed(&self) -> bool {
        matches!(self.standing, Standing::Confirmed)
    }

    /// Tells whether it was in use at some time: its end is worth telling.
    pub(super) const fn was_attached(&self) -> bool {
        !matches!(self.standing, Standing::New)
    }

    /// Requires a HELLO to be later than the last accepted one.
    pub(super) fn is_newer(&self, attempt: u64) -> bool {
        attempt > self.attempt || planted::on(Planted::LateHelloTaken)
    }

    /// Accepts another HELLO; tells whether the one before was never confirmed.
    pub(super) fn greet_again(&mut self, attempt: u64) -> bool {
        let unconfirmed = self.standing == Standing::Unconfirmed;
        self.attempt = attempt;
        self.unconfirm();
        unconfirmed
    }

    /// Notes that the carrier is gone.
    pub(super) const fn unconfirm(&mut self) {
        if self.is_confirmed() {
            self.standing = Standing::Unconfirmed;
        }
    }

    /// Notes an acknowledgement; returns something for the first on a carrier.
    pub(super) fn confirm(&mut self) -> Option<Confirmed> {
        match core::mem::replace(&mut self.standing, Standing::Confirmed) {
            Standing::New => Some(Confirmed { resumed: false }),
            Standing::Unconfirmed => Some(Confirmed { resumed: true }),
            Standing::Confirmed => None,
        }
    }

    pub(super) const fn taking(&self) -> Taking {
        self.taking
    }

    /// Returns how many sessions it takes.
    pub(super) const fn sessions_max(&self) -> u32 {
        self.sessions_max
    }

    /// Takes what the node says about itself.
    pub(super) fn report(&mut self, status: &wire::Status) {
        self.taking = if status.accepting {
            Taking::Sessions
        } else if Code::from_wire(status.reason) == Code::ShuttingDown {
            Taking::Leave
        } else {
            Taking::Nothing
        };
        self.sessions_max = status.sessions_max;
    }

    pub(super) const fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Has the node go when its sessions are over, or at this time.
    pub(super) const fn leave_by(&mut self, until: Instant) {
        self.leaving = Some(until);
    }

    /// Orders the node to look for another POP.
    pub(super) fn order_drain(&mut self, code: Code) {
        self.order(
            Action::Drain,
            wire::Command {
                code: code.wire(),
                ..wire::Command::default()
            },
        );
    }

    /// Orders the node to keep to these rates.
    pub(super) fn order_rates(&mut self, rates: Rates) {
        self.order(
            Action::Rate,
            wire::Command {
                upload_rate: rates.up,
                download_rate: rates.down,
                ..wire::Command::default()
            },
        );
    }

    pub(super) const fn is_warned(&self) -> bool {
        self.warned
    }

    /// Tells the node that another process has its id.
    pub(super) fn warn_of_duplicate(&mut self) {
        self.warned = true;
        let code = Code::DuplicateNode.wire();
        self.order(
            Action::None,
            wire::Command {
                code,
                ..wire::Command::default()
            },
        );
    }

    fn order(&mut self, action: Action, mut command: wire::Command) {
        command.action = action as i32;
        self.orders.insert(command.action, command);
    }
}

impl Peer for Node {
    fn next_order(&mut self) -> Option<Frame> {
        let (_, command) = self.orders.pop_first()?;
        Some(Frame::Command(command))
    }

    fn has_order(&self) -> bool {
        !self.orders.is_empty()
    }

    fn next_notice(&mut self) -> Option<Frame> {
        None
    }

    fn has_notice(&self) -> bool {
        false
    }

    fn leaves_at(&self) -> Option<Instant> {
        self.leaving
    }
}
