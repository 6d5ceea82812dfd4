//! What a scenario file says.
//!
//! A file is TOML. Whatever is not known is an error. Times, sizes and rates are written as in
//! [`units`](super::units); a time may be a range from which each seed draws.

mod expectation;
mod fault;

pub use expectation::{Count, Expect, Times};
pub use fault::{Between, Fault, On, Timed};

use super::account::{TimedAct, User};
use super::units::{Rate, Size, Span, Time, is_default};
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
    /// Users with limits; flows that name none are a user's who has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// Who moves what.
    pub flows: Vec<Flows>,
    /// What an operator does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<TimedAct>,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Vec<Timed>,
    /// What must hold, beside what always must: every byte right and in order, no clean end before
    /// the last byte, no dial that is repeated after a byte arrived, no daemon that panics or ends;
    /// with users what `daemons::account` says.
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
    /// Whose they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password they use; the user's first one without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
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

const fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
const fn is_one(number: &u64) -> bool {
    *number == 1
}

/// Returns the hosts that a name means.
pub(super) fn hosts(scenario: &Scenario, name: &str) -> Vec<String> {
    let topology = &scenario.topology;
    let many = [
        ("pop", topology.pops),
        ("edge", topology.edges),
        ("target", topology.targets),
    ];
    for (kind, count) in many {
        if name == format!("{kind}s") {
            return (1..=count).map(|index| format!("{kind}-{index}")).collect();
        }
        let number = name
            .strip_prefix(kind)
            .and_then(|rest| rest.strip_prefix('-'));
        if number
            .and_then(|number| number.parse().ok())
            .is_some_and(|index: u8| (1..=count).contains(&index))
        {
            return vec![name.to_owned()];
        }
    }
    match name {
        "client" | "manager" => vec![name.to_owned()],
        _ => Vec::new(),
    }
}
