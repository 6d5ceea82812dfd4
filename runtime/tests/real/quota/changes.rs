//! What an operator changes reaches sessions that run within a second, at both POPs.

use super::SOON;
use super::region::Region;
use super::transfers::Transfers;
use crate::process::eventually;
use crate::server::PATIENCE;
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Sessions at each POP.
const SESSIONS: usize = 2;

/// What each test moves before anything changes, in bytes.
const BEFORE: u64 = 5 << 20;

/// Starts transfers, does something, and wants them all cut off within the time from when it was begun.
fn cut_within(limit: Duration, act: impl FnOnce(&Region, (&str, &str))) {
    let region = Region::start(1);
    let user = region.user("ann", &json!({}));
    let transfers = Transfers::start(user, &region.proxies, SESSIONS);
    transfers.reach(BEFORE);
    let begun = Instant::now();
    act(&region, user);
    eventually(
        "all are cut off",
        limit.saturating_sub(begun.elapsed()),
        || transfers.are_cut(),
    );
    println!("cut off {:?} after the call was begun", begun.elapsed());
    transfers.wait_end(u64::MAX);
}

#[test]
fn stopping_a_user_ends_its_sessions_within_a_second() {
    cut_within(SOON, |region, user| {
        region.change(user, &json!({ "enabled": false }));
    });
}

#[test]
fn deleting_a_user_ends_its_sessions_within_a_second() {
    cut_within(SOON, |region, user| {
        let path = format!("v1/users/{}", user.0);
        assert!(region.site.call("DELETE", &path, None).is_some());
    });
}

#[test]
fn an_expiry_ends_sessions_within_a_second_of_its_time() {
    let next = Duration::from_secs(2);
    cut_within(next + SOON, |region, user| {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        region.change(user, &json!({ "expires_at": now + next.as_secs() }));
    });
}

#[test]
fn a_new_password_ends_sessions_of_the_old_one_within_a_second() {
    cut_within(SOON, |region, user| {
        let path = format!("v1/users/{}/password", user.0);
        let body = json!({ "password": "another" });
        assert!(region.site.call("PUT", &path, Some(&body)).is_some());
    });
}

#[test]
fn a_rate_counts_at_all_pops_together_soon_after_its_change() {
    const RATE: u64 = 500_000;
    /// Until each POP has its share of the rate.
    const SETTLED: Duration = Duration::from_secs(3);
    const MEASURED: Duration = Duration::from_secs(4);
    let region = Region::start(1);
    let user = region.user("ann", &json!({}));
    let transfers = Transfers::start(user, &region.proxies, SESSIONS);
    transfers.reach(BEFORE);
    let rates = |rate: Value| json!({ "upload_rate": rate, "download_rate": rate });
    let begun = Instant::now();
    region.change(user, &rates(json!(RATE)));
    thread::sleep(SETTLED.saturating_sub(begun.elapsed()));
    let moved = |proxy| transfers.over(|other| other == proxy).received;
    let (start, before) = (Instant::now(), [moved(0), moved(1)]);
    thread::sleep(MEASURED);
    let seconds = start.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let [first, second] =
        [0, 1].map(|proxy| (moved(proxy) - before[proxy]) as f64 / (2 * RATE) as f64 / seconds);
    println!("{first:.2} and {second:.2} of the rate at the two POPs");
    assert!(
        (0.85..1.1).contains(&(first + second)),
        "{first} + {second}"
    );
    assert!(first > 0.3 && second > 0.3, "{first} and {second}");

    // And back.
    region.change(user, &rates(Value::Null));
    let begun = Instant::now();
    let goal = [moved(0) + BEFORE, moved(1) + BEFORE];
    eventually("both are fast again", PATIENCE, || {
        moved(0) >= goal[0] && moved(1) >= goal[1]
    });
    println!("{BEFORE} more after {:?}", begun.elapsed());
}
