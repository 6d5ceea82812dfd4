use super::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const PATIENCE: Duration = Duration::from_secs(30);

/// A disk that is full while it is told to be.
#[derive(Clone, Default)]
struct Disk(Arc<Platters>);

#[derive(Default)]
struct Platters {
    full: AtomicBool,
    /// Writing what begins with this panics, if it is set.
    poison: Mutex<Option<&'static str>>,
    panics: AtomicU64,
    failures: AtomicU64,
    text: Mutex<String>,
    news: Condvar,
}

impl Sink for Disk {
    fn write(&mut self, lines: &[u8], _: Duration) -> io::Result<()> {
        let lines_text = std::str::from_utf8(lines).unwrap();
        let poison = *self.0.poison.lock().unwrap();
        if poison.is_some_and(|poison| lines_text.starts_with(poison)) {
            self.0.panics.fetch_add(1, Ordering::Relaxed);
            // Whoever waits has looked before, or looks behind.
            drop(self.0.text.lock().unwrap());
            self.0.news.notify_all();
            panic!("on purpose: lines that cannot be written");
        }
        let mut text = self.0.text.lock().unwrap();
        let outcome = if self.0.full.load(Ordering::Relaxed) {
            self.0.failures.fetch_add(1, Ordering::Relaxed);
            Err(io::ErrorKind::StorageFull.into())
        } else {
            text.push_str(lines_text);
            Ok(())
        };
        drop(text);
        self.0.news.notify_all();
        outcome
    }

    fn tidy(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn tidy_interval(&self) -> Duration {
        TIDY_INTERVAL_MAX
    }
}

impl Disk {
    /// Waits until something holds for what was written.
    fn wait(&self, until: impl Fn(&str) -> bool) -> String {
        let text = self.0.text.lock().unwrap();
        let waited = self
            .0
            .news
            .wait_timeout_while(text, PATIENCE, |text| !until(text));
        let (text, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "{text:.1000}");
        text.clone()
    }
}

/// A desk that writes to a disk, and its thread.
fn start(disk: &Disk, cost_max: usize) -> (Arc<Desk>, thread::JoinHandle<()>) {
    let desk = Arc::new(Desk::new(Queue::new(cost_max)));
    let (own, disk) = (Arc::clone(&desk), disk.clone());
    let thread = thread::spawn(move || own.serve(disk, || Duration::from_secs(1)));
    (desk, thread)
}

fn line(text: &str) -> Box<[u8]> {
    format!("{text}\n").into_bytes().into()
}

/// How many lines of ann's a line tells to be lost.
fn lost_of_ann(line: &str) -> Option<usize> {
    let rest = line.strip_prefix(r#"{"user":"ann","lost":"#)?;
    rest.split(',').next()?.parse().ok()
}

#[test]
fn a_flood_on_a_full_disk_hides_no_line_of_another_and_is_counted() {
    let disk = Disk::default();
    disk.0.full.store(true, Ordering::Relaxed);
    let (desk, thread) = start(&disk, 64 * 1024);
    let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
    for number in 0..5_000 {
        desk.push(&ann, line(&format!("ann {number}")));
    }
    desk.push(&bob, line("bob was here"));
    for number in 5_000..10_000 {
        desk.push(&ann, line(&format!("ann {number}")));
    }
    disk.wait(|_| disk.0.failures.load(Ordering::Relaxed) > 0);
    disk.0.full.store(false, Ordering::Relaxed);
    let text = disk.wait(|text| {
        let written = text.lines().filter(|line| line.starts_with("ann ")).count();
        let lost: usize = text.lines().filter_map(lost_of_ann).sum();
        written + lost == 10_000
    });
    assert_eq!(text.matches("bob was here").count(), 1);
    let told = |text: &str| text.contains(r#"{"user":"bob""#);
    assert!(!told(&text), "nothing of bob's was lost");
    assert!(text.contains("ann 0\n") && !text.contains("ann 9999\n"));
    assert!(desk.close(PATIENCE));
    thread.join().unwrap();
}

#[test]
fn a_line_that_panics_is_counted_and_those_behind_it_are_written() {
    let disk = Disk::default();
    *disk.0.poison.lock().unwrap() = Some("poison");
    let (desk, thread) = start(&disk, 1 << 20);
    let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
    desk.push(&ann, line("poison"));
    desk.push(&bob, line("bob was here"));
    desk.push(&ann, line("ann was here"));
    let text = disk.wait(|text| {
        let lost: usize = text.lines().filter_map(lost_of_ann).sum();
        text.contains("ann was here") && lost == 1
    });
    assert!(text.contains("bob was here"), "{text}");
    assert!(desk.close(PATIENCE));
    thread.join().unwrap();
}

#[test]
fn what_was_lost_is_told_once_more_if_telling_it_panics() {
    const TOLD: &str = r#"{"user":"ann","lost""#;
    let disk = Disk::default();
    disk.0.full.store(true, Ordering::Relaxed);
    *disk.0.poison.lock().unwrap() = Some(TOLD);
    let (desk, thread) = start(&disk, 1_024);
    let ann: Arc<str> = "ann".into();
    for number in 0..100 {
        desk.push(&ann, line(&number.to_string()));
    }
    disk.0.full.store(false, Ordering::Relaxed);
    // Nothing of hers waits behind what was lost.
    disk.wait(|_| disk.0.panics.load(Ordering::Relaxed) > 0);
    *disk.0.poison.lock().unwrap() = None;
    let text = disk.wait(|text| text.contains(TOLD));
    let lost: usize = text.lines().filter_map(lost_of_ann).sum();
    let written = text.lines().filter(|line| !line.starts_with(TOLD)).count();
    assert!(lost > 0 && written + lost == 100, "{text}");
    assert!(desk.close(PATIENCE));
    thread.join().unwrap();
}

#[test]
fn what_was_lost_and_cannot_be_told_does_not_hold_up_the_end() {
    let disk = Disk::default();
    disk.0.full.store(true, Ordering::Relaxed);
    // There is room for no line.
    let (desk, thread) = start(&disk, 0);
    desk.push(&"ann".into(), line("a line"));
    disk.wait(|_| disk.0.failures.load(Ordering::Relaxed) > 0);
    assert!(desk.close(PATIENCE));
    thread.join().unwrap();
}

#[test]
fn what_waits_is_written_at_the_end() {
    let disk = Disk::default();
    let (desk, thread) = start(&disk, 1 << 20);
    let ann: Arc<str> = "ann".into();
    for number in 0..1000 {
        desk.push(&ann, line(&number.to_string()));
    }
    assert!(desk.close(PATIENCE));
    thread.join().unwrap();
    let text = disk.0.text.lock().unwrap();
    let numbers: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_disk_that_stays_full_does_not_hold_up_the_end() {
    let disk = Disk::default();
    disk.0.full.store(true, Ordering::Relaxed);
    let (desk, thread) = start(&disk, 1 << 20);
    desk.push(&"ann".into(), line("a line"));
    disk.wait(|_| disk.0.failures.load(Ordering::Relaxed) > 0);
    assert!(desk.close(PATIENCE));
    thread.join().unwrap();
    assert!(disk.0.text.lock().unwrap().is_empty());
}
