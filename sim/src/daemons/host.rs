//! A host: its kernel, and the process it runs.

mod look;
mod process;
mod roles;

pub(super) use look::{Look, Sample};

use super::world::Shared;
use process::Process;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use titan_runtime::daemon::Stop;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

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
}

/// A host and what is known of it from outside.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) ip: IpAddr,
    pub(super) role: Role,
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
        self.wanted.set(order == Order::Start);
        if let Some(orders) = &*self.orders.borrow() {
            // A kernel that is gone starts what is wanted when it boots.
            let _ = orders.send(order);
        }
    }

    /// Returns whether its process shall run.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.get()
    }

    /// Notes that the power is gone.
    pub(super) fn lost_power(&self, shared: &Shared) {
        *self.orders.borrow_mut() = None;
        // One that has ended before had its last words.
        if !self.ended.get() || self.is_wanted() {
            shared.network.crash_life(self.ip);
        }
        shared.network.set_power(self.ip, None);
        self.forget();
    }

    /// Notes that the daemons are gone.
    fn forget(&self) {
        self.looks.borrow_mut().values_mut().for_each(Look::gone);
    }
}

/// Runs a host from power on.
pub(super) async fn boot(shared: Rc<Shared>, host: Rc<Host>) {
    let (orders, mut inbox) = unbounded_channel();
    let (linger, mut abandoned) = unbounded_channel();
    *host.orders.borrow_mut() = Some(orders);
    shared.network.set_power(host.ip, Some(linger));
    let mut sockets = JoinSet::new();
    let mut process = host.wanted.get().then(|| roles::start(&shared, &host));
    loop {
        tokio::select! {
            biased;
            Some(order) = inbox.recv() => carry_out(&shared, &host, &mut process, order).await,
            Some(socket) = abandoned.recv() => {
                sockets.spawn_local(socket.run());
            }
            Some(_) = sockets.join_next() => {}
            outcome = ended(&mut process) => {
                if let Some(process) = process.take() {
                    note_end(&shared, &host, process.is_told(), outcome);
                }
                process = host.wanted.get().then(|| roles::start(&shared, &host));
            }
        }
    }
}

async fn ended(process: &mut Option<Process>) -> Result<(), String> {
    match process {
        Some(process) => process.ended().await,
        None => core::future::pending().await,
    }
}

fn note_end(shared: &Shared, host: &Host, told: bool, outcome: Result<(), String>) {
    host.forget();
    let name = &host.name;
    match outcome {
        Ok(()) if told => {
            host.ended.set(true);
            shared.log.note(format_args!("{name} has ended"));
        }
        Ok(()) => {
            let message = format!("the process of {name} has ended, and nobody had told it to");
            shared.findings.crashed(message);
        }
        Err(error) => shared
            .findings
            .crashed(format!("the process of {name} has ended: {error}")),
    }
}

async fn carry_out(
    shared: &Rc<Shared>,
    host: &Rc<Host>,
    process: &mut Option<Process>,
    order: Order,
) {
    match order {
        // One that is told to end is started again when it has.
        Order::Start if process.is_none() => *process = Some(roles::start(shared, host)),
        Order::Start => {}
        Order::Kill => {
            if let Some(process) = process.take() {
                process.kill().await;
                shared.network.crash_life(host.ip);
            }
            host.forget();
        }
        Order::Stop(how) => {
            if let Some(process) = process {
                process.tell(how);
            }
        }
    }
    let name = &host.name;
    shared.log.note(format_args!("{name}: {order:?} is done"));
}
