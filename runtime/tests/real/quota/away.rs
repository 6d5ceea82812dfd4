//! The store is away, or slow: what was granted goes on, and nothing is lost or told twice.

use super::region::{Region, rest};
use super::transfers::Transfers;
use crate::process::eventually;
use crate::server::{PATIENCE, Server};
use crate::site::echoes;
use crate::socks;
use serde_json::json;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

const RATE: u64 = 1_000_000;

/// Returns the names of the journals of usage.
fn journals(region: &Region) -> Vec<String> {
    let files = fs::read_dir(region.site.data()).unwrap();
    let names = files.map(|file| file.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.ends_with(".journal")).collect()
}

#[test]
fn users_and_sessions_outlive_an_outage_of_the_store() {
    const AWAY: Duration = Duration::from_secs(8);
    let (mut region, echo) = (Region::start(1), Server::echo());
    let rates = json!({ "upload_rate": RATE, "download_rate": RATE });
    let free = region.user("free", &rates);
    let mut limit = rates.clone();
    limit["traffic_limit"] = json!(200 * RATE);
    let limited = region.user("limited", &limit);
    let of_free = Transfers::start(free, &region.proxies, 1);
    let of_limited = Transfers::start(limited, &region.proxies, 1);
    of_free.reach(2 * RATE);
    of_limited.reach(2 * RATE);

    region.redis.kill();
    let gone = Instant::now();
    let before = of_free.moved().received;
    eventually("it is noticed", PATIENCE, || journals(&region).len() == 2);
    for proxy in region.proxies {
        for user in [free, limited] {
            socks::connect_as(user, proxy, echo.address).unwrap();
        }
        let stranger = socks::connect_as(("stranger", "secret"), proxy, echo.address);
        assert_eq!(
            stranger.unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
        let mut session = socks::connect_as(free, proxy, echo.address).unwrap();
        echoes(&mut session).unwrap();
    }
    thread::sleep(AWAY.saturating_sub(gone.elapsed()));
    let moved = of_free.moved().received - before;
    let (at_return, away) = (of_limited.moved().received, gone.elapsed());
    println!("{moved} without a limit in {away:?}; {at_return} with one");
    // Both ways at both POPs together: the last shares stay.
    assert!(moved > 3 * RATE / 2 * (away.as_secs() - 1), "{moved}");
    assert!(!of_free.are_cut() && !of_limited.are_cut());

    region.redis.restart();
    eventually("the nodes are listed", PATIENCE, || {
        region.listed("nodes").len() == 2
    });
    let parts = region.parts(limited).into_iter();
    let granted: u64 = parts.map(|part| part.granted - part.returned).sum();
    assert!(at_return <= granted, "{granted} granted");
    of_limited.reach(at_return + 8 * RATE);
    eventually("the journals are gone", PATIENCE, || {
        journals(&region).is_empty()
    });
    for (user, transfers) in [(free, of_free), (limited, of_limited)] {
        region.change(user, &json!({ "enabled": false }));
        transfers.wait_end(u64::MAX);
        let (moved, charged) = (transfers.moved(), region.settled(user, 0));
        println!("{}: {moved:?}, charged and counted {charged}", user.0);
        // Those that echoed a word count, too.
        assert!(moved.received <= charged, "something is lost");
        assert!(charged <= moved.sent + 20, "something is charged twice");
    }
}

#[test]
fn usage_of_a_pop_that_ends_without_the_store_is_told_by_the_next_once() {
    const LEN: usize = 3 << 20;
    let (mut region, echo) = (Region::start(1), Server::echo());
    let user = region.user("ann", &json!({}));
    let connect = |region: &Region| socks::connect_as(user, region.proxies[0], echo.address);
    // From now on the POP knows the password.
    echoes(&mut connect(&region).unwrap()).unwrap();
    eventually("the word is told", PATIENCE, || {
        region.settled(user, 0) == 10
    });
    region.redis.kill();
    let mut stream = connect(&region).unwrap();
    let mut out = stream.try_clone().unwrap();
    let sender = thread::spawn(move || out.write_all(&vec![7; LEN]));
    stream.read_exact(&mut vec![0; LEN]).unwrap();
    sender.join().unwrap().unwrap();
    drop(stream);
    region.pops[0].terminate();
    region.pops[0].wait(PATIENCE);
    assert_eq!(journals(&region).len(), 1);

    region.redis.restart();
    let all = 10 + 2 * LEN as u64;
    region.restart_pop(0);
    eventually("the journal is delivered", PATIENCE, || {
        region.record(user).charged == all && journals(&region).is_empty()
    });
    // A word of the new process comes after what it had to deliver.
    eventually("the POP serves", PATIENCE, || {
        connect(&region).is_ok_and(|mut stream| echoes(&mut stream).is_ok())
    });
    let parts = || region.parts(user).into_iter().map(|part| part.uploaded);
    eventually("the word is told", PATIENCE, || {
        parts().nth(1).is_some_and(|word| word >= 5)
    });
    let told: Vec<_> = parts().collect();
    println!("{told:?}");
    assert_eq!(told[0], all / 2);
    assert!((5..=50).contains(&told[1]), "words only");
}

#[test]
fn a_pop_that_is_asked_to_end_gives_its_leases_back() {
    let mut region = Region::start(1);
    let user = region.user("ann", &json!({ "traffic_limit": super::LIMIT }));
    let transfers = Transfers::start(user, &region.proxies[..1], 2);
    transfers.reach(super::LIMIT / 10);
    assert!(rest(&region.part(user, 0).unwrap()) > 0);
    // The first time it waits for its sessions.
    region.pops[0].terminate();
    region.pops[0].terminate();
    region.pops[0].wait(PATIENCE);
    let (part, charged) = (region.part(user, 0).unwrap(), region.record(user).charged);
    let moved = transfers.moved();
    println!("{moved:?}, charged {charged}");
    assert_eq!(rest(&part), 0);
    assert_eq!(charged, part.uploaded + part.downloaded);
    assert!(moved.received <= charged && charged <= moved.sent);
}
