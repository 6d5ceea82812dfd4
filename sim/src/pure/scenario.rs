//! What a run does, in full: drawn from a seed, or read from a file and then edited by hand.
//!
//! Everything that matters is written out: the hosts, the network, the limits, each flow and each
//! fault with its time. What is left (jitter, nonces, which of equal exits) follows from the seed.
//! That is what makes a failing run shrink: a fault taken out moves no other.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;
use titan_core::endpoint::Config;
use titan_core::time::Duration;
use titan_proto::wire;
use toml::{Table, Value};

/// One run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Decides everything that is not written here.
    pub seed: u64,
    /// POPs, numbered from 0.
    pub pops: usize,
    /// Edges of different nodes, numbered from 0. Edge `n` begins at POP `n % pops`.
    pub edges: usize,
    /// When faults stop and slow programs become quick, in milliseconds; later faults do not happen.
    pub heal_at: u64,
    /// The paths between edges and POPs.
    pub network: Network,
    /// Limits of both sides.
    pub limits: Limits,
    /// What users may do; who is not named may do everything.
    #[serde(rename = "account")]
    pub accounts: Vec<Account>,
    /// The flows.
    #[serde(rename = "flow")]
    pub flows: Vec<Flow>,
    /// The faults.
    #[serde(rename = "fault")]
    pub faults: Vec<Timed>,
}

/// The paths between edges and POPs.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// One-way delay in milliseconds.
    pub delay: u64,
    /// Most that is added to it, per message, in milliseconds.
    pub jitter: u64,
    /// Bytes per millisecond and direction of a carrier; zero: no limit.
    pub bandwidth: u64,
    /// Bytes a carrier takes that its peer has not read.
    pub window: usize,
    /// Messages that have arrived and are read together, at most.
    pub reads: u64,
}

/// Limits of both sides, where they differ from a daemon's.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Receive window of a session in bytes.
    pub window_base: u64,
    /// Client bytes that may leave before the reply.
    pub early_max: u64,
    /// Bytes kept for resending per tunnel.
    pub resend_max: u64,
    /// DATA payload per frame.
    pub data_max: usize,
    /// Bytes a session holds that its carrier has not taken.
    pub send_queue_max: usize,
    /// Sessions open at once per tunnel.
    pub sessions_max: u32,
    /// Bytes a process may hold.
    pub memory_budget: u64,
    /// Idle limit in milliseconds.
    pub idle: u64,
    /// Idle limit of half-closed sessions in milliseconds.
    pub idle_half_closed: u64,
    /// How long a tunnel outlives its carrier, in milliseconds.
    pub grace: u64,
    /// How long the rest of a closed session may take to leave, in milliseconds.
    pub write_deadline: u64,
    /// How long a session name stays bound without a session, in milliseconds.
    pub lease_idle: u64,
    /// Session names bound at once.
    pub leases_max: usize,
}

/// What a user may do, and how the store behaves that says so. Rates are in bytes per second and
/// POP; zero is no limit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// Which user.
    pub group: u32,
    /// Bytes in all, both directions, all POPs together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    /// Bytes a POP is given at a time.
    pub piece: u64,
    /// One-way delay to the store in milliseconds.
    pub delay: u64,
    /// Messages to and from the store that are lost, in per cent.
    pub lost: u64,
    /// Answers of the store that come again later, in per cent.
    pub again: u64,
    /// When the store fails and forgets the last second of what it was told, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgets: Option<u64>,
    /// From clients.
    pub up: u64,
    /// To clients.
    pub down: u64,
    /// Other rates from a time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<RateChange>,
}

/// Other rates.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateChange {
    /// When, in milliseconds.
    pub at: u64,
    /// From clients.
    pub up: u64,
    /// To clients.
    pub down: u64,
}

/// One TCP connection of an application.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flow {
    /// When the client asks, in milliseconds.
    pub start: u64,
    /// At which POP.
    pub pop: usize,
    /// Which user.
    pub group: u32,
    /// Bytes the client sends before it half-closes.
    pub up: u64,
    /// So many of them come right behind the request: they are taken whether there is room or not.
    #[serde(skip_serializing_if = "is_zero")]
    pub early: u64,
    /// Bytes the target sends before it half-closes.
    pub down: u64,
    /// How long a dial takes, in milliseconds.
    pub dial: u64,
    /// How each exit's dial goes; the last holds for all further ones.
    pub answers: Vec<Answer>,
    /// The target is one that nobody may reach.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// The number of its session name: flows of a user with the same one share an exit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<u64>,
    /// Which share of turns its user has, from 1 to 16.
    pub weight: u32,
    /// Its target is called by a domain name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub named: bool,
    /// Which addresses of that name are wanted.
    pub family: Family,
    /// How many addresses the edge tells that it tried, if it connects.
    #[serde(skip_serializing_if = "is_zero")]
    pub addresses: u64,
    /// Rather no exit than another one, if it has a name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// What the client does.
    pub client: Habit,
    /// What the target does.
    pub target: Habit,
}

/// A family of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Whichever there are.
    Any,
    /// Version 4.
    Ipv4,
    /// Version 6.
    Ipv6,
}

impl From<Family> for wire::create::Family {
    fn from(family: Family) -> Self {
        match family {
            Family::Any => Self::Any,
            Family::Ipv4 => Self::Ipv4,
            Family::Ipv6 => Self::Ipv6,
        }
    }
}

/// How a dial goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Connected.
    Connects,
    /// Connection refused.
    Refuses,
    /// No answer until the edge gives up.
    Hangs,
}

/// What the program behind a socket does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Habit {
    /// Most bytes per read and per write.
    pub chunk: u64,
    /// Milliseconds between two reads and between two writes, until the world heals.
    pub pause: u64,
    /// Reads nothing before this time, in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub reads_from: u64,
    /// Sends nothing before having received this much: an answer that follows its request.
    #[serde(skip_serializing_if = "is_zero")]
    pub sends_after: u64,
    /// Reads nothing after this many bytes until every flow without such a pause has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalls_at: Option<u64>,
    /// Reads nothing more after this many bytes, and says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stops_at: Option<u64>,
    /// Its socket fails after it has received this many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fails_at: Option<u64>,
    /// Its socket fails at this time, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fails_from: Option<u64>,
}

/// A fault and when it happens.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Timed {
    /// In milliseconds.
    pub at: u64,
    /// What happens.
    #[serde(flatten)]
    pub fault: Fault,
}

/// A direction of a carrier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// From the edge to the POP.
    Up,
    /// From the POP to the edge.
    Down,
}

/// What can go wrong. Times are in milliseconds; a time that is missing means never. A fault whose
/// victim is not there does nothing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// An edge's carrier breaks: what is under way is lost, what is written later, too. Some bytes may
    /// still arrive; a message that is cut in two does not.
    Cut {
        /// Whose.
        edge: usize,
        /// Only this direction breaks.
        #[serde(skip_serializing_if = "Option::is_none")]
        way: Option<Way>,
        /// The POP learns of it after this time.
        #[serde(skip_serializing_if = "Option::is_none")]
        pop_sees: Option<u64>,
        /// The edge learns of it after this time.
        #[serde(skip_serializing_if = "Option::is_none")]
        edge_sees: Option<u64>,
        /// So many bytes under way to the POP still arrive.
        #[serde(default, skip_serializing_if = "is_zero")]
        last_up: u64,
        /// So many bytes under way to the edge still arrive.
        #[serde(default, skip_serializing_if = "is_zero")]
        last_down: u64,
    },
    /// A carrier holds everything back and delivers it late. The edge may believe it dead meanwhile
    /// and replace it.
    Freeze {
        /// Whose.
        edge: usize,
        /// For how long.
        lasts: u64,
        /// The edge takes it for dead after this time.
        #[serde(skip_serializing_if = "Option::is_none")]
        edge_sees: Option<u64>,
    },
    /// The next carrier of an edge gets its HELLO through late, when the edge has long given it up.
    LateHello {
        /// Whose.
        edge: usize,
        /// How late.
        lasts: u64,
        /// The edge takes the carrier for dead after this time.
        edge_sees: u64,
    },
    /// All carriers of all edges break at once, and both ends see it.
    Storm {
        /// Both learn of it within this time.
        sees: u64,
    },
    /// Acknowledgements do not get through.
    MuteAcks {
        /// Whose.
        edge: usize,
        /// In this direction.
        way: Way,
        /// For how long.
        lasts: u64,
    },
    /// A path becomes slower.
    Lag {
        /// Whose.
        edge: usize,
        /// By how much, one way.
        by: u64,
        /// For how long.
        lasts: u64,
    },
    /// An edge's process dies and another one starts in its place.
    RestartEdge {
        /// Which.
        edge: usize,
        /// How long it is down.
        down: u64,
    },
    /// A second process with the id of an edge runs for a while.
    Twin {
        /// Whose id.
        edge: usize,
        /// For how long.
        lasts: u64,
    },
    /// A POP's process dies and another one starts in its place.
    RestartPop {
        /// Which.
        pop: usize,
        /// How long it is down.
        down: u64,
    },
    /// A POP sends its edges away and takes no new clients.
    Drain {
        /// Which.
        pop: usize,
    },
    /// A POP takes no carriers for a while, and tells how long to wait.
    Busy {
        /// Which.
        pop: usize,
        /// For how long.
        lasts: u64,
        /// The wait it asks for.
        retry: u64,
    },
    /// An edge tells its POPs that it takes no new sessions.
    Decline {
        /// Which.
        edge: usize,
        /// For how long.
        lasts: u64,
    },
    /// An edge's process is suspended; then it goes on, with everything waiting for it.
    SuspendEdge {
        /// Which.
        edge: usize,
        /// For how long.
        lasts: u64,
    },
    /// A POP's process is suspended; then it goes on, with everything waiting for it.
    SuspendPop {
        /// Which.
        pop: usize,
        /// For how long.
        lasts: u64,
    },
    /// An operator has an edge leave its POPs at once.
    Kick {
        /// Which.
        edge: usize,
        /// How long it is to stay away.
        retry: u64,
    },
    /// An operator has an edge leave its POPs when its sessions are over.
    SendAway {
        /// Which.
        edge: usize,
        /// How long its sessions may go on.
        patience: u64,
    },
    /// A POP has its edges be slow for a while.
    Slow {
        /// Which.
        pop: usize,
        /// In bytes per second each way.
        rate: u64,
        /// For how long.
        lasts: u64,
    },
    /// Somebody on the path of an edge's carrier makes up a message.
    Forge {
        /// Whose.
        edge: usize,
        /// In this direction.
        way: Way,
        /// What.
        message: Forged,
    },
}

/// A message that no honest peer sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forged {
    /// Bytes that are no message.
    Garbage,
    /// More data than was granted, for a session that lives.
    Overrun,
    /// An acknowledgement of what was never sent.
    Ack,
    /// A second HELLO.
    Hello,
    /// More sessions than were allowed, to the edge.
    Creates,
    /// Frames for sessions that never were.
    Stranger,
}

fn table(scenario: &Scenario) -> Table {
    Table::try_from(scenario).expect("every part of a scenario has a form in TOML")
}

/// Returns a scenario of defaults that has one flow, so that there is something to compare with.
fn table_of_defaults() -> Table {
    table(&Scenario {
        accounts: vec![Account::default()],
        flows: vec![Flow::default()],
        ..Scenario::default()
    })
}

/// Takes out what is as in `defaults`. Entries of a list are compared with the first default.
fn prune(table: &mut Table, defaults: &Table) {
    table.retain(|key, value| match (value, defaults.get(key)) {
        (Value::Table(table), Some(Value::Table(defaults))) => {
            prune(table, defaults);
            !table.is_empty()
        }
        (Value::Array(entries), Some(Value::Array(defaults))) => {
            for entry in entries.iter_mut() {
                if let (Value::Table(entry), Some(Value::Table(defaults))) =
                    (entry, defaults.first())
                {
                    prune(entry, defaults);
                }
            }
            !entries.is_empty() && *entries != *defaults
        }
        (value, default) => default != Some(value),
    });
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 0,
            pops: 1,
            edges: 1,
            heal_at: 10_000,
            network: Network::default(),
            limits: Limits::default(),
            accounts: Vec::new(),
            flows: Vec::new(),
            faults: Vec::new(),
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            delay: 10,
            jitter: 0,
            bandwidth: 0,
            window: 256 << 10,
            reads: 1,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let usual = Config::default();
        Self {
            window_base: usual.window_base,
            early_max: usual.early_max,
            resend_max: usual.resend_max,
            data_max: usual.data_max,
            send_queue_max: usual.send_queue_max,
            sessions_max: usual.sessions_max,
            memory_budget: usual.memory_budget,
            idle: millis(usual.idle),
            idle_half_closed: millis(usual.idle_half_closed),
            grace: millis(usual.grace),
            write_deadline: millis(usual.write_deadline),
            lease_idle: millis(usual.lease_idle),
            leases_max: usual.leases_max,
        }
    }
}

impl Default for Account {
    fn default() -> Self {
        Self {
            group: 1,
            quota: None,
            piece: 10_000,
            delay: 5,
            lost: 0,
            again: 0,
            forgets: None,
            up: 0,
            down: 0,
            change: None,
        }
    }
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            start: 1_000,
            pop: 0,
            group: 1,
            up: 1_000,
            early: 0,
            down: 1_000,
            dial: 10,
            answers: vec![Answer::Connects],
            private: false,
            name: None,
            weight: 1,
            named: false,
            family: Family::Any,
            addresses: 0,
            strict: false,
            client: Habit::default(),
            target: Habit::default(),
        }
    }
}

impl Default for Habit {
    fn default() -> Self {
        Self {
            chunk: 16 << 10,
            pause: 0,
            reads_from: 0,
            sends_after: 0,
            stalls_at: None,
            stops_at: None,
            fails_at: None,
            fails_from: None,
        }
    }
}

impl Fault {
    /// Returns how long it goes on after it struck, in milliseconds.
    pub(super) const fn lasts(&self) -> u64 {
        match *self {
            Self::Freeze { lasts, .. }
            | Self::LateHello { lasts, .. }
            | Self::MuteAcks { lasts, .. }
            | Self::Lag { lasts, .. }
            | Self::Twin { lasts, .. }
            | Self::Busy { lasts, .. }
            | Self::Decline { lasts, .. }
            | Self::SuspendEdge { lasts, .. }
            | Self::SuspendPop { lasts, .. }
            | Self::Slow { lasts, .. } => lasts,
            Self::RestartEdge { down, .. } | Self::RestartPop { down, .. } => down,
            Self::Kick { retry, .. } => retry,
            Self::SendAway { patience, .. } => patience,
            Self::Cut { .. } | Self::Storm { .. } | Self::Drain { .. } | Self::Forge { .. } => 0,
        }
    }

    /// Returns the edge or the POP that it strikes.
    pub(super) const fn victim(&self) -> (Option<usize>, Option<usize>) {
        match *self {
            Self::Cut { edge, .. }
            | Self::Freeze { edge, .. }
            | Self::LateHello { edge, .. }
            | Self::MuteAcks { edge, .. }
            | Self::Lag { edge, .. }
            | Self::RestartEdge { edge, .. }
            | Self::Twin { edge, .. }
            | Self::Decline { edge, .. }
            | Self::SuspendEdge { edge, .. }
            | Self::Kick { edge, .. }
            | Self::SendAway { edge, .. }
            | Self::Forge { edge, .. } => (Some(edge), None),
            Self::RestartPop { pop, .. }
            | Self::Drain { pop }
            | Self::Busy { pop, .. }
            | Self::Slow { pop, .. }
            | Self::SuspendPop { pop, .. } => (None, Some(pop)),
            Self::Storm { .. } => (None, None),
        }
    }
}

impl Habit {
    /// Tells whether its socket fails some time.
    #[must_use]
    pub const fn fails(&self) -> bool {
        self.fails_at.is_some() || self.fails_from.is_some()
    }
}

impl Flow {
    /// Returns how the `nth` dial goes, from 0.
    #[must_use]
    pub fn answer(&self, nth: usize) -> Answer {
        let last = self.answers.last().copied().unwrap_or(Answer::Connects);
        self.answers.get(nth).copied().unwrap_or(last)
    }

    /// Tells whether one of its ends waits until the other flows have ended.
    #[must_use]
    pub const fn stalls(&self) -> bool {
        self.client.stalls_at.is_some() || self.target.stalls_at.is_some()
    }
}

impl Limits {
    /// Tells whether sessions may be reset for what they hold.
    pub(super) const fn is_short_of_memory(&self) -> bool {
        self.memory_budget < 1 << 30
    }

    /// Returns them as an endpoint takes them.
    #[must_use]
    pub fn config(&self) -> Config {
        Config {
            window_base: self.window_base,
            early_max: self.early_max,
            resend_max: self.resend_max,
            data_max: self.data_max,
            send_queue_max: self.send_queue_max,
            sessions_max: self.sessions_max,
            memory_budget: self.memory_budget,
            idle: Duration::from_millis(self.idle),
            idle_half_closed: Duration::from_millis(self.idle_half_closed),
            grace: Duration::from_millis(self.grace),
            lease_idle: Duration::from_millis(self.lease_idle),
            leases_max: self.leases_max,
            write_deadline: Duration::from_millis(self.write_deadline),
            resume_over_plaintext: true,
            ..Config::default()
        }
    }
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// Fails if it cannot be read or says something that no scenario has.
    pub fn load(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        let scenario: Self = toml::from_str(&text).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {error}", path.display()),
            )
        })?;
        scenario
            .check()
            .map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))?;
        Ok(scenario)
    }

    /// Returns the text of its file: what differs from the defaults, after a comment.
    #[must_use]
    pub fn to_text(&self, comment: &str) -> String {
        let comment: String = comment.lines().map(|line| format!("# {line}\n")).collect();
        let mut table = table(self);
        prune(&mut table, &table_of_defaults());
        format!("{comment}{table}")
    }

    /// Tells what makes it impossible, if anything does.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.network.reads == 0 {
            return Err("at least one message is read at a time".to_owned());
        }
        if self.pops == 0 || self.edges == 0 {
            return Err("a scenario needs a POP and an edge".to_owned());
        }
        for (index, flow) in self.flows.iter().enumerate() {
            if flow.pop >= self.pops {
                return Err(format!("flow {index}: there is no POP {}", flow.pop));
            }
            if flow.weight == 0 || flow.weight > 16 {
                return Err(format!("flow {index}: a weight is from 1 to 16"));
            }
            if flow.early > flow.up {
                return Err(format!("flow {index}: more is early than is sent"));
            }
            for (habit, incoming) in [(&flow.client, flow.down), (&flow.target, flow.up)] {
                if habit.chunk == 0 {
                    return Err(format!("flow {index}: a chunk has at least one byte"));
                }
                if habit.sends_after > incoming {
                    return Err(format!("flow {index}: waits for more than it is sent"));
                }
            }
        }
        for (index, account) in self.accounts.iter().enumerate() {
            if account.piece == 0 {
                return Err(format!("account {index}: a piece has at least one byte"));
            }
            let same = |other: &&Account| other.group == account.group;
            if self.accounts.iter().filter(same).count() > 1 {
                return Err(format!("account {index}: the user has another"));
            }
        }
        for (index, timed) in self.faults.iter().enumerate() {
            let (edge, pop) = timed.fault.victim();
            if edge.is_some_and(|edge| edge >= self.edges) {
                return Err(format!("fault {index}: there is no such edge"));
            }
            if pop.is_some_and(|pop| pop >= self.pops) {
                return Err(format!("fault {index}: there is no such POP"));
            }
        }
        Ok(())
    }
}
