//! What can go wrong in a network.

use super::conn::{Opening, Side};
use super::ids::HostId;
use super::network::Network;
use super::state::State;
use std::io::ErrorKind;
use std::net::IpAddr;

impl Network {
    /// Resets all connections between two hosts at both ends at once, as a middlebox that forgets
    /// them does; new ones are not affected.
    ///
    /// # Panics
    /// Panics if a host does not exist, like all methods that name one.
    pub fn cut(&self, a: &str, b: &str) {
        self.with(|state| {
            let (a, b) = (state.host_id(a), state.host_id(b));
            let ids: Vec<_> = state.conns.keys().copied().collect();
            for id in ids {
                let Some(conn) = state.conns.get_mut(&id) else {
                    continue;
                };
                let hosts = (conn.end(Side::Client).host, conn.end(Side::Server).host);
                if hosts == (a, b) || hosts == (b, a) {
                    for side in Side::BOTH {
                        let error = Some(ErrorKind::ConnectionReset);
                        conn.end_mut(side).fail(error, &mut state.wakes);
                    }
                    state.finish_opening(id, Opening::Failed(ErrorKind::ConnectionReset));
                }
            }
        });
    }

    /// Swallows everything between two hosts, what is under way included. Nobody is told.
    pub fn partition(&self, a: &str, b: &str) {
        self.partition_one_way(a, b);
        self.partition_one_way(b, a);
    }

    /// Swallows everything from one host to another.
    pub fn partition_one_way(&self, from: &str, to: &str) {
        self.with(|state| {
            let (from, to) = (state.host_id(from), state.host_id(to));
            state.link(from, to).partitioned = true;
        });
    }

    /// Mends the path between two hosts, both ways. What was swallowed arrives after one delay, as
    /// if retransmitted at once.
    pub fn heal(&self, a: &str, b: &str) {
        self.with(|state| {
            let (a, b) = (state.host_id(a), state.host_id(b));
            for (from, to) in [(a, b), (b, a)] {
                state.link(from, to).partitioned = false;
                state.release(from, to);
            }
        });
    }

    /// Lets connects to an address hang; open connections are not affected.
    pub fn blackhole(&self, ip: IpAddr) {
        self.with(|state| state.blackholes.insert(ip));
    }

    /// Lets connects to an address fail at once with this error.
    pub fn unroutable(&self, ip: IpAddr, error: ErrorKind) {
        self.with(|state| state.unroutable.insert(ip, error));
    }

    /// Undoes [`blackhole`](Self::blackhole) and [`unroutable`](Self::unroutable).
    pub fn reachable(&self, ip: IpAddr) {
        self.with(|state| {
            state.blackholes.remove(&ip);
            state.unroutable.remove(&ip);
        });
    }

    /// Takes the power from a host: its sockets are gone and its peers are not told. Tasks that still
    /// run there find their streams reset and wait for ever for new ones; the caller aborts them.
    ///
    /// To kill only the process, drop its tasks: their streams then end as the kernel ends them.
    pub fn crash(&self, host: &str) {
        self.with(|state| {
            let host = state.host_id(host);
            state.crash(host);
        });
    }

    /// Gives the power back: the host answers again, and resets connections it knows nothing of. A
    /// new environment for it comes from [`env`](Self::env).
    pub fn restart(&self, host: &str) {
        self.with(|state| {
            let host = state.host_id(host);
            state.hosts[host].alive = true;
            for from in 0..state.hosts.len() {
                state.release(from, host);
            }
        });
    }
}

impl State {
    fn crash(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        host.alive = false;
        host.incarnation += 1;
        host.listeners.clear();
        for conn in self.conns.values_mut() {
            for side in Side::BOTH {
                let end = conn.end_mut(side);
                if end.host == id {
                    end.inbox.clear();
                    end.fail(Some(ErrorKind::ConnectionReset), &mut self.wakes);
                }
            }
        }
    }
}
