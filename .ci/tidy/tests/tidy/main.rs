//! Keeps the source in order: what a compiler and a formatter let pass and reviewers tire of.
//!
//! Exceptions that stand today are in `exceptions.txt`. The list only gets shorter: an exception that is larger
//! than needed fails, too, and so does a list of another length or sum than is stated here.

mod bugs;
mod callers;
mod circles;
mod comments;
mod exceptions;
mod lengths;
mod modules;
mod tree;

use exceptions::Exceptions;
use tree::{Source, Tree};

/// Bytes of pages that are read by whoever comes first.
const PAGES: [(&str, usize); 2] = [("ARCHITECTURE.md", 16 << 10), ("README.md", 9 << 10)];

/// How many exceptions there are, and the sum of their numbers.
const EXCEPTIONS: (usize, usize) = (26, 1688);

/// Fails with all findings at once.
fn report(findings: &[String]) {
    assert!(
        findings.is_empty(),
        "\n{} to put in order:\n  {}\n",
        findings.len(),
        findings.join("\n  ")
    );
}

#[test]
fn the_list_of_exceptions_is_as_long_as_stated() {
    assert_eq!(
        exceptions::extent(),
        EXCEPTIONS,
        "state how long the list is now, and never longer"
    );
}

#[test]
fn comments_stand_alone() {
    let tree = Tree::read();
    let rust = tree.paths().iter().filter(|path| path.ends_with(".rs"));
    let found: Vec<_> = rust
        .flat_map(|path| comments::leaning(path, &tree.text(path)))
        .collect();
    report(&found);
}

#[test]
fn functions_are_short() {
    let sources = Tree::read().sources();
    let long = sources.iter().flat_map(lengths::of_functions);
    report(&Exceptions::read("function").apply(long));
}

#[test]
fn public_items_have_callers() {
    let sources = Tree::read().sources();
    report(&Exceptions::read("public").apply(callers::missing(&sources)));
}

#[test]
fn a_planted_bug_is_one_call() {
    let sources = Tree::read().sources();
    report(&[bugs::scattered(&sources), bugs::heavy(&sources)].concat());
}

#[test]
fn modules_know_each_other_one_way() {
    let sources = Tree::read().sources();
    let circles = ["proto", "core", "runtime", "sim"]
        .into_iter()
        .flat_map(|package| circles::within(&modules::of_package(package, &sources)));
    report(&Exceptions::read("circle").apply(circles));
}

#[test]
fn what_a_build_leaves_is_not_in_the_tree() {
    let strays: Vec<_> = Tree::read()
        .paths()
        .iter()
        .filter(|path| is_built(path))
        .map(|path| format!("{path} lies in a target folder"))
        .collect();
    report(&strays);
}

#[test]
fn nothing_is_half_merged() {
    let tree = Tree::read();
    let texts = tree.paths().iter().filter(|path| is_text(path));
    let found: Vec<_> = texts
        .filter(|path| tree.text(path).lines().any(is_conflict))
        .map(|path| format!("{path} holds both sides of a conflict"))
        .collect();
    report(&found);
}

fn is_text(path: &str) -> bool {
    let kinds = [
        "rs", "md", "toml", "txt", "proto", "lua", "sql", "sh", "py", "lock",
    ];
    let name = path.rsplit('/').next().unwrap_or(path);
    let kind = name.rsplit_once('.').map(|(_, kind)| kind);
    // Programs of the shell have no ending; nor has what fuzzers begin with, which is no text.
    kind.map_or_else(|| path.starts_with(".ci/"), |kind| kinds.contains(&kind))
}

/// Tells whether a line is where one side of a conflict begins or the other ends.
fn is_conflict(line: &str) -> bool {
    ["<<<<<<< ", ">>>>>>> "]
        .iter()
        .any(|mark| line.starts_with(mark))
}

#[test]
fn a_conflict_is_told_by_its_first_or_last_line() {
    let lines = ["<<<<<<< ours", "=======", ">>>>>>> theirs", "< <<<<<<<< x"];
    assert_eq!(lines.map(is_conflict), [true, false, true, false]);
}

/// Tells whether a path leads through a folder that is called as those where cargo builds are.
fn is_built(path: &str) -> bool {
    let mut folders = path.split('/').rev().skip(1);
    folders.any(|folder| folder == "target")
}

#[test]
fn a_folder_called_target_is_found_anywhere() {
    assert!(is_built("target/x") && is_built("sim/target/violations/x"));
    assert!(is_built("core/src/target/tests.rs"));
    assert!(!is_built("core/src/target.rs") && !is_built("benches/src/target"));
}

#[test]
fn first_pages_are_short() {
    let tree = Tree::read();
    let long: Vec<_> = PAGES
        .iter()
        .filter_map(|(path, max)| {
            let len = tree.text(path).len();
            (len > *max).then(|| format!("{path} has {len} bytes of {max}"))
        })
        .collect();
    report(&long);
}

#[test]
fn nothing_is_taken_from_another_package_by_its_path() {
    let sources = Tree::read().sources();
    let taken: Vec<_> = sources.iter().flat_map(Source::foreign_paths).collect();
    report(&taken);
}
