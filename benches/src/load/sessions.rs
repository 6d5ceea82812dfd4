//! Many sessions for the memory measurements: short ones that use tunnels, idle ones that stay.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Held, LoadArgs, Values, seed, values};
use crate::failure::{Failure, Result};
use crate::flow::{self, Exchange, Header, Task};
use crate::pattern::Pattern;
use crate::route::Route;

/// Bytes a visit moves each way: buffers for bulk get used, while thousands of visits stay a matter of seconds.
const VISIT_LEN: u64 = 64 * 1024;

/// Rounds on each session before it is held idle.
const HOLD_ROUNDS: usize = 3;

/// Opens `count` sessions, `streams` at a time, each of which sends and then receives [`VISIT_LEN`] bytes on
/// connections of its own.
pub(super) async fn visit(route: &Route, args: &LoadArgs) -> Result<Values> {
    let began = Instant::now();
    let mut streams: JoinSet<Result<()>> = JoinSet::new();
    for first in 0..args.streams.min(args.count) {
        let (route, count, step) = (route.clone(), args.count, args.streams);
        streams.spawn(async move {
            for index in (first..count).step_by(step) {
                visit_once(&route, seed(index)).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = streams.join_next().await {
        ended??;
    }
    Ok(values([(
        "per_second",
        args.count as f64 / began.elapsed().as_secs_f64(),
    )]))
}

async fn visit_once(route: &Route, seed: u64) -> Result<()> {
    let mut stream = route.open().await?;
    stream
        .write_all(
            &Header {
                task: Task::Sink,
                seed,
                length: VISIT_LEN,
            }
            .encode(),
        )
        .await?;
    flow::send(&stream, Pattern::bulk(seed), VISIT_LEN).await?;
    stream.shutdown().await?;
    complete(stream.read_u64().await?)?;

    let mut stream = route.open().await?;
    stream
        .write_all(
            &Header {
                task: Task::Source,
                seed,
                length: VISIT_LEN,
            }
            .encode(),
        )
        .await?;
    complete(flow::receive(&stream, Pattern::bulk(!seed), |_| ()).await?)
}

fn complete(len: u64) -> Result<()> {
    if len == VISIT_LEN {
        return Ok(());
    }
    Err(Failure::new(format!("{len} of {VISIT_LEN} bytes arrived")))
}

/// Opens `count` sessions and leaves them idle.
pub(super) async fn hold(route: &Route, args: &LoadArgs) -> Result<(Values, Held)> {
    let mut held = Vec::with_capacity(args.count);
    for index in 0..args.count {
        let mut exchange = Exchange::new(route.open().await?, seed(index));
        for _ in 0..HOLD_ROUNDS {
            exchange.round().await?;
        }
        held.push(exchange);
    }
    Ok((values([("held", held.len() as f64)]), held))
}
