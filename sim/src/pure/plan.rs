//! What a run does: drawn from the seed, or set by a test.

use super::chooser::Chooser;
use titan_core::endpoint::Config;
use titan_core::time::Duration;

/// The options of a run. Each fault is off, rare or heavy.
#[derive(Clone, Debug)]
pub struct Options {
    /// Edges of different nodes.
    pub edges: usize,
    /// The flows, in the order in which they start.
    pub plans: Vec<Plan>,
    /// One-way delay of carriers.
    pub delay: Duration,
    /// Jitter added to it.
    pub jitter: Duration,
    /// Bytes a carrier takes that its peer has not read.
    pub carrier_window: usize,
    /// Mean time between cuts of a random carrier; zero: never.
    pub cut_every: Duration,
    /// Mean time between restarts of a random edge; zero: never.
    pub restart_every: Duration,
    /// Carriers that die do so silently.
    pub silent_cuts: bool,
    /// When faults stop.
    pub heal_at: Duration,
    /// Limits of both sides.
    pub config: Config,
    /// Check every endpoint after every action.
    pub audit: bool,
}

/// What one flow does.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When the client asks.
    pub start: Duration,
    /// Bytes the client sends before it half-closes.
    pub up: u64,
    /// Bytes the target sends before it half-closes.
    pub down: u64,
    /// How each edge's dial goes; the last holds for all further edges.
    pub answers: [Answer; 3],
    /// How long a dial takes.
    pub dial: Duration,
    /// The client reads nothing before this time.
    pub client_reads_from: Duration,
    /// The target reads nothing before this time.
    pub target_reads_from: Duration,
    /// The client vanishes after having received this much.
    pub client_leaves_at: Option<u64>,
    /// Most bytes moved per look at a socket.
    pub chunk: u64,
    /// Which user.
    pub group: u32,
}

/// How a dial goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Connected.
    Connects,
    /// Connection refused.
    Refuses,
    /// No answer until the edge gives up.
    Hangs,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            start: Duration::ZERO,
            up: 1000,
            down: 1000,
            answers: [Answer::Connects; 3],
            dial: Duration::from_millis(10),
            client_reads_from: Duration::ZERO,
            target_reads_from: Duration::ZERO,
            client_leaves_at: None,
            chunk: 16 << 10,
            group: 1,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            edges: 1,
            plans: Vec::new(),
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            carrier_window: 256 << 10,
            cut_every: Duration::ZERO,
            restart_every: Duration::ZERO,
            silent_cuts: false,
            heal_at: Duration::from_secs(20),
            config: Config {
                resume_over_plaintext: true,
                ..Config::default()
            },
            audit: true,
        }
    }
}

impl Options {
    /// Draws the options of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut choose = Chooser::new(seed ^ 0x6f70_7469_6f6e_7321);
        let millis = Duration::from_millis;
        let level = |choose: &mut Chooser| choose.below(3);
        let small_buffers = choose.chance(40);
        let config = Config {
            resume_over_plaintext: true,
            window_base: if small_buffers { 8 << 10 } else { 64 << 10 },
            early_max: [0, 1, 3 << 10, 64 << 10][choose.below(4) as usize],
            resend_max: if small_buffers { 64 << 10 } else { 1 << 20 },
            data_max: [512, 4 << 10, 32 << 10][choose.below(3) as usize],
            send_queue_max: if small_buffers { 2 << 10 } else { 64 << 10 },
            memory_budget: [96 << 10, 1 << 20, 1 << 30][choose.below(3) as usize],
            ..Config::default()
        };
        let edges = choose.between(1, 4) as usize;
        let flows = choose.between(1, 12);
        let slow = level(&mut choose);
        let refusals = level(&mut choose);
        let plans = (0..flows)
            .map(|_| {
                let size = |choose: &mut Chooser| match choose.below(4) {
                    0 => choose.below(100),
                    1 => choose.below(20_000),
                    _ => choose.below(300_000),
                };
                let answer = |choose: &mut Chooser| {
                    if choose.chance(refusals * 20) {
                        if choose.chance(50) {
                            Answer::Refuses
                        } else {
                            Answer::Hangs
                        }
                    } else {
                        Answer::Connects
                    }
                };
                let late = |choose: &mut Chooser| {
                    if choose.chance(slow * 20) {
                        millis(choose.below(15_000))
                    } else {
                        Duration::ZERO
                    }
                };
                let up = size(&mut choose);
                let down = size(&mut choose);
                Plan {
                    start: millis(choose.below(10_000)),
                    up,
                    down,
                    answers: [
                        answer(&mut choose),
                        answer(&mut choose),
                        answer(&mut choose),
                    ],
                    dial: millis(choose.below(300)),
                    client_reads_from: late(&mut choose),
                    target_reads_from: late(&mut choose),
                    client_leaves_at: choose.chance(10).then(|| choose.below(down + 1)),
                    chunk: [100, 3000, 64 << 10][choose.below(3) as usize],
                    group: choose.between(1, 3) as u32,
                }
            })
            .collect();
        let cut_every = [0, 4000, 700][level(&mut choose) as usize];
        let restart_every = [0, 0, 8000][level(&mut choose) as usize];
        Self {
            edges,
            plans,
            delay: millis(choose.between(1, 100)),
            jitter: millis(choose.below(50)),
            carrier_window: [16 << 10, 256 << 10][choose.below(2) as usize],
            cut_every: millis(cut_every),
            restart_every: millis(restart_every),
            silent_cuts: choose.chance(30),
            heal_at: Duration::from_secs(20),
            config,
            audit: true,
        }
    }
}
