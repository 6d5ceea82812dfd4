//! Everything in a network, and the queue of what is going to happen.

use super::config::Config;
use super::conn::{Conn, End, Holder, Opening, Packet, Side};
use super::ids::{ConnId, HostId, NOWHERE};
use super::link::{Link, Parcel};
use core::cmp::{Ordering, Reverse};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use titan_core::exit::guard::OwnNetwork;
use titan_core::time::Instant;

/// How often a SYN is sent, and the wait before the second; it doubles each time. As Linux does it,
/// a connect fails after 127 seconds.
const SYN_COUNT_MAX: u32 = 7;
const SYN_WAIT: Duration = Duration::from_secs(1);

/// The first port given to who asks for none (RFC 6335 section 6).
const PORT_FIRST: u16 = 49152;

#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
    /// What it tells of the networks it is on, if not its addresses alone.
    pub(super) own: Option<OwnNetwork>,
    /// How long it takes to tell that, and how it fails to.
    pub(super) own_look: (Duration, Option<ErrorKind>),
    pub(super) alive: bool,
    /// Counts its crashes; what an earlier incarnation started has no effect any more.
    pub(super) incarnation: u64,
    pub(super) listeners: BTreeMap<SocketAddr, Backlog>,
    pub(super) stream_count: usize,
    pub(super) seed_count: u64,
    next_port: u16,
}

/// A listener's queue.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) waiting: VecDeque<ConnId>,
    pub(super) waker: Option<Waker>,
}

#[derive(Debug)]
enum Event {
    Arrival(Parcel),
    SynTimeout(ConnId),
}

#[derive(Debug)]
struct Timed {
    at: Instant,
    /// Among events of one instant, the first to be queued happens first.
    index: u64,
    event: Event,
}

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.index).cmp(&(other.at, other.index))
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: Config,
    pub(super) now: Instant,
    pub(super) hosts: Vec<Host>,
    pub(super) links: BTreeMap<(HostId, HostId), Link>,
    pub(super) conns: BTreeMap<ConnId, Conn>,
    pub(super) names: BTreeMap<String, (Vec<IpAddr>, Duration)>,
    pub(super) blackholes: BTreeSet<IpAddr>,
    pub(super) unroutable: BTreeMap<IpAddr, ErrorKind>,
    /// Whom to wake once the state is unlocked.
    pub(super) wakes: Vec<Waker>,
    queue: BinaryHeap<Reverse<Timed>>,
    event_count: u64,
    conn_count: u64,
}

impl State {
    pub(super) fn new(config: Config) -> Self {
        let mut state = Self {
            config,
            now: Instant::EPOCH,
            hosts: Vec::new(),
            links: BTreeMap::new(),
            conns: BTreeMap::new(),
            names: BTreeMap::new(),
            blackholes: BTreeSet::new(),
            unroutable: BTreeMap::new(),
            wakes: Vec::new(),
            queue: BinaryHeap::new(),
            event_count: 0,
            conn_count: 0,
        };
        let nowhere = state.add_host(String::new());
        state.hosts[nowhere].alive = false;
        state
    }

    pub(super) fn add_host(&mut self, name: String) -> HostId {
        self.hosts.push(Host {
            name,
            addresses: Vec::new(),
            own: None,
            own_look: (Duration::ZERO, None),
            alive: true,
            incarnation: 0,
            listeners: BTreeMap::new(),
            stream_count: 0,
            seed_count: 0,
            next_port: PORT_FIRST,
        });
        self.hosts.len() - 1
    }

    /// Returns the link, with the network's delay unless it was set; a host reaches itself at once.
    pub(super) fn link(&mut self, from: HostId, to: HostId) -> &mut Link {
        let delay = if from == to {
            Duration::ZERO
        } else {
            self.config.delay
        };
        self.links
            .entry((from, to))
            .or_insert_with(|| Link::new(delay))
    }

    /// Returns when the next event is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse(timed)| timed.at)
    }

    /// Lets everything happen that is due.
    pub(super) fn run_due(&mut self) {
        while self.next_at().is_some_and(|at| at <= self.now) {
            let Some(Reverse(timed)) = self.queue.pop() else {
                return;
            };
            match timed.event {
                Event::Arrival(parcel) => self.deliver(parcel),
                Event::SynTimeout(conn) => self.send_syn(conn),
            }
        }
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.event_count += 1;
        self.queue.push(Reverse(Timed {
            at,
            index: self.event_count,
            event,
        }));
    }

    /// Puts a packet of `from` on its way.
    pub(super) fn send(&mut self, conn: ConnId, from: Side, packet: Packet) {
        let Some(ends) = self.conns.get(&conn) else {
            return;
        };
        let hosts = (ends.end(from).host, ends.end(from.other()).host);
        let len = if let Packet::Data(bytes) = &packet {
            bytes.len()
        } else {
            0
        };
        let now = self.now;
        let arrival = self.link(hosts.0, hosts.1).arrival(now, len);
        let Some(ends) = self.conns.get_mut(&conn) else {
            return;
        };
        let end = ends.end_mut(from);
        end.last_arrival = end.last_arrival.max(arrival);
        let at = end.last_arrival;
        self.schedule(
            at,
            Event::Arrival(Parcel {
                conn,
                to: from.other(),
                packet,
            }),
        );
    }

    /// Delivers a packet, or holds it if the path is broken.
    fn deliver(&mut self, parcel: Parcel) {
        let Some(conn) = self.conns.get(&parcel.conn) else {
            return;
        };
        let (from, to) = (conn.end(parcel.to.other()).host, conn.end(parcel.to).host);
        let alive = self.hosts[to].alive;
        let link = self.link(from, to);
        let retransmitted = match parcel.packet {
            // A SYN has its own timer; a reset is sent once (RFC 9293 section 3.5.2).
            Packet::Syn | Packet::Refuse | Packet::Reset => false,
            Packet::SynAck | Packet::Fin => true,
            Packet::Data(_) | Packet::Ack(_) | Packet::Window(_) => true,
        };
        if !link.partitioned && alive {
            self.arrive(parcel);
        } else if retransmitted {
            link.held.push_back(parcel);
        }
    }

    /// Sends what the link held, as retransmission would. A dead end retransmits nothing.
    pub(super) fn release(&mut self, from: HostId, to: HostId) {
        if !self.hosts[to].alive || self.link(from, to).partitioned {
            return;
        }
        for parcel in core::mem::take(&mut self.link(from, to).held) {
            let sender = parcel.to.other();
            let conn = self.conns.get(&parcel.conn);
            if conn.is_some_and(|conn| !conn.end(sender).failed) {
                self.send(parcel.conn, sender, parcel.packet);
            }
        }
    }

    /// Starts a connection from `host`; the caller holds the client's end.
    pub(super) fn open(&mut self, host: HostId, to: SocketAddr) -> io::Result<ConnId> {
        if let Some(kind) = self.unroutable.get(&to.ip()) {
            return Err((*kind).into());
        }
        let local = if to.ip().is_loopback() {
            Some(to.ip())
        } else {
            let addresses = self.hosts[host].addresses.iter().copied();
            addresses
                .into_iter()
                .find(|ip| ip.is_ipv4() == to.is_ipv4())
        };
        let local = local.ok_or(ErrorKind::NetworkUnreachable)?;
        let server = if to.ip().is_loopback() {
            host
        } else {
            self.owner(to.ip())
        };
        let port = self.free_port(host);
        let window = self.config.receive_buffer;
        self.conn_count += 1;
        let client = End::new(host, SocketAddr::new(local, port), Holder::Stream, window);
        let conn = Conn::new(client, End::new(server, to, Holder::Nobody, window));
        self.conns.insert(self.conn_count, conn);
        self.hosts[host].stream_count += 1;
        self.send_syn(self.conn_count);
        Ok(self.conn_count)
    }

    /// Sends the next SYN of a connection that is not open yet, or gives it up.
    fn send_syn(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let Opening::Connecting { syn_count } = conn.opening else {
            return;
        };
        if conn.end(Side::Client).failed {
            return;
        }
        if syn_count == SYN_COUNT_MAX {
            self.finish_opening(id, Opening::Failed(ErrorKind::TimedOut));
            return;
        }
        conn.opening = Opening::Connecting {
            syn_count: syn_count + 1,
        };
        self.send(id, Side::Client, Packet::Syn);
        self.schedule(
            self.now + SYN_WAIT * (1 << syn_count),
            Event::SynTimeout(id),
        );
    }

    /// Ends the handshake.
    pub(super) fn finish_opening(&mut self, id: ConnId, opening: Opening) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if matches!(conn.opening, Opening::Connecting { .. }) {
            conn.opening = opening;
            self.wakes.extend(conn.open_waker.take());
        }
    }

    /// Waits until the handshake is over.
    pub(super) fn poll_open(&mut self, id: ConnId, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        match conn.opening {
            Opening::Open => Poll::Ready(Ok(())),
            Opening::Failed(kind) => Poll::Ready(Err(kind.into())),
            Opening::Connecting { .. } => {
                conn.open_waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Returns who has this address.
    fn owner(&self, ip: IpAddr) -> HostId {
        self.hosts
            .iter()
            .position(|host| host.addresses.contains(&ip))
            .unwrap_or(NOWHERE)
    }

    /// Returns the listener of `host` that a connection to `to` reaches.
    pub(super) fn listener(&mut self, host: HostId, to: SocketAddr) -> Option<&mut Backlog> {
        let any = any_address(to);
        let listeners = &mut self.hosts[host].listeners;
        let at = if listeners.contains_key(&to) { to } else { any };
        listeners.get_mut(&at)
    }

    /// Starts a listener.
    pub(super) fn listen(&mut self, host: HostId, mut at: SocketAddr) -> io::Result<SocketAddr> {
        let ip = at.ip();
        let own = ip.is_unspecified() || ip.is_loopback();
        if !own && !self.hosts[host].addresses.contains(&ip) {
            return Err(ErrorKind::AddrNotAvailable.into());
        }
        if at.port() == 0 {
            at.set_port(self.free_port(host));
        }
        let any = any_address(at);
        let listeners = &mut self.hosts[host].listeners;
        let mut others = listeners.keys().filter(|other| any_address(**other) == any);
        if others.any(|other| *other == at || *other == any || at == any) {
            return Err(ErrorKind::AddrInUse.into());
        }
        listeners.insert(at, Backlog::default());
        Ok(at)
    }

    /// Returns a port that no listener of the host has.
    fn free_port(&mut self, host: HostId) -> u16 {
        let host = &mut self.hosts[host];
        loop {
            let port = host.next_port;
            host.next_port = if port == u16::MAX {
                PORT_FIRST
            } else {
                port + 1
            };
            if !host.listeners.keys().any(|at| at.port() == port) {
                return port;
            }
        }
    }
}

/// Returns the address of a listener at all addresses of this family and at this port.
fn any_address(at: SocketAddr) -> SocketAddr {
    let ip = match at {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, at.port())
}
