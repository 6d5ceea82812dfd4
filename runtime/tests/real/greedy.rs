//! A user who takes all that it can of what users share, over many sessions, and another one beside it. In virtual
//! time the core's own tests hold this to a fifth; here the machine has a say, so bounds are wide, and the tunnel is
//! paced where it is what they share, else it would be the processor.

use crate::process::{Process, eventually};
use crate::server::{PATIENCE, Server};
use crate::site::{Site, echoes};
use crate::socks;
use serde_json::json;
use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const GREEDY: (&str, &str) = ("greedy", "secret");

/// How many sessions the greedy user has.
const SESSIONS: u64 = 48;

/// What the other one moves.
const LEN: u64 = 16 << 20;

/// What a busy machine adds to a first byte.
const SLACK: Duration = Duration::from_millis(100);

/// What a node sends each way in a second; the windows of all sessions are most of that.
const PACED: &str = "[limits]\nnode_upload_rate = 16000000\nnode_download_rate = 16000000\n";

/// The least memory that a POP takes.
const LITTLE: &str = "[limits]\nmemory_budget_bytes = 16777216\n";

struct Shared {
    _daemons: [Process; 3],
    site: Site,
    echo: Server,
}

fn shared(of_pop: &str) -> Shared {
    let site = Site::new();
    let daemons = [site.manager(), site.pop_with(of_pop), site.edge("one")];
    site.wait_online("one", PATIENCE);
    let user = json!({ "name": GREEDY.0, "password": GREEDY.1 });
    assert!(site.rest("v1/users", Some(&user)).is_some());
    let echo = Server::echo();
    // The first login of each is the slow one.
    echoes(&mut socks::connect_as(GREEDY, site.proxy, echo.address).unwrap()).unwrap();
    echoes(&mut site.connect(echo.address).unwrap()).unwrap();
    Shared {
        _daemons: daemons,
        site,
        echo,
    }
}

impl Shared {
    fn first_byte(&self) -> Duration {
        self.site.first_byte(self.echo.address, || ())
    }

    /// Checks that the other user does not wait longer than twice what it does alone.
    fn waits_no_longer(&self, alone: Duration) {
        let beside = self.first_byte();
        assert!(
            beside <= 2 * alone + SLACK,
            "{beside:?}, and {alone:?} alone"
        );
    }

    fn greedy(&self, target: SocketAddr) -> TcpStream {
        socks::connect_as(GREEDY, self.site.proxy, target).unwrap()
    }
}

/// Sends for as long as anybody takes it, and counts.
fn pour(to: &mut TcpStream, count: &AtomicU64) -> io::Result<()> {
    let chunk = vec![7; 64 << 10];
    loop {
        count.fetch_add(to.write(&chunk)? as u64, Ordering::SeqCst);
    }
}

/// Takes whatever comes, and counts.
fn drink(from: &mut TcpStream, count: &AtomicU64) -> io::Result<()> {
    let mut chunk = vec![0; 64 << 10];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(()),
            len => count.fetch_add(len as u64, Ordering::SeqCst),
        };
    }
}

fn wait_for(count: &AtomicU64, least: u64) {
    eventually("it is so many", PATIENCE, || {
        count.load(Ordering::SeqCst) >= least
    });
}

/// Checks that a user with many sessions did not move much more than the other one, who moved `LEN` meanwhile.
fn had_its_share(greedy: u64) {
    assert!(greedy > LEN / 4, "{greedy} beside {LEN}");
    assert!(greedy < 3 * LEN, "{greedy} beside {LEN}");
}

#[test]
fn one_who_downloads_over_many_sessions_leaves_another_its_share() {
    let it = shared(PACED);
    let alone = it.first_byte();
    let source = Server::start(|mut stream| pour(&mut stream, &AtomicU64::new(0)));
    let got = Arc::new(AtomicU64::new(0));
    for _ in 0..SESSIONS {
        let mut stream = it.greedy(source.address);
        let got = Arc::clone(&got);
        thread::spawn(move || drink(&mut stream, &got));
    }
    wait_for(&got, LEN);
    it.waits_no_longer(alone);
    let mut stream = it.site.connect(source.address).unwrap();
    let before = got.load(Ordering::SeqCst);
    io::copy(&mut (&mut stream).take(LEN), &mut io::sink()).unwrap();
    had_its_share(got.load(Ordering::SeqCst) - before);
}

#[test]
fn one_who_uploads_over_many_sessions_leaves_another_its_share() {
    let it = shared(PACED);
    let alone = it.first_byte();
    let taken = Arc::new(AtomicU64::new(0));
    let sink = {
        let taken = Arc::clone(&taken);
        Server::start(move |mut stream| drink(&mut stream, &taken))
    };
    for _ in 0..SESSIONS {
        let mut stream = it.greedy(sink.address);
        thread::spawn(move || pour(&mut stream, &AtomicU64::new(0)));
    }
    wait_for(&taken, LEN);
    it.waits_no_longer(alone);
    let other = Server::start(|mut stream| {
        assert_eq!(io::copy(&mut stream, &mut io::sink())?, LEN);
        Ok(())
    });
    let mut stream = it.site.connect(other.address).unwrap();
    let before = taken.load(Ordering::SeqCst);
    io::copy(&mut io::repeat(7).take(LEN), &mut stream).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    other.outcome().unwrap();
    had_its_share(taken.load(Ordering::SeqCst) - before);
}

/// Has the greedy user open sessions and read nothing of what they pour, again and again, because one that
/// stands still is reset some time.
fn stand_still(proxy: SocketAddr, source: SocketAddr, over: Arc<AtomicBool>) {
    thread::spawn(move || {
        while !over.load(Ordering::SeqCst) {
            let held = socks::connect_as(GREEDY, proxy, source);
            thread::sleep(Duration::from_millis(if held.is_ok() { 4000 } else { 10 }));
        }
    });
}

#[test]
fn one_who_reads_nothing_over_many_sessions_slows_nobody_else() {
    let it = shared(LITTLE);
    let poured = Arc::new(AtomicU64::new(0));
    let source = {
        let poured = Arc::clone(&poured);
        Server::start(move |mut stream| pour(&mut stream, &poured))
    };
    let other = Server::start(|mut stream| pour(&mut stream, &AtomicU64::new(0)));
    // Of several, because a busy machine makes some slow.
    let download = || {
        let one = |_| {
            let begun = Instant::now();
            let mut stream = it.site.connect(other.address).unwrap();
            io::copy(&mut (&mut stream).take(LEN), &mut io::sink()).unwrap();
            begun.elapsed()
        };
        (0..5).map(one).min().unwrap()
    };
    let (alone, whole) = (it.first_byte(), download());
    let over = Arc::new(AtomicBool::new(false));
    for _ in 0..SESSIONS {
        stand_still(it.site.proxy, source.address, Arc::clone(&over));
    }
    // More than the POP may hold.
    wait_for(&poured, 16 << 20);
    it.waits_no_longer(alone);
    let beside = download();
    assert!(
        beside <= 3 * whole + 2 * SLACK,
        "{beside:?}, and {whole:?} alone"
    );
    over.store(true, Ordering::SeqCst);
}

/// Returns how many connections to a port of this machine wait for an answer.
fn dialling(to: SocketAddr) -> u64 {
    const SYN_SENT: &str = "02";
    let port = format!(":{:04X}", to.port());
    let all = fs::read_to_string("/proc/net/tcp").unwrap();
    let waits = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next().is_some_and(|at| at.ends_with(&port)) && fields.next() == Some(SYN_SENT)
    };
    all.lines().filter(waits).count() as u64
}

#[test]
fn one_whose_dials_hang_over_many_sessions_slows_nobody_else() {
    let it = shared("");
    let alone = it.first_byte();
    // A listener whose line is full answers no more.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = listener.local_addr().unwrap();
    let mut line = Vec::new();
    let full = loop {
        match TcpStream::connect_timeout(&mute, Duration::from_millis(300)) {
            Ok(stream) => line.push(stream),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::TimedOut);
    // Each asks again when it is answered.
    let over = Arc::new(AtomicBool::new(false));
    for _ in 0..4 * SESSIONS {
        let (proxy, over) = (it.site.proxy, Arc::clone(&over));
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let _ = socks::connect_as(GREEDY, proxy, mute);
                thread::sleep(Duration::from_millis(10));
            }
        });
    }
    eventually("dials hang", PATIENCE, || dialling(mute) >= SESSIONS);
    it.waits_no_longer(alone);
    assert!(dialling(mute) >= SESSIONS / 4);
    over.store(true, Ordering::SeqCst);
    drop(line);
}
