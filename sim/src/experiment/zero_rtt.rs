//! How long the first byte of an answer takes, from sending the CONNECT request (requirement W13).
//!
//! The formulas count round trips: `a` client to POP, `b` POP to edge, `c` edge to target, and `d`, the
//! time to resolve the name. The target answers a request at once. The daemons are the real ones, in
//! [`net`](crate::net), so a connection costs its handshake.

pub use super::row::{Delays, Mode, Row};

use super::chart;
use crate::net::{Config, run};
use crate::overlay::{Demand, Destination, Overlay, Targets, read_reply};
use core::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What a measured time may exceed its formula by.
pub const TOLERANCE: f64 = 0.05;

/// Measures the time to the first byte, in milliseconds.
///
/// # Panics
/// Panics if the daemons do not come up or the session fails.
#[must_use]
pub fn measure(delays: Delays, mode: Mode) -> f64 {
    let early_bytes = (mode == Mode::Classic).then_some(0);
    measure_with(delays, mode, early_bytes)
}

/// Measures with a limit on early data; `None` is the edge's own.
///
/// # Panics
/// As [`measure`].
#[must_use]
pub fn measure_with(delays: Delays, mode: Mode, early_bytes: Option<u64>) -> f64 {
    run(Config::new(1), async |network| {
        let mut overlay = Overlay::new(&network).await;
        overlay.edge_config.early_bytes = early_bytes;
        overlay.start(1).await;
        let mut targets = Targets::new(&network);
        let target = targets.start(1).await;
        let half = |round_trip| Duration::from_millis(round_trip) / 2;
        network.set_delay("client", "pop", half(delays.a));
        network.set_delay("pop", "edge-1", half(delays.b));
        network.set_delay("edge-1", "target-1", half(delays.c));
        let lookup = Duration::from_millis(delays.d);
        network.name("target.test", vec![target.ip()], lookup);
        let client = overlay.client(mode.user());
        drop(client.login().await.expect("the cache is warm then"));

        let mut stream = client.login().await.expect("the user is let in");
        let start = network.now();
        let mut request = Destination::from(("target.test", target.port())).request();
        if mode == Mode::Eager {
            request.extend(ask());
        }
        stream.write_all(&request).await.expect("there is room");
        assert_eq!(read_reply(&mut stream).await.ok(), Some(0));
        if mode != Mode::Eager {
            stream.write_all(&ask()).await.expect("there is room");
        }
        let first = stream.read_u8().await;
        let took = network.now().since(start);
        assert!(first.is_ok(), "{first:?}");
        took.as_secs_f64() * 1e3
    })
}

/// Returns what asks a target for one byte.
fn ask() -> [u8; Demand::HEADER_LEN] {
    let demand = Demand {
        down: 1,
        ..Demand::default()
    };
    demand.header()
}

impl Row {
    /// Measures all modes.
    ///
    /// # Panics
    /// As [`measure`].
    #[must_use]
    pub fn measure(delays: Delays) -> Self {
        Self {
            delays,
            took: Mode::ALL.map(|mode| measure(delays, mode)),
        }
    }
}

/// What the experiment came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Named places of client, POP, edge and target.
    pub places: Vec<(&'static str, Row)>,
    /// The path from POP to edge grows, all else stays.
    pub sweep: Vec<Row>,
}

const PLACES: [(&str, Delays); 9] = [
    ("all in one city", delays(4, 4, 4, 5)),
    ("POP beside the client", delays(2, 80, 20, 20)),
    ("edge at home, far away", delays(10, 200, 30, 20)),
    ("edge in the next country", delays(20, 40, 20, 10)),
    ("target far from its edge", delays(20, 40, 150, 20)),
    ("client far from its POP", delays(150, 30, 20, 20)),
    ("slow name server", delays(20, 60, 20, 250)),
    ("mobile edge", delays(20, 120, 80, 60)),
    ("everything far", delays(150, 150, 150, 100)),
];

const fn delays(a: u64, b: u64, c: u64, d: u64) -> Delays {
    Delays { a, b, c, d }
}

/// Runs the experiment; `watch` hears how many of all rows are done.
pub fn experiment(mut watch: impl FnMut(usize, usize)) -> Report {
    let steps: Vec<u64> = (0..=20).map(|step| (step * 20).max(2)).collect();
    let all = PLACES.len() + steps.len();
    let mut done = 0;
    let mut row = |delays| {
        let row = Row::measure(delays);
        done += 1;
        watch(done, all);
        row
    };
    Report {
        places: PLACES
            .into_iter()
            .map(|(name, delays)| (name, row(delays)))
            .collect(),
        sweep: steps
            .into_iter()
            .map(|b| row(Delays { b, ..SWEPT }))
            .collect(),
    }
}

/// What stays while `b` grows.
const SWEPT: Delays = delays(80, 0, 30, 20);

impl Report {
    /// Returns all rows.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.places.iter().map(|(_, row)| row).chain(&self.sweep)
    }

    /// Returns the largest ratio of a measured time to its formula.
    #[must_use]
    pub fn worst(&self) -> f64 {
        self.rows().map(Row::worst).fold(0.0, f64::max)
    }

    /// Returns the least and the largest part of `than`'s time that `mode` saves.
    #[must_use]
    pub fn saves(&self, mode: Mode, than: Mode) -> (f64, f64) {
        let saved = self.rows().map(|row| row.saves(mode, than));
        saved.fold((1.0, 0.0), |(low, high), part| {
            (f64::min(low, part), f64::max(high, part))
        })
    }

    /// Draws the sweep as SVG.
    ///
    /// # Errors
    /// Returns why it could not be drawn.
    pub fn svg(&self) -> Result<String, String> {
        chart::draw(&self.sweep).map_err(|error| error.to_string())
    }
}
