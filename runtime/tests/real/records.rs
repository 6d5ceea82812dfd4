//! Records answer who reached what, when, through which node and with how many bytes.

use crate::process::eventually;
use crate::relay::{Cut, Relay};
use crate::server::{PATIENCE, Server};
use crate::site::{Site, echoes};
use crate::socks::{self, Host, USER};
use serde_json::{Value, json};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Bytes each way of a session that is cut on the way.
const LEN: usize = 400_000;

const CUTS: u64 = 3;

/// What a daemon may take to end at once.
const END: Duration = Duration::from_secs(10);

const RECORDED: &str = "[records]\nenabled = true\n";

fn echo() -> Server {
    Server::start(|mut stream| {
        let mut out = stream.try_clone()?;
        io::copy(&mut stream, &mut out).map(drop)
    })
}

/// Returns an address that refuses.
fn closed() -> SocketAddr {
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn directory(site: &Site) -> PathBuf {
    site.data().join("records-pop")
}

/// Returns every record there is.
fn records(site: &Site) -> Vec<Value> {
    let Ok(entries) = fs::read_dir(directory(site)) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let texts = paths
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).unwrap());
    // The last line of a file may be under way.
    let whole = |text: String| Some(text.rsplit_once('\n')?.0.to_owned() + "\n");
    let text: String = texts.filter_map(whole).collect();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits for this many records.
fn wait_records(site: &Site, count: usize) -> Vec<Value> {
    eventually("the records are written", PATIENCE, || {
        records(site).len() >= count
    });
    let all = records(site);
    assert_eq!(all.len(), count, "{all:?}");
    all
}

fn now_ms() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// Who reached a target at a time.
fn reached(all: &[Value], target: SocketAddr, at_ms: u64) -> Vec<&Value> {
    let matches = |record: &&Value| {
        let from = record["started_at_ms"].as_u64().unwrap();
        let until = record["ended_at_ms"].as_u64().unwrap();
        record["target"] == target.to_string() && from <= at_ms && at_ms <= until
    };
    all.iter().filter(matches).collect()
}

/// Moves bytes up and the same down, and returns a time in between.
fn exchange(site: &Site, target: SocketAddr) -> u64 {
    let mut stream = site.connect(target).unwrap();
    let mut out = stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        out.write_all(&vec![7; LEN])?;
        out.shutdown(Shutdown::Write)
    });
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    let at = now_ms();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), LEN - 1);
    sender.join().unwrap().unwrap();
    at
}

fn create(site: &Site, name: &str, records: &str) {
    let user = json!({ "name": name, "password": "secret", "records": records });
    assert!(site.rest("v1/users", Some(&user)).is_some());
}

#[test]
fn who_reached_a_target_when_and_with_how_many_bytes_is_answered_exactly() {
    let mut site = Site::new();
    let relay = Relay::start(site.tunnels, Cut::draw(1, CUTS, LEN as u64));
    site.public = relay.address;
    let (_manager, mut pop) = (site.manager(), site.pop_with(RECORDED));
    let _edge = site.edge("one");
    site.wait_online("one", PATIENCE);
    let (echo, closed) = (echo(), closed());
    let at = exchange(&site, echo.address);
    assert_eq!(relay.cuts() as u64, CUTS);
    // One that failed, and one of a user who is not recorded.
    let (mut refused, _) = socks::ask(site.proxy, Host::Ip(HERE), closed.port()).unwrap();
    assert!(matches!(refused.read(&mut [0]), Ok(0) | Err(_)));
    create(&site, "eve", "off");
    let asked = socks::ask_as(
        ("eve", "secret"),
        site.proxy,
        Host::Ip(HERE),
        echo.address.port(),
    );
    echoes(&mut asked.unwrap().0).unwrap();
    pop.terminate();
    assert!(pop.wait(PATIENCE).success());

    let all = wait_records(&site, 2);
    let [record] = reached(&all, echo.address, at)[..] else {
        panic!("{all:?}")
    };
    let expected = json!({
        "pop": "pop", "user": USER.0, "user_id": record["user_id"], "target": echo.address.to_string(),
        "address": "127.0.0.1", "node": "one", "exit": "127.0.0.1", "uploaded": LEN, "downloaded": LEN,
        "started_at_ms": record["started_at_ms"], "ended_at_ms": record["ended_at_ms"], "code": "ok",
        "whose": null, "trace": record["trace"],
    });
    assert_eq!(record, &expected);
    assert_eq!(record["trace"].as_str().unwrap().len(), 32);
    let failed = all
        .iter()
        .find(|record| record["target"] == closed.to_string());
    let failed = failed.unwrap();
    assert_eq!(
        (&failed["code"], &failed["node"]),
        (&json!("refused"), &json!("one"))
    );
    assert_eq!(
        (&failed["uploaded"], &failed["address"]),
        (&json!(0), &Value::Null)
    );
}

/// Puts a full disk under the records, as long as the file is there that is returned.
fn fill_disk(site: &Site) -> PathBuf {
    fs::create_dir(directory(site)).unwrap();
    let full = directory(site).join(format!("records-{}.jsonl", now_ms()));
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    full
}

#[test]
fn a_full_disk_under_the_records_stops_nothing_and_keeps_them_waiting() {
    let site = Site::new();
    let full = fill_disk(&site);
    let (_manager, mut pop) = (site.manager(), site.pop_with(RECORDED));
    let _edge = site.edge("one");
    site.wait_online("one", PATIENCE);
    let echo = echo();
    for _ in 0..20 {
        echoes(&mut site.connect(echo.address).unwrap()).unwrap();
    }
    fs::remove_file(full).unwrap();
    let all = wait_records(&site, 20);
    assert!(all.iter().all(|record| record["uploaded"] == 5), "{all:?}");
    pop.terminate();
    assert!(pop.wait(END).success());
}

/// More lines of one user than may wait, all together.
const FLOOD: usize = 14_400;

/// How often the time to the first byte is taken.
const SAMPLES: usize = 25;

/// What a busy machine adds to a first byte now and then.
const SLACK: Duration = Duration::from_millis(20);

/// Has a user who may have no other session ask for one this many times, from several threads: long lines for
/// little work.
fn flood(site: &Site, user: &str, threads: usize, each: usize) {
    let name = ["m"; 4].map(|label| label.repeat(60)).join(".");
    let ask = || {
        for _ in 0..each {
            let asked = socks::ask_as((user, "secret"), site.proxy, Host::Name(&name), 80);
            assert_ne!(asked.unwrap().1, 0);
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(ask);
        }
    });
}

/// Returns what a session of the tests' user takes to its first byte, `before` being done before each.
fn first_byte(site: &Site, target: SocketAddr, before: impl Fn()) -> Duration {
    let mut all: Vec<_> = (0..SAMPLES)
        .map(|_| {
            before();
            let begun = Instant::now();
            echoes(&mut site.connect(target).unwrap()).unwrap();
            begun.elapsed()
        })
        .collect();
    all.sort();
    all[SAMPLES / 2]
}

#[test]
fn one_who_floods_the_records_takes_neither_lines_nor_time_from_another() {
    let site = Site::new();
    let full = fill_disk(&site);
    let (_manager, mut pop) = (site.manager(), site.pop_with(RECORDED));
    let _edge = site.edge("one");
    site.wait_online("one", PATIENCE);
    let user = "m".repeat(64);
    let settings = json!({ "name": user, "password": "secret", "sessions_max": 1 });
    assert!(site.rest("v1/users", Some(&settings)).is_some());
    let echo = echo();
    let alone = first_byte(&site, echo.address, || ());
    let held = socks::connect_as((&user, "secret"), site.proxy, echo.address).unwrap();
    flood(&site, &user, 4, FLOOD / 4);
    // One after another, so that it is the queue that is full and not the machine.
    let beside = first_byte(&site, echo.address, || flood(&site, &user, 1, 4));
    assert!(
        beside <= 2 * alone + SLACK,
        "{beside:?}, and {alone:?} alone"
    );
    fs::remove_file(full).unwrap();
    let of = |all: &[Value], name: &str| {
        let (told, lines): (Vec<_>, Vec<_>) = all
            .iter()
            .filter(|line| line["user"] == name)
            .partition(|line| line["lost"].is_u64());
        let lost = told.iter().filter_map(|line| line["lost"].as_u64());
        let lost: u64 = lost.sum();
        (lines.len(), usize::try_from(lost).unwrap())
    };
    eventually("every line is written or told to be lost", PATIENCE, || {
        let (lines, lost) = of(&records(&site), &user);
        lost > 0 && lines + lost == FLOOD + 4 * SAMPLES
    });
    drop(held);
    pop.terminate();
    assert!(pop.wait(END).success());
    let all = records(&site);
    assert_eq!(of(&all, USER.0), (2 * SAMPLES, 0));
    let (lines, lost) = of(&all, &user);
    assert_eq!(lines + lost, FLOOD + 4 * SAMPLES + 1);
}

#[test]
fn a_user_is_recorded_where_nobody_else_is_up_to_the_end_of_the_pop() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    let [_manager, mut pop, _edge] = site.start_all("one");
    let echo = echo();
    create(&site, "ann", "on");
    echoes(&mut site.connect(echo.address).unwrap()).unwrap();
    let asked = socks::ask_as(
        ("ann", "secret"),
        site.proxy,
        Host::Ip(HERE),
        echo.address.port(),
    );
    let (mut runs, _) = asked.unwrap();
    echoes(&mut runs).unwrap();
    assert!(!directory(&site).exists(), "nothing is over");
    pop.signal("INT");
    assert!(pop.wait(END).success());
    let all = wait_records(&site, 1);
    let record = &all[0];
    assert_eq!(record["user"], "ann");
    assert_eq!(
        (&record["uploaded"], &record["downloaded"]),
        (&json!(5), &json!(5))
    );
    assert_eq!(record["code"], "shutting_down");
    for entry in fs::read_dir(directory(&site)).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
