//! Users in scenarios: every kind of expectation about them is broken once.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use titan_sim::daemons::{How, Scenario, run};
use titan_sim::pure::Kind;

/// One flow of a user with a quota and a rate; `more` is added.
fn of_user(more: &str) -> Scenario {
    let text = format!(
        "about = \"A test.\"\nlasts = \"60s\"\n\
         [[users]]\nname = \"ann\"\nquota = \"8MiB\"\ndown = \"64KiB/s\"\n\
         [[flows]]\nname = \"a\"\nstart = \"6s\"\nuser = \"ann\"\ndown = \"500KiB\"\n\
         up = \"10KiB\"\n\
         {more}"
    );
    text.parse().unwrap()
}

/// Expects a violation whose message contains `words`.
fn told(more: &str, kind: Kind, words: &str) {
    let violation = run(&of_user(more), 1, How::default()).outcome.unwrap_err();
    assert_eq!(violation.kind, kind, "{violation}");
    assert!(violation.message.contains(words), "{violation}");
}

fn holds(more: &str) {
    run(&of_user(more), 1, How::default()).outcome.unwrap();
}

const KILL_POP: &str = "[[faults]]\nat = \"9s\"\nkill = { host = \"pop-1\", lasts = \"1s\" }\n";

#[test]
fn bytes_of_a_user_that_are_not_as_many_as_expected_are_told() {
    // What the flow moves, and the 48 bytes in which it says what it wants.
    let exact = "[[expect]]\nmoved = { user = \"ann\", at_least = \"522288B\", at_most = \"522288B\" }\n\
                 [[expect]]\ncharged = { user = \"ann\", at_least = \"522288B\", at_most = \"522288B\" }\n\
                 [[expect]]\nlost = { user = \"ann\", at_most = \"0B\" }";
    holds(exact);
    for (expect, words) in [
        (
            "moved = { user = \"ann\", at_most = \"522287B\" }",
            "522288 bytes of user ann are moved",
        ),
        (
            "moved = { user = \"ann\", at_least = \"522289B\" }",
            "522288 bytes of user ann are moved",
        ),
        (
            "charged = { user = \"ann\", at_most = \"522287B\" }",
            "522288 bytes of user ann are charged",
        ),
        (
            "lost = { user = \"ann\", at_least = \"1B\" }",
            "0 bytes of user ann are lost",
        ),
    ] {
        told(&format!("[[expect]]\n{expect}"), Kind::WrongResult, words);
    }
    let lost = "[[expect]]\nlost = { user = \"ann\", at_most = \"0B\" }";
    told(
        &format!("{KILL_POP}{lost}"),
        Kind::WrongResult,
        "are lost with their holders",
    );
}

#[test]
fn a_user_who_is_faster_or_slower_than_expected_is_told() {
    let speed = |down: u32| {
        format!(
            "[[expect]]\nspeed = {{ user = \"ann\", down = \"{down}KiB/s\", from = \"8s\", until = \"12s\" }}"
        )
    };
    holds(&speed(64));
    told(
        &speed(60),
        Kind::WrongResult,
        "bytes per second down: expected 61440",
    );
    told(
        &speed(68),
        Kind::WrongResult,
        "bytes per second down: expected 69632",
    );
}

#[test]
fn what_the_store_was_never_told_is_told() {
    // What the POP leaves on its disk nobody delivers.
    let trouble = "[[faults]]\nat = \"8s\"\nstore = { away = true, lasts = \"15s\" }\n\
                   [[faults]]\nat = \"12s\"\nstop = { host = \"pop-1\" }\n";
    let expect = "[[expect]]\nreset = { at_most = 1 }";
    told(
        &format!("{trouble}{expect}"),
        Kind::WrongResult,
        "and told Moved",
    );
    let later = "[[faults]]\nat = \"25s\"\nkill = { host = \"pop-1\", lasts = \"1s\" }\n";
    holds(&format!("{trouble}{later}{expect}"));
}

#[test]
fn an_operator_who_is_refused_or_never_done_is_told() {
    let act = |what: &str| format!("[[acts]]\nat = \"8s\"\n{what}\n[[expect]]\nreset = {{}}");
    holds(&act("set = { user = \"ann\", sessions = 3 }"));
    told(
        &act("set = { user = \"ann\", sessions = 0 }"),
        Kind::WrongResult,
        "with 400",
    );
    let dead = "[[faults]]\nat = \"7s\"\nkill = { host = \"manager\" }\n";
    let act = act("set = { user = \"ann\", sessions = 3 }");
    told(
        &format!("{dead}{act}"),
        Kind::NoProgress,
        "the operator is not done",
    );
}

#[test]
fn what_a_file_gets_wrong_about_users_is_told() {
    let wrong = |more: &str, words: &str| {
        let text = format!(
            "about = \"\"\nlasts = \"9s\"\n\
             [[users]]\nname = \"ann\"\n\
             [[users]]\nname = \"bob\"\nquota = \"1MiB\"\n\
             [[flows]]\nname = \"a\"\nstart = \"1s\"\n{more}"
        );
        let error = text.parse::<Scenario>().unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    let plain = "[[expect]]\ncomplete = {}\n";
    let with = |what: &str| format!("{plain}{what}");
    let act = |what: &str| format!("{plain}[[acts]]\nat = \"1s\"\n{what}");
    wrong(&format!("user = \"joe\"\n{plain}"), "no user \"joe\"");
    wrong(
        &format!("password = \"x\"\n{plain}"),
        "a password and no user",
    );
    wrong(
        &format!("user = \"ann\"\nmode = \"truthful\"\n{plain}"),
        "are fast",
    );
    wrong(&with("[[users]]\nname = \"ann\""), "two users \"ann\"");
    wrong(&with("[[users]]\nname = \"a-b\""), "no name for a user");
    wrong(
        &with("[[users]]\nname = \"joe\"\nexpires = \"1500ms\""),
        "whole number of seconds",
    );
    wrong(&act("delete = { user = \"joe\" }"), "no user \"joe\"");
    wrong(
        &act("set = { user = \"ann\", quota = \"1MiB\" }"),
        "no quota",
    );
    wrong(
        &act("add = { user = \"ann\", bytes = \"1MiB\" }"),
        "no quota",
    );
    wrong(&act("add = { user = \"bob\", size = \"1MiB\" }"), "size");
    wrong(
        &with("[[acts]]\ndelete = { user = \"ann\" }"),
        "an act says when",
    );
    let fault = |what: &str| format!("{plain}[[faults]]\nat = \"1s\"\n{what}");
    wrong(&fault("store = { away = true }"), "has to be mended");
    wrong(
        &fault("store = { lost_answers_percent = 60, lost_requests_percent = 60, lasts = \"1s\" }"),
        "at most 100",
    );
    let expect = |what: &str| format!("[[expect]]\n{what}");
    wrong(&expect("moved = { user = \"ann\" }"), "at_least or at_most");
    wrong(
        &expect("lost = { user = \"joe\", at_most = \"0B\" }"),
        "no user \"joe\"",
    );
    wrong(
        &expect("speed = { user = \"ann\", from = \"1s\", until = \"2s\" }"),
        "up or down",
    );
    wrong(
        &expect(
            "speed = { user = \"ann\", pop = 2, up = \"1KiB/s\", from = \"1s\", until = \"2s\" }",
        ),
        "a POP that is there",
    );
}
