//! Outputs that fail, stand still and come back.

use super::*;
use crate::telemetry::bound::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

const PATIENCE: Duration = Duration::from_secs(20);

/// Takes what it is told to, then fails, and hands on what it took.
struct Scripted {
    steps: mpsc::Receiver<Step>,
    left: usize,
    taken: mpsc::Sender<Vec<u8>>,
}

/// What an output does next.
enum Step {
    Take(usize),
    Fail,
    Panic,
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            match self.steps.recv() {
                Ok(Step::Take(len)) => self.left = len,
                Ok(Step::Fail) => return Err(io::ErrorKind::StorageFull.into()),
                Ok(Step::Panic) => panic!("on purpose: the output of the log"),
                // Nobody scripts it any more: it takes everything.
                Err(_) => self.left = usize::MAX,
            }
        }
        let len = bytes.len().min(self.left);
        self.left -= len;
        self.taken.send(bytes[..len].to_vec()).unwrap();
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log whose output is scripted.
fn scripted() -> (Lines, mpsc::Sender<Step>, mpsc::Receiver<Vec<u8>>) {
    let (script, steps) = mpsc::channel();
    let (taken, output) = mpsc::channel();
    let out = Scripted {
        steps,
        left: 0,
        taken,
    };
    let lines = Lines::start(LogFormat::Compact, out).unwrap();
    (lines, script, output)
}

fn text(output: &mpsc::Receiver<Vec<u8>>) -> String {
    String::from_utf8(output.try_iter().flatten().collect()).unwrap()
}

#[test]
fn lines_are_written_in_their_order() {
    let (lines, script, output) = scripted();
    drop(script);
    for line in ["one\n", "two\n", "three\n"] {
        lines.push(line.as_bytes());
    }
    lines.flush(PATIENCE);
    assert_eq!(text(&output), "one\ntwo\nthree\n");
}

#[test]
fn a_panic_costs_a_line_and_not_the_log() {
    let (lines, script, output) = scripted();
    script.send(Step::Panic).unwrap();
    drop(script);
    lines.push(b"one\n");
    lines.push(b"two\n");
    lines.flush(PATIENCE);
    let text = text(&output);
    assert!(
        text.contains("1 lines of the log were lost") && text.ends_with("two\n"),
        "{text}"
    );
    assert!(!text.contains("one"), "{text}");
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_told_once_they_can() {
    let (lines, script, output) = scripted();
    for _ in 0..3 {
        script.send(Step::Fail).unwrap();
    }
    // The first fails, and at the second and third how many were lost.
    for line in ["one\n", "two\n", "three\n"] {
        lines.push(line.as_bytes());
    }
    lines.flush(PATIENCE);
    assert_eq!(text(&output), "");
    drop(script);
    lines.push(b"four\n");
    lines.flush(PATIENCE);
    let text = text(&output);
    let (told, line) = text.trim_end().split_once('\n').unwrap();
    assert!(
        told.ends_with("WARN titan_runtime::telemetry: 3 lines of the log were lost"),
        "{told}"
    );
    assert_eq!(line, "four");
}

#[test]
fn a_loss_is_told_without_another_line() {
    let (lines, script, output) = scripted();
    script.send(Step::Fail).unwrap();
    lines.push(b"one\n");
    lines.flush(PATIENCE);
    drop(script);
    let told = output.recv_timeout(PATIENCE).unwrap();
    let told = String::from_utf8(told).unwrap();
    assert!(told.ends_with(" 1 lines of the log were lost\n"), "{told}");
}

#[test]
fn a_line_that_was_cut_off_is_not_joined_to_the_next() {
    let (lines, script, output) = scripted();
    script.send(Step::Take(2)).unwrap();
    script.send(Step::Fail).unwrap();
    lines.push(b"one\n");
    lines.flush(PATIENCE);
    drop(script);
    lines.push(b"two\n");
    lines.flush(PATIENCE);
    let text = text(&output);
    let rows: Vec<_> = text.lines().collect();
    assert_eq!((rows[0], rows[2]), ("on", "two"), "{text}");
    assert!(rows[1].ends_with(" 1 lines of the log were lost"), "{text}");
}

#[test]
fn an_output_that_stands_still_holds_nobody_up_and_costs_a_bounded_amount() {
    let (lines, script, output) = scripted();
    let line = [&[b'x'; 1_023][..], b"\n"].concat();
    let count = 10_000_u64;
    for _ in 0..count {
        lines.push(&line);
    }
    let queue = lines.0.queue();
    assert!(queue.cost <= QUEUE_BYTES_MAX);
    assert!(queue.lost > 0);
    drop(queue);
    // Whoever waits for the end of it waits for a while only.
    lines.flush(Duration::from_millis(10));
    drop(script);
    lines.flush(PATIENCE);
    lines.push(b"after\n");
    lines.flush(PATIENCE);
    let text = text(&output);
    let rows: Vec<_> = text.lines().collect();
    let [written @ .., told, last] = &rows[..] else {
        panic!("{} rows", rows.len());
    };
    let lost = count - written.len() as u64;
    assert!(
        told.ends_with(&format!(" {lost} lines of the log were lost")),
        "{told}"
    );
    assert_eq!(*last, "after");
}

/// Counts the events that are let pass.
struct Passing(Arc<AtomicU64>);

impl<S: tracing::Subscriber> Layer<S> for Passing {
    fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn what_was_left_out_is_told_once_it_can_be_written() {
    const EVENTS: u64 = 150;
    let (lines, script, output) = scripted();
    script.send(Step::Fail).unwrap();
    script.send(Step::Panic).unwrap();
    let passed = Arc::new(AtomicU64::new(0));
    let bounded = tracing_subscriber::registry()
        .with(Passing(Arc::clone(&passed)))
        .with(Bound(lines.clone()));
    tracing::subscriber::with_default(bounded, || {
        for _ in 0..EVENTS {
            tracing::info!("flood");
        }
    });
    drop(script);
    lines.flush(PATIENCE);
    let text = text(&output);
    let told: Vec<_> = text
        .lines()
        .filter(|line| line.contains("left out"))
        .collect();
    assert_eq!(told.len(), 1, "{text}");
    let left_out = EVENTS - passed.load(Ordering::Relaxed);
    let words = format!(" {left_out} more like `flood` were left out");
    assert!(left_out > 0 && told[0].ends_with(&words), "{text}");
}

/// Asks from within a write that everything be written.
struct Impatient(Arc<OnceLock<Lines>>, mpsc::Sender<Duration>);

impl Write for Impatient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let begun = Instant::now();
        self.0.wait().flush(PATIENCE);
        self.1.send(begun.elapsed()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_thread_that_writes_does_not_wait_for_itself() {
    let (own, (tell, waited)) = (Arc::new(OnceLock::new()), mpsc::channel());
    let out = Impatient(Arc::clone(&own), tell);
    let lines = Lines::start(LogFormat::Compact, out).unwrap();
    own.set(lines.clone()).unwrap();
    lines.push(b"one\n");
    let waited = waited.recv_timeout(2 * PATIENCE).unwrap();
    assert!(waited < PATIENCE / 2, "{waited:?}");
}
