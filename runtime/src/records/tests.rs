//! The thread that writes: when it starts, and when it does not.

use super::*;
use crate::env::tokio::TokioEnv;
use std::fs;
use std::path::Path;
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(30);

fn open(directory: &Path) -> Records<TokioEnv> {
    let config = RecordsConfig::default();
    Records::open(TokioEnv::new(), directory.to_owned(), &config).unwrap()
}

fn push(records: &Records<TokioEnv>, target: &str) {
    let record = Record {
        pop: "pop",
        user: "ann",
        user_id: 1,
        target,
        address: None,
        node: None,
        exit: None,
        started_at_ms: Duration::ZERO,
        ended_at_ms: Duration::ZERO,
        uploaded: 0,
        downloaded: 0,
        code: "ok",
        whose: None,
        trace: "0",
    };
    records.push(&"ann".into(), &record);
}

/// Returns all that is in the files.
fn text(directory: &Path) -> String {
    let files = fs::read_dir(directory).into_iter().flatten();
    let texts = files.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    texts.collect()
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

#[test]
fn a_thread_that_has_ended_is_followed_by_another_which_writes_what_waits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let records = open(&path);
    // As if it had died before it took anything.
    let dead = thread::spawn(|| ());
    eventually("it ends", || dead.is_finished());
    records.desk.push(&"ann".into(), Box::from(&b"first\n"[..]));
    *records.lock() = Some(dead);
    push(&records, "second");
    eventually("both are written", || text(&path).contains("second"));
    assert!(text(&path).starts_with("first\n"), "{}", text(&path));
}

#[test]
fn a_desk_that_is_closed_has_no_thread_started_and_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records");
    let records = open(&path);
    push(&records, "before");
    records.close();
    let before = text(&path);
    assert!(before.contains("before"), "{before}");
    push(&records, "after");
    assert!(records.lock().is_none(), "nobody would wait for it");
    drop(records);
    assert_eq!(text(&path), before);
}
