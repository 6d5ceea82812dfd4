//! Every log line of everything in a run, hashed and, if asked for, kept.

use super::clock;
use super::findings::{HASH_START, hash};
use core::fmt;
use std::cell::RefCell;
use std::io;
use tracing::subscriber::with_default;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Most bytes kept of a line; the hash is that of all of it.
const LINE_MAX: usize = 200;

/// What was logged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// How many lines.
    pub count: u64,
    /// The hash of all of them, their times included.
    pub hash: u64,
    /// The lines and the hash of each, if they were kept.
    pub lines: Vec<(u64, String)>,
}

impl Trace {
    /// Returns the first line in which two runs differ: its number, and what each has there.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<(usize, String, String)> {
        let line = |trace: &Self, index: usize| {
            let text = trace.lines.get(index).map(|(_, text)| text.clone());
            text.unwrap_or_else(|| "(nothing)".to_owned())
        };
        let longest = self.lines.len().max(other.lines.len());
        let differs = |index: &usize| self.lines.get(*index) != other.lines.get(*index);
        let index = (0..longest).find(differs)?;
        Some((index + 1, line(self, index), line(other, index)))
    }
}

struct Sink {
    trace: Trace,
    keep: bool,
}

thread_local! {
    static SINK: RefCell<Option<Sink>> = const { RefCell::new(None) };
}

/// Runs `f` and traces it.
pub(super) fn traced<T>(keep: bool, f: impl FnOnce() -> T) -> (T, Trace) {
    let trace = Trace {
        hash: HASH_START,
        ..Trace::default()
    };
    SINK.set(Some(Sink { trace, keep }));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_timer(SimTime)
        .with_writer(ToSink)
        .finish();
    let out = with_default(subscriber, f);
    let trace = SINK.take().map(|sink| sink.trace).unwrap_or_default();
    (out, trace)
}

struct SimTime;

impl FormatTime for SimTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:>9.6}", clock::now().as_secs_f64())
    }
}

struct ToSink;

impl MakeWriter<'_> for ToSink {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl io::Write for ToSink {
    /// Takes one line; the formatter writes each at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        SINK.with_borrow_mut(|sink| {
            let Some(Sink { trace, keep }) = sink else {
                return;
            };
            trace.count += 1;
            trace.hash = hash(trace.hash, line);
            if *keep {
                let text = String::from_utf8_lossy(&line[..line.len().min(LINE_MAX)]);
                let text = text.trim_end().to_owned();
                trace.lines.push((hash(HASH_START, line), text));
            }
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
