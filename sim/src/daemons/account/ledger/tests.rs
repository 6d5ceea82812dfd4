use super::super::tally::Tally;
use super::*;
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);

fn ledger(user: User) -> Ledger {
    Ledger::new(&[user], 2)
}

fn user() -> User {
    User {
        name: "ann".to_owned(),
        quota: Some(Size(100)),
        ..User::default()
    }
}

/// Lets a client in; returns what it moves.
fn open(ledger: &Ledger, password: &str) -> Arc<Tally> {
    let tally = Arc::new(Tally::new(0));
    tally.read(30);
    ledger.opened(Connection {
        user: "ann".to_owned(),
        password: password.to_owned(),
        pop: 1,
        tally: Arc::clone(&tally),
        handshake: (30, 14),
    });
    tally.wrote(14);
    tally
}

fn look(ledger: &Ledger, at: Duration) -> Vec<String> {
    let wrong = ledger.look(at, Some(Duration::ZERO));
    wrong.into_iter().map(|(_, message)| message).collect()
}

#[test]
fn a_byte_more_than_the_quota_is_told() {
    let ledger = ledger(user());
    let tally = open(&ledger, PASSWORD);
    tally.read(60);
    tally.wrote(40);
    assert!(look(&ledger, SECOND).is_empty());
    tally.wrote(1);
    assert_eq!(
        look(&ledger, SECOND),
        ["user ann has moved 101 bytes of at most 100"]
    );
}

#[test]
fn a_quota_that_is_raised_allows_more_and_one_that_is_lowered_what_is_charged() {
    let bytes = Size(50);
    let user_name = || "ann".to_owned();
    let ledger = ledger(user());
    let tally = open(&ledger, PASSWORD);
    let add = Act::Add {
        user: user_name(),
        bytes,
    };
    ledger.begins(&add);
    tally.read(150);
    assert!(look(&ledger, SECOND).is_empty());
    ledger.done(&add, 150);
    assert!(look(&ledger, SECOND).is_empty() && !ledger.is_acted_out());

    let take = Act::Take {
        user: user_name(),
        bytes: Size(100),
    };
    ledger.begins(&take);
    ledger.done(&take, 160);
    assert!(ledger.is_acted_out());
    tally.read(10);
    assert!(look(&ledger, SECOND).is_empty());
    tally.read(1);
    assert_eq!(look(&ledger, SECOND).len(), 1);
}

#[test]
fn what_may_have_happened_is_allowed() {
    let bytes = Size(50);
    let user_name = || "ann".to_owned();
    let ledger = ledger(user());
    let tally = open(&ledger, PASSWORD);
    let add = Act::Add {
        user: user_name(),
        bytes,
    };
    let take = Act::Take {
        user: user_name(),
        bytes,
    };
    ledger.begins(&take);
    ledger.begins(&add);
    ledger.done(&take, 0);
    tally.read(150);
    assert!(look(&ledger, SECOND).is_empty());
}

#[test]
fn a_reset_allows_the_quota_once_more() {
    let ledger = ledger(user());
    let tally = open(&ledger, PASSWORD);
    tally.read(100);
    let reset = Act::Reset {
        user: "ann".to_owned(),
    };
    ledger.begins(&reset);
    ledger.done(&reset, 0);
    tally.read(100);
    assert!(look(&ledger, SECOND).is_empty());
    tally.read(1);
    assert_eq!(look(&ledger, SECOND).len(), 1);
}

#[test]
fn a_session_of_a_user_who_is_off_for_a_second_is_told() {
    let off = |user: User| {
        let ledger = ledger(user);
        let tally = open(&ledger, PASSWORD);
        let wrong = |at| look(&ledger, at);
        assert!(wrong(SECOND * 6 - Duration::from_millis(1)).is_empty());
        assert_eq!(wrong(SECOND * 6), ["user ann is off and connected"]);
        tally.closed();
        assert!(wrong(SECOND * 6).is_empty());
    };
    off(User {
        expires: Some(Time::from_millis(5_000)),
        ..user()
    });
    let early = ledger(User {
        starts: Some(Time::from_millis(5_000)),
        ..user()
    });
    let _tally = open(&early, PASSWORD);
    assert_eq!(look(&early, SECOND * 5 / 2).len(), 1);
    assert!(look(&early, SECOND * 5).is_empty());
}

#[test]
fn a_store_in_trouble_delays_what_it_has_to_tell() {
    let ledger = ledger(user());
    let _tally = open(&ledger, PASSWORD);
    let delete = Act::Delete {
        user: "ann".to_owned(),
    };
    ledger.begins(&delete);
    clock::stepped(Duration::ZERO);
    ledger.done(&delete, 0);
    assert!(ledger.look(SECOND * 60, None).is_empty());
    let calm = Some(SECOND * 50);
    assert!(ledger.look(SECOND * 53, calm).is_empty());
    assert_eq!(ledger.look(SECOND * 54, calm).len(), 1);
    assert_eq!(look(&ledger, SECOND).len(), 1);
}

#[test]
fn only_sessions_of_the_new_password_may_last() {
    let ledger = ledger(user());
    let old = open(&ledger, PASSWORD);
    let _new = open(&ledger, "other");
    let password = Act::Password {
        user: "ann".to_owned(),
        to: "other".to_owned(),
    };
    ledger.begins(&password);
    clock::stepped(Duration::ZERO);
    ledger.done(&password, 0);
    assert_eq!(
        look(&ledger, SECOND),
        ["user ann is in by another password"]
    );
    old.closed();
    assert!(look(&ledger, SECOND).is_empty());
}
