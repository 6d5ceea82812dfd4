//! Lines on their way to standard error.
//!
//! Whoever logs puts a line into a bounded queue and goes on; one thread writes. A disk that is full, a
//! reader that is gone or a pipe that nobody drains costs lines, which are counted, and nothing else:
//! no task waits, none fails.

use super::format::LogFormat;
use super::notice::{self, Notice};
use super::rate::{Kinds, Verdict};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

/// How many bytes of lines may wait to be written, with [`LINE_COST`] for each: some ten thousand
/// lines, a burst that a disk takes within a second.
const QUEUE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a line costs beside its bytes.
const LINE_COST: usize = 64;

/// How long after a failed write the next is tried if no line comes.
const RETRY: Duration = Duration::from_secs(1);

/// How long events that were left out may stay untold.
const LEFT_OUT_UNTOLD_MAX: Duration = Duration::from_secs(10);

/// A handle to the queue; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    format: LogFormat,
    queue: Mutex<Queue>,
    /// Something is in the queue, or something is to be told.
    news: Condvar,
    /// Everything is written.
    idle: Condvar,
    kinds: Mutex<Kinds>,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// What the entries cost.
    cost: usize,
    /// Lines that found no room since the last that did.
    lost: u64,
    /// The writer is at a line.
    writing: bool,
    /// When events that were left out are to be told.
    tell_at: Option<Instant>,
}

#[derive(Debug)]
enum Entry {
    Line(Box<[u8]>),
    /// So many lines found no room here.
    Lost(u64),
}

/// What the writer is to do next.
enum Next {
    Entry(Entry),
    TellLeftOut,
    Retry,
}

impl Lines {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// Fails if the thread cannot be started.
    pub(super) fn start(format: LogFormat, out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Self(Arc::new(Shared {
            format,
            queue: Mutex::default(),
            news: Condvar::new(),
            idle: Condvar::new(),
            kinds: Mutex::default(),
        }));
        let shared = Arc::clone(&lines.0);
        let out = Output { out, torn: false };
        thread::Builder::new()
            .name("titan-log".to_owned())
            .spawn(move || shared.write(out))?;
        Ok(lines)
    }

    /// Puts a line, its end included, behind the others, or counts it as lost if there is no room.
    pub(super) fn push(&self, line: &[u8]) {
        let cost = line.len() + LINE_COST;
        let mut queue = self.0.queue();
        if queue.cost + cost > QUEUE_BYTES_MAX {
            queue.lost += 1;
            return;
        }
        let lost = core::mem::take(&mut queue.lost);
        if lost > 0 {
            queue.entries.push_back(Entry::Lost(lost));
        }
        queue.cost += cost;
        queue.entries.push_back(Entry::Line(line.into()));
        drop(queue);
        self.0.news.notify_one();
    }

    /// Puts a line about the process or its log behind the others.
    pub(super) fn note(&self, notice: &Notice<'_>) {
        self.push(&notice::line(self.0.format, notice));
    }

    /// Tells whether an event of a kind may be logged now; see [`Kinds`].
    pub(super) fn admits(&self, event: &tracing::Event<'_>, now: Instant) -> bool {
        let mut kinds = self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = kinds.admit(event, now);
        drop(kinds);
        if verdict == Verdict::FirstLeftOut {
            self.0
                .queue()
                .tell_at
                .get_or_insert(now + LEFT_OUT_UNTOLD_MAX);
            self.0.news.notify_one();
        }
        verdict == Verdict::Admitted
    }

    /// Waits until all lines are written and what was left out is told, at most for `timeout`.
    pub(super) fn flush(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut queue = self.0.queue();
        if let Some(at) = &mut queue.tell_at {
            *at = Instant::now();
            self.0.news.notify_one();
        }
        while queue.writing || !queue.entries.is_empty() || queue.tell_at.is_some() {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            let waited = self.0.idle.wait_timeout(queue, rest);
            (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock, and a log outlives what does.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines as they come, for as long as the process lives. A panic costs a line, not the log.
    fn write(&self, mut out: Output<impl Write>) {
        let mut lost = 0;
        loop {
            let step = || self.step(&mut out, &mut lost);
            if catch_unwind(AssertUnwindSafe(step)).is_err() {
                lost += 1;
                out.torn = true;
            }
        }
    }

    /// Does what is to be done next.
    fn step(&self, out: &mut Output<impl Write>, lost: &mut u64) {
        let line = match self.next(*lost > 0) {
            Next::Retry => None,
            Next::TellLeftOut => return self.tell_left_out(out, lost),
            Next::Entry(Entry::Lost(count)) => {
                *lost += count;
                None
            }
            Next::Entry(Entry::Line(line)) => Some(line),
        };
        self.line(out, lost, line.as_deref());
    }

    /// Writes how many lines were lost, if any were, and then a line.
    fn line(&self, out: &mut Output<impl Write>, lost: &mut u64, line: Option<&[u8]>) {
        if *lost > 0 {
            let message = format!("{lost} lines of the log were lost");
            let told = Notice::warning("titan_runtime::telemetry", &message);
            if out.write(&notice::line(self.format, &told)).is_ok() {
                *lost = 0;
            } else {
                *lost += u64::from(line.is_some());
                return;
            }
        }
        if let Some(line) = line
            && out.write(line).is_err()
        {
            *lost += 1;
        }
    }

    fn tell_left_out(&self, out: &mut Output<impl Write>, lost: &mut u64) {
        let left_out = self
            .kinds
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take_left_out();
        for (kind, count) in left_out {
            let message = format!("{count} more like `{}` were left out", kind.message);
            let notice = Notice::warning(kind.target, &message);
            self.line(out, lost, Some(&notice::line(self.format, &notice)));
        }
    }

    /// Waits for what is to be done next.
    fn next(&self, retry: bool) -> Next {
        let retry_at = retry.then(|| Instant::now() + RETRY);
        let mut queue = self.queue();
        queue.writing = false;
        loop {
            if let Some(entry) = queue.entries.pop_front() {
                if let Entry::Line(line) = &entry {
                    queue.cost -= line.len() + LINE_COST;
                }
                queue.writing = true;
                return Next::Entry(entry);
            }
            // Nothing that found room came after these.
            let lost = core::mem::take(&mut queue.lost);
            if lost > 0 {
                queue.writing = true;
                return Next::Entry(Entry::Lost(lost));
            }
            let now = Instant::now();
            if queue.tell_at.is_some_and(|at| at <= now) {
                queue.tell_at = None;
                queue.writing = true;
                return Next::TellLeftOut;
            }
            if retry_at.is_some_and(|at| at <= now) {
                return Next::Retry;
            }
            self.idle.notify_all();
            let due = match (queue.tell_at, retry_at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            queue = match due {
                None => self
                    .news
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let waited = self.news.wait_timeout(queue, due - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// Where lines go.
struct Output<W> {
    out: W,
    /// The last write ended within a line.
    torn: bool,
}

impl<W: Write> Output<W> {
    /// Writes a line; one that was begun and not finished is ended first.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.out.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    self.torn = true;
                    rest = &rest[len..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.torn = false;
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for Lines {
    /// Takes one line; the formatter writes each at once. Never fails.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
