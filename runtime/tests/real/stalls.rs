//! A session whose reader stops delays no other on its tunnel, and loses nothing.

use crate::content::Content;
use crate::server::{PATIENCE, Server};
use crate::titan::Titan;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// More than the largest windows of both ends and all kernel buffers between.
const STALLED: Content = Content::new(100, 96 << 20);

/// They move 2 GiB together.
const OTHERS: u8 = 50;

#[test]
fn a_client_that_stops_reading_delays_nobody_and_then_gets_everything() {
    let titan = one_edge();
    let sent = Arc::new(AtomicU64::new(0));
    let slow = {
        let sent = Arc::clone(&sent);
        Server::start(move |mut stream| {
            STALLED.send_noting(&mut stream, |len| sent.store(len, Ordering::SeqCst))?;
            stream.shutdown(Shutdown::Write)
        })
    };
    let mut client = titan.connect(slow.address).unwrap();
    wait_for_stall(&sent);

    let quick = Server::start(|mut stream| {
        let content = asked(&mut stream)?;
        content.send(&mut stream)
    });
    let start = Instant::now();
    thread::scope(|scope| {
        for seed in 0..OTHERS {
            let mut stream = titan.connect(quick.address).unwrap();
            scope.spawn(move || {
                stream.write_all(&[seed]).unwrap();
                share(seed).receive_to_end(&mut stream).unwrap();
            });
        }
    });
    tell("2 GiB down beside a stalled client", start.elapsed());
    assert!(sent.load(Ordering::SeqCst) < STALLED.len, "it still stalls");

    STALLED.receive_to_end(&mut client).unwrap();
    slow.outcome().unwrap();
}

#[test]
fn a_target_that_stops_reading_delays_nobody_and_then_gets_everything() {
    let titan = one_edge();
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let slow = Server::start(move |mut stream| {
        let opened = gate.lock().unwrap().recv_timeout(PATIENCE);
        opened.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        STALLED.receive_to_end(&mut stream)
    });
    let sent = Arc::new(AtomicU64::new(0));
    let mut client = titan.connect(slow.address).unwrap();
    let writer = {
        let sent = Arc::clone(&sent);
        thread::spawn(move || {
            STALLED.send_noting(&mut client, |len| sent.store(len, Ordering::SeqCst))?;
            client.shutdown(Shutdown::Write)?;
            // Kept open until the target is done.
            io::Result::Ok(client)
        })
    };
    wait_for_stall(&sent);

    let quick = Server::start(|mut stream| {
        let content = asked(&mut stream)?;
        content.receive_to_end(&mut stream)
    });
    let start = Instant::now();
    thread::scope(|scope| {
        for seed in 0..OTHERS {
            let mut stream = titan.connect(quick.address).unwrap();
            scope.spawn(move || {
                stream.write_all(&[seed]).unwrap();
                share(seed).send(&mut stream).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                // Until the target has it all.
                assert_eq!(io::copy(&mut stream, &mut io::sink()).unwrap(), 0);
            });
        }
    });
    tell("2 GiB up beside a stalled target", start.elapsed());
    for _ in 0..OTHERS {
        quick.outcome().unwrap();
    }
    assert!(sent.load(Ordering::SeqCst) < STALLED.len, "it still stalls");

    open.send(()).unwrap();
    slow.outcome().unwrap();
    writer.join().unwrap().unwrap();
}

fn one_edge() -> Titan {
    Titan::up_with(&["--edges", "1", "--allow-target", "127.0.0.0/8"])
}

/// Waits until everything on the way is full: nothing was taken for a while.
fn wait_for_stall(sent: &AtomicU64) {
    let deadline = Instant::now() + PATIENCE;
    let mut before = (Instant::now(), 0);
    loop {
        let now = sent.load(Ordering::SeqCst);
        if now != before.1 {
            before = (Instant::now(), now);
        } else if now > 0 && before.0.elapsed() > Duration::from_millis(500) {
            break;
        }
        assert!(Instant::now() < deadline, "it never stalls");
        thread::sleep(Duration::from_millis(10));
    }
    assert!(
        before.1 < STALLED.len,
        "windows and buffers took everything"
    );
}

/// What one of the others moves; no two move the same.
fn share(seed: u8) -> Content {
    Content::new(seed.into(), (2 << 30) / u64::from(OTHERS) + 1)
}

/// Reads which share a connection is for.
fn asked(stream: &mut TcpStream) -> io::Result<Content> {
    let mut seed = [0];
    stream.read_exact(&mut seed)?;
    Ok(share(seed[0]))
}

/// Prints how long that took; shown with `--nocapture`.
#[allow(
    clippy::print_stderr,
    reason = "tests have no other way to tell figures"
)]
fn tell(what: &str, took: Duration) {
    let rate = (2_u64 << 30) as f64 / took.as_secs_f64() / 1e6;
    eprintln!("{what}: {rate:.0} MB/s");
}
