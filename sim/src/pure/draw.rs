//! Draws a scenario from a seed, by swarm: each kind of trouble is off, rare or heavy, so that runs
//! differ in what they are about instead of all being about a little of everything.

use super::chooser::Chooser;
use super::scenario::{
    Account, Answer, Family, Fault, Flow, Forged, Habit, Limits, Network, RateChange, Scenario,
    Timed, Way,
};
use titan_core::ingress::socks5::HANDSHAKE_LEN_MAX;

/// One run in so many has no fault at all: then nothing may fail without its flow's own reason.
const CALM_ONE_IN: u64 = 24;

/// One run in so many has many edges, and many flows of one user.
const CROWD_ONE_IN: u64 = 100;

/// In one run in so many an edge, or its POPs to it, are hostile throughout.
const HOSTILE_ONE_IN: u64 = 24;

/// A budget of which a quarter is just enough for one window of 64 KiB to double, and which a few
/// stalled windows fill.
const ROOM_TO_GROW: u64 = 264 << 10;

/// Most bytes that a POP can have read behind a request.
const EARLY_MAX: u64 = HANDSHAKE_LEN_MAX as u64;

/// How much of one kind of trouble there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Off,
    Rare,
    Heavy,
}

impl Level {
    fn draw(choose: &mut Chooser) -> Self {
        match choose.below(10) {
            0..=5 => Self::Off,
            6..=7 => Self::Rare,
            _ => Self::Heavy,
        }
    }

    /// Returns how often something happens.
    fn count(self, choose: &mut Chooser, heavy: u64) -> u64 {
        match self {
            Self::Off => 0,
            Self::Rare => choose.between(1, 2),
            Self::Heavy => choose.between(heavy / 2, heavy),
        }
    }

    /// Returns a probability in per cent.
    const fn percent(self) -> u64 {
        match self {
            Self::Off => 0,
            Self::Rare => 10,
            Self::Heavy => 30,
        }
    }
}

impl Scenario {
    /// Draws the scenario of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut choose = Chooser::new(seed ^ 0x7363_656e_6172_696f);
        let choose = &mut choose;
        let edges = choose.between(1, 5) as usize;
        let pops = if edges > 1 && choose.chance(30) { 2 } else { 1 };
        let heal_at = choose.between(6, 20) * 1_000;
        let mut network = network(choose);
        let mut limits = limits(choose);
        let calm = choose.below(CALM_ONE_IN) == 0;
        if calm {
            limits.memory_budget = 1 << 30;
        }
        let mut flows = flows(choose, pops, heal_at, limits.memory_budget < 1 << 30);
        let mut faults = if calm {
            Vec::new()
        } else {
            faults(choose, pops, edges, heal_at)
        };
        let edges = crowd(seed, edges, pops, &mut flows, heal_at);
        let accounts = more(seed, &mut limits, &mut flows, heal_at, calm);
        hasty(seed, &mut flows);
        vary(seed, &mut network, &mut flows);
        if !calm {
            hostile(seed, edges, heal_at, &mut faults);
        }
        Self {
            seed,
            pops,
            edges,
            heal_at,
            network,
            limits,
            accounts,
            flows,
            faults,
        }
    }
}

/// Lets some clients begin before they are told that they may. Their choices, too, come from a stream
/// of their own.
fn hasty(seed: u64, flows: &mut [Flow]) {
    let choose = &mut Chooser::new(seed ^ 0x0065_6167_6572);
    let hasty = Level::draw(choose).percent();
    for flow in flows {
        if choose.chance(hasty) {
            flow.early = choose.below(flow.up.min(EARLY_MAX) + 1);
        }
    }
}

/// Lets clients ask for names and families, edges tell of what they tried, users have shares of turns, and hosts
/// read several messages at once. Their choices, too, come from a stream of their own.
fn vary(seed: u64, network: &mut Network, flows: &mut [Flow]) {
    let choose = &mut Chooser::new(seed ^ 0x7661_7269_6f75_7300);
    let named = [0, 0, 40, 100][choose.below(4) as usize];
    let addresses = [0, 1, 3, 12][choose.below(4) as usize];
    let weights = choose.chance(30);
    let weights: Vec<u32> = (0..3)
        .map(|_| [1, 2, 16][choose.below(3) as usize])
        .map(|weight| if weights { weight } else { 1 })
        .collect();
    network.reads = [1, 1, 1, 8][choose.below(4) as usize];
    for flow in flows {
        flow.named = choose.chance(named);
        let family =
            [Family::Any, Family::Any, Family::Ipv4, Family::Ipv6][choose.below(4) as usize];
        flow.family = if flow.named { family } else { Family::Any };
        flow.addresses = choose.below(addresses + 1);
        flow.weight = weights[flow.group as usize % 3];
    }
}

/// In some runs there are many edges and flows, nearly all of them of one user. These choices come from a stream of
/// their own.
fn crowd(seed: u64, edges: usize, pops: usize, flows: &mut Vec<Flow>, heal_at: u64) -> usize {
    let choose = &mut Chooser::new(seed ^ 0x6372_6f77_6473);
    if choose.below(CROWD_ONE_IN) > 0 {
        return edges;
    }
    let manners = Manners {
        refusals: 5,
        slow: 5,
        rude: 5,
        stalls: 5,
        crowded: false,
        pressed: false,
        heal_at,
    };
    let (greedy, many) = (choose.between(1, 3) as u32, choose.between(50, 180));
    for _ in 0..many {
        let mut flow = flow(choose, pops, &manners);
        if choose.chance(90) {
            flow.group = greedy;
        }
        flows.push(flow);
    }
    edges.max(choose.between(edges as u64, 50) as usize)
}

/// In some runs somebody on the path of one edge makes messages up all the time: the edge is hostile to its
/// POPs, or they to it. These choices come from a stream of their own.
fn hostile(seed: u64, edges: usize, heal_at: u64, faults: &mut Vec<Timed>) {
    let choose = &mut Chooser::new(seed ^ 0x686f_7374_696c_6500);
    if choose.below(HOSTILE_ONE_IN) > 0 {
        return;
    }
    let edge = choose.below(edges as u64) as usize;
    let way = if choose.chance(50) {
        Way::Up
    } else {
        Way::Down
    };
    let mut at = 1_000 + choose.below(3_000);
    while at < heal_at {
        let message = forged(choose);
        faults.push(Timed {
            at,
            fault: Fault::Forge { edge, way, message },
        });
        at += choose.between(50, 1_000);
    }
    faults.sort_by_key(|timed| timed.at);
}

/// Draws accounts and session names. Their choices come from a stream of their own.
fn more(
    seed: u64,
    limits: &mut Limits,
    flows: &mut [Flow],
    heal_at: u64,
    calm: bool,
) -> Vec<Account> {
    let choose = &mut Chooser::new(seed ^ 0x6163_636f_756e_7473);
    if choose.chance(40) {
        let strict = Level::draw(choose).percent();
        let names = choose.between(1, 3);
        for flow in flows.iter_mut() {
            flow.name = choose.chance(70).then(|| choose.below(names));
            flow.strict = flow.name.is_some() && choose.chance(strict);
        }
        limits.lease_idle = [500, 3_000, 600_000][choose.below(3) as usize];
        if choose.chance(10) {
            limits.leases_max = 2;
        }
    }
    let (quotas, rates) = (choose.chance(35), choose.chance(15));
    let trouble = if calm {
        0
    } else {
        Level::draw(choose).percent()
    };
    let mut accounts = Vec::new();
    for group in 1..=3 {
        let of_group = flows.iter().filter(|flow| flow.group == group);
        let bytes: u64 = of_group.map(|flow| flow.up + flow.down).sum();
        let quota = (quotas && choose.chance(60))
            .then(|| bytes * choose.between(20, 140) / 100 + choose.below(2));
        let rate = |choose: &mut Chooser| {
            let rate = [0, 60_000, 300_000, 2_000_000][choose.below(4) as usize];
            if rates && choose.chance(70) { rate } else { 0 }
        };
        let (up, down) = (rate(choose), rate(choose));
        let change = (rates && choose.chance(40)).then(|| RateChange {
            at: 1_000 + choose.below(heal_at),
            up: rate(choose),
            down: rate(choose),
        });
        if quota.is_some() || up + down > 0 || change.is_some() {
            accounts.push(Account {
                group,
                quota,
                piece: (bytes / choose.between(2, 12)).max(choose.between(1, 5_000)),
                delay: [1, 20, 300][choose.below(3) as usize],
                lost: trouble,
                again: trouble,
                forgets: None,
                up,
                down,
                change,
            });
        }
    }
    accounts
}

fn network(choose: &mut Chooser) -> Network {
    Network {
        delay: [1, 5, 20, 100][choose.below(4) as usize],
        jitter: [0, 3, 40][choose.below(3) as usize],
        bandwidth: [0, 20, 200, 2_000][choose.below(4) as usize],
        window: [16 << 10, 256 << 10][choose.below(2) as usize],
        reads: 1,
    }
}

fn limits(choose: &mut Chooser) -> Limits {
    let usual = Limits::default();
    let small = choose.chance(50);
    let rarely = |choose: &mut Chooser, low: u64, usual: u64| {
        if choose.chance(15) { low } else { usual }
    };
    let memory_budget = [
        48 << 10,
        128 << 10,
        ROOM_TO_GROW,
        ROOM_TO_GROW,
        1 << 30,
        1 << 30,
        1 << 30,
        1 << 30,
    ][choose.below(8) as usize];
    let small = small && memory_budget != ROOM_TO_GROW;
    Limits {
        window_base: if small { 8 << 10 } else { 64 << 10 },
        early_max: [0, 1, 3 << 10, 64 << 10][choose.below(4) as usize],
        resend_max: if small { 64 << 10 } else { 1 << 20 },
        data_max: [1 << 10, 4 << 10, 16 << 10][choose.below(3) as usize],
        send_queue_max: if small { 2 << 10 } else { 32 << 10 },
        sessions_max: if choose.chance(15) {
            3
        } else {
            usual.sessions_max
        },
        memory_budget,
        idle: {
            // Two limits that there are no more: what a seed draws stays what it was.
            rarely(choose, 0, 0);
            rarely(choose, 0, 0);
            rarely(choose, 20_000, usual.idle)
        },
        idle_half_closed: rarely(choose, 5_000, usual.idle_half_closed),
        grace: [5_000, 10_000, 30_000][choose.below(3) as usize],
        write_deadline: if choose.chance(30) {
            2_000
        } else {
            usual.write_deadline
        },
        ..usual
    }
}

fn flows(choose: &mut Chooser, pops: usize, heal_at: u64, pressed: bool) -> Vec<Flow> {
    let refusals = Level::draw(choose).percent();
    let slow = Level::draw(choose).percent();
    let rude = Level::draw(choose).percent();
    // Who reads nothing fills memory.
    let stalls = Level::draw(choose)
        .max(match choose.below(3) {
            _ if !pressed => Level::Off,
            0 => Level::Rare,
            _ => Level::Heavy,
        })
        .percent();
    // What is to fill memory has to be there at the same time, and to stay.
    let crowded = pressed && choose.chance(60);
    let manners = Manners {
        refusals,
        slow,
        rude,
        stalls: if crowded { 60 } else { stalls },
        crowded,
        pressed,
        heal_at,
    };
    let count = choose.between(5, 19);
    (0..count).map(|_| flow(choose, pops, &manners)).collect()
}

/// How the flows of a run behave; the first four in percent.
struct Manners {
    refusals: u64,
    slow: u64,
    rude: u64,
    stalls: u64,
    /// All are there at the same time.
    crowded: bool,
    /// Memory is short.
    pressed: bool,
    heal_at: u64,
}

impl Manners {
    fn size(&self, choose: &mut Chooser) -> u64 {
        let large = if self.pressed { 600_000 } else { 300_000 };
        match choose.below(6) {
            0 => choose.below(3),
            1 => choose.below(2_000),
            2 => choose.below(large),
            3.. if self.crowded => 80_000 + choose.below(300_000),
            _ => choose.below(60_000),
        }
    }

    fn answer(&self, choose: &mut Chooser) -> Answer {
        match choose.below(100) {
            roll if roll < self.refusals / 2 => Answer::Refuses,
            roll if roll < self.refusals => Answer::Hangs,
            _ => Answer::Connects,
        }
    }

    /// Draws how one end of a flow behaves that starts then and is sent so much.
    fn habit(&self, choose: &mut Chooser, start: u64, incoming: u64) -> Habit {
        let (slow, rude, crowded) = (self.slow, self.rude, self.crowded);
        Habit {
            chunk: if crowded {
                64 << 10
            } else {
                [100, 1_500, 16 << 10, 64 << 10][choose.below(4) as usize]
            },
            pause: if crowded {
                0
            } else {
                [0, 2, 10, 100][choose.below(4) as usize]
            },
            reads_from: if choose.chance(slow) {
                choose.below(self.heal_at)
            } else {
                0
            },
            sends_after: if choose.chance(40) { incoming } else { 0 },
            stalls_at: choose
                .chance(self.stalls)
                .then(|| choose.below(incoming + 1)),
            stops_at: choose.chance(rude).then(|| choose.below(incoming + 1)),
            fails_at: choose.chance(rude / 2).then(|| choose.below(incoming + 1)),
            fails_from: choose.chance(rude / 2).then(|| start + choose.below(4_000)),
        }
    }
}

fn flow(choose: &mut Chooser, pops: usize, manners: &Manners) -> Flow {
    let (crowded, heal_at) = (manners.crowded, manners.heal_at);
    let start = 500 + choose.below(if crowded { 2_000 } else { heal_at * 3 / 4 });
    let up = manners.size(choose);
    let down = manners.size(choose);
    let mut client = manners.habit(choose, start, down);
    let mut target = manners.habit(choose, start, up);
    if client.fails() && choose.chance(30) {
        // Its last bytes have nowhere to go.
        target.stalls_at = Some(choose.below(up + 1));
    }
    if target.sends_after > 0 {
        // Two who wait for each other's last byte would wait for ever.
        client.sends_after = 0;
    }
    if target.sends_after > 0 && target.stalls_at.is_some() {
        // The client's idle wait is the target's doing; that is fine.
        client.stalls_at = None;
    }
    Flow {
        start,
        pop: choose.below(pops as u64) as usize,
        group: choose.between(1, 3) as u32,
        up,
        early: 0,
        down,
        dial: [0, 10, 300, 2_000][choose.below(4) as usize],
        answers: (0..3).map(|_| manners.answer(choose)).collect(),
        private: choose.chance(2),
        name: None,
        weight: 1,
        named: false,
        family: Family::Any,
        addresses: 0,
        strict: false,
        client,
        target,
    }
}

fn faults(choose: &mut Chooser, pops: usize, edges: usize, heal_at: u64) -> Vec<Timed> {
    let mut faults = Vec::new();
    // Some trouble is certain: every run that is not calm breaks carriers.
    let certain = choose.between(2, 4);
    for kind in 0..KINDS {
        let mut level = Level::draw(choose);
        let heavy = match kind {
            0 => 10,
            1..=5 => 6,
            6..=11 => 2,
            _ => 3,
        };
        if kind > 5 && choose.chance(50) {
            // What ends whole tunnels leaves little for other faults to strike.
            level = Level::Off;
        }
        let mut count = level.count(choose, heavy);
        if kind == 0 {
            count += certain;
        }
        for _ in 0..count {
            // Many at nearly the same time find more than the same number spread out.
            let at = if choose.chance(30) {
                let burst = 1_000 + choose.below(4) * heal_at / 5;
                burst + choose.below(50)
            } else {
                300 + choose.below(heal_at.saturating_sub(300))
            };
            let fault = fault(choose, kind, pops, edges);
            faults.push(Timed { at, fault });
        }
    }
    faults.sort_by_key(|timed| timed.at);
    faults
}

const KINDS: u64 = 18;

fn fault(choose: &mut Chooser, kind: u64, pops: usize, edges: usize) -> Fault {
    let edge = choose.below(edges as u64) as usize;
    let pop = choose.below(pops as u64) as usize;
    let way = if choose.chance(50) {
        Way::Up
    } else {
        Way::Down
    };
    match kind {
        0..=5 => link_fault(choose, kind, edge, way),
        6..=13 | 15..=17 => process_fault(choose, kind, edge, pop),
        _ => Fault::Forge {
            edge,
            way,
            message: forged(choose),
        },
    }
}

fn forged(choose: &mut Chooser) -> Forged {
    [
        Forged::Garbage,
        Forged::Overrun,
        Forged::Overrun,
        Forged::Ack,
        Forged::Hello,
        Forged::Creates,
        Forged::Creates,
        Forged::Stranger,
    ][choose.below(8) as usize]
}

/// What happens to what is on its way.
fn link_fault(choose: &mut Chooser, kind: u64, edge: usize, way: Way) -> Fault {
    let sees = |choose: &mut Chooser| {
        (!choose.chance(20)).then(|| [0, 3, 50, 1_000][choose.below(4) as usize])
    };
    let bytes = |choose: &mut Chooser| match choose.below(3) {
        0 => 0,
        1 => choose.below(200),
        _ => choose.below(40_000),
    };
    match kind {
        0 => Fault::Cut {
            edge,
            way: choose.chance(20).then_some(way),
            pop_sees: sees(choose),
            edge_sees: sees(choose),
            last_up: bytes(choose),
            last_down: bytes(choose),
        },
        1 => Fault::Freeze {
            edge,
            lasts: [100, 1_000, 6_000, 20_000][choose.below(4) as usize],
            edge_sees: sees(choose),
        },
        2 => Fault::LateHello {
            edge,
            lasts: choose.between(200, 9_000),
            edge_sees: choose.below(100),
        },
        3 => Fault::MuteAcks {
            edge,
            way,
            lasts: [500, 3_000, 18_000][choose.below(3) as usize],
        },
        4 => Fault::Lag {
            edge,
            by: choose.between(50, 2_000),
            lasts: choose.between(100, 5_000),
        },
        _ => Fault::Storm {
            sees: choose.below(300),
        },
    }
}

/// What happens to processes, and what they do.
fn process_fault(choose: &mut Chooser, kind: u64, edge: usize, pop: usize) -> Fault {
    match kind {
        6 => Fault::RestartEdge {
            edge,
            down: choose.below(5_000),
        },
        7 => Fault::Twin {
            edge,
            lasts: choose.between(100, 8_000),
        },
        8 => Fault::RestartPop {
            pop,
            down: choose.below(5_000),
        },
        9 => Fault::Drain { pop },
        10 => Fault::SuspendEdge {
            edge,
            lasts: [200, 4_000, 20_000][choose.below(3) as usize],
        },
        11 => Fault::SuspendPop {
            pop,
            lasts: [200, 4_000, 20_000][choose.below(3) as usize],
        },
        12 => Fault::Busy {
            pop,
            lasts: choose.between(500, 5_000),
            retry: choose.below(3) * 1_000,
        },
        13 => Fault::Decline {
            edge,
            lasts: choose.between(500, 10_000),
        },
        15 => Fault::Kick {
            edge,
            retry: [0, 500, 4_000][choose.below(3) as usize],
        },
        16 => Fault::SendAway {
            edge,
            patience: [0, 1_000, 60_000][choose.below(3) as usize],
        },
        _ => Fault::Slow {
            pop,
            rate: [5_000, 100_000, 1_000_000][choose.below(3) as usize],
            lasts: choose.between(200, 4_000),
        },
    }
}
