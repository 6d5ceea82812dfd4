//! Replays the corpora, and runs each target on random bytes for a moment.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use proptest::collection::vec;
use proptest::prelude::*;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use titan_fuzz::{TARGETS, Target};

/// Bytes that all corpora together may take.
const CORPORA_LEN_MAX: u64 = 300_000;

/// Runs every file of a target's corpus and returns the names of those that fail.
fn replay(target: Target, corpus: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(corpus)
        .unwrap_or_else(|error| panic!("{}: {error}", corpus.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 12, "{} holds too little", corpus.display());
    files.retain(|file| {
        let bytes = fs::read(file).unwrap();
        panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))).is_err()
    });
    files
        .iter()
        .map(|file| file.display().to_string())
        .collect()
}

#[test]
fn every_corpus_replays() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let failures: Vec<_> = TARGETS
        .iter()
        .flat_map(|target| replay(*target, &corpora.join(target.name)))
        .collect();
    assert!(failures.is_empty(), "these fail: {failures:#?}");
}

#[test]
fn the_corpora_stay_small() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let len: u64 = TARGETS
        .iter()
        .flat_map(|target| fs::read_dir(corpora.join(target.name)).unwrap())
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(len <= CORPORA_LEN_MAX, "{len} bytes");
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        ..ProptestConfig::with_cases(2000)
    })]

    #[test]
    fn random_bytes_are_harmless(bytes in vec(any::<u8>(), 0..400)) {
        for target in TARGETS {
            (target.run)(&bytes);
        }
    }
}
