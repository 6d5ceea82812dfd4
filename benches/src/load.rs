//! The load generator, a process of its own that measures one way to the target and prints one line of JSON.

mod bulk;
mod requests;
mod sessions;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::Instant;

use crate::failure::Result;
use crate::pattern::mix;
use crate::route::{Login, Route};

/// Names and values a load found out.
pub(crate) type Values = BTreeMap<String, f64>;

/// What a load with a window did in all, before and after the window too: bytes, requests or connections. Processor
/// time is counted over the same stretch.
pub(crate) const DONE: &str = "done";

/// Environment variable that carries the password to a load: arguments are public.
pub(crate) const PASSWORD_VARIABLE: &str = "TITAN_BENCH_PASSWORD";

/// What a load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Downloads on all streams; gives `bytes_per_second`, counted here.
    Down,
    /// Uploads on all streams; gives `bytes_per_second`, counted at the target.
    Up,
    /// Requests and responses on persistent streams; gives `p50`, `p99` (seconds) and `per_second`.
    Exchange,
    /// A new connection for each request; gives `p50`, `p99` (seconds) and `per_second`.
    Connect,
    /// Opens `count` short sessions that move some data both ways, `streams` at a time; gives `per_second`.
    Visit,
    /// Opens `count` sessions, uses each once, and holds them idle until the end of standard input; gives `held`.
    Hold,
}

/// Arguments of the hidden `load` subcommand.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoadArgs {
    /// What to do.
    #[arg(long)]
    pub(crate) work: Work,
    /// First relay or proxy.
    #[arg(long)]
    pub(crate) via: SocketAddr,
    /// User of the SOCKS5 proxy; without it `via` is a plain relay.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Where the traffic ends.
    #[arg(long)]
    pub(crate) target: SocketAddr,
    /// Where the target tells what it received.
    #[arg(long)]
    pub(crate) control: SocketAddr,
    /// Streams at once.
    #[arg(long, default_value_t = 1)]
    pub(crate) streams: usize,
    /// Sessions of the works that have a number of them.
    #[arg(long, default_value_t = 0)]
    pub(crate) count: usize,
    /// Time before the measured window.
    #[arg(long, default_value_t = 0)]
    pub(crate) warmup_ms: u64,
    /// Length of the measured window.
    #[arg(long, default_value_t = 0)]
    pub(crate) duration_ms: u64,
}

impl LoadArgs {
    /// Gives the arguments that parse to `self` again.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let work = self
            .work
            .to_possible_value()
            .map(|value| value.get_name().to_owned());
        let mut arguments = vec!["load".to_owned()];
        let mut push = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        push("--work", work.unwrap_or_default());
        push("--via", self.via.to_string());
        push("--target", self.target.to_string());
        push("--control", self.control.to_string());
        push("--streams", self.streams.to_string());
        push("--count", self.count.to_string());
        push("--warmup-ms", self.warmup_ms.to_string());
        push("--duration-ms", self.duration_ms.to_string());
        if let Some(user) = &self.user {
            push("--user", user.clone());
        }
        arguments
    }

    fn route(&self) -> Route {
        let login = self.user.clone().map(|user| Login {
            user,
            password: std::env::var(PASSWORD_VARIABLE).unwrap_or_default(),
        });
        Route {
            via: self.via,
            login,
            target: self.target,
        }
    }

    fn window(&self) -> Window {
        let from = Instant::now() + Duration::from_millis(self.warmup_ms);
        Window {
            from,
            to: from + Duration::from_millis(self.duration_ms),
        }
    }
}

/// The measured time; what ends outside does not count.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Instant,
    to: Instant,
}

impl Window {
    fn seconds(self) -> f64 {
        (self.to - self.from).as_secs_f64()
    }
}

/// Does the work. A load that holds sessions returns them too: they end when they are dropped.
pub(crate) async fn run(args: &LoadArgs) -> Result<(Values, Held)> {
    let route = args.route();
    let nothing = Held::default();
    Ok(match args.work {
        Work::Down => (bulk::down(&route, args).await?, nothing),
        Work::Up => (bulk::up(&route, args).await?, nothing),
        Work::Exchange => (requests::persistent(&route, args).await?, nothing),
        Work::Connect => (requests::connecting(&route, args).await?, nothing),
        Work::Visit => (sessions::visit(&route, args).await?, nothing),
        Work::Hold => sessions::hold(&route, args).await?,
    })
}

/// Sessions that stay open.
pub(crate) type Held = Vec<crate::flow::Exchange>;

/// Gives each stream of a load its own content.
fn seed(stream: usize) -> u64 {
    mix(stream as u64 ^ 0x5eed)
}

fn values<const N: usize>(values: [(&str, f64); N]) -> Values {
    values.map(|(name, value)| (name.to_owned(), value)).into()
}
