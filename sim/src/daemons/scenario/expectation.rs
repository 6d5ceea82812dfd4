//! What a scenario expects.

use crate::daemons::account::{UserBytes, UserRate};
use crate::daemons::units::Time;
use serde::{Deserialize, Serialize};

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
    /// So many bytes of a user moved.
    Moved(UserBytes),
    /// So many bytes are charged to a user.
    Charged(UserBytes),
    /// So many bytes stay charged that a process was granted which died before they were moved.
    Lost(UserBytes),
    /// So fast a user's bytes moved, within 5 %.
    Speed(UserRate),
    /// The process of this host has ended, as it was told to.
    Ended {
        /// Which host.
        host: String,
    },
    /// The process of this POP's host has ended by itself because another one has its id, by then.
    TakenOver {
        /// Which host.
        host: String,
        /// When at the latest.
        until: Time,
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
