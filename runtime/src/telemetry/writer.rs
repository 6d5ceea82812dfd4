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
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

/// How many bytes of lines may wait to be written, with [`LINE_COST`] for each: some ten thousand
/// lines, a burst that a disk takes within a second.
const QUEUE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a line costs beside its bytes.
const LINE_COST: usize = 64;

/// How long after a failed write the next is tried if no line comes, and the next of what was left out.
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
    /// The thread that writes.
    writer: OnceLock<ThreadId>,
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
            writer: OnceLock::new(),
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
        let verdict = self.0.kinds().admit(event, now);
        if verdict == Verdict::FirstLeftOut {
            self.0
                .queue()
                .tell_at
                .get_or_insert(now + LEFT_OUT_UNTOLD_MAX);
            self.0.news.notify_one();
        }
        verdict == Verdict::Admitted
    }

    /// Waits until all lines are written and what was left out is told, at most for `timeout`. The thread that
    /// writes waits for nothing: it would for itself.
    pub(super) fn flush(&self, timeout: Duration) {
        if self.0.writer.get() == Some(&thread::current().id()) {
            return;
        }
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

    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes lines as they come, for as long as the process lives. A panic costs a line, not the log.
    fn write(&self, mut out: Output<impl Write>) {
        self.writer.get_or_init(|| thread::current().id());
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
        match self.next(*lost > 0) {
            Next::Retry => drop(self.tell_lost(out, lost)),
            Next::TellLeftOut => self.tell_left_out(out, lost),
            Next::Entry(Entry::Lost(count)) => {
                *lost += count;
                drop(self.tell_lost(out, lost));
            }
            Next::Entry(Entry::Line(line)) => {
                let written = self.tell_lost(out, lost).and_then(|()| out.write(&line));
                *lost += u64::from(written.is_err());
            }
        }
    }

    /// Writes how many lines were lost, if any were.
    fn tell_lost(&self, out: &mut Output<impl Write>, lost: &mut u64) -> io::Result<()> {
        if *lost > 0 {
            let message = format!("{lost} lines of the log were lost");
            let told = Notice::warning("titan_runtime::telemetry", &message);
            out.write(&notice::line(self.format, &told))?;
            *lost = 0;
        }
        Ok(())
    }

    /// Writes how many events of each kind were left out. What is not written counts on, and is tried again.
    fn tell_left_out(&self, out: &mut Output<impl Write>, lost: &mut u64) {
        let left_out = self.kinds().left_out();
        for (id, kind, count) in left_out {
            let message = format!("{count} more like `{}` were left out", kind.message);
            let notice = Notice::warning(kind.target, &message);
            let line = notice::line(self.format, &notice);
            let written = self.tell_lost(out, lost).and_then(|()| out.write(&line));
            if written.is_err() {
                return;
            }
            self.kinds().told(&id, count);
        }
        // Whoever is left out meanwhile finds that it is to be told, or that this is still to come.
        let kinds = self.kinds();
        let more = !kinds.left_out().is_empty();
        self.queue().tell_at = more.then(|| Instant::now() + LEFT_OUT_UNTOLD_MAX);
        drop(kinds);
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
                // Should that fail.
                queue.tell_at = Some(now + RETRY);
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
