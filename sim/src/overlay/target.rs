//! Servers that send and take what a client asks for, and remember who came.

use super::client::Demand;
use super::payload::Payload;
use crate::net::{Network, SimEnv, SimStream};
use core::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use titan_runtime::env::{Env as _, Listener as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

/// The port of all servers.
const PORT: u16 = 80;

/// One connection that a server accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Visit {
    /// Who came.
    pub peer: SocketAddr,
    /// Bytes received, the header included.
    pub received: u64,
    /// Whether everything was received and sent and the client ended cleanly.
    pub complete: bool,
    /// Whether the server saw the connection fail.
    pub reset: bool,
}

/// The servers of a network.
#[derive(Debug)]
pub struct Targets {
    network: Network,
    visits: Rc<RefCell<Vec<Visit>>>,
    gate: watch::Sender<bool>,
    /// How many connections are over.
    ended: Rc<watch::Sender<usize>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Targets {
    /// Creates none yet.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        Self {
            network: network.clone(),
            visits: Rc::default(),
            gate: watch::Sender::new(false),
            ended: Rc::new(watch::Sender::new(0)),
            tasks: Vec::new(),
        }
    }

    /// Returns the address of the server with this number: a public one.
    #[must_use]
    pub const fn at(index: u8) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(core::net::Ipv4Addr::new(45, 0, 0, index)), PORT)
    }

    /// Starts a server on a new host, `target-1` and so on, and returns its address.
    pub async fn start(&mut self, index: u8) -> SocketAddr {
        let at = Self::at(index);
        let host = self.network.host(&format!("target-{index}"), at.ip());
        self.serve(&host, at).await;
        at
    }

    /// Starts a server on a host.
    pub async fn serve(&mut self, host: &SimEnv, at: SocketAddr) {
        let mut listener = host.listen(at).await.expect("the address is free");
        let (visits, gate) = (Rc::clone(&self.visits), self.gate.subscribe());
        let ended = Rc::clone(&self.ended);
        self.tasks.push(spawn_local(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let index = visits.borrow().len();
                visits.borrow_mut().push(Visit {
                    peer,
                    received: 0,
                    complete: false,
                    reset: false,
                });
                let (visits, gate) = (Rc::clone(&visits), gate.clone());
                let ended = Rc::clone(&ended);
                spawn_local(async move {
                    visit(stream, visits, index, gate).await;
                    ended.send_modify(|count| *count += 1);
                });
            }
        }));
    }

    /// Makes a host with this number where nothing listens, and returns an address there.
    #[must_use]
    pub fn closed(&self, index: u8) -> SocketAddr {
        let at = Self::at(index);
        drop(self.network.host(&format!("closed-{index}"), at.ip()));
        at
    }

    /// Lets the servers read that wait with it.
    pub fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    /// Waits until every connection so far is over.
    pub async fn ended(&self) {
        let all = |ended: &usize| *ended == self.visits.borrow().len();
        let mut ended = self.ended.subscribe();
        ended.wait_for(all).await.expect("the sender is here");
    }

    /// Returns the connections so far, in the order in which they were accepted.
    #[must_use]
    pub fn visits(&self) -> Vec<Visit> {
        self.visits.borrow().clone()
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn visit(
    stream: SimStream,
    visits: Rc<RefCell<Vec<Visit>>>,
    index: usize,
    gate: watch::Receiver<bool>,
) {
    let count = |len: usize| visits.borrow_mut()[index].received += len as u64;
    let (mut read, mut write) = tokio::io::split(stream);
    let mut head = [0; Demand::HEADER_LEN];
    let mut filled = 0;
    while filled < Demand::HEADER_LEN {
        match read.read(&mut head[filled..]).await {
            Ok(len) if len > 0 => {
                count(len);
                filled += len;
            }
            Ok(_) => return,
            Err(_) => return visits.borrow_mut()[index].reset = true,
        }
    }
    let number = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().expect("8 bytes"));
    let (flow, up, down) = (number(0), number(8), number(16));
    let gate = (head[24] != 0).then_some(gate);
    let (received, sent) = tokio::join!(
        receive(&mut read, Payload::new(flow, up), gate, count),
        send(&mut write, Payload::new(!flow, down))
    );
    let visit = &mut visits.borrow_mut()[index];
    visit.reset = received.is_err() || sent.is_err();
    visit.complete = matches!((received, sent), (Ok(true), Ok(())));
}

/// Returns whether everything came before the end.
async fn receive(
    stream: &mut ReadHalf<SimStream>,
    mut payload: Payload,
    gate: Option<watch::Receiver<bool>>,
    count: impl Fn(usize),
) -> io::Result<bool> {
    if let Some(mut gate) = gate {
        // A gate that is gone is open.
        let _ = gate.wait_for(|open| *open).await;
    }
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Ok(payload.left() == 0);
        }
        payload.check(&buffer[..len]);
        count(len);
    }
}

async fn send(stream: &mut WriteHalf<SimStream>, mut payload: Payload) -> io::Result<()> {
    while payload.left() > 0 {
        let len = stream.write(payload.chunk()).await?;
        payload.advance(len);
    }
    stream.shutdown().await
}
