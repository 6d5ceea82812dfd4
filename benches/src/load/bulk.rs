//! Endless streams in one direction, counted at their receiver over a fixed window.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{DONE, LoadArgs, Values, seed, values};
use crate::failure::{Failure, Result};
use crate::flow::{self, Header, Task};
use crate::pattern::Pattern;
use crate::route::Route;
use crate::target::Control;

/// Receives from endless sources.
pub(super) async fn down(route: &Route, args: &LoadArgs) -> Result<Values> {
    let counted = Arc::new(AtomicU64::new(0));
    let mut streams = JoinSet::new();
    for (stream, seed) in open(route, args.streams, Task::Source).await? {
        let counted = counted.clone();
        streams.spawn(async move {
            let count = |len| {
                counted.fetch_add(len, Ordering::Relaxed);
            };
            flow::receive(&stream, Pattern::bulk(!seed), count)
                .await
                .map(drop)
        });
    }
    let window = args.window();
    run_until(&mut streams, window.from).await?;
    let (began, before) = (Instant::now(), counted.load(Ordering::Relaxed));
    run_until(&mut streams, window.to).await?;
    let after = counted.load(Ordering::Relaxed);
    rate(after - before, began.elapsed().as_secs_f64(), after)
}

/// Sends to sinks without end.
pub(super) async fn up(route: &Route, args: &LoadArgs) -> Result<Values> {
    let mut control = Control::connect(args.control).await?;
    let first = control.received().await?.bytes;
    let mut streams = JoinSet::new();
    for (stream, seed) in open(route, args.streams, Task::Sink).await? {
        streams.spawn(async move { flow::send(&stream, Pattern::bulk(seed), u64::MAX).await });
    }
    let window = args.window();
    run_until(&mut streams, window.from).await?;
    let before = control.received().await?;
    run_until(&mut streams, window.to).await?;
    let after = control.received().await?;
    let seconds = (after.nanos - before.nanos) as f64 / 1e9;
    rate(after.bytes - before.bytes, seconds, after.bytes - first)
}

async fn open(route: &Route, count: usize, task: Task) -> Result<Vec<(TcpStream, u64)>> {
    let mut streams = Vec::with_capacity(count);
    for index in 0..count {
        let seed = seed(index);
        let mut stream = route.open().await?;
        stream
            .write_all(
                &Header {
                    task,
                    seed,
                    length: u64::MAX,
                }
                .encode(),
            )
            .await?;
        streams.push((stream, seed));
    }
    Ok(streams)
}

/// Lets the streams run; none of them may end by itself.
async fn run_until(streams: &mut JoinSet<std::io::Result<()>>, at: Instant) -> Result<()> {
    tokio::select! {
        () = sleep_until(at) => Ok(()),
        Some(ended) = streams.join_next() => {
            ended??;
            Err(Failure::new("a stream without end ended"))
        }
    }
}

/// Gives the rate within the measured time, and all bytes for which processors worked.
fn rate(bytes: u64, seconds: f64, all: u64) -> Result<Values> {
    if bytes == 0 {
        return Err(Failure::new("no byte arrived in the measured time"));
    }
    Ok(values([
        ("bytes_per_second", bytes as f64 / seconds),
        (DONE, all as f64),
    ]))
}
