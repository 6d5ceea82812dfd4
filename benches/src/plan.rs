//! What is measured, and what it should be.

use std::time::Duration;

use crate::load::Work;

/// Connections being opened at once in the connections measurement.
pub(crate) const CONNECTING: usize = 32;

/// The value that tells how much processor time one byte, request or connection took.
pub(crate) const PROCESSORS_EACH: &str = "processor_seconds_each";

/// One run of a load, or one way to measure memory.
#[derive(Debug)]
pub(crate) struct Measurement {
    /// Name for `--only` and in progress lines.
    pub(crate) name: &'static str,
    /// How.
    pub(crate) method: Method,
    /// What comes out.
    pub(crate) rows: &'static [Row],
}

/// How a measurement is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    /// The load does this work on so many streams, on all systems by turns, in several rounds.
    Load(Work, usize),
    /// Memory of a fresh POP per tunnel.
    TunnelMemory,
    /// Memory of a fresh POP, or first relay, per session.
    SessionMemory,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// Name in the table.
    pub(crate) title: &'static str,
    /// Which of the load's values.
    pub(crate) key: &'static str,
    /// Unit of the shown value.
    pub(crate) unit: Unit,
    /// What is asked of Titan over `ws` and `wss`.
    pub(crate) goals: [Option<Goal>; 2],
}

/// How a value is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// Bytes per second, shown as 10^6.
    MegabytesPerSecond,
    /// Seconds, shown as 10^-6.
    Microseconds,
    /// Per second.
    PerSecond,
    /// Bytes, shown as 2^10.
    Kibibytes,
    /// Seconds per byte, shown per 10^9 bytes.
    SecondsPerGigabyte,
}

impl Unit {
    /// Divisor of the value and the unit's name.
    pub(crate) fn scale(self) -> (f64, &'static str) {
        match self {
            Self::MegabytesPerSecond => (1e6, "MB/s"),
            Self::Microseconds => (1e-6, "us"),
            Self::PerSecond => (1.0, "/s"),
            Self::Kibibytes => (1024.0, "KiB"),
            Self::SecondsPerGigabyte => (1e-9, "s/GB"),
        }
    }
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// Times the yardstick or more.
    RatioMin(f64),
    /// Times the yardstick or less.
    RatioMax(f64),
    /// Bytes or less.
    BytesMax(f64),
}

/// Length of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Rounds of each load.
    pub(crate) rounds: usize,
    /// Time before each window.
    pub(crate) warmup: Duration,
    /// Each window.
    pub(crate) duration: Duration,
    /// Tunnels of the memory measurement.
    pub(crate) tunnels: usize,
    /// Sessions of the memory measurement.
    pub(crate) sessions: usize,
}

impl Extent {
    /// For figures to rely on.
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        warmup: Duration::from_millis(500),
        duration: Duration::from_millis(2000),
        tunnels: 1000,
        sessions: 2000,
    };
    /// For a first look.
    pub(crate) const QUICK: Self = Self {
        rounds: 3,
        warmup: Duration::from_millis(200),
        duration: Duration::from_millis(600),
        tunnels: 200,
        sessions: 500,
    };
}

/// Everything that is measured, in the order of the table.
pub(crate) const MEASUREMENTS: &[Measurement] = &[
    bulk(
        "bulk-down-1",
        Work::Down,
        1,
        &[
            bulk_row("bulk down, 1 stream"),
            processors_per_byte("CPU per GB down, 1 stream"),
        ],
    ),
    bulk(
        "bulk-down-16",
        Work::Down,
        16,
        &[
            bulk_row("bulk down, 16 streams"),
            processors_per_byte("CPU per GB down, 16 streams"),
        ],
    ),
    bulk(
        "bulk-down-64",
        Work::Down,
        64,
        &[
            bulk_row("bulk down, 64 streams"),
            processors_per_byte("CPU per GB down, 64 streams"),
        ],
    ),
    bulk(
        "bulk-up-1",
        Work::Up,
        1,
        &[
            bulk_row("bulk up, 1 stream"),
            processors_per_byte("CPU per GB up, 1 stream"),
        ],
    ),
    bulk(
        "bulk-up-16",
        Work::Up,
        16,
        &[
            bulk_row("bulk up, 16 streams"),
            processors_per_byte("CPU per GB up, 16 streams"),
        ],
    ),
    bulk(
        "bulk-up-64",
        Work::Up,
        64,
        &[
            bulk_row("bulk up, 64 streams"),
            processors_per_byte("CPU per GB up, 64 streams"),
        ],
    ),
    Measurement {
        name: "requests-1",
        method: Method::Load(Work::Exchange, 1),
        rows: &[
            latency(
                "request latency p50, 1 stream",
                "p50",
                Some(Goal::RatioMax(1.15)),
            ),
            latency("request latency p99, 1 stream", "p99", None),
            per_second("requests, 1 stream", None),
            processors_each("CPU per request, 1 stream"),
        ],
    },
    Measurement {
        name: "requests-64",
        method: Method::Load(Work::Exchange, 64),
        rows: &[
            latency("request latency p50, 64 streams", "p50", None),
            latency("request latency p99, 64 streams", "p99", None),
            per_second("requests, 64 streams", Some(Goal::RatioMin(1.1))),
            processors_each("CPU per request, 64 streams"),
        ],
    },
    Measurement {
        name: "connections",
        method: Method::Load(Work::Connect, CONNECTING),
        rows: &[
            per_second("connections, 32 at once", Some(Goal::RatioMin(1.2))),
            latency("connect + 1 request p50", "p50", None),
            processors_each("CPU per connection + 1 request"),
        ],
    },
    Measurement {
        name: "memory-tunnel",
        method: Method::TunnelMemory,
        rows: &[Row {
            title: "memory per idle tunnel",
            key: "bytes",
            unit: Unit::Kibibytes,
            goals: [
                Some(Goal::BytesMax(12.0 * 1024.0)),
                Some(Goal::BytesMax(48.0 * 1024.0)),
            ],
        }],
    },
    Measurement {
        name: "memory-session",
        method: Method::SessionMemory,
        rows: &[Row {
            title: "memory per idle session",
            key: "bytes",
            unit: Unit::Kibibytes,
            goals: [
                Some(Goal::BytesMax(4.0 * 1024.0)),
                Some(Goal::BytesMax(4.0 * 1024.0)),
            ],
        }],
    },
];

const fn bulk(name: &'static str, work: Work, streams: usize, rows: &'static [Row]) -> Measurement {
    Measurement {
        name,
        method: Method::Load(work, streams),
        rows,
    }
}

const fn bulk_row(title: &'static str) -> Row {
    Row {
        title,
        key: "bytes_per_second",
        unit: Unit::MegabytesPerSecond,
        goals: [Some(Goal::RatioMin(0.9)), Some(Goal::RatioMin(0.5))],
    }
}

/// Processor time of what stands between load and target for each byte.
const fn processors_per_byte(title: &'static str) -> Row {
    Row {
        title,
        key: PROCESSORS_EACH,
        unit: Unit::SecondsPerGigabyte,
        goals: [None, None],
    }
}

/// Processor time of what stands between load and target for each request or connection.
const fn processors_each(title: &'static str) -> Row {
    latency(title, PROCESSORS_EACH, None)
}

const fn latency(title: &'static str, key: &'static str, goal: Option<Goal>) -> Row {
    Row {
        title,
        key,
        unit: Unit::Microseconds,
        goals: [goal, None],
    }
}

const fn per_second(title: &'static str, goal: Option<Goal>) -> Row {
    Row {
        title,
        key: "per_second",
        unit: Unit::PerSecond,
        goals: [goal, None],
    }
}
