//! Sticky sessions: one node per name, however sessions race and tunnels go.

use crate::common::{Rig, config, demand, millis, secs};
use titan_core::endpoint::{CloseMode, Config, Open, SessionId};
use titan_core::exit::lease::{SessionName, Sticky};
use titan_proto::{Code, Frame};

fn named(name: &str) -> Open {
    Open {
        sticky: Some(Sticky {
            owner: 0,
            name: SessionName::new(name).unwrap(),
            strict: false,
        }),
        ..demand()
    }
}

fn strict(name: &str) -> Open {
    let mut open = named(name);
    open.sticky.as_mut().unwrap().strict = true;
    open
}

fn node(rig: &Rig, id: SessionId) -> String {
    rig.pop.node_of(id).unwrap().to_owned()
}

fn edge_of(rig: &Rig, id: SessionId) -> usize {
    let node = node(rig, id);
    rig.edges.iter().position(|site| site.node == node).unwrap()
}

fn close(rig: &mut Rig, id: SessionId) {
    rig.pop.close(rig.now, id, Code::Ok, CloseMode::Abort);
    rig.run();
}

#[test]
fn however_many_race_they_share_one_node() {
    let mut rig = Rig::new(config(), 8);
    let ids: Vec<SessionId> = (0..50)
        .map(|_| rig.pop.open(rig.now, named("a")).unwrap())
        .collect();
    rig.run();
    let first = node(&rig, ids[0]);
    assert!(ids.iter().all(|&id| node(&rig, id) == first));
    assert_eq!(rig.pop.usage().leases, 1);
    // Another user's session of the same name is another lease.
    let mut others = named("a");
    others.group = 2;
    others.sticky.as_mut().unwrap().owner = 2;
    rig.open_with(others);
    assert_eq!(rig.pop.usage().leases, 2);
}

#[test]
fn a_lease_outlasts_its_holders_by_the_idle_time_exactly() {
    let idle = secs(600);
    for (wait, leases) in [(idle - millis(1), 1), (idle, 0)] {
        let mut rig = Rig::new(config(), 8);
        let id = rig.open_with(named("a"));
        let first = node(&rig, id);
        close(&mut rig, id);
        rig.wait(wait);
        assert_eq!(rig.pop.usage().leases, leases, "after {wait:?}");
        if leases == 1 {
            let again = rig.open_with(named("a"));
            assert_eq!(node(&rig, again), first);
            rig.wait(secs(1));
            assert_eq!(rig.pop.usage().leases, 1, "held again");
        }
    }
}

#[test]
fn a_name_that_finds_no_other_exit_is_forgotten_in_its_time() {
    let mut rig = Rig::new(config(), 1);
    let id = rig.open_with(named("a"));
    rig.pop.kick(rig.now, "node-0", Code::Kicked, secs(5000));
    rig.run();
    assert_eq!(rig.ended(id), Some(Code::ExitAway));
    close(&mut rig, id);
    assert_eq!(rig.pop.usage().leases, 1);
    rig.wait(secs(600));
    assert_eq!(rig.pop.usage().leases, 0);
}

#[test]
fn leases_that_end_together_are_forgotten_by_and_by() {
    const COUNT: usize = 1_000;
    let mut rig = Rig::new(config(), 2);
    for nth in 0..COUNT {
        let open = rig.pop.open(rig.now, named(&format!("n{nth}")));
        let id = open.unwrap();
        rig.pop.close(rig.now, id, Code::Ok, CloseMode::Abort);
    }
    rig.run();
    let until = rig.now + secs(600);
    rig.wait(secs(600) - millis(1));
    assert_eq!(rig.pop.usage().leases, COUNT);
    rig.now = until;
    rig.pop.handle_timeout(until);
    for site in &mut rig.edges {
        site.core.handle_timeout(until);
    }
    let left = rig.pop.usage().leases;
    assert!((1..COUNT).contains(&left), "{left} of {COUNT} are left");
    let next = rig.pop.poll_timeout().unwrap().at;
    assert!(next > until, "others have their turn in between");
    rig.wait(secs(1));
    assert_eq!(rig.pop.usage().leases, 0);
}

#[test]
fn what_the_target_answers_moves_nobody() {
    for code in [Code::Refused, Code::TimedOut, Code::NotResolved] {
        let mut rig = Rig::new(config(), 3);
        let id = rig.open_with(named("a"));
        rig.answer(Err(code));
        assert_eq!(rig.ended(id), Some(code));
        assert_eq!(rig.count(|frame| matches!(frame, Frame::Create { .. })), 1);
    }
}

#[test]
fn a_node_that_takes_no_session_loses_a_name_that_nobody_else_holds() {
    let mut rig = Rig::new(config(), 3);
    let id = rig.open_with(named("a"));
    let first = rig.answer(Err(Code::Overloaded));
    assert_eq!(rig.ended(id), None);
    let second = edge_of(&rig, id);
    assert_ne!(first, second);
    rig.answer(Ok(()));
    // With a second holder it stays, and the newcomer hears why.
    let other = rig.open_with(named("a"));
    assert_eq!(edge_of(&rig, other), second);
    rig.answer(Err(Code::Overloaded));
    assert_eq!(rig.ended(other), Some(Code::Overloaded));
    assert_eq!(rig.ended(id), None);
}

#[test]
fn while_the_exit_is_away_new_sessions_wait_for_it() {
    let mut rig = Rig::new(config(), 4);
    let first = rig.open_with(named("a"));
    rig.answer(Ok(()));
    let edge = edge_of(&rig, first);
    rig.unplug(edge);
    let waiting = rig.open_with(named("a"));
    rig.send_up(waiting, b"early");
    rig.wait(secs(10));
    assert_eq!(rig.ended(waiting), None);
    rig.plug_in(edge);
    rig.wait(secs(3));
    assert_eq!(rig.edges[edge].opened.len(), 1, "CREATE follows the resume");
    let at_edge = rig.edges[edge].opened[0];
    rig.answer(Ok(()));
    assert_eq!(rig.read_up(edge, at_edge), b"early");
    assert_eq!(rig.ended(waiting), None);
}

#[test]
fn who_waits_for_longer_than_a_dial_may_take_hears_that_the_exit_is_away() {
    for open in [named("a"), strict("a")] {
        let mut rig = Rig::new(config(), 2);
        let first = rig.open_with(named("a"));
        rig.answer(Ok(()));
        rig.unplug(edge_of(&rig, first));
        let waiting = rig.open_with(open);
        rig.wait(secs(24));
        assert_eq!(rig.ended(waiting), None);
        rig.wait(secs(1));
        assert_eq!(rig.ended(waiting), Some(Code::ExitAway));
        assert_eq!(rig.ended(first), None, "its grace time is longer");
    }
}

#[test]
fn after_the_grace_time_a_name_moves_and_a_strict_session_does_not() {
    let mut rig = Rig::new(
        Config {
            grace: secs(5),
            ..config()
        },
        3,
    );
    let first = rig.open_with(named("a"));
    rig.answer(Ok(()));
    let old = edge_of(&rig, first);
    rig.unplug(old);
    let loyal = rig.open_with(strict("a"));
    let (one, two) = (rig.open_with(named("a")), rig.open_with(named("a")));
    rig.wait(secs(5));
    assert_eq!(rig.ended(first), Some(Code::TunnelLost));
    assert_eq!(rig.ended(loyal), Some(Code::ExitAway));
    let new = edge_of(&rig, one);
    assert_ne!(old, new);
    assert_eq!(edge_of(&rig, two), new, "the name moves once");
    let late = rig.open_with(strict("a"));
    assert_eq!(edge_of(&rig, late), new, "it is bound there now");
    assert_eq!(rig.pop.usage().leases, 1);
}

#[test]
fn a_strict_session_is_refused_while_its_node_is_gone() {
    let mut rig = Rig::new(
        Config {
            grace: secs(5),
            ..config()
        },
        2,
    );
    let first = rig.open_with(strict("a"));
    rig.answer(Ok(()));
    let edge = edge_of(&rig, first);
    rig.unplug(edge);
    rig.wait(secs(6));
    close(&mut rig, first);
    assert_eq!(rig.pop.open(rig.now, strict("a")), Err(Code::ExitAway));
    rig.plug_in(edge);
    rig.wait(secs(60));
    let back = rig.open_with(strict("a"));
    assert_eq!(edge_of(&rig, back), edge);
}

#[test]
fn a_holder_of_an_old_lease_releases_nothing_of_the_new_one() {
    let mut rig = Rig::new(
        Config {
            grace: secs(5),
            lease_idle: secs(1),
            ..config()
        },
        3,
    );
    let old = rig.open_with(named("a"));
    rig.answer(Ok(()));
    rig.unplug(edge_of(&rig, old));
    rig.wait(secs(5));
    assert_eq!(rig.ended(old), Some(Code::TunnelLost));
    let new = rig.open_with(named("a"));
    rig.answer(Ok(()));
    // Its driver lets go of the old session only now.
    close(&mut rig, old);
    rig.wait(secs(60));
    assert_eq!(rig.pop.usage().leases, 1);
    let third = rig.open_with(named("a"));
    assert_eq!(node(&rig, third), node(&rig, new));
}

fn of_owner(owner: u32, name: &str) -> Open {
    let mut open = named(name);
    open.group = owner;
    open.sticky.as_mut().unwrap().owner = owner.into();
    open
}

fn few_leases(leases_max: usize) -> Config {
    Config {
        leases_max,
        ..config()
    }
}

#[test]
fn a_full_table_forgets_an_idle_name_or_refuses() {
    let mut rig = Rig::new(few_leases(2), 2);
    let one = rig.open_with(of_owner(1, "a"));
    let two = rig.open_with(of_owner(2, "b"));
    let other = || of_owner(3, "c");
    assert_eq!(rig.pop.open(rig.now, other()), Err(Code::Overloaded));
    rig.open_with(demand());
    let again = rig.open_with(of_owner(1, "a"));
    close(&mut rig, one);
    assert_eq!(rig.pop.open(rig.now, other()), Err(Code::Overloaded));
    close(&mut rig, again);
    rig.open_with(other());
    assert_eq!(rig.pop.usage().leases, 2);
    close(&mut rig, two);
}

#[test]
fn a_user_with_many_names_takes_nobody_elses() {
    let mut rig = Rig::new(few_leases(8), 6);
    let mine = rig.open_with(of_owner(1, "mine"));
    rig.answer(Ok(()));
    let first = node(&rig, mine);
    close(&mut rig, mine);
    for number in 0..100 {
        let id = rig.open_with(of_owner(2, &format!("name-{number}")));
        rig.answer(Ok(()));
        close(&mut rig, id);
        rig.wait(millis(10));
    }
    assert_eq!(rig.pop.usage().leases, 8);
    let again = rig.open_with(of_owner(1, "mine"));
    assert_eq!(node(&rig, again), first);
    // It is the oldest of its own that it has lost.
    let nodes: Vec<_> = rig.pop.nodes().iter().map(|node| node.sessions).collect();
    assert_eq!(nodes.iter().sum::<usize>(), 1);
}

#[test]
fn whoever_has_most_names_loses_the_oldest_to_one_who_has_none() {
    let mut rig = Rig::new(few_leases(4), 2);
    for (owner, name) in [(1, "a"), (2, "b"), (2, "c"), (1, "d")] {
        let id = rig.open_with(of_owner(owner, name));
        close(&mut rig, id);
        rig.wait(millis(1));
    }
    // Both have two: the one that was idle for longest goes, and then the other user's.
    for owner in [3, 4] {
        let id = rig.open_with(of_owner(owner, "e"));
        close(&mut rig, id);
    }
    let bound = |rig: &mut Rig, owner, name| {
        let mut open = of_owner(owner, name);
        open.sticky.as_mut().unwrap().strict = true;
        for edge in 0..2 {
            rig.unplug(edge);
        }
        let found = rig.pop.open(rig.now, open);
        for edge in 0..2 {
            rig.plug_in(edge);
        }
        if let Ok(id) = found {
            close(rig, id);
        }
        found.is_ok()
    };
    let left = [(1, "a"), (1, "d"), (2, "b"), (2, "c"), (3, "e"), (4, "e")]
        .map(|(owner, name)| bound(&mut rig, owner, name));
    assert_eq!(left, [false, true, false, true, true, true]);
}

#[test]
fn a_user_that_holds_all_the_names_it_can_leaves_some_to_everybody_else() {
    let mut rig = Rig::new(few_leases(16), 2);
    let all_of = |rig: &mut Rig, owner| {
        let mut count = 0;
        while let Ok(id) = rig
            .pop
            .open(rig.now, of_owner(owner, &format!("name-{count}")))
        {
            rig.pop_sessions.push(id);
            count += 1;
            assert!(count < 100);
        }
        rig.run();
        count
    };
    let taken: Vec<usize> = (1..=5).map(|owner| all_of(&mut rig, owner)).collect();
    assert_eq!(taken, [8, 4, 2, 1, 1]);
    // A name that is held already is anybody's of its owner.
    rig.open_with(of_owner(1, "name-0"));
}

#[test]
fn an_exit_at_its_cap_takes_no_more_sticky_sessions_even_while_away() {
    let mut rig = Rig::new(
        Config {
            sessions_max: 3,
            ..config()
        },
        2,
    );
    let first = rig.open_with(named("a"));
    rig.answer(Ok(()));
    let second = rig.open_with(named("a"));
    rig.answer(Ok(()));
    assert_eq!(node(&rig, first), node(&rig, second));
    rig.unplug(edge_of(&rig, first));
    rig.open_with(named("a"));
    assert_eq!(rig.pop.open(rig.now, named("a")), Err(Code::Overloaded));
}

#[test]
fn a_node_that_starts_again_keeps_its_names() {
    let mut rig = Rig::new(config(), 3);
    let first = rig.open_with(named("a"));
    rig.answer(Ok(()));
    let edge = edge_of(&rig, first);
    let name = node(&rig, first);
    rig.unplug(edge);
    let waiting = rig.open_with(named("a"));
    // Another process of the same node takes over.
    let again = rig.add_edge(&name);
    rig.wait(secs(1));
    assert_eq!(rig.ended(first), Some(Code::TunnelLost));
    assert_eq!(node(&rig, waiting), name);
    assert_eq!(rig.edges[again].opened.len(), 1);
}
