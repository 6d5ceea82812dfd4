//! The tool as scripts see it: what it prints and how it ends.

use std::path::Path;
use std::process::{Command, Output};

fn titan_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_titan-sim"))
        .args(arguments)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .expect("the tool is built")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns the line of a summary that begins with `name`.
fn line(output: &Output, name: &str) -> String {
    let text = text(output);
    let found = text.lines().find(|line| line.trim().starts_with(name));
    found
        .unwrap_or_else(|| panic!("no {name} in {text}"))
        .to_owned()
}

#[test]
fn two_processes_and_any_number_of_threads_come_to_the_same() {
    let run = |jobs| titan_sim(&["explore", "--seed", "7", "--count", "48", "--jobs", jobs]);
    let (one, again, three) = (run("1"), run("1"), run("3"));
    assert_eq!(one.status.code(), Some(0), "{}", text(&one));
    for name in ["trace of all", "events in all", "flows ended"] {
        assert_eq!(line(&one, name), line(&again, name));
        assert_eq!(line(&one, name), line(&three, name));
    }
}

#[test]
fn a_scenario_is_replayed_and_what_is_no_scenario_is_an_error() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scenarios/pure/hello-after-grace.toml")
        .display()
        .to_string();
    let replayed = titan_sim(&["replay", &kept]);
    assert_eq!(replayed.status.code(), Some(0));
    assert!(text(&replayed).contains("(twice)"), "{}", text(&replayed));
    assert_eq!(
        titan_sim(&["replay", "nowhere.toml"]).status.code(),
        Some(1)
    );
    assert_eq!(titan_sim(&["replay"]).status.code(), Some(2));
}

#[test]
fn a_path_never_taken_is_no_success() {
    let few = titan_sim(&["explore", "--seed", "7", "--count", "1", "--require-marks"]);
    assert_eq!(few.status.code(), Some(6), "{}", text(&few));
    assert!(text(&few).contains("never taken"));
}

/// A violation is told with the command that replays it and saved as a small file that says why.
#[cfg(feature = "planted")]
#[test]
fn a_violation_is_replayed_and_shrunk() {
    let found = titan_sim(&[
        "explore",
        "--bug",
        "FinBeforeData",
        "--seed",
        "0",
        "--count",
        "20",
        "--save",
        "found",
    ]);
    assert_eq!(found.status.code(), Some(3), "{}", text(&found));
    assert!(text(&found).contains("replay --seed"), "{}", text(&found));
    let generator = format!("eed {}:", titan_sim::pure::GENERATOR);
    assert!(text(&found).contains(&generator), "{}", text(&found));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("found");
    let file = std::fs::read_dir(&folder)
        .expect("the folder was made")
        .next()
        .expect("a file was saved")
        .expect("it can be read")
        .path();
    let saved = std::fs::read_to_string(&file).expect("it can be read");
    assert!(saved.starts_with("# wrong result: I"), "{saved}");
    assert!(saved.contains("# Replay it: cargo run"), "{saved}");
    assert!(saved.contains("--features planted -- replay"), "{saved}");
    assert!(saved.contains(".toml --bug FinBeforeData"), "{saved}");
    assert!(saved.contains(&generator), "{saved}");
    assert!(saved.lines().count() < 60, "{saved}");
    let name = file.display().to_string();
    assert_eq!(
        titan_sim(&["replay", &name, "--bug", "FinBeforeData"])
            .status
            .code(),
        Some(3)
    );
    assert_eq!(titan_sim(&["replay", &name]).status.code(), Some(0));
    std::fs::remove_dir_all(folder).expect("it was there");
}

#[cfg(feature = "planted")]
#[test]
fn a_run_that_gets_nowhere_ends_with_a_code_of_its_own() {
    let found = titan_sim(&[
        "explore",
        "--bug",
        "CreditSharedByGroup",
        "--seed",
        "1",
        "--count",
        "1",
    ]);
    assert_eq!(found.status.code(), Some(4), "{}", text(&found));
}
