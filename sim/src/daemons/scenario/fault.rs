//! What goes wrong in a scenario.

use crate::daemons::units::{Jump, Rate, Span, Time, is_default};
use serde::{Deserialize, Serialize};

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
    /// The process stands still, as a debugged or a swapped one: it answers nobody, and its
    /// connections stay. Mended: it goes on.
    Hang(On),
    /// The process of a POP's host dies and is started again with the id of another POP, as after a
    /// configuration was copied. Mended: it is started again with its own.
    Impersonate {
        /// Which host.
        host: String,
        /// Whose id it gets.
        id: String,
        /// For how long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Span>,
    },
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
        /// How many of a hundred are lost on the way there: nothing is done, and whoever asked
        /// waits in vain.
        #[serde(default, skip_serializing_if = "is_default")]
        lost_requests_percent: u64,
        /// How many of a hundred are done and their answers lost. Half of those who asked hear so at
        /// once, as by a connection that ends; half wait in vain.
        #[serde(default, skip_serializing_if = "is_default")]
        lost_answers_percent: u64,
        /// How long each takes; of a range each its own time.
        #[serde(default, skip_serializing_if = "is_default")]
        delay: Span,
        /// Nothing is done at all.
        #[serde(default, skip_serializing_if = "is_default")]
        away: bool,
        /// For how long that is so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts: Option<Span>,
    },
    /// The store is two servers, of which the second hears nothing any more of what the first is told.
    /// Mended: the first is gone and the second takes over, without what it has not heard. It grants
    /// nothing until every POP that was registered has told it everything again, or for 90 s. One that begins
    /// before another is mended takes its place.
    Failover {
        /// How much it has not heard.
        lasts: Span,
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
