//! Every kind of expectation is broken once, and every way a run can go wrong is told.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use titan_sim::daemons::{How, Scenario, run, shrink};
use titan_sim::pure::{Kind, Violation};

/// Three flows over one edge; `more` is added.
fn scenario(more: &str) -> Scenario {
    let text = format!(
        "about = \"A test.\"\nlasts = \"100s\"\n\
         [[flows]]\nname = \"a\"\ncount = 2\nstart = \"6s\"\nup = \"10KiB\"\ndown = \"10KiB\"\n\
         rounds = 10\nthink = \"100ms\"\n\
         [[flows]]\nname = \"b\"\nstart = \"6s\"\ndown = \"64KiB\"\n\
         {more}"
    );
    text.parse().unwrap()
}

fn outcome(more: &str) -> Result<(), Violation> {
    run(&scenario(more), 1, How::default()).outcome.map(drop)
}

/// Expects a wrong result whose message contains `words`, and all well without `fault`.
fn broken(fault: &str, expect: &str, words: &str) {
    let violation = outcome(&format!("{fault}\n[[expect]]\n{expect}")).unwrap_err();
    assert_eq!(violation.kind, Kind::WrongResult, "{violation}");
    assert!(violation.message.contains(words), "{violation}");
    if !fault.is_empty() {
        outcome(&format!("[[expect]]\n{expect}")).unwrap();
    }
}

const KILL: &str = "[[faults]]\nat = \"6500ms\"\nkill = { host = \"edge-1\", lasts = \"1s\" }";

#[test]
fn without_a_fault_everything_holds() {
    outcome(
        "[[expect]]\ncomplete = {}\n[[expect]]\nreset = {}\n[[expect]]\nrefused = {}\n\
         [[expect]]\nwithin = { time = \"10s\" }\n[[expect]]\nanswered = { within = \"1s\" }\n\
         [[expect]]\nresumed = { at_most = 0 }\n[[expect]]\nfailover = { at_most = 0 }\n\
         [[expect]]\nattached = { at_least = 1, at_most = 1 }\n[[expect]]\nempty = { within = \"5s\" }",
    )
    .unwrap();
}

#[test]
fn flows_that_are_not_complete_are_told() {
    broken(
        KILL,
        "complete = {}",
        "of 3 flows are complete: expected at least 3",
    );
    broken(
        KILL,
        "complete = { flows = \"a\" }",
        "0 of 2 a are complete",
    );
}

#[test]
fn flows_that_were_reset_are_told() {
    broken(
        KILL,
        "reset = {}",
        "2 of 3 flows are reset: expected at most 0",
    );
}

#[test]
fn flows_that_were_refused_are_told() {
    let down = "[[faults]]\nat = \"0s\"\nkill = { host = \"edge-1\" }";
    broken(
        down,
        "refused = {}",
        "3 of 3 flows are refused: expected at most 0",
    );
}

#[test]
fn slow_flows_and_slow_answers_are_told() {
    let hold = "[[faults]]\nat = \"6500ms\"\n\
                hold = { between = [\"edge-1\", \"pop-1\"], lasts = \"4s\" }";
    broken(
        hold,
        "within = { flows = \"a\", time = \"3s\" }",
        "a complete flow took 5",
    );
    broken(
        hold,
        "answered = { flows = \"a\", within = \"2s\" }",
        "an answer took 3.9",
    );
}

#[test]
fn unlike_flows_are_told() {
    broken(
        "",
        "alike = { flows = \"a\", than = \"b\", factor = 2.0 }",
        "a take 1.",
    );
    outcome("[[expect]]\nalike = { flows = \"b\", than = \"a\", factor = 1.0 }").unwrap();
}

#[test]
fn resumes_and_failovers_that_were_not_wanted_or_are_missing_are_told() {
    let cut = "[[faults]]\nat = \"6500ms\"\ncut = { between = [\"edge-1\", \"pop-1\"] }";
    broken(
        cut,
        "resumed = { at_most = 0 }",
        "tunnels were resumed 1 times: expected at most 0",
    );
    broken(
        "",
        "resumed = { at_least = 1 }",
        "tunnels were resumed 0 times",
    );
    broken(
        "",
        "failover = { at_least = 1 }",
        "sessions moved 0 times: expected at least 1",
    );
    broken(cut, "attached = { at_most = 1 }", "tunnels stood 2 times");
}

#[test]
fn a_process_that_has_not_ended_is_told() {
    broken("", "ended = { host = \"pop-1\" }", "pop-1 has not ended");
    outcome("[[faults]]\nat = \"9s\"\nstop = { host = \"pop-1\" }\n[[expect]]\nended = { host = \"pop-1\" }")
        .unwrap();
}

#[test]
fn an_edge_that_does_not_come_back_is_told() {
    let apart = "[[faults]]\nat = \"9s\"\nkill = { host = \"pop-1\" }";
    let expect = "[[expect]]\nempty = { within = \"20s\" }";
    let violation = outcome(&format!("{apart}\n{expect}")).unwrap_err();
    assert_eq!(violation.kind, Kind::NoProgress, "{violation}");
    assert!(
        violation
            .message
            .contains("after the last flow, edge-1 is not attached"),
        "{violation}"
    );
    outcome(expect).unwrap();
}

#[test]
fn flows_that_never_end_are_told() {
    let held = "[[faults]]\nat = \"6500ms\"\nhold = { between = [\"client\", \"pop-1\"] }";
    let mut scenario = scenario(&format!("{held}\n[[expect]]\nreset = {{}}"));
    scenario.lasts = "20s".parse().unwrap();
    let violation = run(&scenario, 1, How::default()).outcome.unwrap_err();
    assert_eq!(violation.kind, Kind::NoProgress, "{violation}");
    assert!(
        violation.message.contains("have not ended: a 1, a 2"),
        "{violation}"
    );
}

#[test]
fn a_failing_scenario_becomes_small_and_still_fails_from_its_file() {
    let noise = "[[faults]]\nat = \"1s\"\nclock = { host = \"pop-1\", jump = \"+1h\", lasts = \"1s\" }\n\
                 [[faults]]\nat = \"2s\"\ntimes = 3\nevery = \"1s\"\n\
                 clock = { host = \"edge-1\", jump = \"-1h\", lasts = \"500ms\" }\n";
    let scenario = scenario(&format!("{noise}{KILL}\n[[expect]]\nreset = {{}}"));
    let shrunk = shrink(&scenario, 1, 60).unwrap();
    assert_eq!(
        (shrunk.scenario.faults.len(), shrunk.scenario.flows.len()),
        (1, 1)
    );
    assert_eq!(shrunk.scenario.flows[0].count, 1);
    let text = shrunk.scenario.to_text("wrong");
    let again: Scenario = text.parse().unwrap();
    assert_eq!(again, shrunk.scenario, "{text}");
    let outcome = run(&again, again.seed, How::default()).outcome;
    assert_eq!(outcome.unwrap_err(), shrunk.violation);
}

#[test]
fn what_a_file_gets_wrong_is_told() {
    let wrong = |more: &str, words: &str| {
        let text = format!(
            "about = \"\"\nlasts = \"9s\"\nexpect = []\nflows = []\n[topology]\nedges = 2\n{more}"
        );
        let error = text.parse::<Scenario>().unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    let fault = |what: &str| format!("[[faults]]\nat = \"1s\"\n{what}");
    wrong("edgs = 3", "edgs");
    wrong("targets = 0", "topology.targets must not be 0");
    wrong("targets = 17", "22 hosts are more than 20");
    wrong("latency = \"9ms..2ms\"", "its end comes first");
    wrong("latency = \"9 ms\"", "is no time");
    wrong(&fault("kill = { host = \"edge-3\" }"), "no host \"edge-3\"");
    wrong(&fault("kill = { host = \"edge-1\", for = \"1s\" }"), "for");
    wrong(&fault("explode = {}"), "explode");
    wrong(
        &fault("times = 0\nkill = { host = \"edge-1\" }"),
        "once at least",
    );
    wrong(&fault("drain = { host = \"client\" }"), "no daemon");
    wrong(&fault("store = { errors_percent = 101 }"), "at most 100");
    wrong(
        &fault("slow-reader = { flows = \"x\", reads = \"1KiB/s\" }"),
        "no flows \"x\"",
    );
    wrong(
        &fault("hold = { between = [\"edge-1\", \"pop-1\"], one_way = true }"),
        "a hold is both ways",
    );
    wrong(
        "[[faults]]\nkill = { host = \"edge-1\" }",
        "a fault says when",
    );
}

#[test]
fn a_process_that_stands_still_answers_nobody_and_goes_on() {
    broken(
        "[[faults]]\nat = \"6500ms\"\nhang = { host = \"target-1\", lasts = \"3s\" }",
        "answered = { within = \"2s\" }",
        "an answer took",
    );
    outcome(
        "[[faults]]\nat = \"6500ms\"\nhang = { host = \"target-1\", lasts = \"3s\" }\n\
         [[expect]]\ncomplete = {}",
    )
    .unwrap();
}

#[test]
fn a_pop_that_gives_way_or_does_not_is_told() {
    let taken_over = "[[expect]]\ntaken-over = { host = \"pop-1\", until = \"9s\" }";
    let violation = outcome(taken_over).unwrap_err();
    assert_eq!(violation.kind, Kind::WrongResult, "{violation}");
    let words = "pop-1 has not given way";
    assert!(violation.message.contains(words), "{violation}");
    // A scenario that says nothing of it does not let it pass.
    let twin = "[topology]\npops = 2\ncopies = 2\n\
         [[flows]]\nname = \"c\"\nstart = \"8s\"\nup = \"60B\"\ndown = \"60B\"\nrounds = 60\n\
         think = \"1s\"\n\
         [[faults]]\nat = \"0s\"\nkill = { host = \"edges\", lasts = \"2s\" }\n\
         [[faults]]\nat = \"9s\"\nimpersonate = { host = \"pop-2\", id = \"pop-1\" }\n\
         [[expect]]\nreset = { at_least = 0 }";
    let violation = outcome(twin).unwrap_err();
    assert_eq!(violation.kind, Kind::Crash, "{violation}");
    let words = "another process has its id";
    assert!(violation.message.contains(words), "{violation}");
}
