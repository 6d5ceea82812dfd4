//! A host, and what is known of it from outside.

mod look;

pub(super) use look::{Look, Sample};

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use titan_runtime::daemon::Stop;
use tokio::sync::mpsc::UnboundedSender;

/// What a host runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Client,
    Manager,
    Pop,
    Edge,
    Target,
}

/// What is done to a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// It is started, if it does not run.
    Start,
    /// It dies at once.
    Kill,
    /// It is told to end.
    Stop(Stop),
    /// It stands still.
    Hang,
    /// It stands still no more.
    GoOn,
}

/// A host and what is known of it from outside.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) ip: IpAddr,
    pub(super) role: Role,
    /// The id that its process has as a POP.
    id: RefCell<String>,
    /// When another process took over that of this one, if so.
    pub(super) taken_over: Cell<Option<Duration>>,
    /// Whether its process shall run when it boots.
    wanted: Cell<bool>,
    /// Whether its process has ended because it was told to.
    pub(super) ended: Cell<bool>,
    /// To its kernel; none while it has no power.
    orders: RefCell<Option<UnboundedSender<Order>>>,
    /// What its daemons were last seen to hold, by the id of the POP or node.
    pub(super) looks: RefCell<BTreeMap<String, Look>>,
}

impl Host {
    pub(super) fn new(name: String, ip: IpAddr, role: Role) -> Self {
        Self {
            id: RefCell::new(name.clone()),
            taken_over: Cell::new(None),
            name,
            ip,
            role,
            wanted: Cell::new(true),
            ended: Cell::new(false),
            orders: RefCell::new(None),
            looks: RefCell::default(),
        }
    }

    /// Gives the kernel an order; it is carried out within the host's next step.
    pub(super) fn order(&self, order: Order) {
        match order {
            Order::Start => self.wanted.set(true),
            Order::Kill | Order::Stop(_) => self.wanted.set(false),
            Order::Hang | Order::GoOn => {}
        }
        if let Some(orders) = &*self.orders.borrow() {
            // A kernel that is gone starts what is wanted when it boots.
            let _ = orders.send(order);
        }
    }

    /// Returns the id that its process has as a POP, from its next start on.
    pub(super) fn id(&self) -> String {
        self.id.borrow().clone()
    }

    /// Gives it another id.
    pub(super) fn set_id(&self, id: &str) {
        id.clone_into(&mut self.id.borrow_mut());
    }

    /// Notes that its process has ended because another one took its id over.
    pub(super) fn give_way(&self, now: Duration) {
        self.taken_over.set(Some(now));
        self.wanted.set(false);
    }

    /// Returns whether its process shall run.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.get()
    }

    /// Notes where orders go from now on: to a kernel, or nowhere without power.
    pub(super) fn set_kernel(&self, orders: Option<UnboundedSender<Order>>) {
        *self.orders.borrow_mut() = orders;
    }

    /// Notes that the daemons are gone.
    pub(super) fn forget(&self) {
        self.looks.borrow_mut().values_mut().for_each(Look::gone);
    }
}
