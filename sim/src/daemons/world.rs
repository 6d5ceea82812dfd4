//! What all hosts of a run share.

use super::account::{Ledger, add};
use super::clock;
use super::findings::{Findings, Log};
use super::flows::{Board, End};
use super::host::{Host, Role};
use super::network::Network;
use super::ports::{SOCKS_PORT, TARGET_PORT};
use super::scenario::{Expect, Flows, Scenario, hosts};
use super::store::{FaultyStore, Weather, at_once};
use super::units::Rate;
use crate::overlay::{Destination, FAST, PASSWORD, TRUTHFUL};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tempfile::TempDir;
use titan_runtime::auth::{Cost, hash_password};
use titan_runtime::manager::{ADMIN_TOKEN_FILE, JOIN_SECRET_FILE};
use titan_runtime::store::{Embedded, Location, Mode, NewUser, ReplyMode, Users as _};
use titan_runtime::token::Secret;

/// What all hosts share.
pub(super) struct Shared {
    pub(super) scenario: Scenario,
    pub(super) network: Network,
    pub(super) store: FaultyStore,
    pub(super) findings: Findings,
    pub(super) log: Log,
    pub(super) flows: Board,
    pub(super) hosts: BTreeMap<String, Rc<Host>>,
    pub(super) ledger: Ledger,
    pub(super) join: Secret,
    pub(super) admin: Secret,
    data: TempDir,
    /// Connections that reached a target, and those whose bytes all did.
    visited: RefCell<BTreeSet<u64>>,
    served: RefCell<BTreeSet<u64>>,
    /// Connections whose client has everything.
    complete: RefCell<BTreeSet<u64>>,
    /// How slowly clients of some flows read now.
    reads: RefCell<BTreeMap<String, Rate>>,
}

impl Shared {
    /// Makes the hosts of a scenario in which nothing is left to be drawn.
    pub(super) fn new(scenario: Scenario, seed: u64, log: Log) -> Rc<Self> {
        let network = Network::new(seed);
        let data = TempDir::new().expect("a temporary directory can be made");
        let clock = || (clock::UNIX_EPOCH + clock::now()).as_secs();
        let store = Embedded::open_at(&Location::Memory, Mode::Inline, clock);
        let store = store.expect("memory can be opened");
        add_users(&scenario, &store);
        let manager = data.path().join("manager");
        std::fs::create_dir(&manager).expect("a directory can be made");
        let join = Secret::load_or_create(&manager.join(JOIN_SECRET_FILE), [1; 32]);
        let admin = Secret::load_or_create(&manager.join(ADMIN_TOKEN_FILE), [2; 32]);
        let mut draws = [0; 32];
        draws[..8].copy_from_slice(&seed.to_le_bytes());
        let hosts = make_hosts(&scenario, &network);
        let flows = Board::new(&scenario);
        Rc::new(Self {
            ledger: Ledger::new(&scenario.users, scenario.acts.len()),
            scenario,
            network,
            store: FaultyStore {
                store,
                gate: Weather::new(draws),
            },
            findings: Findings::default(),
            log,
            flows,
            hosts,
            join: join.expect("a secret can be made"),
            admin: admin.expect("a secret can be made"),
            data,
            visited: RefCell::default(),
            served: RefCell::default(),
            complete: RefCell::default(),
            reads: RefCell::default(),
        })
    }

    /// Tells whether the scenario expects that the process of a host gives way to another one.
    pub(super) fn may_give_way(&self, name: &str) -> bool {
        let mut expected = self.scenario.expect.iter();
        expected.any(|expect| matches!(expect, Expect::TakenOver { host, .. } if host == name))
    }

    /// Returns the data directory of a host.
    pub(super) fn data(&self, host: &str) -> PathBuf {
        Path::new(self.data.path()).join(host)
    }

    /// Returns the address of a host.
    pub(super) fn ip(&self, host: &str) -> IpAddr {
        self.host(host).ip
    }

    /// Returns a host.
    pub(super) fn host(&self, name: &str) -> &Rc<Host> {
        let host = self.hosts.get(name);
        host.expect("a scenario that was checked names hosts that are there")
    }

    /// Returns where applications connect.
    pub(super) fn proxy(&self, pop: u64) -> SocketAddr {
        SocketAddr::new(self.ip(&format!("pop-{pop}")), SOCKS_PORT)
    }

    /// Returns where a flow goes; those of a group take turns.
    pub(super) fn target(&self, flow: usize) -> Destination {
        let count = u64::from(self.scenario.topology.targets);
        by_name((self.flows.number(flow) - 1) % count + 1)
    }

    /// Returns the name of the flow that a connection belongs to.
    pub(super) fn flow_name(&self, connection: u64) -> String {
        let index = usize::try_from(connection >> 8).unwrap_or(usize::MAX);
        self.flows.name(index).to_owned()
    }

    /// Notes that a connection has reached a target with its first bytes; false if it had before.
    pub(super) fn visited(&self, connection: u64) -> bool {
        let first = self.visited.borrow_mut().insert(connection);
        if !first {
            let name = self.flow_name(connection);
            self.findings.wrong(
                7,
                format!("{name}: two connections reached a target with its bytes"),
            );
        }
        first
    }

    /// Notes that all bytes of a connection, and its end, have reached the target.
    pub(super) fn served(&self, connection: u64) {
        self.served.borrow_mut().insert(connection);
    }

    /// Notes how a flow has ended.
    pub(super) fn ended(&self, index: usize, connection: u64, end: End) {
        let name = self.flows.name(index);
        if let End::Torn(len) = end {
            self.findings.wrong(
                1,
                format!("{name}: a clean end after {len} bytes, too early"),
            );
        }
        if end == End::Complete {
            self.complete.borrow_mut().insert(connection);
        }
        self.flows.ended(index, end, clock::now());
    }

    /// Returns a flow that is complete for its client while its target still waits for bytes or
    /// for their end, if there is one.
    pub(super) fn unserved(&self) -> Option<String> {
        let served = self.served.borrow();
        let complete = self.complete.borrow();
        let first = complete.difference(&served).next();
        first.map(|connection| self.flow_name(*connection))
    }

    /// Returns how fast a client of these flows reads now.
    pub(super) fn reads(&self, flows: &Flows) -> Option<Rate> {
        self.reads
            .borrow()
            .get(&flows.name)
            .copied()
            .or(flows.reads)
    }

    /// Lets clients read slowly, or as they would.
    pub(super) fn set_reads(&self, flows: &str, rate: Option<Rate>) {
        let mut reads = self.reads.borrow_mut();
        match rate {
            Some(rate) => reads.insert(flows.to_owned(), rate),
            None => reads.remove(flows),
        };
    }
}

/// Returns where a target is, as a name to be resolved by the edge.
fn by_name(index: u64) -> Destination {
    Destination::Name(format!("target-{index}.example"), TARGET_PORT)
}

fn make_hosts(scenario: &Scenario, network: &Network) -> BTreeMap<String, Rc<Host>> {
    let mut made = BTreeMap::new();
    let mut add = |name: String, ip: [u8; 4], role| {
        made.insert(name.clone(), Rc::new(Host::new(name, ip.into(), role)));
    };
    add("client".to_owned(), [10, 0, 0, 1], Role::Client);
    add("manager".to_owned(), [10, 0, 0, 3], Role::Manager);
    let many = [
        ("pops", [10, 0, 2], Role::Pop),
        ("edges", [10, 0, 1], Role::Edge),
        // Public addresses: an edge reaches no others.
        ("targets", [45, 0, 0], Role::Target),
    ];
    for (kind, [a, b, c], role) in many {
        for (name, last) in hosts(scenario, kind).into_iter().zip(1..) {
            if role == Role::Target {
                network.name(format!("{name}.example"), [a, b, c, last].into());
            }
            add(name, [a, b, c, last], role);
        }
    }
    made
}

fn add_users(scenario: &Scenario, store: &Embedded) {
    let cheap = Cost {
        memory_kib: 8,
        passes: 1,
    };
    for (name, reply) in [(FAST, ReplyMode::Fast), (TRUTHFUL, ReplyMode::Truthful)] {
        let hash = hash_password(PASSWORD, [3; 16], cheap);
        let mut user = NewUser::new(name.to_owned(), hash, 0);
        user.settings.reply = reply;
        let created = at_once(store.create_user(user));
        created.expect("the name is free");
    }
    add(&scenario.users, store, cheap);
}
