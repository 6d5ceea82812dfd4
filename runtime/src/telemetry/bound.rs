//! Where events beyond the rate of their kind are left out.

use super::writer::Lines;
use std::time::Instant;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Asks of each event, `debug` and `trace` aside, whether the log takes it.
#[derive(Debug)]
pub(super) struct Bound(pub(super) Lines);

impl<S: Subscriber> Layer<S> for Bound {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        *event.metadata().level() > Level::INFO || self.0.admits(event, Instant::now())
    }
}
