//! A host's kernel, and the process it runs.

mod process;
mod roles;

use super::clock;
use super::host::{Host, Order};
use super::world::Shared;
use process::{Failed, Process};
use std::rc::Rc;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;

/// Notes that a host's power is gone.
pub(super) fn lost_power(shared: &Shared, host: &Host) {
    host.set_kernel(None);
    // One that has ended before had its last words.
    if !host.ended.get() || host.is_wanted() {
        shared.network.crash_life(host.ip);
    }
    shared.network.set_power(host.ip, None);
    host.forget();
}

/// Runs a host from power on.
pub(super) async fn boot(shared: Rc<Shared>, host: Rc<Host>) {
    let (orders, mut inbox) = unbounded_channel();
    let (linger, mut abandoned) = unbounded_channel();
    host.set_kernel(Some(orders));
    shared.network.set_power(host.ip, Some(linger));
    let mut sockets = JoinSet::new();
    let mut process = host.is_wanted().then(|| roles::start(&shared, &host));
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
                process = host.is_wanted().then(|| roles::start(&shared, &host));
            }
        }
    }
}

async fn ended(process: &mut Option<Process>) -> Result<(), Failed> {
    match process {
        Some(process) => process.ended().await,
        None => core::future::pending().await,
    }
}

fn note_end(shared: &Shared, host: &Host, told: bool, outcome: Result<(), Failed>) {
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
        Err(Failed::TakenOver) if shared.may_give_way(name) => {
            host.give_way(clock::now());
            shared.log.note(format_args!("{name} gives way"));
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
        Order::Hang | Order::GoOn => {
            if let Some(process) = process {
                process.hang(order == Order::Hang);
            }
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
