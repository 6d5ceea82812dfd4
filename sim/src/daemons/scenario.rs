//! What a scenario file says.
//!
//! A file is TOML. Whatever is not known is an error. Times, sizes and rates are written as in
//! [`units`](super::units); a time may be a range from which each seed draws.

use super::units::{Jump, Rate, Size, Span, Time};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::{fs, io};

/// A situation: who is there, who moves what, what goes wrong, and what must hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows.
    pub about: String,
    /// The first seed.
    #[serde(default = "one")]
    pub seed: u64,
    /// When everything must be over.
    pub lasts: Time,
    /// Who is there.
    #[serde(default)]
    pub topology: Topology,
    /// Who moves what.
    pub flows: Vec<Flows>,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Vec<Timed>,
    /// What must hold, beside what always must: every byte right and in order, no clean end before
    /// the last byte, no dial that is repeated after a byte arrived, no daemon that panics or ends.
    pub expect: Vec<Expect>,
}

/// Who is there. Hosts are called `client`, `manager`, `pop-1`, `edge-1`, `target-1` and so on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topology {
    /// Hosts that run a POP.
    pub pops: u8,
    /// Hosts that run edges.
    pub edges: u8,
    /// Edges on each of them; above one they are called `edge-1-1`, `edge-1-2` and so on.
    pub copies: u8,
    /// Hosts that run a target.
    pub targets: u8,
    /// How long a message takes between two hosts: each its own time.
    pub latency: Span,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            pops: 1,
            edges: 1,
            copies: 1,
            targets: 1,
            latency: Span {
                min: Time::from_millis(2),
                max: Time::from_millis(20),
            },
        }
    }
}

/// Connections of applications that are alike.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flows {
    /// What they are called.
    pub name: String,
    /// How many.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
    /// When the first begins.
    pub start: Span,
    /// How long after each other they begin.
    #[serde(default, skip_serializing_if = "is_default")]
    pub every: Time,
    /// Which POP's proxy they use.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub pop: u64,
    /// Bytes to the target.
    #[serde(default, skip_serializing_if = "Size::is_zero")]
    pub up: Size,
    /// Bytes from the target.
    #[serde(default, skip_serializing_if = "Size::is_zero")]
    pub down: Size,
    /// Requests and answers instead of both directions at once: so many, each an equal part.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rounds: u32,
    /// How long the client thinks before each request.
    #[serde(default, skip_serializing_if = "is_default")]
    pub think: Time,
    /// When the client is told that it is connected.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// How fast both ends send; at once without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Rate>,
    /// How fast the client reads; at once without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<Rate>,
    /// How fast the target reads; at once without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_reads: Option<Rate>,
    /// How often a client connects anew, a second later, when its connection comes to nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retries: u32,
}

/// When a client is told that it is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Before the edge has dialled.
    #[default]
    Fast,
    /// Once the edge has dialled.
    Truthful,
}

/// A fault and when it happens.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "toml::Table", into = "toml::Table")]
pub struct Timed {
    /// When.
    pub at: Span,
    /// How many times; once without it.
    pub times: u64,
    /// How long after each other.
    pub every: Span,
    /// What.
    pub fault: Fault,
}

/// What goes wrong. With `lasts` it is mended after that time, otherwise never. Where a host is
/// named, `edges`, `pops` and `targets` are all of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// The process dies; its kernel closes its sockets. Mended: it is started again.
    Kill(On),
    /// The process is told to end at once. Mended: it is started again, once it has ended.
    Stop(On),
    /// The process is told to drain: to take on nothing new and to end when what it carries has.
    /// Mended: it is started again, once it has ended.
    Drain(On),
    /// The host loses power: nobody is told. Mended: it boots.
    PowerLoss(On),
    /// Connections between two hosts are reset at both ends. Until it is mended no new one can be
    /// made; without `lasts` one can be made at once.
    Cut {
        /// Which hosts.
        between: [String; 2],
        /// For how long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Span>,
    },
    /// What is sent between two hosts waits. Mended: it arrives, as after a short outage of a path.
    Hold(Between),
    /// What is sent between two hosts is lost. Mended: new connections work, old ones stay silent.
    Partition(Between),
    /// Messages between two hosts take this long.
    Latency {
        /// Which hosts.
        between: [String; 2],
        /// How long.
        takes: Time,
        /// For how long that is so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Span>,
    },
    /// Clients read this slowly.
    SlowReader {
        /// Those of which flows.
        flows: String,
        /// How fast.
        reads: Rate,
        /// For how long that is so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Span>,
    },
    /// The store is in trouble.
    Store {
        /// About how many operations of a hundred fail, half of them after they were done.
        #[serde(default, skip_serializing_if = "is_default")]
        errors_percent: u64,
        /// How long each takes.
        #[serde(default, skip_serializing_if = "is_default")]
        delay: Time,
        /// Nothing is done at all.
        #[serde(default, skip_serializing_if = "is_default")]
        away: bool,
        /// For how long that is so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Span>,
    },
    /// The wall clock of a host jumps. Mended: it jumps back.
    Clock {
        /// Whose.
        host: String,
        /// How far.
        jump: Jump,
        /// For how long that is so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Span>,
    },
}

/// On which host, and for how long.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct On {
    /// Which.
    pub host: String,
    /// For how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
}

/// Between which hosts, and for how long.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// Which.
    pub between: [String; 2],
    /// From the first to the second only; for a partition.
    #[serde(default, skip_serializing_if = "is_default")]
    pub one_way: bool,
    /// For how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Span>,
}

/// What must hold at the end. Without `flows`, all of them are meant.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Expect {
    /// So many flows complete; without numbers, every one.
    Complete(Count),
    /// So many flows were reset after they had begun; without numbers, none.
    Reset(Count),
    /// So many flows did not even begin; without numbers, none.
    Refused(Count),
    /// Every flow that completes does so within this time from its start.
    Within {
        /// Which flows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flows: Option<String>,
        /// How long.
        time: Time,
    },
    /// No request waits longer for its answer.
    Answered {
        /// Which flows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flows: Option<String>,
        /// How long.
        within: Time,
    },
    /// The median duration of some flows is at most a multiple of that of others.
    Alike {
        /// Which flows.
        flows: String,
        /// Like which.
        than: String,
        /// The factor.
        factor: f64,
    },
    /// So many carriers resumed a tunnel, as all edges counted together.
    Resumed(Times),
    /// So many sessions moved to another exit, as all POPs counted together.
    Failover(Times),
    /// So many times a tunnel stood, as all edges counted together, resumes included.
    Attached(Times),
    /// The process of this host has ended, as it was told to.
    Ended {
        /// Which host.
        host: String,
    },
    /// All edges are attached at the end, and within this time nothing is left of the flows: no
    /// session, no client, no byte; one carrier per tunnel.
    Empty {
        /// How long after the last flow.
        within: Time,
    },
}

/// How many flows.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Of which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<String>,
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
}

/// How many times.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn load(path: &Path) -> io::Result<Self> {
        let wrong = |error: &dyn core::fmt::Display| {
            io::Error::other(format!("{}: {error}", path.display()))
        };
        let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
        text.parse().map_err(|error: String| wrong(&error))
    }

    /// Writes it as a file has it, with a comment in front.
    ///
    /// # Panics
    /// Never: whatever a scenario holds can be written.
    #[must_use]
    pub fn to_text(&self, comment: &str) -> String {
        let body = toml::to_string(self).expect("a scenario can be written");
        let comment = comment.lines().map(|line| format!("# {line}\n"));
        comment.chain([body]).collect()
    }
}

impl core::str::FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        super::check::check(&scenario)?;
        Ok(scenario)
    }
}

impl TryFrom<toml::Table> for Timed {
    type Error = String;

    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let at = table.remove("at").ok_or("a fault says when: at")?;
        let at = at.try_into().map_err(|error| error.to_string())?;
        let times = table.remove("times").map_or(Ok(1), toml::Value::try_into);
        let times = times.map_err(|error| error.to_string())?;
        let every = table.remove("every");
        let every = every.map_or_else(|| Ok(Span::default()), toml::Value::try_into);
        let every = every.map_err(|error| error.to_string())?;
        let fault = table.try_into().map_err(|error| error.to_string())?;
        Ok(Self {
            at,
            times,
            every,
            fault,
        })
    }
}

impl From<Timed> for toml::Table {
    fn from(timed: Timed) -> Self {
        let mut table = Self::try_from(&timed.fault).expect("a fault can be written");
        table.insert("at".to_owned(), timed.at.to_string().into());
        if timed.times != 1 {
            let times = i64::try_from(timed.times).unwrap_or(i64::MAX);
            table.insert("times".to_owned(), times.into());
            table.insert("every".to_owned(), timed.every.to_string().into());
        }
        table
    }
}

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
const fn is_one(number: &u64) -> bool {
    *number == 1
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
