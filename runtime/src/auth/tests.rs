//! The authenticator with an `Env` whose clock the tests move.

mod clockwork;

use super::*;
use crate::env::tokio::TokioEnv;
use crate::store::{Embedded, Location, Mode, NewUser, ReplyMode, UserChange};
use clockwork::{ClockworkEnv, FlakyStore, flaky};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const CHEAP: Cost = Cost {
    memory_kib: 8,
    passes: 1,
};
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const STEP: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

struct Setting {
    env: ClockworkEnv,
    store: FlakyStore,
    auth: Authenticator<ClockworkEnv, FlakyStore>,
}

async fn set(config: AuthConfig) -> Setting {
    let env = ClockworkEnv::default();
    let store = flaky(Embedded::open(&Location::Memory, Mode::Inline).unwrap());
    for name in ["ann", "bob", "cid"] {
        store.store.create_user(user(name)).await.unwrap();
    }
    let auth = Authenticator::new(env.clone(), store.clone(), config);
    Setting { env, store, auth }
}

async fn setting() -> Setting {
    set(AuthConfig {
        cost: CHEAP,
        ..AuthConfig::default()
    })
    .await
}

fn user(name: &str) -> NewUser {
    let hash = hash_password(&format!("{name}'s"), [1; 16], CHEAP);
    NewUser::new(name.to_owned(), hash, 0)
}

impl Setting {
    async fn login(&self, user: &str, password: &str) -> Result<Login, Code> {
        let answer = self.auth.verify(user, password.as_bytes(), CLIENT);
        timeout(PATIENCE, answer).await.expect("it is answered")
    }

    fn cached(&self, user: &str, password: &str) -> Option<Result<Login, Code>> {
        self.auth.check_cached(user, password.as_bytes())
    }

    /// Starts a login that goes on by itself.
    fn asking(&self, user: &str, password: &str, from: IpAddr) -> JoinHandle<Result<Login, Code>> {
        let (auth, user, password) = (self.auth.clone(), user.to_owned(), password.to_owned());
        tokio::spawn(async move { auth.verify(&user, password.as_bytes(), from).await })
    }

    /// Starts a guess.
    fn guess(&self, name: &str, from: IpAddr) -> JoinHandle<Result<Login, Code>> {
        self.asking(name, "guess", from)
    }

    /// Waits until so many share in runs that are under way.
    async fn aboard(&self, count: usize) {
        self.until(|inner| inner.flights.passengers() >= count)
            .await;
    }

    /// Waits until so many of the clients' network wait for their turn to check a password.
    async fn queued(&self, count: usize) {
        self.until(|inner| inner.checking.waiting(&CLIENT) >= count)
            .await;
    }

    async fn until(&self, holds: impl Fn(&Inner<ClockworkEnv, FlakyStore>) -> bool) {
        let wait = async {
            while !holds(&self.auth.0) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, wait).await.expect("it comes to that");
    }

    async fn change(&self, change: UserChange) {
        self.store
            .store
            .change_user("ann", change)
            .await
            .unwrap()
            .unwrap();
    }
}

#[test]
fn user_names_leave_room_for_the_grammar() {
    for name in ["a", "ann.b_c@example.org", "7", &"x".repeat(64)] {
        assert!(is_user_name(name), "{name}");
    }
    for name in [
        "",
        ".",
        "..",
        "a-b",
        "a:b",
        "a b",
        "a/b",
        "é",
        "_a",
        "a\0",
        &"x".repeat(65),
    ] {
        assert!(!is_user_name(name), "{name}");
    }
}

#[tokio::test]
async fn the_right_password_is_remembered_and_nothing_else() {
    let it = setting().await;
    assert_eq!(it.cached("ann", "ann's"), None);
    let login = it.login("ann", "ann's").await.unwrap();
    assert_eq!(
        (&*login.name, login.index, login.truthful),
        ("ann", 0, false)
    );
    assert_eq!(it.cached("ann", "ann's"), Some(Ok(login.clone())));
    assert_eq!(it.login("ann", "ann's").await, Ok(login));
    assert_eq!(it.env.jobs(), 1);
    assert_eq!(it.cached("ann", "wrong"), None);
    assert_eq!(it.cached("an", "nann's"), None);
    assert_eq!(it.login("ann", "wrong").await, Err(Code::BadCredentials));
    assert_eq!(it.login("bob", "bob's").await.unwrap().index, 1);
    assert_eq!(it.cached("ann", "ann's").unwrap().unwrap().index, 0);
}

#[tokio::test]
async fn unknown_users_cost_the_same_work_as_wrong_passwords() {
    let it = setting().await;
    for (index, name) in ["ann", "nobody", "no-user", ""].into_iter().enumerate() {
        assert_eq!(
            it.login(name, "guess").await,
            Err(Code::BadCredentials),
            "{name}"
        );
        assert_eq!(it.env.jobs(), index + 1);
        assert_eq!(it.cached(name, "guess"), None);
    }
}

#[tokio::test]
async fn deletion_takes_effect_once_the_record_is_old() {
    let it = setting().await;
    let login = it.login("ann", "ann's").await.unwrap();
    it.store.store.delete_user("ann").await.unwrap();
    it.env.advance(RECORD_AGE_MAX);
    assert_eq!(it.cached("ann", "ann's"), Some(Ok(login.clone())));
    it.env.advance(STEP);
    assert_eq!(it.cached("ann", "ann's"), None);
    assert_eq!(it.login("ann", "ann's").await, Err(Code::BadCredentials));
    // Created again with the same password, it is verified again, and keeps its index.
    it.store.store.create_user(user("ann")).await.unwrap();
    assert_eq!(it.cached("ann", "ann's"), None);
    let again = it.login("ann", "ann's").await.unwrap();
    assert_eq!((&again.name, again.index), (&login.name, login.index));
    assert_ne!(again.record.id, login.record.id);
}

#[tokio::test]
async fn nobody_gets_in_before_the_window_opens_or_after_it_has_closed() {
    let it = setting().await;
    for (starts, expires, verdict) in [
        (Some(u64::MAX >> 11), None, Err(Code::UserDisabled)),
        (None, Some(0), Err(Code::UserDisabled)),
        (Some(0), Some(u64::MAX >> 11), Ok(())),
    ] {
        let change = UserChange {
            starts_at: Some(starts),
            expires_at: Some(expires),
            ..UserChange::default()
        };
        it.store.store.change_user("ann", change).await.unwrap();
        it.env.advance(RECORD_AGE_MAX + STEP);
        assert_eq!(it.login("ann", "ann's").await.map(drop), verdict);
    }
}

#[tokio::test]
async fn changes_take_effect_once_the_record_is_old() {
    let it = setting().await;
    it.login("ann", "ann's").await.unwrap();
    let jobs = it.env.jobs();
    let truthful = UserChange {
        reply: Some(ReplyMode::Truthful),
        ..UserChange::default()
    };
    it.change(truthful).await;
    it.env.advance(RECORD_AGE_MAX + STEP);
    assert!(it.login("ann", "ann's").await.unwrap().truthful);
    it.change(UserChange {
        enabled: Some(false),
        ..UserChange::default()
    })
    .await;
    it.env.advance(RECORD_AGE_MAX + STEP);
    assert_eq!(it.login("ann", "ann's").await, Err(Code::UserDisabled));
    assert_eq!(it.cached("ann", "ann's"), Some(Err(Code::UserDisabled)));
    it.change(UserChange {
        enabled: Some(true),
        ..UserChange::default()
    })
    .await;
    it.auth.invalidate("ann");
    assert!(it.login("ann", "ann's").await.is_ok());
    // None of this verified a password again; a new password does.
    assert_eq!(it.env.jobs(), jobs);
    let password_hash = Some(hash_password("new", [2; 16], CHEAP));
    it.change(UserChange {
        password_hash,
        ..UserChange::default()
    })
    .await;
    it.env.advance(RECORD_AGE_MAX + STEP);
    assert_eq!(it.login("ann", "ann's").await, Err(Code::BadCredentials));
    assert!(it.login("ann", "new").await.is_ok());
}

#[tokio::test]
async fn expiry_needs_no_refresh() {
    let it = setting().await;
    let expires_at = Some(Some(it.env.unix_time().as_secs() + 1));
    it.change(UserChange {
        expires_at,
        ..UserChange::default()
    })
    .await;
    assert!(it.login("ann", "ann's").await.is_ok());
    it.env.advance(Duration::from_secs(1));
    assert_eq!(it.cached("ann", "ann's"), Some(Err(Code::UserDisabled)));
    // Only who knows the password learns that the user expired.
    assert_eq!(it.login("ann", "wrong").await, Err(Code::BadCredentials));
}

#[tokio::test]
async fn while_the_store_is_away_known_users_get_in_for_a_stated_time() {
    let it = setting().await;
    let login = it.login("ann", "ann's").await.unwrap();
    it.store.gate.break_down();
    for _ in 0..9 {
        it.env.advance(Duration::from_secs(60));
        assert_eq!(it.login("ann", "ann's").await, Ok(login.clone()));
        // Right after a failure the store is not asked again.
        let reads = it.store.gate.reads();
        assert_eq!(it.cached("ann", "ann's"), Some(Ok(login.clone())));
        assert_eq!(it.login("bob", "bob's").await, Err(Code::Overloaded));
        assert_eq!(it.store.gate.reads(), reads);
    }
    it.env.advance(Duration::from_secs(61));
    assert_eq!(it.login("ann", "ann's").await, Err(Code::Overloaded));
    it.store.gate.recover();
    it.env.advance(STORE_RETRY);
    assert_eq!(it.login("ann", "ann's").await, Ok(login));
    assert!(it.login("bob", "bob's").await.is_ok());
    assert_eq!(it.env.jobs(), 2);
}

#[tokio::test]
async fn a_hanging_store_is_given_up_and_meanwhile_the_old_record_counts() {
    let it = setting().await;
    let login = it.login("ann", "ann's").await.unwrap();
    it.store.gate.hang();
    it.env.advance(RECORD_AGE_MAX + STEP);
    let asking = it.asking("ann", "ann's", CLIENT);
    it.store.gate.asked(2).await;
    assert_eq!(it.cached("ann", "ann's"), Some(Ok(login.clone())));
    it.env.advance(STORE_WAIT_MAX);
    assert_eq!(asking.await.unwrap(), Ok(login));
}

#[tokio::test]
async fn callers_of_the_same_share_one_run_and_too_many_of_an_address_are_refused() {
    let config = AuthConfig {
        cost: CHEAP,
        waiting_max: 2,
        ..AuthConfig::default()
    };
    let it = set(config).await;
    it.env.close_gate();
    let mut logins: Vec<_> = (0..4).map(|_| it.asking("ann", "ann's", CLIENT)).collect();
    it.env.started(1).await;
    it.aboard(4).await;
    assert_eq!(it.login("bob", "bob's").await, Err(Code::Overloaded));
    // The one that runs goes away; another takes over.
    logins.remove(0).abort();
    it.env.open_gate();
    for login in logins {
        assert_eq!(&*login.await.unwrap().unwrap().name, "ann");
    }
    assert!(it.env.jobs() <= 2);
    assert!(it.login("bob", "bob's").await.is_ok());
}

#[tokio::test]
async fn an_address_that_guesses_all_it_can_keeps_others_waiting_for_one_try() {
    let config = AuthConfig {
        cost: CHEAP,
        waiting_max: 64,
        checks_max: 1,
        ..AuthConfig::default()
    };
    let it = set(config).await;
    let other: IpAddr = "192.0.2.66".parse().unwrap();
    let known = it.login("cid", "cid's").await.unwrap();
    it.env.close_gate();
    // All at once, so that no failure slows it down.
    let guesses: Vec<_> = (0..200)
        .map(|index| it.guess(&format!("x{index}"), other))
        .collect();
    it.env.started(2).await;
    let (auth, env) = (it.auth.clone(), it.env.clone());
    // It looks itself: this task may be the last to hear.
    let bob = tokio::spawn(async move {
        let login = auth.verify("bob", b"bob's", CLIENT).await;
        (login, env.jobs())
    });
    it.queued(1).await;
    // A user known from before needs no turn, also when the record is old.
    it.env.advance(RECORD_AGE_MAX + STEP);
    assert_eq!(it.login("cid", "cid's").await, Ok(known));
    let before = it.env.jobs();
    it.env.open_gate();
    let (login, jobs) = bob.await.unwrap();
    assert_eq!(login.map(|login| login.name), Ok("bob".into()));
    assert!(jobs <= before + 4, "{} tries before it", jobs - before);
    let mut refused = 0;
    for guess in guesses {
        match guess.await.unwrap() {
            Err(Code::Overloaded) => refused += 1,
            answer => assert_eq!(answer, Err(Code::BadCredentials)),
        }
    }
    assert_eq!(refused, 200 - 32, "half of the places are left to others");
}

#[tokio::test]
async fn a_run_is_shared_within_one_network_and_no_other_waits_for_it() {
    let config = AuthConfig {
        cost: CHEAP,
        checks_max: 2,
        ..AuthConfig::default()
    };
    let it = set(config).await;
    it.env.close_gate();
    let from = |text: &str| it.guess("x", text.parse().unwrap());
    let first = from("2001:db8::1");
    it.env.started(1).await;
    let other = from("192.0.2.66");
    let started = timeout(PATIENCE, it.env.started(2)).await;
    started.expect("another network needs no other's run");
    let neighbour = from("2001:db8::2");
    it.aboard(3).await;
    it.env.open_gate();
    for guess in [first, other, neighbour] {
        assert_eq!(guess.await.unwrap(), Err(Code::BadCredentials));
    }
    assert_eq!(it.env.jobs(), 2, "the neighbour shares a run");
}

#[tokio::test]
async fn who_hangs_up_leaves_every_queue() {
    let config = AuthConfig {
        cost: CHEAP,
        waiting_max: 4,
        checks_max: 1,
        ..AuthConfig::default()
    };
    let it = set(config).await;
    it.env.close_gate();
    let first = it.guess("x", CLIENT);
    let second = it.guess("y", CLIENT);
    it.env.started(1).await;
    it.queued(1).await;
    assert_eq!(it.login("bob", "bob's").await, Err(Code::Overloaded));
    for gone in [first, second] {
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    it.env.open_gate();
    assert!(it.login("bob", "bob's").await.is_ok());
}

#[tokio::test]
async fn a_drawn_password_needs_no_work_and_a_wrong_one_as_much_as_any() {
    let it = setting().await;
    let hash = hash_drawn_password("drawn", [5; 32]);
    let drawn = NewUser::new("dan".to_owned(), hash, 0);
    it.store.store.create_user(drawn).await.unwrap();
    it.env.close_gate();
    assert_eq!(
        it.login("dan", "drawn").await.map(|login| login.index),
        Ok(0)
    );
    it.env.open_gate();
    assert_eq!(it.env.jobs(), 0);
    assert_eq!(it.login("dan", "wrong").await, Err(Code::BadCredentials));
    assert_eq!(it.env.jobs(), 1);
}

#[tokio::test]
async fn guessing_is_slowed_down_but_who_is_known_is_not() {
    let it = setting().await;
    let login = it.login("ann", "ann's").await.unwrap();
    for _ in 0..4 {
        assert_eq!(it.login("ann", "guess").await, Err(Code::BadCredentials));
    }
    let before = it.env.jobs();
    let guess = it.guess("ann", CLIENT);
    it.env.sleeping(1).await;
    assert_eq!(it.env.jobs(), before);
    assert_eq!(it.login("ann", "ann's").await, Ok(login));
    it.env.advance(Duration::from_millis(250));
    assert_eq!(guess.await.unwrap(), Err(Code::BadCredentials));
    assert_eq!(it.env.jobs(), before + 1);
}

#[tokio::test]
async fn the_table_is_bounded_and_an_index_is_nobody_elses_while_held() {
    let config = AuthConfig {
        cost: CHEAP,
        users_max: 2,
        ..AuthConfig::default()
    };
    let it = set(config).await;
    let ann = it.login("ann", "ann's").await.unwrap();
    let bob = it.login("bob", "bob's").await.unwrap();
    assert_eq!(it.login("cid", "cid's").await, Err(Code::Overloaded));
    let freed = bob.index;
    drop(bob);
    assert_eq!(it.login("cid", "cid's").await.unwrap().index, freed);
    assert_eq!(it.cached("ann", "ann's"), Some(Ok(ann)));
    assert_eq!(it.cached("bob", "bob's"), None);
}

#[tokio::test]
async fn fifteen_hundred_users_with_drawn_passwords_are_back_within_ten_seconds() {
    const COUNT: usize = 1_500;
    let store = Embedded::open(&Location::Memory, Mode::Thread).unwrap();
    let password = |index: usize| format!("{index:032x}");
    for index in 0..COUNT {
        let hash = hash_drawn_password(&password(index), [6; 32]);
        let user = NewUser::new(format!("u{index}"), hash, 0);
        store.create_user(user).await.unwrap();
    }
    // As a POP that was started anew, by the clock on the wall, with what passwords cost in earnest.
    let auth = Authenticator::new(TokioEnv::new(), store, AuthConfig::default());
    let begun = std::time::Instant::now();
    let logins: Vec<_> = (0..COUNT)
        .map(|index| {
            let auth = auth.clone();
            tokio::spawn(async move {
                let password = password(index);
                auth.verify(&format!("u{index}"), password.as_bytes(), CLIENT)
                    .await
            })
        })
        .collect();
    for login in logins {
        assert!(login.await.unwrap().is_ok());
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn who_hangs_up_while_a_record_is_read_keeps_no_old_one_alive() {
    let it = setting().await;
    it.login("ann", "ann's").await.unwrap();
    it.store.store.delete_user("ann").await.unwrap();
    it.env.advance(RECORD_AGE_MAX + STEP);
    it.store.gate.hang();
    let asking = it.asking("ann", "ann's", CLIENT);
    it.store.gate.asked(2).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    it.store.gate.recover();
    assert_eq!(it.cached("ann", "ann's"), None);
    assert_eq!(it.login("ann", "ann's").await, Err(Code::BadCredentials));
}
