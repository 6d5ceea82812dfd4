//! Sticky sessions: one node per name, however sessions race and tunnels go.

use crate::common::{World, config, demand, millis, secs};
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

fn node(world: &World, id: SessionId) -> String {
    world.pop.node_of(id).unwrap().to_owned()
}

fn edge_of(world: &World, id: SessionId) -> usize {
    let node = node(world, id);
    world
        .edges
        .iter()
        .position(|site| site.node == node)
        .unwrap()
}

fn close(world: &mut World, id: SessionId) {
    world.pop.close(world.now, id, Code::Ok, CloseMode::Abort);
    world.run();
}

#[test]
fn however_many_race_they_share_one_node() {
    let mut world = World::new(config(), 8);
    let ids: Vec<SessionId> = (0..50)
        .map(|_| world.pop.open(world.now, named("a")).unwrap())
        .collect();
    world.run();
    let first = node(&world, ids[0]);
    assert!(ids.iter().all(|&id| node(&world, id) == first));
    assert_eq!(world.pop.usage().leases, 1);
    // Another user's session of the same name is another lease.
    let mut others = named("a");
    others.group = 2;
    others.sticky.as_mut().unwrap().owner = 2;
    world.open_with(others);
    assert_eq!(world.pop.usage().leases, 2);
}

#[test]
fn a_lease_outlasts_its_holders_by_the_idle_time_exactly() {
    let idle = secs(600);
    for (wait, leases) in [(idle - millis(1), 1), (idle, 0)] {
        let mut world = World::new(config(), 8);
        let id = world.open_with(named("a"));
        let first = node(&world, id);
        close(&mut world, id);
        world.wait(wait);
        assert_eq!(world.pop.usage().leases, leases, "after {wait:?}");
        if leases == 1 {
            let again = world.open_with(named("a"));
            assert_eq!(node(&world, again), first);
            world.wait(secs(1));
            assert_eq!(world.pop.usage().leases, 1, "held again");
        }
    }
}

#[test]
fn leases_that_end_together_are_forgotten_by_and_by() {
    const COUNT: usize = 1_000;
    let mut world = World::new(config(), 2);
    for nth in 0..COUNT {
        let open = world.pop.open(world.now, named(&format!("n{nth}")));
        let id = open.unwrap();
        world.pop.close(world.now, id, Code::Ok, CloseMode::Abort);
    }
    world.run();
    let until = world.now + secs(600);
    world.wait(secs(600) - millis(1));
    assert_eq!(world.pop.usage().leases, COUNT);
    world.now = until;
    world.pop.handle_timeout(until);
    for site in &mut world.edges {
        site.core.handle_timeout(until);
    }
    let left = world.pop.usage().leases;
    assert!((1..COUNT).contains(&left), "{left} of {COUNT} are left");
    let next = world.pop.poll_timeout().unwrap().at;
    assert!(next > until, "others have their turn in between");
    world.wait(secs(1));
    assert_eq!(world.pop.usage().leases, 0);
}

#[test]
fn what_the_target_answers_moves_nobody() {
    for code in [Code::Refused, Code::TimedOut, Code::NotResolved] {
        let mut world = World::new(config(), 3);
        let id = world.open_with(named("a"));
        world.answer(Err(code));
        assert_eq!(world.ended(id), Some(code));
        assert_eq!(
            world.count(|frame| matches!(frame, Frame::Create { .. })),
            1
        );
    }
}

#[test]
fn a_node_that_takes_no_session_loses_a_name_that_nobody_else_holds() {
    let mut world = World::new(config(), 3);
    let id = world.open_with(named("a"));
    let first = world.answer(Err(Code::Overloaded));
    assert_eq!(world.ended(id), None);
    let second = edge_of(&world, id);
    assert_ne!(first, second);
    world.answer(Ok(()));
    // With a second holder it stays, and the newcomer hears why.
    let other = world.open_with(named("a"));
    assert_eq!(edge_of(&world, other), second);
    world.answer(Err(Code::Overloaded));
    assert_eq!(world.ended(other), Some(Code::Overloaded));
    assert_eq!(world.ended(id), None);
}

#[test]
fn while_the_exit_is_away_new_sessions_wait_for_it() {
    let mut world = World::new(config(), 4);
    let first = world.open_with(named("a"));
    world.answer(Ok(()));
    let edge = edge_of(&world, first);
    world.unplug(edge);
    let waiting = world.open_with(named("a"));
    world.send_up(waiting, b"early");
    world.wait(secs(10));
    assert_eq!(world.ended(waiting), None);
    world.plug_in(edge);
    world.wait(secs(3));
    assert_eq!(
        world.edges[edge].opened.len(),
        1,
        "CREATE follows the resume"
    );
    let at_edge = world.edges[edge].opened[0];
    world.answer(Ok(()));
    assert_eq!(world.read_up(edge, at_edge), b"early");
    assert_eq!(world.ended(waiting), None);
}

#[test]
fn who_waits_for_longer_than_a_dial_may_take_hears_that_the_exit_is_away() {
    for open in [named("a"), strict("a")] {
        let mut world = World::new(config(), 2);
        let first = world.open_with(named("a"));
        world.answer(Ok(()));
        world.unplug(edge_of(&world, first));
        let waiting = world.open_with(open);
        world.wait(secs(24));
        assert_eq!(world.ended(waiting), None);
        world.wait(secs(1));
        assert_eq!(world.ended(waiting), Some(Code::ExitAway));
        assert_eq!(world.ended(first), None, "its grace time is longer");
    }
}

#[test]
fn after_the_grace_time_a_name_moves_and_a_strict_session_does_not() {
    let mut world = World::new(
        Config {
            grace: secs(5),
            ..config()
        },
        3,
    );
    let first = world.open_with(named("a"));
    world.answer(Ok(()));
    let old = edge_of(&world, first);
    world.unplug(old);
    let loyal = world.open_with(strict("a"));
    let (one, two) = (world.open_with(named("a")), world.open_with(named("a")));
    world.wait(secs(5));
    assert_eq!(world.ended(first), Some(Code::TunnelLost));
    assert_eq!(world.ended(loyal), Some(Code::ExitAway));
    let new = edge_of(&world, one);
    assert_ne!(old, new);
    assert_eq!(edge_of(&world, two), new, "the name moves once");
    let late = world.open_with(strict("a"));
    assert_eq!(edge_of(&world, late), new, "it is bound there now");
    assert_eq!(world.pop.usage().leases, 1);
}

#[test]
fn a_strict_session_is_refused_while_its_node_is_gone() {
    let mut world = World::new(
        Config {
            grace: secs(5),
            ..config()
        },
        2,
    );
    let first = world.open_with(strict("a"));
    world.answer(Ok(()));
    let edge = edge_of(&world, first);
    world.unplug(edge);
    world.wait(secs(6));
    close(&mut world, first);
    assert_eq!(world.pop.open(world.now, strict("a")), Err(Code::ExitAway));
    world.plug_in(edge);
    world.wait(secs(60));
    let back = world.open_with(strict("a"));
    assert_eq!(edge_of(&world, back), edge);
}

#[test]
fn a_holder_of_an_old_lease_releases_nothing_of_the_new_one() {
    let mut world = World::new(
        Config {
            grace: secs(5),
            lease_idle: secs(1),
            ..config()
        },
        3,
    );
    let old = world.open_with(named("a"));
    world.answer(Ok(()));
    world.unplug(edge_of(&world, old));
    world.wait(secs(5));
    assert_eq!(world.ended(old), Some(Code::TunnelLost));
    let new = world.open_with(named("a"));
    world.answer(Ok(()));
    // Its driver lets go of the old session only now.
    close(&mut world, old);
    world.wait(secs(60));
    assert_eq!(world.pop.usage().leases, 1);
    let third = world.open_with(named("a"));
    assert_eq!(node(&world, third), node(&world, new));
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
    let mut world = World::new(few_leases(2), 2);
    let one = world.open_with(of_owner(1, "a"));
    let two = world.open_with(of_owner(2, "b"));
    let other = || of_owner(3, "c");
    assert_eq!(world.pop.open(world.now, other()), Err(Code::Overloaded));
    world.open_with(demand());
    let again = world.open_with(of_owner(1, "a"));
    close(&mut world, one);
    assert_eq!(world.pop.open(world.now, other()), Err(Code::Overloaded));
    close(&mut world, again);
    world.open_with(other());
    assert_eq!(world.pop.usage().leases, 2);
    close(&mut world, two);
}

#[test]
fn a_user_with_many_names_takes_nobody_elses() {
    let mut world = World::new(few_leases(8), 6);
    let mine = world.open_with(of_owner(1, "mine"));
    world.answer(Ok(()));
    let first = node(&world, mine);
    close(&mut world, mine);
    for number in 0..100 {
        let id = world.open_with(of_owner(2, &format!("name-{number}")));
        world.answer(Ok(()));
        close(&mut world, id);
        world.wait(millis(10));
    }
    assert_eq!(world.pop.usage().leases, 8);
    let again = world.open_with(of_owner(1, "mine"));
    assert_eq!(node(&world, again), first);
    // It is the oldest of its own that it has lost.
    let nodes: Vec<_> = world.pop.nodes().iter().map(|node| node.sessions).collect();
    assert_eq!(nodes.iter().sum::<usize>(), 1);
}

#[test]
fn whoever_has_most_names_loses_the_oldest_to_one_who_has_none() {
    let mut world = World::new(few_leases(4), 2);
    for (owner, name) in [(1, "a"), (2, "b"), (2, "c"), (1, "d")] {
        let id = world.open_with(of_owner(owner, name));
        close(&mut world, id);
        world.wait(millis(1));
    }
    // Both have two: the one that was idle for longest goes, and then the other user's.
    for owner in [3, 4] {
        let id = world.open_with(of_owner(owner, "e"));
        close(&mut world, id);
    }
    let bound = |world: &mut World, owner, name| {
        let mut open = of_owner(owner, name);
        open.sticky.as_mut().unwrap().strict = true;
        for edge in 0..2 {
            world.unplug(edge);
        }
        let found = world.pop.open(world.now, open);
        for edge in 0..2 {
            world.plug_in(edge);
        }
        if let Ok(id) = found {
            close(world, id);
        }
        found.is_ok()
    };
    let left = [(1, "a"), (1, "d"), (2, "b"), (2, "c"), (3, "e"), (4, "e")]
        .map(|(owner, name)| bound(&mut world, owner, name));
    assert_eq!(left, [false, true, false, true, true, true]);
}

#[test]
fn a_user_that_holds_all_the_names_it_can_leaves_some_to_everybody_else() {
    let mut world = World::new(few_leases(16), 2);
    let all_of = |world: &mut World, owner| {
        let mut count = 0;
        while let Ok(id) = world
            .pop
            .open(world.now, of_owner(owner, &format!("name-{count}")))
        {
            world.pop_sessions.push(id);
            count += 1;
            assert!(count < 100);
        }
        world.run();
        count
    };
    let taken: Vec<usize> = (1..=5).map(|owner| all_of(&mut world, owner)).collect();
    assert_eq!(taken, [8, 4, 2, 1, 1]);
    // A name that is held already is anybody's of its owner.
    world.open_with(of_owner(1, "name-0"));
}

#[test]
fn an_exit_at_its_cap_takes_no_more_sticky_sessions_even_while_away() {
    let mut world = World::new(
        Config {
            sessions_max: 3,
            ..config()
        },
        2,
    );
    let first = world.open_with(named("a"));
    world.answer(Ok(()));
    let second = world.open_with(named("a"));
    world.answer(Ok(()));
    assert_eq!(node(&world, first), node(&world, second));
    world.unplug(edge_of(&world, first));
    world.open_with(named("a"));
    assert_eq!(world.pop.open(world.now, named("a")), Err(Code::Overloaded));
}

#[test]
fn a_node_that_starts_again_keeps_its_names() {
    let mut world = World::new(config(), 3);
    let first = world.open_with(named("a"));
    world.answer(Ok(()));
    let edge = edge_of(&world, first);
    let name = node(&world, first);
    world.unplug(edge);
    let waiting = world.open_with(named("a"));
    // Another process of the same node takes over.
    let again = world.add_edge(&name);
    world.wait(secs(1));
    assert_eq!(world.ended(first), Some(Code::TunnelLost));
    assert_eq!(node(&world, waiting), name);
    assert_eq!(world.edges[again].opened.len(), 1);
}
