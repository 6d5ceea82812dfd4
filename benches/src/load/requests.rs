//! Small requests: on persistent connections, or on a new connection each.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{DONE, LoadArgs, Values, Window, seed, values};
use crate::failure::{Failure, Result};
use crate::flow::Exchange;
use crate::route::Route;

/// Exchanges on connections that were opened and used before the clock starts.
pub(super) async fn persistent(route: &Route, args: &LoadArgs) -> Result<Values> {
    let mut exchanges = Vec::with_capacity(args.streams);
    for index in 0..args.streams {
        let mut exchange = Exchange::new(route.open().await?, seed(index));
        exchange.round().await?;
        exchanges.push(exchange);
    }
    let window = args.window();
    let mut streams = JoinSet::new();
    for mut exchange in exchanges {
        streams.spawn(async move {
            // One round went before.
            let mut samples = Samples::new(window, 1);
            while samples.running() {
                exchange.round().await?;
                samples.record();
            }
            Ok(samples)
        });
    }
    summary(streams, window).await
}

/// Opens a connection for each request, `streams` of them at a time. Closing belongs to the work: it goes on at
/// the other processes while the next connection opens.
pub(super) async fn connecting(route: &Route, args: &LoadArgs) -> Result<Values> {
    let window = args.window();
    let mut streams = JoinSet::new();
    for index in 0..args.streams {
        let route = route.clone();
        streams.spawn(async move {
            let mut samples = Samples::new(window, 0);
            while samples.running() {
                Exchange::new(route.open().await?, seed(index))
                    .round()
                    .await?;
                samples.record();
            }
            Ok(samples)
        });
    }
    summary(streams, window).await
}

/// Durations of what one stream finished within the window, back to back.
struct Samples {
    window: Window,
    last: Instant,
    taken: Vec<Duration>,
    /// All that it finished, also outside of the window.
    done: u64,
}

impl Samples {
    fn new(window: Window, done: u64) -> Self {
        Self {
            window,
            last: Instant::now(),
            taken: Vec::new(),
            done,
        }
    }

    fn running(&self) -> bool {
        self.last < self.window.to
    }

    fn record(&mut self) {
        let now = Instant::now();
        if self.window.from <= now && now < self.window.to {
            self.taken.push(now - self.last);
        }
        self.last = now;
        self.done += 1;
    }
}

async fn summary(mut streams: JoinSet<Result<Samples>>, window: Window) -> Result<Values> {
    let mut all = Vec::new();
    let mut done = 0;
    while let Some(ended) = streams.join_next().await {
        let samples = ended??;
        all.extend(samples.taken);
        done += samples.done;
    }
    all.sort_unstable();
    let (Some(p50), Some(p99)) = (percentile(&all, 50), percentile(&all, 99)) else {
        return Err(Failure::new("no request finished in the measured time"));
    };
    Ok(values([
        ("p50", p50.as_secs_f64()),
        ("p99", p99.as_secs_f64()),
        ("per_second", all.len() as f64 / window.seconds()),
        (DONE, done as f64),
    ]))
}

/// The smallest sample that `percent` of the sorted samples do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}
