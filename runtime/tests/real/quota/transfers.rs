//! Transfers both ways whose ends count every byte, with a bound on what is on its way.

use crate::process::eventually;
use crate::server::{PATIENCE, Server};
use crate::socks;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How far a sender runs ahead of its receiver at most, but for one block. What is on its way when a
/// session is cut is all that keeps the counts of the ends from being those of the POP.
const WINDOW: u64 = 64 << 10;

const BLOCK_LEN: usize = 16 << 10;

/// One direction of a session.
#[derive(Default)]
struct Way {
    progress: Mutex<Progress>,
    moved: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    sent: u64,
    received: u64,
    paused: bool,
    over: bool,
}

impl Way {
    fn send(&self, mut to: &TcpStream) {
        let block = [7; BLOCK_LEN];
        loop {
            let waits = |progress: &mut Progress| {
                let ahead = progress.sent.saturating_sub(progress.received);
                !progress.over && (progress.paused || ahead >= WINDOW)
            };
            let progress = self.progress.lock().unwrap();
            if self.moved.wait_while(progress, waits).unwrap().over {
                return;
            }
            match to.write(&block) {
                Ok(len) => self.progress.lock().unwrap().sent += len as u64,
                Err(_) => return self.end(),
            }
        }
    }

    fn receive(&self, mut from: &TcpStream) {
        let mut block = vec![0; 64 << 10];
        while let Ok(len @ 1..) = from.read(&mut block) {
            self.progress.lock().unwrap().received += len as u64;
            self.moved.notify_one();
        }
        self.end();
    }

    fn end(&self) {
        self.progress.lock().unwrap().over = true;
        self.moved.notify_one();
    }

    fn sum(&self) -> Moved {
        let progress = self.progress.lock().unwrap();
        Moved {
            sent: progress.sent,
            received: progress.received,
        }
    }
}

/// One session, and the place of its proxy among those that were given.
struct Flow {
    proxy: usize,
    up: Way,
    down: Way,
}

impl Flow {
    /// Moves bytes both ways at one end until the connection ends.
    fn pump(&self, stream: &TcpStream, out: &Way, back: &Way) {
        thread::scope(|scope| {
            scope.spawn(|| out.send(stream));
            back.receive(stream);
            // The other direction ends with it.
            let _ = stream.shutdown(Shutdown::Both);
            out.end();
        });
    }

    fn client(&self, mut stream: &TcpStream, number: u32) {
        // The target has to know which session it is; the word counts like any other.
        if stream.write_all(&number.to_be_bytes()).is_ok() {
            self.up.progress.lock().unwrap().sent += 4;
        }
        self.pump(stream, &self.up, &self.down);
    }
}

fn target(flows: &[Flow], mut stream: &TcpStream) -> io::Result<()> {
    let mut number = [0; 4];
    stream.read_exact(&mut number)?;
    let flow = &flows[u32::from_be_bytes(number) as usize];
    flow.up.progress.lock().unwrap().received += 4;
    flow.pump(stream, &flow.down, &flow.up);
    Ok(())
}

/// What ends have counted, in bytes, both ways together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Moved {
    /// What clients and targets have handed to their sockets: a POP cannot have carried more.
    pub(super) sent: u64,
    /// What clients and targets have received: a POP cannot have carried less.
    pub(super) received: u64,
}

/// Transfers that go on for ever.
pub(super) struct Transfers {
    flows: Arc<Vec<Flow>>,
    clients: Vec<JoinHandle<()>>,
    target: Server,
}

impl Transfers {
    /// Starts so many over each proxy, as this user.
    pub(super) fn start(user: (&str, &str), proxies: &[SocketAddr], each: usize) -> Self {
        let flow = |number| Flow {
            proxy: number % proxies.len(),
            up: Way::default(),
            down: Way::default(),
        };
        let flows: Arc<Vec<_>> = Arc::new((0..proxies.len() * each).map(flow).collect());
        let at_target = Arc::clone(&flows);
        let server = Server::start(move |stream| target(&at_target, &stream));
        let client = |number: usize| {
            let flows = Arc::clone(&flows);
            let proxy = proxies[flows[number].proxy];
            let stream = socks::connect_as(user, proxy, server.address).unwrap();
            let number_on_wire = u32::try_from(number).unwrap();
            thread::spawn(move || flows[number].client(&stream, number_on_wire))
        };
        let clients = (0..flows.len()).map(client).collect();
        Self {
            flows,
            clients,
            target: server,
        }
    }

    /// Returns what was moved over the proxies that are meant, up to now.
    pub(super) fn over(&self, proxy: impl Fn(usize) -> bool) -> Moved {
        let mut sum = Moved::default();
        for flow in self.flows.iter().filter(|flow| proxy(flow.proxy)) {
            for way in [flow.up.sum(), flow.down.sum()] {
                sum.sent += way.sent;
                sum.received += way.received;
            }
        }
        sum
    }

    /// Returns what was moved up to now.
    pub(super) fn moved(&self) -> Moved {
        self.over(|_| true)
    }

    /// Returns what targets and what clients have received.
    pub(super) fn received(&self) -> (u64, u64) {
        let sum = |way: fn(&Flow) -> &Way| {
            let ways = self.flows.iter().map(way);
            ways.map(|way| way.sum().received).sum()
        };
        (sum(|flow| &flow.up), sum(|flow| &flow.down))
    }

    /// Measures what is received within some time.
    pub(super) fn moved_in(&self, time: Duration) -> u64 {
        let before = self.moved().received;
        thread::sleep(time);
        self.moved().received - before
    }

    /// Waits until so many bytes were received.
    pub(super) fn reach(&self, bytes: u64) {
        eventually("bytes arrive", PATIENCE, || self.moved().received >= bytes);
    }

    /// Has nothing sent any more, by either end; the sessions go on.
    pub(super) fn pause(&self) {
        for way in self.flows.iter().flat_map(|flow| [&flow.up, &flow.down]) {
            way.progress.lock().unwrap().paused = true;
        }
    }

    /// Tells whether all clients are cut off.
    pub(super) fn are_cut(&self) -> bool {
        self.clients.iter().all(JoinHandle::is_finished)
    }

    /// Waits until both ends of every session have seen its end, while no more than `max` bytes may be
    /// received. Nothing is on its way any more then.
    pub(super) fn wait_end(&self, max: u64) {
        eventually("the clients are cut off", PATIENCE, || {
            let received = self.moved().received;
            assert!(received <= max, "{received} received where {max} may be");
            self.are_cut()
        });
        for _ in 0..self.target.accepted() {
            // A session that is cut off before its number has come ends with an error.
            let _ = self.target.outcome();
        }
    }
}
