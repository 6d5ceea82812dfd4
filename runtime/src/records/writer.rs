//! Between those who have records and the thread that writes them.

use super::files::Files;
use super::queue::{Loss, Queue, Waiting};
use super::record;
use core::time::Duration;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How long after a failed write, or a panic, the next is tried.
const RETRY: Duration = Duration::from_secs(1);

/// How often old files are looked for at least.
const TIDY_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Where lines are written.
pub(super) trait Sink {
    /// Writes whole lines at a Unix time, or nothing.
    fn write(&mut self, lines: &[u8], now: Duration) -> io::Result<()>;

    /// Removes what is too old.
    fn tidy(&mut self, now: Duration) -> io::Result<()>;

    /// How often that is worth a call.
    fn tidy_interval(&self) -> Duration;
}

impl Sink for Files {
    fn write(&mut self, lines: &[u8], now: Duration) -> io::Result<()> {
        Self::write(self, lines, now)
    }

    fn tidy(&mut self, now: Duration) -> io::Result<()> {
        Self::tidy(self, now)
    }

    fn tidy_interval(&self) -> Duration {
        Self::tidy_interval(self)
    }
}

/// The queue, and who waits for it.
#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    /// Something is in the queue, or it closes.
    news: Condvar,
    /// The writer has ended.
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    life: Life,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    Open,
    /// What waits is written, and nothing is waited for.
    Closing,
    /// Nobody writes any more.
    Ended,
}

/// What the writer is to do next.
enum Next {
    Line(Waiting),
    Tell(Vec<Loss>),
    Tidy,
    End,
}

impl Desk {
    pub(super) const fn new(queue: Queue) -> Self {
        Self {
            state: Mutex::new(State {
                queue,
                life: Life::Open,
            }),
            news: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    /// Puts a line behind the others, or counts it.
    pub(super) fn push(&self, user: &Arc<str>, line: Box<[u8]>) {
        self.state().queue.push(user, line);
        self.news.notify_one();
    }

    /// Tells whether there is still a writer to come.
    pub(super) fn is_open(&self) -> bool {
        self.state().life == Life::Open
    }

    /// Has the writer end once all is written, and waits for that; false if it took too long.
    pub(super) fn close(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        if state.life == Life::Open {
            state.life = Life::Closing;
        }
        self.news.notify_one();
        while state.life != Life::Ended {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return false;
            }
            let waited = self.ended.wait_timeout(state, rest);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Writes lines as they come, until the desk closes.
    pub(super) fn serve(&self, sink: impl Sink, clock: impl Fn() -> Duration) {
        let mut writer = Writer {
            desk: self,
            sink,
            clock,
            failing: false,
        };
        writer.run();
        let mut state = self.state();
        state.life = Life::Ended;
        let mut lost = 0;
        while let Some(waiting) = state.queue.take() {
            lost += waiting.lost + 1;
            state.queue.settle(&waiting);
        }
        let losses = state.queue.take_losses();
        lost += losses.iter().map(|loss| loss.lines).sum::<u64>();
        drop(state);
        if lost > 0 {
            tracing::warn!(
                lost,
                "records were lost at the end: they could not be written, and the files do not say whose"
            );
        }
        self.ended.notify_all();
    }

    /// Waits for what is to be done next.
    fn next(&self, tidy_at: Instant) -> Next {
        let mut state = self.state();
        loop {
            if let Some(waiting) = state.queue.take() {
                return Next::Line(waiting);
            }
            let losses = state.queue.take_losses();
            if !losses.is_empty() {
                return Next::Tell(losses);
            }
            if state.life != Life::Open {
                return Next::End;
            }
            let rest = tidy_at.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Next::Tidy;
            }
            let waited = self.news.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until a write may be tried again; false if there is no time for that.
    fn may_retry(&self) -> bool {
        let deadline = Instant::now() + RETRY;
        let mut state = self.state();
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            if state.life != Life::Open || rest.is_zero() {
                return state.life == Life::Open;
            }
            let waited = self.news.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that writes.
struct Writer<'a, S, C> {
    desk: &'a Desk,
    sink: S,
    clock: C,
    /// The last write failed, and that is told.
    failing: bool,
}

impl<S: Sink, C: Fn() -> Duration> Writer<'_, S, C> {
    fn run(&mut self) {
        let interval = self.sink.tidy_interval().min(TIDY_INTERVAL_MAX);
        self.tidy();
        let mut tidy_at = Instant::now() + interval;
        loop {
            match self.desk.next(tidy_at) {
                Next::Line(waiting) => {
                    if !self.line(&waiting) {
                        return;
                    }
                }
                Next::Tell(losses) => {
                    if !self.tell(losses) {
                        return;
                    }
                }
                Next::Tidy => {
                    self.tidy();
                    tidy_at = Instant::now() + interval;
                }
                Next::End => return,
            }
        }
    }

    /// Writes a line; false if the desk closes before that works.
    fn line(&mut self, waiting: &Waiting) -> bool {
        let (user, lost) = (&waiting.user, waiting.lost);
        let written = self.attempt("that record is lost, and counted", |this| {
            if lost == 0 {
                return this.write(&waiting.line);
            }
            let mut lines = record::lost(Some(&**user), lost, (this.clock)());
            lines.extend_from_slice(&waiting.line);
            this.write(&lines)
        });
        if lost > 0 && written == Some(true) {
            tell_of(lost);
        }
        let mut state = self.desk.state();
        if written != Some(true) {
            state.queue.lose(user, lost + 1);
        }
        state.queue.settle(waiting);
        drop(state);
        written.unwrap_or_else(|| self.desk.may_retry())
    }

    /// Writes what was lost; false if the desk closes before that works.
    fn tell(&mut self, losses: Vec<Loss>) -> bool {
        let lost: u64 = losses.iter().map(|loss| loss.lines).sum();
        let written = self.attempt("how many were lost is told later", |this| {
            let now = (this.clock)();
            let lines: Vec<u8> = losses
                .iter()
                .flat_map(|loss| record::lost(loss.user.as_deref(), loss.lines, now))
                .collect();
            this.write(&lines)
        });
        if written == Some(true) {
            tell_of(lost);
        } else {
            self.desk.state().queue.untold(losses);
        }
        written.unwrap_or_else(|| self.desk.may_retry())
    }

    /// Does a part of the work. A panic costs what it was about, which is told, and no more: whoever comes after
    /// is written.
    fn attempt<T>(&mut self, cost: &str, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(|| work(self))).ok();
        if done.is_none() {
            tracing::error!("writing records panicked: {cost}");
        }
        done
    }

    /// Writes until it works; false if the desk closes before.
    fn write(&mut self, lines: &[u8]) -> bool {
        loop {
            match self.sink.write(lines, (self.clock)()) {
                Ok(()) => {
                    if core::mem::take(&mut self.failing) {
                        tracing::info!("records are written again");
                    }
                    return true;
                }
                Err(error) => self.complain(&error),
            }
            if !self.desk.may_retry() {
                return false;
            }
        }
    }

    fn tidy(&mut self) {
        let cost = "old files stay until they are looked for again";
        let tidied = self.attempt(cost, |this| this.sink.tidy((this.clock)()));
        if let Some(Err(error)) = tidied {
            tracing::warn!(%error, "old records cannot be removed");
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if !core::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, "records cannot be written: they wait, and are lost beyond what may wait");
        }
    }
}

/// Says that lines were lost, once the file says whose.
fn tell_of(lost: u64) {
    tracing::warn!(lost, "records were lost: the file says whose");
}

#[cfg(test)]
mod tests;
